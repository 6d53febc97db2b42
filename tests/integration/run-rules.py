#!/usr/bin/env python3
"""Rules that refuse: a statement that a rule refuses is answered 42501 in whatever way it comes, and the
server's own log shows that it never arrived."""

import itertools
import os
import signal
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, eventually, true  # noqa: E402
from stage import Stage  # noqa: E402
from wire import Result, bind, close, describe, execute, flush, function_call, message, one_shot, parse  # noqa: E402
from wire import query, sync  # noqa: E402

suite = Suite("rules")
# Every message that a server has parsed, bound or run is in its log with its text, and so is one that failed.
stage = Stage(suite, options={"log_min_duration_statement": "0", "log_min_error_statement": "error"})

SECRETS = {"match": {"tables": ["secrets"]}, "reject": "ask the DBA"}
DDL = {"match": {"user": "web", "class": "ddl"}, "reject": "use the migration user"}
DETAIL = "routing.rules[0]: tables secrets"

LO_CREAT, LO_UNLINK, VERSION = 957, 964, 89
LARGE = 70_000  # more than the 64 KiB that a query is looked at

marks = (f"mark{number:04}" for number in itertools.count(1))
prepared = False
read_bytes = 0  # of the server's log


def set_up():
    global prepared
    if not prepared:
        for sql in ("CREATE TABLE secrets (id int, v text)", "INSERT INTO secrets VALUES (1, 'x')",
                    "CREATE TABLE books (id int)", "CREATE TABLE audit (id int)",
                    "CREATE ROLE web LOGIN SUPERUSER"):
            stage.sql(sql)
        prepared = True


def proxied(rules=(SECRETS, DDL), mode="transaction", **pool):
    """A Howdah with these rules."""
    set_up()
    return stage.proxy(mode, top={"database": {"routing": {"rules": list(rules)}}}, **pool)


def reload(proxy, rules, mode="transaction", **pool):
    proxy.write_config(stage.config(mode, top={"database": {"routing": {"rules": list(rules)}}}, **pool))
    proxy.process.send_signal(signal.SIGHUP)


def arrived(mark):
    """Whether a server has had the statement with this mark: it logs that before it answers."""
    global read_bytes
    with open(os.path.join(stage.cluster.dir, "log"), "rb") as file:
        file.seek(read_bytes)
        log = file.read()
    read_bytes += len(log)
    return mark.encode() in log


def refused(result, what, text="ask the DBA", detail=DETAIL):
    """One error, the rule's; nothing but it was heard of the statement."""
    equal([(error["C"], error["M"], error["S"]) for error in result.errors], [("42501", text, "ERROR")], what)
    equal(result.errors[0].get("D"), detail, f"{what}: detail")


def clients(proxy):
    """One that is idle, and one whose transaction is at a server."""
    for within in (False, True):
        client = stage.client(proxy)
        if within:
            client.query("BEGIN; SELECT 1")
        yield client, within


def begin_again(client):
    equal(client.query("ROLLBACK").tags, ["ROLLBACK"])
    equal(client.query("BEGIN; SELECT 1").rows, [("1",)])


def hear(client, data, count=1):
    client.send(data)
    return Result(client.ready(count))


def flushed(client, data):
    """What answers messages without a Sync, as asyncpg and pgjdbc send them; then the Sync."""
    client.send(data, flush())
    heard = client.until("E")
    client.send(sync())
    return Result(heard + client.ready())


# Each sends one statement of this text, which is refused, and gives what was heard.
WAYS = {
    "simple": lambda client, sql: hear(client, query(sql)),
    "first of several": lambda client, sql: hear(client, query(f"{sql}; INSERT INTO books VALUES (1)")),
    "last of several": lambda client, sql: hear(client, query(f"INSERT INTO books VALUES (1); SELECT 1; {sql}")),
    "unnamed": lambda client, sql: hear(client, one_shot(sql) + sync()),
    "named": lambda client, sql: hear(client, one_shot(sql, name="n") + sync()),
    "Parse and Describe with Flush": lambda client, sql: flushed(client, parse("f", sql) + describe("S", "f")),
    "Parse alone": lambda client, sql: hear(client, parse("alone", sql) + sync()),
    "in a batch": lambda client, sql: hear(client, one_shot("INSERT INTO books VALUES (1)") + one_shot(sql)
                                           + one_shot("INSERT INTO books VALUES (2)") + sync()),
}

# What names the table, in whatever statement.
STATEMENTS = """
SELECT * FROM secrets
INSERT INTO secrets VALUES (2)
UPDATE secrets SET id = 3
DELETE FROM public.secrets
SELECT 1 FROM books WHERE id IN (SELECT id FROM secrets)
WITH x AS (SELECT * FROM secrets) SELECT * FROM x
WITH x AS (DELETE FROM secrets RETURNING *) SELECT * FROM x
TABLE secrets
SELECT * FROM books FOR UPDATE; SELECT * FROM secrets FOR SHARE
EXPLAIN SELECT * FROM secrets
EXPLAIN ANALYZE SELECT * FROM secrets
PREPARE p AS SELECT * FROM secrets
DECLARE c CURSOR FOR SELECT * FROM secrets
DECLARE c CURSOR WITH HOLD FOR SELECT * FROM secrets
COPY secrets TO STDOUT
COPY (SELECT * FROM secrets) TO STDOUT
COPY secrets FROM STDIN
CREATE TABLE t AS SELECT * FROM secrets
CREATE VIEW v AS SELECT * FROM secrets
CREATE TEMP TABLE t (LIKE secrets)
DROP TABLE secrets
TRUNCATE books, secrets
LOCK TABLE secrets
VACUUM secrets
ALTER TABLE secrets ADD COLUMN x int
GRANT SELECT ON secrets TO PUBLIC
DO $$ BEGIN PERFORM * FROM secrets; END $$
SELECT query_to_xml('SELECT * FROM secrets', true, true, '')
SELECT table_to_xml('secrets', true, true, '')
SELECT this is not understood by anybody
""".strip().splitlines()


def all_ways(client, ways=tuple(WAYS), statements=STATEMENTS, within=""):
    for way in ways:
        for sql in statements:
            mark, what = next(marks), f"{way}{within}: {sql}"
            if ";" in sql and way not in ("simple", "first of several", "last of several"):
                continue
            if within:
                equal(client.query("BEGIN").status, "T", what)
                if within == " behind a write":
                    equal(client.query("INSERT INTO audit VALUES (7)").tags, ["INSERT 0 1"], what)
            result = WAYS[way](client, f"/*{mark}*/ {sql}")
            refused(result, what)
            true(not arrived(mark), f"{what}: it has arrived")
            equal(result.status, "E" if within else "I", f"{what}: status")
            if within:
                equal((client.query("SELECT 1").sqlstate, client.query("COMMIT").tags), ("25P02", ["ROLLBACK"]), what)
            equal(client.query("SELECT 1").rows, [("1",)], f"{what}: the session lives on")
    counts = ", ".join(f"(SELECT count(*) FROM {table})" for table in ("books", "audit", "secrets"))
    equal(stage.sql(f"SELECT {counts}"), [("0", "0", "1")], "nothing of it ran")


# --- in every way ---------------------------------------------------------------------------------


@suite.check("in every way that a statement can come")
def _():
    with proxied() as proxy:
        all_ways(stage.client(proxy))


@suite.check("inside of a transaction: it fails, whether a server knows of it or not")
def _():
    ways = ["simple", "last of several", "unnamed", "named", "in a batch"]
    for deferred in (True, False):
        with proxied(deferred_begin=deferred) as proxy:
            all_ways(stage.client(proxy), ways, STATEMENTS[:12], " in a transaction")
            all_ways(stage.client(proxy), ways, STATEMENTS[:12], " behind a write")


@suite.check("in session mode, in statement mode, and without kept statements")
def _():
    ways = ["simple", "last of several", "unnamed", "named", "in a batch"]
    for mode, pool in (("session", {}), ("statement", {}), ("transaction", {"prepared_statements": 0})):
        with proxied(mode=mode, check_state=False, **pool) as proxy:
            all_ways(stage.client(proxy), statements=STATEMENTS[:12])
            if mode != "statement":
                all_ways(stage.client(proxy), ways, STATEMENTS[:6], " behind a write")


@suite.check("on a connection for replication")
def _():
    with proxied() as proxy:
        client = stage.client(proxy, replication="database")
        mark = next(marks)
        refused(client.query(f"/*{mark}*/ SELECT * FROM secrets"), "SQL")
        true(not arrived(mark), "it has arrived")
        refused(client.query("IDENTIFY_SYSTEM"), "a command, which is not understood")
        equal(client.query("SELECT 1").rows, [("1",)])


@suite.check("a message in pieces")
def _():
    with proxied() as proxy:
        for client, within in clients(proxy):
            for data in (query("SELECT * FROM secrets"), one_shot("SELECT * FROM secrets", name="x") + sync()):
                client.drip(data)
                refused(Result(client.ready()), "in pieces")
                if within:
                    begin_again(client)


@suite.check("what is too large to be looked at")
def _():
    with proxied() as proxy:
        for client, within in clients(proxy):
            mark, literal = next(marks), "x" * LARGE
            for data in (query(f"SELECT '{mark}', '{literal}'"),
                         one_shot(f"SELECT '{mark}', '{literal * 20}'") + sync(),
                         one_shot(f"SELECT '{mark}', '{literal * 20}'", name="large") + sync()):
                refused(hear(client, data), "large")
                true(not arrived(mark), "it has arrived")
                if within:
                    begin_again(client)
    with proxied([{"match": {"user": "postgres"}, "route": "primary"}, SECRETS]) as proxy:
        equal(stage.client(proxy).query(f"SELECT length('{literal}')").rows, [(str(LARGE),)], "who may do all")
        refused(stage.client(proxy, user="web").query(f"SELECT length('{literal}')"), "who may not",
                detail="routing.rules[1]: tables secrets")


@suite.check("what is not refused runs")
def _():
    with proxied() as proxy:
        client, web = stage.client(proxy), stage.client(proxy, user="web")
        equal(client.prepared("SELECT $1::int + 1", "1").rows, [("2",)])
        equal(client.query("SELECT count(*) FROM books; SELECT 'secrets'").rows, [("0",), ("secrets",)])
        equal(client.query("CREATE TABLE made (id int); DROP TABLE made").tags, ["CREATE TABLE", "DROP TABLE"])
        for send in (client.query, client.prepared):
            mark = next(marks)
            equal(send(f"/*{mark}*/ SELECT 6").rows, [("6",)])
            true(arrived(mark), "the log shows what arrives")
        mark = next(marks)
        refused(web.query(f"/*{mark}*/ CREATE TABLE made (id int)"), "web's DDL", "use the migration user",
                "routing.rules[1]: user web, class ddl")
        true(not arrived(mark), "it has arrived")
        equal(web.query("SELECT count(*) FROM books").rows, [("0",)])


@suite.check("a list of what is allowed")
def _():
    rules = [{"match": {"class": ["session", "transaction"]}, "route": "primary"},
             {"match": {"tables": ["books"]}, "route": "primary"}, {"reject": "books only"}]
    with proxied(rules) as proxy:
        client = stage.client(proxy)
        equal(client.query("BEGIN").status, "T")
        equal(client.query("SELECT count(*) FROM books").rows, [("0",)])
        equal(client.query("SELECT * FROM audit, books").sqlstate, "42501")
        equal(client.query("ROLLBACK").tags, ["ROLLBACK"])
        refused(client.query("SELECT 1"), "neither", "books only", "routing.rules[2]")
        equal((client.query("").errors, client.query("SET work_mem = '1MB'").tags), ([], ["SET"]))


# --- function calls -------------------------------------------------------------------------------


@suite.check("function calls of the protocol: large objects' by the rules for what writes, others' as opaque")
def _():
    with proxied() as proxy:
        for client, within in clients(proxy):
            made = hear(client, function_call(LO_CREAT, [struct.pack("!i", -1)], (1,), 1))
            equal((made.errors, made.status), ([], "T" if within else "I"), "lo_creat")
            if within:
                client.query("COMMIT")
                client.query("BEGIN; SELECT 1")
            result = hear(client, function_call(VERSION, []))
            refused(result, "version()")
            equal(result.status, "E" if within else "I")
            equal(client.query("ROLLBACK").errors, [])
            equal(client.query("SELECT 1").rows, [("1",)])
    with proxied([{"match": {"class": "write"}, "reject": "read only"}]) as proxy:
        refused(hear(stage.client(proxy), function_call(LO_CREAT, [struct.pack("!i", -1)], (1,), 1)), "lo_creat",
                "read only", "routing.rules[0]: class write")


# --- pipelines ------------------------------------------------------------------------------------


@suite.check("a batch is skipped up to its Sync, and what comes behind it runs")
def _():
    with proxied() as proxy:
        client = stage.client(proxy)
        for turn in range(3):
            data = (one_shot("INSERT INTO books VALUES (1)") + one_shot("SELECT * FROM secrets")
                    + one_shot("SELECT 2") + sync() + one_shot("SELECT 3") + sync())
            client.send(data)
            first, second = Result(client.ready()), Result(client.ready())
            refused(first, "the batch")
            equal((first.tags, first.rows, second.rows), (["INSERT 0 1"], [], [("3",)]), f"turn {turn}")
        equal(stage.sql("SELECT count(*) FROM books"), [("0",)], "the batch's insert is undone")


@suite.check("queries sent at once: each has its own rule's text")
def _():
    rules = [SECRETS, {"match": {"tables": ["audit"]}, "reject": "not yours"}]
    with proxied(rules) as proxy:
        client = stage.client(proxy)
        for begin in ("", "BEGIN; SELECT 1"):
            client.query(begin)
            for sql in ("SELECT * FROM audit", "SELECT 5", "TABLE secrets", "TABLE audit"):
                client.send(query(sql))
            heard = [Result(client.ready()) for _ in range(4)]
            equal([r.errors[0]["M"] if r.errors else r.rows for r in heard],
                  ["not yours", heard[1].errors[0]["M"] if begin else [("5",)], "ask the DBA", "not yours"], begin)
            equal(heard[1].sqlstate, "25P02" if begin else None)


@suite.check("an unnamed statement is gone behind a Parse that is refused, a named one is not")
def _():
    with proxied() as proxy:
        client = stage.client(proxy)
        for begin in ("", "BEGIN; SELECT 1"):
            for name, wanted in (("", "26000"), ("kept", None)):
                client.query("ROLLBACK")
                hear(client, parse(name, "SELECT 8") + sync())
                client.query(begin) if name else None
                refused(hear(client, parse(name, "TABLE secrets") + sync()), name)
                client.query("ROLLBACK") if name else None
                equal(hear(client, bind("", name) + execute() + sync()).sqlstate, wanted, f"{begin} {name!r}")
                hear(client, close("S", name) + sync())


# --- reload ---------------------------------------------------------------------------------------


def until_refused(client, sql):
    eventually(lambda: client.query(sql).sqlstate == "42501", "the new rules are in force")


@suite.check("a reload holds for open sessions, and for what they have prepared before")
def _():
    with proxied([]) as proxy:
        client = stage.client(proxy)
        mark = next(marks)
        secret = f"/*{mark}*/ SELECT * FROM secrets"
        for sql in (f"PREPARE q AS {secret}", "PREPARE other AS SELECT 1"):
            equal(client.query(sql).errors, [])
        for name, sql in (("n", secret), ("e", "EXECUTE q")):
            equal(hear(client, parse(name, sql) + sync()).errors, [])
        nameless = stage.client(proxy)
        equal(hear(nameless, parse("", secret) + sync()).errors, [])
        equal(client.query("EXECUTE q").rows, [("1", "x")])
        equal(hear(client, parse("", secret) + bind("", "n") + execute() + sync()).rows, [("1", "x")])
        reload(proxy, [SECRETS])
        probe = stage.client(proxy)
        until_refused(probe, "TABLE secrets")
        eventually(lambda: {row["state"] for row in proxy.admin("SHOW SERVERS")} == {"idle"},
                   "no client has a link: check_state asks behind what a client was told")
        stage.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                  " AND datname = 'app' AND backend_type = 'client backend'")
        count = stage.cluster.log.count(mark)
        refused(hear(nameless, bind("", "") + execute() + sync()), "the unnamed")
        for what, data in {"Bind": bind("", "n") + execute() + sync(), "Describe": describe("S", "n") + sync(),
                           "Bind of an EXECUTE": bind("", "e") + execute() + sync(), "EXECUTE": query("EXECUTE q"),
                           "EXECUTE of a Parse": query("EXECUTE n"),
                           "EXECUTE among others": query("SELECT 1; EXECUTE q"),
                           "EXPLAIN EXECUTE": query("EXPLAIN ANALYZE EXECUTE q"),
                           "Parse of an EXECUTE": parse("", "EXECUTE q") + sync(),
                           "CREATE TABLE AS": query("CREATE TABLE made AS EXECUTE q")}.items():
            for begin in ("BEGIN", "BEGIN; SELECT 1"):
                equal(client.query(begin).errors, [], what)
                result = hear(client, data)
                refused(result, what)
                equal((result.status, client.query("ROLLBACK").errors), ("E", []), what)
        equal(stage.cluster.log.count(mark), count, "it has not been prepared again either")
        equal(client.query("EXECUTE other").rows, [("1",)])
        reload(proxy, [])
        eventually(lambda: probe.query("TABLE secrets").errors == [], "without rules again")
        equal(client.query("EXECUTE q").rows, [("1", "x")])


@suite.check("a reload, where Howdah keeps no statements: what was prepared before is not known")
def _():
    for mode, pool in (("session", {}), ("transaction", {"prepared_statements": 0})):
        with proxied([], mode=mode, check_state=False, **pool) as proxy:
            client, other = stage.client(proxy), stage.client(proxy)
            equal(hear(client, parse("n", "SELECT * FROM secrets") + sync()).errors, [])
            reload(proxy, [SECRETS], mode=mode, check_state=False, **pool)
            until_refused(other, "TABLE secrets")
            refused(hear(client, bind("", "n") + execute() + sync()), mode)
            equal(hear(client, one_shot("SELECT 3") + sync()).rows, [("3",)], mode)
            late = stage.client(proxy)
            equal(hear(late, parse("late", "SELECT 4") + sync()).errors, [])
            if mode == "session":
                equal(hear(late, bind("", "late") + execute() + sync()).rows, [("4",)], "of a session that came later")


def reloaded(proxy, other, rules, **pool):
    """They are in force."""
    reload(proxy, rules, check_state=False, **pool)
    eventually(lambda: (other.query("TABLE secrets").sqlstate == "42501") == (SECRETS in rules), "the new rules")


@suite.check("a reload, where Howdah keeps no statements: a text that was replaced says nothing of what took its place")
def _():
    secret = "SELECT * FROM secrets"
    for pool in ({"mode": "session"}, {"prepared_statements": 0}):
        with proxied([], check_state=False, **pool) as proxy:
            client, other = stage.client(proxy), stage.client(proxy)
            for sql in ("SELECT pg_cancel_backend(0)", secret):
                equal(hear(client, close("S", "n") + parse("n", sql) + sync()).errors, [], sql)
            reloaded(proxy, other, [SECRETS], **pool)
            refused(hear(client, bind("", "n") + execute() + sync()), f"Bind: {pool}")
            refused(hear(client, query("EXECUTE n")), f"EXECUTE: {pool}")


@suite.check("a reload in session mode, of the unnamed statement: likewise")
def _():
    large = f"SELECT * FROM secrets /* {LARGE * 20 * 'x'} */"
    audit = {"match": {"tables": ["audit"]}, "reject": "not yours"}
    anything = {"match": {"user": "postgres"}, "route": "primary"}
    for what, first, between, sql in (("looked at no more", [audit], [], "SELECT * FROM secrets"),
                                      ("too large", [anything, audit], [anything, audit], large)):
        with proxied(first, mode="session", check_state=False) as proxy:
            client, other = stage.client(proxy), stage.client(proxy)
            equal(hear(client, parse("", "SELECT 1") + sync()).errors, [], what)
            if between != first:
                reload(proxy, between, mode="session", check_state=False)
                eventually(lambda: other.query("TABLE audit").errors == [], "no rules")
            equal(hear(client, parse("", sql) + sync()).errors, [], what)
            reloaded(proxy, other, [SECRETS], mode="session")
            refused(hear(client, bind("", "") + execute() + sync()), what)
            equal(hear(client, one_shot("SELECT 3") + sync()).rows, [("3",)], what)


# --- what is said of it ---------------------------------------------------------------------------


@suite.check("EXPLAIN (HOWDAH) says which rule")
def _():
    with proxied() as proxy:
        client = stage.client(proxy)
        for sql in ("SELECT * FROM secrets", "COPY secrets TO STDOUT"):
            rows = client.rows(f"EXPLAIN (HOWDAH) {sql}")
            true(("refused", "ask the DBA", DETAIL) in rows, f"{rows}")
            true(("node", "none", "a rule refuses it") in rows, f"{rows}")
        client.query("PREPARE q AS SELECT 1")
        true("refused" not in [row[0] for row in client.rows("EXPLAIN (HOWDAH) EXECUTE q")], "what is allowed")


@suite.check("the admin database has no rules")
def _():
    with proxied([{"reject": "nothing"}]) as proxy:
        true(proxy.admin("SHOW POOLS") is not None, "it answers")
        refused(stage.client(proxy).query("SELECT 1"), "all else", "nothing", "routing.rules[0]")


if __name__ == "__main__":
    suite.main()
