"""Where /proc is mounted with hidepid, as hardening guides say: the service makes itself unreadable,
and its own user cannot see it there any more."""
import os
import signal

import pytest
from support import proc
from support.holdfast import installation

HIDING = 'mount -t proc -o hidepid="$0" proc /proc && exec "$@"'


@pytest.fixture(params=["1", "2"])
def hidden(request, programs):  # pylint: disable=unused-argument
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    prefix = ["unshare", "--mount", "--propagation", "private", "sh", "-c", HIDING, request.param]
    with installation(prefix) as holdfast:
        yield holdfast


def test_up__runs_adopts_and_stops_what_it_cannot_see(hidden):
    assert all(item["running"] for item in hidden.info()["processes"])
    said = hidden.run("doctor", check=False).stdout
    assert "does not run" not in said and "without a filter" not in said
    before = hidden.note_processes()
    os.kill(before["supervisor"], signal.SIGKILL)  # and none of its servers
    proc.wait_until(lambda: not proc.is_alive(before["supervisor"]), what="its end")
    hidden.run("up")
    proc.wait_until(lambda: hidden.note_processes()["supervisor"] != before["supervisor"],
                    what="another supervisor")
    after = hidden.note_processes()
    assert {**after, "supervisor": 0} == {**before, "supervisor": 0}
    hidden.run("down")
    assert not [name for name, pid in before.items() if proc.is_alive(pid)]
