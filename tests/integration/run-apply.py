#!/usr/bin/env python3
"""Settings travel with the statement that needs them: no round trip, never a statement without them.

Clients with different settings take turns on one server connection, so that nearly each statement takes its client's
settings along; what it sees is asked of the server in the statement itself.
"""

import os
import random
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, in_threads, true  # noqa: E402
from stage import SHORT, Stage  # noqa: E402
from wire import bind, describe, execute, flush, parse, query, sync, transcript  # noqa: E402

suite = Suite("apply")
stage = Stage(suite)

SEEN = "current_user, current_setting('search_path'), current_setting('work_mem')"
SETUP = (
    "DROP SCHEMA IF EXISTS one, two CASCADE; DROP ROLE IF EXISTS one; DROP ROLE IF EXISTS two;"
    " CREATE ROLE one; CREATE ROLE two;"
    " CREATE SCHEMA one; CREATE TABLE one.t AS SELECT 'one' AS name; GRANT ALL ON SCHEMA one TO one;"
    " CREATE SCHEMA two; CREATE TABLE two.t AS SELECT 'two' AS name; GRANT ALL ON SCHEMA two TO two;"
    " GRANT ALL ON one.t TO one; GRANT ALL ON two.t TO two"
)


def tenants(proxy):
    """Two clients, each with a role, a schema and a work_mem of its own."""
    clients = []
    for name in ("one", "two"):
        client = stage.client(proxy, work_mem=f"{1000 + len(clients)}kB")
        client.query(f"SET search_path = {name}")
        client.query(f"SET ROLE {name}")
        clients.append((client, name, (name, name, f"{1000 + len(clients)}kB")))
    return clients


@suite.check("each statement sees its client's settings, in every form")
def _():
    stage.sql(SETUP)
    with stage.proxy(size=1) as proxy:
        clients = tenants(proxy)
        for client, name, _ in clients:
            client.send(parse("mine", "SELECT name FROM t") + sync())
            client.ready()
        for _ in range(5):
            for client, name, seen in clients:
                equal(client.rows(f"SELECT {SEEN}"), [seen])
            for client, name, seen in clients:
                equal(client.rows("SELECT name FROM t"), [(name,)])
            for client, name, seen in clients:
                equal(client.prepared("SELECT name, $1::int FROM t", "5").rows, [(name, "5")])
            for client, name, seen in clients:
                client.send(bind("", "mine") + describe("P") + execute() + sync())
                equal([m.kind for m in client.ready()], ["2", "T", "D", "C", "Z"])
            for client, name, seen in clients:
                equal(client.query(f"UPDATE t SET name = '{name}'").tags, ["UPDATE 1"])


@suite.check("a statement that fails rolls them back; the next one takes them along again")
def _():
    stage.sql(SETUP)
    with stage.proxy(size=1) as proxy:
        clients = tenants(proxy)
        for failing, sqlstate in (
            ("SELECT 1/0", "22012"),
            ("SELECT nonsense FROM t", "42703"),
            ("SELECT * FROM nowhere", "42P01"),
            ("INSERT INTO t SELECT 1/0", "22012"),
        ):
            for client, name, seen in clients:
                equal(client.query(failing).sqlstate, sqlstate)
                equal(client.rows(f"SELECT {SEEN}"), [seen])
            for client, name, seen in clients:
                equal(client.query(failing).sqlstate, sqlstate)
            for client, name, seen in clients:
                client.send(parse("", failing) + bind() + execute() + sync())
                client.ready()
                equal(client.rows(f"SELECT {SEEN}"), [seen])


@suite.check("what is pipelined behind one that fails never runs without them")
def _():
    stage.sql(SETUP)
    with stage.proxy(size=1) as proxy:
        clients = tenants(proxy)
        ask = parse("", f"SELECT {SEEN}") + bind() + execute() + sync()
        bad = parse("", "SELECT 1/0") + bind() + execute() + sync()
        for pipeline, wanted in (
            (query("SELECT 1/0") + query(f"SELECT {SEEN}"), 2),
            (bad + ask, 2),
            (ask + bad + ask + query("SELECT 1/0") + ask, 5),
            (query(f"SELECT {SEEN}") + ask + query("SELECT 1/0") + query(f"SELECT {SEEN}"), 4),
        ):
            for client, name, seen in clients:
                client.send(pipeline)
                messages = client.ready(wanted)
                rows = [m for m in messages if m.kind == "D"]
                true(rows, "the pipeline has answers")
                for row in rows:
                    for value in seen:
                        true(value.encode() in row.body, f"{row.body!r} is not of {seen}")


@suite.check("a setting that is refused: the client is told, nothing runs, nobody else notices")
def _():
    stage.sql(SETUP + "; CREATE ROLE member LOGIN; GRANT one TO member; CREATE TABLE public.log (who text);"
              " GRANT ALL ON public.log TO PUBLIC")
    with stage.proxy(size=1) as proxy:
        first, second = stage.client(proxy, user="member"), stage.client(proxy, user="member")
        for form in ("simple", "extended", "pipeline"):
            stage.sql("GRANT one TO member; TRUNCATE public.log")
            first.query("SET ROLE one")
            equal(second.scalar("SELECT current_user"), "member")
            stage.sql("REVOKE one FROM member")
            insert = "INSERT INTO public.log VALUES (current_user)"
            batch = parse("", insert) + bind() + execute() + sync()
            if form == "simple":
                got = first.query(insert)
                equal((got.sqlstate, got.status), ("42501", "I"))
            else:
                first.send(batch if form == "extended" else batch + query(insert) + batch)
                messages = first.ready(1 if form == "extended" else 3)
                equal([m.fields["C"] for m in messages if m.kind == "E"],
                      ["42501"] * (1 if form == "extended" else 3))
            equal(second.scalar("SELECT current_user"), "member")
            equal(stage.sql("SELECT * FROM public.log"), [], "rows that were written under another role")
            equal(first.query("SELECT 1").sqlstate, "42501")
            stage.sql("GRANT one TO member")
            equal(first.scalar("SELECT current_user"), "one")
            first.query("RESET ROLE")
    stage.sql("DROP TABLE public.log; DROP ROLE member")


@suite.check("ahead of what begins, ends or can't be in a transaction they are set before")
def _():
    stage.sql(SETUP)
    with stage.proxy(size=1) as proxy:
        one, two = (stage.client(proxy, application_name=name) for name in ("one", "two"))
        one.query("SET default_transaction_isolation = serializable")
        two.query("SET default_transaction_read_only = on")
        shown = "current_setting('transaction_isolation'), current_setting('transaction_read_only')"
        for _ in range(3):
            equal(one.rows(f"SELECT {shown}"), [("serializable", "off")])
            equal(two.rows(f"SELECT {shown}"), [("read committed", "on")])
        for statement in ("VACUUM one.t", "CHECKPOINT", "CREATE DATABASE apply", "DROP DATABASE apply"):
            two.query("SELECT 1")
            equal(one.query(statement).sqlstate, None, statement)
        two.query("SELECT 1")
        one.query("BEGIN ISOLATION LEVEL REPEATABLE READ")
        equal(one.scalar("SHOW transaction_isolation"), "repeatable read")
        one.query("ROLLBACK")
        for rolled_back in ("SET work_mem = '7MB'", "SELECT set_config('work_mem', '7MB', false)"):
            two.query("SELECT 1")
            one.send(parse("", "SELECT 1") + bind() + execute() + parse("", rolled_back) + bind() + execute()
                     + parse("", "SELECT 1/0") + bind() + execute() + sync())
            one.ready()
            equal(one.scalar("SHOW application_name"), "one")
            equal(one.scalar("SHOW work_mem"), "4MB")


@suite.check("what a startup asks of its own transaction is not asked of a statement's")
def _():
    stage.sql("CREATE TABLE IF NOT EXISTS apply_t (a int)")
    with stage.proxy(size=1, check_state=False) as proxy:  # which would miss it in the next transaction
        one, two = stage.client(proxy, transaction_read_only="on"), stage.client(proxy)
        for _ in range(2):
            equal(two.query("INSERT INTO apply_t VALUES (1)").sqlstate, None)
            equal(one.query("INSERT INTO apply_t VALUES (2)").sqlstate, None, "as on a direct connection")


@suite.check("who flushes gets its answers before the Sync")
def _():
    with stage.proxy(size=1) as proxy:
        one, two = (stage.client(proxy, application_name=name) for name in ("one", "two"))
        for _ in range(3):
            for client, name in ((one, "one"), (two, "two")):
                client.send(parse("", "SHOW application_name") + describe("S") + flush())
                equal([m.kind for m in client.until("T")], ["1", "t", "T"])
                client.send(bind() + execute() + sync())
                true(any(name.encode() in m.body for m in client.ready() if m.kind == "D"), "its own name")


@suite.check("the client is told nothing of what it knows")
def _():
    with stage.proxy(size=1) as proxy:
        clients = [stage.client(proxy, application_name=name, TimeZone=zone)
                   for name, zone in (("one", "UTC"), ("two", "Asia/Tokyo"))]
        stage_direct = stage.direct()
        stage_direct.send(query("SELECT 5"))
        wanted = transcript(stage_direct.ready())
        for _ in range(3):
            for client in clients:
                client.send(query("SELECT 5"))
                equal(transcript(client.ready()), wanted)


@suite.check("one packet each: the server waits for nothing between the settings and the statement")
def _():
    with stage.proxy(size=1, check_state=False) as proxy:
        clients = [stage.client(proxy, application_name=name) for name in ("one", "two")]
        for client in clients:
            client.rows("SELECT 1")
        pid = int(stage.backends("application_name IN ('one', 'two')")[0])
        before, rounds = receives(pid), 50
        for _ in range(rounds):
            for client in clients:
                client.rows("SELECT 1")
        each = (receives(pid) - before) / (2 * rounds)
        true(each < 1.5, f"the server was woken {each:.2f} times for a statement")


def receives(pid):
    """How often the process has waited for something, which an idle backend does once for each packet."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("voluntary_ctxt_switches"))


@suite.check("many clients, few connections, random failures: never another's settings")
def _():
    stage.sql(SETUP)
    wrong, lock = [], threading.Lock()

    def work(number, client, rng, rounds):
        mine = f"w{number}"
        client.query(f"SET application_name = '{mine}'")
        client.query(f"SET work_mem = '{2000 + number}kB'")
        ask = "SELECT current_setting('application_name'), current_setting('work_mem')"
        for _ in range(rounds):
            pick = rng.random()
            if pick < 0.25:
                client.query("SELECT 1/0")
            elif pick < 0.35:
                client.query("BEGIN")
                client.query("SELECT 1/0" if rng.random() < 0.5 else ask)
                client.query("COMMIT")
            elif pick < 0.45:
                client.send(parse("", "SELECT 1/0") + bind() + execute() + sync() + query(ask))
                rows = [m for m in client.ready(2) if m.kind == "D"]
                if not all(mine.encode() in m.body for m in rows):
                    with lock:
                        wrong.append((mine, rows))
            rows = client.rows(ask) if rng.random() < 0.5 else client.prepared(ask).rows
            if rows != [(mine, f"{2000 + number}kB")]:
                with lock:
                    wrong.append((mine, rows))

    with stage.proxy(size=2) as proxy:
        clients = [stage.client(proxy) for _ in range(8)]
        in_threads(8, lambda n: work(n, clients[n], random.Random(n), 60 if SHORT else 400))
        equal(wrong, [], "statements under another's settings")


if __name__ == "__main__":
    suite.main()
