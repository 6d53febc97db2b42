#!/usr/bin/env python3
"""Pools: their size, the waiting line, what is kept warm, what is let go, the three modes."""

import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, eventually, in_threads, raises, true  # noqa: E402
from stage import SHORT, Stage  # noqa: E402
from wire import ServerError, query  # noqa: E402

suite = Suite("pool")
stage = Stage(suite)


@suite.check("50 clients share 5 servers, never one more")
def _():
    with stage.proxy(size=5) as proxy:
        most, over = [], threading.Event()

        def watch():
            control = stage.direct()
            while not over.wait(0.005):
                most.append(
                    int(
                        control.scalar(
                            "SELECT count(*) FROM pg_stat_activity WHERE datname = 'app' AND pid <> pg_backend_pid()"
                            " AND backend_type = 'client backend'"
                        )
                    )
                )
            control.terminate()

        stage.backends()
        before = len(stage.backends())
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        pids = [set() for _ in range(50)]

        def work(number):
            client = stage.client(proxy)
            for _ in range(3 if SHORT else 10):
                pids[number].add(client.scalar(f"SELECT pg_backend_pid() /* {number} */"))
                client.prepared("SELECT pg_sleep(0.01)")

        in_threads(50, work)
        over.set()
        watcher.join()
        # +1: the control connection of the stage itself, which the watcher also sees
        true(max(most) <= 5 + before + 1, f"{max(most) - before - 1} server connections, allowed are 5")
        equal(len(set().union(*pids)), 5, "backends used")


@suite.check("a link is reused: one client, one backend")
def _():
    with stage.proxy(size=5) as proxy:
        client = stage.client(proxy)
        equal(len({client.scalar("SELECT pg_backend_pid()") for _ in range(20)}), 1, "backends")


@suite.check("an idle client holds no server connection")
def _():
    with stage.proxy(size=1) as proxy:
        clients = [stage.client(proxy) for _ in range(10)]
        for turn in range(3):
            for number, client in enumerate(clients):
                equal(client.scalar(f"SELECT {number}"), str(number), f"turn {turn}")


@suite.check("an open transaction keeps its server, others wait")
def _():
    with stage.proxy(size=1) as proxy:
        one, two = stage.client(proxy), stage.client(proxy)
        one.rows("BEGIN")
        pid = one.scalar("SELECT pg_backend_pid()")
        two.send(query("SELECT pg_backend_pid()"))
        equal(two.quiet(0.4), [], "the waiting client hears nothing")
        one.rows("SELECT 1")
        one.rows("COMMIT")
        equal(two.ready()[1].body[6:].decode(), pid, "the freed backend")


@suite.check("the waiting line is in order of arrival")
def _():
    with stage.proxy(size=1) as proxy:
        holder = stage.client(proxy)
        stage.sql("DROP TABLE IF EXISTS arrivals")
        stage.sql("CREATE TABLE arrivals (place serial, who int)")
        waiting = [stage.client(proxy) for _ in range(12)]
        holder.rows("BEGIN")
        holder.rows("SELECT 1")
        for number, client in enumerate(waiting):
            client.send(query(f"INSERT INTO arrivals (who) VALUES ({number})"))
            time.sleep(0.03)
        holder.rows("COMMIT")
        for client in waiting:
            client.ready()
        equal([int(row[0]) for row in stage.sql("SELECT who FROM arrivals ORDER BY place")], list(range(12)))


@suite.check("wait_timeout: 53300, and the client is kept")
def _():
    with stage.proxy(size=1, wait_timeout="500ms") as proxy:
        holder, late = stage.client(proxy), stage.client(proxy)
        holder.rows("BEGIN")
        holder.rows("SELECT 1")
        begun = time.monotonic()
        result = late.query("SELECT 1")
        equal((result.sqlstate, result.status), ("53300", "I"))
        true(0.3 < time.monotonic() - begun < 5, f"after {time.monotonic() - begun:.2f} s")
        extended = late.prepared("SELECT 1")
        equal((extended.sqlstate, extended.status), ("53300", "I"), "in the extended protocol")
        holder.rows("COMMIT")
        equal(late.scalar("SELECT 2"), "2", "the same client, later")


@suite.check("a waiting client that leaves is taken out of the line")
def _():
    with stage.proxy(size=1) as proxy:
        holder, quitter, patient = (stage.client(proxy) for _ in range(3))
        holder.rows("BEGIN")
        holder.rows("SELECT 1")
        quitter.send(query("SELECT pg_sleep(20)"))
        time.sleep(0.1)
        quitter.reset()
        patient.send(query("SELECT 7"))
        time.sleep(0.1)
        holder.rows("COMMIT")
        begun = time.monotonic()
        equal(patient.ready()[1].body[6:], b"7")
        true(time.monotonic() - begun < 5, "the one who left did not hold up the line")


@suite.check("min_idle is kept warm")
def _():
    with stage.proxy(size=10, min_idle=3) as proxy:
        client = stage.client(proxy)
        client.rows("SELECT 1")
        eventually(lambda: len(stage.backends()) >= 3, "three connections kept")
        for pid in stage.backends():
            stage.sql(f"SELECT pg_terminate_backend({pid})")
        eventually(lambda: len(stage.backends()) >= 3, "three connections made again")


@suite.check("idle_timeout lets idle connections go")
def _():
    with stage.proxy(size=10, idle_timeout="1s") as proxy:
        clients = [stage.client(proxy) for _ in range(4)]
        in_threads(4, lambda n: clients[n].rows("SELECT pg_sleep(0.2)"))
        true(len(stage.backends()) >= 2, "several connections were made")
        eventually(lambda: not stage.backends(), "all of them closed", limit_s=15)
        equal(clients[0].scalar("SELECT 1"), "1", "the client goes on")


@suite.check("max_lifetime replaces connections, clients don't notice")
def _():
    with stage.proxy(size=1, max_lifetime="1s") as proxy:
        client, pids, end = stage.client(proxy), set(), time.monotonic() + 5
        while time.monotonic() < end and len(pids) < 3:
            pids.add(client.scalar("SELECT pg_backend_pid()"))
            time.sleep(0.05)
        true(len(pids) >= 2, "the backend was replaced")


@suite.check("reserve opens after reserve_after")
def _():
    with stage.proxy(size=1, reserve=1, reserve_after="500ms") as proxy:
        holder, waiting = stage.client(proxy), stage.client(proxy)
        holder.rows("BEGIN")
        holder.rows("SELECT 1")
        begun = time.monotonic()
        equal(waiting.scalar("SELECT 1"), "1")
        true(0.3 < time.monotonic() - begun < 8, f"after {time.monotonic() - begun:.2f} s")
        equal(len(stage.backends()), 2, "size and reserve together")
        holder.rows("COMMIT")


@suite.check("pools are by user: one user's load leaves another's pool alone")
def _():
    for user in ("alice", "bob"):
        stage.sql(f"DROP ROLE IF EXISTS {user}")
        stage.sql(f"CREATE ROLE {user} LOGIN")
    with stage.proxy(size=1) as proxy:
        alice, bob = stage.client(proxy, "alice"), stage.client(proxy, "bob")
        alice.rows("BEGIN")
        equal(alice.scalar("SELECT session_user"), "alice")
        equal(bob.scalar("SELECT session_user"), "bob")
        alice.rows("COMMIT")


@suite.check("session mode: a client keeps its server with all its state")
def _():
    with stage.proxy("session", size=2) as proxy:
        one, two = stage.client(proxy), stage.client(proxy)
        one.rows("SET work_mem = '7MB'; CREATE TEMP TABLE mine AS SELECT 5 AS v")
        equal(two.scalar("SHOW work_mem") == "7MB", False, "another's setting is not seen")
        equal((one.scalar("SHOW work_mem"), one.scalar("SELECT v FROM mine")), ("7MB", "5"))
        pid = one.scalar("SELECT pg_backend_pid()")
        one.terminate()
        three = stage.client(proxy)
        eventually(lambda: three.scalar("SELECT pg_backend_pid()") is not None, "a server for the next client")
        equal(three.scalar("SHOW work_mem") == "7MB", False, f"state left behind on {pid}")
        equal(three.query("SELECT v FROM mine").sqlstate, "42P01", "a temporary table left behind")


@suite.check("session mode: the next client waits until one leaves")
def _():
    with stage.proxy("session", size=1) as proxy:
        one = stage.client(proxy)
        one.rows("SELECT 1")
        got = []

        def later():
            two = stage.client(proxy)
            got.append(two.scalar("SELECT 'in'"))

        thread = threading.Thread(target=later, daemon=True)
        thread.start()
        time.sleep(0.4)
        equal(got, [], "while the first is there")
        one.terminate()
        thread.join(10)
        equal(got, ["in"])


@suite.check("statement mode: a transaction is refused, statements go on")
def _():
    with stage.proxy("statement", size=2) as proxy:
        client = stage.client(proxy)
        equal(client.scalar("SELECT 1"), "1")
        result = client.query("BEGIN")
        true(result.sqlstate is not None and result.sqlstate[:2] in ("0A", "08"), f"BEGIN answered {result.tags}")
        other = stage.client(proxy)
        equal(other.prepared("SELECT $1::int", "5").rows, [("5",)])


@suite.check("a transaction left open by a client that leaves is rolled back")
def _():
    stage.sql("DROP TABLE IF EXISTS leftover")
    stage.sql("CREATE TABLE leftover (v int)")
    with stage.proxy(size=1) as proxy:
        for leave in ("terminate", "close", "reset"):
            client = stage.client(proxy)
            client.rows("BEGIN")
            client.rows("INSERT INTO leftover VALUES (1)")
            getattr(client, leave)()
            following = stage.client(proxy)
            equal(following.query("SELECT count(*) FROM leftover").rows, [("0",)], f"after {leave}")
            equal(following.query("SELECT 1").status, "I", f"status after {leave}")


@suite.check("unknown database: 3D000 at login")
def _():
    with stage.proxy() as proxy:
        with raises(ServerError, "3D000"):
            stage.client(proxy, database="no_such_database")


if __name__ == "__main__":
    suite.main()
