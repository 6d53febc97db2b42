#!/usr/bin/env python3
"""Kills, freezes and switchovers of the primary under load, with a synchronous standby.

Writers add rows by keys of their own and count in counters, in transactions and single statements, and
note what they were told: done, not done, or unknown (08007). After each change of the primary the new one
must have every row that was acknowledged, none that was refused, none twice, and counters that say the same.

    run-kills.py                     a few of each, for tests/run
    run-kills.py --kills 50 --switchovers 20 --freezes 5    the long form

It prints how long no write was acknowledged, beside how long the promotion took.
"""

import argparse
import contextlib
import os
import random
import signal
import statistics
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Failed, Suite, equal, eventually, true  # noqa: E402
from howdah import Howdah  # noqa: E402
from pgcluster import Cluster, Replica  # noqa: E402
from wire import Closed, ServerError, Wire, one_shot, query, sync  # noqa: E402

WRITERS, IDLERS = 6, 4
BLACKOUT_S = 1.0  # more than the promotion took
LIMIT_S = 30      # of a statement: nothing may hang
NAMES = ("one", "two")
SYNC = {"synchronous_commit": "on", "wal_retrieve_retry_interval": "200ms",
        "wal_level": "replica", "shared_buffers": "32MB"}
NOT_DONE = ("08006", "57P01", "57P03", "53300", "08001")  # what a client is told of what did not happen

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--kills", type=int, default=3)
parser.add_argument("--switchovers", type=int, default=2)
parser.add_argument("--freezes", type=int, default=1)
parser.add_argument("--seed", type=int, default=1)
options, rest_of_arguments = parser.parse_known_args()
sys.argv[1:] = rest_of_arguments

suite = Suite("kills", check_limit_s=60 + 20 * (options.kills + options.switchovers + 2 * options.freezes))


# --- servers --------------------------------------------------------------------------------------


class Pair:
    """A primary and its synchronous standby, which change places. Ports stay: they are the hosts."""

    def __init__(self):
        self.primary = Cluster(options={**SYNC, "cluster_name": NAMES[0]})
        self.primary.start()
        self.primary.psql("CREATE TABLE t (key text PRIMARY KEY, at int); CREATE TABLE c (who int PRIMARY KEY, n int)")
        self.standby = self.hosts = None
        self.spare = None  # a port that the next standby takes
        self.build()

    def build(self):
        """A new standby, which becomes the synchronous one."""
        self.standby = Replica(self.primary, {"cluster_name": "standby", "synchronous_standby_names": ""})
        if self.spare is None:
            self.standby.start()
        else:
            start_at(self.standby, self.spare)
        self.primary.options["synchronous_standby_names"] = "standby"
        self.primary.reload()
        eventually(lambda: self.primary.psql("SELECT sync_state FROM pg_stat_replication") == "sync",
                   "the standby is synchronous", 15)

    def clear(self):
        """As it was at the beginning, for the next check."""
        self.primary.psql("TRUNCATE t, c;"
                          f"INSERT INTO c SELECT i, 0 FROM generate_series(0, {WRITERS - 1}) i")
        self.hosts = [self.primary, self.standby]

    def promote(self):
        """The standby becomes the primary; how long that took, until it says so itself."""
        began = time.monotonic()
        self.standby.promote()
        return time.monotonic() - began

    def change(self):
        """After a promotion: a new standby at the place of the old primary, which is gone for good."""
        self.spare = self.primary.port
        self.primary.stop()
        self.primary = self.standby
        self.build()

    def stop(self):
        for server in (self.standby, self.primary):
            if server is not None:
                server.stop()


PAIR = []  # made by the first check, and after one that has failed


@contextlib.contextmanager
def pair_of_servers():
    if not PAIR:
        PAIR.append(Pair())
        suite.at_end(PAIR[0].stop)
    PAIR[0].clear()
    try:
        yield PAIR[0]
    except BaseException:
        PAIR.pop().stop()
        raise


def start_at(replica, port):
    """Starts it on that port."""
    import pgcluster
    free, pgcluster.free_port = pgcluster.free_port, lambda: port
    try:
        replica.start()
    finally:
        pgcluster.free_port = free


def config(pair, size=8):
    return {
        "workers": 2,
        "auth": {"method": "trust"},
        "admin": {"users": ["admin"]},
        "databases": {"app": {
            "hosts": [f"postgres://postgres@127.0.0.1:{host.port}/postgres" for host in pair.hosts],
            "routing": {"failover_wait": "30s"},
            "pool": {"size": size, "wait_timeout": "40s"},
        }},
    }


# --- clients --------------------------------------------------------------------------------------


class Writer(threading.Thread):
    """One client at a time, which writes until it is told to end."""

    def __init__(self, proxy, number, ledger):
        super().__init__(daemon=True)
        self.proxy, self.number, self.ledger = proxy, number, ledger
        self.random = random.Random(f"{options.seed}/{number}")
        self.client, self.count, self.over = None, 0, False

    def run(self):
        try:
            while not self.over:
                self.write()
        except Exception as error:  # carried to the check
            self.ledger.broken = error

    def write(self):
        key = f"{self.number}/{self.count}"
        self.count += 1
        try:
            if self.client is None:
                self.client = Wire(self.proxy.port, timeout_s=LIMIT_S)
                self.client.login("postgres", "app")
            self.ways()[self.count % 3](key)
        except ServerError as error:
            self.ledger.failed(key, error.sqlstate, str(error))
            if self.client is not None:
                self.client.close()
                self.client = None
            return
        self.ledger.done(key)

    def ways(self):
        return self.single, self.transaction, self.extended

    def single(self, key):
        """A row and a count in one statement."""
        self.rows(f"WITH n AS (UPDATE c SET n = n + 1 WHERE who = {self.number} RETURNING n)"
                  f" INSERT INTO t SELECT '{key}', n FROM n")

    def transaction(self, key):
        self.rows("BEGIN")
        self.rows(f"UPDATE c SET n = n + 1 WHERE who = {self.number}")
        self.rows(f"INSERT INTO t VALUES ('{key}', 0)")
        self.rows("COMMIT")

    def extended(self, key):
        ask(self.client, one_shot(f"WITH n AS (UPDATE c SET n = n + 1 WHERE who = {self.number} RETURNING n)"
                                  " INSERT INTO t SELECT $1, n FROM n", key), sync())

    def rows(self, sql):
        ask(self.client, query(sql))


def ask(client, *parts):
    """Sends these and waits for their end; the last words before a connection ends are heard, too."""
    told = None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        client.send(*parts)
    while True:
        try:
            message = client.message()
        except Closed as closed:
            # What is said as it is closed may be lost to who sends at that moment (TCP's reset).
            state = "reset" if closed.reset else "closed"
            raise told or ServerError({"C": state, "M": "without a word"}) from None
        told = ServerError(message.fields) if message.kind == "E" else told
        if message.kind == "Z":
            if told is not None:
                raise told
            return


class Idler(threading.Thread):
    """Has nothing under way when things happen: it must notice nothing. (Reads, now and then.)"""

    def __init__(self, proxy):
        super().__init__(daemon=True)
        self.client = Wire(proxy.port, timeout_s=LIMIT_S)
        self.client.login("postgres", "app")
        self.client.rows("SET application_name = 'idle'")
        self.client.rows("SELECT 1")

    def look(self):
        equal(self.client.scalar("SHOW application_name"), "idle", "what an idle client had set")


class Ledger:
    """What the writers were told."""

    def __init__(self):
        self.lock = threading.Lock()
        self.acknowledged, self.refused, self.unknown, self.states = [], [], [], {}
        self.gap_s, self.last, self.watched = 0, time.monotonic(), False
        self.broken, self.rows = None, 0

    def done(self, key):
        with self.lock:
            now = time.monotonic()
            self.acknowledged.append(key)
            if self.watched:
                self.gap_s = max(self.gap_s, now - self.last)
            self.last = now

    def failed(self, key, state, text):
        with self.lock:
            self.states[state] = self.states.get(state, 0) + 1
            if state in ("08007", "reset"):
                self.unknown.append(key)
            elif state in NOT_DONE:
                self.refused.append(key)
            else:
                raise Failed(f"{key}: {state} {text}")

    def watch(self):
        with self.lock:
            self.watched, self.gap_s = True, 0

    def silence(self):
        """The longest time without an acknowledgement since watch()."""
        with self.lock:
            self.watched = False
            return self.gap_s

    def compare(self, server):
        """Against what a server has."""
        have = set(server.psql("SELECT key FROM t").split())
        lost = [key for key in self.acknowledged if key not in have]
        undead = [key for key in self.refused if key in have]
        strange = have - set(self.acknowledged) - set(self.unknown)
        equal(lost, [], "acknowledged and lost")
        equal(undead, [], "refused, and there all the same")
        equal(strange, set(), "of nobody")
        counted = server.psql("SELECT coalesce(sum(n), 0) FROM c")
        equal(counted, str(len(have)), "counted, against rows: something was done twice, or in half")
        equal(server.psql("SELECT count(*) FROM c JOIN (SELECT split_part(key, '/', 1)::int AS who, count(*) AS n"
                          " FROM t GROUP BY 1) AS k USING (who) WHERE c.n <> k.n"), "0", "counters that differ")
        return len(have)


@contextlib.contextmanager
def load(proxy):
    """Writers at work, and idle clients; yields the ledger."""
    ledger = Ledger()
    writers = [Writer(proxy, number, ledger) for number in range(WRITERS)]
    idlers = [Idler(proxy) for _ in range(IDLERS)]
    for writer in writers:
        writer.start()
    try:
        yield ledger, idlers
    finally:
        for writer in writers:
            writer.over = True
        for writer in writers:
            writer.join(LIMIT_S)
    for writer in writers:
        true(not writer.is_alive(), "a writer hangs")


@contextlib.contextmanager
def under_load():
    """Servers, the proxy before them, and load; afterwards what the primary has is compared."""
    with pair_of_servers() as pair, Howdah(config=config(pair)) as proxy:
        with load(proxy) as (ledger, idlers):
            yield pair, proxy, ledger, idlers
        ledger.rows = ledger.compare(pair.primary)


def more(ledger, count=30):
    """Waits until so many more are acknowledged."""
    target = len(ledger.acknowledged) + count
    eventually(lambda: len(ledger.acknowledged) >= target or ledger.broken, f"{count} writes more", LIMIT_S)
    if ledger.broken:
        raise ledger.broken


def report(what, figures):
    ordered = sorted(figures)
    print(f"# {what}: median {statistics.median(ordered):.2f}, most {ordered[-1]:.2f}", flush=True)


# --- the checks -----------------------------------------------------------------------------------


def fail_over(proxy, pair, ledger, idlers, how):
    """The primary ends in that way, and the standby is promoted; blackout, and what the promotion took."""
    ledger.watch()
    began = time.monotonic()
    how(pair)
    pair.promote()
    took = time.monotonic() - began
    more(ledger)
    silence = ledger.silence()
    for idler in idlers:
        idler.look()
    true(silence <= took + BLACKOUT_S, f"no write for {silence:.2f} s, and the promotion was over after {took:.2f} s")
    return silence, took


def kill(pair):
    pair.primary.pause(signal.SIGQUIT)


def kill_hard(pair):
    """Every process at once, as when a machine dies; but its sockets are closed."""
    for pid in [pair.primary.pid, *pair.primary._children()]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    pair.primary.process.wait()
    pair.primary.process = None


def stop_fast(pair):
    pair.primary.pause(signal.SIGINT)


WAYS = {"immediate": kill, "SIGKILL": kill_hard, "fast": stop_fast}


@suite.check("kills of the primary: no acknowledged commit is lost, nothing is done twice")
def _():
    silences, tooks, gaps = [], [], []
    with under_load() as (pair, proxy, ledger, idlers):
        for number in range(options.kills):
            more(ledger)
            silence, took = fail_over(proxy, pair, ledger, idlers, list(WAYS.values())[number % len(WAYS)])
            silences.append(silence)
            tooks.append(took)
            gaps.append(silence - took)
            pair.change()
        more(ledger)
        history = proxy.admin("SHOW FAILOVERS")
        true(len(history) >= min(options.kills, 16), f"{len(history)} fail-overs are told")
    rows = ledger.rows
    print(f"# {options.kills} kills: {rows} rows, {len(ledger.acknowledged)} acknowledged, 0 lost, 0 twice; "
          f"errors {ledger.states}; of {len(ledger.unknown)} unknown ones "
          f"{rows - len(ledger.acknowledged)} are there", flush=True)
    report("seconds from the kill until the promotion was over", tooks)
    report("seconds without a write", silences)
    report("seconds without a write beyond the promotion", gaps)


@suite.check("switchovers between PAUSE and RESUME: no client has an error")
def _():
    silences = []
    with under_load() as (pair, proxy, ledger, idlers):
        for number in range(options.switchovers):
            more(ledger)
            ledger.watch()
            proxy.admin("PAUSE app")
            stop_fast(pair)
            pair.promote()
            proxy.admin("RESUME app")
            more(ledger)
            silences.append(ledger.silence())
            for idler in idlers:
                idler.look()
            pair.change()
        more(ledger)
    rows = ledger.rows
    equal((ledger.states, rows), ({}, len(ledger.acknowledged)), "errors, and rows")
    print(f"# {options.switchovers} switchovers: {rows} rows, no error", flush=True)
    report("seconds without a write, PAUSE and promotion among them", silences)


@suite.check("a primary that freezes, is replaced, and thaws: nothing is written there any more")
def _():
    silences = []
    with under_load() as (pair, proxy, ledger, idlers):
        for _ in range(options.freezes):
            more(ledger)
            silences.append(fail_over(proxy, pair, ledger, idlers, lambda p: p.primary.freeze())[0])
            pair.primary.thaw()
            more(ledger)
            old = pair.primary.psql("SELECT count(*) FROM pg_stat_activity WHERE datname = 'postgres'"
                                    " AND application_name <> 'howdah probe' AND pid <> pg_backend_pid()"
                                    " AND wait_event IS DISTINCT FROM 'SyncRep'")
            here = int(pair.primary.psql("SELECT count(*) FROM t"))
            more(ledger)
            equal(int(pair.primary.psql("SELECT count(*) FROM t")), here, "rows at the old primary")
            true(int(old) == 0, f"{old} connections at the old primary")
            pair.change()
        more(ledger)
    rows = ledger.rows
    print(f"# {options.freezes} freezes: {rows} rows, {len(ledger.acknowledged)} acknowledged, errors {ledger.states}",
          flush=True)
    report("seconds without a write", silences)


if __name__ == "__main__":
    suite.main()
