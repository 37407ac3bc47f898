"""gRPC clients that are not ours: grpcurl by reflection, and Debian's Python gRPC."""

import json
import os
import sys

from support import proc

GOOGLEAPIS = ("/usr/share/gocode/src/github.com/grpc-ecosystem/grpc-gateway/third_party/"
              "googleapis")
# grpcurl prints the canonical codes in this spelling and ends with 64 + the code.
CODES = ["OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
         "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
         "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
         "UNAUTHENTICATED"]


def json_documents(text):
    """The JSON documents that stand one after another in a text."""
    decoder, at, found = json.JSONDecoder(), 0, []
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        if at == len(text):
            return found
        value, at = decoder.raw_decode(text, at)
        found.append(value)


class Reply:
    """What a call gave: code by name, message, and the messages received."""

    def __init__(self, done):
        self.exit_code, self.stdout, self.stderr = done.returncode, done.stdout, done.stderr
        known = 0 <= done.returncode - 64 < len(CODES)
        self.code = "OK" if done.returncode == 0 else (
            CODES[done.returncode - 64] if known else "CLIENT_ERROR")
        self.messages = json_documents(done.stdout) if done.returncode == 0 else []

    @property
    def message(self):
        assert self.code == "OK" and len(self.messages) == 1, f"{self.code}\n{self.stderr}"
        return self.messages[0]


class Grpcurl:
    """grpcurl against one endpoint with one client's certificate (None: without)."""

    def __init__(self, endpoint, certs, ca=None):
        self.program = os.path.join(proc.part("grpcurl"), "grpcurl")
        self.endpoint = endpoint
        self.options = ["-cacert", os.path.join(ca or certs, "ca.crt")]
        if certs:
            self.options += ["-cert", os.path.join(certs, "tls.crt"),
                             "-key", os.path.join(certs, "tls.key")]

    def raw(self, *words, stdin="", timeout=60):
        return proc.run([self.program, *self.options, *words], check=False, stdin=stdin,
                        timeout=timeout)

    def __call__(self, method, request=None, *, timeout=60, options=()):
        """Calls package.Service/Method with a request given as a dictionary."""
        return Reply(self.raw("-max-time", timeout, *options, "-d", "@", self.endpoint, method,
                              stdin=json.dumps(request or {}), timeout=timeout + 10))

    def services(self):
        """Names of the services, by reflection."""
        return self.raw(self.endpoint, "list").stdout.split()

    def describe(self, symbol):
        return self.raw(self.endpoint, "describe", symbol).stdout


def python_messages(folder):
    """Generates Python messages of all protos below folder and makes them importable."""
    protos = os.path.join(proc.ROOT, "proto")
    names = [os.path.relpath(os.path.join(parent, name), protos)
             for parent, _, files in os.walk(protos) for name in files if name.endswith(".proto")]
    proc.run(["protoc", "-I", protos, "-I", GOOGLEAPIS, "-I", "/usr/include",
              f"--python_out={folder}", *names, "google/api/annotations.proto",
              "google/api/http.proto", "protobuf-c/protobuf-c.proto"])
    if folder not in sys.path:
        sys.path.insert(0, folder)


def python_channel(endpoint, certs):
    """A grpcio channel with the client's certificate."""
    import grpc  # Debian's python3-grpcio, wanted by the tests that call this only

    def read(name):
        with open(os.path.join(certs, name), "rb") as file:
            return file.read()

    return grpc.secure_channel(endpoint, grpc.ssl_channel_credentials(
        root_certificates=read("ca.crt"), private_key=read("tls.key"),
        certificate_chain=read("tls.crt")))
