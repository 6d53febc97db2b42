#!/usr/bin/env python3
"""What replicas take off the primary: how many reads they serve, and how much more two serve than one.

Real servers, a primary and two streaming replicas, say themselves what they ran
(pg_stat_statements); Howdah's own counters must agree. With names, only those checks run.
--seconds is for each measurement.
"""

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, eventually, true  # noqa: E402
from howdah import Howdah  # noqa: E402
from trio import Trio, all_up, rows  # noqa: E402

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--seconds", type=float, default=4)
parser.add_argument("--sessions", type=int, default=4)
parser.add_argument("names", nargs="*", metavar="NAME")
options = parser.parse_args()
sys.argv[1:] = options.names

AFTER_WRITE = os.path.join(os.environ.get("HOWDAH_BUILD_DIR", "build"), "tests", "causal", "after-write")
# Milliseconds between a session's write and its read, and the share that replicas must serve.
SHARES = {0: 0.0, 1: 0.70, 5: 0.93, 20: 0.99}
TRIES = 3  # of what a busy machine can only make worse
SCALES_MIN = 1.8
SLOW_S, SLOW_LINKS, SLOW_CLIENTS = 0.01, 2, 16

suite = Suite("reads", check_limit_s=300)
trio = Trio(suite, "app", synchronous_commit="on", shared_preload_libraries="pg_stat_statements")


@trio.started
def _(primary):
    for sql in ["CREATE EXTENSION pg_stat_statements", "CREATE TABLE slow (id int PRIMARY KEY, v int)",
                "INSERT INTO slow SELECT g, g FROM generate_series(1, 1000) g"] + \
            [sql for ms in SHARES for sql in (f"CREATE TABLE after_{ms} (id int PRIMARY KEY, v int)",
                                              f"INSERT INTO after_{ms} SELECT g, 0 FROM generate_series(0, 63) g")]:
        primary.psql(sql, db="app")


def calls(pattern):
    """How often each server has run statements like this."""
    sql = f"SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE query ILIKE '{pattern}'"
    return [int(trio.sql(sql, at)) for at in range(3)]


def forget_calls():
    for at in range(3):
        trio.sql("SELECT pg_stat_statements_reset()", at)


def reads_at_replica(proxy):
    forget_calls()
    trio[0].psql("SELECT count(*) FROM slow", db="app", port=proxy.port)
    return calls("select count(*) from slow")[0] == 0


@contextlib.contextmanager
def proxied(replicas=(1, 2), pool=None, **routing):
    """A Howdah that sees healthy servers; without pool.check_state, whose questions cost time."""
    trio.caught_up()
    config = trio.config(replicas=replicas, routing=routing, pool={"check_state": False, **(pool or {})})
    with Howdah(config=config) as proxy:
        all_up(proxy, 1 + len(replicas))
        trio.caught_up()
        eventually(lambda: reads_at_replica(proxy), "reads go to replicas", 10)
        yield proxy


def share_after(proxy, ms):
    """Of reads that follow their session's write by so many ms: the share that replicas ran."""
    forget_calls()
    argv = [AFTER_WRITE, proxy.port, f"after_{ms}", ms * 1000, options.sessions, options.seconds]
    done = subprocess.run([str(word) for word in argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=False)
    true(done.returncode == 0, done.stderr)
    found = json.loads(done.stdout)
    ran = calls(f"select v from after_{ms} %")
    equal(found["stale"], 0, "reads that did not show their session's write")
    equal(sum(ran), found["reads"], "reads by the servers' count")
    equal([calls(f"update after_{ms} %")[at] for at in (1, 2)], [0, 0], "writes at replicas")
    share = sum(ran[1:]) / found["reads"]
    print(f"# {ms} ms after the write ({found['delay_us'] / 1000:.2f} ms in the mean), {found['reads']} reads: "
          f"{share:.1%} at replicas {ran}", flush=True)
    return share


def counted(proxy):
    """Reads that replicas served, by Howdah's own word, and why others were not: SHOW REPLICAS."""
    return {row["node"]: {key: int(value or 0) for key, value in row.items() if re.search("reads|queries", key)}
            for row in rows(proxy)}


@suite.check("reads soon after a write are served by healthy replicas")
def _():
    with proxied() as proxy:
        for ms, least in SHARES.items():
            best = 0.0
            for _ in range(TRIES):
                best = max(best, share_after(proxy, ms))
                if best >= least:
                    break
            true(best >= least, f"{best:.1%} of the reads {ms} ms after a write, wanted {least:.0%}")
        print(f"# by SHOW REPLICAS: {counted(proxy)}", flush=True)


def slow_rate(replicas):
    """Reads a second that take SLOW_S at the server each, with SLOW_LINKS connections to each replica."""
    with proxied(replicas, pool={"size": SLOW_LINKS}) as proxy:
        script = os.path.join(proxy.dir, "slow.sql")
        with open(script, "w", encoding="ascii") as file:
            file.write(f"\\set id random(1, 1000)\nSELECT v, pg_sleep({SLOW_S}) FROM slow WHERE id = :id;\n")
        forget_calls()
        seconds = str(max(1, round(options.seconds)))
        argv = [trio[0].tool("pgbench"), "-n", "-f", script, "-c", str(SLOW_CLIENTS), "-T", seconds,
                "-h", "127.0.0.1", "-p", str(proxy.port), "-U", "postgres", "app"]
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        true(done.returncode == 0, done.stdout)
    rate = float(re.search(r"tps = ([\d.]+)", done.stdout)[1])
    print(f"# {len(replicas)} slow replicas: {rate:.0f} reads a second, at {calls('select v, pg_sleep%')}", flush=True)
    return rate


@suite.check("two replicas that are equally slow serve twice what one does")
def _():
    best = 0.0
    for _ in range(TRIES):
        best = max(best, slow_rate((1, 2)) / slow_rate((1,)))
        if best >= SCALES_MIN:
            break
    print(f"# {best:.2f} times the reads of one replica", flush=True)
    true(best >= SCALES_MIN, f"{best:.2f}, wanted {SCALES_MIN}")


if __name__ == "__main__":
    suite.main()
