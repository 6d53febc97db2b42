#!/usr/bin/env python3
"""Polls for causal reads at a real primary and two replicas: every write's is answered, and soon.

The daemon's prober is driven by tests/bench/ticks.c, whose sessions write and want as engines do;
tests/bench/measure-ticks.py measures with it.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, true  # noqa: E402
from trio import Trio, pause_replay  # noqa: E402

BIN = os.environ.get("HOWDAH_BIN", "build/daemon/howdah")
TICKS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(BIN))), "tests/bench/bench-ticks")

suite = Suite("ticks", check_limit_s=120)
trio = Trio(suite, synchronous_commit="on")

# A login takes so long, and so long may a poll take on a machine that does other things.
LOGIN_S, POLL_S = 1, 0.6


@trio.started
def _(primary):
    primary.psql("CREATE TABLE ticks (a int); CREATE ROLE nobody_special LOGIN")


def bench(*arguments, user="postgres"):
    """Runs the program; its figures by name."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(trio.config(user=user), file)
        file.flush()
        done = subprocess.run([TICKS, file.name, trio.dsn(0), *map(str, arguments)], capture_output=True, text=True,
                              timeout=100)
    equal(done.returncode, 0, done.stderr)
    print(f"# {done.stdout.strip()}", flush=True)
    words = {"given up": r"given up (\d+)", "bound max": r"bound .*? max (\d+) us", "writes": r"writes/s (\d+)",
             "polls": r"polls/s (\d+)"}
    found = {name: re.search(pattern, done.stdout) for name, pattern in words.items()}
    return {name: int(match[1]) for name, match in found.items() if match}


@suite.check("each write's poll is answered and reached by both replicas, also without any privilege")
def _():
    for user in ("postgres", "nobody_special"):
        found = bench(4, 1, 2, user=user)
        equal(found["given up"], 0, "writes that no poll covered")
        true(found["writes"] > 20, str(found))


@suite.check("while a connection is renewed the one before it answers")
def _():
    trio[0].options["post_auth_delay"] = str(LOGIN_S)
    trio[0].reload()
    try:
        found = bench(1, 2, 15)  # one renewal
    finally:
        del trio[0].options["post_auth_delay"]
        trio[0].reload()
    equal(found["given up"], 0, "writes that no poll covered")
    true(found["bound max"] < POLL_S * 1e6, str(found))


@suite.check("a stream of wants has a bound, and none costs nothing")
def _():
    true(bench(1, 0, 2, 20000)["polls"] <= 2100, "polls a second")
    true(bench(1, 0, 4, 1)["polls"] <= 4, "one want a second, and the probes")


@suite.check("a replica that is paused is asked seldom, and noticed when it goes on")
def _():
    def statements():
        return int(trio[1].psql("SELECT sum(xact_commit) FROM pg_stat_database"))

    trio.caught_up()
    pause_replay(trio[1])
    try:
        time.sleep(1)
        before = statements()
        bench(1, 20, 4)
        time.sleep(1)
        true(statements() - before < 400, f"{statements() - before} transactions at the paused replica")
    finally:
        pause_replay(trio[1], False)
    trio.caught_up()
    equal(bench(2, 1, 2)["given up"], 0, "writes that no poll covered")


if __name__ == "__main__":
    suite.main()
