#!/usr/bin/env python3
"""Clients that vanish, servers that die: one honest error each, nothing left over, then recovery."""

import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, eventually, in_threads, true  # noqa: E402
from stage import SHORT, Stage  # noqa: E402
from wire import (
    Closed,
    ServerError,
    Wire,
    bind,
    copy_data,
    execute,
    one_shot,
    parse,
    query,
    startup,
    sync,
)  # noqa: E402

suite = Suite("faults")
stage = Stage(suite)


def outcome(client, sql):
    """("ok", rows), ("error", sqlstate) or ("closed", sqlstate told before, if any)."""
    told = None
    try:
        client.send(query(sql))
        got = []
        while True:
            got.append(client.message())
            if got[-1].kind == "E":
                told = got[-1].fields["C"]
            if got[-1].kind == "Z":
                return ("error", told) if told else ("ok", [m for m in got if m.kind == "D"])
    except (Closed, OSError):
        return ("closed", told)


def sleeping(tag, count=1):
    """Waits until so many backends run sleep(tag); returns their pids."""

    def found():
        pids = stage.backends(f"query LIKE '%sleep /* {tag} */%' AND state = 'active'")
        return len(pids) == count and pids

    return eventually(found, f"{count} backends run the query")


def sleep(tag):
    return query(f"SELECT pg_sleep(60) AS sleep /* {tag} */")


def errors_of(client):
    """The SQLSTATEs of all that comes until the connection is closed."""
    return [m.fields["C"] for m in client.rest() if m.kind == "E"]


@suite.check("a client reset in mid SELECT: the statement is cancelled, the server reused")
def _():
    with stage.proxy(size=1) as proxy:
        client, other = stage.client(proxy), stage.client(proxy)
        client.send(sleep("reset"))
        sleeping("reset")
        client.reset()
        begun = time.monotonic()
        equal(other.scalar("SELECT 'next'"), "next")
        true(time.monotonic() - begun < 10, f"the server was free after {time.monotonic() - begun:.1f} s")


@suite.check("a client closed in mid SELECT: likewise")
def _():
    with stage.proxy(size=1) as proxy:
        client = stage.client(proxy)
        client.send(sleep("closed"))
        sleeping("closed")
        client.close()
        eventually(
            lambda: not stage.backends("query LIKE '%sleep /* closed */%' AND state = 'active'"), "it was cancelled"
        )


@suite.check("a client reset in mid write: the write finishes")
def _():
    stage.sql("DROP TABLE IF EXISTS wrote")
    stage.sql("CREATE TABLE wrote (v int)")
    with stage.proxy(size=1) as proxy:
        client, other = stage.client(proxy), stage.client(proxy)
        client.send(query("INSERT INTO wrote SELECT 1 FROM pg_sleep(2)"))
        eventually(lambda: stage.backends("query LIKE 'INSERT INTO wrote%' AND state = 'active'"), "the write runs")
        client.reset()
        equal(other.scalar("SELECT count(*) FROM wrote"), "1", "rows written")


@suite.check("what was sent before closing is executed")
def _():
    stage.sql("DROP TABLE IF EXISTS parting")
    stage.sql("CREATE TABLE parting (v int)")
    with stage.proxy(size=1) as proxy:
        for number in range(10):
            client = stage.client(proxy)
            client.send(query(f"INSERT INTO parting VALUES ({number})"))
            if number % 2:
                client.terminate()
            else:
                client.close()
        eventually(lambda: stage.sql("SELECT count(*) FROM parting") == [("10",)], "all ten rows", 10)


@suite.check("clients gone at any byte leave nothing to the next client")
def _():
    conversation = (
        query("BEGIN")
        + one_shot("SELECT $1::text, g FROM generate_series(1, 50) g", "gone")
        + sync()
        + parse("left", "SELECT 'left behind'")
        + bind("", "left")
        + execute()
        + sync()
        + query("SELECT 1/0")
    )
    with stage.proxy(size=1) as proxy:
        for at in range(1, len(conversation), 11 if SHORT else 2):
            client = stage.client(proxy)
            client.send(conversation[:at])
            if at % 3 == 0:
                client.reset()
            else:
                client.close()
            following = stage.client(proxy)
            result = following.query(f"SELECT {at}")
            equal((result.rows, result.status, result.sqlstate), ([(str(at),)], "I", None), f"cut at {at}")
            following.close()


@suite.check("clients gone in mid login leave nothing")
def _():
    data = startup({"user": "postgres", "database": "app"}) + query("SELECT 1")
    with stage.proxy(size=1) as proxy:
        for at in range(0, len(data)):
            client = Wire(proxy.port)
            client.send(data[:at])
            if at % 2:
                client.reset()
            else:
                client.close()
        equal(stage.client(proxy).scalar("SELECT 1"), "1")


@suite.check("a client gone in mid COPY in: the COPY fails, the server is reused")
def _():
    stage.sql("DROP TABLE IF EXISTS half")
    stage.sql("CREATE TABLE half (v int)")
    with stage.proxy(size=1) as proxy:
        for leave in ("close", "reset", "terminate"):
            client = stage.client(proxy)
            client.send(query("COPY half FROM STDIN"))
            client.until("G")
            client.send(copy_data(b"1\n2\n"))
            getattr(client, leave)()
            equal(stage.client(proxy).scalar("SELECT count(*) FROM half"), "0", f"rows after {leave}")


@suite.check("a client gone in mid COPY out and in a large result")
def _():
    with stage.proxy(size=1) as proxy:
        for sql in (
            "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 1000000)) TO STDOUT",
            "SELECT repeat('x', 1000) FROM generate_series(1, 1000000)",
        ):
            client = stage.client(proxy)
            client.send(query(sql))
            client.until("D", "d")
            client.reset()
            begun = time.monotonic()
            equal(stage.client(proxy).scalar("SELECT 1"), "1")
            true(time.monotonic() - begun < 15, f"free after {time.monotonic() - begun:.1f} s")


@suite.check("pg_terminate_backend in mid query: the client hears 57P01 once")
def _():
    with stage.proxy(size=2) as proxy:
        client, other = stage.client(proxy), stage.client(proxy)
        client.send(sleep("terminated"))
        pid = sleeping("terminated")[0]
        stage.sql(f"SELECT pg_terminate_backend({pid})")
        equal(errors_of(client), ["57P01"])
        equal(other.scalar("SELECT 1"), "1")


@suite.check("an idle server that dies is not lent: the client notices nothing")
def _():
    with stage.proxy(size=1, check_state=False) as proxy:
        client = stage.client(proxy)
        for turn in range(5):
            pid = client.scalar("SELECT pg_backend_pid()")
            stage.sql(f"SELECT pg_terminate_backend({pid})")
            eventually(lambda pid=pid: pid not in stage.backends(), "the backend is gone")
            time.sleep(0.05)
            equal(client.query(f"SELECT {turn}").rows, [(str(turn),)], f"turn {turn}")


@suite.check("a server that dies inside a transaction: one error, then the client may log in again")
def _():
    with stage.proxy(size=1) as proxy:
        client = stage.client(proxy)
        client.rows("BEGIN")
        pid = client.scalar("SELECT pg_backend_pid()")
        stage.sql(f"SELECT pg_terminate_backend({pid})")
        time.sleep(0.2)
        kind, state = outcome(client, "SELECT 1")
        true(kind in ("closed", "error") and state in ("57P01", "08006"), f"{kind} {state}")
        equal(stage.client(proxy).scalar("SELECT 1"), "1")


@suite.check("kill -9 of a busy backend: every client one honest error, then recovery")
def _():
    with stage.proxy(size=4) as proxy:
        clients = [stage.client(proxy) for _ in range(4)]
        for client in clients:
            client.send(sleep("backend"))
        pids = sleeping("backend", 4)
        os.kill(int(pids[0]), signal.SIGKILL)  # the postmaster then restarts all its children
        stage.forget_control()
        for client in clients:
            told = errors_of(client)
            equal(len(told), 1, f"errors {told}")
            true(told[0] in ("57P02", "08006", "57P01", "57P03"), told[0])
        recovers(proxy)


def recovers(proxy):
    """New statements succeed again, soon, and after no hang."""

    def ask():
        try:
            client = stage.client(proxy)
            answer = client.query("SELECT 'back'")
            client.close()
            return answer.rows == [("back",)]
        except (ServerError, Closed, OSError):
            return False

    eventually(ask, "a client is served again", 30)


@suite.check("kill -9 of the postmaster: exactly one error per client, then recovery")
def _():
    with stage.proxy(size=3, wait_timeout="5s") as proxy:
        busy = [stage.client(proxy) for _ in range(3)]
        idle = [stage.client(proxy) for _ in range(3)]
        for client in busy:
            client.send(sleep("postmaster"))
        pids = sleeping("postmaster", 3)
        stage.cluster.pause(signal.SIGKILL)
        for pid in pids:
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                pass
        stage.forget_control()
        for client in busy:
            told = errors_of(client)
            equal(len(told), 1, f"errors {told}")
        for client in idle:
            kind, state = outcome(client, "SELECT 1")
            true(kind in ("error", "closed") and state is not None, f"an idle client was told {kind} {state}")
        eventually(resumed, "the server starts again", 20)
        recovers(proxy)


def resumed():
    """Starts the server over its data; the shared memory of the killed one may need a moment to go."""
    try:
        if stage.cluster.process is None:
            stage.cluster.resume()
        return True
    except Exception:
        stage.cluster.process = None
        return False


@suite.check("a fast shutdown and restart of the server under load")
def _():
    with stage.proxy(size=3, wait_timeout="10s") as proxy:
        over, wrong, served = threading.Event(), [], [0]

        def work(number):
            client = None
            while not over.is_set():
                try:
                    client = client or stage.client(proxy)
                    result = client.query(f"SELECT {number}")
                    if result.errors:
                        time.sleep(0.02)
                    elif result.rows != [(str(number),)]:
                        wrong.append((number, result.rows))
                    else:
                        served[0] += 1
                except (ServerError, Closed, OSError):
                    client = None
                    time.sleep(0.05)

        threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        stage.cluster.pause()
        stage.forget_control()
        time.sleep(0.5)
        stage.cluster.resume()
        before = served[0]
        eventually(lambda: served[0] > before + 50, "clients are served again", 30)
        over.set()
        for thread in threads:
            thread.join(20)
        equal(wrong, [], "answers for another client")


@suite.check("server errors at login are told as the server told them")
def _():
    stage.sql("DROP ROLE IF EXISTS nologin")
    stage.sql("CREATE ROLE nologin")
    with stage.proxy() as proxy:
        for user, state in (("nologin", "28000"), ("nobody_at_all", "28000")):
            try:
                kind = stage.client(proxy, user).query("SELECT 1").sqlstate
            except ServerError as error:
                kind = error.sqlstate
            equal(kind, state, user)
        equal(stage.client(proxy).scalar("SELECT 1"), "1")


@suite.check("a slow reader holds up nobody, and memory stays bounded")
def _():
    with stage.proxy(size=2) as proxy:
        slow, other = stage.client(proxy), stage.client(proxy)
        slow.send(query("SELECT repeat('x', 100000) FROM generate_series(1, 2000)"))
        slow.until("D")
        time.sleep(0.5)
        for _ in range(50):
            equal(other.scalar("SELECT 1"), "1")
        with open(f"/proc/{proxy.pid}/status", encoding="ascii") as file:
            rss_kib = next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
        true(rss_kib < (400 << 10 if os.environ.get("HOWDAH_SANITIZER") else 64 << 10), f"{rss_kib} KiB resident")
        equal(sum(m.kind == "D" for m in slow.ready()), 1999, "the rest of the rows")


@suite.check("random leaving under load: no row for another client")
def _():
    with stage.proxy(size=3) as proxy:

        def work(number):
            for turn in range(10 if SHORT else 40):
                try:
                    client = stage.client(proxy)
                    client.send(
                        one_shot("SELECT $1::text, pg_sleep(0.001 * (random() * 5)::int)", f"{number}.{turn}"), sync()
                    )
                    if turn % 4 == 0:
                        client.reset()
                        continue
                    rows = [m for m in client.ready() if m.kind == "D"]
                    true(f"{number}.{turn}".encode() in rows[0].body, f"{number}.{turn} got {rows[0].body!r}")
                    client.close()
                except (Closed, OSError):
                    true(False, f"{number}.{turn} lost its connection")

        in_threads(12, work)


if __name__ == "__main__":
    suite.main()
