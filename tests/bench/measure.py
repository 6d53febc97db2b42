"""One measurement each: CPU from the kernel's clocks, memory from smaps, load from two programs.

The CPU of a proxy is the time of its whole process, user and system, all threads and those that
have ended too, in nanoseconds. That and memory are the figures that hold on a busy machine;
queries a second and latency move with the weather.
"""

import json
import re
import subprocess
import time

SETTLE_S = 0.15             # let what is still in flight be counted
CROWD_SETTLE_S = 3          # after a crowd has come: what is looked at once a second is done by then
STREAM_OUT_BYTES = 10 ** 9
STREAM_IN_BYTES = 5 * 10 ** 8
STREAMS = {
    "COPY out": ["out", "COPY (SELECT repeat('x', 1000) FROM generate_series(1, "
                        f"{STREAM_OUT_BYTES // 1000})) TO STDOUT"],
    "select small rows": ["out", "SELECT g, repeat('x', 90) FROM generate_series(1, "
                                 f"{STREAM_OUT_BYTES // 100}) g"],
    "select 1 MB rows": ["out", "SELECT v FROM (SELECT repeat('x', 1000000) v OFFSET 0) x, "
                                f"generate_series(1, {STREAM_OUT_BYTES // 10 ** 6})"],
    "COPY in": ["in", "COPY copy_target FROM STDIN WHERE false", str(STREAM_IN_BYTES)],
}


# What an ORM does: four round trips, each of which waits for its answer.
TRANSACTION = """\\set aid random(1, 100000 * :scale)
BEGIN;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :aid;
COMMIT;
"""


class LoadError(Exception):
    """A load program failed; the text is what it said."""


def cpu_ns(pid):
    """CPU time that a process has used so far; 0 where there is no process."""
    if pid is None:
        return 0
    return time.clock_gettime_ns((~pid << 3) | 2)   # CPUCLOCK_SCHED of a whole process


def memory_bytes(pid):
    """The process's proportional set size: its own pages, and its share of shared ones."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return 1024 * int(re.search(r"^Pss:\s+(\d+)", file.read(), re.M)[1])


class CpuMeter:
    """Measures the CPU a target's process uses inside a with statement."""

    def __init__(self, target):
        self.pid, self.used_ns = target.pid, 0

    def __enter__(self):
        self.before_ns = cpu_ns(self.pid)
        return self

    def __exit__(self, *_):
        time.sleep(SETTLE_S)
        self.used_ns = cpu_ns(self.pid) - self.before_ns

    def us_per(self, count):
        """Microseconds for each of so many; None where there is no process."""
        return self.used_ns / 1000 / count if self.pid else None


def pgbench(world, target, mode, clients, seconds=None, transactions=None, script=None):
    """pgbench's select script, or another; returns queries (or runs of the script), a second, mean
    latency and CPU per query."""
    what = ["-S"]
    if script:
        what = ["-s", "1", "-f", world.path("script.sql")]
        with open(what[-1], "w", encoding="ascii") as file:
            file.write(script)
    length = ["-T", str(seconds)] if seconds else ["-t", str(transactions)]
    argv = [world.cluster.tool("pgbench"), "-n", *what, "-M", mode, "-c", str(clients), "-j",
            str(min(2, clients)), *length]
    with CpuMeter(target) as meter:
        done = subprocess.run(argv, env=target.libpq_env(), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, cwd=world.dir, check=False)
    count = re.search(r"actually processed: (\d+)", done.stdout)
    if done.returncode or not count or not int(count[1]):
        raise LoadError(f"pgbench at {target.name}: {done.stdout.strip()}")
    return {"queries": int(count[1]), "cpu_us": meter.us_per(int(count[1])),
            "tps": float(re.search(r"tps = ([\d.]+)", done.stdout)[1]),
            "latency_us": 1000 * float(re.search(r"latency average = ([\d.]+)", done.stdout)[1])}


def load(world, target, *args):
    """Runs load.c to its end; returns what it printed."""
    done = subprocess.run([world.tool("load"), args[0], str(target.port), *args[1:]],
                          env=target.load_env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, check=False)
    if done.returncode:
        raise LoadError(f"load {args[0]} at {target.name}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def orm(world, target, style, clients, seconds):
    """Transactions as ORMs do them; the median of their times, and CPU per transaction."""
    with CpuMeter(target) as meter:
        got = load(world, target, "orm", str(clients), str(seconds), style)
    return {"tps": got["transactions"] / got["seconds"], "latency_us": got["median_us"],
            "cpu_us": meter.us_per(got["transactions"])}


def storm(world, target, seconds):
    """Logins one after the other on eight threads; returns logins a second and CPU per login."""
    with CpuMeter(target) as meter:
        got = load(world, target, "storm", str(seconds))
    return {"rate": got["logins"] / got["seconds"], "cpu_us": meter.us_per(got["logins"])}


def stream(world, target, kind):
    """One of STREAMS; returns megabytes a second and CPU microseconds per megabyte."""
    with CpuMeter(target) as meter:
        got = load(world, target, *STREAMS[kind])
    megabytes = got["bytes"] / 10 ** 6
    return {"rate": megabytes / got["seconds"], "cpu_us": meter.us_per(megabytes)}


class Crowd:
    """Clients that are logged in and idle, held by load.c."""

    def __init__(self, world, target, clients):
        self.target = target
        self.process = subprocess.Popen(
            [world.tool("load"), "idle", str(target.port), str(clients)], env=target.load_env(),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._wait_ready()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(60)

    def prepare(self):
        """Each client uses a prepared statement once."""
        self.process.stdin.write("prepare\n")
        self.process.stdin.flush()
        self._wait_ready()

    def _wait_ready(self):
        if self.process.stdout.readline() != "ready\n":
            raise LoadError(f"idle clients at {self.target.name}: "
                            f"{self.process.stderr.read().strip()}")
        time.sleep(0.5)


def idle(world, target, clients):
    """Memory per idle client, after a prepared statement too; CPU while nothing happens.

    The proxy should be fresh: it is warmed with a few clients, so that what it allocates once is
    not counted. Without prepared statements in transaction mode, that figure is None."""
    prepared = world.has_prepared(target.name)
    with Crowd(world, target, 64) as crowd:
        if prepared:
            crowd.prepare()
    time.sleep(0.5)
    before = memory_bytes(target.pid)
    login = CpuMeter(target)
    with login:
        crowd = Crowd(world, target, clients)
    with crowd:
        got = {"login_cpu_us": login.us_per(clients),
               "bytes": (memory_bytes(target.pid) - before) / clients}
        time.sleep(CROWD_SETTLE_S)
        got["idle_cpu_us"] = idle_cpu_us(target)
        got["bytes_prepared"] = None
        if prepared:
            crowd.prepare()
            got["bytes_prepared"] = (memory_bytes(target.pid) - before) / clients
    return got


def idle_cpu_us(target, seconds=2):
    """CPU that a proxy uses while its clients do nothing."""
    before = cpu_ns(target.pid)
    time.sleep(seconds)
    return (cpu_ns(target.pid) - before) / 1000
