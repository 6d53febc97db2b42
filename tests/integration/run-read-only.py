#!/usr/bin/env python3
"""REPEATABLE READ READ ONLY transactions, which are a replica's as a whole: their snapshot, what their session
has written before, and what becomes of them when a replica fails. (run-routing.py has which statements run where.)"""

import contextlib
import itertools
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, eventually, true  # noqa: E402
from howdah import Howdah  # noqa: E402
from trio import Heartbeat, Trio, all_up, delayed  # noqa: E402
from whereabouts import LOGGED, Whereabouts  # noqa: E402
from wire import (  # noqa: E402
    Result,
    Wire,
    bind,
    close,
    describe,
    execute,
    flush,
    one_shot,
    parse,
    query,
    sync,
    transcript,
)

BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
LONG = "40s"  # nobody waits for so long here

suite = Suite("read-only", check_limit_s=120)
trio = Trio(suite, "app", synchronous_commit="on", **LOGGED)
where = Whereabouts(trio, 2)


@trio.started
def _(primary):
    for sql in (
        "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT g, 100 FROM generate_series(1, 20) g",
        "CREATE TABLE written (id int PRIMARY KEY, v int); INSERT INTO written VALUES (1, 0)",
    ):
        primary.psql(sql, db="app")


@contextlib.contextmanager
def proxied(wait=LONG, check_state=True):
    """A Howdah that knows the servers and the catalog, and a client of it that has read at the replica.
    With check_state a connection stays its session's for a moment, and a BEGIN goes there."""
    trio.caught_up(1)
    config = trio.config(replicas=(1,), workers=1, routing={"wait_for_replica": wait, "max_lag": "60s"},
                         pool={"check_state": check_state})
    with Heartbeat(trio), Howdah(config=config) as proxy:
        all_up(proxy, 2)
        with client_of(proxy) as client:
            eventually(lambda: ("catalog", "known") in [found[:2] for found in client.rows("EXPLAIN (HOWDAH) TABLE t")],
                       "the catalog is known", 20)
            eventually(lambda: where.ran_on(client, "SELECT 1") == {1}, "the replica is read", 20)
            yield proxy, client


@contextlib.contextmanager
def client_of(proxy):
    with Wire(proxy.port, timeout_s=60) as client:
        client.login("postgres", "app")
        yield client


def begin(client):
    """The client's transaction is the replica's."""
    equal(client.query(BEGIN).status, "T")
    equal(where.ran_on(client, "TABLE t"), {1}, "place")


@suite.check("all statements of a transaction see one moment, while others commit")
def _():
    with proxied() as (proxy, client), client_of(proxy) as writer:
        over, rounds, commits = threading.Event(), [], 0

        def read():
            with client_of(proxy) as reader:
                while not over.is_set() or len(rounds) < 5:
                    reader.query(BEGIN)
                    seen = []
                    for turn in range(6):
                        mark, sql = where.marked("SELECT sum(v), max(v), min(v) FROM t")
                        seen.append((reader.query(sql) if turn % 2 else reader.prepared(sql)).rows)
                        time.sleep(0.005)
                    equal(reader.query("COMMIT").tags, ["COMMIT"], "tag")
                    rounds.append((seen, where.ran(mark)))

        thread = threading.Thread(target=read)
        thread.start()
        try:
            until = time.monotonic() + 5
            while time.monotonic() < until:
                writer.rows("BEGIN")
                writer.rows(f"UPDATE t SET v = v + 1 WHERE id = {commits % 20 + 1}")
                writer.rows(f"UPDATE t SET v = v - 1 WHERE id = {(commits + 7) % 20 + 1}")
                writer.rows("COMMIT")
                commits += 1
        finally:
            over.set()
            thread.join()
        true(commits > 50, f"commits: {commits}")
        equal({len(set(map(str, seen))) for seen, _ in rounds}, {1}, "different answers in one transaction")
        equal({seen[0][0][0] for seen, _ in rounds}, {"2000"}, "sums")
        equal({str(place) for _, place in rounds}, {"{1}"}, "places")
        print(f"# {len(rounds)} transactions beside {commits} commits", flush=True)
        equal(client.query("SELECT 1").errors, [])


@suite.check("it begins with what its session has written, at a replica that waits for that or at the primary")
def _():
    for wait, delay, rounds in ((LONG, "100ms", 8), ("0ms", "100ms", 15), (LONG, None, 30)):
        with delayed(trio[1], delay), proxied(wait, check_state=False) as (_, client):
            for value in range(rounds):
                equal(client.query(f"UPDATE written SET v = {value}").tags, ["UPDATE 1"])
                client.query(BEGIN)
                mark, sql = where.marked("SELECT v FROM written")
                equal(client.query(sql).rows, [(str(value),)], f"rows with wait_for_replica {wait}")
                place = where.ran(mark)
                mark, sql = where.marked("SELECT v + 1 FROM written")
                equal(client.prepared(sql).rows, [(str(value + 1),)], "rows")
                equal(where.ran(mark), place, "the second statement's place")
                equal(client.query("COMMIT").tags, ["COMMIT"])
                true(place == {1} or wait == "0ms", f"place with wait_for_replica {wait}: {place}")


def alone(sql, name=""):
    return parse(name, sql) + bind("", name) + describe("P") + execute() + sync()


SCRIPTS = {
    "simple": [query(sql) for sql in (BEGIN, "TABLE t", "SELECT 1; SELECT 2", "SELECT nope", "SELECT 1", "COMMIT")],
    "extended": [alone(BEGIN), alone("TABLE t"), alone("SELECT count(*) FROM t", "s"), alone("SELECT 1/0"),
                 alone("SELECT 1"), alone("ROLLBACK"), alone("SELECT 2")],
    "batches at once": [query(BEGIN), alone("TABLE t") + alone("SELECT 1/0") + alone("SELECT 1") + query("ROLLBACK")
                        + alone("SELECT 3")],
    "one batch": [query(BEGIN), one_shot("TABLE t") + one_shot("SELECT 1", name="a") + one_shot("COMMIT") + sync(),
                  one_shot("SELECT 2") + sync()],
    "flushed": [query(BEGIN), parse("f", "SELECT v FROM t WHERE id = $1") + describe("S", "f") + sync(),
                bind("", "f", [b"3"]) + execute() + flush() + bind("", "f", [b"4"]) + execute() + sync(),
                close("S", "f") + sync(), query("COMMIT")],
    "a portal in parts": [query(BEGIN),
                          parse("", "SELECT id FROM t ORDER BY id") + bind("p") + execute("p", 5) + sync(),
                          execute("p", 5) + sync(), close("P", "p") + sync(), query("COMMIT")],
    "cursors": [query(sql) for sql in (BEGIN, "DECLARE c CURSOR FOR SELECT id FROM t ORDER BY id", "FETCH 3 FROM c",
                                       "FETCH ALL FROM c", "CLOSE c", "FETCH c", "END")],
    "a cursor by protocol": [alone(BEGIN), alone("DECLARE c CURSOR FOR SELECT id FROM t ORDER BY id"),
                             describe("P", "c") + sync(), alone("FETCH FORWARD 7 FROM c"), alone("COMMIT")],
    "savepoints": [query(sql) for sql in (BEGIN, "SELECT 1", "SAVEPOINT a", "SELECT 1/0", "SELECT 2", "ROLLBACK TO a",
                                          "SELECT 3", "RELEASE a", "COMMIT")],
    "writes": [query(sql) for sql in (BEGIN, "SELECT 1", "SAVEPOINT a", "UPDATE t SET v = 1", "ROLLBACK TO a",
                                      "CREATE TABLE made (a int)", "ROLLBACK TO a", "SELECT * FROM t FOR SHARE",
                                      "ROLLBACK TO a", "TRUNCATE t", "ROLLBACK TO a", "SELECT 4", "COMMIT")],
    "settings": [query(sql) for sql in (BEGIN, "SELECT 1", "SET LOCAL DateStyle = 'German'", "SELECT date '2020-01-02'",
                                        "SET TimeZone = 'Asia/Tokyo'", "COMMIT", "SHOW TimeZone", "SHOW DateStyle",
                                        BEGIN, "SELECT 1", "SET TimeZone = 'UTC'", "ROLLBACK", "SHOW TimeZone",
                                        "RESET TimeZone")],
    "copy": [query(sql) for sql in (BEGIN, "SELECT 1", "COPY (SELECT id FROM t ORDER BY id) TO STDOUT", "COMMIT")],
    "deallocated": [parse("d", "SELECT 1") + sync(), query(BEGIN), bind("", "d") + execute() + sync(),
                    query("DEALLOCATE d"), bind("", "d") + execute() + sync(), query("ROLLBACK")],
    "no SQL": [query(BEGIN), query("SELECT 1"), query("SELEC"), alone("SELEC"), query("COMMIT")],
    "and chain": [query(sql) for sql in (BEGIN, "SELECT 1", "COMMIT AND CHAIN", "SHOW transaction_read_only",
                                         "SHOW transaction_isolation", "ROLLBACK AND CHAIN", "SELECT 2", "COMMIT")],
    "begun twice": [query(sql) for sql in (BEGIN, "SELECT 1", "BEGIN", "SELECT 2", "COMMIT", "COMMIT")],
    "a portal that commits": [query(BEGIN), query("SELECT 1"), parse("e", "COMMIT") + sync(),
                              bind("", "e") + describe("P") + execute() + sync(), query("SELECT 1")],
    "nobody's": [query(BEGIN), query("SELECT 1"), bind("", "none") + execute() + sync(), query("ROLLBACK")],
}


@suite.check("each script is answered as by the primary itself")
def _():
    with proxied() as (proxy, _):
        for name, script in SCRIPTS.items():
            with Wire(trio[0].port) as direct, client_of(proxy) as client:
                direct.login("postgres", "app")
                for number, step in enumerate(script):
                    count = step.count(sync()) + (step[:1] == b"Q") + (step.count(query("ROLLBACK")) if number else 0)
                    count -= step == query("ROLLBACK") and number > 0
                    wanted = transcript(direct.send(step).ready(count))
                    equal(transcript(client.send(step).ready(count)), wanted, f"{name}, step {number}: {step[:60]!r}")


@suite.check("it may be so by the role's default, which no BEGIN and no session says")
def _():
    trio.sql("CREATE ROLE careful SUPERUSER LOGIN")
    trio.sql("ALTER ROLE careful SET default_transaction_isolation = 'repeatable read'")
    config = trio.config(replicas=(1,), user="careful", service={"user": "postgres"},
                         routing={"wait_for_replica": LONG})
    with Heartbeat(trio), Howdah(config=config) as proxy:
        all_up(proxy, 2)
        with client_of(proxy) as client, client_of(proxy) as writer:
            def one(turn):
                client.query("BEGIN READ ONLY")
                places = where.ran_on(client, "TABLE t")
                before = client.scalar("SELECT v FROM written")
                writer.query(f"UPDATE written SET v = {turn}")
                trio.caught_up(1)
                equal(client.scalar("SELECT v FROM written"), before, f"what it reads twice, at {places}")
                equal(client.scalar("SHOW transaction_isolation"), "repeatable read")
                client.query("COMMIT")
                return places

            turns = itertools.count(800)
            eventually(lambda: one(next(turns)) == {1}, "it is the replica's", 20)
            equal(one(next(turns)), {1}, "place of the next one")


@suite.check("what is sent right behind its end is outside of it")
def _():
    with proxied(check_state=False) as (_, client):
        for turn, build in enumerate((
            lambda sqls: b"".join(map(query, sqls)),
            lambda sqls: b"".join(map(alone, sqls)),
            lambda sqls: b"".join(map(one_shot, sqls)) + sync(),
        )):
            begin(client)
            sqls = ("SELECT 1", "COMMIT", f"UPDATE written SET v = {turn + 700}", "SELECT 2")
            marks, marked = zip(*map(where.marked, sqls))
            messages = client.send(build(marked)).ready((4, 4, 1)[turn])
            equal([m.fields for m in messages if m.kind == "E"], [], f"errors of turn {turn}")
            equal(Result(messages).tags, ["SELECT 1", "COMMIT", "UPDATE 1", "SELECT 1"], f"tags of turn {turn}")
            equal([where.ran(mark) for mark in marks[:3]], [{1}, {1}, {0}], f"places of turn {turn}")
            equal(trio.sql("SELECT v FROM written"), str(turn + 700), "what was written")


@suite.check("a statement that can't run there fails however it comes, and the next transaction is the primary's")
def _():
    lock = "SELECT pg_advisory_xact_lock(7)"
    ways = {
        "simple": (query(lock), 1),
        "extended": (alone(lock), 1),
        "in a pipeline": (one_shot("SELECT 1") + one_shot(lock) + one_shot("SELECT 2") + sync(), 1),
        "several batches": (alone("SELECT 1") + alone(lock) + alone("SELECT 2"), 3),
        "prepared before": (bind("", "lock") + execute() + sync(), 1),
    }
    with proxied() as (proxy, _):
        for name, (step, count) in ways.items():
            with client_of(proxy) as client:
                client.send(parse("lock", lock), sync()).ready()
                eventually(lambda c=client: where.ran_on(c, "SELECT 1") == {1}, "the replica is read", 20)
                begin(client)
                result = Result(client.send(step).ready(count))
                equal([error["C"] for error in result.errors], ["40001", "25P02"][:1 + (count > 1)], name)
                true("Run the transaction again" in result.errors[0]["H"], f"{name}: {result.errors[0]}")
                equal(client.query("SELECT 1").sqlstate, "25P02", name)
                equal(client.query("COMMIT").tags, ["ROLLBACK"], name)
                client.query(BEGIN)
                equal(where.ran_on(client, "TABLE t"), {0}, f"{name}: place of the next one")
                equal(client.query(lock).errors, [], name)
                equal(client.query("COMMIT").tags, ["COMMIT"], name)
        equal(trio.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", 1), "0", "locks at the replica")


@suite.check("a cancel request, and a client that goes away")
def _():
    with proxied() as (proxy, client):
        begin(client)
        mark, sql = where.marked("SELECT pg_sleep(40)")
        client.send(query(sql))
        eventually(lambda: where.ran(mark) == {1}, "it runs", 20)
        client.cancel()
        equal(Result(client.ready()).sqlstate, "57014")
        equal(client.query("SELECT 1").sqlstate, "25P02")
        equal(client.query("ROLLBACK").tags, ["ROLLBACK"])
        with client_of(proxy) as other:
            eventually(lambda: where.ran_on(other, "SELECT 1") == {1}, "the replica is read", 20)
            begin(other)
        eventually(lambda: trio.sql("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%'", 1) == "0",
                   "no transaction is left at the replica", 20)
        equal(client.query("SELECT 1").errors, [])


def end_backends(like):
    """Ends the replica's backends that run, or ran last, such statements."""
    return trio.sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                    f" WHERE query LIKE '%{like}%' AND pid <> pg_backend_pid()", 1)


@suite.check("a replica's backend ends: before anything was answered the primary runs it, else there is one error")
def _():
    with proxied() as (proxy, client):
        client.query(BEGIN)
        mark, sql = where.marked("SELECT v, pg_sleep(3) FROM t WHERE id = 1")
        client.send(query(sql))
        eventually(lambda: where.ran(mark) == {1}, "it runs at the replica", 20)
        equal(end_backends(mark), "1")
        result = Result(client.ready())
        equal((result.errors, len(result.rows), result.status), ([], 1, "T"), "first statement")
        equal(where.ran(mark), {0, 1}, "places")
        equal(where.ran_on(client, "TABLE t"), {0}, "the next one's place")
        equal(client.query("COMMIT").tags, ["COMMIT"])
        for last in "TABLE t", "COMMIT":
            with client_of(proxy) as other:
                eventually(lambda o=other: where.ran_on(o, "SELECT 1") == {1}, "the replica is read", 20)
                begin(other)
                mark, sql = where.marked("TABLE t")
                other.query(sql)
                equal(end_backends(mark), "1")
                try:
                    other.send(query(last))
                    got = [m.fields["C"] for m in other.rest() if m.kind == "E"]
                except OSError:
                    got = ["57P01"]  # it was told, and its socket is closed
                equal(got, ["57P01"], f"with {last}")
        equal(client.query("SELECT 1").errors, [])


@suite.check("a setting that could not be taken along from a replica is set at the primary")
def _():
    word = "d\u00e9j\u00e0".encode("latin-1")
    bound = parse("", "SELECT set_config('app.word', $1, false)") + bind("", "", [word]) + execute() + sync()
    with proxied() as (proxy, _):
        for sets in (query(b"SET app.word = '" + word + b"'"), bound):
            with Wire(proxy.port, timeout_s=60) as client:
                client.login("postgres", "app", client_encoding="LATIN1")
                eventually(lambda client=client: where.ran_on(client, "SELECT 1") == {1}, "the replica is read", 20)
                begin(client)
                equal([m.fields["C"] for m in client.send(sets).ready() if m.kind == "E"], ["40001"], "error")
                equal(client.query("ROLLBACK").status, "I")
                equal(client.query(BEGIN).status, "T")
                equal([m.kind for m in client.send(sets).ready() if m.kind == "E"], [], "errors of the next one")
                equal(client.query("COMMIT").tags, ["COMMIT"])
                shown = [m.body[6:] for m in client.send(query("SHOW app.word")).ready() if m.kind == "D"]
                equal(shown, [word], "what is set")


if __name__ == "__main__":
    suite.main()
