"""The user's path, with the names, flags, JSON fields and exit codes that scripts rely on."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios

import pytest
import yaml

from support import proc
from support.holdfast import Holdfast
from support.restored import Restored
from support.state import State, open_state

BACKUP_NAME = re.compile(r"tenants/default/clusters/orders/backups/[a-z0-9-]+")


@pytest.fixture(scope="module")
def orders(house, source):
    """The source, protected, with one backup."""
    source.pgbench("-i", "-q", "-s", "3")
    added = house.add_cluster("orders", source)
    made = house.backup("orders")
    source.added, source.backup = added, made
    return source


@pytest.fixture
def slow(orders):
    """Backups with --checkpoint spread last: the checkpoint has two minutes' time."""
    orders.psql("alter system set checkpoint_completion_target = 0.9")
    orders.psql("alter system set checkpoint_timeout = '2min'")
    orders.psql("select pg_reload_conf()")
    orders.pgbench("-n", "-t", "2000")
    yield orders
    orders.psql("checkpoint")  # ends the wait of a backup that is still there


def spawn(house, *words, **options):
    return subprocess.Popen([house.program, *words], env=house.env, text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, **options)


def start_slow_backup(house):
    """A backup that waits for its checkpoint, and its running job."""
    command = spawn(house, "backup", "create", "orders", "--checkpoint", "spread", "--wait")
    job = proc.wait_until(lambda: house.hf("job", "list", "--state", "RUNNING")["jobs"],
                          what="running job")[0]
    return command, job


def as_owner(house, sql):
    return State(house).psql(f"set role holdfast_owner; {sql}")


def job_state(house, job):
    return house.hf("job", "describe", job)["state"]


def test_up__leaves_what_runs_alone(house, orders):
    before = house.note_processes()
    house.up()
    assert house.note_processes() == before


def test_up__brings_back_one_killed_process_and_only_that(house, orders):
    before = house.note_processes()
    house.kill("redis")
    house.up()
    proc.wait_until(lambda: house.note_processes().get("redis", before["redis"]) != before["redis"],
                    what="a new redis")
    after = house.note_processes()
    assert {name for name in before if before[name] != after[name]} == {"redis"}
    assert house.backup("orders")["state"] == "SUCCEEDED"


def test_certs_issue__writes_key_certificate_and_ca(house, folder):
    house.run("certs", "issue", "deploy", "--out", f"{folder}/c")
    assert sorted(os.listdir(f"{folder}/c")) == ["ca.crt", "holdfast.yaml", "tls.crt", "tls.key"]
    assert os.stat(f"{folder}/c/tls.key").st_mode & 0o077 == 0
    proc.run(["openssl", "verify", "-CAfile", f"{folder}/c/ca.crt", f"{folder}/c/tls.crt"])


def test_certs_issue__says_what_it_wrote_in_json(house, folder):
    made = house.hf("certs", "issue", "watcher", "--role", "viewer", "--out", f"{folder}/c")
    for key, name in (("certificate", "tls.crt"), ("key", "tls.key"), ("ca", "ca.crt")):
        assert made.pop(key) == f"{folder}/c/{name}"
    end = proc.run(["openssl", "x509", "-in", f"{folder}/c/tls.crt", "-noout", "-enddate",
                    "-dateopt", "iso_8601"]).stdout.strip()
    assert made.pop("expireTime") == end.removeprefix("notAfter=").replace(" ", "T")
    assert made == {"name": "watcher", "tenant": "default", "role": "viewer", "directory": f"{folder}/c",
                    "endpoint": house.endpoint()}


@pytest.mark.parametrize("role", ["viewer", "installation-admin"])
def test_certs_issue__a_new_certificate_is_no_new_right(house, folder, role):
    words = ("certs", "issue", f"of-{role}", "--out", f"{folder}/c")
    assert "formerRole" not in house.hf(*words, "--role", role)
    again = house.hf(*words)
    assert again["role"] == role and "formerRole" not in again
    said = house.run(*words, "--role", "operator").stdout
    assert f"{role} → operator" in said
    again = house.hf(*words, "--role", role)
    assert (again["formerRole"], again["role"]) == ("operator", role)


def test_certs_issue__that_is_refused_gives_no_right(house, orders, folder):
    house.run("certs", "issue", "eve", "--role", "viewer", "--out", f"{folder}/c")
    os.mkdir(f"{folder}/web")
    with open(f"{folder}/web/tls.key", "w", encoding="ascii") as file:
        file.write("of a web server\n")
    assert "FOREIGN_FILES" in house.fails(4, "certs", "issue", "eve", "--role", "admin",
                                          "--out", f"{folder}/web")
    assert os.listdir(f"{folder}/web") == ["tls.key"]
    assert "PERMISSION_MISSING" in Holdfast(f"{folder}/c").fails(4, "backup", "create", "orders")


def test_certs_issue__that_fails_leaves_no_directory(house, folder):
    house.fails(3, "certs", "issue", "x", "--out", f"{folder}/c", "--tenant", "nobodys")
    as_owner(house, "revoke insert on platform.identities from holdfast_app")
    try:
        house.run("certs", "issue", "x", "--out", f"{folder}/c", check=False)
    finally:
        as_owner(house, "grant insert on platform.identities to holdfast_app")
    assert os.listdir(folder) == []


def test_certs_issue__leaves_the_machines_own_command_line_alone(house, folder):
    for words in ((), ("--role", "viewer")):
        assert "own command line" in house.fails(2, "certs", "issue", "cli", *words,
                                                 "--out", f"{folder}/c")
    assert not os.path.exists(f"{folder}/c")


def test_up__gives_the_machines_own_command_line_its_rights_back(house):
    as_owner(house, "update platform.identities set role = 'viewer' where name = 'cli'; "
                    "delete from platform.operators where name = 'cli'")  # an earlier release did
    house.run("up")
    assert as_owner(house, "select role from platform.identities join platform.operators "
                           "using (kind, name) where name = 'cli'") == "admin"


def test_doctor__finds_everything_well(house, orders):
    assert house.run("doctor").returncode == 0


def test_cluster_add__starts_the_wal_stream(house, orders):
    assert orders.added["name"] == "tenants/default/clusters/orders"
    assert orders.added["serverVersion"] // 10000 == 15
    assert orders.psql("select application_name, state from pg_stat_replication") == \
        "holdfast_orders|streaming"
    assert "password" not in orders.added or not orders.added["password"]


def test_cluster_add__says_that_it_connects(house, orders):
    assert orders.added["state"] == orders.added["wal"]["receiverState"] == "CONNECTING"


def test_cluster_list__shows_it_in_every_format(house, orders):
    assert house.run("cluster", "list", "-o", "name").stdout.split() == [orders.added["name"]]
    assert house.hf("cluster", "list")["clusters"][0]["state"] == "STREAMING"
    listed = yaml.safe_load(house.run("cluster", "list", "-o", "yaml").stdout)
    assert listed["clusters"][0]["name"] == orders.added["name"]
    assert re.search(r"^orders +STREAMING +15 ", house.run("cluster", "list").stdout, re.M)


def test_backup_create__prints_the_backup(orders):
    made = orders.backup
    assert BACKUP_NAME.fullmatch(made["name"]) and made["state"] == "SUCCEEDED"
    assert made["checkpoint"] == "FAST" and made["timeline"] == 1
    assert int(made["sourceBytes"]) > 40 << 20 > int(made["storedBytes"]) > 1 << 20


def test_backup_describe__takes_name_and_id(house, orders):
    name = orders.backup["name"]
    by_name = house.hf("backup", "describe", name)
    assert by_name["name"] == name
    assert house.hf("backup", "describe", name.split("/")[-1]) == by_name


def test_backup_list__shows_it_in_every_format(house, orders):
    name = orders.backup["name"]
    assert name in house.run("backup", "list", "orders", "-o", "name").stdout.split()
    assert name in [item["name"] for item in house.hf("backup", "list", "orders")["backups"]]
    listed = yaml.safe_load(house.run("backup", "list", "orders", "-o", "yaml").stdout)
    assert name in [item["name"] for item in listed["backups"]]
    table = house.run("backup", "list", "orders").stdout
    assert re.search(rf"^{name.split('/')[-1]} +orders +SUCCEEDED ", table, re.M)


def test_backup_create__tells_progress_as_ndjson_off_a_terminal(house, orders):
    done = house.run("backup", "create", "orders", "--wait", "-o", "name")
    assert BACKUP_NAME.fullmatch(done.stdout.strip())
    steps = [json.loads(line) for line in done.stderr.splitlines()]
    assert steps and all(step["job"].startswith("tenants/default/jobs/") for step in steps)
    assert steps[-1]["state"] == "SUCCEEDED" and steps[-1]["doneBytes"] > 0


@pytest.mark.parametrize("columns", [120, 44])
def test_backup_create__draws_a_bar_on_a_terminal(house, orders, columns):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = subprocess.Popen([house.program, "backup", "create", "orders", "--wait"],
                               env=house.env, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    seen = b""
    try:
        while piece := os.read(ours, 65536):
            seen += piece
    except OSError:  # the terminal ends with its last user
        pass
    os.close(ours)
    assert command.wait(60) == 0
    lines = seen.split(b"\r\x1b[K")
    assert len(lines) > 2 and max(map(len, lines)) < columns
    wanted = rb"\[#+\.*\] [0-9.]+ [KMG]iB of [0-9.]+ [KMG]iB" if columns > 80 else rb"\[#+\.*\] "
    assert re.search(wanted, seen)


def test_backup_create__without_wait_prints_the_job(house, orders):
    done = house.run("backup", "create", "orders", "--dir", house.folder, "--tenant", "default")
    job = done.stdout.strip()
    assert re.fullmatch(r"tenants/default/jobs/[0-9a-f-]+", job)
    assert f"holdfast job watch {job.split('/')[-1]} --dir {house.folder} --tenant default" in \
        done.stderr
    assert house.hf("job", "watch", job.split("/")[-1])["state"] == "SUCCEEDED"


def test_interrupt__says_how_to_go_on_and_leaves_the_job(house, slow):
    command, job = start_slow_backup(house)
    command.send_signal(signal.SIGINT)
    _, said = command.communicate(timeout=20)
    short = job["name"].split("/")[-1]
    assert command.returncode == 130
    assert f"holdfast job watch {short}" in said and f"holdfast job cancel {short}" in said
    assert job_state(house, short) == "RUNNING"
    slow.psql("checkpoint")
    assert house.hf("job", "watch", short)["state"] == "SUCCEEDED"


def test_job_cancel__ends_the_backup_as_cancelled(house, slow):
    command, job = start_slow_backup(house)
    house.run("job", "cancel", job["name"])
    _, said = command.communicate(timeout=60)
    assert command.returncode == 1 and "cancelled" in said
    assert job_state(house, job["name"]) == "CANCELLED"
    assert house.hf("backup", "describe", job["target"])["state"] == "CANCELLED"


def test_backup_create__refuses_a_second_one_at_a_time(house, slow):
    command, job = start_slow_backup(house)
    said = house.fails(4, "backup", "create", "orders")
    assert "BACKUP_ALREADY_RUNNING" in said and job["name"].split("/")[-1] in said
    house.run("job", "cancel", job["name"])
    command.communicate(timeout=60)


MORE_JOBS = """
insert into backup.jobs_archive (tenant_id, id, kind, target, args, principal, trace, priority, replay,
                         max_attempts, state, pending_parents, end_time)
select tenant_id, gen_random_uuid(), 'many', target, args, principal, trace, priority, replay,
       max_attempts, state, 0, end_time
from (select * from backup.jobs where end_time is not null
      union all select * from backup.jobs_archive limit 1) one, generate_series(1, 1100)
"""


def test_job_list__shows_all_pages(house, orders):
    state = open_state(house)
    state.psql(MORE_JOBS)
    try:
        names = house.run("job", "list", "--kind", "many", "-o", "name").stdout.split()
        assert len(set(names)) == len(names) == 1100
        assert len(house.hf("job", "list", "--kind", "many")["jobs"]) == 1100
    finally:
        state.psql("delete from backup.jobs_archive where kind = 'many'")


def test_wal_status__tells_receiver_slot_lag_and_window(house, orders):
    lsn = orders.psql("create table noted as select 1; select pg_current_wal_flush_lsn()")
    proc.wait_until(lambda: orders.psql(
        f"select '{house.hf('wal', 'status', 'orders')['durableLsn']}'::pg_lsn >= '{lsn}'") == "t")
    status = house.hf("wal", "status", "orders")
    assert status["receiverState"] == "STREAMING" and status["gaps"] == []
    assert status["applicationName"] == "holdfast_orders" and status["lagSeconds"] < 30
    assert status["windowStart"] < status["windowEnd"]
    slots = orders.psql("select slot_name, active from pg_replication_slots")
    assert slots == f"{status['slot']}|t"


def test_backup_verify__proves_it_and_info_says_so(house, orders):
    assert "never" in house.run("backup", "describe", orders.backup["name"]).stdout
    proven = house.hf("backup", "verify", orders.backup["name"])
    assert proven["verification"] == "VERIFIED" and proven["findings"] == []
    screen = house.run("info").stdout
    assert "any moment from" in screen and re.search(r"last verified +20\d\d-", screen)


def test_info__has_endpoints_and_processes(house, orders):
    info = house.info()
    assert re.fullmatch(r"127\.0\.0\.1:\d+", info["endpoints"]["backup"])
    assert {"backup", "postgres", "redis"} <= {item["name"] for item in info["processes"]}
    assert all(proc.is_alive(item["pid"]) for item in info["processes"])
    assert [cluster["name"] for cluster in info["clusters"]] == [orders.added["name"]]


def test_info__of_a_clients_directory_speaks_of_no_processes(house, orders):
    client = house.certs("reader")
    said = house.run("info", "--dir", client).stdout
    assert re.search(r"client +reader", said) and "processes" not in said and "orders: any" in said


def test_restore__gets_the_second_before_a_table_was_dropped(house, orders, folder):
    proc.give_to_server_user(folder)
    before = orders.psql("select count(*) from pgbench_branches; select clock_timestamp()").split(
        "\n")
    orders.psql("drop table pgbench_branches")
    orders.psql("select txid_current()")  # a commit after the target
    proc.wait_until(lambda: house.run("restore", "orders", "--to", f"{folder}/r", "--at",
                                      before[1], check=False).returncode == 0, timeout=30)
    server = Restored(f"{folder}/r").verify().start_promoted()
    try:
        assert server.psql("select count(*) from pgbench_branches") == before[0]
    finally:
        server.kill()


@pytest.mark.parametrize("parent", ["postgres", "root"])
def test_restore__prints_the_command_that_starts_it(house, orders, folder, parent):
    if parent == "postgres":
        proc.give_to_server_user(folder)
    said = house.run("restore", "orders", "--to", f"{folder}/it's r", "--latest").stdout
    start = said.split("start it with:\n")[1].strip()
    server = Restored(f"{folder}/it's r")
    options = f"-w -l /dev/null -o '-p {server.port} -k /tmp -c listen_addresses='"
    proc.run(["sh", "-c", f"cd /tmp && {start} {options} >/dev/null 2>&1"])
    try:
        server.folder = "/tmp"
        assert server.psql("select count(*) from pgbench_accounts") == "300000"
    finally:
        server.tool("pg_ctl", "-D", server.data, "-m", "immediate", "stop")


def test_restore__without_output_writes_into_no_file_of_the_cluster(house, orders, folder):
    proc.give_to_server_user(folder)
    proc.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "-", house.program, "restore", "orders", "--to",
              f"{folder}/r", "--latest"], env=house.env)
    Restored(f"{folder}/r").verify()


def test_output__that_cannot_be_written_is_a_failure(house, orders):
    done = proc.run(["sh", "-c", 'exec "$@" >/dev/full', "-", house.program, "info", "-o", "json"],
                    env=house.env, check=False)
    assert done.returncode == 1 and "standard output" in done.stderr


def test_offline__lists_and_restores_from_the_vault_alone(house, orders, folder):
    proc.give_to_server_user(folder)
    vault = ["--vault", house.path("vault"), "--key-file", house.path("keys", "vault.key")]
    env = {"HOLDFAST_DIR": f"{folder}/no-installation"}
    done = house.run("backup", "list", *vault, "-o", "name", env=env)
    assert orders.backup["name"] in done.stdout.split()
    house.run("restore", *vault, "--cluster", "orders", "--to", f"{folder}/r", "--latest", env=env)
    server = Restored(f"{folder}/r").verify().start_promoted()
    try:
        assert server.psql("select count(*) from pgbench_accounts") == "300000"
    finally:
        server.kill()


@pytest.mark.parametrize("words, code, hint", [
    (("backup", "create", "order"), 3, "orders"),
    (("cluster", "describe", "odrers"), 3, "orders"),
    (("wal", "status", "nothing-like-it"), 3, "nothing-like-it"),
    (("backup", "describe", "b20010101t000000-000000"), 3, "b20010101t000000-000000"),
    (("job", "describe", "00000000-0000-7000-8000-000000000000"), 3, "00000000"),
    (("backup", "creat", "orders"), 2, "holdfast backup create"),
    (("clutser", "list"), 2, "holdfast cluster list"),
    (("backup", "create", "orders", "--wiat"), 2, "--wait"),
    (("backup", "create"), 2, "CLUSTER"),
    (("backup", "create", "orders", "--checkpoint", "never"), 2, "spread"),
    (("backup", "list", "orders", "-o", "xml"), 2, "yaml"),
    (("backup", "list", "--state", "nonsense"), 2, "SUCCEEDED"),
    (("backup", "list", "--key-file", "x"), 2, "--vault"),
    (("job", "list", "--state", "nonsense"), 2, "RUNNING"),
    (("job", "retyr", "x"), 2, "holdfast job"),
    (("restore", "orders", "--cluster", "other", "--to", "x", "--latest"), 2, "two clusters"),
    (("cluster", "add", "x"), 2, "--dsn"),
    (("cluster", "list", "--dir", "/nonexistent"), 5, "holdfast up"),
])
def test_mistakes__are_named_with_the_nearest_right_word(house, orders, words, code, hint):
    assert hint in house.fails(code, *words)


def test_cluster_remove__drops_the_slot_and_keeps_the_points(house, orders, start_server):
    pg = start_server()
    house.add_cluster("brief", pg)
    assert pg.psql("select count(*) from pg_replication_slots") == "1"
    point = house.backup("brief")["name"].split("/")[-1]
    house.run("cluster", "remove", "brief")
    assert pg.psql("select count(*) from pg_replication_slots") == "0"
    house.fails(3, "cluster", "describe", "brief")
    vault = ["--vault", house.path("vault"), "--key-file", house.path("keys", "vault.key")]
    assert point in house.run("backup", "list", *vault, "-o", "name").stdout


def test_down__names_the_slots_that_stay_and_up_goes_on(house, orders):
    slot = house.hf("wal", "status", "orders")["slot"]
    pids = house.note_processes().values()
    done = house.run("down", "-o", "json")
    assert slot in done.stderr
    assert json.loads(done.stdout) == {
        "directory": house.folder, "destroyed": False, "slotsKnown": True, "slotsLeft": [
            {"cluster": "orders", "slot": slot, "host": orders.folder, "port": str(orders.port)}]}
    assert not any(proc.is_alive(pid) for pid in pids)
    house.fails(5, "cluster", "list")
    assert f"--vault {house.path('vault')}" in house.fails(5, "restore", "orders", "--to", "x",
                                                           "--latest")
    orders.psql("create table while_down as select 1 as x")
    house.up()
    proc.wait_until(lambda: house.hf("wal", "status", "orders")["receiverState"] == "STREAMING",
                    what="a receiver that streams again")
    assert house.hf("wal", "status", "orders")["gaps"] == []


def test_down__destroy_removes_the_directory(programs, folder):
    holdfast = Holdfast(f"{folder}/dir").up()
    assert holdfast.run("down").stdout == f"stopped {holdfast.folder}\n"
    left = holdfast.hf("down", "--destroy", "--yes")
    assert left == {"directory": holdfast.folder, "destroyed": True, "slotsKnown": False,
                    "slotsLeft": []}
    assert not os.path.exists(holdfast.folder)
