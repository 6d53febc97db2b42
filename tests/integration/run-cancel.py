#!/usr/bin/env python3
"""Cancel requests: the right statement, nobody else's, and waiting clients too."""

import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, eventually, in_threads, true  # noqa: E402
from stage import SHORT, Stage  # noqa: E402
from wire import copy_data, one_shot, query, sync  # noqa: E402

suite = Suite("cancel")
stage = Stage(suite)


def errors(messages):
    return [m.fields["C"] for m in messages if m.kind == "E"]


@suite.check("a running statement, simple and extended")
def _():
    with stage.proxy(size=1) as proxy:
        client = stage.client(proxy)
        for ask in (query("SELECT pg_sleep(30)"), one_shot("SELECT pg_sleep(30)") + sync()):
            client.send(ask)
            client.quiet(0.2)
            equal(client.cancel(), [], "answer to the cancel request")
            equal(errors(client.ready()), ["57014"])
            equal(client.scalar("SELECT 1"), "1")


@suite.check("keys are the client's own: two clients on one server")
def _():
    with stage.proxy(size=1) as proxy:
        one, two = stage.client(proxy), stage.client(proxy)
        true((one.pid, one.key) != (two.pid, two.key), "both have the same key")
        two.rows("SELECT 1")
        one.send(query("SELECT pg_sleep(1)"))
        one.quiet(0.2)
        two.cancel()
        equal(errors(one.ready()), [], "the other's cancel must not hit")
        one.send(query("SELECT pg_sleep(30)"))
        one.quiet(0.2)
        one.cancel()
        equal(errors(one.ready()), ["57014"])


@suite.check("a cancel for an idle client does nothing, now and later")
def _():
    with stage.proxy(size=1) as proxy:
        idle, busy = stage.client(proxy), stage.client(proxy)
        idle.rows("SELECT 1")
        for _ in range(30):
            busy.send(query("SELECT pg_sleep(0.02)"))
            idle.cancel()
            equal(errors(busy.ready()), [])
        equal(idle.scalar("SELECT 2"), "2")


@suite.check("a client that waits for a server can be cancelled")
def _():
    with stage.proxy(size=1) as proxy:
        holder, waiting = stage.client(proxy), stage.client(proxy)
        holder.rows("BEGIN")
        holder.rows("SELECT 1")
        waiting.send(query("SELECT 'waited'"))
        waiting.quiet(0.2)
        begun = time.monotonic()
        waiting.cancel()
        equal(errors(waiting.ready()), ["57014"])
        true(time.monotonic() - begun < 5, f"after {time.monotonic() - begun:.1f} s")
        equal(holder.query("COMMIT").status, "I", "the holder is unharmed")
        equal(waiting.scalar("SELECT 1"), "1")


@suite.check("in a transaction: it fails, and only it")
def _():
    with stage.proxy(size=1) as proxy:
        client, other = stage.client(proxy), stage.client(proxy)
        client.rows("BEGIN")
        client.send(query("SELECT pg_sleep(30)"))
        client.quiet(0.2)
        client.cancel()
        messages = client.ready()
        equal((errors(messages), messages[-1].body), (["57014"], b"E"))
        equal(client.query("ROLLBACK").status, "I")
        equal(other.scalar("SELECT 1"), "1")


@suite.check("in mid COPY in and COPY out")
def _():
    stage.sql("DROP TABLE IF EXISTS copied")
    stage.sql("CREATE TABLE copied (v int)")
    with stage.proxy(size=1) as proxy:
        client = stage.client(proxy)
        client.send(query("COPY copied FROM STDIN")).until("G")
        client.send(copy_data(b"1\n"))
        client.cancel()
        equal(errors(client.send(copy_data(b"2\n"), b"c\0\0\0\4").ready()), ["57014"])
        client.send(query("COPY (SELECT pg_sleep(0.01) FROM generate_series(1, 10000)) TO STDOUT")).until("H")
        client.quiet(0.1)
        client.cancel()
        equal(errors(client.ready()), ["57014"])
        equal(client.scalar("SELECT count(*) FROM copied"), "0")


@suite.check("a pipeline: the statement is cancelled, the rest up to its Sync skipped")
def _():
    with stage.proxy(size=1) as proxy:
        client = stage.client(proxy)
        client.send(
            one_shot("SELECT pg_sleep(30)"), one_shot("SELECT 'skipped'"), sync(), one_shot("SELECT 'next'"), sync()
        )
        client.quiet(0.2)
        client.cancel()
        messages = client.ready(2)
        equal((errors(messages), [m.body[6:] for m in messages if m.kind == "D"]), (["57014"], [b"next"]))


@suite.check("a flood of cancels: no statement of another client fails")
def _():
    with stage.proxy(size=3) as proxy:
        victims = [stage.client(proxy) for _ in range(4)]
        over, wrong, served = threading.Event(), [], [0]

        def innocent(number):
            client = stage.client(proxy)
            while not over.is_set():
                result = client.prepared("SELECT $1::text, pg_sleep(0.002)", f"innocent {number}")
                served[0] += 1
                if result.errors or result.rows[0][0] != f"innocent {number}":
                    wrong.append((number, result.errors, result.rows))

        threads = [threading.Thread(target=innocent, args=(n,), daemon=True) for n in range(6)]
        for thread in threads:
            thread.start()

        def attack(number):
            victim, chance = victims[number], random.Random(number)
            for _ in range(10 if SHORT else 40):
                victim.send(query("SELECT pg_sleep(0.01)"))
                time.sleep(chance.random() * 0.02)
                victim.cancel()
                true(set(errors(victim.ready())) <= {"57014"}, "the victim's errors")

        in_threads(4, attack)
        over.set()
        for thread in threads:
            thread.join(10)
        equal(wrong, [], "innocent clients")
        true(served[0] > 20, f"only {served[0]} innocent statements ran")


@suite.check("cancelled over and over, the pool keeps its size and its servers are clean")
def _():
    with stage.proxy(size=2) as proxy:
        client = stage.client(proxy)
        for _ in range(15):
            client.send(query("BEGIN; SELECT pg_sleep(30)"))
            client.quiet(0.05)
            client.cancel()
            client.ready()
            client.rows("ROLLBACK")
        eventually(lambda: len(stage.backends()) <= 2 and not stage.backends("state <> 'idle'"), "two idle servers")


if __name__ == "__main__":
    suite.main()
