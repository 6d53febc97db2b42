#!/usr/bin/env python3
"""Networks that go silent: a peer that is gone without a word is noticed within seconds.

Howdah runs in a network namespace of its own, with one pair of interfaces towards the server and
one towards the clients, and the test lets either swallow everything.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Skip, Suite, equal, eventually, true  # noqa: E402
from howdah import Howdah  # noqa: E402
from stage import Stage  # noqa: E402
from wire import Closed, ServerError, Wire, query  # noqa: E402

SPACE = f"howdah{os.getpid()}"
PREFIXES = {"server": "hs", "client": "hc"}
# Of each pair the end outside, the end inside, and their addresses.
SIDES = {
    "server": (f"{PREFIXES['server']}{os.getpid()}", "toserver", "10.231.1.1", "10.231.1.2"),
    "client": (f"{PREFIXES['client']}{os.getpid()}", "toclient", "10.231.2.1", "10.231.2.2"),
}

suite = Suite("network", check_limit_s=120)
stage = Stage(
    suite,
    options={"listen_addresses": "*"},
    hba="local all all trust\nhost all all 127.0.0.1/32 trust\nhost all all 10.231.0.0/16 trust\n",
)


def ip(*arguments, space=None):
    command = ["ip", *(["-n", space] if space else []), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


def remove_left_behind():
    """Of a run that was killed: its interfaces have the addresses of ours."""
    with contextlib.suppress(FileNotFoundError):
        for space in os.listdir("/run/netns"):
            pid = space.removeprefix("howdah")
            if pid != space and pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
                remove(space, [prefix + pid for prefix in PREFIXES.values()])


def make_space():
    remove_left_behind()
    ip("netns", "add", SPACE)
    ip("link", "set", "lo", "up", space=SPACE)
    for outer, inner, outer_address, inner_address in SIDES.values():
        ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", SPACE)
        ip("address", "add", f"{outer_address}/30", "dev", outer)
        ip("address", "add", f"{inner_address}/30", "dev", inner, space=SPACE)
        ip("link", "set", outer, "up")
        ip("link", "set", inner, "up", space=SPACE)


def remove(space, interfaces):
    with contextlib.suppress(OSError):
        ip("netns", "del", space)  # the interfaces go with it
    for interface in interfaces:
        with contextlib.suppress(OSError):
            ip("link", "del", interface)


def remove_space():
    remove(SPACE, [outer for outer, *_ in SIDES.values()])


def silence(side, silent=True):
    """A stranger's hardware address swallows everything; no interface goes down, nobody is told."""
    outer, inner, outer_address, inner_address = SIDES[side]
    for address, name, space in ((inner_address, outer, None), (outer_address, inner, SPACE)):
        if silent:
            ip("neighbour", "replace", address, "lladdr", "02:00:00:00:00:99", "dev", name,
               "nud", "permanent", space=space)
        else:
            ip("neighbour", "del", address, "dev", name, space=space)


@contextlib.contextmanager
def proxy(**pool):
    """A running Howdah in its namespace."""
    try:
        make_space()
    except OSError as error:
        remove_space()
        raise Skip(f"no network namespaces here: {error}") from error
    howdah = None
    try:
        config = stage.config(primary=f"postgres://10.231.1.1:{stage.cluster.port}/app", **pool)
        config["listen"] = ["10.231.2.2:7432"]
        howdah = Howdah(config=config, wrapper=["nsenter", f"--net=/run/netns/{SPACE}"])
        howdah.start()
        yield howdah
        equal(howdah.stop(), 0, "exit code")
    finally:
        # What a silent network kept from the server runs on there.
        for pid in stage.backends():
            stage.sql(f"SELECT pg_terminate_backend({pid})")
        if howdah is not None:
            howdah.stop(signal.SIGKILL)
        remove_space()


def client(timeout_s=60):
    made = Wire(7432, host="10.231.2.2", timeout_s=timeout_s)
    made.login("postgres", "app")
    return made


def ends_after(wire):
    """How long until it is told the end, and the SQLSTATE."""
    begun = time.monotonic()
    result = wire.until("E")[-1].fields["C"]
    return time.monotonic() - begun, result


@suite.check("the server's network goes silent during a query: an error within 12 s, and service again")
def _():
    with proxy(size=1) as howdah:
        victim = client()
        victim.send(query("SELECT pg_sleep(100)"))
        eventually(lambda: stage.backends("state = 'active'"), "the query runs")
        silence("server")
        took, sqlstate = ends_after(victim)
        true(took < 12, f"noticed after {took:.1f} s")
        equal(sqlstate[:2], "08", "class of the error")
        silence("server", False)
        equal(howdah.process.poll(), None)
        eventually(served, "service when the network is back", 20)


def served():
    try:
        with client(timeout_s=10) as wire:
            return wire.scalar("SELECT 'in'") == "in"
    except (ServerError, Closed, OSError):
        return False


@suite.check("the server's network goes silent while links are idle: a query on one ends within 8 s")
def _():
    with proxy(size=1):
        victim = client()
        equal(victim.scalar("SELECT 1"), "1")
        silence("server")
        victim.send(query("SELECT 2"))
        took, _sqlstate = ends_after(victim)
        true(took < 8, f"noticed after {took:.1f} s")
        silence("server", False)
        eventually(served, "service when the network is back", 20)


@suite.check("a client's network goes silent during a read: it is cancelled within 35 s")
def _():
    with proxy(size=1):
        victim = client()
        victim.send(query("SELECT pg_sleep(100)"))
        eventually(lambda: stage.backends("state = 'active'"), "the query runs")
        silence("client")
        begun = time.monotonic()
        eventually(lambda: not stage.backends("state = 'active'"), "the read is cancelled", 60)
        took = time.monotonic() - begun
        true(took < 35, f"noticed after {took:.1f} s")
        silence("client", False)
        eventually(served, "service when the network is back", 20)


@suite.check("a client's network goes silent while rows are on their way: noticed within 16 s")
def _():
    with proxy(size=1):
        victim = client()
        victim.rows("BEGIN")
        victim.send(query("SELECT repeat('x', 10000), pg_sleep(0.05) FROM generate_series(1, 2000)"))
        eventually(lambda: stage.backends("state = 'active'"), "the query runs")
        silence("client")
        begun = time.monotonic()
        eventually(lambda: not stage.backends("state <> 'idle'"), "the transaction is rolled back", 60)
        took = time.monotonic() - begun
        true(took < 16, f"noticed after {took:.1f} s")


if __name__ == "__main__":
    suite.main()
