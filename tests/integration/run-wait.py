#!/usr/bin/env python3
"""wait_for_replica at a primary and a replica that is late: who answers, by the servers' own logs."""

import contextlib
import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, eventually, true  # noqa: E402
from howdah import Howdah  # noqa: E402
from trio import Heartbeat, Trio, all_up, delayed, pause_replay, paused, rows  # noqa: E402
from whereabouts import LOGGED, Whereabouts  # noqa: E402
from wire import Result, Wire, one_shot, query, sync  # noqa: E402

LONG = "40s"  # nobody waits for so long here
DELAY = "300ms"

suite = Suite("wait", check_limit_s=120)
trio = Trio(suite, "app", synchronous_commit="on", **LOGGED)
where = Whereabouts(trio, 2)


@trio.started
def _(primary):
    primary.psql("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 0)", db="app")


@contextlib.contextmanager
def proxied(wait, **routing):
    """A Howdah that knows the servers and the catalog, and a client of it that has read at the replica."""
    trio.caught_up(1)
    config = trio.config(replicas=(1,), workers=2, routing={"wait_for_replica": wait, "max_lag": "60s", **routing},
                         pool={"check_state": False})
    with Heartbeat(trio), Howdah(config=config) as proxy:
        all_up(proxy, 2)
        with Wire(proxy.port, timeout_s=60) as client:
            client.login("postgres", "app")
            eventually(lambda: ("catalog", "known") in [found[:2] for found in client.rows("EXPLAIN (HOWDAH) TABLE t")],
                       "the catalog is known", 20)
            eventually(lambda: where.ran_on(client, "SELECT 1") == {1}, "the replica is read", 20)
            yield proxy, client


def write(client, value):
    equal(client.query(f"UPDATE t SET v = {value}").tags, ["UPDATE 1"], "tag")


def waits(proxy):
    """Somebody waits."""
    return "waiting" in [row["state"] for row in proxy.admin("SHOW CLIENTS")]


def begin_wait(proxy, client, value):
    """The client has written, and waits for its next read, whose mark is given."""
    write(client, value)
    mark, sql = where.marked("SELECT v FROM t")
    client.send(query(sql))
    eventually(lambda: waits(proxy), "the client waits", 20)
    return mark


@suite.check("what follows its session's write is read from the replica once that shows it")
def _():
    with delayed(trio[1], DELAY), proxied(LONG) as (proxy, client):
        for value in range(1, 4):
            write(client, value)
            mark, sql = where.marked("SELECT v FROM t")
            equal(client.query(sql).rows, [(str(value),)], "simple")
            equal(where.ran(mark), {1}, "place")
            write(client, value + 100)
            mark, sql = where.marked("SELECT v FROM t")
            equal(client.prepared(sql).rows, [(str(value + 100),)], "extended")
            equal(where.ran(mark), {1}, "place")
            write(client, value + 200)
            marks, marked = zip(*(where.marked("SELECT v FROM t") for _ in range(2)))
            result = Result(client.send(b"".join(one_shot(sql) for sql in marked) + sync()).ready())
            equal(result.rows, [(str(value + 200),)] * 2, "pipeline")
            equal([where.ran(mark) for mark in marks], [{1}] * 2, "places")
        found = {row["node"]: row for row in rows(proxy)}
        true(int(found["1"]["reads_waited"]) >= 9, f"the replica's reads that waited: {found['1']}")


@suite.check("without wait_for_replica nothing waits")
def _():
    with proxied("0ms") as (proxy, client), paused(trio[1]):
        write(client, 1)
        equal(where.ran_on(client, "SELECT v FROM t"), {0}, "place")
        equal({row["reads_waited"] for row in rows(proxy)}, {"0"}, "reads that waited")


@suite.check("a notification is followed by what it tells of")
def _():
    with proxied("0ms") as (proxy, client):
        client.query("LISTEN told")
        eventually(lambda: where.ran_on(client, "SELECT 1") == {1}, "the replica is read", 20)
        with paused(trio[1]):
            trio.sql("BEGIN; UPDATE t SET v = v + 1000; NOTIFY told; COMMIT")
            equal(client.until("A")[-1].body[4:].split(b"\0")[0], b"told", "notification")
            equal(client.query("SELECT v >= 1000 FROM t").rows, [("t",)], "rows")


@suite.check("when time is up the primary answers")
def _():
    with proxied("500ms") as (proxy, client), paused(trio[1]):
        for value in range(2):
            write(client, value)
            begun = time.monotonic()
            mark, sql = where.marked("SELECT v FROM t")
            equal(client.query(sql).rows, [(str(value),)], "rows")
            true(time.monotonic() - begun > 0.45, f"it has waited for {time.monotonic() - begun:.3f} s")
            equal(where.ran(mark), {0}, "place")
        found = {row["node"]: row for row in rows(proxy)}
        equal((found["0"]["reads_waited"], found["1"]["reads_waited"]), ("2", "0"), "reads that waited")


@suite.check("in transactions that may read from replicas, too")
def _():
    with delayed(trio[1], DELAY), proxied(LONG, transaction_reads="until_write") as (_, client):
        for sql in "BEGIN", "SELECT txid_current()", "COMMIT":  # asks the primary for the isolation level
            client.query(sql)
        for begin in "BEGIN", "BEGIN READ ONLY":
            write(client, 7)
            client.query(begin)
            equal(where.ran_on(client, "SELECT v FROM t"), {1}, f"place behind {begin}")
            equal(client.query("COMMIT").tags, ["COMMIT"], "tag")


@suite.check("strong: for what others have written")
def _():
    with delayed(trio[1], DELAY), proxied(LONG, consistency="strong") as (proxy, client), Wire(proxy.port) as other:
        other.login("postgres", "app")
        for value in range(10, 13):
            write(other, value)
            mark, sql = where.marked("SELECT v FROM t")
            equal(client.query(sql).rows, [(str(value),)], "rows")
            equal(where.ran(mark), {1}, "place")


@suite.check("many wait at a time, beside a writer that doesn't stop")
def _():
    def one(port, faults, over):
        with Wire(port, timeout_s=60) as client:
            client.login("postgres", "app")
            client.query("SELECT 1")
            client.query("SELECT txid_current()")
            mark, sql = where.marked("SELECT v FROM t")
            result = client.query(sql)
            faults += [str(result.errors)] if result.errors else []
            over.append(mark)

    with delayed(trio[1], DELAY), proxied(LONG) as (proxy, client):
        faults, over = [], []
        threads = [threading.Thread(target=one, args=(proxy.port, faults, over)) for _ in range(12)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            write(client, 1)
        equal(faults, [], "faults")
        equal(len(over), len(threads), "clients")
        equal({frozenset(where.ran(mark)) for mark in over}, {frozenset({1})}, "places")


# --- what ends it ---------------------------------------------------------------------------------


@suite.check("a cancel request ends it at once")
def _():
    with proxied(LONG) as (proxy, client), paused(trio[1]):
        mark = begin_wait(proxy, client, 1)
        client.cancel()
        equal(Result(client.ready()).sqlstate, "57014", "SQLSTATE")
        equal(where.ran(mark), set(), "place")
        equal(where.ran_on(client, "/* howdah: route=primary */ SELECT 1"), {0}, "and on")


@suite.check("the client goes: what it sent is not lost, and it waits for nobody")
def _():
    with proxied(LONG) as (proxy, client), paused(trio[1]):
        begin_wait(proxy, client, 1)
        client.send(query("UPDATE t SET v = 77"))
        client.close()
        pause_replay(trio[1], False)
        eventually(lambda: trio.sql("SELECT v FROM t") == "77", "what stood behind it was run", 20)
        eventually(lambda: not waits(proxy), "nobody waits", 20)


@suite.check("KILL, PAUSE and RESUME, RELOAD")
def _():
    with proxied(LONG) as (proxy, client), paused(trio[1]):
        begin_wait(proxy, client, 2)
        proxy.admin("PAUSE app")
        true(waits(proxy), "it waits on")
        proxy.admin("RESUME app")
        proxy.admin("RELOAD")
        equal(Result(client.ready()).rows, [("2",)], "rows behind RELOAD")
        all_up(proxy, 2)
        begin_wait(proxy, client, 3)
        proxy.admin("KILL app")
        true(client.is_closed(), "KILL closes it")


@suite.check("the replica dies: the primary answers")
def _():
    with proxied(LONG) as (proxy, client):
        pause_replay(trio[1])
        mark = begin_wait(proxy, client, 4)
        trio[1].pause(signal.SIGQUIT)
        try:
            equal(Result(client.ready()).rows, [("4",)], "rows")
            equal(where.ran(mark), {0}, "place")
        finally:
            trio[1].resume()



@suite.check("who has read at a replica that was restarted since reads on, at the primary")
def _():
    with proxied("1s", consistency="session") as (proxy, client), Wire(proxy.port) as other:
        other.login("postgres", "app")
        trio[1].pause()
        eventually(lambda: rows(proxy)[1]["state"] == "down", "the replica is down", 10)
        trio[1].resume()
        all_up(proxy, 2)
        eventually(lambda: where.ran_on(other, "SELECT 1") == {1}, "the replica is read by another", 20)
        time.sleep(1.5)  # it is asked since that connection was opened
        equal(client.query("SELECT count(*) FROM t").rows, [("1",)], "rows")


@suite.check("the last of 64 workers hears of the news")
def _():
    config = trio.config(replicas=(1,), workers=64, routing={"wait_for_replica": "300ms", "max_lag": "60s"},
                         pool={"check_state": False})
    with Howdah(config=config, start_timeout_s=60) as proxy, contextlib.ExitStack() as stack:
        all_up(proxy, 2)
        clients = [stack.enter_context(Wire(proxy.port, timeout_s=30)) for _ in range(66)]
        for client in clients:
            client.login("postgres", "app")
        eventually(lambda: ("catalog", "known") in [found[:2] for found in clients[0].rows("EXPLAIN (HOWDAH) TABLE t")],
                   "the catalog is known", 20)
        with paused(trio[1]):
            for client in clients:
                client.query("SELECT v FROM t")
                write(client, 1)
                client.send(query("SELECT v FROM t"))
            for client in clients:
                equal(Result(client.ready()).rows, [("1",)], "rows")


if __name__ == "__main__":
    suite.main()
