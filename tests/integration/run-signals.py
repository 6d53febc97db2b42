#!/usr/bin/env python3
"""pg_cancel_backend and pg_terminate_backend of the pids that clients were told: their client, nobody else's."""

import os
import random
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Failed, Suite, equal, eventually, in_threads, true  # noqa: E402
from stage import SHORT, Stage  # noqa: E402
from wire import Closed, ServerError, bind, execute, one_shot, parse, query, sync  # noqa: E402

suite = Suite("signals")
stage = Stage(suite)

MODES = ("transaction", "session")


def errors(messages):
    return [m.fields["C"] for m in messages if m.kind == "E"]


def ended(client):
    """What the client is told in the end, and that it is the end."""
    codes = []
    try:
        while True:
            message = client.message()
            if message.kind == "E":
                codes.append((message.fields["S"], message.fields["C"]))
    except Closed:
        return codes


def busy(client, sql="SELECT pg_sleep(30)"):
    """The client runs something."""
    client.send(query(sql))
    eventually(lambda: stage.backends(f"state = 'active' AND query = '{sql}'"), "the statement runs")


for mode in MODES:

    def mode_checks(mode=mode):
        @suite.check(f"{mode}: an idle client is cancelled, and nothing happens")
        def _():
            with stage.proxy(mode=mode, size=4) as proxy:
                caller, idle = stage.client(proxy), stage.client(proxy)
                equal(idle.scalar("SELECT 1"), "1")
                for _ in range(5):
                    result = caller.query(f"SELECT pg_cancel_backend({idle.pid})")
                    equal((result.rows, errors(result.messages)), ([("t",)], []))
                equal(idle.scalar("SELECT 2"), "2")

        @suite.check(f"{mode}: an idle client is terminated, in the server's words")
        def _():
            with stage.proxy(mode=mode, size=4) as proxy:
                caller, idle, other = (stage.client(proxy) for _ in range(3))
                equal(idle.scalar("SELECT 1"), "1")
                equal(other.scalar("SELECT 1"), "1")
                equal(caller.scalar(f"SELECT pg_terminate_backend({idle.pid})"), "t")
                equal(ended(idle), [("FATAL", "57P01")])
                equal(other.scalar("SELECT 1"), "1")
                result = caller.query(f"SELECT pg_terminate_backend({idle.pid})")
                equal(result.rows, [("f",)], "once more")

        @suite.check(f"{mode}: what runs is cancelled; terminated, its client ends")
        def _():
            with stage.proxy(mode=mode, size=4) as proxy:
                caller, at_work = stage.client(proxy), stage.client(proxy)
                busy(at_work)
                equal(caller.scalar(f"SELECT pg_cancel_backend({at_work.pid})"), "t")
                equal(errors(at_work.ready()), ["57014"])
                equal(at_work.scalar("SELECT 1"), "1")
                busy(at_work)
                equal(caller.scalar(f"SELECT pg_terminate_backend({at_work.pid})"), "t")
                equal(ended(at_work), [("FATAL", "57P01")])

        @suite.check(f"{mode}: a client in a transaction; one that only has said BEGIN")
        def _():
            with stage.proxy(mode=mode, size=4) as proxy:
                caller, inside, begun = (stage.client(proxy) for _ in range(3))
                inside.rows("BEGIN")
                inside.rows("SELECT 1")
                begun.rows("BEGIN")
                for one in (inside, begun):
                    equal(caller.scalar(f"SELECT pg_cancel_backend({one.pid})"), "t")
                    equal(one.query("SELECT 1").rows, [("1",)])
                equal(caller.scalar(f"SELECT pg_terminate_backend({inside.pid})"), "t")
                equal(ended(inside), [("FATAL", "57P01")])
                equal(begun.query("COMMIT").status, "I")

        @suite.check(f"{mode}: a client that signals itself")
        def _():
            with stage.proxy(mode=mode, size=1) as proxy:
                client = stage.client(proxy)
                client.send(query(f"SELECT pg_cancel_backend({client.pid}), pg_sleep(5)"))
                equal(errors(client.ready()), ["57014"])
                client.rows("BEGIN")
                client.send(query(f"SELECT pg_cancel_backend({client.pid}), pg_sleep(5)"))
                equal(errors(client.ready()), ["57014"])
                equal(client.query("ROLLBACK").status, "I")
                client.send(query(f"SELECT pg_terminate_backend({client.pid})"))
                equal(ended(client), [("FATAL", "57P01")])
                equal(stage.client(proxy).scalar("SELECT 1"), "1")

        @suite.check(f"{mode}: pids in extended query, as literals and parameters")
        def _():
            with stage.proxy(mode=mode, size=6) as proxy:
                caller = stage.client(proxy)

                def victim():
                    client = stage.client(proxy)
                    client.rows("SELECT 1")
                    return client

                client = victim()
                asks = {
                    "literal": one_shot(f"SELECT pg_terminate_backend({client.pid})"),
                    "text": one_shot("SELECT pg_terminate_backend($1)", str(client.pid)),
                    "binary": parse("", "SELECT pg_terminate_backend($1)")
                    + bind("", "", [struct.pack("!i", client.pid)], (1,))
                    + execute(),
                    "array": one_shot("SELECT pg_terminate_backend(p) FROM unnest($1::int[]) p", f"{{{client.pid}}}"),
                    "named": one_shot("SELECT pg_terminate_backend($1)", str(client.pid), name="kill"),
                }
                for name, ask in asks.items():
                    caller.send(ask + sync())
                    result = caller.ready()
                    rows = [m.body[6:] for m in result if m.kind == "D"]
                    if name == "array":  # not in the function's own arguments: docs/compatibility.md
                        equal((rows, errors(result)), ([b"f"], []), name)
                        continue
                    if name == "literal":
                        equal((rows, errors(result)), ([b"t"], []), name)
                        equal(ended(client), [("FATAL", "57P01")], name)
                    else:
                        equal((rows, errors(result)), ([b"f"], []), f"{name}: it is gone")
                for name in ("text", "binary", "named"):
                    client = victim()
                    if name == "binary":
                        caller.send(
                            parse("", "SELECT pg_terminate_backend($1)"),
                            bind("", "", [struct.pack("!i", client.pid)], (1,)),
                            execute(),
                            sync(),
                        )
                    elif name == "text":
                        caller.send(one_shot("SELECT pg_terminate_backend($1)", str(client.pid)) + sync())
                    else:
                        caller.send(bind("", "kill", [str(client.pid).encode()]) + execute() + sync())
                    result = caller.ready()
                    equal(([m.body[6:] for m in result if m.kind == "D"], errors(result)), ([b"t"], []), name)
                    equal(ended(client), [("FATAL", "57P01")], name)

        @suite.check(f"{mode}: functions that look find who is meant, also prepared under a name")
        def _():
            with stage.proxy(mode=mode, size=6) as proxy:
                caller, holder, waiter = (stage.client(proxy) for _ in range(3))
                for client in (holder, waiter):
                    client.rows("BEGIN")
                    client.rows("SELECT 1")
                holder.rows("SELECT pg_advisory_xact_lock(42)")
                busy(waiter, "SELECT pg_advisory_xact_lock(42)")
                text = f"SELECT pg_isolation_test_session_is_blocked($1, '{{{holder.pid}}}')"
                equal(caller.prepared(text, str(waiter.pid), name="looks").rows, [("t",)], "named")
                equal(caller.prepared(text, str(waiter.pid)).rows, [("t",)], "unnamed")
                equal(caller.rows(text.replace("$1", str(waiter.pid))), [("t",)], "simple")
                equal(caller.rows(text.replace("$1", str(holder.pid))), [("f",)], "of the other")
                holder.rows("COMMIT")
                equal(errors(waiter.ready()), [])

        @suite.check(f"{mode}: who may not, is told so, and nobody is hit")
        def _():
            stage.sql("DROP ROLE IF EXISTS nobody")
            stage.sql("CREATE ROLE nobody LOGIN")
            with stage.proxy(mode=mode, size=3) as proxy:
                caller, idle = stage.client(proxy, user="nobody"), stage.client(proxy)
                equal(idle.scalar("SELECT 1"), "1")
                for _ in range(20):
                    equal(errors(caller.query(f"SELECT pg_terminate_backend({idle.pid})").messages), ["42501"])
                    equal(idle.scalar("SELECT 1"), "1")
                own = stage.client(proxy, user="nobody")
                equal(caller.scalar(f"SELECT pg_terminate_backend({own.pid})"), "t")
                equal(ended(own), [("FATAL", "57P01")])

        @suite.check(f"{mode}: the next client at the same place has another pid")
        def _():
            with stage.proxy(mode=mode, size=3) as proxy:
                caller = stage.client(proxy)
                first = stage.client(proxy)
                old = first.pid
                first.terminate()
                time.sleep(0.2)
                for _ in range(10):
                    second = stage.client(proxy)
                    equal(caller.query(f"SELECT pg_terminate_backend({old})").rows, [("f",)])
                    equal(second.scalar("SELECT 1"), "1")
                    second.terminate()


    mode_checks()


@suite.check("a full pool keeps nobody from it: the caller has the only connection")
def _():
    with stage.proxy(size=1) as proxy:
        caller, idle, waiting = (stage.client(proxy) for _ in range(3))
        for client in (idle, waiting):
            equal(client.scalar("SELECT 1"), "1")
        caller.rows("BEGIN")
        caller.rows("SELECT 1")
        waiting.send(query("SELECT 'waited'"))
        waiting.quiet(0.1)
        begun = time.monotonic()
        equal(caller.scalar(f"SELECT pg_cancel_backend({idle.pid})"), "t")
        equal(caller.scalar(f"SELECT pg_terminate_backend({idle.pid})"), "t")
        equal(ended(idle), [("FATAL", "57P01")])
        equal(caller.scalar(f"SELECT pg_terminate_backend({waiting.pid})"), "t")
        equal(ended(waiting), [("FATAL", "57P01")])
        true(time.monotonic() - begun < 5, f"it took {time.monotonic() - begun:.1f} s")
        equal(caller.query("COMMIT").status, "I")
        few = "application_name <> 'howdah catalog'"
        eventually(lambda: len(stage.backends(few)) <= 1, "no more than the pool has")


@suite.check("where the server has no place, the pid is nobody's")
def _():
    with stage.proxy(size=2, top={"database": {"max_server_connections": 1}}) as proxy:
        caller, idle = stage.client(proxy), stage.client(proxy)
        equal(idle.scalar("SELECT 1"), "1")
        caller.rows("BEGIN")
        equal(caller.query(f"SELECT pg_terminate_backend({idle.pid})").rows, [("f",)])
        equal(caller.query("COMMIT").status, "I")
        equal(idle.scalar("SELECT 1"), "1")


@suite.check("a statement that has run is not run again by a stale pid: unnamed, named, of SQL, in a cursor")
def _():
    with stage.proxy(size=2) as proxy:
        caller, idle, other = (stage.client(proxy) for _ in range(3))
        equal(idle.scalar("SELECT 1"), "1")
        text = f"SELECT pg_cancel_backend({idle.pid})"
        caller.rows(f"PREPARE of_sql AS {text}")
        caller.send(parse("", text) + bind("", "") + execute() + sync())
        equal(errors(caller.ready()), [])
        caller.send(parse("named", text) + bind("", "named") + execute() + sync())
        equal(errors(caller.ready()), [])
        busy(other, "SELECT pg_sleep(1.2)")
        for ask in (bind("", "") + execute() + sync(), bind("", "named") + execute() + sync()):
            caller.send(ask)
            result = caller.ready()
            equal((errors(result), [m.body[6:] for m in result if m.kind == "D"]), ([], [b"t"]))
        equal(caller.query("EXECUTE of_sql").rows, [("f",)], "it outlives what it names")
        equal(errors(other.ready()), [], "the other's statement")


@suite.check("a cursor's pids are held until its transaction ends")
def _():
    with stage.proxy(size=2) as proxy:
        caller, target, other = (stage.client(proxy) for _ in range(3))
        equal(target.scalar("SELECT 1"), "1")
        caller.rows("BEGIN")
        caller.rows(f"DECLARE c CURSOR FOR SELECT pg_cancel_backend({target.pid})")
        other.send(query("SELECT pg_sleep(0.4)"))
        other.quiet(0.1)
        equal(caller.query("FETCH c").rows, [("t",)])
        equal(caller.query("COMMIT").status, "I")
        equal(errors(other.ready()), [])
        equal(target.scalar("SELECT 2"), "2")


@suite.check("a caller that goes away while its statement is about to signal hits nobody else")
def _():
    with stage.proxy(size=2) as proxy:
        for ask in ("query", "batch"):
            for signal in ("cancel", "terminate"):
                caller, target, other = (stage.client(proxy) for _ in range(3))
                target.rows("BEGIN")
                target.rows("SELECT 1")
                text = f"SELECT pg_sleep(0.5), pg_{signal}_backend({target.pid}), '{ask}'"
                caller.send(query(text) if ask == "query" else one_shot(text) + b"H\0\0\0\4")
                eventually(lambda: stage.backends("state = 'active' AND query LIKE '%pg_sleep(0.5)%'"), "it runs")
                caller.close()
                equal(target.query("COMMIT").status, "I")
                end = time.monotonic() + 1.2
                while time.monotonic() < end:
                    equal(errors(other.query("SELECT pg_sleep(0.05)").messages), [], f"{ask}, {signal}")
                for client in (target, other):
                    client.close()


def hammer(proxy, victims, callers, bystanders, duration_s, make_ask):
    """Callers signal victims, who come again and again, while bystanders must never be hit."""
    stop = threading.Event()
    pids, lock = {}, threading.Lock()
    counts = {"signals": 0, "true": 0, "ended": 0, "cancelled": 0, "bystander statements": 0}

    def count(what, by=1):
        with lock:
            counts[what] += by

    def victim(number):
        chance = random.Random(number)
        while not stop.is_set():
            client = stage.client(proxy)
            with lock:
                pids[number] = client.pid
            try:
                while not stop.is_set():
                    kind = chance.random()
                    if kind < 0.3:
                        time.sleep(0.002)
                    elif kind < 0.6:
                        result = client.query("SELECT pg_sleep(0.001)")
                        count("cancelled", "57014" in errors(result.messages))
                    elif kind < 0.8:
                        client.query("BEGIN")
                        client.query("SELECT 1")
                        client.query("ROLLBACK")
                    else:
                        client.send(one_shot("SELECT $1::text", "x") + sync())
                        client.ready()
            except (Closed, ServerError, OSError):
                count("ended")
            client.close()

    def caller(number):
        chance = random.Random(1000 + number)
        client = stage.client(proxy)
        while not stop.is_set():
            with lock:
                pid = pids.get(chance.randrange(victims))
            if pid is None:
                continue
            client.send(make_ask(chance, pid))
            messages = client.ready()
            if errors(messages):
                raise Failed(f"a caller was told {errors(messages)}")
            count("signals")
            count("true", any(m.kind == "D" and m.body.endswith(b"t") for m in messages))

    def bystander(number):
        client = stage.client(proxy)
        turn = 0
        while not stop.is_set():
            turn += 1
            if turn % 3 == 0:
                for sql in ("BEGIN", "SELECT pg_sleep(0.001)", f"SELECT {number}", "COMMIT"):
                    equal(errors(client.query(sql).messages), [], "a bystander's transaction")
            elif turn % 3 == 1:
                client.send(one_shot("SELECT $1::int, pg_sleep(0.001)", str(number)) + sync())
                equal(errors(client.ready()), [], "a bystander's batch")
            else:
                equal(client.rows(f"SELECT {number}"), [(str(number),)], "a bystander's row")
            count("bystander statements")

    def work(number):
        try:
            if number < victims:
                victim(number)
            elif number < victims + callers:
                caller(number - victims)
            elif number < victims + callers + bystanders:
                bystander(number)
            else:
                stop.wait(duration_s)
                stop.set()
        except BaseException:
            stop.set()
            raise

    in_threads(victims + callers + bystanders + 1, work)
    return counts


def any_ask(chance, pid):
    name = chance.choice(("pg_cancel_backend", "pg_terminate_backend"))
    kind = chance.randrange(4)
    if kind == 0:
        return query(f"SELECT {name}({pid})")
    if kind == 1:
        return one_shot(f"SELECT {name}($1)", str(pid)) + sync()
    if kind == 2:
        return one_shot(f"SELECT {name}({pid})") + sync()
    return query(f"SELECT pg_sleep(0.002), {name}({pid})")


for workers in (1, 2):
    for size in (2, 6):

        def hammer_check(workers=workers, size=size):
            @suite.check(f"bystanders are never hit: {workers} workers, a pool of {size}")
            def _():
                with stage.proxy(size=size, top={"workers": workers}) as proxy:
                    counts = hammer(proxy, 5, 4, 6, 2 if SHORT else 8, any_ask)
                    print(f"# {counts}", flush=True)
                    true(counts["true"] > 10 and counts["ended"] > 2, f"hardly anything happened: {counts}")

        hammer_check()


suite.main()
