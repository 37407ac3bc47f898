"""Whom the servers run as, what root does in their directory, and who reaches what is private.

The servers' user is taken for hostile here: whatever he puts in the place of a file, root's commands
change nothing outside of the directory.
"""

import os
import pwd
import shutil
import signal
import subprocess
import time

import pytest

from support import proc
from support.holdfast import Holdfast
from support.state import as_owner

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")

USER = "holdfast"
PLACES = ["holdfast.yaml", "backup.yaml", "redis.conf", "recovery-kit.txt", "run", "log", "keys", "cache",
          "pki", "vault", "pg", "pki/ca", "pki/backup", "pki/cli", "pki/cli/tls.key", "keys/vault.key",
          "keys/redis.pass", "run/supervisor.lock", "run/setup.lock", "run/processes.json",
          "log/supervisor.log", "log/postgres.log", "pg/pg_hba.conf", "vault/holdfast-vault"]
KINDS = ["link to a directory", "link to a file", "fifo", "second name"]
COMMANDS = [("doctor",), ("info",), ("certs", "issue", "x", "--out"), ("down",), ("up", "--foreground")]


def user_of(pid):
    return pwd.getpwuid(os.stat(f"/proc/{pid}").st_uid).pw_name


def states(folder):
    """Everything that can be changed of what is below a folder."""
    def one(path):
        state = os.lstat(path)
        content = None
        if os.path.isfile(path):
            with open(path, "rb") as file:
                content = file.read()
        return (state.st_uid, state.st_gid, state.st_mode, state.st_ino, content)

    return {path: one(path) for parent, folders, files in os.walk(folder)
            for path in [parent, *(os.path.join(parent, name) for name in files)]}


@pytest.fixture
def outside(folder):
    """What belongs to root beside the installation, and a copy of how it was."""
    path = os.path.join(folder, "outside")
    os.makedirs(os.path.join(path, "dir", "ca"))
    for name in ("file", "dir/tls.key", "dir/ca/ca.key", "dir/holdfast.yaml"):
        with open(os.path.join(path, name), "w", encoding="ascii") as file:
            file.write(f"root's {name}\n")
    return path


def put(kind, path, outside):
    """What the servers' user can put in the place of a path."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)
    owner = os.stat(os.path.dirname(path))
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "second name":
        os.link(os.path.join(outside, "file"), path)
    else:
        os.symlink(os.path.join(outside, "dir" if "directory" in kind else "file"), path)
    if kind != "second name":
        os.lchown(path, owner.st_uid, owner.st_gid)


def run_for(house, seconds, *words):
    """A command that may wait: it is ended after a while."""
    command = subprocess.Popen([house.program, *words], env=house.env, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        command.wait(seconds)
    except subprocess.TimeoutExpired:
        proc.end(command.pid)
        command.wait(20)


@pytest.fixture(scope="module")
def pattern(programs):
    """An installation that is down, to be copied."""
    home = proc.new_folder("hf-up-")
    house = Holdfast(os.path.join(home, "dir"))
    try:
        house.up().down()
        yield house
    finally:
        house.down()
        proc.remove_folder(home)


@pytest.fixture
def copy(pattern, folder):
    house = Holdfast(os.path.join(folder, "dir"))
    subprocess.run(["cp", "-a", pattern.folder, house.folder], check=True)
    yield house
    house.down()


@pytest.mark.parametrize("kind", KINDS)
def test_root__changes_nothing_outside_whatever_stands_in_the_place_of_a_file(pattern, folder, outside,
                                                                             kind):
    before = states(outside)
    links = os.stat(os.path.join(outside, "file")).st_nlink
    step = 1 if os.environ.get("HOLDFAST_ATTACK") == "long" else 6  # in the short round each kind meets others
    for number, place in list(enumerate(PLACES))[KINDS.index(kind)::step]:
        house = Holdfast(os.path.join(folder, f"dir{number}"))
        subprocess.run(["cp", "-a", pattern.folder, house.folder], check=True)
        put(kind, house.path(place), outside)
        # Each place meets each command over the kinds; `up` meets all of them in the end.
        for words in (COMMANDS[number % 3], COMMANDS[4]):
            last = [os.path.join(folder, f"issued{number}")] if words[0] == "certs" else []
            run_for(house, 1, *words, *last)
        house.down()
        assert states(outside) == before, (kind, place)
        shutil.rmtree(house.folder)
    assert os.stat(os.path.join(outside, "file")).st_nlink == links


def test_root__up_beside_a_user_who_swaps_directories_changes_nothing_outside(copy, outside):
    before = states(outside)
    script = f"""
import os
while True:
    for name in {[place for place in PLACES if "/" not in place and "." not in place]!r}:
        path = os.path.join({copy.folder!r}, name)
        try:
            os.rename(path, path + ".away")
            os.symlink({outside + "/dir"!r}, path)
            os.remove(path)
            os.rename(path + ".away", path)
        except OSError:
            pass
"""
    swapping = subprocess.Popen([*as_owner(copy.folder), "python3", "-c", script], cwd="/",
                                stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 4
        while time.monotonic() < end:
            run_for(copy, 2, "up", "--foreground")
            run_for(copy, 2, "down")
    finally:
        swapping.kill()
        swapping.wait()
    assert states(outside) == before


# Whose it is.
def test_up__runs_everything_as_a_user_of_its_own(copy):
    copy.up()
    assert {name: user_of(pid) for name, pid in copy.pids.items()} == dict.fromkeys(
        ["supervisor", "postgres", "redis", "backup"], USER)
    assert os.stat(copy.folder).st_mode & 0o777 == 0o700


def test_up__runs_from_a_clone_in_a_folder_that_only_root_may_enter(copy, folder):
    closed = os.path.join(folder, "closed")
    os.mkdir(closed, 0o700)
    shutil.copytree(os.path.dirname(copy.program), os.path.join(closed, "bin"))
    copy.program = os.path.join(closed, "bin", "holdfast")
    for name in ("holdfast", "holdfast-backup"):  # as a umask of 077 makes them
        program = os.path.join(closed, "bin", name)
        os.chmod(program, 0o700)
        assert f"chmod a+rx {program}" in copy.fails(4, "up")
        os.chmod(program, 0o755)
    copy.up()
    assert user_of(copy.pids["backup"]) == USER
    copy.kill("backup")
    proc.wait_until(lambda: copy.run("cluster", "list", check=False).returncode == 0,
                    what="the service that was started again", timeout=30)
    assert "began with" not in copy.run("doctor").stdout
    service = os.path.join(closed, "bin", "holdfast-backup")
    shutil.copy2(service, f"{service}.new")
    os.replace(f"{service}.new", service)
    said = copy.run("doctor").stdout
    assert said.count("began with another program") == 1 and "holdfast down" in said


def test_up__takes_no_server_of_an_installation_whose_path_ends_with_its_own(copy, folder):
    copy.up()
    outer = Holdfast(os.path.join(folder, "o" + copy.folder))
    os.makedirs(os.path.dirname(outer.folder))
    try:
        outer.up()
        copy.kill("supervisor", "redis")
        copy.up()
        assert copy.pids["redis"] != outer.pids["redis"]
        copy.run("down")  # the fixture's would end whatever names the folder
        assert proc.is_alive(outer.pids["redis"])
    finally:
        outer.down()


def test_up__takes_a_disk_that_was_made_just_now(programs, folder):
    house = Holdfast(os.path.join(folder, "dir"))
    os.makedirs(house.path("lost+found"), 0o700)
    try:
        assert user_of(house.up().pids["backup"]) == USER
    finally:
        house.down()


def test_up__renews_a_certificate_that_a_crash_left_beside_another_key(copy):
    shutil.copy2(copy.path("pki", "cli", "tls.key"), copy.path("pki", "backup", "tls.key"))
    shutil.chown(copy.path("pki", "backup", "tls.key"), USER, USER)
    assert copy.up().run("doctor").returncode == 0


def test_up__judges_its_words_before_it_stops_anything(copy):
    give_back(copy, "postgres")
    before = states(copy.folder)
    copy.fails(2, "up", "--port", "abc")
    assert states(copy.folder) == before


def test_up__never_runs_servers_as_who_owns_the_protected_server(programs, folder):
    house = Holdfast(os.path.join(folder, "dir"))
    assert "SERVERS_USER" in house.fails(4, "up", "--user", "postgres")
    assert "SERVERS_USER" in house.fails(4, "up", "--user", "root")
    house.prefix = proc.unprivileged()
    assert "SERVERS_USER" in house.fails(4, "up")
    assert os.listdir(folder) == []


def test_up__judges_its_own_user_too(programs, folder):
    """Its number may be that of a server's owner: in images of PostgreSQL it is."""
    os.chmod(folder, 0o755)
    server, house = os.path.join(folder, "postgres"), Holdfast(os.path.join(folder, "dir"))
    shutil.copy("/bin/sleep", server)
    script = ('setpriv --reuid=holdfast --regid=holdfast --clear-groups "$0" 60 & sleep 0.5; '
              'exec "$1" up --dir "$2"')
    done = proc.run(["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", script, server,
                     house.program, house.folder], check=False)
    assert done.returncode == 4 and "cannot run as holdfast" in done.stderr
    assert os.listdir(folder) == ["postgres"]


@pytest.mark.parametrize("owner, content", [("nobody", []), ("nobody", ["x"]), ("root", ["x"])])
def test_up__refuses_a_directory_that_is_no_installation(programs, folder, owner, content):
    house = Holdfast(os.path.join(folder, "dir"))
    os.mkdir(house.folder)
    for name in content:
        os.mkdir(house.path(name))
    shutil.chown(house.folder, owner)
    before = states(folder)
    assert "FOREIGN_DIRECTORY" in house.fails(4, "up")
    assert states(folder) == before


def test_up__follows_no_link_of_another_user(programs, folder):
    os.symlink(f"{folder}/elsewhere", f"{folder}/link")
    os.lchown(f"{folder}/link", pwd.getpwnam("nobody").pw_uid, -1)
    assert "UNSAFE_PATH" in Holdfast(f"{folder}/link").fails(4, "up", "--dir", f"{folder}/link")
    assert os.listdir(folder) == ["link"]


# An installation of an earlier release.
ODD = {"link": lambda path: os.symlink("/etc/passwd", path), "fifo": os.mkfifo,
       "second name": lambda path: os.link(os.path.join(os.path.dirname(path), "state", "epoch"), path),
       "another user's": lambda path: (os.mkdir(path), shutil.chown(path, "nobody"))}


# By a supervisor of root's.
LEFT = ["run/setup.lock", "run/supervisor.lock", "run/processes.json", "log/supervisor.log"]


def give_back(house, owner):
    """The tree as an earlier release owned it."""
    subprocess.run(["chown", "-R", f"{owner}:{owner}", house.folder], check=True)
    for name in ("holdfast.yaml", "recovery-kit.txt", "pki/ca", "pki/ca/ca.key", "pki/ca/ca.crt",
                 *LEFT):
        shutil.chown(house.path(name), "root", "root")


@pytest.mark.parametrize("odd", ODD)
def test_move__refuses_what_is_no_installation_and_changes_nothing(copy, odd):
    give_back(copy, "postgres")
    ODD[odd](copy.path("odd"))
    before = states(copy.folder)
    said = copy.fails(4, "up")
    assert "NOT_TO_BE_MOVED" in said and "odd" in said
    assert states(copy.folder) == before
    assert "OLD_OWNER" in copy.fails(4, "doctor")


def test_up__gives_nothing_of_roots_to_who_owns_the_directory(programs, folder):
    house = Holdfast(os.path.join(folder, "dir"))
    os.mkdir(house.folder)
    os.mkdir(house.path("keys"), 0o700)
    with open(house.path("keys", "secret"), "w", encoding="ascii") as file:
        file.write("root's own\n")
    shutil.chown(house.folder, "nobody")
    before = states(folder)
    for words in (("up",), ("down",), ("doctor",)):
        house.fails(5 if words[0] != "up" else 4, *words)
    assert "keys belongs to root" in house.fails(4, "up")
    assert states(folder) == before


def test_move__that_was_cut_off_is_finished_by_the_next_up(copy):
    give_back(copy, "postgres")
    inode = os.stat(copy.path("vault", "holdfast-vault")).st_ino
    for name in ("keys", "vault", "cache"):  # as far as a kill let it come
        subprocess.run(["chown", "-R", f"{USER}:{USER}", copy.path(name)], check=True)
    shutil.chown(copy.folder, "root", "root")
    done = copy.run("up", timeout=90)
    copy.note_processes()
    assert "moved" in done.stderr and "postgres" in done.stderr and USER in done.stderr
    owner = pwd.getpwnam(USER).pw_uid
    assert {state[0] for state in states(copy.folder).values()} == {owner}
    assert os.stat(copy.path("vault", "holdfast-vault")).st_ino == inode
    assert copy.run("doctor").returncode == 0
    assert "moved" not in copy.run("up").stderr


def test_move__of_a_user_without_a_name_here_ends_what_runs_as_that_user(copy):
    subprocess.run(["chown", "-R", "54321:54321", copy.folder], check=True)
    left = subprocess.Popen(["/x/holdfast-backup", "-c", "import signal; signal.pause()", copy.path("backup.yaml")],
                            executable="/usr/bin/python3", user=54321, group=54321, extra_groups=[], cwd="/",
                            stdin=subprocess.DEVNULL)
    said = copy.run("up", timeout=90).stderr
    assert left.wait(10) == -signal.SIGTERM
    assert f"from user 54321 to {USER}" in said and f"`holdfast {USER} ROLE`" in said
    assert {user_of(pid) for pid in copy.note_processes().values()} == {USER}
    assert copy.run("doctor").returncode == 0


def test_move__of_a_vault_alone_names_how_it_becomes_roots_to_give(copy):
    os.remove(copy.path("holdfast.yaml"))
    subprocess.run(["chown", "-R", "54321:54321", copy.folder], check=True)
    before = states(copy.folder)
    assert f"chown -R root: {copy.folder}" in copy.fails(4, "up")
    assert states(copy.folder) == before
    subprocess.run(["chown", "-R", "root:", copy.folder], check=True)
    assert user_of(copy.up().pids["backup"]) == USER


def test_move__to_a_user_of_choice_that_was_cut_off_goes_on_to_that_user_alone(copy):
    give_back(copy, "postgres")
    for name in ("keys", "vault"):
        subprocess.run(["chown", "-R", "daemon:daemon", copy.path(name)], check=True)
    shutil.chown(copy.folder, "root", "root")
    before = states(copy.folder)
    assert "belongs to another user" in copy.fails(4, "up")
    assert states(copy.folder) == before
    assert "to daemon" in copy.run("up", "--user", "daemon", timeout=90).stderr
    assert {user_of(pid) for pid in copy.note_processes().values()} == {"daemon"}
    assert "FIRST_UP_ONLY" in copy.fails(4, "up", "--user", USER)
    assert "moved" not in copy.run("up").stderr


SUPERVISOR = """
import fcntl, os, signal, sys
os.chdir(sys.argv[1])
lock = open("run/supervisor.lock", "r+")
fcntl.lockf(lock, fcntl.LOCK_EX)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print("ready", flush=True)
signal.sigwait([signal.SIGTERM])
os.mkfifo("odd")
"""


def test_move__that_is_refused_after_the_stop_says_that_it_is_stopped(copy):
    give_back(copy, "postgres")
    shutil.chown(copy.path("run", "supervisor.lock"), "postgres")
    running = subprocess.Popen([*proc.unprivileged(), "/usr/bin/python3", "-c", SUPERVISOR, copy.folder], cwd="/",
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert running.stdout.readline() == "ready\n"
    said = copy.fails(4, "up")
    assert running.wait(10) == 0
    running.stdout.close()
    assert "NOT_TO_BE_MOVED" in said and "odd" in said and "are stopped" in said


SUPERVISOR_OF_ROOTS = SUPERVISOR.replace('os.mkfifo("odd")', """
with open("run/processes.json.new", "w", encoding="ascii") as file:
    file.write("{}")
os.rename("run/processes.json.new", "run/processes.json")
""")


@pytest.mark.parametrize("owner", ["postgres", USER])
def test_down__ends_a_supervisor_of_roots_and_what_it_leaves(copy, folder, owner):
    give_back(copy, owner)
    program = os.path.join(folder, "holdfast")
    shutil.copy(os.path.realpath("/usr/bin/python3"), program)
    running = subprocess.Popen([program, "-c", SUPERVISOR_OF_ROOTS, copy.folder], cwd="/",
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert running.stdout.readline() == "ready\n"
    assert "moved" in copy.run("down").stderr
    assert running.wait(10) == 0
    running.stdout.close()
    assert {state[0] for state in states(copy.folder).values()} == {pwd.getpwnam(USER).pw_uid}


def test_down__of_an_earlier_release_that_is_refused_changes_nothing(copy):
    give_back(copy, "postgres")
    ODD["fifo"](copy.path("odd"))
    before = states(copy.folder)
    for words in (("down",), ("down", "--destroy", "--yes")):
        assert "NOT_TO_BE_MOVED" in copy.fails(4, *words)
    assert states(copy.folder) == before


IN_A_COPY_OF_ETC = """
set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$1/upper,workdir=$1/work" /etc
sed -i /^holdfast:/d /etc/passwd /etc/shadow
getent group holdfast >&2
! getent passwd holdfast
"$2" up --dir "$3" || [ $? -eq 4 ]
[ "$(id -g holdfast)" = "$(getent group holdfast | cut -d: -f3)" ]
"""


def test_up__makes_its_user_in_a_group_that_is_there(copy, folder):
    """In a mount namespace, where /etc is a copy; the directory is one that is refused afterwards."""
    foreign, room = os.path.join(folder, "foreign"), os.path.join(folder, "room")
    os.makedirs(os.path.join(foreign, "x"))
    os.mkdir(room)
    shutil.chown(foreign, "nobody")
    proc.run(["unshare", "--mount", "sh", "-c", IN_A_COPY_OF_ETC, "sh", room, copy.program, foreign])


# What is private.
def test_private_postgresql__lets_in_nobody_but_the_servers_user_as_its_roles(copy):
    copy.up()
    socket = copy.path("run")

    def enters(prefix, role):
        return proc.run([*prefix, "psql", "-h", socket, "-U", role, "-d", "postgres", "-c", "select 1"],
                        check=False, cwd="/").returncode == 0

    own = as_owner(copy.folder)
    assert not enters([], "holdfast_app") and not enters([], "holdfast_super")
    assert not enters(own, "holdfast_super") and not enters(own, "postgres")
    settings = proc.run([*own, "psql", "-XAt", "-h", socket, "-U", "holdfast_app", "-d", "holdfast", "-c",
                         "select name || '=' || setting from pg_settings where name in ('fsync', "
                         "'max_wal_senders', 'wal_level', 'listen_addresses', 'full_page_writes', "
                         "'unix_socket_permissions') order by 1"], cwd="/").stdout.split()
    assert settings == ["fsync=on", "full_page_writes=on", "listen_addresses=", "max_wal_senders=0",
                        "unix_socket_permissions=0700", "wal_level=minimal"]
    replication = proc.run([*own, "psql", f"host={socket} user=holdfast_app dbname=holdfast "
                            "replication=true", "-c", "IDENTIFY_SYSTEM"], check=False, cwd="/")
    assert replication.returncode != 0


def test_private_redis__obeys_nobody_without_the_password_and_only_the_doorbell_with_it(copy):
    copy.up()
    with open(copy.path("keys", "redis.pass"), encoding="ascii") as file:
        password = file.read().strip()

    def ask(*words, user=None):
        login = ["--user", user, "--pass", password, "--no-auth-warning"] if user else []
        return proc.run(["redis-cli", "-s", copy.path("run", "redis.sock"), *login, *words],
                        check=False).stdout.strip()

    assert ask("ping").startswith("NOAUTH")
    assert ask("ping", user="holdfast") == "PONG"
    for words in (("config", "get", "*"), ("debug", "sleep", "0"), ("module", "list"), ("flushall",),
                  ("eval", "return 1", "0"), ("acl", "list"), ("shutdown",), ("save",), ("client", "list"),
                  ("function", "flush"), ("replicaof", "127.0.0.1", "1")):
        said = ask(*words, user="holdfast")
        assert said.startswith("NOPERM") or "not allowed" in said, (words, said)


# A client of another user.
def test_certs_issue__makes_a_directory_that_another_users_commands_take(copy, folder):
    copy.up()
    out = os.path.join(folder, "archiver")
    copy.run("certs", "issue", "archiver", "--role", "operator", "--out", out, "--owner", "postgres")
    assert {state[0] for state in states(out).values()} == {pwd.getpwnam("postgres").pw_uid}
    assert proc.run([*proc.unprivileged(), copy.program, "cluster", "list", "--dir", out],
                    cwd="/").returncode == 0
    client = Holdfast(out)
    for words in (("up",), ("down",), ("doctor",), ("certs", "issue", "x", "--out", f"{folder}/x")):
        assert client.run(*words, check=False).returncode == 4, words


def test_certs_issue__writes_into_no_directory_of_another_user(copy, folder):
    copy.up()
    out = os.path.join(folder, "theirs")
    os.mkdir(out)
    shutil.chown(out, "nobody", "nogroup")
    assert "FOREIGN_DIRECTORY" in copy.fails(4, "certs", "issue", "x", "--out", out)
    assert "FOREIGN_DIRECTORY" in copy.fails(4, "certs", "issue", "x", "--out", f"{out}/below")
    assert os.listdir(out) == []


def test_certs_issue__writes_over_no_key_but_its_own(copy, folder):
    copy.up()
    theirs, ours = os.path.join(folder, "theirs"), os.path.join(folder, "ours")
    os.mkdir(theirs, 0o700)
    with open(os.path.join(theirs, "tls.key"), "w", encoding="ascii") as file:
        file.write("of a web server\n")
    before = states(theirs)
    assert "FOREIGN_FILES" in copy.fails(4, "certs", "issue", "x", "--out", theirs)
    assert states(theirs) == before
    copy.run("certs", "issue", "x", "--out", ours)
    copy.run("certs", "issue", "x", "--out", ours)
    os.remove(os.path.join(ours, "holdfast.yaml"))  # as an earlier release made it
    copy.run("certs", "issue", "x", "--out", ours)
    with open(os.path.join(ours, "holdfast.yaml"), "r+", encoding="ascii") as file:
        text = file.read().replace('install_id: "', 'install_id: "another-')
        file.seek(0)
        file.write(text)
    before = states(ours)
    assert "FOREIGN_FILES" in copy.fails(4, "certs", "issue", "x", "--out", ours)
    assert states(ours) == before
