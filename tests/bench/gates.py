"""What repeats, so that tests may gate on it: system calls, instructions, allocations, bytes.

Counts a query are taken from two runs of pgbench that differ only in length, one subtracted from
the other, so that logins, start-up and the end cost nothing. A proxy counts as the World's target
does, so the same counts can be had for the relay and for PgBouncer.
"""

import json
import os
import re
import shutil
import signal
import struct
import subprocess
import time

from measure import TRANSACTION, LoadError, load, pgbench
from targets import Skip

CLIENTS = 32
SYSCALLS = ["epoll_wait", "epoll_pwait", "epoll_pwait2", "epoll_ctl", "poll", "recvfrom", "recvmsg",
            "recvmmsg", "sendto", "sendmsg", "sendmmsg", "read", "readv", "write", "writev",
            "futex", "splice", "io_uring_enter", "timerfd_settime", "clock_gettime"]
TRANSFERS = ["sendto", "sendmsg", "write", "writev", "recvfrom", "recvmsg", "read", "readv"]
ATTACH_S = 0.4              # perf and strace need this long to be in place
SANITIZERS = (b"libasan.so", b"libtsan.so", b"libubsan.so", b"__asan_init", b"__tsan_init")


def subtract(count, short, long):
    """count(transactions per client) for two lengths; the difference for one query, by name."""
    few, many = count(short), count(long)
    queries = CLIENTS * (long - short)
    return {name: (many[name] - few.get(name, 0)) / queries for name in many}


def count_syscalls(world, target, mode, short=100, long=1100, tool=None):
    """System calls per query: {"all": …, "sendto": …}. With perf's tracepoints if it has them,
    as strace slows the proxy so that it finds more events ready at each wake."""
    pgbench(world, target, mode, CLIENTS, transactions=short)

    def count(transactions):
        return count_while(world, target, tool, lambda: pgbench(world, target, mode, CLIENTS,
                                                                transactions=transactions))[0]

    return subtract(count, short, long)


def count_syscalls_a_login(world, target, seconds=1):
    """System calls a login, SELECT 1 and goodbye make a pooler do, by name."""
    load(world, target, "storm", "0.2")     # opens the server connections
    counts, got = count_while(world, target, None,
                              lambda: load(world, target, "storm", str(seconds)))
    return {name: count / got["logins"] for name, count in counts.items()}


def count_transfers_a_transaction(world, target, mode, short=20, long=220):
    """Sends and receives that a transaction of four statements costs at one client."""
    def count(transactions):
        counts, _ = count_while(world, target, None, lambda: pgbench(
            world, target, mode, 1, transactions=transactions, script=TRANSACTION))
        return sum(counts.get(name, 0) for name in TRANSFERS)

    count(short)    # opens the server connection
    few, many = count(short), count(long)
    return (many - few) / (long - short)


def count_sends_a_megabyte(world, target, megabytes=100):
    """Sends that a megabyte of COPY out costs: what is not gathered into one is paid again."""
    sql = ("COPY (SELECT repeat('x', 1000) FROM generate_series(1, "
           f"{megabytes * 1000})) TO STDOUT")
    counts, _ = count_while(world, target, None, lambda: load(world, target, "out", sql))
    return sum(counts.get(name, 0) for name in ("sendto", "sendmsg", "write")) / megabytes


def count_while(world, target, tool, work):
    """System calls that the target makes while work() runs, by name, and what work() returned."""
    tool = tool or ("perf" if perf_works() else "strace")
    if not shutil.which(tool):
        raise Skip("neither perf with tracepoints nor strace is here")
    counters = {"perf": _count_with_perf, "strace": _count_with_strace}
    counts, result = counters[tool](world, target, work)
    if "all" not in counts:
        raise Skip(f"{tool} may not trace another process here")
    return counts, result


def count_instructions(world, name, mode, short=30, long=180, script=None):
    """User-space instructions per query, or run of the script, of a fresh proxy, as callgrind counts
    them. Under it the proxy is slow, so that all 32 clients wait for it, as under full load."""
    if not shutil.which("valgrind"):
        raise Skip("valgrind is not here")
    return subtract(lambda n: _count_with_callgrind(world, name, mode, n, script), short,
                    long)["all"]


def count_allocations(world, name, mode, short=100, long=1100):
    """Calls that ask for memory, per query, of a warmed proxy."""
    path = world.path(f"allocations-{name}-{mode}")
    with open(path, "wb") as file:
        file.write(bytes(8))
    os.chmod(path, 0o666)
    env = {"LD_PRELOAD": world.tool("malloc_count.so"), "MALLOC_COUNT_FILE": path}
    if name == "howdah" and is_sanitized(world.peers["howdah"]):
        raise Skip("the binary is built with a sanitizer, which has its own malloc")
    with world.start(name, env=env) as target:
        if not _read_counter(path):
            raise LoadError("nothing was counted: malloc_count.so was not preloaded")
        pgbench(world, target, mode, CLIENTS, transactions=long)

        def count(transactions):
            before = _read_counter(path)
            pgbench(world, target, mode, CLIENTS, transactions=transactions)
            return {"all": _read_counter(path) - before}

        return subtract(count, short, long)["all"]


def perf_works():
    """Whether perf may count system calls here: it needs root and the kernel's tracepoints."""
    if not shutil.which("perf"):
        return False
    return subprocess.run(["perf", "stat", "-e", "raw_syscalls:sys_enter", "true"], check=False,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def is_sanitized(binary):
    """Whether a binary is built with ASan, TSan or UBSan, which no count is fair to."""
    with open(binary, "rb") as file:
        content = file.read()
    return any(name in content for name in SANITIZERS)


def is_default_build(binary):
    """Whether the binary is of the optimisation that is meson.build's default, as far as its build
    folder tells: one that was made earlier keeps its options."""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(binary)))
    path = os.path.join(folder, "meson-info", "intro-buildoptions.json")
    if not os.path.exists(path):
        return True
    with open(path, encoding="utf-8") as file:
        options = {option["name"]: option["value"] for option in json.load(file)}
    return options["optimization"] == "3" and options["b_lto"]


def _read_counter(path):
    with open(path, "rb") as file:
        return struct.unpack("=Q", file.read(8))[0]


def _count_with_perf(world, target, work):
    tracing = "/sys/kernel/tracing/events/syscalls/sys_enter_"
    known = [name for name in SYSCALLS if os.path.exists(tracing + name)]
    events = ["raw_syscalls:sys_enter"] + [f"syscalls:sys_enter_{name}" for name in known]
    out = world.path("perf.txt")
    result = _under(["perf", "stat", "-x", ";", "-o", out, "-e", ",".join(events), "-p",
                     str(target.pid)], work)
    counts = {}
    with open(out, encoding="utf-8") as file:
        for fields in (line.split(";") for line in file):
            if len(fields) > 3 and fields[0].isdigit():
                name = re.sub(r"^.*?:sys_enter_?", "", fields[2]) or "all"
                counts[name] = int(fields[0])
    return counts, result


def _count_with_strace(world, target, work):
    out = world.path("strace.txt")
    result = _under(["strace", "-c", "-f", "-U", "calls,name", "-o", out, "-p", str(target.pid)],
                    work)
    with open(out, encoding="utf-8") as file:
        rows = re.findall(r"^\s*(\d+)\s+(\w+)\s*$", file.read(), re.M)
    return {"all" if name == "total" else name: int(count) for count, name in rows}, result


def _under(tracer, work):
    with subprocess.Popen(tracer, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        time.sleep(ATTACH_S)
        try:
            return work()
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)


def _count_with_callgrind(world, name, mode, transactions, script):
    out = world.path("callgrind.out")
    if os.path.exists(out):
        os.unlink(out)
    wrapper = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}"]
    with world.start(name, wrapper=wrapper) as target:
        pgbench(world, target, mode, CLIENTS, transactions=transactions, script=script)
    with open(out, encoding="utf-8") as file:
        total = re.search(r"^(?:totals|summary): (\d+)", file.read(), re.M)
    if not total:
        raise LoadError(f"callgrind wrote no total for {name}: it had to be killed")
    return {"all": int(total[1])}
