"""A gRPC client made of nothing but reflection: methods, messages and replies as they are."""

import os
from dataclasses import dataclass, field

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

from support import proc
from support.grpc import Grpcurl, python_channel


@dataclass
class Answer:
    """What a call gave: code by name, message, details as bytes, and the replies received."""
    code: str
    message: str = ""
    details: bytes = b""
    replies: list = field(default_factory=list)

    @property
    def reply(self):
        assert self.code == "OK" and len(self.replies) == 1, f"{self.code}: {self.message}"
        return self.replies[0]

    def bytes(self):
        """All of it as one text of bytes, to be compared."""
        return b"\n".join([self.code.encode(), self.message.encode(), self.details,
                           *(reply.SerializeToString(deterministic=True)
                             for reply in self.replies)])


class Schema:
    """The methods of some services, as the server describes them."""

    def __init__(self, endpoint, certs, services):
        self.pool = descriptor_pool.DescriptorPool()
        folder = proc.new_folder()
        known, grpcurl = set(), Grpcurl(endpoint, certs)
        try:
            for service in services:
                out = os.path.join(folder, service)
                done = grpcurl.raw("-protoset-out", out, endpoint, "describe", service)
                assert done.returncode == 0, done.stderr
                with open(out, "rb") as file:
                    found = descriptor_pb2.FileDescriptorSet.FromString(file.read())
                for item in found.file:
                    if item.name not in known:
                        known.add(item.name)
                        self.pool.Add(item)
        finally:
            proc.remove_folder(folder)
        self.factory = message_factory.MessageFactory(self.pool)
        self.methods = {f"{service.split('.')[-1]}/{method.name}": method
                        for service in services
                        for method in self.pool.FindServiceByName(service).methods}

    def message(self, descriptor):
        return self.factory.GetPrototype(descriptor)


class Client:
    """Calls methods of a Schema with one certificate; requests are dictionaries (proto3 JSON)."""

    def __init__(self, schema, endpoint, certs):
        self.schema = schema
        self.channel = python_channel(endpoint, certs)

    def __call__(self, name, request, timeout=60):
        import grpc  # Debian's python3-grpcio

        method = self.schema.methods[name]
        encoded = json_format.ParseDict(request, self.schema.message(method.input_type)())
        proto = descriptor_pb2.MethodDescriptorProto()
        method.CopyToProto(proto)
        make = self.channel.unary_stream if proto.server_streaming else self.channel.unary_unary
        call = make(f"/{method.containing_service.full_name}/{method.name}",
                    request_serializer=lambda message: message.SerializeToString(),
                    response_deserializer=self.schema.message(method.output_type).FromString)
        replies = []
        try:
            got = call(encoded, timeout=timeout)
            for reply in got if proto.server_streaming else [got]:
                replies.append(reply)
        except grpc.RpcError as error:
            details = dict(error.trailing_metadata() or ())
            return Answer(error.code().name, error.details(),
                          details.get("grpc-status-details-bin", b""), replies)
        return Answer("OK", replies=replies)

    def close(self):
        self.channel.close()


def _varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at


def _texts(data, number):
    """The values of a length-delimited field; numbers between them are skipped."""
    at, found = 0, []
    while at < len(data):
        tag, at = _varint(data, at)
        value, at = _varint(data, at)
        if tag & 7 == 2:
            if tag >> 3 == number:
                found.append(data[at:at + value])
            at += value
    return found


def reason(answer):
    """The reason of the answer's google.rpc.ErrorInfo, "" when it has none."""
    for detail in _texts(answer.details, 3):  # google.rpc.Status.details: Any
        if _texts(detail, 1) == [b"type.googleapis.com/google.rpc.ErrorInfo"]:
            return b"".join(_texts(b"".join(_texts(detail, 2)), 1)).decode()
    return ""
