#!/usr/bin/env python3
"""Caps: clients in all, per database, per user; servers per node and per user; descriptors."""

import contextlib
import os
import resource
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Failed, Suite, equal, eventually, in_threads, raises, true  # noqa: E402
from stage import Stage  # noqa: E402
from wire import Closed, Result, ServerError, Wire, bind, close, execute, parse, query, ssl_request, sync  # noqa: E402

suite = Suite("limits")
stage = Stage(suite)
USERS = ("alice", "bob", "carol", "dave")


def make_users():
    for user in USERS:
        stage.sql(f"DROP ROLE IF EXISTS {user}")
        stage.sql(f"CREATE ROLE {user} LOGIN")


@suite.check("max_clients: 53300 for the next, a place when one leaves")
def _():
    with stage.proxy(top={"max_clients": 5}) as proxy:
        clients = [stage.client(proxy) for _ in range(5)]
        with raises(ServerError, "53300"):
            stage.client(proxy)
        clients[0].terminate()

        def admitted():
            try:
                return stage.client(proxy)
            except (ServerError, Closed):
                return None

        equal(eventually(admitted, "a place").scalar("SELECT 1"), "1")


@suite.check("users.NAME.max_clients: only that user is refused")
def _():
    make_users()
    with stage.proxy(top={"users": {"bob": {"max_clients": 2}}, "workers": 2}) as proxy:
        kept = [stage.client(proxy, "bob") for _ in range(2)]
        with raises(ServerError, "53300"):
            stage.client(proxy, "bob")
        equal(stage.client(proxy, "alice").scalar("SELECT session_user"), "alice")
        equal(kept[0].scalar("SELECT session_user"), "bob")


@suite.check("beyond max_clients: SSLRequest is answered first, and the admin console is open")
def _():
    with stage.proxy(top={"max_clients": 1}) as proxy:
        kept = stage.client(proxy)
        late = Wire(proxy.port)
        late.send(ssl_request())
        equal(late.raw(1), b"N")
        with raises(ServerError, "53300"):
            late.login("postgres", "app")
        true(proxy.admin("SHOW VERSION"), "the console answers")
        equal(kept.scalar("SELECT 1"), "1")


@suite.check("users.NAME.pool.size overrides the database's")
def _():
    make_users()
    with stage.proxy(size=5, top={"users": {"bob": {"pool": {"size": 1}}}}) as proxy:

        def work(user):
            pids = set()

            def one(_number):
                client = stage.client(proxy, user)
                for _ in range(5):
                    pids.add(client.prepared("SELECT pg_backend_pid(), pg_sleep(0.02)").rows[0][0])

            in_threads(6, one)
            return len(pids)

        equal(work("bob"), 1, "bob's servers")
        true(work("alice") > 1, "alice has the database's size")


@suite.check("max_server_connections over all users: idle links of others make room")
def _():
    make_users()
    with stage.proxy(size=5, top={"database": {"max_server_connections": 3}}) as proxy:

        def work(number):
            client = stage.client(proxy, USERS[number % 4])
            for _ in range(8):
                equal(client.scalar("SELECT session_user"), USERS[number % 4])
                found = stage_backends()
                if len(found) > 3:  # a backend takes a moment to end, once its connection is closed
                    time.sleep(0.3)
                    found = [pid for pid in found if pid in stage_backends()]
                true(len(found) <= 3, f"{len(found)} server connections")

        in_threads(12, work)


def stage_backends():
    """As stage.backends, on a connection of the calling thread."""
    control = stage.direct()
    try:
        return control.rows("SELECT pid FROM pg_stat_activity WHERE datname = 'app' AND usename <> 'postgres'")
    finally:
        control.close()


@suite.check("the server's own limit: clients wait or are told, none hangs")
def _():
    with stage.proxy(
        size=60, wait_timeout="3s", primary=f"postgres://carol@127.0.0.1:{stage.cluster.port}/app"
    ) as proxy:
        make_users()
        stage.sql("ALTER ROLE carol CONNECTION LIMIT 2")
        answers = []

        def work(_number):
            try:
                client = stage.client(proxy)
                answers.append(client.prepared("SELECT 'in', pg_sleep(0.05)").sqlstate or "ok")
            except ServerError as error:
                answers.append(error.sqlstate)

        begun = time.monotonic()
        in_threads(10, work)
        true(time.monotonic() - begun < 20, "hung")
        true("ok" in answers and set(answers) <= {"ok", "53300"}, str(answers))


@suite.check("out of descriptors: no spin, no death, service when they are back")
def _():
    with stage.proxy(size=2) as proxy:
        kept = stage.client(proxy)
        kept.rows("SELECT 1")
        used = len(os.listdir(f"/proc/{proxy.pid}/fd"))
        soft, hard = resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (used + 3, hard))
        crowd = [Wire(proxy.port) for _ in range(20)]
        equal(kept.scalar("SELECT 1"), "1", "who is in is served")
        before = cpu_seconds(proxy.pid)
        time.sleep(1)
        spent = cpu_seconds(proxy.pid) - before
        true(spent < 0.3, f"{spent:.2f} s of CPU in one idle second")
        for client in crowd:
            client.close()
        resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (soft, hard))

        def again():
            try:
                return stage.client(proxy).scalar("SELECT 1") == "1"
            except (ServerError, Closed, OSError):
                return False

        eventually(again, "a new client is served")


MIB = 1024 * 1024


def rss_bytes(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def long_text(number):
    """A statement of almost 1 MiB."""
    return f"SELECT {number} AS n /* " + "x" * (MIB - 1000) + " */"


@suite.check("64 MiB of prepared statements for a client: 54000 for the next, room when one is closed")
def _():
    with stage.proxy(size=2) as proxy:
        client, other = stage.client(proxy), stage.client(proxy)
        base = rss_bytes(proxy.pid)

        def prepare(number, more=b""):
            client.send(parse(f"s{number}", long_text(number)), more, sync())
            return Result(client.ready())

        for number in range(64):
            equal(prepare(number).sqlstate, None, f"statement {number}")
        refused = prepare(64)
        equal(refused.sqlstate, "54000")
        true("64 MiB" in refused.errors[0]["D"] and "DEALLOCATE" in refused.errors[0]["H"], "DETAIL and HINT")
        # Behind it all is skipped, inside a transaction it fails, and a short one is no different.
        equal(client.prepared("SELECT 1", name="p" * 4000).sqlstate, None, "there is room for that")
        client.send(query("BEGIN"), parse("s65", long_text(65)), bind("", "s65"), execute(), sync())
        said = client.ready(2)
        equal(Result(said).sqlstate, "54000")
        equal(client.query("SELECT 1").sqlstate, "25P02")
        client.rows("ROLLBACK")
        equal(client.prepared("SELECT 7", name="").rows[0][0], "7", "the unnamed one has room")
        # What is there works, on servers that keep less.
        for number in (0, 63, 31):
            client.send(bind("", f"s{number}"), execute(), sync())
            equal(Result(client.ready()).rows[0][0], str(number))
        # SQL's PREPARE, too.
        fill = "PREPARE {} AS SELECT '" + "x" * 10000 + "' AS n"
        number, result = 0, None
        while result is None or result.sqlstate is None:
            result, number = client.query(fill.format(f"q{number}")), number + 1
            true(number < 64, "SQL's statements are counted")
        equal(result.sqlstate, "54000")
        client.send(parse("", fill.format("qq")), bind(), execute(), sync())
        equal(Result(client.ready()).sqlstate, "54000")
        # Room again.
        client.send(close("S", "s0"), close("S", "s1"), sync())
        client.ready()
        equal(prepare(64).sqlstate, None)
        equal(other.scalar("SELECT 1"), "1")
        client.rows("DEALLOCATE ALL")
        for number in range(60):
            equal(prepare(number).sqlstate, None)
        spent = (rss_bytes(proxy.pid) - base) / MIB
        true(spent < 200 or os.environ.get("HOWDAH_SANITIZER"), f"{spent:.0f} MiB more")


@suite.check("a client that does not read its answers is not read from")
def _():
    with stage.proxy(size=2) as proxy:
        client, pair = stage.client(proxy), close("S", "a") + sync()
        base, unsent, sent = rss_bytes(proxy.pid), memoryview(pair * (24 * MIB // len(pair))), 0
        client.sock.settimeout(1)
        with contextlib.suppress(TimeoutError):
            while sent < len(unsent):
                sent += client.sock.send(unsent[sent : sent + 65536])
        true(sent < len(unsent), "somebody has taken all of it")
        spent = (rss_bytes(proxy.pid) - base) / MIB
        true(spent < 8 or os.environ.get("HOWDAH_SANITIZER"), f"{spent:.0f} MiB more")
        # Once it reads it is served on; what was cut is sent to its end.
        rest = -sent % len(pair)
        answers = (sent + rest) // len(pair) * 11
        done = threading.Thread(target=client.sock.sendall, args=(unsent[sent : sent + rest],))
        done.start()
        client.sock.settimeout(60)
        client.raw(answers)
        done.join()
        equal(client.scalar("SELECT 1"), "1")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@suite.check("idle: no CPU")
def _():
    with stage.proxy(size=2, min_idle=2) as proxy:
        clients = [stage.client(proxy) for _ in range(50)]
        clients[0].rows("SELECT 1")
        time.sleep(0.5)
        before = cpu_seconds(proxy.pid)
        time.sleep(3)
        spent = cpu_seconds(proxy.pid) - before
        if spent > 0.05 and not os.environ.get("HOWDAH_SANITIZER"):
            raise Failed(f"{spent:.2f} s of CPU in three idle seconds")


if __name__ == "__main__":
    suite.main()
