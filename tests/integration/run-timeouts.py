#!/usr/bin/env python3
"""The timeouts of a pool: what ends, with which SQLSTATE, and what lives on."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, eventually, raises, true  # noqa: E402
from pgcluster import free_port  # noqa: E402
from stage import Stage  # noqa: E402
from wire import Closed, ServerError, Wire, query, startup  # noqa: E402

suite = Suite("timeouts")
stage = Stage(suite)


def farewell(client):
    """The SQLSTATE that the client is told before its connection is closed."""
    return [m.fields["C"] for m in client.rest() if m.kind == "E"]


@suite.check("query_timeout: 57014, and the client goes on")
def _():
    with stage.proxy(size=1, query_timeout="500ms") as proxy:
        client = stage.client(proxy)
        begun = time.monotonic()
        equal(client.query("SELECT pg_sleep(30)").sqlstate, "57014")
        true(0.3 < time.monotonic() - begun < 5, f"after {time.monotonic() - begun:.2f} s")
        equal(client.scalar("SELECT 1"), "1", "the same client")
        equal(client.prepared("SELECT pg_sleep(30)").sqlstate, "57014", "in the extended protocol")
        # check_state may still ask its own question there.
        eventually(lambda: stage.backends("state = 'active'") == [], "no statement is left running at the server")


@suite.check("query_timeout inside a transaction fails that, and no other client")
def _():
    with stage.proxy(size=1, query_timeout="500ms") as proxy:
        client, other = stage.client(proxy), stage.client(proxy)
        client.rows("BEGIN")
        result = client.query("SELECT pg_sleep(30)")
        equal((result.sqlstate, result.status), ("57014", "E"))
        equal(client.query("ROLLBACK").status, "I")
        for _ in range(20):
            equal(other.scalar("SELECT 'unharmed'"), "unharmed")


@suite.check("short queries never meet query_timeout")
def _():
    with stage.proxy(size=1, query_timeout="1s") as proxy:
        client = stage.client(proxy)
        for _ in range(12):
            client.rows("SELECT pg_sleep(0.1)")
        time.sleep(1.2)
        equal(client.scalar("SELECT 1"), "1", "after idling longer than the limit")


@suite.check("idle_transaction_timeout: 25P03, the server is free again")
def _():
    with stage.proxy(size=1, idle_transaction_timeout="500ms") as proxy:
        client, other = stage.client(proxy), stage.client(proxy)
        client.rows("BEGIN")
        client.rows("SELECT 1")
        equal(farewell(client), ["25P03"])
        equal(other.scalar("SELECT 1"), "1")
        equal(stage.backends("state = 'idle in transaction'"), [], "transactions left open")


@suite.check("idle_transaction_timeout leaves idle clients and busy transactions alone")
def _():
    with stage.proxy(size=1, idle_transaction_timeout="500ms") as proxy:
        client = stage.client(proxy)
        client.rows("SELECT 1")
        time.sleep(1)
        client.rows("BEGIN")
        client.rows("SELECT pg_sleep(1)")
        equal(client.query("COMMIT").status, "I")


@suite.check("client_idle_timeout: 57P05")
def _():
    with stage.proxy(size=1, client_idle_timeout="500ms") as proxy:
        client, busy = stage.client(proxy), stage.client(proxy)
        for _ in range(8):
            busy.rows("SELECT pg_sleep(0.1)")
        equal(farewell(client), ["57P05"])
        busy.rows("SELECT pg_sleep(1)")


@suite.check("a server that does not accept: an honest error within connect_timeout")
def _():
    with stage.proxy(primary="postgres://10.255.255.1:5432/app", connect_timeout="1s", wait_timeout="3s") as proxy:
        begun = time.monotonic()
        with raises((ServerError, Closed)):
            client = stage.client(proxy)
            client.rows("SELECT 1")
        true(time.monotonic() - begun < 10, f"after {time.monotonic() - begun:.1f} s")


@suite.check("a server that refuses: an honest error, recovery when it is there")
def _():
    nobody = free_port()
    with stage.proxy(primary=f"postgres://127.0.0.1:{nobody}/app", wait_timeout="2s") as proxy:
        begun = time.monotonic()
        try:
            result = stage.client(proxy).query("SELECT 1")
            equal(result.sqlstate is not None and result.sqlstate[:2] in ("08", "53", "57"), True, str(result.errors))
        except ServerError as error:
            true(error.sqlstate[:2] in ("08", "53", "57"), str(error))
        true(time.monotonic() - begun < 10, f"after {time.monotonic() - begun:.1f} s")


@suite.check("a login that is never finished is ended")
def _():
    with stage.proxy() as proxy:
        silent = [Wire(proxy.port, timeout_s=70) for _ in range(5)]
        half = Wire(proxy.port, timeout_s=70)
        half.send(startup({"user": "postgres"})[:10])
        equal(stage.client(proxy).scalar("SELECT 1"), "1", "others meanwhile")
        for client in (half, *silent):
            true(client.is_closed(40), "still open after 40 s")


@suite.check("timeouts do not add up over a busy connection")
def _():
    with stage.proxy(size=2, query_timeout="1s", idle_transaction_timeout="1s", client_idle_timeout="1s") as proxy:
        client, end = stage.client(proxy), time.monotonic() + 4
        while time.monotonic() < end:
            client.rows("BEGIN")
            client.rows("SELECT pg_sleep(0.05)")
            client.rows("COMMIT")
            time.sleep(0.1)
        client.send(query("SELECT 'last'"))
        equal(client.ready()[1].body[6:], b"last")
        eventually(lambda: not stage.backends("state <> 'idle'"), "all servers idle")


if __name__ == "__main__":
    suite.main()
