#!/usr/bin/env python3
"""howdah.* settings, hints and EXPLAIN (HOWDAH): answered by the proxy, in its order, as PostgreSQL would.

A script that sets howdah.route through the proxy is played with a custom setting of the server's own
(myapp.route) on a direct connection, too: message by message the same, but for the name.
"""

import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, eventually, true  # noqa: E402
from stage import SHORT, Stage  # noqa: E402
from wire import (  # noqa: E402
    ServerError,
    bind,
    close,
    count_ready,
    data_row,
    describe,
    execute,
    flush,
    parse,
    query,
    sync,
    transcript,
)

suite = Suite("explain")
stage = Stage(suite, options={"log_statement": "all"})

REAL, OURS = "myapp.route", "howdah.route"


def one(name, sql, *params, portal=""):
    """Parse, Bind, Describe, Execute of a text."""
    return parse(name, sql) + bind(portal, name, [p.encode() for p in params]) + describe("P", portal) + execute(portal)


def play(client, script, name):
    """What is heard, step by step; $ in a step is the setting's name."""
    said = []
    for build in script:
        step = build(name)
        client.send(step)
        lines = transcript(client.ready(count_ready(step)))
        said.append([line.replace(REAL, OURS) for line in lines])
    return said


def simple(sql):
    return lambda name: query(sql.replace("$", name))


def extended(*texts):
    """Each text by the unnamed statement, one Sync behind all."""
    return lambda name: b"".join(one("", text.replace("$", name)) for text in texts) + sync()


def messages(*builders):
    return lambda name: b"".join(build(name) for build in builders)


def compare(proxy, script, what, startup="auto", normalise=lambda said: said):
    direct = stage.direct(options=f"-c {REAL}={startup}")
    try:
        wanted = play(direct, script, REAL)
    finally:
        direct.terminate()
    client = stage.client(proxy, options=f"-c {OURS}={startup}")
    got = play(client, script, OURS)
    client.terminate()
    for number, (want, get) in enumerate(zip(normalise(wanted), normalise(got))):
        different = [line for line in get if line not in want], [line for line in want if line not in get]
        equal(different, ([], []), f"{what}, step {number}")
        equal(get, want, f"{what}, step {number}")


SCRIPTS = {
    "sessions": [
        simple("SHOW $"),
        simple("SET $ = 'replica'"),
        simple("SHOW $"),
        simple("set session $ to 'primary'"),
        simple("SHOW $"),
        simple("SET $ TO DEFAULT"),
        simple("SHOW $"),
        simple("SET $ = replica"),
        simple("RESET $"),
        simple("SHOW $;"),
        simple("SET LOCAL $ = 'replica'"),
        simple("SHOW $"),
        simple("SET $ = 'replica'; SHOW $; SET LOCAL $ = 'primary'; SHOW $"),
        simple("SHOW $"),
        simple("RESET ALL"),
        simple("SHOW $"),
        simple("SET $ = 'replica'"),
        simple("DISCARD ALL"),
        simple("SHOW $"),
        simple("SELECT set_config('$', 'replica', false)"),
        simple("SELECT pg_catalog.current_setting('$') AS now"),
        simple("SELECT set_config('$', 'primary', true)"),
        simple("SELECT current_setting('$', true)"),
        simple("SET $ = 'a', 'b'"),
    ],
    "transactions": [
        simple("BEGIN"),
        simple("SET $ = 'replica'"),
        simple("SHOW $"),
        simple("ROLLBACK"),
        simple("SHOW $"),
        simple("BEGIN"),
        simple("SET LOCAL $ = 'replica'"),
        simple("SHOW $"),
        simple("COMMIT"),
        simple("SHOW $"),
        simple("BEGIN"),
        simple("SET $ = 'replica'"),
        simple("SET LOCAL $ = 'primary'"),
        simple("SHOW $"),
        simple("COMMIT"),
        simple("SHOW $"),
        simple("BEGIN; SELECT 1"),
        simple("SET $ = 'primary'"),
        simple("SELECT nope"),
        simple("SHOW $"),
        simple("SET $ = 'auto'"),
        simple("COMMIT"),
        simple("SHOW $"),
        simple("BEGIN"),
        simple("RESET $"),
        simple("SHOW $"),
        simple("ROLLBACK AND CHAIN"),
        simple("SHOW $"),
        simple("SET $ = 'primary'"),
        simple("COMMIT AND CHAIN"),
        simple("SET $ = 'auto'"),
        simple("ROLLBACK"),
        simple("SHOW $"),
        simple("BEGIN"),
        simple("RESET ALL"),
        simple("SHOW $"),
        simple("ROLLBACK"),
        simple("SHOW $"),
        simple("BEGIN"),
        simple("SET $ = 'auto'"),
        simple("END; SELECT 1/0"),
        simple("SHOW $"),
    ],
    "savepoints": [
        simple("BEGIN"),
        simple("SAVEPOINT a"),
        simple("SET $ = 'replica'"),
        simple("SAVEPOINT b"),
        simple("SET LOCAL $ = 'primary'"),
        simple("SHOW $"),
        simple("ROLLBACK TO b"),
        simple("SHOW $"),
        simple("SET $ = 'primary'"),
        simple("RELEASE b"),
        simple("SHOW $"),
        simple("SAVEPOINT a"),
        simple("SET $ = 'auto'"),
        simple("ROLLBACK TO A"),
        simple("SHOW $"),
        simple("RELEASE a"),
        simple("ROLLBACK TO a"),
        simple("SHOW $"),
        simple("SELECT 1; SAVEPOINT c"),
        simple("SET $ = 'primary'"),
        simple("SELECT nope"),
        simple("ROLLBACK TO SAVEPOINT c; SAVEPOINT d; SELECT 2"),
        simple("SHOW $"),
        simple("RELEASE nosuch"),
        simple("ROLLBACK TO d"),
        simple("COMMIT"),
        simple("SHOW $"),
    ],
    "an error of its own in a transaction": [
        simple("BEGIN"),
        simple("SAVEPOINT a"),
        simple("SET $ = 'replica'"),
        simple("SET $ = 'a', 'b'"),
        simple("SHOW $"),
        simple("ROLLBACK TO a"),
        simple("SHOW $"),
        extended("SET $ = 'a', 'b'"),
        simple("COMMIT"),
    ],
    "extended": [
        extended("SHOW $"),
        extended("SET $ = 'replica'"),
        extended("SHOW $"),
        extended("SET $ = 'primary'", "SHOW $"),
        extended("SELECT 1", "SET $ = 'auto'", "SHOW $", "SELECT 2"),
        extended("SHOW $"),
        extended("SET $ = 'replica'", "SELECT 1/0"),
        extended("SHOW $"),
        extended("SET $ = 'replica'", "SELECT 1", "SELECT nope", "SHOW $"),
        extended("SHOW $"),
        extended("BEGIN", "SET $ = 'replica'", "SHOW $"),
        extended("SAVEPOINT a", "SET LOCAL $ = 'primary'", "ROLLBACK TO a", "SHOW $"),
        extended("SELECT nope", "SHOW $"),
        extended("SHOW $"),
        extended("ROLLBACK TO a"),
        extended("SHOW $", "COMMIT", "SHOW $"),
        extended("SHOW $"),
        extended("SET LOCAL $ = 'primary'", "SHOW $"),
        extended("SHOW $"),
        extended("SELECT set_config('$', 'primary', false)"),
        extended("SELECT current_setting('$')"),
        extended("BEGIN"),
        extended("SET $ = 'auto'"),
        extended("ROLLBACK"),
        extended("SHOW $"),
        extended("RESET ALL", "SHOW $"),
    ],
    "named statements and portals": [
        messages(lambda n: parse("s", f"SHOW {n}") + describe("S", "s") + sync()),
        messages(lambda n: bind("", "s") + execute() + sync()),
        messages(lambda n: bind("p", "s") + describe("P", "p") + execute("p", 1) + execute("p", 1) + sync()),
        messages(lambda n: parse("s", f"SHOW {n}") + sync()),
        messages(lambda n: parse("s", "SELECT 1") + sync()),
        messages(lambda n: bind("", "s", [b"1"]) + sync()),
        messages(lambda n: bind("", "s", (), (), (1,)) + describe("P") + execute() + sync()),
        messages(lambda n: close("S", "s") + bind("", "s") + sync()),
        messages(lambda n: close("S", "s") + close("P", "p") + sync()),
        messages(lambda n: parse("s", f"SET {n} = 'replica'") + describe("S", "s") + flush() + sync()),
        messages(lambda n: bind("", "s") + describe("P") + execute() + sync()),
        messages(lambda n: parse("", f"SHOW {n}") + bind() + execute() + one("", "SELECT 1") + sync()),
        messages(lambda n: parse("", f"SHOW {n}") + sync(), lambda n: bind() + execute() + sync()),
        messages(lambda n: parse("", f"SHOW {n}") + sync() + query("SELECT 1") + bind() + execute() + sync()),
        messages(lambda n: query("BEGIN") + parse("t", f"SHOW {n}") + bind("c", "t") + sync()),
        messages(lambda n: execute("c") + close("P", "c") + execute("c") + sync()),
        messages(lambda n: query("ROLLBACK")),
        messages(lambda n: bind("c", "t") + sync() + execute("c") + sync()),
        messages(lambda n: parse("", f"SHOW {n}; SHOW {n}") + sync()),
    ],
    "pipelined queries": [
        messages(lambda n: query("SELECT 1") + query(f"SET {n} = 'replica'") + query("SELECT 2") + query(f"SHOW {n}")),
        messages(lambda n: query("BEGIN") + query(f"SET {n} = 'primary'") + query("ROLLBACK") + query(f"SHOW {n}")),
        messages(lambda n: query("BEGIN") + query(f"SET {n} = 'primary'") + query("SELECT nope") + query("COMMIT")),
        messages(lambda n: query(f"SHOW {n}")),
        messages(lambda n: one("", "SELECT 1") + sync() + one("", f"SHOW {n}") + sync() + query(f"SHOW {n}")),
    ],
}

MODES = [("transaction", {"size": 1}), ("session", {"size": 3}), ("transaction", {"size": 2, "prepared_statements": 0})]

for mode, pool in MODES:
    for script_name, steps in SCRIPTS.items():

        @suite.check(f"{script_name}: as a setting of PostgreSQL's own, in {mode} mode, {pool}")
        def _(mode=mode, pool=pool, steps=steps, script_name=script_name):
            with stage.proxy(mode=mode, **pool) as proxy:
                compare(proxy, steps, script_name)


WORDS = [
    "SET $ = 'replica'",
    "SET $ = 'primary'",
    "SET $ = auto",
    "SET LOCAL $ = 'replica'",
    "SET LOCAL $ = 'primary'",
    "RESET $",
    "SET $ TO DEFAULT",
    "SHOW $",
    "SHOW $",
    "SHOW $",
    "BEGIN",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT a",
    "SAVEPOINT b",
    "RELEASE a",
    "RELEASE b",
    "ROLLBACK TO a",
    "ROLLBACK TO b",
    "SELECT 1",
    "SELECT 1/0",
    "RESET ALL",
    "SELECT set_config('$', 'replica', true)",
    "SELECT current_setting('$')",
]


def without_warnings(said):
    """Whether SET LOCAL warns amid a pipeline differs from version to version."""
    return [[line for line in lines if "C='25P01'" not in line] for lines in said]


@suite.check("random scripts, as a setting of PostgreSQL's own")
def _():
    with stage.proxy(size=1) as proxy:
        for seed in range(40 if SHORT else 150):
            dice = random.Random(seed)
            script = []
            for _ in range(25):
                texts = dice.choices(WORDS, k=dice.choice((1, 1, 1, 3)))
                script.append(extended(*texts) if dice.random() < 0.4 else simple(texts[0]))
            compare(proxy, script, f"seed {seed}", dice.choice(("auto", "replica")), without_warnings)


# --- what is wrong --------------------------------------------------------------------------------


def error_of(result):
    return {key: result.errors[0].get(key) for key in "CMHP" if key in result.errors[0]}


@suite.check("values and names that are none are refused, and say what is allowed")
def _():
    with stage.proxy(size=1) as proxy:
        client = stage.client(proxy)
        equal(
            error_of(client.query("SET howdah.route = 'slave'")),
            {
                "C": "22023",
                "M": 'invalid value for parameter "howdah.route": "slave"',
                "H": "Available values: auto, primary, replica.",
            },
        )
        equal(
            error_of(client.query("SHOW howdah.rout")),
            {
                "C": "42704",
                "M": 'unrecognized configuration parameter "howdah.rout"',
                "H": 'Perhaps you mean "howdah.route".',
            },
        )
        equal(client.query("SELECT current_setting('howdah.nosuch', true)").rows, [(None,)])
        equal(client.query("SET howdah.cache = '5 minutes'").sqlstate, "22023")
        for name, value in (("consistency", "strong"), ("shard", "s 1"), ("shard_key", "42"), ("cache", "60s")):
            client.rows(f"SET howdah.{name} = '{value}'")
            equal(client.scalar(f"SHOW howdah.{name}"), value)


@suite.check("an error of one's own fails the transaction at the server, in both protocols")
def _():
    with stage.proxy(size=1) as proxy:
        client = stage.client(proxy)
        for bad in (query("SET howdah.route = 'x'"), one("", "SET howdah.route = 'x'") + sync()):
            client.rows("BEGIN")
            client.rows("SELECT 1")
            client.send(bad)
            heard = client.ready()
            equal([m.fields["C"] for m in heard if m.kind == "E"], ["22023"])
            equal(heard[-1].body, b"E")
            equal(client.query("SELECT 1").sqlstate, "25P02")
            equal(client.query("SHOW howdah.route").sqlstate, "25P02")
            client.rows("ROLLBACK")
            equal(client.scalar("SELECT 1"), "1")


@suite.check("what mixes ours with the server's is refused whole, and nothing of it is run")
def _():
    with stage.proxy(size=1) as proxy:
        stage.sql("DROP TABLE IF EXISTS mixed; CREATE TABLE mixed (a int)")
        client = stage.client(proxy)
        for text in (
            "SET howdah.route = 'replica'; INSERT INTO mixed VALUES (1)",
            "INSERT INTO mixed VALUES (1); SHOW howdah.route",
            "SELECT current_setting('howdah.route'), 1",
            "INSERT INTO mixed SELECT 1 WHERE current_setting('howdah.route') = 'auto'",
        ):
            result = client.query(text)
            equal((result.sqlstate, result.status), ("0A000", "I"), text)
            true("query of their own" in result.errors[0]["H"], "the hint says what to do")
        equal(stage.sql("SELECT count(*) FROM mixed"), [("0",)])
        equal(client.scalar("SHOW howdah.route"), "auto")


@suite.check("a malformed hint is refused with its place, and the statement is not run")
def _():
    with stage.proxy(size=1) as proxy:
        stage.sql("DROP TABLE IF EXISTS hinted; CREATE TABLE hinted (a int)")
        client = stage.client(proxy)
        text = "INSERT INTO hinted /* howdah: rout=primary */ VALUES (1)"
        wanted = {
            "C": "42601",
            "M": 'unknown name "rout" in a hint',
            "H": 'Perhaps you mean "route".',
            "P": str(text.index("rout=") + 1),
        }
        equal(error_of(client.query(text)), wanted)
        client.send(parse("", text) + bind() + execute() + sync())
        heard = client.ready()
        equal([m.kind for m in heard], ["E", "Z"])
        equal({k: v for k, v in heard[0].fields.items() if k in "CMHP"}, wanted)
        client.rows("BEGIN")
        client.rows("SELECT 1")
        equal(error_of(client.query("SELECT '\u00e4' -- howdah: route=x"))["P"], "29")
        equal(client.query("SELECT 1").sqlstate, "25P02")
        client.rows("ROLLBACK")
        equal(client.rows("SELECT 1 /* howdah: route=primary, cache=60s */"), [("1",)])
        equal(client.rows("SELECT '/* howdah: rout=primary */'"), [("/* howdah: rout=primary */",)])
        equal(stage.sql("SELECT count(*) FROM hinted"), [("0",)])


@suite.check("in session mode a malformed hint is refused as well")
def _():
    with stage.proxy(mode="session", size=2) as proxy:
        client = stage.client(proxy)
        equal(client.query("SELECT 1 /* howdah: nope=1 */").sqlstate, "42601")
        equal(client.rows("SELECT 1 /* howdah: route=auto */"), [("1",)])


# --- the startup, other sessions, no server -------------------------------------------------------


@suite.check("settings of the startup packet: by options and as parameters; wrong ones end the login")
def _():
    with stage.proxy(size=1) as proxy:
        client = stage.client(proxy, options="-c howdah.route=replica -c work_mem=7MB", **{"howdah.cache": "off"})
        equal((client.scalar("SHOW howdah.route"), client.scalar("SHOW howdah.cache")), ("replica", "off"))
        equal(client.scalar("SHOW work_mem"), "7MB")
        client.rows("SET howdah.route = 'primary'")
        client.rows("RESET howdah.route")
        equal(client.scalar("SHOW howdah.route"), "replica")
        for params, code in (({"howdah.route": "x"}, "22023"), ({"options": "-c howdah.x=1"}, "42704")):
            try:
                stage.client(proxy, **params)
            except ServerError as error:
                equal((error.sqlstate, error.fields["S"]), (code, "FATAL"))
            else:
                true(False, "the login was let in")


@suite.check("sessions have their own, however few servers there are")
def _():
    with stage.proxy(size=1) as proxy:
        clients = [stage.client(proxy) for _ in range(6)]
        values = ["auto", "primary", "replica"] * 2
        for client, value in zip(clients, values):
            client.rows(f"SET howdah.route = '{value}'")
            client.rows("SELECT 1")
        equal([client.scalar("SHOW howdah.route") for client in clients], values)


@suite.check("no server is needed: with every link taken, and none to be had")
def _():
    with stage.proxy(size=1, wait_timeout="20s") as proxy:
        holder, client = stage.client(proxy), stage.client(proxy)
        holder.rows("BEGIN")
        holder.rows("SELECT 1")
        client.rows("SET howdah.route = 'primary'")
        client.send(parse("", "SHOW howdah.route") + describe("S") + flush())
        client.send(bind() + execute() + sync())
        equal([m.kind for m in client.ready()], ["1", "t", "T", "2", "D", "C", "Z"])
        equal(len(client.rows("EXPLAIN (HOWDAH) SELECT 1")) > 5, True)
        holder.rows("COMMIT")


# --- EXPLAIN (HOWDAH) -----------------------------------------------------------------------------


def explain(client, sql):
    """The rows, item -> [value]."""
    items = {}
    for item, value, _ in client.rows(f"EXPLAIN (HOWDAH) {sql}"):
        items.setdefault(item, []).append(value)
    return items


@suite.check("an explanation says what a statement does, and nothing is run")
def _():
    with stage.proxy(size=1) as proxy:
        stage.sql("DROP TABLE IF EXISTS x; CREATE TABLE x (a int)")
        client = stage.client(proxy)
        rows = explain(client, "INSERT INTO x SELECT b FROM public.y, now() WHERE f(c) RETURNING a")
        equal((rows["class"], rows["writes"], rows["reads"]), (["write"], ["x"], ["public.y"]))
        equal((rows["calls"], rows["node"]), (["now", "f"], ["primary"]))
        equal(stage.sql("SELECT count(*) FROM x"), [("0",)])
        equal(explain(client, "SELECT * FROM t WHERE a = $1 AND b = $2")["parameters"], ["2"])
        equal(explain(client, "WITH w AS (SELECT * FROM t) SELECT * FROM w")["reads"], ["t"])
        equal(explain(client, "CREATE TEMP TABLE z (a int)")["pins the session"], ["temporary objects"])
        equal(explain(client, "SELECT pg_advisory_lock(1)")["pins the session"], ["advisory locks of the session"])
        true("pins the session" not in explain(client, "SELECT pg_advisory_xact_lock(1)"), "no pin")
        equal(explain(client, "SET LOCAL work_mem = '1MB'")["sets"], ["work_mem = 1MB"])
        equal(explain(client, "SELECT 1 FOR UPDATE")["locks"], ["rows"])
        equal(explain(client, "SHOW howdah.route")["node"], ["none"])
        equal(explain(client, "BEGIN")["transaction"], ["begins one"])
        equal(explain(client, "SELECT 1")["skeleton"], ["select 0"])
        deep = explain(client, "SELECT " + "(" * 2000 + "1" + ")" * 2000)
        equal((deep["class"], deep["not understood"]), (["opaque"], ["it is nested too deep to be parsed"]))
        client.rows("SET howdah.route = 'replica'")
        rows = client.rows("EXPLAIN (HOWDAH) SELECT 1 /* howdah: cache=60s */")
        equal([r for r in rows if r[0] == "howdah.route"], [("howdah.route", "replica", "SET")])
        equal([r for r in rows if r[0] == "howdah.cache"], [("howdah.cache", "60s", "the statement's hint")])


SCHEMA = """
    DROP SCHEMA IF EXISTS facts CASCADE; CREATE SCHEMA facts; SET search_path = facts;
    CREATE TABLE plain (a int);
    CREATE FUNCTION pure(a int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT a + 1';
    CREATE FUNCTION adds() RETURNS void LANGUAGE sql AS 'INSERT INTO facts.plain VALUES (1)';
    CREATE FUNCTION sets() RETURNS text LANGUAGE sql AS $$SELECT set_config('app.a', 'b', false)$$;
    CREATE FUNCTION locks() RETURNS void LANGUAGE plpgsql AS $$BEGIN PERFORM pg_advisory_lock(1); END$$;
    CREATE VIEW quiet AS SELECT pure(a) FROM plain;
    CREATE VIEW loud AS SELECT sets() FROM quiet;
    CREATE FUNCTION fires() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM facts.adds(); RETURN new; END$$;
    CREATE TABLE fired (a int);
    CREATE TRIGGER t BEFORE INSERT ON fired FOR EACH ROW EXECUTE FUNCTION fires();
"""
# A statement, its class, the row about what it names, and whether it may pin its session.
BY_CATALOG = (
    ("SELECT facts.pure(1)", "read", ("calls", "facts.pure", "by the catalog: changes nothing"), None),
    ("SELECT facts.adds()", "write", ("calls", "facts.adds", "by the catalog: may write, is volatile"), None),
    ("SELECT facts.nosuch()", "write",
     ("calls", "facts.nosuch", "not in the catalog: taken for one that may change anything"), "whatever it leaves"),
    ("SELECT * FROM facts.quiet", "read",
     ("reads", "facts.quiet", "by the catalog: view; reading it changes nothing"), None),
    ("SELECT * FROM facts.loud", "write",
     ("reads", "facts.loud", "by the catalog: view; reading it may write, is volatile, may touch settings"), None),
    ("SELECT * FROM facts.fired", "read",
     ("reads", "facts.fired", "by the catalog: reading it changes nothing"), None),
    ("INSERT INTO facts.fired VALUES (1)", "write",
     ("writes", "facts.fired", "by the catalog: triggers; writing it may write, is volatile"), None),
    ("DELETE FROM facts.plain", "write",
     ("writes", "facts.plain", "by the catalog: writing it runs nothing else"), None),
)


@suite.check("an explanation says what the catalog knows of functions and relations")
def _():
    control = stage.direct()
    control.rows(SCHEMA)
    control.close()
    with stage.proxy(size=1, top={"database": {"service": {"user": "postgres"}}}) as proxy:
        client = stage.client(proxy)
        first = client.rows("EXPLAIN (HOWDAH) SELECT facts.pure(1)")
        true(("class", "write") in [row[:2] for row in first], "nothing is believed before it is read")
        eventually(lambda: explain(client, "SELECT 1")["catalog"] == ["known"], "the catalog is read")
        for sql, kind, row, pins in BY_CATALOG:
            rows = client.rows(f"EXPLAIN (HOWDAH) {sql}")
            true(row in rows, f"{sql}: {row} is in {rows}")
            items = explain(client, sql)
            equal((items["class"], items.get("may pin the session")), ([kind], pins and [pins]), sql)
        true("may pin the session" in explain(client, "SELECT facts.locks()"), "an advisory lock in a function")
        client.rows("BEGIN")
        client.rows("CREATE TABLE facts.new (a int)")
        equal(explain(client, "SELECT facts.pure(1)")["catalog"], ["not known"])
        client.rows("ROLLBACK")
        client.rows("CREATE OPERATOR facts.!!! (RIGHTARG = int, FUNCTION = facts.pure)")
        eventually(lambda: explain(client, "SELECT 1")["catalog"] == ["known"], "the catalog is read again")
        true("may run" not in explain(client, "SELECT 1"), "an operator that changes nothing")
        client.rows("CREATE FUNCTION facts.twice(int) RETURNS int LANGUAGE plpgsql AS"
                    " $$BEGIN PERFORM facts.sets(); RETURN $1; END$$")
        client.rows("CREATE OPERATOR facts.!!!! (RIGHTARG = int, FUNCTION = facts.twice)")
        eventually(lambda: "operators, casts and types" in explain(client, "SELECT 1").get("may run", ()),
                   "an operator that may set something is told of")


@suite.check("an explanation by the extended protocol: parameters, formats, row by row")
def _():
    with stage.proxy(size=1) as proxy:
        client = stage.client(proxy)
        text = "EXPLAIN (HOWDAH) SELECT * FROM t WHERE a = $1 AND b = $2"
        client.send(parse("e", text, [23]) + describe("S", "e") + sync())
        heard = client.ready()
        equal([m.kind for m in heard], ["1", "t", "T", "Z"])
        equal(heard[1].body, b"\0\2\0\0\0\x17\0\0\0\x19")
        client.send(bind("p", "e", [b"1", b"x"]) + execute("p", 2) + execute("p", 3) + execute("p") + sync())
        heard = client.ready()
        kinds = "".join(m.kind for m in heard)
        true(kinds.startswith("2DDsDDDsD") and kinds.endswith("CZ"), kinds)
        simple_rows = client.rows(text)
        equal([data_row(m.body) for m in heard if m.kind == "D"], simple_rows)
        client.send(bind("p", "e", [b"1"]) + sync())
        equal([m.fields.get("C") for m in client.ready() if m.kind == "E"], ["08P01"])
        client.send(one("", "EXPLAIN (HOWDAH) SELEC 1") + sync())
        equal([m.fields.get("C") for m in client.ready() if m.kind == "E"], ["42601"])


@suite.check("what can't be explained is an error")
def _():
    with stage.proxy(size=1) as proxy:
        client = stage.client(proxy)
        text = "EXPLAIN (HOWDAH) SELECT 1 FROMM t x"
        wanted = stage.direct().query("EXPLAIN SELECT 1 FROMM t x").errors[0]
        got = client.query(text).errors[0]
        equal((got["C"], got["M"]), (wanted["C"], wanted["M"]))
        equal(int(got["P"]) - len("(HOWDAH) "), int(wanted["P"]))
        equal(client.query("EXPLAIN (HOWDAH, ANALYZE) SELECT 1").sqlstate, "22023")
        equal(client.query("EXPLAIN (HOWDAH off) SELECT 1").sqlstate, "22023")
        equal(error_of(client.query("EXPLAIN (HOWDAH) SELECT 1 /* howdah: x=1 */"))["C"], "42601")
        equal(client.query("EXPLAIN (COSTS off) SELECT 1").rows, [("Result",)])


@suite.check("an explanation waits for what was sent before it, and keeps a transaction's status")
def _():
    with stage.proxy(size=1) as proxy:
        client = stage.client(proxy)
        client.send(query("BEGIN") + query("SELECT 1") + query("EXPLAIN (HOWDAH) SELECT 2") + query("SELECT 3"))
        heard = client.ready(4)
        tags = [m.body[:-1].decode() for m in heard if m.kind == "C"]
        equal(tags, ["BEGIN", "SELECT 1", "EXPLAIN", "SELECT 1"])
        equal([m.body for m in heard if m.kind == "Z"], [b"T"] * 4)


def command(*words):
    return subprocess.run(
        [os.environ["HOWDAH_BIN"], *words], capture_output=True, text=True, timeout=20, check=False
    )


@suite.check("howdah --explain prints the same rows without a connection")
def _():
    with stage.proxy(size=1) as proxy:
        rows = stage.client(proxy).rows("EXPLAIN (HOWDAH) SELECT * FROM t WHERE a = 1")
        dsn = "app=postgres://127.0.0.1:1/app"
        done = command("--database", dsn, "--explain", "app", "SELECT * FROM t WHERE a = 1")
        equal((done.returncode, done.stderr), (0, ""))
        for row in rows:
            for text in row[: 2 if row[0] == "catalog" else 3]:  # why differs: no server is asked
                true(text in done.stdout, f"{text!r} is in it: {done.stdout}")
        done = command("--database", dsn, "--explain", "app", "SELEC 1")
        equal(done.returncode, 1)
        true('syntax error at or near "SELEC"' in done.stderr, done.stderr)
        done = command("--database", dsn, "--explain", "nosuch", "SELECT 1")
        equal(done.returncode, 2)
        equal(command("--database", dsn, "--explain", "app").returncode, 2)


@suite.check("nothing of this ever reached the server")
def _():
    log = stage.cluster.log
    true("myapp.route" in log, "the log has statements")
    lines = [line for line in log.splitlines() if "howdah." in line.lower() or "(howdah" in line.lower()]
    equal(lines, [])


if __name__ == "__main__":
    suite.main()
