#!/usr/bin/env python3
"""Sessions that keep their server connection: SHOW PINS says who and why, max_pinned bounds them."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, eventually, true  # noqa: E402
from stage import Stage  # noqa: E402
from wire import Result, bind, execute, one_shot, parse, query, sync  # noqa: E402

suite = Suite("pins")
stage = Stage(suite)

# What pins, the reason of SHOW PINS, and what ends it (None: nothing but DISCARD ALL).
PINS = (
    ("CREATE TEMP TABLE pinned_t (a int)", "TEMP", "DROP TABLE pinned_t"),
    ("SELECT pg_advisory_lock(4711)", "ADVISORY", "SELECT pg_advisory_unlock(4711)"),
    ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "HOLD", "CLOSE c"),
    ("LOAD 'plpgsql'", "LOAD", None),
    ("SELECT setseed(0.5)", "SEED", None),
    ("SELECT set_config('pinned.' || 'x', '1', false)", "NAMELESS", None),
    ("SELECT lastval() FROM nextval('numbers')", "SEQUENCE", None),
)


def pins(proxy, user="postgres"):
    return [row for row in proxy.admin("SHOW PINS") if row["user"] == user]


def pinned(proxy):
    return next(row["pinned"] for row in proxy.admin("SHOW POOLS") if row["database"] == "app")


def prepare_database():
    stage.sql("CREATE SEQUENCE IF NOT EXISTS numbers")


@suite.check("SHOW PINS tells who, where, why, and how to do without; what ends the reason ends the row")
def _():
    prepare_database()
    with stage.proxy(size=2) as proxy:
        client = stage.client(proxy, application_name="pinner")
        for sql, reason, end in PINS:
            equal(pins(proxy), [], f"before {sql}")
            client.rows(sql)
            rows = pins(proxy)
            equal([row["reason"] for row in rows], [reason], sql)
            row = rows[0]
            equal(row["server_pid"], client.scalar("SELECT pg_backend_pid()"), "server_pid")
            equal((row["database"], row["application_name"], row["addr"]), ("app", "pinner", "127.0.0.1"))
            true(row["why"] and row["avoid"] and row["since"].endswith("UTC"), str(row))
            true(0 <= int(row["seconds"]) < 60, str(row))
            equal(pinned(proxy), "1", "pinned of SHOW POOLS")
            client.rows(end or "DISCARD ALL")
            client.rows("SELECT 1")
        equal(pins(proxy), [], "at the end")
        equal(pinned(proxy), "0", "pinned of SHOW POOLS")


@suite.check("a row for each reason, all since the first; the id is the one that KILL_CLIENT takes")
def _():
    with stage.proxy(size=2) as proxy:
        client = stage.client(proxy)
        client.rows("SELECT pg_advisory_lock(4712)")
        client.rows("CREATE TEMP TABLE pinned_t (a int)")
        rows = pins(proxy)
        equal([row["reason"] for row in rows], ["TEMP", "ADVISORY"])
        equal(len({(row["id"], row["since"]) for row in rows}), 1, "ids and times")
        proxy.admin(f"KILL_CLIENT {rows[0]['id']}")
        true(client.is_closed(), "the client is gone")
        equal(pins(proxy), [], "after it")
        equal(stage.client(proxy).scalar("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), "0", "locks")


@suite.check("what its transaction takes with it pins nobody")
def _():
    with stage.proxy(size=1) as proxy:
        client = stage.client(proxy)
        for sql in (
            "BEGIN; CREATE TEMP TABLE passing (a int) ON COMMIT DROP; COMMIT",
            "BEGIN; CREATE TEMP TABLE undone (a int); ROLLBACK",
            "SELECT pg_advisory_xact_lock(4713)",
            "SELECT pg_advisory_lock(4714), pg_advisory_unlock(4714)",
        ):
            client.rows(sql)
            equal(pins(proxy), [], sql)


@suite.check("a prepared statement too large to be stored is shown, too")
def _():
    with stage.proxy(size=1) as proxy:
        client = stage.client(proxy)
        client.prepared("SELECT 1 --" + "x" * (1 << 20), name="large")
        equal([row["reason"] for row in pins(proxy)], ["LARGE"])


def full_pool(proxy):
    """A client that is pinned where max_pinned is 1, and one that is not."""
    holder = stage.client(proxy)
    holder.rows("SELECT pg_advisory_lock(4720)")
    return holder, stage.client(proxy)


def refused(result, what):
    equal(result.sqlstate, "53300", what)
    true("SHOW PINS" in result.errors[0]["H"] and "max_pinned" in result.errors[0]["D"], str(result.errors[0]))


@suite.check("beyond max_pinned a statement that would pin gets 53300 and is not run; the session lives on")
def _():
    prepare_database()
    with stage.proxy(size=2, max_pinned=1) as proxy:
        holder, client = full_pool(proxy)
        for sql, _reason, _end in PINS:
            refused(client.query(sql), sql)
            refused(client.query(f"SELECT 1; {sql}"), sql)
            client.send(one_shot(sql) + sync())
            refused(Result(client.ready()), f"extended {sql}")
            equal(client.scalar("SELECT 1"), "1", "afterwards")
        equal(len(pins(proxy)), 1, "pinned sessions")
        equal(stage.sql("SELECT count(*) FROM pg_class WHERE relname = 'pinned_t'"), [("0",)], "tables")
        holder.rows("CREATE TEMP TABLE pinned_t (a int)")  # who is pinned may do more
        holder.rows("DROP TABLE pinned_t; SELECT pg_advisory_unlock(4720)")
        eventually(lambda: pinned(proxy) == "0", "the server has said that the reasons are gone")
        client.rows("CREATE TEMP TABLE pinned_t (a int)")
        refused(holder.query("SELECT pg_advisory_lock(4720)"), "now the other one")
        client.terminate()
        eventually(lambda: pinned(proxy) == "0", "the place is free")
        holder.rows("SELECT pg_advisory_lock(4720)")


@suite.check("what is too large to be stored counts as pinned, beside the pool's size, and is bounded")
def _():
    large = "SELECT 1 --" + "x" * (1 << 20)
    with stage.proxy(size=1, max_pinned=1) as proxy:
        holder, client = stage.client(proxy), stage.client(proxy)
        holder.prepared(large, name="large")
        equal(pinned(proxy), "1", "pinned of SHOW POOLS")
        equal(client.scalar("SELECT 1"), "1", "the pool's own connection is free")
        for name in ("large", ""):
            client.send(parse(name, large), bind("", name), execute(), sync())
            refused(Result(client.ready()), f"named {name!r}")
            equal(client.scalar("SELECT 2"), "2", "afterwards")
        client.rows("BEGIN")
        client.rows("SELECT 1")
        client.send(parse("", large), sync())
        messages = client.ready()
        refused(Result(messages), "in a transaction")
        equal(messages[-1].body, b"E", "status")
        client.rows("ROLLBACK")
        holder.prepared(large, name="larger")  # who is pinned may do more
        holder.terminate()
        eventually(lambda: pinned(proxy) == "0", "the place is free")
        client.prepared(large)
        equal(pinned(proxy), "1", "unnamed")
        client.rows("SELECT 1")
        eventually(lambda: pinned(proxy) == "0", "ended by a query")


@suite.check("pins that functions and DO have made keep to pool.size where max_pinned is reached")
def _():
    with stage.proxy(size=2, max_pinned=1, wait_timeout="300ms") as proxy:
        clients = [stage.client(proxy) for _ in range(4)]
        for client in clients[:3]:
            client.rows("DO $$ BEGIN EXECUTE 'CREATE TEMP TABLE hidden (a int)'; END $$")
        equal(len(pins(proxy)), 3, "pinned sessions")
        equal(pinned(proxy), "1", "counted beside the size")
        backends = stage.backends("application_name <> 'howdah catalog'")
        equal(len(backends), 3, "server connections: size and max_pinned")
        equal(clients[3].query("SELECT 1").sqlstate, "53300", "the pool is full")
        clients[0].rows("DROP TABLE hidden")
        equal(clients[3].scalar("SELECT 1"), "1", "there is room again")
        clients[1].rows("SELECT 1")
        equal(pinned(proxy), "1", "another has the place beside")
        equal(clients[1].scalar("SELECT count(*) FROM hidden"), "0")


@suite.check("session mode: a library that was loaded, or a seed, goes to nobody else, by any protocol")
def _():
    def prepared(client, sql):
        equal(client.prepared(sql).errors, [], sql)

    def named(client, sql):
        equal(client.prepared(sql, name="s").errors, [], sql)

    for run in (lambda client, sql: client.rows(sql), prepared, named):
        for sql in ("LOAD 'auto_explain'", "SELECT setseed(0.5)", "SELECT SetSeed(0.5) FROM (SELECT 1) s"):
            with stage.proxy(mode="session", size=1) as proxy:
                first = stage.client(proxy)
                run(first, sql)
                backend = first.scalar("SELECT pg_backend_pid()")
                first.terminate()
                true(stage.client(proxy).scalar("SELECT pg_backend_pid()") != backend, f"{sql}: the same connection")


@suite.check("what its transaction takes with it, or only gives back, is not refused")
def _():
    with stage.proxy(size=2, max_pinned=0) as proxy:
        client = stage.client(proxy)
        client.rows("BEGIN; CREATE TEMP TABLE passing (a int) ON COMMIT DROP; COMMIT")
        client.rows("CREATE TEMP TABLE passing ON COMMIT DROP AS SELECT 1")
        client.rows("SELECT pg_advisory_xact_lock(4721)")
        client.rows("SELECT pg_advisory_unlock(4721)")
        client.rows("DISCARD TEMP")
        client.rows("DISCARD ALL")
        refused(client.query("SELECT pg_advisory_lock(4721)"), "max_pinned 0")
        equal(pinned(proxy), "0", "pinned")


@suite.check("in a transaction block the refusal fails the transaction, as any error; in a pipeline it skips to Sync")
def _():
    stage.sql("CREATE TABLE IF NOT EXISTS kept (a int)")
    with stage.proxy(size=2, max_pinned=1) as proxy:
        _holder, client = full_pool(proxy)
        client.rows("BEGIN")
        client.rows("INSERT INTO kept VALUES (1)")
        refused(client.query("CREATE TEMP TABLE pinned_t (a int)"), "in the block")
        equal(client.query("SELECT 1").sqlstate, "25P02", "the transaction has failed")
        client.rows("ROLLBACK")
        client.send(
            parse("p", "SELECT pg_advisory_lock($1::int)"), query("BEGIN"),
            one_shot("INSERT INTO kept VALUES (2)"), bind("", "p", (b"1",)), execute(), one_shot("SELECT 1"), sync())
        messages = client.ready(2)
        refused(Result(messages), "in a pipeline")
        equal(messages[-1].body, b"E", "status")
        client.rows("ROLLBACK")
        equal(stage.sql("SELECT count(*) FROM kept"), [("0",)], "rows")
        equal(client.scalar("SELECT 7"), "7", "the session lives on")
        client.send(bind("", "p", (b"1",)), execute(), sync(), query("SELECT 8"))
        messages = client.ready(2)
        refused(Result(messages), "prepared before")
        equal(Result(messages).rows, [("8",)], "the query behind it")


@suite.check("by default as many sessions may be pinned as the pool has connections beside them")
def _():
    with stage.proxy(size=2) as proxy:
        clients = [stage.client(proxy) for _ in range(4)]
        for number in range(2):
            clients[number].rows(f"SELECT pg_advisory_lock({4730 + number})")
        refused(clients[2].query("SELECT pg_advisory_lock(4732)"), "the third")
        clients[2].rows("BEGIN")
        clients[3].rows("BEGIN")
        equal([client.scalar("SELECT 1") for client in clients], ["1"] * 4, "all have a connection")


if __name__ == "__main__":
    suite.main()
