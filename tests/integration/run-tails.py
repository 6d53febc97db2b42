#!/usr/bin/env python3
"""What an idle primary has logged and does not flush: replicas are read all the same, and soon.

PostgreSQL flushes what belongs to no commit with its next commit, or when its background writer logs
a snapshot; that one is stopped here, so that nobody but Howdah has the server flush.
"""

import contextlib
import itertools
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Failed, Suite, equal, eventually, true  # noqa: E402
from howdah import Howdah  # noqa: E402
from trio import START_S, Trio, all_up, rows  # noqa: E402
from wire import Wire  # noqa: E402

suite = Suite("tails", check_limit_s=120)
trio = Trio(suite, "app", autovacuum="off")
batches = itertools.count()

SOON_S = 15  # a busy machine's second; without Howdah's doing it would be never
IDLE_S = 3


@trio.started
def _(primary):
    primary.psql("CREATE TABLE t (a int PRIMARY KEY, b int); INSERT INTO t VALUES (-1, 0);"
                 " CREATE ROLE nobody_special LOGIN; GRANT ALL ON t TO nobody_special", db="app")


@contextlib.contextmanager
def still():
    """The servers, with nobody who flushes."""
    trio.caught_up()
    equal(trio[0].signal_child("background writer", signal.SIGSTOP), 1, "background writers")
    try:
        yield
    finally:
        trio[0].signal_child("background writer", signal.SIGCONT)


def proxied(user="postgres", **routing):
    return Howdah(config=trio.config(workers=2, user=user, routing=routing))


def is_flushed():
    return trio.sql("SELECT pg_current_wal_flush_lsn() >= pg_current_wal_insert_lsn()") == "t"


def leave_tail(tries=5):
    """A read that prunes pages, and ends with ROLLBACK."""
    for _ in range(tries):
        first = 1000 * next(batches)
        with Wire(trio[0].port) as client:
            client.login("postgres", "app")
            client.query("SET synchronous_commit = local")
            client.query(f"INSERT INTO t SELECT g, 0 FROM generate_series({first}, {first + 999}) g")
            client.query(f"UPDATE t SET b = 1 WHERE a BETWEEN {first} AND {first + 500}")
            trio.caught_up()
            for sql in ("BEGIN", f"SELECT sum(b) FROM t WHERE a >= {first}", "ROLLBACK"):
                client.query(sql)
            client.terminate()
        if not is_flushed():
            return
    raise Failed("whatever is logged is flushed at once")


def next_xid():
    return int(trio.sql("SELECT txid_snapshot_xmax(txid_current_snapshot())"))


def node_of(client):
    return client.rows("SELECT current_setting('cluster_name') FROM t LIMIT 1")[0][0]


def reads_at_replica_soon(user="postgres"):
    with still(), proxied(user) as proxy, Wire(proxy.port) as client:
        all_up(proxy)
        client.login(user, "app")
        eventually(lambda: node_of(client) != "node0", "it reads at a replica", SOON_S)
        leave_tail()
        client.rows("SELECT txid_current_if_assigned()")  # for the primary: what it shows is to be seen
        eventually(lambda: node_of(client) != "node0", "it reads at a replica again", SOON_S)
        client.terminate()


@suite.check("a session that was at the primary reads at a replica again")
def _():
    reads_at_replica_soon()


@suite.check("... with a login that has no privilege")
def _():
    reads_at_replica_soon("nobody_special")


@suite.check("... where commits wait for a standby that is not there")
def _():
    trio[0].options["synchronous_standby_names"] = "nobody"
    trio[0].reload()
    try:
        reads_at_replica_soon()
    finally:
        del trio[0].options["synchronous_standby_names"]
        trio[0].reload()


@suite.check("a Howdah that is started then finds the replicas well")
def _():
    with still():
        leave_tail()
        with proxied() as proxy:
            all_up(proxy, limit_s=START_S + SOON_S)
        leave_tail()


@suite.check("where nobody waits nobody commits, until a replica is on its way to be late")
def _():
    with still():
        with proxied(max_lag="10m") as proxy:
            all_up(proxy)
            leave_tail()
            before = next_xid()
            time.sleep(IDLE_S)
            equal(next_xid() - before, 0, "transaction numbers")
            true(not is_flushed(), "it is not flushed")
        with proxied(max_lag="2s") as proxy:
            all_up(proxy, limit_s=START_S + SOON_S)
            leave_tail()
            before = next_xid()
            eventually(is_flushed, "it is flushed", SOON_S)
            time.sleep(IDLE_S)
            equal([row["state"] for row in rows(proxy)], ["up"] * 3, "states")
            true(next_xid() - before <= 3, "few transaction numbers")


if __name__ == "__main__":
    suite.main()
