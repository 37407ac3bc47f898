"""What each process of an installation gave up, read from the kernel and tried from inside."""

import os
import re
import socket
import urllib.error
import urllib.request

import yaml

from support import proc

SERVERS = ["postgres", "redis", "backup"]


def status_of(pid, thread=None):
    path = f"/proc/{pid}/task/{thread}/status" if thread else f"/proc/{pid}/status"
    with open(path, encoding="ascii", errors="replace") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def family(pid):
    """A process and all that it started."""
    found = [pid]
    for child in proc.children(pid):
        found += family(child)
    return found


def test_every_server_and_every_thread_is_confined(house):
    seen = 0
    for name in SERVERS:
        for pid in family(house.pids[name]):
            for thread in os.listdir(f"/proc/{pid}/task"):
                status = status_of(pid, thread)
                assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2"), (name, status)
                seen += 1
    assert seen > 20, "threads of the service and backends of PostgreSQL"


def test_no_process_leaves_a_core_or_gains_privileges(house):
    for name, pid in house.pids.items():
        with open(f"/proc/{pid}/limits", encoding="ascii") as file:
            assert re.search(r"^Max core file size +0 +0 ", file.read(), re.MULTILINE), name
        status = status_of(pid)
        assert status["NoNewPrivs"] == "1", name
        assert int(status["CapEff"], 16) == 0 or os.geteuid() == 0 and name == "supervisor", name


def test_the_service_says_what_confines_it(house):
    with open(house.path("log", "backup.log"), encoding="utf-8") as file:
        line = [text for text in file if '"process.confinement"' in text][-1]
    assert re.search(r'"landlock":[1-9]\d*,"seccomp":1', line), line


def ask(address, path, **headers):
    request = urllib.request.Request(f"http://{address}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_probes_say_yes_or_no_and_metrics_are_for_loopback(house):
    with open(house.path("backup.yaml"), encoding="utf-8") as file:
        address = yaml.safe_load(file)["metrics_listen"]
    assert ask(address, "/livez") == ask(address, "/healthz") == ask(address, "/readyz") == (200, b"ok")
    code, text = ask(address, "/metrics")
    assert code == 200 and b"process_start_time_seconds" in text
    layers = dict(re.findall(rb'^holdfast_confined\{layer="(\w+)"\} (\d)$', text, re.MULTILINE))
    assert layers == {b"landlock": b"1", b"seccomp": b"1", b"mlock": b"1"}
    token = house.path("keys", "metrics.token")
    assert os.stat(token).st_mode & 0o777 == 0o600


def test_the_service_refuses_a_configuration_that_others_write(house, tmp_path):
    copy = tmp_path / "backup.yaml"
    with open(house.path("backup.yaml"), encoding="utf-8") as file:
        copy.write_text(file.read(), encoding="utf-8")
    os.chmod(copy, 0o666)
    service = os.path.join(os.path.dirname(house.program), "holdfast-backup")
    done = proc.run([service, "--config", copy], check=False, timeout=60)
    assert done.returncode == 2 and "may be written by others" in done.stderr, done.stderr


def test_failed_handshakes_fill_no_log(house):
    """What a stranger can cause without a certificate, thousands of times."""
    host, port = house.endpoint().rsplit(":", 1)
    log = house.path("log", "backup.log")
    before = os.path.getsize(log)
    for number in range(3000):
        with socket.create_connection((host, int(port)), timeout=30) as peer:
            peer.sendall(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03" if number % 2 else b"GET / HTTP/1.1\r\n\r\n")
    assert house.hf("cluster", "list") is not None, "a client with a certificate is served"
    assert os.path.getsize(log) - before < 300_000


def test_keys_of_the_service_are_locked_in_memory(house):
    assert int(status_of(house.pids["backup"])["VmLck"].split()[0]) >= 8, "two keys, a page each"


def test_doctor_says_what_confines_the_servers(house):
    checks = {check["name"]: check for check in house.hf("doctor", check=False)["checks"]}
    assert checks["confinement"]["verdict"] == "ok" and "landlock" in checks["confinement"]["what"]
