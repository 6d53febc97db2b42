#!/usr/bin/env python3
"""What servers have prepared, when another has changed what it stands for.

Each script is played on a direct connection and through a proxy with one server connection, on which
another client has prepared the same texts before.
"""

import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, true  # noqa: E402
from stage import Stage  # noqa: E402
from wire import (  # noqa: E402
    Message,
    bind,
    close,
    count_ready,
    describe,
    execute,
    flush,
    parse,
    query,
    sync,
    transcript,
)

suite = Suite("stale")
stage = Stage(suite)

SETUP = (
    "DROP SCHEMA IF EXISTS front CASCADE; CREATE SCHEMA front; DROP TABLE IF EXISTS t, tenant;"
    " CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'one')"
)
TEXT = "SELECT * FROM t"


def run(name="s", *params):
    return bind("", name, [p.encode() for p in params]) + describe("P", "") + execute()


def ask(client, data):
    """What is heard until as many ReadyForQuery as the data asks for."""
    client.send(data)
    return transcript(without_oid(message) for message in client.ready(count_ready(data)))


def without_oid(message):
    """A RowDescription names tables by numbers, which differ after each SETUP."""
    if message.kind != "T":
        return message
    body, at = message.body[:2], 2
    for _ in range(struct.unpack_from("!H", message.body)[0]):
        end = message.body.index(b"\0", at) + 1
        body += message.body[at:end] + message.body[end + 4 : end + 18]
        at = end + 18
    return Message("T", body)


def prepared_anew(steps, ddl="SELECT 1", **params):
    """Another client prepares TEXT, and changes what it means; then a client that comes anew must hear
    what it would hear on a direct connection."""
    stage.sql(SETUP)
    with stage.proxy(size=1) as proxy:
        other = stage.client(proxy, **params)
        ask(other, parse("s", TEXT) + run() + sync())
        ask(other, query(ddl))
        client = stage.client(proxy, **params)
        got = [ask(client, step) for step in steps]
    stage.sql(SETUP)
    with stage.direct(**params) as direct:
        ask(direct, query(ddl))
        wanted = [ask(direct, step) for step in steps]
    for number, (one, two) in enumerate(zip(got, wanted)):
        equal(one, two, f"step {number}")


# --- the settings by which a text is read ---------------------------------------------------------

READ = {
    "TimeZone": ("UTC", "Asia/Tokyo", "SELECT '2024-01-01 00:00'::timestamptz AT TIME ZONE 'UTC'"),
    "DateStyle": ("ISO, MDY", "ISO, DMY", "SELECT '1/2/2024'::date"),
    "IntervalStyle": ("postgres", "sql_standard", "SELECT extract(epoch FROM '-1 2:03:04'::interval)"),
    "standard_conforming_strings": ("on", "off", r"SELECT length('a\\b')"),
    "client_encoding": ("UTF8", "LATIN1", b"SELECT length('\xc3\xa9')"),
    "array_nulls": ("on", "off", "SELECT ('{NULL}'::text[])[1] IS NULL"),
    "transform_null_equals": ("off", "on", "SELECT (NULL = NULL) IS NULL"),
    "search_path": ("public", "front", "SELECT * FROM tenant"),
}

for name, (one, two, text) in READ.items():

    @suite.check(f"a text is read by its client's own {name}")
    def _(name=name, values=(one, two), text=text):
        stage.sql(SETUP)
        stage.sql("CREATE TABLE tenant (a int); CREATE TABLE front.tenant (a text, b int)")
        stage.sql("INSERT INTO tenant VALUES (1); INSERT INTO front.tenant VALUES ('x', 2)")
        at_once = [parse("s", text) + run() + sync()]
        described = [parse("s", text) + describe("S", "s") + sync(), run() + sync()]
        for script in (at_once, described):
            wanted = []
            for value in values:
                with stage.direct() as direct:
                    ask(direct, query(f"SET {name} = {value if name == 'DateStyle' else repr(value)}"))
                    wanted.append([ask(direct, step) for step in script])
            true(wanted[0] != wanted[1], "the setting matters")
            with stage.proxy(size=1) as proxy:
                clients = [stage.client(proxy) for _ in values]
                for client, value, heard in zip(clients, values, wanted):
                    ask(client, query(f"SET {name} = {value if name == 'DateStyle' else repr(value)}"))
                    equal([ask(client, step) for step in script], heard, value)
                for client, heard in zip(clients, wanted):
                    equal(ask(client, run() + sync()), ask_again(heard), "again")


def ask_again(heard):
    """What only the Bind and Execute of a script are answered."""
    return [line for line in heard[-1] if line[:2] not in ("1 ", "N ")]


# --- changes that are seen here -------------------------------------------------------------------

ANEW = {
    "Parse and Bind": [parse("s", TEXT) + run() + sync()],
    "Parse and Describe": [parse("s", TEXT) + describe("S", "s") + sync(), run() + sync()],
    "Parse, Describe, Flush": [parse("s", TEXT) + describe("S", "s") + flush() + sync(), run() + sync()],
    "Parse alone": [parse("s", TEXT) + sync(), describe("S", "s") + sync(), run() + sync()],
    "in a transaction": [query("BEGIN"), parse("s", TEXT) + sync(), run() + sync(), query("COMMIT"), run() + sync()],
    "a pipeline": [parse("s", TEXT) + run() + sync() + run() + run() + sync() + query("SELECT 1")],
    "by SQL": [query("PREPARE s AS SELECT * FROM t"), query("EXECUTE s")],
}
CHANGES = {
    "a column more": "ALTER TABLE t ADD c date",
    "another type": "ALTER TABLE t ALTER a TYPE bigint",
    "another table": "DROP TABLE t; CREATE TABLE t AS SELECT 7 AS x",
    "a table in front": "CREATE TABLE front.t AS SELECT 8 AS y",
    "changed and rolled back": "BEGIN; ALTER TABLE t ADD c date; ROLLBACK",
    "a column less": "ALTER TABLE t DROP b",
    "no table": "DROP TABLE t",
}

for change, ddl in CHANGES.items():
    for how, steps in ANEW.items():

        @suite.check(f"prepared anew after {change}, by another client: {how}")
        def _(ddl=ddl, steps=steps):
            prepared_anew(steps, ddl, search_path="front,public")


@suite.check("prepared anew in the transaction that changes the table, and after its rollback")
def _():
    steps = [
        parse("old", TEXT) + sync(),
        query("BEGIN"),
        query("ALTER TABLE t ADD c date"),
        parse("s", TEXT) + describe("S", "s") + sync(),
        run() + sync(),
        query("ROLLBACK"),
        parse("s2", TEXT) + describe("S", "s2") + sync(),
        run("s2") + sync(),
    ]
    prepared_anew(steps)


@suite.check("prepared anew in the packet that changes the table")
def _():
    steps = [
        parse("", "ALTER TABLE t ADD d date") + run("") + parse("s", TEXT) + describe("S", "s") + sync(),
        run() + sync(),
        query("ALTER TABLE t DROP d"),
    ]
    prepared_anew(steps)


@suite.check("a temporary table in front of one that others have prepared")
def _():
    steps = [query("CREATE TEMP TABLE t AS SELECT 9 AS z"), parse("s", TEXT) + run() + sync(), run() + sync()]
    prepared_anew(steps)


@suite.check("a change at one worker is known at the others")
def _():
    stage.sql(SETUP)
    with stage.proxy(size=4, top={"workers": 2}) as proxy:
        clients = [stage.client(proxy) for _ in range(8)]
        for client in clients:
            ask(client, parse("old", TEXT) + run("old") + sync())
        clients[0].rows("ALTER TABLE t ADD c date")
        with stage.direct() as direct:
            wanted = ask(direct, parse("s", TEXT) + describe("S", "s") + sync())
        for client in clients:
            equal(ask(client, parse("s", TEXT) + describe("S", "s") + sync()), wanted)


# --- changes that are not seen here ---------------------------------------------------------------

DDL = "ALTER TABLE t ADD c date; ALTER TABLE t ALTER a TYPE bigint"
LOSE = "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$"


def healed(steps, before):
    """After `before`, another client's function deallocates all that the server has prepared; the client
    must hear what it would hear on a direct connection."""
    stage.sql(SETUP)
    with stage.proxy(size=1) as proxy:
        client = stage.client(proxy)
        for step in before:
            ask(client, step)
        ask(stage.client(proxy), query(LOSE))
        got = [ask(client, step) for step in steps]
    stage.sql(SETUP)
    with stage.direct() as direct:
        for step in before:
            ask(direct, step)
        wanted = [ask(direct, step) for step in steps]
    for number, (one, two) in enumerate(zip(got, wanted)):
        equal(one, two, f"step {number}")


PARSE, PREPARE = parse("s", TEXT) + sync(), query("PREPARE s AS SELECT * FROM t")
OLD = {
    "Bind": [PARSE, [run() + sync(), run() + sync()]],
    "Describe": [PARSE, [describe("S", "s") + sync(), run() + sync()]],
    "Describe, Flush and Sync": [PARSE, [describe("S", "s") + flush() + sync(), run() + flush() + sync()]],
    "Describe and Bind": [PARSE, [describe("S", "s") + run() + sync()]],
    "twice in a batch": [PARSE, [run() + run() + sync()]],
    "behind another Parse": [PARSE, [parse("n", "SELECT 1") + describe("S", "s") + run("n") + sync()]],
    "with what follows": [PARSE, [run() + parse("n", "SELECT 1") + run("n") + sync(), run("n") + sync()]],
    "with an error behind it": [PARSE, [run() + parse("n", "SELECT nope") + run("n") + sync(), run() + sync()]],
    "with a transaction behind it": [
        PARSE,
        [run() + parse("", "BEGIN") + run("") + sync(), query("SELECT 1"), query("ROLLBACK")],
    ],
    "by SQL": [PREPARE, [query("EXECUTE s"), query("EXECUTE s")]],
    "prepared by SQL, bound": [PREPARE, [run() + sync()]],
    "parsed, executed by SQL": [PARSE, [query("EXECUTE s")]],
}

for how, (first, steps) in OLD.items():

    @suite.check(f"a statement from before the table was changed: {how}")
    def _(first=first, steps=steps):
        stage.sql(SETUP)
        with stage.proxy(size=1) as proxy:
            client = stage.client(proxy)
            ask(client, first)
            ask(client, run() + sync() if first == PARSE else query("EXECUTE s"))
            stage.sql(DDL)
            got = [ask(client, step) for step in steps]
        with stage.direct() as direct:
            ask(direct, first)
            equal(got, [ask(direct, step) for step in steps])

    @suite.check(f"a statement that the server has lost: {how}")
    def _(first=first, steps=steps):
        healed(steps, [first])


for how, steps in ANEW.items():
    if how not in ("in a transaction", "a pipeline"):

        @suite.check(f"prepared anew after a change by others: {how}")
        def _(steps=steps):
            for ddl in (DDL, "DROP TABLE t; CREATE TABLE t AS SELECT 7 AS x"):
                stage.sql(SETUP)
                with stage.proxy(size=1) as proxy:
                    other = stage.client(proxy)
                    ask(other, parse("s", TEXT) + run() + sync())
                    ask(other, query("PREPARE q AS SELECT * FROM t"))
                    stage.sql(ddl)
                    client = stage.client(proxy)
                    got = [ask(client, step) for step in steps]
                with stage.direct() as direct:
                    equal(got, [ask(direct, step) for step in steps])


@suite.check("a lost statement is deallocated, and prepared again")
def _():
    steps = [query("DEALLOCATE s"), PREPARE, PREPARE, query("EXECUTE s"), query("DEALLOCATE ALL"), query("EXECUTE s")]
    healed(steps, [PREPARE, query("PREPARE x AS SELECT 1"), query("DEALLOCATE x")])


@suite.check("a parameter's type was dropped and made anew by others")
def _():
    text = "SELECT $1::mood"
    make = "DROP TYPE IF EXISTS mood; CREATE TYPE mood AS ENUM ('sad', 'glad')"
    stage.sql(make)
    with stage.proxy(size=1) as proxy:
        client = stage.client(proxy)
        ask(client, parse("s", text) + bind("", "s", [b"sad"]) + execute() + sync())
        stage.sql(make)
        heard = ask(client, bind("", "s", [b"glad"]) + execute() + sync())
    true(heard[1].endswith("glad'") and len(heard) == 4, str(heard))


def codes(heard):
    """What was heard, errors by their code."""
    return [line.split("C='")[1][:5] if line[0] == "E" else line[0] for line in heard]


@suite.check("in a transaction the server's own error is told, and behind it all is well")
def _():
    stage.sql(SETUP)
    with stage.proxy(size=1) as proxy:
        client = stage.client(proxy)
        for lost in (False, True):
            client.rows("BEGIN")
            ask(client, parse(f"s{lost}", TEXT) + run(f"s{lost}") + sync())
            client.rows("COMMIT")
            client.rows("BEGIN")
            if lost:
                client.rows(LOSE)
            else:
                stage.sql(DDL)
            heard = ask(client, run(f"s{lost}") + sync())
            equal(codes(heard), ["26000" if lost else "0A000", "Z"])
            true(heard[1] == "Z b'E'", heard[1])
            client.rows("ROLLBACK")
            equal(codes(ask(client, run(f"s{lost}") + sync())), ["2", "T", "D", "C", "Z"])


@suite.check("the first statement of a transaction, with which its BEGIN is sent, fails with the server's own error")
def _():
    stage.sql(SETUP)
    with stage.proxy(size=1) as proxy:
        client = stage.client(proxy)
        ask(client, parse("s", "INSERT INTO t (a) VALUES (5) RETURNING *") + sync())
        stage.sql(DDL)
        client.rows("BEGIN")
        equal(codes(ask(client, run() + sync())), ["0A000", "Z"])
        client.rows("ROLLBACK")
        client.rows("BEGIN")
        equal(codes(ask(client, run() + sync())), ["2", "T", "D", "C", "Z"])
        client.rows("ROLLBACK")
        equal(client.scalar("SELECT count(*) FROM t"), "1")


@suite.check("EXECUTE in a Parse fails once, as its Bind has succeeded")
def _():
    stage.sql(SETUP)
    for change, code in ((DDL, "0A000"), (LOSE, "26000")):
        with stage.proxy(size=1) as proxy:
            client = stage.client(proxy)
            ask(client, PREPARE)
            (stage.sql if change == DDL else stage.client(proxy).rows)(change)
            data = parse("", "EXECUTE s") + bind() + execute() + sync()
            equal(codes(ask(client, data)), ["1", "2", code, "Z"])
            equal(codes(ask(client, data)), ["1", "2", "D", "C", "Z"])


@suite.check("what would lose an effect, comes before other batches, or is too large, is not sent again")
def _():
    insert = parse("", "INSERT INTO t (a) VALUES (5)") + run("")
    large = bind("", "s", []) + describe("P", "") + execute() + parse("", "SELECT '" + "x" * 5000 + "'")
    cases = {
        "effect": (insert + run() + sync(), ["1", "2", "n", "C", "0A000", "Z"]),
        "bound": (parse("", "SELECT 1") + bind("p") + run() + sync(), ["1", "2", "0A000", "Z"]),
        "batches": (run() + sync() + query("SELECT 1"), ["0A000", "Z", "T", "D", "C", "Z"]),
        "large": (large + sync(), ["0A000", "Z"]),
    }
    for data, wanted in cases.values():
        stage.sql(SETUP)
        with stage.proxy(size=1) as proxy:
            client = stage.client(proxy)
            ask(client, PARSE)
            ask(client, run() + sync())
            stage.sql(DDL)
            equal(codes(ask(client, data)), wanted)
            equal(client.scalar("SELECT count(*) FROM t"), "1")
            equal(codes(ask(client, run() + sync())), ["2", "T", "D", "C", "Z"])


@suite.check("a function within an EXECUTE that meets a change of its own is not run twice")
def _():
    stage.sql(SETUP)
    stage.sql("CREATE SEQUENCE IF NOT EXISTS runs")
    with stage.proxy(size=1) as proxy:
        client = stage.client(proxy)
        before = stage.sql("SELECT nextval('runs')")[0][0]
        client.rows(
            "CREATE OR REPLACE FUNCTION fails() RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('runs');"
            " RAISE EXCEPTION 'cached plan must not change result type' USING ERRCODE = '0A000'; END $$"
        )
        client.rows("PREPARE s AS SELECT fails()")
        equal(client.query("EXECUTE s").sqlstate, "0A000")
        equal(stage.sql("SELECT nextval('runs')")[0][0], str(int(before) + 2))


# --- what a client was told -----------------------------------------------------------------------

TOLD = {
    "by a Describe of the statement": parse("s", TEXT) + describe("S", "s") + sync(),
    "by a Describe of the portal": parse("s", TEXT) + run() + sync(),
    "by a second Describe": parse("s", TEXT) + sync() + describe("S", "s") + sync() + run() + sync(),
}
BLIND = bind("", "s") + execute()
AFTER = [
    BLIND + sync(),
    BLIND + sync() + query("SELECT 1"),
    query("BEGIN") + BLIND + sync() + query("SELECT 1") + query("ROLLBACK"),
    parse("n", "SELECT 1") + BLIND + run("n") + sync() + run("n") + sync(),
    BLIND + flush() + sync(),
    close("S", "s") + parse("s", TEXT) + describe("S", "s") + sync(),
    BLIND + sync(),
    BLIND + BLIND + sync() + BLIND + sync(),
]
ELSEWHERE = "CREATE TABLE IF NOT EXISTS elsewhere (a int)"
SAME = "ALTER TABLE t ADD COLUMN c int; ALTER TABLE t DROP COLUMN c"
DROPPED = "DROP TABLE t; CREATE TABLE t (a int, b text); INSERT INTO t VALUES (2, 'two')"

for how, first in TOLD.items():
    for where in ("on its server", "on another server"):
        for change in (DDL, ELSEWHERE, SAME, DROPPED):

            @suite.check(f"columns that were told {how}, {where}, after {change}")
            def _(first=first, where=where, change=change):
                stage.sql(SETUP)
                with stage.proxy(size=2) as proxy:
                    client, other = stage.client(proxy), stage.client(proxy)
                    ask(client, first)
                    ask(client, BLIND + sync())
                    if where == "on another server":
                        other.rows("BEGIN")
                        other.rows("SELECT 1")
                        stage.client(proxy).rows(change)
                    else:
                        other.rows(change)
                    got = [ask(client, step) for step in AFTER]
                stage.sql(SETUP)
                with stage.direct() as direct:
                    ask(direct, first)
                    ask(direct, BLIND + sync())
                    stage.sql(change)
                    for number, step in enumerate(AFTER):
                        equal(got[number], ask(direct, step), f"step {number}")


@suite.check("columns that were told, when others than our clients change them: the error, then as it is now")
def _():
    stage.sql(SETUP)
    with stage.proxy(size=1) as proxy:
        client = stage.client(proxy)
        ask(client, parse("s", TEXT) + describe("S", "s") + BLIND + sync())
        stage.sql(DDL)
        for _ in range(3):
            equal(codes(ask(client, BLIND + sync())), ["0A000", "Z"])
        equal(codes(ask(client, run() + sync())), ["2", "T", "D", "C", "Z"])
        equal(codes(ask(client, BLIND + sync())), ["2", "D", "C", "Z"])


@suite.check("columns that were told, when the session itself changes them in its transaction, and rolls back")
def _():
    stage.sql(SETUP)
    steps = [
        parse("s", TEXT) + describe("S", "s") + BLIND + sync(),
        query("BEGIN"),
        query("SAVEPOINT a"),
        query("ALTER TABLE t ADD COLUMN c int DEFAULT 3"),
        BLIND + sync(),
        query("ROLLBACK TO a"),
        BLIND + sync(),
        query("ROLLBACK"),
        BLIND + sync(),
    ]
    with stage.proxy(size=1) as proxy:
        client = stage.client(proxy)
        got = [ask(client, step) for step in steps]
    with stage.direct() as direct:
        for number, step in enumerate(steps):
            equal(got[number], ask(direct, step), f"step {number}")


if __name__ == "__main__":
    suite.main()
