"""One measured command: wall time, CPU seconds, peak memory of a set of processes."""
import os
import subprocess
import threading
import time
from dataclasses import dataclass

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Measured:
    wall: float
    cpu: float
    system_cpu: float
    memory: int
    stored: int
    apart: int  # peak memory of servers that are listed apart

    def __str__(self):
        return (f"{self.wall:7.2f} s  cpu {self.cpu:6.1f} s  system {self.system_cpu:6.1f} s  "
                f"{self.memory / 1e6:5.0f} MB peak  {self.stored / 1e6:8.1f} MB stored")


def drop_caches():
    os.sync()
    try:
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
            file.write("3")
    except OSError:
        pass  # an ordinary user measures with a warm cache, for every tool alike


def children(pid):
    """pid and all its descendants."""
    found, queue = [], [pid]
    while queue:
        parent = queue.pop()
        found.append(parent)
        try:
            with open(f"/proc/{parent}/task/{parent}/children", encoding="ascii") as file:
                queue += [int(child) for child in file.read().split()]
        except OSError:
            continue
    return found


def cpu_of(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS
    except OSError:
        return 0.0


def pss_of(pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def system_cpu():
    with open("/proc/stat", encoding="ascii") as file:
        fields = [int(value) for value in file.readline().split()[1:]]
    idle = fields[3] + fields[4]
    return (sum(fields[:8]) - idle) / TICKS


def disk_bytes(path):
    total = 0
    for directory, _, files in os.walk(path):
        for name in files:
            try:
                total += os.lstat(os.path.join(directory, name)).st_size
            except OSError:
                continue
    return total


class Sampler(threading.Thread):
    """Peak of the sum of PSS over the processes that pids() names, every so many seconds."""

    def __init__(self, pids, seconds):
        super().__init__(daemon=True)
        self.pids = pids
        self.seconds = seconds
        self.peak = 0
        self.over = threading.Event()

    def run(self):
        while not self.over.wait(self.seconds):
            self.peak = max(self.peak, sum(pss_of(pid) for pid in self.pids()))


def measure(command, env=None, services=(), apart=(), stored=lambda: 0):
    """Run command; services are pids of long-lived processes that work for it, apart those of
    servers that they use."""
    before_services = sum(cpu_of(pid) for pid in services)
    before_system = system_cpu()
    before_children = os.times()
    before_stored = stored()
    start = time.monotonic()
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True) as process:
        samplers = [Sampler(lambda: children(process.pid) + list(services), 0.1),
                    Sampler(lambda: [child for pid in apart for child in children(pid)], 1.0)]
        for sampler in samplers:
            sampler.start()
        output, _ = process.communicate()
        wall = time.monotonic() - start
        for sampler in samplers:
            sampler.over.set()
            sampler.join()
    if process.returncode != 0:
        raise RuntimeError(f"{command} ended with {process.returncode}:\n{output[-4000:]}")
    after = os.times()
    cpu = (after.children_user - before_children.children_user +
           after.children_system - before_children.children_system)
    cpu += sum(cpu_of(pid) for pid in services) - before_services
    return Measured(wall, cpu, system_cpu() - before_system, samplers[0].peak,
                    stored() - before_stored, samplers[1].peak)
