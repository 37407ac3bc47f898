"""Conventions of the API that hold for every method: pages, request ids, short transactions.

What has a page token or a request id is found by reflection: a method that a table here does not
know fails the test.
"""

import collections
import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from support import proc
from support.reflected import Client, Schema, reason
from support.session import Session
from support.state import open_state

SERVICES = ["holdfast.backup.v1.BackupService", "holdfast.jobs.v1.JobService"]
TENANT = "tenants/default"
ORDERS = f"{TENANT}/clusters/orders"
# Mutations that are repeatable by what they say.
REPEATABLE = {"BackupService/DeleteRestore", "BackupService/ReportRestore",
              "BackupService/PushWal", "JobService/CancelJob"}
READING = ("Get", "List", "Watch", "Read")
CLUSTERS_MAX = 600  # of all tenants, as the operator of this file's installation wants it
INTERLEAVINGS, LONGEST = 60, 0.35  # of a change and a deletion; seconds between their beginnings


@pytest.fixture(scope="module")
def call(house, source):
    """A client that knows the service by reflection; two backups and two restores of orders."""
    with open(house.path("overrides.yaml"), "w", encoding="utf-8") as file:
        file.write(f"clusters_max: {CLUSTERS_MAX}\n")
    proc.end(house.pids["backup"])  # the supervisor starts another one, which reads it
    house.up()
    house.add_cluster("orders", source)
    source.backups = [house.backup("orders")["name"] for _ in range(2)]
    endpoint, certs = house.endpoint(), house.certs()
    client = Client(Schema(endpoint, certs, SERVICES), endpoint, certs)
    for _ in range(2):
        client("BackupService/CreateRestore", {"parent": ORDERS}).reply
    client("BackupService/CreateCluster", {
        "parent": TENANT, "clusterId": "second", "cluster": {"dsn": source.dsn()}}).reply
    yield client
    client.close()


def with_field(call, name):
    return {method for method, descriptor in call.schema.methods.items()
            if name in descriptor.input_type.fields_by_name}


# Pages: method, its request, field of the reply, requests that a token does not fit.
LISTS = {
    "BackupService/ListClusters": ({"parent": TENANT}, "clusters", []),
    "BackupService/ListBackups": ({"parent": ORDERS}, "backups", [
        {"parent": f"{TENANT}/clusters/-"}, {"parent": ORDERS, "filter": 'state = "SUCCEEDED"'}]),
    "BackupService/ListRestores": ({"parent": ORDERS}, "restores",
                                   [{"parent": f"{TENANT}/clusters/-"}]),
    "JobService/ListJobs": ({"parent": TENANT}, "jobs",
                            [{"parent": TENANT, "filter": 'kind = "backup"'}]),
}


def test_lists__are_all_known_here(call):
    assert set(LISTS) == with_field(call, "page_token")


@pytest.mark.parametrize("method", sorted(LISTS))
def test_pages__one_by_one_are_the_whole_list(call, method):
    request, name, _ = LISTS[method]
    whole = [item.name for item in getattr(call(method, request).reply, name)]
    pages, token = [], ""
    while len(pages) <= len(whole):
        page = call(method, {**request, "pageSize": 1, "pageToken": token}).reply
        pages += [item.name for item in getattr(page, name)]
        token = page.next_page_token
        if not token:
            break
    assert pages == whole and len(whole) >= 2
    assert len(getattr(call(method, {**request, "pageSize": 1 << 30}).reply, name)) == len(whole)


@pytest.mark.parametrize("method", sorted(LISTS))
def test_pages__negative_size_is_refused(call, method):
    answer = call(method, {**LISTS[method][0], "pageSize": -1})
    assert (answer.code, reason(answer)) == ("INVALID_ARGUMENT", "INVALID_PAGE_SIZE")


@pytest.mark.parametrize("method", sorted(LISTS))
def test_pages__forged_token_is_refused(call, method):
    request, name, _ = LISTS[method]
    page = call(method, {**request, "pageSize": 1}).reply
    last = getattr(page, name)[0].name.split("/")[-1]
    real = page.next_page_token
    assert last not in real
    for token in [last, "orders", "00" * 60, real[:-2] + ("00" if real[-2:] != "00" else "01")]:
        answer = call(method, {**request, "pageToken": token})
        assert (answer.code, reason(answer)) == ("INVALID_ARGUMENT", "INVALID_PAGE_TOKEN"), token


@pytest.mark.parametrize("method", sorted(LISTS))
def test_pages__token_belongs_to_its_list(call, method):
    request, _, others = LISTS[method]
    token = call(method, {**request, "pageSize": 1}).reply.next_page_token
    foreign = [(other, LISTS[other][0]) for other in LISTS if other != method]
    for other, fields in [(method, fields) for fields in others] + foreign:
        answer = call(other, {**fields, "pageToken": token})
        assert (answer.code, reason(answer)) == ("INVALID_ARGUMENT", "INVALID_PAGE_TOKEN"), other


def test_lists__unknown_cluster_is_an_error(call):
    for method in ("BackupService/ListBackups", "BackupService/ListRestores"):
        answer = call(method, {"parent": f"{TENANT}/clusters/nobody"})
        assert (answer.code, reason(answer)) == ("NOT_FOUND", "CLUSTER_NOT_FOUND")


# Request ids.
@contextlib.contextmanager
def no_checkpoint(source):
    """A backup that begins now waits for its checkpoint until this ends."""
    pid = int(source.psql("select pid from pg_stat_activity where backend_type = 'checkpointer'"))
    proc.send(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        proc.send(pid, signal.SIGCONT)


@pytest.fixture
def cancelled_jobs(call, source):
    """Two jobs that can be retried: backups that were cancelled while they waited."""
    names = []
    with no_checkpoint(source):
        for _ in range(2):
            job = call("BackupService/CreateBackup", {"parent": ORDERS}).reply
            call("JobService/CancelJob", {"name": job.name}).reply
            assert wait_for_end(call, job.name) == "CANCELLED"
            names.append(job.name)
    return names


def wait_for_end(call, job):
    ended = call("JobService/WatchJob", {"name": job}).replies[-1].job
    return ended.DESCRIPTOR.enum_types_by_name["State"].values_by_number[ended.state].name


def repeated(call, method, request, other):
    """The request twice gives one reply; another one under its id is refused. The reply."""
    first = call(method, {**request, "requestId": f"{method}-1"})
    assert first.code == "OK", f"{method}: {first.code} {first.message}"
    again = call(method, {**request, "requestId": f"{method}-1"})
    assert again.bytes() == first.bytes(), method
    if other:
        reused = call(method, {**other, "requestId": f"{method}-1"})
        assert (reused.code, reason(reused)) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED"), method
    long = call(method, {**request, "requestId": "x" * 129})
    assert (long.code, reason(long)) == ("INVALID_ARGUMENT", "REQUEST_ID_TOO_LONG"), method
    return first.reply


def slots(source):
    return int(source.psql("select count(*) from pg_replication_slots"))


def test_request_id__repeats_the_reply_of_every_mutation(call, source, cancelled_jobs):
    jobs = len(call("JobService/ListJobs", {"parent": TENANT}).reply.jobs)
    known = set()

    def repeat(method, request, other):
        known.add(method)
        return repeated(call, method, request, other)

    cluster = {"parent": TENANT, "clusterId": "twice", "cluster": {"dsn": source.dsn()}}
    repeat("BackupService/CreateCluster", cluster, {**cluster, "clusterId": "thrice"})
    proc.wait_until(lambda: slots(source) == 3, what="slots of orders, second and twice")
    same = {"name": f"{TENANT}/clusters/twice", "cluster": {"dsn": source.dsn()}}
    repeat("BackupService/UpdateCluster", {**same, "updateMask": "dsn"},
           {**same, "updateMask": "dsn,caPem"})
    proc.wait_until(lambda: slots(source) == 3, what="slots of all three")
    repeat("BackupService/DeleteCluster", {"name": f"{TENANT}/clusters/twice"},
           {"name": f"{TENANT}/clusters/second"})
    assert slots(source) == 2
    retried = repeat("JobService/RetryJob", {"name": cancelled_jobs[0]},
                     {"name": cancelled_jobs[1]})
    assert wait_for_end(call, retried.name) == "SUCCEEDED"
    made = repeat("BackupService/CreateBackup", {"parent": ORDERS, "backup": {}},
                  {"parent": ORDERS, "backup": {"checkpoint": "SPREAD"}})
    assert wait_for_end(call, made.name) == "SUCCEEDED"
    assert wait_for_end(call, repeat(
        "BackupService/VerifyBackup", {"name": source.backups[0]},
        {"name": source.backups[1]}).name) == "SUCCEEDED"
    repeat("BackupService/CreateRestore", {"parent": ORDERS},
           {"parent": ORDERS, "restore": {"target": "immediate"}})
    repeat("BackupService/DeleteBackup", {"name": source.backups[0]}, {"name": source.backups[1]})
    assert call("BackupService/GetBackup", {"name": source.backups[0]}).code == "NOT_FOUND"
    assert call("BackupService/GetBackup", {"name": source.backups[1]}).code == "OK"
    repeat("BackupService/RebuildCatalog", {"parent": TENANT},
           {"parent": TENANT, "acceptRollback": True})
    assert known == with_field(call, "request_id")
    # One job each: backup, verification, restore, rebuild; the retried one was there.
    assert len(call("JobService/ListJobs", {"parent": TENANT}).reply.jobs) == jobs + 4


def test_request_id__is_there_wherever_a_repeat_would_do_more(call):
    without = {name for name in call.schema.methods
               if not name.split("/")[1].startswith(READING)} - with_field(call, "request_id")
    assert without == REPEATABLE


def test_report_restore__of_another_clusters_backup_is_refused(call):
    backup = "b20261123t120000-000000"
    made = call("BackupService/CreateRestore", {"parent": ORDERS}).reply.name

    def report(text):
        return call("BackupService/ReportRestore", {
            "name": made, "restore": {"state": "RUNNING", "backup": text}})

    for text in (f"{TENANT}/clusters/second/backups/{backup}",
                 f"tenants/rivals/clusters/orders/backups/{backup}"):
        answer = report(text)
        assert (answer.code, reason(answer)) == ("INVALID_ARGUMENT", "FOREIGN_BACKUP"), text
    for text in ("no backup", ORDERS, f"{ORDERS}/restores/{backup}"):
        answer = report(text)
        assert (answer.code, reason(answer)) == ("INVALID_ARGUMENT", "INVALID_NAME"), text
    assert call("BackupService/GetRestore", {"name": made}).reply.backup == ""
    for text in (backup, f"{ORDERS}/backups/{backup}"):
        assert report(text).reply.backup == f"{ORDERS}/backups/{backup}"


def test_delete_cluster__repeat_names_the_slot_that_was_left(call, source):
    dead = proc.free_port()
    dsn = (f"host={source.folder},127.0.0.1 port={source.port},{dead} user=holdfast "
           "dbname=postgres")
    call("BackupService/CreateCluster", {"parent": TENANT, "clusterId": "two-hosts",
                                         "cluster": {"dsn": dsn}}).reply
    request = {"name": f"{TENANT}/clusters/two-hosts", "requestId": "leaves-one"}
    first = call("BackupService/DeleteCluster", request)
    left = list(first.reply.slots_left)
    assert len(left) == 1 and f"127.0.0.1:{dead}" in left[0] and "not dropped yet" not in left[0]
    assert call("BackupService/DeleteCluster", request).bytes() == first.bytes()


# Two at once.
@pytest.fixture(scope="module")
def house(house):
    house.state = open_state(house)
    return house


def state_sql(house, sql):
    return house.state.psql(sql).split()


@contextlib.contextmanager
def calling(call, method, request):
    """A call in a thread; its answer in the list."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(call(method, request)), daemon=True)
    thread.start()
    yield thread, answers
    thread.join(60)
    assert not thread.is_alive()


LOCK = "select 1 from backup.clusters where name = 'orders' and delete_time is null for update"


def waiting(house):
    """How many of the service's statements wait for a lock."""
    return len(state_sql(house, "select pid from pg_stat_activity where wait_event_type = 'Lock' "
                                "and application_name = 'holdfast-backup'"))


def at_once(*calls):
    """The answers of calls made at the same time."""
    barrier, answers = threading.Barrier(len(calls)), [None] * len(calls)

    def run(place, make):
        barrier.wait(30)
        answers[place] = make()

    threads = [threading.Thread(target=run, args=(place, make), daemon=True)
               for place, make in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    return answers


CREATE = "BackupService/CreateCluster"


def new(source, name, request_id):
    return {"parent": TENANT, "clusterId": name, "cluster": {"dsn": source.dsn()},
            "requestId": request_id}


def create(call, source, name, request_id):
    return lambda: call(CREATE, new(source, name, request_id))


def clusters(call):
    return [item.name.split("/")[-1] for item in
            call("BackupService/ListClusters", {"parent": TENANT}).reply.clusters]


def remove(call, name):
    assert not call("BackupService/DeleteCluster",
                    {"name": f"{TENANT}/clusters/{name}"}).reply.slots_left


def test_create_cluster__one_of_two_with_the_same_name_wins(call, source):
    before = slots(source)
    answers = at_once(create(call, source, "racing", "r1"), create(call, source, "racing", "r2"))
    assert sorted(answer.code for answer in answers) == ["ALREADY_EXISTS", "OK"]
    assert [reason(answer) for answer in answers if answer.code != "OK"] == ["CLUSTER_EXISTS"]
    assert clusters(call).count("racing") == 1
    proc.wait_until(lambda: slots(source) == before + 1, what="the slot of the winner")
    remove(call, "racing")
    assert slots(source) == before


# Reason of the refusal: whose clusters take the places, how many there are, whose are counted.
LIMITS = {"CLUSTER_LIMIT": ("default", 500, "t.name = 'default'"),
          "CLUSTER_LIMIT_OF_ALL": ("crowd", CLUSTERS_MAX, "true")}


@pytest.mark.parametrize("why", LIMITS)
def test_create_cluster__one_of_two_gets_the_last_place(call, house, source, why):
    """Both are held at the table that they are to write, when they have counted unless they wait."""
    tenant, most, counted = LIMITS[why]
    before = slots(source)
    state_sql(house, "insert into platform.tenants (id, name) values (gen_random_uuid(), 'crowd')"
                     " on conflict do nothing")
    state_sql(house, "insert into backup.clusters (tenant_id, id, name, dsn, system_identifier,"
                     " server_version, segment_bytes, lineage, slot)"
                     " select id, gen_random_uuid(), 'many-' || n, '', '1', 150000, 16777216, 'l1',"
                     " 'many' from platform.tenants, generate_series(2 + (select count(*)"
                     " from backup.clusters c join platform.tenants t on t.id = c.tenant_id"
                     f" where c.delete_time is null and c.slot <> '' and {counted}), {most}) n"
                     f" where name = '{tenant}'")
    with Session(house.state) as session:
        session.run("begin")
        session.run("lock table backup.clusters in share row exclusive mode")
        with calling(call, CREATE, new(source, "last", f"{why}-1")) as (_, first), \
                calling(call, CREATE, new(source, "too-many", f"{why}-2")) as (_, second):
            proc.wait_until(lambda: waiting(house) >= 2, what="both at the table")
            session.run("rollback")
    state_sql(house, "delete from backup.clusters where name like 'many-%'")
    won, lost = sorted(first + second, key=lambda answer: answer.code)
    assert (won.code, lost.code, reason(lost)) == ("OK", "RESOURCE_EXHAUSTED", why)
    assert "remove one" in lost.message and f" {most} clusters" in lost.message
    proc.wait_until(lambda: slots(source) == before + 1, what="the slot of the winner")
    remove(call, won.reply.name.split("/")[-1])
    create(call, source, "enough", f"{why}-3")().reply
    remove(call, "enough")


def test_create_cluster__two_with_the_same_request_id_are_one(call, source):
    before = slots(source)
    answers = at_once(create(call, source, "twins", "t1"), create(call, source, "twins", "t1"))
    assert [answer.code for answer in answers] == ["OK", "OK"]
    assert answers[0].bytes() == answers[1].bytes()
    proc.wait_until(lambda: slots(source) == before + 1, what="one slot")
    remove(call, "twins")
    assert slots(source) == before


UPDATE = "BackupService/UpdateCluster"
DELETE = "BackupService/DeleteCluster"


def change(source, name, **more):
    return {"name": f"{TENANT}/clusters/{name}", "updateMask": "dsn",
            "cluster": {"dsn": source.dsn()}, **more}


def etag(call, name):
    return call("BackupService/GetCluster", {"name": f"{TENANT}/clusters/{name}"}).reply.etag


@pytest.mark.parametrize("is_given", [False, True])
def test_update_cluster__one_of_two_that_read_the_same_row_wins(call, house, source, is_given):
    """Both are held at the row that they are about to write, an etag given or not."""
    read = etag(call, "second")
    more = {"etag": read} if is_given else {}
    with Session(house.state) as session:
        session.run("begin")
        session.run(LOCK.replace("'orders'", "'second'"))
        with calling(call, UPDATE, change(source, "second", **more)) as (_, first), \
                calling(call, UPDATE, change(source, "second", **more)) as (_, second):
            proc.wait_until(lambda: waiting(house) >= 2, what="both at the row")
            session.run("rollback")
    answers = sorted(first + second, key=lambda answer: answer.code)
    assert [answer.code for answer in answers] == ["ABORTED", "OK"]
    assert reason(answers[0]) == "CLUSTER_CHANGED"
    assert answers[1].reply.etag == etag(call, "second") != read
    late = call(UPDATE, change(source, "second", etag=read))
    assert (late.code, reason(late)) == ("ABORTED", "ETAG_MISMATCH")


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def streams(house, source, name):
    """Threads of receivers, and walsenders of one cluster."""
    pid, found = house.pids["backup"], 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/comm",
                                                encoding="ascii") as file:
            found += file.read().startswith(("wal-receiver", "wal-clerk"))
    return found, int(source.psql("select count(*) from pg_stat_replication where "
                                  f"application_name = 'holdfast_{name}'"))


def patiently(call, method, request):
    """Of one tenant two calls at a time talk to sources."""
    return proc.wait_until(lambda: (answer := call(method, request)) and
                           reason(answer) != "SOURCES_BUSY" and answer, what=method)


@pytest.fixture
def slow_files(house):
    """Each file that the service opens takes a while: what lies between two looks becomes wide."""
    pid = house.note_processes()["backup"]
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=openat", "-e",
                               "inject=openat:delay_enter=8000", "-p", str(pid)])
    proc.wait_until(lambda: status_of(pid)["TracerPid"] != "0", what="strace")
    yield
    tracer.terminate()
    tracer.wait(30)


def test_update_cluster__of_one_that_is_deleted_meanwhile_leaves_nothing(call, house, source,
                                                                         slow_files):
    """The deletion begins earlier and later in the change, over more than its whole length."""
    before, taken = slots(source), collections.Counter()
    threads, _ = streams(house, source, "brief")
    for step in range(INTERLEAVINGS):
        made = create(call, source, "brief", f"brief-{step}")()
        assert made.code == "OK", f"{made.code}: {made.message}"

        def remove_later(pause=LONGEST * step / INTERLEAVINGS):
            time.sleep(pause)
            return patiently(call, DELETE, {"name": f"{TENANT}/clusters/brief"})

        changed, deleted = at_once(lambda: patiently(call, UPDATE, change(source, "brief")),
                                   remove_later)
        taken[changed.code] += 1
        assert deleted.code == "OK" and not deleted.reply.slots_left, (step, deleted)
        assert changed.code in ("OK", "ABORTED", "NOT_FOUND"), (step, changed.code, changed.message)
        assert slots(source) == before, f"step {step}: a slot is left"
    assert len(taken) >= 2, f"one order only: {taken}"
    proc.wait_until(lambda: streams(house, source, "brief") == (threads, 0), what="no thread is left")
    time.sleep(1)  # what would be started late
    assert slots(source) == before and streams(house, source, "brief") == (threads, 0)
    assert "brief" not in clusters(call)
    assert state_sql(house, "select count(*) from backup.clusters where name = 'brief' and "
                            "delete_time is null") == ["0"]


def test_create_backup__one_of_two_is_admitted(call, house):
    """Both are held at the cluster's row, where both have seen no other backup."""
    with Session(house.state) as session:
        session.run("begin")
        session.run(LOCK)
        with calling(call, "BackupService/CreateBackup", {"parent": ORDERS}) as (_, first), \
                calling(call, "BackupService/CreateBackup", {"parent": ORDERS}) as (_, second):
            proc.wait_until(lambda: waiting(house) >= 2, what="both at the row")
            session.run("rollback")
    answers = sorted(first + second, key=lambda answer: answer.code)
    assert [answer.code for answer in answers] == ["FAILED_PRECONDITION", "OK"]
    assert reason(answers[0]) == "BACKUP_ALREADY_RUNNING"
    assert wait_for_end(call, answers[1].reply.name) == "SUCCEEDED"


def test_retry_job__is_admitted_as_a_new_backup_is(call, source, cancelled_jobs):
    with no_checkpoint(source):
        running = call("BackupService/CreateBackup", {"parent": ORDERS}).reply
        answer = call("JobService/RetryJob", {"name": cancelled_jobs[0]})
        assert (answer.code, reason(answer)) == ("FAILED_PRECONDITION", "BACKUP_ALREADY_RUNNING")
    assert wait_for_end(call, running.name) == "SUCCEEDED"
    with no_checkpoint(source):
        retried = call("JobService/RetryJob", {"name": cancelled_jobs[0]}).reply
        answer = call("BackupService/CreateBackup", {"parent": ORDERS})
        assert (answer.code, reason(answer)) == ("FAILED_PRECONDITION", "BACKUP_ALREADY_RUNNING")
    assert wait_for_end(call, retried.name) == "SUCCEEDED"


# Short transactions.
def idle_transactions(house):
    """Transactions of the service that are open and run nothing now."""
    return set(state_sql(house, "select pid || '/' || extract(epoch from xact_start) from "
                                "pg_stat_activity where application_name = 'holdfast-backup' "
                                "and state = 'idle in transaction'"))


def assert_none_waits(house, thread):
    """What is idle now ends soon, while the call goes on."""
    held = idle_transactions(house)
    proc.wait_until(lambda: not held & idle_transactions(house), timeout=3,
                    what="no transaction held open")
    assert thread.is_alive()


def test_create_cluster__holds_no_transaction_while_it_looks_at_the_source(call, house):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(5)
        silent.settimeout(30)
        dsn = f"host=127.0.0.1 port={silent.getsockname()[1]} user=holdfast dbname=postgres"
        with calling(call, "BackupService/CreateCluster",
                     {"parent": TENANT, "clusterId": "silent", "cluster": {"dsn": dsn},
                      "requestId": "silent"}) as (thread, answers):
            connection, _ = silent.accept()
            with connection:
                assert_none_waits(house, thread)
    assert (answers[0].code, reason(answers[0])) == ("UNAVAILABLE", "HOST_UNREACHABLE")
    assert "silent" not in clusters(call)


def test_delete_backup__holds_no_transaction_while_it_writes_the_vault(call, house):
    """The journal's new head is remembered after it is written: a lock stops the handler there."""
    made = call("BackupService/CreateBackup", {"parent": ORDERS, "backup": {}}).reply
    assert wait_for_end(call, made.name) == "SUCCEEDED"
    older = call("BackupService/ListBackups",
                 {"parent": ORDERS, "filter": 'state = "SUCCEEDED"'}).reply.backups[1].name
    with Session(house.state) as session:
        session.run("begin")
        session.run(LOCK)
        with calling(call, "BackupService/DeleteBackup", {"name": older}) as (thread, answers):
            proc.wait_until(lambda: state_sql(
                house, "select pid from pg_stat_activity where wait_event_type = 'Lock' and "
                       "query like '%journal_head%'"), what="the handler at the lock")
            assert_none_waits(house, thread)
            assert call("BackupService/GetBackup", {"name": older}).code == "OK"
            session.run("rollback")
    assert answers[0].code == "OK"
    assert call("BackupService/GetBackup", {"name": older}).code == "NOT_FOUND"


@pytest.mark.parametrize("meanwhile, why", [
    ("state = 'PENDING', revision = revision + 1", "BACKUP_NOT_ENDED"),
    ("verification = 'DAMAGED', revision = revision + 1", "ETAG_MISMATCH")])
def test_delete_backup__of_one_that_changes_meanwhile_is_refused(call, house, meanwhile, why):
    """It is held behind its look at the row, as a retry of the job holds it."""
    name = f"{ORDERS}/backups/failed"
    state_sql(house, "insert into backup.backups (tenant_id, cluster_id, id, state, lineage) select"
                     " tenant_id, id, 'failed', 'FAILED', lineage from backup.clusters"
                     " where name = 'orders' and delete_time is null")
    read = call("BackupService/GetBackup", {"name": name}).reply.etag
    request = {"name": name, **({"etag": read} if why == "ETAG_MISMATCH" else {})}
    with Session(house.state) as session:
        session.run("begin")
        session.run(LOCK)
        with calling(call, "BackupService/DeleteBackup", request) as (thread, answers):
            proc.wait_until(lambda: not thread.is_alive() or waiting(house),
                            what="the deletion through or at the lock")
            session.run(f"update backup.backups set {meanwhile} where id = 'failed'")
            session.run("commit")
    there = call("BackupService/GetBackup", {"name": name}).code
    state_sql(house, "delete from backup.backups where id = 'failed'")
    assert (reason(answers[0]), there) == (why, "OK")


def test_retry__of_a_backup_that_was_deleted_is_refused(call, source):
    with no_checkpoint(source):
        job = call("BackupService/CreateBackup", {"parent": ORDERS}).reply
        call("JobService/CancelJob", {"name": job.name}).reply
    assert wait_for_end(call, job.name) == "CANCELLED"
    assert call("BackupService/DeleteBackup", {"name": job.target}).code == "OK"
    answer = call("JobService/RetryJob", {"name": job.name})
    assert (answer.code, reason(answer)) == ("NOT_FOUND", "BACKUP_NOT_FOUND")


def test_rebuild__does_not_bring_back_what_is_deleted_meanwhile(call, house):
    """It is stopped at one backup, with the journal read, while another one is deleted."""
    made = []
    for _ in range(3):
        job = call("BackupService/CreateBackup", {"parent": ORDERS}).reply
        assert wait_for_end(call, job.name) == "SUCCEEDED"
        made.append(job.target)
    with Session(house.state) as session:
        session.run("begin")
        session.run(f"select 1 from backup.backups where id = '{made[0].split('/')[-1]}' "
                    "for update")
        job = call("BackupService/RebuildCatalog", {"parent": TENANT}).reply
        proc.wait_until(lambda: waiting(house) == 1, what="the rebuild at the backup")
        with calling(call, "BackupService/DeleteBackup", {"name": made[1]}) as (thread, answers):
            proc.wait_until(lambda: not thread.is_alive() or waiting(house) == 2,
                            what="the deletion through or behind it")
            session.run("rollback")
    assert answers[0].code == "OK" and wait_for_end(call, job.name) == "SUCCEEDED"
    assert call("BackupService/GetBackup", {"name": made[1]}).code == "NOT_FOUND"
    assert call("BackupService/GetBackup", {"name": made[0]}).code == "OK"


def test_command_line__reads_lists_to_their_end(call, house):
    """Rows so large that no page holds all. The installation is down afterwards: the last test."""
    state_sql(house, "insert into backup.clusters (tenant_id, id, name, dsn, system_identifier,"
                     " server_version, segment_bytes, lineage, slot, warnings)"
                     " select tenant_id, gen_random_uuid(), 'page-' || n, dsn, system_identifier,"
                     " server_version, segment_bytes, lineage, 'slot_of_page',"
                     " repeat(repeat('w', 4000) || E'\\n', 4)"
                     " from backup.clusters, generate_series(1, 120) n"
                     " where name = 'orders' and delete_time is null")
    page = call("BackupService/ListClusters", {"parent": TENANT, "pageSize": 1000}).reply
    assert page.next_page_token and len(page.clusters) < 120
    names = {f"page-{n}" for n in range(1, 121)} | {"orders", "second"}
    for command in ("cluster list", "info"):
        told = json.loads(house.run(*command.split(), "-o", "json").stdout)["clusters"]
        assert [item["name"].split("/")[-1] for item in told] == sorted(names), command
    told = json.loads(house.run("doctor", "-o", "json", check=False).stdout)["checks"]
    assert {f"cluster {name}" for name in names} <= {check["name"] for check in told}
    left = json.loads(house.down("-o", "json").stdout)["slotsLeft"]
    assert {slot["cluster"] for slot in left} == names
