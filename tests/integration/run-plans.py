#!/usr/bin/env python3
"""Plans against a real server: what is called a read must write nothing and leave nothing behind.

The oracle: each statement that plan-of (tests/sql/plan_of.c) calls a read, or facts-of by the
server's catalog (tests/sql/facts_of.c), is run in a read-only transaction. There it must not be
refused (25006), have got a transaction id, taken an advisory lock, listened, opened a cursor,
prepared a statement, or changed a setting.

    HOWDAH_PLAN_SEED    of the grammar's statements (1)
    HOWDAH_PLAN_COUNT   how many of them (2000)
    HOWDAH_PLAN_ALL=1   the longest of the regression tests, too
"""

import glob
import os
import random
import re
import resource
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", "lib"), os.path.join(ROOT, "tests", "suites")]
import pgsource  # noqa: E402
import psqlscript  # noqa: E402
from check import Failed, Skip, Suite, equal, true  # noqa: E402
from howdah import Howdah  # noqa: E402
from pgcluster import Cluster  # noqa: E402
from wire import Result, Wire, copy_data, copy_done, query  # noqa: E402

suite = Suite("plans", check_limit_s=1500 if os.environ.get("HOWDAH_PLAN_ALL") else 400)
BIN = os.environ.get("HOWDAH_BIN", os.path.join(ROOT, "build/daemon/howdah"))
PLAN_OF = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(BIN))), "tests/sql/plan-of")
FACTS_OF = os.path.join(os.path.dirname(PLAN_OF), "facts-of")
SHORT = bool(os.environ.get("HOWDAH_SHORT"))
SEED = int(os.environ.get("HOWDAH_PLAN_SEED", "1"))
COUNT = int(os.environ.get("HOWDAH_PLAN_COUNT", "500" if SHORT else "2000"))

# A third of the time, and mostly writes: only with HOWDAH_PLAN_ALL=1.
LONG_TESTS = set("""alter_table btree_index create_index foreign_key gin gist incremental_sort indexing inherit
    join_hash partition_join partition_prune rules select_parallel stats_ext triggers truncate tuplesort
    updatable_views vacuum xml""".split())

# What a session holds that a read must not have changed. The settings are those that a session
# may change, but for those of the transaction that this very check sets.
MARKS = """SELECT pg_current_xact_id_if_assigned(),
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
    (SELECT count(*) FROM pg_listening_channels()), (SELECT count(*) FROM pg_cursors),
    (SELECT count(*) FROM pg_prepared_statements), pg_my_temp_schema(), session_user, current_user"""
SETTINGS = """SELECT md5(string_agg(name || '=' || setting, ',' ORDER BY name)) FROM pg_settings
    WHERE source <> 'default' AND name NOT LIKE 'transaction_%'"""


# What a session holds between transactions, and the touches (router/plan.h) that may change each.
HOLDINGS = {
    "advisory locks": ("(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())",
                       "ADVISORY DISCARD"),
    "listens": ("(SELECT count(*) FROM pg_listening_channels())", "LISTEN DISCARD"),
    "cursors": ("(SELECT count(*) FROM pg_cursors WHERE is_holdable)", "HOLD CURSOR DISCARD"),
    "prepared statements": ("(SELECT count(*) FROM pg_prepared_statements)", "PREPARE DEALLOCATE DISCARD"),
    "temporary relations": ("(SELECT count(*) > 0 FROM pg_class WHERE relnamespace = pg_my_temp_schema())",
                            "TEMP DISCARD"),
    "settings": ("(SELECT string_agg(name || '=' || setting, ',') FROM pg_settings WHERE source = 'session'"
                 " AND name NOT LIKE 'transaction_%')",
                 "SETTINGS RESET DISCARD"),
    "role": ("current_setting('role') || session_user", "SETTINGS RESET DISCARD"),
}
HOLDINGS_SQL = "SELECT " + ", ".join(sql for sql, _ in HOLDINGS.values())
ANYTHING = {"UNKNOWN", "EXECUTE", "OPAQUE"}


def plans(statements):
    """What plan-of says of each statement."""
    text = b"".join(s.encode("utf-8", "surrogateescape") + b"\0" for s in statements)
    if not os.path.exists(PLAN_OF):
        raise Failed(f"{PLAN_OF} is not built")
    done = subprocess.run([PLAN_OF], input=text, stdout=subprocess.PIPE, check=True)
    lines = done.stdout.decode("utf-8", "replace").split("\n")[:-1]
    equal(len(lines), len(statements), "lines of plan-of")
    return lines


class Oracle:
    """One connection to the server itself."""

    def __init__(self, port, more_marks=False):
        self.marks = MARKS + (f", ({SETTINGS})" if more_marks else "")
        self.port = port
        self.ran = 0  # reads that the server ran to their end
        self.wire = None
        self.connect()

    def connect(self):
        self.wire = Wire(self.port, timeout_s=60)
        self.wire.login("postgres", "postgres")
        self.wire.query("SET statement_timeout = '10s'; SET client_min_messages = error")
        self.status = "I"
        self.touches = set()  # since the last look between transactions
        self.held = self.wire.rows(HOLDINGS_SQL)[0]

    def pipeline(self, *texts):
        """Simple queries sent at once; their results."""
        self.wire.send(*(query(text) for text in texts))
        results = [Result(self.wire.ready()) for _ in texts]
        self.status = results[-1].status
        return results

    def run(self, sql, data):
        """Runs a statement for what it leaves to those behind it; returns its SQLSTATE."""
        more = [copy_data(data.encode("utf-8", "surrogateescape")), copy_done()] if "copy" in sql[:200].lower() else []
        self.wire.send(query(sql), *more)
        result = Result(self.wire.ready())
        self.status = result.status
        return result.sqlstate

    def wrong_read(self, sql):
        """Why this is no read; None if it may be one."""
        if self.status == "E":
            return None
        begin, end = ("BEGIN READ ONLY", "ROLLBACK") if self.status == "I" else (
            "SAVEPOINT howdah_oracle; SET LOCAL transaction_read_only = on",
            "ROLLBACK TO howdah_oracle; RELEASE howdah_oracle")
        started, before, result, after, _ = self.pipeline(begin, self.marks, sql, self.marks, end)
        if result.sqlstate == "25006":
            return f"25006 {result.errors[0]['M']}"
        self.ran += not result.errors
        if not (started.errors or result.errors) and before.rows != after.rows:
            return f"{before.rows} became {after.rows}"
        return None


    def wrong_touches(self, plan):
        """What has changed between transactions though no plan since the last look said so."""
        self.touches |= set(plan.split())
        if self.status != "I":
            return None
        held, touches = self.wire.rows(HOLDINGS_SQL)[0], self.touches
        changed = [name for name, before, now in zip(HOLDINGS, self.held, held) if before != now]
        self.held, self.touches = held, set()
        wrong = [name for name in changed if not touches & (ANYTHING | set(HOLDINGS[name][1].split()))
                 and not (name == "temporary relations" and now_gone(held, name))]
        return f"{wrong} changed, the plan is {plan}" if wrong else None


def now_gone(held, name):
    """DROP TABLE needn't say that its table is a temporary one."""
    return held[list(HOLDINGS).index(name)] == "f"


def prototypes():
    """The functions that our headers declare, by the name that the linker knows."""
    for path in glob.glob(f"{ROOT}/*/*.h"):
        if os.path.relpath(path, ROOT).split("/")[0] in ("tests", "build"):
            continue
        with open(path, encoding="utf-8") as file:
            text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
        for match in re.finditer(r"^(?!static|typedef)\w[\w *]*?\b(\w+)\(([^;{]*);", text, re.M):
            if "__asm__" not in match[2]:
                yield match[1], os.path.relpath(path, ROOT)


@suite.check("no function of ours has a name that libpg_query exports")
def _():
    linked = subprocess.run(["ldd", PLAN_OF], capture_output=True, text=True, check=True).stdout
    library = re.search(r"libpg_query\S* => (\S+)", linked)
    true(library, "plan-of is linked to libpg_query")
    names = subprocess.run(["nm", "-D", "--defined-only", library[1]], capture_output=True, text=True,
                           check=True).stdout
    exported = {line.split()[-1] for line in names.splitlines()}
    true({"hash_bytes", "pg_query_parse"} <= exported, "nm shows the library's names")
    ours = list(prototypes())
    true(len(ours) > 300, f"only {len(ours)} prototypes were found")
    equal([row for row in ours if row[0] in exported], [], "names that clash")


@suite.check("a stack that is too small is raised, or refused")
def _():
    if os.environ.get("HOWDAH_SANITIZER"):
        raise Skip("a sanitizer needs more stack than this check leaves it")

    def limit(soft, hard):
        return lambda: resource.setrlimit(resource.RLIMIT_STACK, (soft, hard))

    small = 512 * 1024
    done = subprocess.run([BIN, "--version"], preexec_fn=limit(small, resource.RLIM_INFINITY),
                          capture_output=True, text=True, check=False)
    equal((done.returncode, done.stderr), (0, ""), "with a small soft limit")
    done = subprocess.run([BIN, "--version"], preexec_fn=limit(small, small), capture_output=True,
                          text=True, check=False)
    equal(done.returncode, 1, "with a small hard limit")
    true("ulimit -s" in done.stderr, done.stderr)


# Statements that are reads of a view that writes: what a parse tree can't show (router/classify.h).
VIEWS_THAT_WRITE = {"my_locks"}

# What has views, functions and triggers, and makes no types or operators in C: of a database with
# those everything may run them. The first makes the tables of all.
FACTS_TESTS = """test_setup create_view create_function_sql create_procedure select select_into aggregates copy2
    domain rules triggers updatable_views rowsecurity plpgsql rangefuncs sequence returning with namespace
    matview alter_table select_views portals guc advisory_lock""".split()
FACTS_LONG = {"rules", "triggers", "updatable_views", "alter_table", "plpgsql", "rowsecurity"}


def reads_views_that_write(sql):
    return bool(VIEWS_THAT_WRITE & set(re.findall(r"\w+", sql)))


class Facts:
    """Plans by the facts of a cluster's catalog, which are loaded anew after what may change them."""

    def __init__(self, port):
        self.process = subprocess.Popen([FACTS_OF, str(port), "postgres", "postgres"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.old = True

    def plan(self, sql):
        texts = ["", sql] if self.old else [sql]
        self.old = False
        for text in texts:
            self.process.stdin.write(text.encode("utf-8", "surrogateescape") + b"\0")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        return line.decode("utf-8", "replace").rstrip("\n")

    def by_catalog(self, sql, plan, status):
        """The plan by what others see of the catalog; behind DDL in a transaction what it names may be anything."""
        if plan.split()[0] not in ("read", "write", "copy"):
            self.old |= plan.startswith(("ddl", "utility", "opaque"))
            return plan
        if status != "I" and self.old:
            return "write UNKNOWN" if plan == "read" else plan
        return self.plan(sql)

    def end(self):
        self.process.communicate()
        equal(self.process.returncode, 0, "facts-of ends with")


def wrong_opaque(sql, sqlstate):
    """Why a statement should have been understood: the grammar raises these, psql takes :x."""
    return None if sqlstate in ("42601", "0A000", "22023") or ":" in sql else f"opaque, but its SQLSTATE is {sqlstate}"


def scheduled(source):
    """The regression tests in their order."""
    with open(f"{source.regress}/parallel_schedule", encoding="utf-8") as file:
        return [name for line in file if line.startswith("test:") for name in line.split()[1:]]


def regression_plans(source, tests, by_facts=False):
    """Runs tests; yields (test, statement, plan, what is wrong)."""
    with Cluster(options={"fsync": "off", "autovacuum": "off"}) as cluster:
        for name in tests:
            with open(f"{source.regress}/sql/{name}.sql", encoding="utf-8", errors="surrogateescape") as file:
                script = list(psqlscript.statements(file.read()))
            oracle, facts = Oracle(cluster.port), Facts(cluster.port) if by_facts else None
            started = time.monotonic()
            for (sql, data), plan in zip(script, plans([sql for sql, _ in script])):
                try:
                    plan = facts.by_catalog(sql, plan, oracle.status) if facts else plan
                    if plan == "read":
                        yield name, sql, plan, oracle.wrong_read(sql)
                        continue
                    sqlstate = oracle.run(sql, data)
                    if plan.startswith("opaque"):
                        yield name, sql, plan, wrong_opaque(sql, sqlstate)
                    yield name, sql, plan, oracle.wrong_touches(plan)
                except OSError as error:
                    raise Failed(f"{name}: {sql[:200]}: {error}") from error
            oracle.wire.terminate()
            if facts:
                facts.end()
            if os.environ.get("HOWDAH_PLAN_TIMES"):
                print(f"# {name} {time.monotonic() - started:.2f} s, {len(script)} statements", flush=True)


@suite.check("regression SQL: reads don't write, touches are told, opaque is what the server can't parse")
def _():
    try:
        source = pgsource.get()
    except pgsource.Missing as error:
        raise Skip(f"PostgreSQL's source cannot be had: {error}") from error
    tests = [name for name in scheduled(source) if name not in LONG_TESTS or os.environ.get("HOWDAH_PLAN_ALL")]
    rows = [row for row in regression_plans(source, tests[:20] if SHORT else tests)
            if not reads_views_that_write(row[1])]
    none_is_wrong(rows, 500 if SHORT else 5000)


@suite.check("regression SQL by the facts of the catalog: no read writes, through functions and views neither")
def _():
    try:
        source = pgsource.get()
    except pgsource.Missing as error:
        raise Skip(f"PostgreSQL's source cannot be had: {error}") from error
    tests = [name for name in scheduled(source) if name in FACTS_TESTS
             and (name not in FACTS_LONG or os.environ.get("HOWDAH_PLAN_ALL"))]
    none_is_wrong(list(regression_plans(source, tests, by_facts=True)), 500)


def none_is_wrong(rows, reads_min):
    reads = sum(plan.startswith("read") for _, _, plan, _ in rows)
    true(reads > reads_min, f"only {reads} reads")
    wrong = [row for row in rows if row[3]]
    for row in wrong:
        print("#", *row, sep=" | ")
    equal(len(wrong), 0, f"wrong plans, {wrong[:1]}; all")


# A literal for an argument of each type, so that as many functions as possible can be called.
ARGUMENTS = {
    "oid": "1259::oid", "regclass": "'marks'::regclass", "text": "'marks'::text", "name": "'marks'::name",
    "bool": "true", "int2": "1::int2", "int4": "1", "int8": "1::int8", "float4": "0.5::float4",
    "float8": "0.5::float8", "numeric": "0.5", "bytea": "'a'::bytea", "json": "'{\"a\": 1}'::json",
    "jsonb": "'{\"a\": 1}'::jsonb", "timestamptz": "now()", "timestamp": "now()::timestamp",
    "date": "current_date", "interval": "interval '1s'", "regtype": "'int4'::regtype", "xid": "'3'::xid",
    "xid8": "'3'::xid8", "pg_lsn": "'0/0'::pg_lsn", "inet": "'127.0.0.1'::inet", "_text": "'{a}'::text[]",
    "refcursor": "'c'::refcursor", "regproc": "'now'::regproc", "tsvector": "'a'::tsvector",
    "tsquery": "'a'::tsquery", "xml": "'<a/>'::xml", "char": "'r'::\"char\"", "anyelement": "1",
    "anyarray": "array[1]", "any": "1", "record": "row(1)", "regrole": "'postgres'::regrole",
}
# They would wait for a day, or read what this machine need not have.
UNCALLED = "pg_sleep pg_sleep_for pg_sleep_until pg_promote".split()


@suite.check("PostgreSQL's own functions: those called reads write nothing")
def _():
    with Cluster() as cluster:
        oracle = Oracle(cluster.port, more_marks=True)
        oracle.wire.query("CREATE TABLE marks (a int); CREATE SEQUENCE marks_a; SELECT nextval('marks_a')")
        rows = oracle.wire.rows(
            "SELECT proname, array_to_string(ARRAY(SELECT typname FROM unnest(proargtypes) WITH ORDINALITY o(i, n)"
            " JOIN pg_type t ON t.oid = i ORDER BY n), ' ') FROM pg_proc"
            " WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f' ORDER BY oid")
        calls = []
        for name, types in rows:
            arguments = [ARGUMENTS.get(of_type) for of_type in types.split()]
            if name not in UNCALLED and None not in arguments:
                calls.append(f'SELECT "{name}"({", ".join(arguments)})')
        said = plans(calls)
        reads = [call for call, plan in zip(calls, said) if plan == "read"]
        true(len(reads) > 1000, f"only {len(reads)} calls that are reads")
        true(len(calls) - len(reads) > 80, f"only {len(calls) - len(reads)} calls that are not")
        wrong = [(call, why) for call in reads if (why := oracle.wrong_read(call))]
        equal(wrong, [], "reads that change something")
        true(oracle.ran > len(reads) / 2, f"{oracle.ran} of {len(reads)} calls ran")


SETTINGS_SET = """
    SET search_path = a, "B c", "select", 'x y', ''; SET search_path = 'a, b'; SET search_path TO public, "$user"
    SET datestyle = iso, mdy; SET datestyle = 'SQL, DMY'; SET work_mem = 65; SET work_mem = '5MB'; SET work_mem = 1e3
    SET seq_page_cost = 1.50; SET seq_page_cost TO .5; SET lock_timeout = 0; SET lock_timeout = +7
    SET enable_seqscan = off; SET enable_seqscan = TRUE; SET enable_seqscan = '0'
    SET application_name = 'it''s'; SET application_name = E'a\\tb'
    SET application_name = Plain; SET application_name = "Quoted Name"; SET application_name = $$dollars$$
    SET TIME ZONE 'Europe/Rome'; SET TIME ZONE -7; SET TIME ZONE -7.5; SET TIME ZONE 3; SET TIME ZONE utc
    SET NAMES 'LATIN1'
    SET a.b = c; SET a.b = -12; SET a.b = - 3.50; SET a.b = ''; SET a."B" = 'x'; SET a.b = 'é'; SET a.b = on
    SET xmloption = content; SET XML OPTION DOCUMENT; SET extra_float_digits = -15; SET temp_tablespaces = ''
    SET bytea_output TO escape; SET role = none; SET ROLE "Odd Role"; SET ROLE postgres
    SET SESSION AUTHORIZATION "Odd Role"
    SELECT set_config('work_mem', '77kB', false); SELECT set_config('A.b', 'x''y', false)
    SELECT set_config('search_path', 'a, "B c"', false)"""


@suite.check("a plan's settings: set_config() with its name and value does what the statement does")
def _():
    texts = [text.strip() for text in re.split(r";|\n", SETTINGS_SET) if text.strip()]
    with Cluster() as cluster, Wire(cluster.port) as wire:
        wire.login("postgres", "postgres")
        wire.rows('CREATE ROLE "Odd Role" SUPERUSER; GRANT "Odd Role" TO postgres')
        for text, plan in zip(texts, plans(texts)):
            found = re.search(r"\| set (.*?)=(.*)", plan)
            true(found, f"{text}: {plan}")
            seen = []
            for act in (text, "SELECT set_config('{}', '{}', false)".format(*(
                    part.replace("'", "''") for part in found.groups()))):
                wire.query("RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; BEGIN")
                wire.rows(act)
                seen.append(wire.rows(f"SELECT current_setting('{found[1]}'), current_user, session_user"))
                wire.query("ROLLBACK; RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL")
            equal(seen[1], seen[0], f"{text}, then set_config by {plan}")


class Grammar:
    """Random statements over table t(a, b), sequence s, view v and function f() that writes."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def pick(self, *choices):
        choice = self.random.choice(choices)
        return choice() if callable(choice) else choice

    def maybe(self, part, chance=0.3):
        return f" {part()}" if self.random.random() < chance else ""

    def expression(self, depth=3):
        deeper = (lambda: self.expression(depth - 1)) if depth else (lambda: self.pick("a", "1", "b"))
        return self.pick(
            "a", "b", "1", "2.5", "'x'", "null", "t.a", "true",
            lambda: f"({deeper()} {self.pick('+', '-', '=', '<', '||', 'IS DISTINCT FROM')} {deeper()})",
            lambda: f"lower({deeper()}::text)", lambda: f"coalesce({deeper()}, {deeper()})",
            lambda: f"CASE WHEN {deeper()} IS NULL THEN {deeper()} ELSE {deeper()} END",
            lambda: f"({self.select(depth - 1)} LIMIT 1)" if depth else "1",
            lambda: f"EXISTS ({self.select(depth - 1)})" if depth else "true",
            lambda: f"{deeper()} IN ({deeper()}, {deeper()})",
            lambda: f"ARRAY[{deeper()}]::text", lambda: f"count(*) FILTER (WHERE {deeper()} IS NULL) OVER ()",
            lambda: self.pick(
                "now()", "random()", "nextval('s')", "f()", "pg_catalog.nextval('s')", "currval('s')",
                "pg_try_advisory_lock(1)", "set_config('a.b', 'c', false)", "set_config('work_mem', '1MB', true)",
                "txid_current()", "pg_notify('a', 'b')", "setval('s', 3)", "lo_create(0)", "pg_backend_pid()",
                "query_to_xml('select f()', true, false, '')", "current_setting('work_mem')", "s.nextval()",
                "setseed(0.1)", "pg_export_snapshot()", "\"nextval\"('s')", "NEXTVAL('s')", "U&\"n\\0065xtval\"('s')"),
        )

    def source(self, depth):
        return self.pick(
            "t", "ONLY t", "t AS t", "public.t", "t TABLESAMPLE system (50)",
            lambda: f"t JOIN LATERAL ({self.select(depth - 1)}) j ON true" if depth > 0 else "t",
            lambda: f"t, ({self.select(depth - 1)}) k" if depth > 0 else "t",
            lambda: "t, generate_series(1, 2) g", lambda: "t, nextval('s') n", lambda: "t, ROWS FROM (f()) n")

    def cte(self, depth):
        return self.pick(
            lambda: self.select(depth), "INSERT INTO t VALUES (9, 'z') RETURNING a", "VALUES (1)",
            "DELETE FROM t WHERE a = 9 RETURNING a", "UPDATE t SET b = b RETURNING a", "SELECT f() AS a")

    def select(self, depth=2):
        if depth > 0 and self.random.random() < 0.15:
            with_ = self.pick("WITH c(x) AS ({})", "WITH c(x) AS MATERIALIZED ({})")
            return f"{with_.format(self.cte(depth - 1))} {self.select(depth - 1)}"
        if depth > 0 and self.random.random() < 0.1:
            return f"SELECT a FROM t {self.pick('UNION', 'EXCEPT', 'INTERSECT ALL')} SELECT a FROM t"
        return (f"SELECT {self.expression(depth)}{self.maybe(lambda: ', ' + self.expression(depth))} "
                f"FROM {self.source(depth)}" + self.maybe(lambda: f"WHERE {self.expression(depth)} IS NOT NULL")
                + self.maybe(lambda: f"ORDER BY {self.expression(depth)}", 0.2)
                + self.maybe(lambda: "FOR " + self.pick("UPDATE", "SHARE", "KEY SHARE OF t"), 0.05))

    def statement(self):
        return self.pick(
            self.select, self.select, self.select, self.select,
            lambda: f"EXPLAIN {self.pick('', 'ANALYZE', '(COSTS off)')} {self.select()}",
            lambda: f"VALUES ({self.expression(1)})", "TABLE t",
            lambda: f"SELECT {self.expression(1)} INTO u FROM t", lambda: f"CREATE TABLE u AS {self.select()}",
            lambda: f"COPY ({self.select()}) TO STDOUT", lambda: f"DECLARE c CURSOR WITH HOLD FOR {self.select()}",
            lambda: f"PREPARE p AS {self.select()}", lambda: f"{self.select()}; {self.statement()}",
            lambda: f"/* {self.select()} */ {self.select()} -- {self.select()}")


@suite.check(f"what a grammar makes of seed {SEED}: no read writes")
def _():
    grammar = Grammar(SEED)
    texts = [grammar.statement() for _ in range(COUNT)]
    said = plans(texts)
    with Cluster() as cluster:
        oracle = Oracle(cluster.port, more_marks=True)
        oracle.wire.query("""CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x'), (2, 'y'); CREATE SEQUENCE s;
            CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$INSERT INTO t VALUES (7, 'f') RETURNING a$$""")
        reads = [text for text, plan in zip(texts, said) if plan.split()[0] == "read"]
        true(len(texts) / 10 < len(reads) < len(texts) * 0.9, f"{len(reads)} reads of {len(texts)}")
        wrong = [(text, why) for text in reads if (why := oracle.wrong_read(text))]
        equal(wrong, [], "wrong reads")
        true(oracle.ran > len(reads) / 2, f"{oracle.ran} of {len(reads)} reads ran")
        # The oracle itself can tell: of what is no read, much is refused.
        others = [text for text, plan in zip(texts, said) if plan.split()[0] == "write"][:200]
        true(sum(bool(oracle.wrong_read(text)) for text in others) > len(others) / 10, "the oracle sees writes")


if __name__ == "__main__":
    suite.main()
