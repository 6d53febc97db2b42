#!/usr/bin/env python3
"""A replica that freezes while it is read: what was under way there is answered all the same."""

import contextlib
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, eventually, true  # noqa: E402
from howdah import Howdah  # noqa: E402
from trio import Heartbeat, Trio, all_up, rows  # noqa: E402
from wire import Wire, query  # noqa: E402

FROZEN_S, BACK_S = 10, 25
SOON_S = 2  # behind the news: 1 s to hear of it, and what a busy machine takes
SIZE = 2
NODE = "SELECT current_setting('cluster_name')"

suite = Suite("frozen", check_limit_s=120)
trio = Trio(suite, "app", synchronous_commit="on")


@trio.started
def _(primary):
    primary.psql("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT g, 0 FROM generate_series(1, 100) g",
                 db="app")


@contextlib.contextmanager
def proxied(replicas=(1, 2), **routing):
    """A Howdah that knows its servers, and reads from each of the replicas; clients of it are made by the function."""
    trio.caught_up(2)
    config = trio.config(replicas=replicas, workers=2, routing={"max_lag": "60s", "balance": "round_robin", **routing},
                         pool={"check_state": False, "size": SIZE})
    with contextlib.ExitStack() as stack:
        stack.enter_context(Heartbeat(trio))
        proxy = stack.enter_context(Howdah(config=config))
        all_up(proxy, len(replicas) + 1)

        def connect():
            client = stack.enter_context(Wire(proxy.port, timeout_s=60))
            client.login("postgres", "app")
            return client

        first, seen = connect(), set()

        def read_everywhere():
            seen.add(first.rows("/* howdah: consistency=eventual */ " + NODE)[0][0])
            return seen >= {f"node{at}" for at in replicas}

        eventually(read_everywhere, "each replica is read", 20)
        yield proxy, connect


class Reader:
    """One session that reads all the time, from when it was begun."""

    def __init__(self, client, prepared):
        self.client, self.prepared = client, prepared
        self.reads, self.failed = [], None  # (from, to, where)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            while not self.over.is_set():
                began = time.monotonic()
                result = (self.client.prepared if self.prepared else self.client.query)(NODE)
                equal(result.errors, [], "errors")
                self.reads.append((began, time.monotonic(), result.rows[0][0]))
        except Exception as error:  # told by the check
            self.failed = error

    def stop(self):
        self.over.set()
        self.thread.join(70)
        equal((self.failed, self.thread.is_alive()), (None, False), "what failed, and whether it hangs")

    def nodes_since(self, moment):
        return {node for began, _, node in self.reads[-1000:] if began > moment}


@contextlib.contextmanager
def frozen(proxy, at=1):
    """The replica is frozen, whole; the moment when Howdah had noticed it."""
    trio[at].freeze()
    try:
        eventually(lambda: rows(proxy)[at]["state"] == "frozen", "it is frozen", FROZEN_S)
        yield time.monotonic()
    finally:
        trio[at].thaw()


@suite.check("reads that a replica has when it freezes, or in its line, are answered elsewhere, without an error")
def _():
    with proxied() as (proxy, connect):
        readers = [Reader(connect(), number % 2 == 0) for number in range(12)]
        time.sleep(1)
        with frozen(proxy) as noticed:
            eventually(lambda: all(reader.failed or reader.nodes_since(noticed) for reader in readers),
                       "all go on reading", 20)
            late = max(end - noticed for reader in readers for began, end, _ in reader.reads if began < noticed)
            print(f"# the last answer came {late:.2f} s behind the news", flush=True)
            true(late < SOON_S, f"an answer came {late:.2f} s behind the news")
            true(all("node1" not in reader.nodes_since(noticed) for reader in readers), "nobody reads there")
            for reader in readers:
                reader.stop()
        eventually(lambda: rows(proxy)[1]["state"] == "up", "it is back", BACK_S)
        later = [connect() for _ in range(12)]
        eventually(lambda: "node1" in {client.rows(NODE)[0][0] for client in later}, "it is read again", 20)


@suite.check("a transaction of the replica's goes on there once that is thawed")
def _():
    with proxied(replicas=(1,)) as (proxy, connect):
        client = connect()

        def begins_there():
            client.query("ROLLBACK")
            client.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            return client.rows(NODE) == [("node1",)]

        eventually(begins_there, "it begins at the replica", 20)
        with frozen(proxy):
            client.send(query(NODE))
            with connect() as other:
                equal(other.rows(NODE), [("node0",)], "meanwhile")
        equal(client.ready()[-1].kind, "Z", "the answer")
        equal(client.query("COMMIT").tags, ["COMMIT"], "tag")


if __name__ == "__main__":
    suite.main()
