"""Another tenant's objects do not exist: every method, every field that carries a name.

A client with every right in its own tenant gives names of another tenant's objects, and then names
of the same length that are nowhere. Code, message, details and replies must be the same to the
byte, but for the name that the caller itself gave. Methods and fields come from reflection: one
that the tables do not know fails the test.
"""

import copy
import json
import re
import socket
import string
import threading
import time

import pytest
from google.protobuf import json_format

from support import proc
from support.reflected import Client, Schema, reason
from support.state import open_state

SERVICES = ["holdfast.backup.v1.BackupService", "holdfast.jobs.v1.JobService"]

# Names by their parts; a part is one's own, theirs, or nowhere.
TENANT = "tenants/{T}"
CLUSTER = TENANT + "/clusters/{C}"
BACKUP = CLUSTER + "/backups/{B}"
RESTORE = CLUSTER + "/restores/{R}"
JOB = TENANT + "/jobs/{J}"
PREFIX = TENANT + "/sources/{S}/"
OBJECT = PREFIX + "{O}"
CLIMB = "tenants/{own[T]}/sources/{own[S]}/../{S}/{O}"

# Every method with a request that is right in the caller's own tenant.
ROWS = {
    "BackupService/CreateCluster": {"parent": TENANT, "cluster_id": "another",
                                    "cluster": {"dsn": "{own[DSN]}"}, "validate_only": True},
    "BackupService/GetCluster": {"name": CLUSTER},
    "BackupService/ListClusters": {"parent": TENANT},
    "BackupService/UpdateCluster": {"name": CLUSTER, "cluster": {"dsn": "{own[DSN]}"},
                                    "validate_only": True},
    "BackupService/DeleteCluster": {"name": CLUSTER, "validate_only": True},
    "BackupService/GetWalStatus": {"name": CLUSTER},
    "BackupService/CreateBackup": {"parent": CLUSTER, "validate_only": True},
    "BackupService/GetBackup": {"name": BACKUP},
    "BackupService/ListBackups": {"parent": CLUSTER},
    "BackupService/DeleteBackup": {"name": BACKUP, "validate_only": True},
    "BackupService/VerifyBackup": {"name": BACKUP, "validate_only": True},
    "BackupService/CreateRestore": {"parent": CLUSTER, "validate_only": True},
    "BackupService/GetRestore": {"name": RESTORE},
    "BackupService/ListRestores": {"parent": CLUSTER},
    "BackupService/DeleteRestore": {"name": RESTORE},
    "BackupService/ReportRestore": {"name": RESTORE, "restore": {"state": "RUNNING"}},
    "BackupService/ListVaultObjects": {"parent": CLUSTER, "prefix": PREFIX + "packs/"},
    "BackupService/ReadVaultObject": {"parent": CLUSTER, "object": OBJECT},
    "BackupService/PushWal": {"parent": CLUSTER, "file": "000000010000000000000001",
                              "segment_bytes": 16777216, "system_identifier": "{SYS}"},
    "BackupService/RebuildCatalog": {"parent": TENANT},
    "JobService/GetJob": {"name": JOB},
    "JobService/ListJobs": {"parent": TENANT},
    "JobService/WatchJob": {"name": JOB},
    "JobService/CancelJob": {"name": JOB},
    "JobService/RetryJob": {"name": JOB},
}

# What a field carries, by its whole path, by its last part, or for `name` by its message.
FIELDS = {
    "cluster_id": ["{C}"], "request_id": ["{Q}"], "page_token": ["{P}"],
    "object": [OBJECT, CLIMB], "prefix": [PREFIX, PREFIX + "packs/", CLIMB],
    "after": [OBJECT, PREFIX], "filter": ['state = "{B}"', 'target = "' + BACKUP + '"'],
    "system_identifier": ["{SYS}"], "slot": ["{SLOT}"], "job": [JOB], "backup": [BACKUP, "{B}"],
    "newest_backup": [BACKUP], "predecessor": ["{B}"], "target": [BACKUP, "{B}"],
}
MESSAGES = {"Cluster": [CLUSTER], "WalStatus": [CLUSTER], "Backup": [BACKUP], "Restore": [RESTORE]}
NOT_NAMES = {"dsn", "password", "ca_pem", "cert_pem", "key_pem", "connection_problem", "damage", "paths",
             "error_reason",
             "etag", "lineage", "file", "warnings", "findings", "fix", "error", "code",
             "message", "reason", "phase", "application_name", "directory", "durable_lsn",
             "source_lsn", "from_lsn", "to_lsn", "start_lsn", "stop_lsn", "resolved_lsn"}
# What differs between two replies to the same request: made ids and moments.
MADE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"
                  r"|[br]\d{8}t\d{6}-[0-9a-f]{6}|\d{4}-\d\d-\d\dT[\d:.]+Z|_[0-9a-f]{6}\b"
                  r'|"sizeBytes": "\d+"')


def identity(house, name, role="installation-admin"):
    """A client of the tenant rivals: the folder of its certificate."""
    return house.certs(name, "--tenant", "rivals", "--role", role)


class World:
    """Two tenants on one installation, and names of what is nowhere."""

    def __init__(self, house, start_server):
        self.house = house
        # There is no command for it.
        self.state = open_state(house)
        self.state.psql("insert into platform.tenants (id, name) values (gen_random_uuid(), 'rivals')")
        self.schema = Schema(house.endpoint(), house.certs("owner"), SERVICES)
        self.clients = []
        self.owner = self.client(house.certs("owner"))
        self.rival = self.client(identity(house, "rival"))
        server = start_server()
        self.theirs = self.populate(self.owner, "default", "orders", server)
        self.owner("BackupService/ReportRestore", {
            "name": RESTORE.format(**self.theirs), "restore": {"state": "SUCCEEDED"}}).reply
        # Of another version because servers of one template have one system identifier.
        self.own = self.populate(self.rival, "rivals", "stock", start_server(version=17))
        self.state.psql("insert into backup.requests (tenant_id, method, request_id, request_hash, "
                        f"response) select t.id, m, '{self.theirs['Q']}', sha256('theirs'), '' "
                        "from platform.tenants t, unnest(string_to_array('"
                        f"{','.join(name.split('/')[1] for name in ROWS)}', ',')) m "
                        "where t.name = 'default'")
        self.nowhere = {
            "T": "nowhere", "C": "qqzzxx", "B": "b19990101t000000-000000",
            "R": "r19990101t000000-000000", "J": "00000000-0000-7000-8000-00000000dead",
            "S": "00000000-0000-7000-8000-00000000beef", "O": self.theirs["O"],
            "Q": "request-of-nobody",
            "SYS": "1" * len(self.theirs["SYS"]), "SLOT": "holdfast_qqzzxx_000000", "P": ""}
        self.before = self.everything_of_theirs()

    def client(self, certs):
        self.clients.append(Client(self.schema, self.house.endpoint(), certs))
        return self.clients[-1]

    def populate(self, client, tenant, cluster, server):
        """One cluster with a backup, a restore and their jobs: the parts of their names."""
        parent = f"tenants/{tenant}/clusters/{cluster}"
        made = client("BackupService/CreateCluster", {
            "parent": f"tenants/{tenant}", "cluster_id": cluster,
            "cluster": {"dsn": server.dsn()}}).reply
        job = client("BackupService/CreateBackup", {"parent": parent}).reply
        end = client("JobService/WatchJob", {"name": job.name}, timeout=120).replies[-1].job
        assert json_format.MessageToDict(end)["state"] == "SUCCEEDED", end
        restore = client("BackupService/CreateRestore", {"parent": parent}).reply
        vault = client("BackupService/ListVaultObjects", {"parent": parent}).reply
        tail = next(item.name[len(vault.source_prefix) + 1:] for item in vault.objects
                    if "/packs/" in item.name)
        return {"T": tenant, "C": cluster, "B": job.target.split("/")[-1],
                "R": restore.name.split("/")[-1], "J": job.name.split("/")[-1],
                "S": vault.source_prefix.split("/")[-1], "O": tail, "SYS": made.system_identifier,
                "SLOT": made.slot, "DSN": server.dsn(), "Q": f"request-of-{cluster}"}

    def everything_of_theirs(self):
        """Their resources, without what their WAL stream changes."""
        found = []
        for method, parent, name in (("BackupService/ListClusters", TENANT, "clusters"),
                                     ("BackupService/ListBackups", CLUSTER, "backups"),
                                     ("BackupService/ListRestores", CLUSTER, "restores"),
                                     ("JobService/ListJobs", TENANT, "jobs")):
            reply = self.owner(method, {"parent": parent.format(**self.theirs)}).reply
            for item in getattr(reply, name):
                item = json_format.MessageToDict(item)
                item.pop("wal", None)
                item.pop("state") if name == "clusters" else None
                found.append(item)
        assert len(found) >= 5
        return found

    def fresh_restore(self):
        """The caller's own restore, whose reports do not come in time otherwise."""
        made = self.rival("BackupService/CreateRestore",
                          {"parent": CLUSTER.format(**self.own)}).reply
        self.own["R"] = made.name.split("/")[-1]

    def token_of(self, method):
        """A page token that they got; "" where the method has none."""
        fields = self.schema.methods[method].input_type.fields_by_name
        if "page_token" not in fields:
            return ""
        request = filled(ROWS[method], self.theirs, self.theirs)
        return self.owner(method, {**request, "page_size": 1}).reply.next_page_token


@pytest.fixture(scope="module")
def world(house, start_server):
    made = World(house, start_server)
    yield made
    for client in made.clients:
        client.close()


def filled(request, parts, own):
    """A request with the parts of its names put in."""
    if isinstance(request, dict):
        return {key: filled(value, parts, own) for key, value in request.items()}
    return request.format(**parts, own=own) if isinstance(request, str) else request


def with_value(request, path, value):
    request = copy.deepcopy(request)
    at = request
    *outer, last = path.split(".")
    for name in outer:
        at = at.setdefault(name, {})
    at[last] = value
    return request


def text_fields(descriptor, path=""):
    """(path, message, field) of every text that a request can hold."""
    for field in descriptor.fields:
        here = f"{path}{field.name}"
        if field.message_type is not None:
            yield from text_fields(field.message_type, f"{here}.")
        elif field.type == field.TYPE_STRING:
            yield here, descriptor.name, field.name


def templates_of(method, path, message, name):
    """What an attacker puts into a field; None: the tables do not know it."""
    own = ROWS[method].get(path)
    if own is not None and path in ("name", "parent"):
        return [own]
    if name == "name" and message in MESSAGES:
        return MESSAGES[message]
    return [] if name in NOT_NAMES else FIELDS.get(name)


def variants(template):
    """(parts that are not the caller's own, parts of them that are nowhere in both requests): all,
    all but the tenant, …, the last; and a tenant that is theirs with nothing of theirs in it."""
    keys = [name for _, name, _, _ in string.Formatter().parse(template)
            if name and not name.startswith("own")]
    yield from ((keys[at:], []) for at in range(len(keys)))
    if len(keys) > 1:
        yield keys, keys[1:]


def told_apart(client, method, requests, pairs):
    """What both requests got when that is not the same, else None."""
    answers = [client(method, request) for request in requests]
    same = normal(answers[0], pairs) == normal(answers[1], pairs)
    return None if same else (requests, answers)


def normal(answer, pairs):
    """An answer with the parts that the caller gave replaced; to the byte when it is an error."""
    if answer.code != "OK":
        return replaced(answer.bytes(), pairs)
    replies = [json_format.MessageToDict(reply) for reply in answer.replies]
    for reply in replies:
        reply.pop("wal", None)  # the caller's own stream, which flows on
    text = json.dumps(replies, sort_keys=True)
    return MADE.sub("made", replaced(text.encode(), pairs).decode()).encode()


def replaced(data, pairs):
    for theirs, nowhere in pairs:
        data = data.replace(theirs.encode(), nowhere.encode())
    return data


def attacks(world, method):
    """(request with theirs, request with what is nowhere, pairs of parts) of a method."""
    token = world.token_of(method)
    theirs = {**world.theirs, "P": token}
    nowhere = {**world.nowhere, "P": "0" * len(token)}
    base = filled(ROWS[method], world.own, world.own)
    for path, message, name in text_fields(world.schema.methods[method].input_type):
        templates = templates_of(method, path, message, name)
        assert templates is not None, f"{method}: no table knows what {path} carries"
        for template in templates:
            for foreign, gone in variants(template):
                one = {key: (nowhere if key in gone else theirs)[key] for key in foreign}
                other = {key: nowhere[key] for key in foreign}
                requests = [with_value(base, path, template.format(
                    **{**world.own, **parts}, own=world.own)) for parts in (one, other)]
                yield requests, pairs_of(one, other)


def pairs_of(one, other):
    pairs = [(one[key], other[key]) for key in one if one[key] != other.get(key, one[key])]
    for name, nothing in pairs:
        assert len(name) == len(nothing), "lengths are part of the bytes"
    return pairs


def test_methods__are_all_in_the_table(world):
    assert set(ROWS) == set(world.schema.methods)


@pytest.mark.parametrize("method", sorted(ROWS))
def test_tenant__names_of_theirs_are_names_of_nothing(world, method):
    if method == "BackupService/ReportRestore":
        world.fresh_restore()
    made = list(attacks(world, method))
    assert made
    for requests, pairs in made:
        assert told_apart(world.rival, method, requests, pairs) is None


READING = [method for method in sorted(ROWS)
           if method.split("/")[1].startswith(("Get", "List", "Watch", "Read"))]


@pytest.mark.parametrize("method", READING)
def test_tenant__the_same_names_are_good_for_their_owner(world, method):
    answer = world.owner(method, filled(ROWS[method], world.theirs, world.theirs))
    assert answer.code == "OK" and answer.replies, answer


@pytest.mark.parametrize("method", READING)
def test_tenant__the_callers_own_names_are_good(world, method):
    answer = world.rival(method, filled(ROWS[method], world.own, world.own))
    assert answer.code == "OK" and answer.replies, answer


def test_cluster_name__may_be_the_same_in_two_tenants(world):
    answer = world.rival("BackupService/CreateCluster", {
        "parent": "tenants/rivals", "cluster_id": world.theirs["C"],
        "cluster": {"dsn": world.theirs["DSN"]}})
    assert answer.reply.name == f"tenants/rivals/clusters/{world.theirs['C']}"
    assert not world.rival("BackupService/DeleteCluster",
                           {"name": answer.reply.name}).reply.slots_left


def test_slow_sources__of_one_tenant_hold_up_nobody_else(world):
    """The server has eight threads for calls; each of ten would hold one for ten seconds."""
    ended = []
    leaving = {"name": "tenants/default/clusters/leaving"}
    world.owner("BackupService/CreateCluster", {
        "parent": "tenants/default", "cluster_id": "leaving",
        "cluster": {"dsn": world.theirs["DSN"]}}).reply

    def register(number, dsn):
        ended.append(world.owner("BackupService/CreateCluster", {
            "parent": "tenants/default", "cluster_id": f"slow-{number}", "cluster": {"dsn": dsn},
            "validate_only": True}))

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        dsn = f"host=127.0.0.1 port={silent.getsockname()[1]} user=x"
        threads = [threading.Thread(target=register, args=(number, dsn)) for number in range(10)]
        for thread in threads:
            thread.start()
        proc.wait_until(lambda: len(ended) >= 8, what="all but two refused", timeout=9)
        assert {(answer.code, reason(answer)) for answer in ended} == {
            ("RESOURCE_EXHAUSTED", "SOURCES_BUSY")}
        began = time.monotonic()
        assert world.rival("BackupService/ListClusters", {"parent": "tenants/rivals"}).code == "OK"
        assert world.owner("BackupService/ListClusters", {"parent": "tenants/default"}).code == "OK"
        assert time.monotonic() - began < 2
        test_cluster_name__may_be_the_same_in_two_tenants(world)  # there is a place for the other
        left = world.owner("BackupService/DeleteCluster", leaving).reply.slots_left
        assert len(left) == 1 and "talks to other sources" in left[0]
        assert world.owner("BackupService/GetCluster", leaving).code == "NOT_FOUND"
        assert sum(thread.is_alive() for thread in threads) == 2
        for thread in threads:
            thread.join()
    assert sorted(reason(answer) for answer in ended)[:2] == ["HOST_UNREACHABLE"] * 2


# Who has no right there does not learn whether the tenant exists.
@pytest.fixture(scope="module")
def outsiders(world):
    """By name: a client, and the code and reason that it gets for every tenant but its own."""
    house = world.house
    certs = {name: identity(house, name, role) for name, role in
             (("viewer", "viewer"), ("stranger", "admin"), ("banned", "admin"))}
    world.state.psql("delete from platform.identities where name = 'stranger'")
    world.state.psql("update platform.identities set is_denied = true where name = 'banned'")
    return {"viewer": (world.client(certs["viewer"]), "NOT_FOUND", "TENANT_NOT_FOUND"),
            "banned": (world.client(certs["banned"]), "NOT_FOUND", "TENANT_NOT_FOUND"),
            "stranger": (world.client(certs["stranger"]), "PERMISSION_DENIED",
                         "IDENTITY_UNKNOWN")}


@pytest.mark.parametrize("who", ["viewer", "banned", "stranger"])
def test_outsider__learns_of_no_tenant(world, outsiders, who):
    client, code, why = outsiders[who]
    for method, row in ROWS.items():
        parts = {**world.own, **world.theirs}
        nowhere = {**parts, **world.nowhere}
        requests = [filled(row, values, world.own) for values in (parts, nowhere)]
        assert told_apart(client, method, requests, pairs_of(world.theirs, world.nowhere)) is None
        answer = client(method, requests[0])
        assert (answer.code, reason(answer)) == (code, why), method


def test_outsider__may_not_change_what_it_may_see(world, outsiders):
    viewer = outsiders["viewer"][0]
    assert viewer("BackupService/GetCluster", {"name": CLUSTER.format(**world.own)}).code == "OK"
    answer = viewer("BackupService/CreateBackup", {"parent": CLUSTER.format(**world.own)})
    assert (answer.code, reason(answer)) == ("PERMISSION_DENIED", "PERMISSION_MISSING")
    answer = outsiders["banned"][0]("BackupService/ListClusters", {"parent": "tenants/rivals"})
    assert (answer.code, reason(answer)) == ("PERMISSION_DENIED", "IDENTITY_DENIED")


def test_tenant__nothing_of_theirs_has_changed(world):
    assert world.everything_of_theirs() == world.before
