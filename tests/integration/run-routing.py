#!/usr/bin/env python3
"""Where each kind of statement runs, by the servers' own logs: the table of routes.py in both
protocols, and what no table has."""

import contextlib
import itertools
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import routes  # noqa: E402
from check import Failed, Suite, equal, eventually, true  # noqa: E402
from howdah import Howdah  # noqa: E402
from trio import Trio, all_up  # noqa: E402
from whereabouts import LOGGED, Whereabouts  # noqa: E402
from wire import Result, Wire, bind, copy_data, copy_done, execute, one_shot, parse, query, sync  # noqa: E402

suite = Suite("routing", check_limit_s=120)
trio = Trio(suite, "app", synchronous_commit="on", **LOGGED)
trio.started(routes.set_up)
where = Whereabouts(trio)

names = itertools.count()
WAYS = {
    "simple": lambda client, sql, number: client.query(sql),
    "extended": lambda client, sql, number: client.prepared(sql),
    "named": lambda client, sql, number: client.prepared(sql, name=f"n{next(names)}"),
}


@contextlib.contextmanager
def session(proxy, way, **params):
    """A client; what it gives runs one statement."""
    with Wire(proxy.port) as client:
        client.login(**{"user": "postgres", "database": "app", **params})

        def run(sql, number):
            result = WAYS[way](client, sql, number)
            return result.rows, result.sqlstate

        yield run
        client.terminate()


def row(proxy, steps, way="simple", tries=3, **params):
    return routes.play(lambda: session(proxy, way, **params), steps, where, tries)


def all_rows(proxy, rows, ways=tuple(WAYS)):
    faults = []
    for way in ways:
        for name, steps in rows:
            faults += [f"{way}: {name}: {fault}" for fault in row(proxy, steps, way)]
    for fault in faults:
        print(f"# {fault}", flush=True)
    true(not faults, f"{len(faults)} faults in {len(rows) * len(ways)} rows: {faults[0] if faults else ''}")


@contextlib.contextmanager
def proxied(pool=None, **routing):
    """A Howdah that knows the servers and the catalog."""
    trio.caught_up()
    config = trio.config(workers=2, pool={"size": 4, **(pool or {})}, routing=routing)
    with Howdah(config=config) as proxy:
        all_up(proxy)
        with Wire(proxy.port) as client:
            client.login("postgres", "app")
            eventually(lambda: ("catalog", "known") in [found[:2] for found in client.rows("EXPLAIN (HOWDAH) TABLE t")],
                       "the catalog is known", 10)
        yield proxy


def counted(proxy):
    """What SHOW REPLICAS counts, a row for each node."""
    return [{name: int(value) for name, value in row.items() if name.startswith("reads")}
            for row in proxy.admin("SHOW REPLICAS")]


@suite.check("what only reads runs on a replica, at once or as soon as the catalog is known")
def _():
    with proxied() as proxy:
        all_rows(proxy, routes.single_rows(routes.READS))


@suite.check("what is not proven to read runs on the primary alone")
def _():
    with proxied() as proxy:
        all_rows(proxy, routes.single_rows(routes.WRITES))
        true(trio.sql("SELECT count(*) > 20 FROM calls") == "t", "functions were really called")


@suite.check("sessions and transactions")
def _():
    with proxied() as proxy:
        all_rows(proxy, routes.script_rows(routes.SCRIPTS))


@suite.check("read-only transactions")
def _():
    with proxied() as proxy:
        all_rows(proxy, routes.script_rows(routes.READ_ONLY))


@suite.check("transactions with one snapshot, and read only")
def _():
    with proxied() as proxy:
        all_rows(proxy, routes.script_rows(routes.REPEATABLE))


@suite.check("howdah.route and howdah.consistency")
def _():
    # With check_state the connection stays the session's for a moment, and the next read goes there.
    with proxied({"check_state": False}) as proxy:
        all_rows(proxy, routes.script_rows(routes.OWN_SETTINGS))


@suite.check("until_write: a transaction's reads before its first write")
def _():
    with proxied(transaction_reads="until_write") as proxy:
        all_rows(proxy, routes.script_rows(routes.UNTIL_WRITE))
        all_rows(proxy, routes.single_rows(routes.READS[:8]), ["simple"])


# --- what is sent at once -------------------------------------------------------------------------


def batch(proxy, build, statements, wanted):
    """Sends what build makes of the marked statements; where each ran."""
    faults = []
    for turn in range(8):
        with Wire(proxy.port) as client:
            client.login("postgres", "app")
            marks, marked = zip(*map(where.marked, statements))
            result = Result(client.send(build(marked)).ready())
            client.terminate()
        ran = [where.ran(mark) for mark in marks]
        faults = [] if not result.errors and wanted(ran) else [f"{statements} ran on {ran}, {result.errors}"]
        if not faults:
            return
        time.sleep(0.1 * turn)
    raise Failed(faults[0])


def in_pipeline(statements):
    return b"".join(one_shot(sql) for sql in statements) + sync()


def in_one_query(statements):
    return query("; ".join(statements))


def together(ran):
    """All at one server."""
    return all(len(found) == 1 for found in ran) and len(set().union(*ran)) == 1


def at_primary(ran):
    return ran == [{0}] * len(ran)


@suite.check("several statements sent at once are taken whole")
def _():
    read, other, write = "SELECT * FROM t", "SELECT count(*) FROM plain", "UPDATE t SET v = v WHERE id = 8"
    with proxied() as proxy:
        for build in in_pipeline, in_one_query:
            batch(proxy, build, [read, other], together)
            batch(proxy, build, [read, write], at_primary)
            batch(proxy, build, [write, read], at_primary)
            batch(proxy, build, [read, other, "SELECT writes(2)", read], at_primary)
        with Wire(proxy.port) as client:  # a transaction in a pipeline
            client.login("postgres", "app")
            marks, marked = zip(*map(where.marked, ["BEGIN", read, write, "COMMIT"]))
            equal(Result(client.send(in_pipeline(marked)).ready()).errors, [], "errors")
            equal([where.ran(mark) for mark in marks[1:3]], [{0}] * 2, "places")


@suite.check("COPY")
def _():
    with proxied() as proxy, Wire(proxy.port) as client:
        client.login("postgres", "app")
        mark, sql = where.marked("COPY d FROM STDIN")
        client.send(query(sql))
        client.until("G")
        Result(client.send(copy_data(b"1\t1\n"), copy_done()).ready())
        equal(where.ran(mark), {0}, "COPY FROM")
        for sql, places in (("COPY t TO STDOUT", None), ("COPY (SELECT * FROM t) TO STDOUT", None),
                            ("COPY (UPDATE t SET v = v WHERE id = 9 RETURNING id) TO STDOUT", {0}),
                            ("COPY (SELECT writes(3)) TO STDOUT", {0})):
            mark, sql = where.marked(sql)
            result = Result(client.send(query(sql)).ready())
            equal(result.errors, [], "errors")
            ran = where.ran(mark)
            true(ran == places if places else len(ran) == 1, f"{sql} ran on {ran}")


@suite.check("a function that reads goes to replicas, too, where somebody asks for what a sequence was advanced to")
def _():
    with proxied() as proxy, Wire(proxy.port) as asker:
        asker.login("postgres", "app")
        equal(len(asker.query("SELECT nextval('s'), lastval()").rows), 1, "rows")
        all_rows(proxy, [("calls", ["R SELECT reads(1)", "R SELECT reads(2)", "P INSERT INTO d (v) VALUES (1)"])])


@suite.check("until_write: a portal that is read in parts stays at the primary")
def _():
    with proxied(transaction_reads="until_write") as proxy, Wire(proxy.port) as client:
        client.login("postgres", "app")
        client.query("BEGIN")
        mark, sql = where.marked("TABLE t")
        got = client.send(parse("", sql), bind("p", ""), execute("p", 5), sync()).ready()
        equal([m.kind for m in got].count("D"), 5, "rows")
        got = client.send(execute("p", 0), sync()).ready()
        equal([m.kind for m in got].count("D"), 45, "rows")
        equal(client.query("COMMIT").tags, ["COMMIT"], "tag")
        equal(where.ran(mark), {0}, "places")


@suite.check("a statement prepared once runs at every server")
def _():
    with proxied() as proxy, Wire(proxy.port) as client:
        client.login("postgres", "app")
        mark, sql = where.marked("SELECT v FROM t WHERE id = $1")
        client.send(parse("kept", sql), sync()).ready()
        for turn in range(30):
            result = Result(client.send(bind("", "kept", [b"7"]), execute(), sync()).ready())
            equal(result.rows, [("7",)], f"rows of turn {turn}")
            if turn % 10 == 5:
                client.query("UPDATE t SET v = v WHERE id = 10")
            time.sleep(0.01)
        true(where.ran(mark) >= {0} or where.ran(mark) & {1, 2}, str(where.ran(mark)))
        true(where.ran(mark) & {1, 2}, f"it never ran on a replica: {where.ran(mark)}")


# --- settings -------------------------------------------------------------------------------------


@suite.check("routing.reads primary, and any")
def _():
    with Howdah(config=trio.config(routing={"reads": "primary"})) as proxy:
        all_up(proxy)
        for _ in range(5):
            equal(row(proxy, ["P SELECT 1", "P TABLE t", "- BEGIN READ ONLY", "P SELECT 1", "- COMMIT"]), [], "primary")
    with Howdah(config=trio.config(routing={"reads": "any", "balance": "round_robin"})) as proxy:
        all_up(proxy)
        seen = set()
        with Wire(proxy.port) as client:
            client.login("postgres", "app", options="-c howdah.consistency=eventual")
            for _ in range(60):
                mark, sql = where.marked("SELECT 1")
                client.query(sql)
                seen |= where.ran(mark)
        for _ in range(20):
            with Wire(proxy.port) as client:
                client.login("postgres", "app")
                mark, sql = where.marked("SELECT 1")
                client.query(sql)
                seen |= where.ran(mark)
        equal(seen, {0, 1, 2}, "all servers are read from")


@suite.check("SHOW REPLICAS counts each read once, where it went or why it did not")
def _():
    # With check_state the connection stays the session's for a moment, and what goes there is not asked for.
    with proxied({"check_state": False}) as proxy, Wire(proxy.port) as client:
        client.login("postgres", "app")
        eventually(lambda: 0 not in where.ran_on(client, "TABLE t"), "a replica is read", 20)
        before = counted(proxy)
        marks = [where.marked("TABLE t") for _ in range(20)]
        for _, sql in marks:
            client.query(sql)
        for _ in range(5):
            client.query("BEGIN")
            client.query("TABLE t")  # stays at the primary
            client.query("TABLE t")  # and goes to where the transaction is
            client.query("COMMIT")
        for _ in range(4):
            client.query("/* howdah: route=primary */ TABLE t")
        client.query("CREATE TABLE IF NOT EXISTS counted (n int)")
        client.query("INSERT INTO counted VALUES (1)")
        now = counted(proxy)
        found = [{name: row[name] - was[name] for name in row} for row, was in zip(now, before)]
        at = [sum(where.ran(mark) == {node} for mark, _ in marks) for node in range(3)]
        equal([row["reads"] for row in found[1:]], at[1:], "reads at the replicas, by their logs")
        equal(found[0]["reads"], at[0] + 5 + 4, "reads at the primary")
        equal((found[0]["reads_transaction"], found[0]["reads_chosen"]), (5, 4), "why")
        reasons = sum(value for name, value in found[0].items()
                      if name not in ("reads", "reads_percent", "reads_waited"))
        equal(reasons, found[0]["reads"], "reasons")
        total = sum(row["reads"] for row in now)
        equal([row["reads_percent"] for row in now], [row["reads"] * 100 // total for row in now], "percents")


@suite.check("a session from before its database had a replica reads there, too")
def _():
    trio.caught_up()
    alone = trio.config(replicas=(), workers=2)
    with Howdah(config=alone) as proxy, Wire(proxy.port) as client:
        client.login("postgres", "app")
        client.query("UPDATE t SET v = v")
        proxy.write_config(trio.config(workers=2))
        proxy.admin("RELOAD")
        all_up(proxy)
        eventually(lambda: 0 not in where.ran_on(client, "TABLE t"), "a replica is read", 20)


@suite.check("startup options choose, too")
def _():
    with proxied() as proxy:
        equal(row(proxy, ["P SELECT 1", "P TABLE t"], options="-c howdah.route=primary"), [], "options")


@suite.check("rules: the first that matches wins")
def _():
    rules = [{"match": {"tables": ["t"]}, "route": "primary"},
             {"match": {"tables": ["d"], "class": "ddl"}, "reject": "ask the DBA"},
             {"match": {"user": "reader"}, "route": "replica"}]
    with proxied(rules=rules) as proxy:
        equal(row(proxy, ["P TABLE t", "P SELECT 1 FROM d, t", "R TABLE d", "-!42501 DROP TABLE d", "R SELECT 1"],
                  ), [], "rules")
        equal(row(proxy, ["P TABLE t", "R TABLE d", "P DELETE FROM d"], user="reader"), [], "reader")


@suite.check("operators, casts, types and aggregates that write")
def _():
    routes.set_up(trio[0], routes.SETUP_SLY)
    trio.caught_up()
    with Howdah(config=trio.config()) as proxy:
        all_up(proxy)
        all_rows(proxy, routes.single_rows(routes.SLY))


if __name__ == "__main__":
    suite.main()
