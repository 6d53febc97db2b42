#!/usr/bin/env python3
"""Sessions that keep their server connection: SHOW PINS says who and why, max_pinned bounds them."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, true  # noqa: E402
from stage import Stage  # noqa: E402

suite = Suite("pins")
stage = Stage(suite)

# What pins, the reason of SHOW PINS, and what ends it (None: nothing but DISCARD ALL).
PINS = (
    ("CREATE TEMP TABLE pinned_t (a int)", "TEMP", "DROP TABLE pinned_t"),
    ("SELECT pg_advisory_lock(4711)", "ADVISORY", "SELECT pg_advisory_unlock(4711)"),
    ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "HOLD", "CLOSE c"),
    ("LOAD 'plpgsql'", "LOAD", None),
    ("SELECT setseed(0.5)", "SEED", None),
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


if __name__ == "__main__":
    suite.main()
