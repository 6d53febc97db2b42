#!/usr/bin/env python3
"""Reads on replicas that lag, and what a session must see in them all the same.

    run-causal.py                       as a test: about 20 s of sessions
    run-causal.py --operations 1000000  the long form, of each check
    run-causal.py --seed 4711 --sessions 64 NAME...

causal.c has the sessions and the rules; while they run, both replicas are made late again and again
(trio.Lag). The checker itself is on trial, too: it must find nothing at the primary alone, and must
find violations where reads go to replicas without a thought, by a splitter of its own, and by
Howdah with consistency "eventual".
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, eventually, true  # noqa: E402
from howdah import Howdah  # noqa: E402
from trio import Lag, Trio, all_up, rows  # noqa: E402

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--operations", type=int, help="of each check that must find nothing; default: 4 s of it")
parser.add_argument("--sessions", type=int, default=48)
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("names", nargs="*", metavar="NAME")
options = parser.parse_args()
sys.argv[1:] = options.names

SHORT_S, LONG_S = 4, 3000
FAULTS = ("own", "monotonic", "causal", "strong", "phantom")
CAUSAL = os.path.join(os.environ.get("HOWDAH_BUILD_DIR", "build"), "tests", "causal", "causal")

suite = Suite("causal", check_limit_s=LONG_S if options.operations else 120)
trio = Trio(suite, "app", synchronous_commit="on", wal_retrieve_retry_interval="200ms")


@trio.started
def _(primary):
    for sql in (
        "CREATE TABLE counters (owner int, key int, seq int, PRIMARY KEY (owner, key)) WITH (fillfactor = 50)",
        "CREATE TABLE log (owner int, seq int, filler text)",
        "CREATE INDEX ON log (owner, seq)",
        "CREATE FUNCTION counters_set(int, int, int) RETURNS int LANGUAGE plpgsql AS "
        "'BEGIN UPDATE counters SET seq = $3 WHERE owner = $1 AND key = $2; RETURN $3; END'",
    ):
        primary.psql(sql, db="app")


def play(promise, port, reads=(), most_s=None, tolerate=False, switch=None):
    """Runs the sessions while replicas lag; what they found. `switch` is given the running program, which
    ends behind it."""
    trio.sql("TRUNCATE counters, log; INSERT INTO counters SELECT o, k, 0 FROM generate_series(0, 255) o,"
             " generate_series(0, 3) k; INSERT INTO log SELECT o, 0 FROM generate_series(0, 255) o; ANALYZE")
    trio.caught_up()
    operations, seconds = options.operations, LONG_S
    if not operations or most_s:
        operations, seconds = 10**9, most_s or SHORT_S
    argv = [CAUSAL, promise, str(port), ",".join(map(str, reads)) or "-", f"{trio[0].port},{trio[1].port}",
            str(options.sessions), str(operations), str(seconds), str(options.seed),
            *(["tolerate"] if tolerate else [])]
    with Lag([trio[2]] if switch else [trio[1], trio[2]], seed=options.seed, crash=tolerate) as lag:
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            if switch:
                try:
                    switch(process)
                finally:
                    process.terminate()
            said, errors = process.communicate()
    true(process.returncode == 0, errors)
    found = json.loads(said)
    found["examples"] = errors.splitlines()
    rate, share = found["operations"] / found["seconds"], found["at_replicas"] / max(1, found["reads"])
    print(f"# {found['operations']} operations, {rate:.0f} a second, {share:.1%} of the reads at replicas, "
          f"{found['early']} early, {found['errors']} errors, {found['reconnects']} reconnects; lag {lag.done}; "
          f"found { {name: found[name] for name in FAULTS if found[name]} or 'nothing'}", flush=True)
    equal(found["lost"], 0, "lost or doubled writes")
    return found


def nothing(found):
    true(not any(found[name] for name in FAULTS), " | ".join(found["examples"]))


def something(found, *kinds):
    true(all(found[kind] for kind in kinds), f"the checker found nothing of some kind: {found}")
    equal(found["phantom"], 0, f"phantoms {found['examples']}")


@suite.check("the checker finds nothing wrong at the primary alone")
def _():
    nothing(play("strong", trio[0].port, most_s=2))


@suite.check("the checker finds violations where reads just go to replicas")
def _():
    found = play("strong", trio[0].port, (trio[1].port, trio[2].port), most_s=3)
    something(found, "own", "monotonic", "causal", "strong")


def proxied(**routing):
    """Two workers, few server connections: sessions share them."""
    return Howdah(config=trio.config(workers=2, routing={"max_lag": "5s", **routing},
                                     pool={"size": 8, "check_state": False}))


def play_through(promise, routing=None, **how):
    """The same through Howdah."""
    trio.caught_up()
    with proxied(**(routing or {"consistency": promise})) as proxy:
        all_up(proxy)
        return play(promise, proxy.port, **how)


def nothing_and_shared(found):
    """No violation, and replicas have really been read from."""
    nothing(found)
    true(found["at_replicas"] > found["reads"] // 50, f"replicas served only {found['at_replicas']} reads")


@suite.check("session: own writes and monotonic reads")
def _():
    nothing_and_shared(play_through("session"))


@suite.check("session, with until_write and replicas that are waited for")
def _():
    nothing_and_shared(play_through("session", {"transaction_reads": "until_write", "wait_for_replica": "5ms"}))


@suite.check("session, with replicas that crash and recover")
def _():
    nothing(play_through("session", tolerate=True))


@suite.check("strong: what anybody had acknowledged before")
def _():
    found = play_through("strong")
    nothing(found)
    true(found["at_replicas"] > 0, "replicas served no read")


@suite.check("eventual: violations are found")
def _():
    something(play_through("strong", {"consistency": "eventual"}, most_s=3), "own", "monotonic", "strong")


@suite.check("session, with hosts and a switchover: the same holds behind it, at the replica that is left, too")
def _():
    trio.caught_up()
    config = trio.config(workers=2, pool={"size": 8, "check_state": False},
                         routing={"max_lag": "5s", "consistency": "session"})
    app = config["databases"]["app"]
    app["hosts"] = [app.pop("primary"), *app.pop("replicas")]
    with Howdah(config=config) as proxy:

        def switch(process):
            time.sleep(1.5)
            proxy.admin("PAUSE app")
            trio.caught_up()
            trio[0].pause()
            trio[1].promote()
            trio[2].become_standby(trio[1])
            trio[2].reload()
            process.send_signal(signal.SIGUSR1)
            eventually(lambda: rows(proxy)[1]["writes"] == "yes", "the next one is the primary", 20)
            proxy.admin("RESUME app")
            eventually(lambda: rows(proxy)[2]["timeline"] == "2", "the other one follows", 20)
            before = int(rows(proxy)[2]["reads"])
            eventually(lambda: int(rows(proxy)[2]["reads"]) > before, "it is read again", 20)
            time.sleep(2)

        all_up(proxy)
        nothing_and_shared(play("session", proxy.port, most_s=100, switch=switch))


if __name__ == "__main__":
    suite.main()
