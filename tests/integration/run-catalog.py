#!/usr/bin/env python3
"""Catalog facts: what a function, view, trigger or default does is known before it runs.

Where facts say that a statement leaves the session as it was, the server is asked nothing behind
it; where they don't, what was set is captured, and no other client sees it. Questions are counted
in the server's own log.
"""

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, eventually, true  # noqa: E402
from howdah import Howdah  # noqa: E402
from stage import Stage  # noqa: E402

suite = Suite("catalog", check_limit_s=120)
stage = Stage(suite, options={"log_statement": "all"})

BIN = os.environ.get("HOWDAH_BIN", "build/daemon/howdah")
FACTS_OF = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(BIN))), "tests/sql/facts-of")
QUESTION = "FROM pg_catalog.pg_settings WHERE source"

SCHEMA = """
    DROP SCHEMA IF EXISTS facts CASCADE; CREATE SCHEMA facts; SET search_path = facts;
    CREATE TABLE plain (a int PRIMARY KEY, b text);
    INSERT INTO plain SELECT n, 'b' FROM generate_series(1, 9) n;

    CREATE FUNCTION pure(a int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT a + 1';
    CREATE FUNCTION looks(x int) RETURNS text LANGUAGE plpgsql STABLE AS
        $$BEGIN RETURN (SELECT b FROM facts.plain WHERE plain.a = x); END$$;
    CREATE FUNCTION writes(x int) RETURNS void LANGUAGE plpgsql AS $$BEGIN
        INSERT INTO facts.plain VALUES (x, 'n') ON CONFLICT (a) DO UPDATE SET b = 'y';
        UPDATE facts.plain AS p SET b = 'z' WHERE p.a = x; END$$;
    CREATE FUNCTION path() RETURNS int LANGUAGE sql STABLE SET search_path = '' AS 'SELECT 1';
    CREATE PROCEDURE quiet() LANGUAGE plpgsql AS $$BEGIN PERFORM facts.pure(1); END$$;
    CREATE VIEW reads AS SELECT a, b, pure(a) FROM plain;

    CREATE FUNCTION sets(v text) RETURNS text LANGUAGE sql AS $$SELECT set_config('app.tenant', v, false)$$;
    CREATE FUNCTION calls_sets(v text) RETURNS text LANGUAGE plpgsql AS $$BEGIN RETURN facts.sets(v); END$$;
    CREATE FUNCTION runs(t text) RETURNS void LANGUAGE plpgsql AS $$BEGIN EXECUTE t; END$$;
    CREATE FUNCTION set_work_mem() RETURNS void LANGUAGE plpgsql AS $$BEGIN SET work_mem = '7MB'; END$$;
    CREATE FUNCTION own_custom() RETURNS int LANGUAGE sql SET app.own = 'x' AS 'SELECT 1';
    CREATE FUNCTION locks() RETURNS void LANGUAGE plpgsql AS $$BEGIN PERFORM pg_advisory_lock(4713); END$$;
    CREATE FUNCTION unlocks() RETURNS bool LANGUAGE sql AS 'SELECT pg_advisory_unlock(4713)';
    CREATE FUNCTION atomic() RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT facts.sets('atomic'); END;
    CREATE VIEW view_sets AS SELECT calls_sets('view') AS v;
    CREATE VIEW view_of_view AS SELECT * FROM view_sets;
    CREATE VIEW view_writes AS SELECT txid_current() AS t;

    CREATE FUNCTION fires() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN PERFORM facts.calls_sets('trigger'); RETURN coalesce(new, old); END$$;
    CREATE TABLE triggered (a int);
    CREATE TRIGGER t BEFORE INSERT ON triggered FOR EACH ROW EXECUTE FUNCTION fires();
    CREATE TABLE defaulted (a int, b text DEFAULT sets('default'));
    CREATE TABLE checked (a int CHECK (sets('check') = 'check'));
    CREATE TABLE parent (a int PRIMARY KEY);
    CREATE TABLE child (a int REFERENCES parent ON DELETE CASCADE);
    CREATE TRIGGER t BEFORE DELETE ON child FOR EACH ROW EXECUTE FUNCTION fires();
    INSERT INTO parent SELECT generate_series(1, 99); INSERT INTO child SELECT generate_series(1, 99);
    CREATE TABLE whole (a int) PARTITION BY RANGE (a);
    CREATE TABLE part PARTITION OF whole FOR VALUES FROM (0) TO (10);
    CREATE TRIGGER t BEFORE INSERT ON part FOR EACH ROW EXECUTE FUNCTION fires();
    CREATE TABLE guarded (a int); INSERT INTO guarded VALUES (1);
    CREATE RULE r AS ON UPDATE TO guarded DO ALSO SELECT sets('rule');
    CREATE TYPE mood AS (m int);
    CREATE FUNCTION same(mood, mood) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT ($1).m = ($2).m';
    CREATE OPERATOR === (LEFTARG = mood, RIGHTARG = mood, FUNCTION = same);
"""

HARMLESS = (
    "SELECT 1", "SELECT facts.pure(1)", "SELECT facts.looks(1)", "SELECT facts.writes(1)", "SELECT facts.path()",
    "SELECT count(*) FROM facts.reads", "INSERT INTO facts.plain VALUES (99, 'x')",
    "DELETE FROM facts.plain WHERE a = 99",
    "SELECT * FROM facts.triggered", "SELECT * FROM facts.parent LIMIT 1", "WITH child AS (SELECT 1) TABLE child",
    "SELECT ROW(1)::facts.mood OPERATOR(facts.===) ROW(1)::facts.mood", "SELECT relname FROM pg_class LIMIT 1",
    "SELECT table_name FROM information_schema.tables LIMIT 1",
)

# A statement, and what it sets.
SUSPECT = (
    ("SELECT facts.sets('call')", "app.tenant", "call"),
    ("SELECT facts.calls_sets('deep')", "app.tenant", "deep"),
    ("SELECT * FROM facts.view_sets", "app.tenant", "view"),
    ("SELECT * FROM facts.view_of_view", "app.tenant", "view"),
    ("SELECT facts.atomic()", "app.tenant", "atomic"),
    ("INSERT INTO facts.triggered VALUES (1)", "app.tenant", "trigger"),
    ("INSERT INTO facts.defaulted (a) VALUES (1)", "app.tenant", "default"),
    ("INSERT INTO facts.checked VALUES (1)", "app.tenant", "check"),
    ("INSERT INTO facts.whole VALUES (1)", "app.tenant", "trigger"),
    ("UPDATE facts.guarded SET a = 2", "app.tenant", "rule"),
    ("DELETE FROM facts.parent WHERE a = (SELECT min(a) FROM facts.parent)", "app.tenant", "trigger"),
    ("SELECT facts.runs('SET work_mem = ''6MB''')", "work_mem", "6MB"),
    ("SELECT facts.set_work_mem()", "work_mem", "7MB"),
)

READS = ("SELECT facts.pure(1)", "SELECT facts.looks(1)", "SELECT * FROM facts.reads", "SELECT facts.path()",
         "SELECT * FROM facts.triggered", "SELECT 1")
NO_READS = ("SELECT facts.writes(1)", "SELECT * FROM facts.view_writes", "SELECT * FROM facts.view_of_view",
            "SELECT facts.locks()", "SELECT facts.unheard_of()", "SELECT * FROM facts.unheard_of",
            "SELECT facts.own_custom()")


def service(**more):
    return {"database": {"service": {"user": "postgres"}, **more}}


def question_count():
    return stage.cluster.log.count(QUESTION)


def asked(client, sql):
    """How many questions follow a statement. The next one on the only link comes behind them."""
    client.rows("SELECT 'marker'")
    before = question_count()
    client.rows(sql)
    client.rows("SELECT 'marker'")
    return question_count() - before


def known(client, sql="SELECT facts.pure(1)"):
    """Waits until facts are there, and believed."""
    eventually(lambda: asked(client, sql) == 0, f"no question behind {sql}")


def prepare_database():
    control = stage.direct()
    control.rows(SCHEMA)
    control.close()


@suite.check("behind harmless calls, views and writes the server is asked nothing")
def _():
    prepare_database()
    with stage.proxy(size=1, check_state=False, top=service()) as proxy:
        client = stage.client(proxy)
        known(client)
        equal([(sql, count) for sql in HARMLESS if (count := asked(client, sql))], [], "asked behind")
        before = question_count()
        client.prepared("SELECT facts.looks($1)", "1")
        client.prepared("SELECT facts.looks($1)", "2")
        client.rows("CALL facts.quiet()")
        client.rows("SELECT 1")
        equal(question_count() - before, 0, "asked behind prepared ones and a procedure")


@suite.check("what a call, view, trigger, default, check, rule, cascade or partition sets is captured")
def _():
    prepare_database()
    with stage.proxy(size=1, check_state=False, top=service()) as proxy:
        client, other = stage.client(proxy), stage.client(proxy)
        known(client)
        for sql, name, value in SUSPECT:
            equal(asked(client, sql) >= 1, True, f"asked behind {sql}")
            equal(other.scalar(f"SELECT current_setting('{name}', true) IS DISTINCT FROM '{value}'"), "t",
                  f"{sql}: another client's {name}")
            equal(client.scalar(f"SELECT current_setting('{name}', true)"), value, f"{sql}: its own {name}")
            client.rows("DISCARD ALL")


@suite.check("with pool.check_state on, a link never holds what facts did not say")
def _():
    prepare_database()
    with stage.proxy(size=1, top=service()) as proxy:
        clients = [stage.client(proxy) for _ in range(3)]
        for turn in range(3):
            for number, sql in enumerate([*HARMLESS, *(row[0] for row in SUSPECT)]):
                clients[(number + turn) % 3].rows(sql)  # XX000 where something strange is found
            time.sleep(0.5)  # in the first turn facts may not be there yet


@suite.check("a lock that a function takes pins, by what is known of the function")
def _():
    prepare_database()
    with stage.proxy(size=1, check_state=False, top=service()) as proxy:
        client = stage.client(proxy)
        known(client)
        client.rows("SELECT facts.locks()")
        client.rows("SELECT 1")
        equal([row["reason"] for row in proxy.admin("SHOW PINS")], ["ADVISORY"])
        client.rows("SELECT facts.unlocks()")
        client.rows("SELECT 1")
        equal(proxy.admin("SHOW PINS"), [], "pins")


@suite.check("DDL through the proxy: nothing is believed from its sending to the next load")
def _():
    prepare_database()
    with stage.proxy(size=2, check_state=False, top=service()) as proxy:
        client, other = stage.client(proxy), stage.client(proxy)
        known(client)
        # The function becomes one that sets; whoever calls it at once is asked about.
        client.rows("CREATE OR REPLACE FUNCTION facts.pure(a int) RETURNS int LANGUAGE sql AS"
                    " $$SELECT set_config('app.tenant', 'ddl', false); SELECT a$$")
        other.rows("SELECT facts.pure(1)")
        equal(other.scalar("SELECT current_setting('app.tenant', true)"), "ddl", "its own")
        equal(client.scalar("SELECT current_setting('app.tenant', true) IS DISTINCT FROM 'ddl'"), "t", "another's")
        # The same inside of a transaction, by the session that makes it.
        client.rows("BEGIN")
        client.rows("CREATE FUNCTION facts.fresh() RETURNS text LANGUAGE sql AS"
                    " $$SELECT set_config('app.tenant', 'fresh', false)$$")
        client.rows("SELECT facts.fresh()")
        client.rows("COMMIT")
        equal(client.scalar("SELECT current_setting('app.tenant', true)"), "fresh", "its own")
        known(other, "SELECT facts.looks(1)")
        client.rows("CREATE OR REPLACE FUNCTION facts.pure(a int) RETURNS int LANGUAGE sql AS 'SELECT a'")
        known(other, "SELECT facts.pure(2)")
        # A trigger on a table that had none.
        client.rows("CREATE TRIGGER t BEFORE INSERT ON facts.plain FOR EACH ROW EXECUTE FUNCTION facts.fires()")
        other.rows("INSERT INTO facts.plain VALUES (77)")
        equal(other.scalar("SELECT current_setting('app.tenant', true)"), "trigger", "its own, by the trigger")


@suite.check("DDL behind the proxy's back is seen by the next poll; idle databases are not polled")
def _():
    prepare_database()
    with stage.proxy(size=1, check_state=False, top=service()) as proxy:
        client = stage.client(proxy)
        known(client)
        stage.sql("CREATE OR REPLACE FUNCTION facts.looks(x int) RETURNS text LANGUAGE sql AS"
                  " $$SELECT set_config('app.tenant', 'behind', false)$$")
        eventually(lambda: asked(client, "SELECT facts.looks(1)") > 0, "the change is seen", 20)
        client.rows("DISCARD ALL")
        time.sleep(0.5)  # the last look may be under way
        logins = stage.cluster.log.count("howdah catalog")
        time.sleep(11)
        equal(stage.cluster.log.count("howdah catalog"), logins, "looks at an idle database")


@suite.check("without a login for the service functions are asked about, and the log says what to set")
def _():
    prepare_database()
    with stage.proxy(size=1, check_state=False) as proxy:
        client = stage.client(proxy)
        proxy.wait_for_log("databases.app.service.user")
        equal([asked(client, "SELECT facts.pure(1)") for _ in range(3)], [1, 1, 1], "questions")
        equal(asked(client, "SELECT * FROM facts.plain"), 0, "behind a table")


@suite.check("a login that is refused is told once, and is as none; the database works")
def _():
    prepare_database()
    with stage.proxy(size=1, check_state=False, top={"database": {"service": {"user": "nobody_at_all"}}}) as proxy:
        client = stage.client(proxy)
        client.rows("SELECT facts.pure(1)")
        proxy.wait_for_log("its catalog cannot be read")
        equal(asked(client, "SELECT facts.pure(1)"), 1, "behind a function")
        equal(asked(client, "SELECT * FROM facts.plain"), 0, "behind a table")
        equal(proxy.stderr.count("its catalog cannot be read"), 1, "times that it is told")


@suite.check("after a restart of the server facts are looked at again, and several workers share them")
def _():
    prepare_database()
    with stage.proxy(size=1, check_state=False, top={**service(), "workers": 2}) as proxy:
        clients = [stage.client(proxy) for _ in range(4)]
        for client in clients:
            known(client)
        stage.cluster.pause()
        stage.cluster.resume()
        stage.forget_control()
        stage.sql("SELECT 1")
        again = [stage.client(proxy) for _ in range(4)]
        for client in again:
            known(client)
        again[0].rows("CREATE OR REPLACE FUNCTION facts.pure(a int) RETURNS int LANGUAGE sql AS"
                      " $$SELECT set_config('app.tenant', 'two', false); SELECT a$$")
        for client in again:
            true(asked(client, "SELECT facts.pure(1)") > 0, "asked at once, at every worker")


@suite.check("reads are told from writes through functions and views, by the same facts")
def _():
    prepare_database()
    texts = [*READS, *NO_READS]
    done = subprocess.run([FACTS_OF, str(stage.cluster.port), "postgres", "app"], input="\0".join(texts) + "\0",
                          capture_output=True, text=True, check=True)
    said = [line.split()[0] for line in done.stdout.splitlines()]
    equal(said, ["read"] * len(READS) + ["write"] * len(NO_READS), "classes")


@suite.check("a large catalog is loaded, one over the limit is not, and is told")
def _():
    prepare_database()
    stage.sql("CREATE DATABASE large")
    control = stage.direct(database="large")
    control.rows("CREATE SCHEMA facts; CREATE FUNCTION facts.pure(a int) RETURNS int LANGUAGE sql IMMUTABLE AS"
                 " 'SELECT a'; CREATE FUNCTION f0() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    for first in range(0, 4000, 500):
        control.rows(f"DO $do$ BEGIN FOR i IN {first}..{first + 499} LOOP EXECUTE format("
                     "'CREATE VIEW v%s AS SELECT facts.pure(%s) AS a; CREATE FUNCTION f%s() RETURNS int"
                     " LANGUAGE sql AS $$SELECT f%s()$$', i, i, i + 1, i); END LOOP; END $do$")
    control.rows("CREATE OR REPLACE FUNCTION f0() RETURNS int LANGUAGE sql AS"
                 " $$SELECT set_config('app.tenant', 'far', false); SELECT 1$$")
    config = stage.config(size=1, check_state=False)
    config["databases"] = {"large": {"primary": f"postgres://127.0.0.1:{stage.cluster.port}/large",
                                     "service": {"user": "postgres"}, "pool": {"size": 1}}}
    config["log"] = {"level": "debug"}
    with Howdah(config=config) as proxy:
        client = stage.client(proxy, database="large")
        known(client)
        true(asked(client, "SELECT f100()") > 0, "what is reached over 100 calls")
        equal(asked(client, "SELECT * FROM v7"), 0, "behind a view")
        lines = [line for line in proxy.stderr.splitlines() if "relations loaded in" in line]
        true(lines, "the load is logged")
        print(f"# {lines[-1]}", flush=True)
    control.rows("DO $do$ BEGIN FOR i IN 1..1100 LOOP EXECUTE format('CREATE FUNCTION g%s() RETURNS int LANGUAGE"
                 " sql AS %L', i, '/*' || repeat('x', 65000) || '*/ SELECT 1'); END LOOP; END $do$")
    with Howdah(config=config) as proxy:
        client = stage.client(proxy, database="large")
        client.rows("SELECT facts.pure(1)")
        proxy.wait_for_log("its catalog cannot be read")
        equal(asked(client, "SELECT facts.pure(1)"), 1, "behind a function")
    control.close()
    stage.sql("DROP DATABASE large WITH (FORCE)")


if __name__ == "__main__":
    suite.main()
