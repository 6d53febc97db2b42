#!/usr/bin/env python3
"""Several workers in one process: one pool size for all, links lent, cancels that find their way."""

import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, eventually, in_threads, true  # noqa: E402
from stage import SHORT, Stage  # noqa: E402
from wire import Closed, Result, bind, execute, one_shot, parse, query, sync  # noqa: E402

suite = Suite("workers")
stage, tls_stage = Stage(suite), Stage(suite, ssl=True)


def watched(limit, work, count, stage=stage):
    """Runs work(0..count-1) at once while the number of backends is watched; it must stay at limit."""
    most, over = [0], threading.Event()
    stage.sql("SELECT 1")

    def watch():
        control = stage.direct()
        while not over.wait(0.003):
            # without the watcher, the stage's own connection, and the catalog's reader
            most.append(
                int(
                    control.scalar(
                        "SELECT count(*) - 2 FROM pg_stat_activity WHERE datname = 'app'"
                        " AND backend_type = 'client backend' AND application_name <> 'howdah catalog'"
                    )
                )
            )
        control.terminate()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    in_threads(count, work)
    over.set()
    watcher.join()
    true(max(most) <= limit, f"{max(most)} server connections, allowed are {limit}")


for size in (1, 2, 5):

    def size_check(size=size):
        @suite.check(f"2 workers, 40 clients, pool size {size}: never one more")
        def _():
            with stage.proxy(size=size, top={"workers": 2}) as proxy:

                def work(number):
                    client = stage.client(proxy)
                    for turn in range(4 if SHORT else 15):
                        equal(client.scalar(f"SELECT {number * 1000 + turn}"), str(number * 1000 + turn))
                        rows = client.prepared("SELECT $1::text, pg_sleep(0.001)", str(number), name="").rows
                        equal(rows[0][0], str(number))

                watched(size, work, 40)

    size_check()


@suite.check("nobody starves while a link idles at the other worker")
def _():
    with stage.proxy(size=1, top={"workers": 2}) as proxy:
        clients = [stage.client(proxy) for _ in range(8)]
        for turn in range(50):
            begun = time.monotonic()
            equal(clients[turn % 8].scalar(f"SELECT {turn}"), str(turn))
            true(time.monotonic() - begun < 2, f"turn {turn} took {time.monotonic() - begun:.1f} s")


@suite.check("max_server_connections: what idles for a user whom this worker has never met makes room")
def _():
    users = ("alice", "bob", "carol", "dave", "erin", "frank")
    for user in users:
        stage.sql(f"DROP ROLE IF EXISTS {user}")
        stage.sql(f"CREATE ROLE {user} LOGIN")
    options = {"workers": 2, "database": {"max_server_connections": 1}}
    with stage.proxy(size=2, wait_timeout="0s", top=options) as proxy:
        clients = []
        for user in users:  # each worker has every second of them
            clients.append(stage.client(proxy, user))
            equal(clients[-1].scalar("SELECT session_user"), user)
        for turn in range(3):
            for user, client in zip(users, clients):
                begun = time.monotonic()
                equal(client.scalar("SELECT session_user"), user)
                true(time.monotonic() - begun < 2, f"{user} waited for {time.monotonic() - begun:.1f} s")


@suite.check("the waiting line is one line over both workers")
def _():
    with stage.proxy(size=1, top={"workers": 2}) as proxy:
        stage.sql("DROP TABLE IF EXISTS arrivals")
        stage.sql("CREATE TABLE arrivals (place serial, who int)")
        holder, waiting = stage.client(proxy), [stage.client(proxy) for _ in range(12)]
        holder.rows("BEGIN")
        holder.rows("SELECT 1")
        for number, client in enumerate(waiting):
            client.send(query(f"INSERT INTO arrivals (who) VALUES ({number})"))
            time.sleep(0.03)
        holder.rows("COMMIT")
        for client in waiting:
            client.ready()
        equal([int(row[0]) for row in stage.sql("SELECT who FROM arrivals ORDER BY place")], list(range(12)))


@suite.check("prepared statements follow their client over lent links")
def _():
    with stage.proxy(size=2, top={"workers": 2}) as proxy:

        def work(number):
            client = stage.client(proxy)
            client.send(parse("same", f"SELECT $1::int + {number}"), sync()).ready()
            for turn in range(20):
                client.send(bind("", "same", [str(turn).encode()]), execute(), sync())
                rows = [m.body[6:] for m in client.ready() if m.kind == "D"]
                equal(rows, [str(turn + number).encode()], f"client {number}")

        in_threads(16, work)


@suite.check("a cancel that arrives at the other worker finds its statement")
def _():
    with stage.proxy(size=4, top={"workers": 2}) as proxy:
        for turn in range(12):
            client = stage.client(proxy)
            client.send(query("SELECT pg_sleep(30)"))
            client.quiet(0.1)
            client.cancel()
            equal([m.fields["C"] for m in client.ready() if m.kind == "E"], ["57014"], f"turn {turn}")


@suite.check("clients that leave at both workers leave no server busy")
def _():
    with stage.proxy(size=3, top={"workers": 2}) as proxy:

        def work(number):
            for turn in range(10 if SHORT else 30):
                try:
                    client = stage.client(proxy)
                    client.send(
                        one_shot("SELECT $1::text", f"{number}.{turn}"), sync(), query("BEGIN"), query("SELECT 1")
                    )
                    if turn % 2:
                        client.reset()
                        continue
                    equal(Result(client.ready()).rows, [(f"{number}.{turn}",)], "its own row")
                    client.close()
                except (Closed, OSError) as error:
                    true(False, f"{number}.{turn}: {error}")

        in_threads(8, work)
        eventually(lambda: not stage.backends("state <> 'idle'"), "all servers idle")


@suite.check("links with TLS towards the server are lent, too: one session, both workers")
def _():
    primary = f"postgres://postgres@127.0.0.1:{tls_stage.cluster.port}/app?sslmode=require"
    with tls_stage.proxy(size=1, primary=primary, top={"workers": 2}) as proxy:
        clients = [tls_stage.client(proxy) for _ in range(6)]
        equal({row["worker"] for row in proxy.admin("SHOW CLIENTS")} >= {"0", "1"}, True, "clients at both workers")
        pids = set()
        for turn in range(60):
            client = clients[turn % 6]
            rows = client.rows("SELECT pg_backend_pid(), ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            pids.add(rows[0][0])
            equal(rows[0][1], "t", "the server sees TLS")
            # Many records, and an end that does not fall on one's.
            size = 1 + turn * 7919
            equal(len(client.prepared("SELECT repeat('x', $1::int)", str(size)).rows[0][0]), size)
        equal(len(pids), 1, "server connections in all")


@suite.check("links with TLS, lent under load: each client its own rows")
def _():
    primary = f"postgres://postgres@127.0.0.1:{tls_stage.cluster.port}/app?sslmode=require"
    with tls_stage.proxy(size=3, primary=primary, top={"workers": 2}) as proxy:

        def work(number):
            client = tls_stage.client(proxy)
            for turn in range(10 if SHORT else 40):
                own = f"{number}.{turn}."
                client.send(one_shot("SELECT $1::text || repeat('y', 9000)", own), sync(), query(f"SELECT '{own}'"))
                rows = Result(client.ready(2)).rows
                equal((rows[0][0][: len(own)], len(rows[0][0]), rows[1]), (own, len(own) + 9000, (own,)))

        watched(3, work, 16, tls_stage)
        # The watcher's own connection, without TLS, may take a moment to leave.
        sql = ("SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
               " WHERE datname = 'app' AND pid <> pg_backend_pid()")
        eventually(lambda: tls_stage.sql(sql) == [("t",)], "all servers with TLS")
        eventually(lambda: not tls_stage.backends("state <> 'idle'"), "all servers idle")


if __name__ == "__main__":
    suite.main()
