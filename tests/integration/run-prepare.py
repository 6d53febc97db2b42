#!/usr/bin/env python3
"""SQL PREPARE, EXECUTE and DEALLOCATE, and the protocol's statements, mixed as drivers mix them.

Each script runs on a direct connection and through a proxy whose pool is smaller than its clients,
beside clients that use the same names for other things: message by message the same.
"""

import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, true  # noqa: E402
from stage import Stage  # noqa: E402
from wire import (  # noqa: E402
    bind,
    close,
    count_ready,
    describe,
    execute,
    flush,
    parse,
    play,
    query,
    sync,
    transcript,
)

suite = Suite("prepare")
stage = Stage(suite)

SETUP = (
    "DROP TABLE IF EXISTS t; CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'one'), (2, 'two');"
    " DROP TYPE IF EXISTS mood; CREATE TYPE mood AS ENUM ('sad', 'glad')"
)


def one(name, sql, *params, portal=""):
    """Parse, Bind, Describe, Execute of a text."""
    return parse(name, sql) + bind(portal, name, [p.encode() for p in params]) + describe("P", portal) + execute(portal)


def run(name, *params, portal=""):
    """Bind, Describe, Execute of what is prepared."""
    return bind(portal, name, [p.encode() for p in params]) + describe("P", portal) + execute(portal)


# What one batch needs must stay there while the rest of it is prepared, however few a server keeps.
MANY_NAMES = [
    query("PREPARE p (int) AS SELECT $1 + 1"),
    query("PREPARE q (int) AS SELECT $1 + 2"),
    query("EXECUTE p(1); EXECUTE q(1)"),
    query("EXECUTE q(1); EXECUTE p(1); EXECUTE q(2)"),
    query("EXECUTE p(1); PREPARE r AS SELECT 3; EXECUTE q(1); EXECUTE r"),
    query("EXECUTE p(1); DEALLOCATE r; EXECUTE q(1)"),
    query("EXECUTE p(1); PREPARE p AS SELECT 4"),
    query("EXECUTE q(1); PREPARE r AS SELECT 5; PREPARE q AS SELECT 6"),
    query("EXECUTE r; EXECUTE p(1)"),
    one("", "EXECUTE p(7)") + sync(),
    one("", "EXECUTE q(7)") + one("", "EXECUTE p(8)") + sync(),
    parse("s", "EXECUTE p(9)") + parse("t", "EXECUTE q(9)") + run("s") + run("t") + run("s") + sync(),
    run("t") + parse("u", "SELECT 1") + run("u") + run("s") + sync(),
    query("DEALLOCATE ALL; PREPARE p AS SELECT 1; EXECUTE p"),
]

# A script: steps, each sent at once; the number of ReadyForQuery it is answered with is counted from it.
SCRIPTS = {
    "plain": [
        query("PREPARE p (int) AS SELECT b FROM t WHERE a = $1"),
        query("EXECUTE p(1)"),
        query("EXECUTE p (2)"),
        query("DEALLOCATE p"),
        query("EXECUTE p(1)"),
        query("DEALLOCATE p"),
        query("DEALLOCATE PREPARE p"),
    ],
    "spelling": [
        query('PREPARE "P ""q" AS SELECT 1'),
        query("PREPARE  P/* c */AS SELECT 2; "),
        query('  EXECUTE\n"P ""q"'),
        query("-- hint\nExecute p;"),
        query("eXeCuTe P"),
        query('DEALLOCATE "P ""q"'),
        query('EXECUTE "P ""q"'),
        query("PREPARE prepare AS SELECT 3"),
        query("EXECUTE prepare"),
        query("DEALLOCATE prepare"),
        query("PREPARE transaction (int) AS SELECT $1 + 1"),
        query("EXECUTE transaction(3)"),
        query("DEALLOCATE PREPARE transaction"),
        query("PREPARE \u00e4 AS SELECT 'x', nope"),
        query("PREPARE \u00e4 AS SELECT '\u00e4'"),
        query("EXECUTE \u00e4"),
        query('PREPARE U&"\\0061" AS SELECT 4'),
        query("EXECUTE a"),
        query("DEALLOCATE ALL"),
        query("EXECUTE a"),
        query("PREPARE p AS SELECT 5"),
        query("EXECUTE p"),
    ],
    "duplicates": [
        query("PREPARE p AS SELECT 1"),
        query("PREPARE p AS SELECT 2"),
        query("EXECUTE p"),
        parse("p", "SELECT 3") + sync(),
        query("EXECUTE p"),
        parse("q", "SELECT 4") + sync(),
        query("PREPARE q AS SELECT 5"),
        query("PREPARE q AS SELECT nope"),
        query("PREPARE q AS SELEC"),
        query("EXECUTE q"),
    ],
    "errors and their positions": [
        query("PREPARE p AS SELECT nope FROM t"),
        query("EXECUTE p"),
        query("PREPARE p AS SELECT $1::int + 1"),
        query("EXECUTE p"),
        query("EXECUTE p(1, 2)"),
        query("EXECUTE p(nope)"),
        query("EXECUTE p('x')"),
        query("EXECUTE p(1) nope"),
        query("SELECT 1; EXECUTE p(nope)"),
        query("EXECUTE p(1); SELECT nope"),
        query("EXECUTE p(1); EXECUTE p(nope); SELECT 3"),
        query("EXPLAIN EXECUTE p(nope)"),
        query("PREPARE q (nosuch) AS SELECT 1"),
        query("PREPARE u AS SELECT 1/$1::int"),
        query("EXECUTE u(0)"),
    ],
    "transactions": [
        query("BEGIN"),
        query("PREPARE p AS SELECT 1"),
        query("EXECUTE p"),
        query("ROLLBACK"),
        query("EXECUTE p"),
        query("BEGIN"),
        query("DEALLOCATE p"),
        query("ROLLBACK"),
        query("EXECUTE p"),
        query("PREPARE p AS SELECT 2"),
        query("BEGIN"),
        query("SELECT nope"),
        query("EXECUTE p"),
        query("DEALLOCATE p"),
        query("DEALLOCATE ALL"),
        query("PREPARE q AS SELECT 1"),
        one("", "DEALLOCATE p") + sync(),
        query("ROLLBACK"),
        query("EXECUTE p"),
        query("EXECUTE q"),
        query("BEGIN; PREPARE r AS SELECT 3; SELECT nope"),
        query("ROLLBACK"),
        query("EXECUTE r"),
        query("BEGIN; SAVEPOINT s; PREPARE v AS SELECT 4; ROLLBACK TO s; EXECUTE v; COMMIT"),
        query("EXECUTE v"),
    ],
    "several statements": [
        query("PREPARE a AS SELECT 1; EXECUTE a; DEALLOCATE a; PREPARE a AS SELECT 2; EXECUTE a"),
        query("EXECUTE a"),
        query("PREPARE b AS SELECT 3; SELECT nope; PREPARE c AS SELECT 4"),
        query("EXECUTE b"),
        query("EXECUTE c"),
        query("DEALLOCATE b; DEALLOCATE nope; DEALLOCATE a"),
        query("EXECUTE b"),
        query("EXECUTE a"),
        query("DEALLOCATE ALL; PREPARE a AS SELECT 5; EXECUTE a"),
        query("DEALLOCATE ALL; SELECT nope"),
        query("EXECUTE a"),
        query("PREPARE a AS SELECT 6; PREPARE a AS SELECT 7; EXECUTE a"),
        query("EXECUTE a"),
        query("ROLLBACK; EXECUTE a; COMMIT"),
    ],
    "inside of other statements": [
        query("PREPARE p (int) AS SELECT a, b FROM t WHERE a = $1"),
        query("EXPLAIN (COSTS OFF) EXECUTE p(1)"),
        query("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE p(1)"),
        query("BEGIN"),
        query("CREATE TABLE made (x, y) AS EXECUTE p(2) WITH DATA"),
        query("SELECT x + 0, y || '' FROM made"),
        query("EXPLAIN (COSTS OFF) CREATE TABLE made2 AS EXECUTE p(2)"),
        query("ROLLBACK"),
        query("PREPARE w AS INSERT INTO t VALUES (9, 'nine') RETURNING *"),
        query("BEGIN; EXECUTE w; ROLLBACK"),
        query("CREATE TABLE made AS EXECUTE w"),
        query("PREPARE m (mood) AS SELECT $1"),
        query("EXECUTE m('glad')"),
        query("EXECUTE m('bad')"),
    ],
    "one for the other": [
        query("PREPARE p (int, text) AS SELECT $1 AS a, $2 AS b"),
        describe("S", "p") + sync(),
        run("p", "1", "x") + sync(),
        run("p", "1") + sync(),
        query("EXECUTE p(2, 'y')"),
        parse("q", "SELECT $1::int * 2") + sync(),
        query("EXECUTE q(21)"),
        query("EXECUTE q('x')"),
        close("S", "p") + sync(),
        query("EXECUTE p(2, 'y')"),
        query("DEALLOCATE q"),
        run("q", "1") + sync(),
        run("p", "1", "2") + sync(),
        parse("q", "SELECT 3") + run("q") + sync(),
        query("BEGIN"),
        query("EXECUTE q"),
        bind("c", "q") + execute("c", 1) + sync(),
        query("DEALLOCATE ALL"),
        run("q") + sync(),
        query("ROLLBACK"),
    ],
    "extended": [
        one("", "PREPARE p (int) AS SELECT b FROM t WHERE a = $1") + sync(),
        one("", "EXECUTE p(1)") + sync(),
        one("e", "EXECUTE p(2)") + sync(),
        run("e") + run("e") + sync(),
        one("", "DEALLOCATE p") + sync(),
        run("e") + sync(),
        one("", "PREPARE p AS SELECT 'another'") + sync(),
        run("e") + sync(),
        query("DEALLOCATE p; PREPARE p(int) AS SELECT $1"),
        run("e") + sync(),
        one("d", "DEALLOCATE p") + sync(),
        run("d") + sync(),
        one("", "EXECUTE p(nope)") + sync(),
        one("", "PREPARE p AS SELECT nope") + sync(),
        one("", "PREPARE p AS SELEC") + sync(),
        one("", "DEALLOCATE nope") + sync(),
        one("", "DEALLOCATE ALL") + sync(),
        run("d") + sync(),
        one("", "EXPLAIN (COSTS OFF) EXECUTE p(1)") + sync(),
        run("d", "1") + sync(),
        query("PREPARE p AS SELECT nope"),
        parse("", "EXECUTE p") + describe("S", "") + sync(),
    ],
    "pipelines": [
        one("", "PREPARE p AS SELECT 1") + one("", "EXECUTE p") + one("", "DEALLOCATE p") + sync(),
        one("", "PREPARE p AS SELECT 1") + one("", "PREPARE p AS SELECT 2") + one("", "EXECUTE p") + sync(),
        query("EXECUTE p"),
        one("", "PREPARE r AS SELECT 1") + sync(),
        one("", "EXECUTE p") + sync() + one("", "DEALLOCATE p") + sync() + one("", "PREPARE p AS SELECT 4") + sync(),
        query("EXECUTE p") + query("DEALLOCATE p") + query("EXECUTE p"),
        query("PREPARE p AS SELECT 5") + query("EXECUTE p"),
        parse("s1", "SELECT 1")
        + run("s1")
        + one("", "DEALLOCATE ALL")
        + parse("s1", "SELECT 2")
        + run("s1")
        + sync(),
        run("s1") + sync(),
        one("", "SELECT nope") + one("", "DEALLOCATE ALL") + sync() + run("s1") + sync() + query("EXECUTE p"),
        one("", "DEALLOCATE ALL") + one("", "SELECT nope") + sync() + run("s1") + sync() + query("EXECUTE p"),
        query("DEALLOCATE ALL") + parse("s1", "SELECT 3") + run("s1") + sync() + query("EXECUTE s1"),
        query("SELECT nope; DEALLOCATE ALL") + run("s1") + sync(),
        query("DEALLOCATE ALL; SELECT nope") + run("s1") + sync() + parse("s1", "SELECT 4") + run("s1") + sync(),
        parse("s2", "SELECT 5") + flush() + run("s2") + flush() + one("", "DEALLOCATE s2") + flush() + sync(),
        query("DISCARD ALL") + query("EXECUTE s1") + parse("s1", "SELECT 6") + run("s1") + sync(),
        query("BEGIN") + query("PREPARE z AS SELECT 7") + query("SELECT nope") + query("EXECUTE z"),
        query("ROLLBACK") + query("EXECUTE z"),
    ],
    "psycopg 3": [
        parse("_pg3_0", "SELECT $1::int") + sync(),
        run("_pg3_0", "1") + sync(),
        query('DEALLOCATE "_pg3_0"'),
        parse("_pg3_1", "SELECT $1::int + 1") + describe("S", "_pg3_1") + sync(),
        run("_pg3_1", "1") + sync(),
        one("", "DEALLOCATE ALL") + sync(),
        parse("_pg3_1", "SELECT $1::int + 2") + sync(),
        run("_pg3_1", "1") + sync(),
        one("", "BEGIN")
        + run("_pg3_1", "5")
        + one("", "DEALLOCATE _pg3_1")
        + parse("_pg3_2", "SELECT 1")
        + run("_pg3_2")
        + one("", "COMMIT")
        + sync(),
        run("_pg3_1", "1") + sync(),
        run("_pg3_2") + sync(),
    ],
    "PDO": [
        parse("pdo_stmt_00000001", "SELECT $1::text") + sync(),
        run("pdo_stmt_00000001", "a") + sync(),
        parse("pdo_stmt_00000002", "SELECT $1::text || 'x'") + sync(),
        run("pdo_stmt_00000002", "a") + sync(),
        query("DEALLOCATE pdo_stmt_00000001"),
        query("BEGIN"),
        run("pdo_stmt_00000002", "b") + sync(),
        query("SELECT nope"),
        query("DEALLOCATE pdo_stmt_00000002"),
        query("ROLLBACK"),
        query("DEALLOCATE pdo_stmt_00000002"),
        query("DEALLOCATE pdo_stmt_00000002"),
        parse("pdo_stmt_00000001", "SELECT 'again'") + sync(),
        run("pdo_stmt_00000001") + sync(),
    ],
    "pgjdbc": [
        parse("S_1", "SELECT $1::int") + run("S_1", "1") + sync(),
        one("", "DEALLOCATE ALL") + sync(),
        run("S_1", "1") + sync(),
        parse("S_2", "SELECT $1::int") + run("S_2", "1") + sync(),
        parse("", "BEGIN") + bind() + execute() + run("S_2", "1") + sync(),
        run("S_2", "3") + one("", "DISCARD PLANS") + sync(),
        close("S", "S_2") + parse("S_2", "COMMIT") + run("S_2") + sync(),
        one("", "DISCARD ALL") + sync(),
        run("S_2") + sync(),
    ],
    "npgsql": [
        parse("_auto0", "SELECT $1::int") + describe("S", "_auto0") + sync(),
        run("_auto0", "1") + sync(),
        query("DISCARD ALL") + parse("_auto0", "SELECT $1::int") + describe("S", "_auto0") + sync(),
        run("_auto0", "2") + sync(),
        query("DEALLOCATE ALL") + run("_auto0", "2") + sync(),
        close("S", "_auto0") + sync() + parse("_auto0", "SELECT 3") + run("_auto0") + sync(),
    ],
    "asyncpg": [
        parse("__asyncpg_stmt_1__", "SELECT $1::int") + describe("S", "__asyncpg_stmt_1__") + flush() + sync(),
        bind("", "__asyncpg_stmt_1__", [b"1"]) + execute() + sync(),
        close("S", "__asyncpg_stmt_1__") + sync(),
        query("SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;"),
        parse("__asyncpg_stmt_1__", "SELECT $1::int + 1") + describe("S", "__asyncpg_stmt_1__") + flush() + sync(),
        bind("", "__asyncpg_stmt_1__", [b"1"]) + execute() + sync(),
        query("DEALLOCATE __asyncpg_stmt_1__"),
        bind("", "__asyncpg_stmt_1__", [b"1"]) + execute() + sync(),
    ],
    "node-postgres": [
        parse("get", "SELECT $1::int") + bind("", "get", [b"1"]) + describe("P", "") + execute() + sync(),
        bind("", "get", [b"2"]) + describe("P", "") + execute() + sync(),
        query("DEALLOCATE get"),
        bind("", "get", [b"2"]) + describe("P", "") + execute() + sync(),
        parse("get", "SELECT $1::int * 2") + bind("", "get", [b"3"]) + describe("P", "") + execute() + sync(),
    ],
    "hidden in functions": [
        query("DO $$ BEGIN EXECUTE 'PREPARE inside AS SELECT 11'; END $$"),
        query("EXECUTE inside"),
        query("PREPARE beside AS SELECT 12"),
        query("EXECUTE beside"),
        query("DEALLOCATE inside"),
        query("EXECUTE inside"),
        query("EXECUTE beside"),
        query("DEALLOCATE ALL"),
        query("EXECUTE beside"),
        query("PREPARE after AS SELECT 13"),
        query("EXECUTE after"),
    ],
    "what a statement sets": [
        query("PREPARE s (text) AS SELECT set_config('work_mem', $1, false)"),
        query("EXECUTE s('7MB')"),
        query("SHOW work_mem"),
        one("", "EXECUTE s('9MB')") + sync(),
        query("SHOW work_mem"),
        query("BEGIN; EXECUTE s('8MB'); ROLLBACK"),
        query("SHOW work_mem"),
        query("RESET work_mem"),
    ],
}


def compare(wanted, got, script):
    for number, (want, get) in enumerate(zip(wanted, got)):
        equal(get, want, f"step {number}: {script[number][:120]!r}")


NOISE = [
    query("PREPARE p AS SELECT 'noise'"),
    query("EXECUTE p"),
    parse("q", "SELECT 'noise', 1") + run("q") + sync(),
    query("DEALLOCATE p"),
    one("", "PREPARE a AS SELECT 'noise a'") + run("q") + sync(),
    query("EXECUTE a"),
    close("S", "q") + one("", "DEALLOCATE ALL") + sync(),
]


def noise(proxy, stop, failures):
    client = stage.client(proxy)
    direct = None
    while not stop.is_set():
        try:
            got = play(client, NOISE)
        except Exception as error:  # pylint: disable=broad-except
            if not stop.is_set():
                failures.append(repr(error))
            return
        direct = direct or got
        if got != direct:
            failures.append(f"{got} is not {direct}")
            return


def wanted_of(script):
    direct = stage.direct()
    try:
        return play(direct, script)
    finally:
        direct.terminate()


for size, prepared in ((1, 100), (2, 2)):
    for script_name, steps in SCRIPTS.items():

        @suite.check(f"{script_name}: as direct, {size} servers with {prepared} statements, beside others")
        def _(size=size, prepared=prepared, steps=steps):
            stage.sql(SETUP)
            wanted = wanted_of(steps)
            with stage.proxy(size=size, prepared_statements=prepared) as proxy:
                stop, failures = threading.Event(), []
                others = [threading.Thread(target=noise, args=(proxy, stop, failures), daemon=True) for _ in range(2)]
                for other in others:
                    other.start()
                for _ in range(2):
                    client = stage.client(proxy)
                    compare(wanted, play(client, steps), steps)
                    client.terminate()
                stop.set()
                for other in others:
                    other.join(20)
                equal(failures, [], "what the others heard")


@suite.check("byte by byte")
def _():
    steps = SCRIPTS["one for the other"] + SCRIPTS["pipelines"]
    stage.sql(SETUP)
    wanted = wanted_of(steps)
    with stage.proxy(size=1) as proxy:
        client, said = stage.client(proxy), []
        for step in steps:
            client.drip(step)
            said.append(transcript(client.ready(count_ready(step))))
        compare(wanted, said, steps)


@suite.check("a session that prepares by SQL is not pinned, its server serves others")
def _():
    with stage.proxy(size=1) as proxy:
        one_client, two = stage.client(proxy), stage.client(proxy)
        one_client.rows("PREPARE p AS SELECT 1")
        two.rows("PREPARE p AS SELECT 2")
        equal((one_client.scalar("EXECUTE p"), two.scalar("EXECUTE p")), ("1", "2"))


@suite.check("in statement mode")
def _():
    with stage.proxy(mode="statement", size=1) as proxy:
        client, other = stage.client(proxy), stage.client(proxy)
        client.rows("PREPARE p (int) AS SELECT $1 + 1")
        other.rows("PREPARE p (int) AS SELECT $1 + 2")
        equal((client.scalar("EXECUTE p(1)"), other.scalar("EXECUTE p(1)")), ("2", "3"))
        client.rows("DEALLOCATE p")
        equal(client.query("EXECUTE p(1)").sqlstate, "26000")
        equal(other.scalar("EXECUTE p(1)"), "3")


@suite.check("a statement whose table is gone is refused once, and the client goes on")
def _():
    with stage.proxy(size=1, prepared_statements=1) as proxy:
        stage.sql(SETUP)
        client = stage.client(proxy)
        client.rows("PREPARE p AS SELECT * FROM t")
        client.prepared("SELECT 1", name="other")  # the server keeps one: p is closed there
        stage.sql("DROP TABLE t")
        for status, begin in (("I", None), ("E", "BEGIN")):
            if begin:
                client.rows(begin)
            result = client.query("EXECUTE p")
            equal((result.sqlstate, result.status), ("42P01", status))
        client.rows("ROLLBACK")
        equal(client.scalar("SELECT 2"), "2")
        stage.sql(SETUP)
        true(len(client.rows("EXECUTE p")) == 2, "rows")


@suite.check("as direct, servers that keep one statement, and queries with several names")
def _():
    stage.sql(SETUP)
    wanted = wanted_of(MANY_NAMES)
    for kept in (1, 2, 3):
        with stage.proxy(size=1, prepared_statements=kept) as proxy:
            client, other, said = stage.client(proxy), stage.client(proxy), []
            for step in MANY_NAMES:
                client.send(step)
                said.append(transcript(client.ready(count_ready(step))))
                other.prepared("SELECT 42", name="other" + str(len(said)))
            compare(wanted, said, MANY_NAMES)


if __name__ == "__main__":
    suite.main()
