"""An installation with sources that lie on lanes of their own, one that never lies, and a neighbour.

A lane is a fake server and a cluster that is registered with it while it was honest. An attempt is a
lie in a phase: at `cluster add`, at a reconnect, in a backup. After each the lane is honest again, and
then its stream must run and its backup succeed without anybody's help.
"""

import queue
import threading
import time

from fake_postgres import FakePostgres
from google.protobuf import json_format
from lies import REFUSED
from support.reflected import Client, Schema, reason
from support.state import open_state
from watch import Neighbour, Process, texts_of, unclean

SERVICES = ["holdfast.backup.v1.BackupService", "holdfast.jobs.v1.JobService"]
PASSWORD = "aLittleSecretOfOurs"
ADD_SECONDS = 6          # deadline of a call that meets a lie
SLACK_SECONDS = 4        # behind a deadline, on a busy machine
LIE_SECONDS = 1.5        # a registered source lies at least this long
TOLD_SECONDS = 14        # within which it has come to the lie: the longest back-off is 10 s
TOLD_MOST = 40           # and no more often than this meanwhile: there is a back-off
RECOVER_SECONDS = 60
DIED = "the service died"
CRASHES_MOST = 8         # then the rest is not tried: something makes it die again and again
BAD_CODES = ("UNKNOWN",)
STREAMS = ("STREAMING", "GAP")  # with a gap it streams, too
UNSTABLE = "history became another one"  # HISTORY_UNSTABLE: left alone until the hour is over
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")


class Failed(AssertionError):
    """An attempt did not go as it must."""


def demand(condition, what):
    if not condition:
        raise Failed(what)


class World:
    def __init__(self, house, server, lanes):
        self.house, self.server = house, server
        open_state(house).psql("insert into platform.tenants (id, name) "
                               "values (gen_random_uuid(), 'rivals')")
        self.rival_certs = house.certs("rival", "--tenant", "rivals", "--role", "admin")
        certs = house.certs("lord", "--role", "installation-admin")  # the fakes are on loopback
        self.endpoint = house.endpoint()
        self.client = Client(Schema(self.endpoint, certs, SERVICES), self.endpoint, certs)
        self.fakes = [FakePostgres(f"{server.folder}/.s.PGSQL.{server.port}", password=PASSWORD)
                      for _ in range(lanes)]
        self.lanes = [Lane(self, number, fake) for number, fake in enumerate(self.fakes)]
        for lane in self.lanes:
            lane.register()
        self.add("honest", self.server.dsn())
        self.process = Process(house)
        self.suspects, self.failures = [], []
        self.lock = threading.Lock()

    def close(self):
        for fake in self.fakes:
            fake.close()
        self.client.close()

    def call(self, method, request, timeout=30):
        """Calls; whatever comes back must be fit to be shown."""
        answer, began = None, 0
        while answer is None or reason(answer) == "SOURCES_BUSY":
            time.sleep(0.1 if answer else 0)  # two lanes at a time have a place, the others wait
            began = time.monotonic()
            answer = self.client(method, request, timeout=timeout)
        answer.seconds = time.monotonic() - began
        texts = [answer.message, *(text for reply in answer.replies for text in texts_of(reply))]
        for text in texts:
            demand(not unclean(text or ""), f"{method}: {unclean(text or '')}")
            demand(PASSWORD not in (text or ""), f"{method}: the password in {text[:300]!r}")
        demand(answer.code not in BAD_CODES, f"{method}: {answer.code} {answer.message[:200]}")
        return answer

    def add(self, name, dsn, timeout=60):
        return self.call("BackupService/CreateCluster", {
            "parent": "tenants/default", "clusterId": name,
            "cluster": {"dsn": dsn, "password": PASSWORD}}, timeout)

    def neighbour(self):
        """Measures another tenant's calls from now on."""
        return Neighbour(self.endpoint, self.rival_certs, self.rivals_cluster())

    def rivals_cluster(self):
        """A cluster of the neighbour's own; "" where a tenant may not name what is on loopback."""
        client = Client(self.client.schema, self.endpoint, self.rival_certs)
        answer = client("BackupService/CreateCluster", {
            "parent": "tenants/rivals", "clusterId": "own", "cluster": {"dsn": self.server.dsn()}})
        client.close()
        return answer.reply.name if answer.code == "OK" else ""

    def honest(self):
        return self.call("BackupService/GetCluster",
                         {"name": "tenants/default/clusters/honest"}).reply

    def run(self, attempts):
        """Plays (lie, phase) on all lanes; failures are in self.failures."""
        left = queue.Queue()
        for attempt in attempts:
            left.put(attempt)
        threads = [threading.Thread(target=lane.work, args=(left,)) for lane in self.lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def note(self, lie, phase, problem):
        with self.lock:
            self.failures.append((lie, phase, problem))
        print(f"{lie.place}: {lie.what} ({phase}): {problem}" if lie else problem, flush=True)


class Lane:
    def __init__(self, world, number, fake):
        self.world, self.fake = world, fake
        self.name, self.tries = f"lane{number}", 0
        self.cluster = f"tenants/default/clusters/{self.name}"

    def register(self):
        answer = self.world.add(self.name, self.fake.dsn())
        assert answer.code == "OK", f"{answer.code}: {answer.message}"
        self.wait_stream("registration")

    def renew(self, number):
        """Goes on with a new cluster after one that could not be had back."""
        self.world.call("BackupService/DeleteCluster", {"name": self.cluster})
        self.name = f"{self.name.split('-')[0]}-{number}"
        self.cluster = f"tenants/default/clusters/{self.name}"
        self.register()

    def get(self):
        return self.world.call("BackupService/GetCluster", {"name": self.cluster}).reply

    def state(self):
        return json_format.MessageToDict(self.get()).get("state", "")

    def wait(self, condition, timeout, what):
        until = time.monotonic() + timeout
        while not condition():
            demand(time.monotonic() < until, f"{what}: not within {timeout} s")
            time.sleep(0.1)

    def wait_stream(self, what):
        try:
            self.wait(lambda: self.state() in STREAMS, RECOVER_SECONDS, f"{what}: stream")
        except Failed as failure:
            raise Failed(f"{failure}; {self.get().wal.error[:300]}") from failure

    def honest_again(self):
        """It streams by itself; or its history turned too often, and the next lie gets a new one."""
        def error():
            return self.get().wal.error

        self.wait(lambda: self.state() in STREAMS or UNSTABLE in error(), RECOVER_SECONDS,
                  "honest again")
        if self.state() not in STREAMS:
            self.tries += 1
            self.renew(f"h{self.tries}")

    def work(self, left):
        while self.world.process.crashes <= CRASHES_MOST:
            try:
                lie, phase = left.get_nowait()
            except queue.Empty:
                return
            problem = self.play(lie, phase)
            if problem == DIED:
                with self.world.lock:
                    self.world.suspects.append((lie, phase))
            elif problem:
                self.world.note(lie, phase, problem)

    def play(self, lie, phase):
        """An attempt, and the lane fit for the next one; what did not hold, or ""."""
        pid, problem = self.world.process.pid, ""
        try:
            self.attempt(lie, phase)
        except Exception as failure:  # pylint: disable=broad-except
            problem = f"{type(failure).__name__}: {failure}"[:600]
        self.fake.disarm()
        if not self.world.process.is_same() or self.world.process.pid != pid:
            problem = DIED
        if problem:
            self.recover()
        return problem

    def is_served(self):
        return self.world.client("BackupService/GetCluster", {"name": self.cluster}).code == "OK"

    def attempt(self, lie, phase):
        """One lie in one phase, judged; Failed says what did not hold."""
        {"add": self.at_add, "reconnect": self.at_reconnect, "backup": self.at_backup}[phase](lie)
        self.fake.disarm()
        self.honest_again()
        if self.state() == "GAP":  # the lie is in the stored WAL: from the next backup on it is past
            self.back_up()
            demand(self.state() == "STREAMING", f"a backup leaves it {self.state()}")

    def cancel_jobs(self):
        """What an attempt has left would be in the way of the next one."""
        jobs = self.world.call("JobService/ListJobs", {"parent": "tenants/default",
                                                       "pageSize": 1000}).reply.jobs
        for job in jobs:
            if job.target.startswith(f"{self.cluster}/") and not self.ended(job.name):
                self.world.call("JobService/CancelJob", {"name": job.name})
                self.wait(lambda name=job.name: self.ended(name), RECOVER_SECONDS, "cancellation")

    def recover(self):
        try:
            self.wait(self.is_served, RECOVER_SECONDS, "the service answers")
            self.wait_stream("after a failure")
            self.cancel_jobs()
        except Exception:  # pylint: disable=broad-except
            self.tries += 1
            try:
                self.renew(f"r{self.tries}")
            except Exception as failure:  # pylint: disable=broad-except
                self.world.note(None, self.name, f"lane lost: {failure}"[:300])

    def at_add(self, lie):
        self.tries += 1
        name = f"try{self.name.replace('-', '')}n{self.tries}"
        self.fake.arm(lie)
        answer = self.world.add(name, self.fake.dsn(), ADD_SECONDS)
        took = answer.seconds
        self.fake.disarm()
        demand(self.fake.told > 0, "the lie was never told")
        if answer.code == "OK":
            self.world.call("BackupService/DeleteCluster",
                            {"name": f"tenants/default/clusters/{name}"})
        demand(took < ADD_SECONDS + SLACK_SECONDS, f"the call took {took:.1f} s")
        if answer.code != "OK":
            demand(reason(answer) or answer.code in ("DEADLINE_EXCEEDED", "CANCELLED"),
                   f"{answer.code} without a reason: {answer.message[:200]}")
            demand(answer.message, f"{answer.code} without a message")
        elif lie.sees == REFUSED:
            raise Failed("it was taken for the truth")

    def at_reconnect(self, lie):
        self.fake.arm(lie)
        if "keepalive" not in lie.acts:
            self.fake.kick()
        self.wait(lambda: self.fake.told > 0, TOLD_SECONDS, "the lie is told")
        until, errors = time.monotonic() + LIE_SECONDS, set()
        while time.monotonic() < until:
            errors.add(self.get().wal.error)
            time.sleep(0.2)
        demand(self.fake.told <= TOLD_MOST, f"no back-off: {self.fake.told} times")
        if lie.sees == REFUSED:
            demand(any(errors) or self.state() != "STREAMING", "nobody is told of it")

    def at_backup(self, lie):
        self.fake.arm(lie, only="holdfast_backup" if "backup" in lie.acts else None)
        job = self.job()
        self.wait(lambda: self.fake.told > 0 or self.ended(job), TOLD_SECONDS, "the lie is told")
        until = time.monotonic() + LIE_SECONDS
        while time.monotonic() < until and not self.ended(job):
            time.sleep(0.1)
        demand(self.fake.told > 0, f"the lie was never told: {self.ended(job)}")
        self.fake.disarm()
        self.finish(job, lie)
        self.back_up()

    def back_up(self):
        again = self.job()
        self.wait(lambda: self.ended(again), RECOVER_SECONDS, "an honest backup ends")
        demand(self.ended(again) == "SUCCEEDED", f"an honest backup: {self.ended(again)} "
               f"{self.job_of(again).error.message[:200]}")

    def finish(self, job, lie):
        """Wherever the lie has led, the job ends: by itself, or when it is cancelled."""
        until = time.monotonic() + SLACK_SECONDS
        while not self.ended(job) and time.monotonic() < until:
            time.sleep(0.1)
        if not self.ended(job):
            self.world.call("JobService/CancelJob", {"name": job})
        self.wait(lambda: self.ended(job), RECOVER_SECONDS, "the job ends when it is cancelled")
        done = self.job_of(job)
        if self.ended(job) == "FAILED":
            demand(done.error.message, "a failure without a message")
        is_first = done.attempt <= 1
        if lie.sees == REFUSED and self.ended(job) == "SUCCEEDED" and is_first:
            raise Failed("the backup succeeded")

    def job(self):
        answer = self.world.call("BackupService/CreateBackup", {"parent": self.cluster})
        demand(answer.code == "OK", f"CreateBackup: {answer.code} {answer.message[:200]}")
        return answer.reply.name

    def job_of(self, name):
        return self.world.call("JobService/GetJob", {"name": name}).reply

    def ended(self, name):
        state = json_format.MessageToDict(self.job_of(name)).get("state", "")
        return state if state in ENDED else ""
