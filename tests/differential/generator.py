"""Makes scripts from a seed: the grammar of what clients do to a session.

Each production belongs to a class (CLASSES); a script uses some of the classes that are switched
on, so that some scripts mix much and others go deep. The same seed and classes give the same
script. What a script says must be answered the same by any two servers in the same state, so there
is nothing here about pids, clocks, sizes or chance, and whatever has no order has an ORDER BY.
"""

import random
import re

CLASSES = {
    "query": "plain queries, reads and writes of a table",
    "error": "errors of any kind, and queries with nothing in them",
    "multi": "several statements in a query",
    "transaction": "BEGIN to COMMIT, chains, read-only transactions, locks of a transaction",
    "savepoint": "SAVEPOINT, ROLLBACK TO, RELEASE",
    "twophase": "PREPARE TRANSACTION, COMMIT PREPARED",
    "extended": "prepared statements of the protocol",
    "pipeline": "many messages between two Syncs, Flush, errors in between",
    "portal": "portals of a transaction, read in parts",
    "sql_prepare": "PREPARE, EXECUTE, DEALLOCATE",
    "plan": "a table changed under a prepared statement",
    "reported": "settings that the server reports: DateStyle, TimeZone ...",
    "setting": "settings that it does not report: search_path, work_mem ...",
    "custom": "settings with a dot in their name",
    "local": "SET LOCAL",
    "set_config": "set_config, of the session or the transaction",
    "function": "functions and DO blocks that set something",
    "characteristics": "SET SESSION CHARACTERISTICS, SET TRANSACTION",
    "role": "SET ROLE, SET SESSION AUTHORIZATION",
    "discard": "DISCARD of each kind",
    "cursor": "DECLARE, FETCH, MOVE, CLOSE in a transaction",
    "hold": "cursors WITH HOLD",
    "copy": "COPY in and out, also failing",
    "listen": "LISTEN, NOTIFY, UNLISTEN",
    "temp": "temporary tables",
    "lock": "advisory locks of the session",
    "sequence": "nextval, currval, lastval",
    "startup": "parameters and options of the startup packet",
    "call": "FunctionCall",
    "notice": "notices and warnings",
}

# What is not expected to agree, or not yet: only where --plus asks for it.
EXTRA_CLASSES = {
    "catalog": "pg_prepared_statements and the like, by name",
    "pg_temp": "names in pg_temp: that schema stays, empty, where a temporary table once was",
    "seed": "setseed() and random()",
    "load": "LOAD",
}

SETUP = """
CREATE TABLE kv (k int PRIMARY KEY, v text);
CREATE TABLE types (id int PRIMARY KEY, d timestamptz, f float8, b bytea, i interval, n numeric);
INSERT INTO types VALUES (1, '2024-02-29 12:34:56+00', 1.1::float8 / 3, '\\x00ff41', '1 year 2 days 03:04:05', 1.50),
    (2, '1999-12-31 23:59:59.5+00', 1e300, 'abc', '-1 hour', -7);
CREATE TABLE alt (a int, b int);
INSERT INTO alt VALUES (1, 2), (3, 4);
CREATE TABLE owned (who text, what text);
INSERT INTO owned VALUES ('one', 'first'), ('two', 'second'), ('', 'nobody');
ALTER TABLE owned ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON owned USING (who = current_setting('app.tenant', true));
CREATE TABLE secret (a int);
INSERT INTO secret VALUES (42);
CREATE TABLE late (a int UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE SEQUENCE s1;
CREATE SEQUENCE s2 START 100 INCREMENT 10;
CREATE SEQUENCE other_seq;
CREATE SCHEMA other;
CREATE TABLE other.kv (k int PRIMARY KEY, v text);
INSERT INTO other.kv VALUES (1, 'other one'), (2, 'other two');
CREATE FUNCTION other.where_am_i() RETURNS text LANGUAGE sql AS 'SELECT ''other''::text';
CREATE FUNCTION where_am_i() RETURNS text LANGUAGE sql AS 'SELECT ''public''::text';
CREATE FUNCTION f_set(name text, value text) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN RETURN set_config(name, value, false); END $$;
CREATE FUNCTION f_set_local(name text, value text) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN RETURN set_config(name, value, true); END $$;
CREATE FUNCTION f_sql(value text) RETURNS text LANGUAGE sql AS
    $$ SELECT set_config('work_mem', value, false) $$;
CREATE FUNCTION f_path() RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN SET search_path = other, public; END $$;
CREATE FUNCTION f_execute(what text) RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN EXECUTE what; END $$;
CREATE FUNCTION f_config() RETURNS text LANGUAGE plpgsql SET work_mem = '7MB' AS
    $$ BEGIN RETURN current_setting('work_mem'); END $$;
CREATE FUNCTION f_config_inside() RETURNS text LANGUAGE plpgsql SET work_mem = '7MB' AS
    $$ BEGIN PERFORM set_config('work_mem', '8MB', false); RETURN current_setting('work_mem'); END $$;
CREATE FUNCTION f_caught(name text, value text) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN PERFORM set_config(name, value, false); RAISE 'no'; EXCEPTION WHEN raise_exception THEN
       RETURN current_setting(name, true); END $$;
CREATE FUNCTION f_notice(what text) RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN RAISE NOTICE 'said: %', what; RAISE WARNING 'warned'; RETURN 1; END $$;
CREATE FUNCTION f_fail() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'failed inside'; END $$;
CREATE FUNCTION f_definer() RETURNS text LANGUAGE sql SECURITY DEFINER AS
    $$ SELECT current_user::text || ' ' || session_user::text $$;
CREATE PROCEDURE p_set(value text) LANGUAGE plpgsql AS
    $$ BEGIN PERFORM set_config('work_mem', value, false); COMMIT;
       PERFORM set_config('lock_timeout', '33s', false); ROLLBACK; END $$;
GRANT USAGE, CREATE ON SCHEMA other, public TO PUBLIC;
GRANT ALL ON kv, types, owned, late, other.kv TO r1, plain;
GRANT SELECT ON kv, types TO r2;
GRANT ALL ON alt TO PUBLIC;
GRANT ALL ON SEQUENCE s1, s2, other_seq TO PUBLIC;
ALTER TABLE alt OWNER TO r1;
"""

ROLES = """
CREATE ROLE super SUPERUSER LOGIN; CREATE ROLE plain LOGIN; CREATE ROLE r1 LOGIN; CREATE ROLE r2 NOLOGIN;
GRANT r1, r2 TO plain; ALTER ROLE plain SET work_mem = '5MB'; ALTER ROLE r1 SET work_mem = '6MB'
"""

# What a script may have changed, by the class that may have done it.
RESET = {
    "": "DROP TABLE IF EXISTS made; DELETE FROM late;"
    " DELETE FROM kv; INSERT INTO kv VALUES (1, 'one'), (2, 'two'), (3, NULL)",
    "sequence": "SELECT setval('s1', 1, false), setval('s2', 100, false)",
    "plan": "DROP TABLE alt; CREATE TABLE alt (a int, b int); INSERT INTO alt VALUES (1, 2), (3, 4);"
    " GRANT ALL ON alt TO PUBLIC; ALTER TABLE alt OWNER TO r1",
}

REPORTED = {
    "DateStyle": ["ISO", "'ISO, DMY'", "SQL, MDY", "German", "'Postgres, DMY'", "bogus", "'YMD'", "DEFAULT"],
    "TimeZone": [
        "UTC",
        "'Europe/Berlin'",
        "'America/New_York'",
        "'PST8PDT'",
        "5",
        "-3.5",
        "'Nowhere/Bad'",
        "DEFAULT",
        "INTERVAL '+02:30' HOUR TO MINUTE",
        "LOCAL",
    ],
    "IntervalStyle": ["postgres", "iso_8601", "sql_standard", "postgres_verbose", "bogus", "DEFAULT"],
    "application_name": ["'one'", "two", "''", "'with space'", "'it''s'", "'é'", "DEFAULT"],
    "client_encoding": ["'UTF8'", "LATIN1", "'utf-8'", "SQL_ASCII", "'bogus'", "DEFAULT"],
    "standard_conforming_strings": ["on", "off", "maybe", "DEFAULT"],
    "default_transaction_read_only": ["on", "off", "1", "DEFAULT"],
}
UNREPORTED = {
    "search_path": [
        "other",
        "public",
        "other, public",
        "''",
        "'$user', other",
        '"$user", public',
        "'other'",
        "nowhere",
        "pg_catalog, other",
        "DEFAULT",
        "pg_temp, other, public",
    ],
    "work_mem": ["'1MB'", "'2 MB'", "2048", "'64kB'", "'1.5MB'", "'3 parsecs'", "-1", "DEFAULT"],
    "statement_timeout": ["'60s'", "0", "'1h'", "90000", "'soon'", "DEFAULT"],
    "lock_timeout": ["'30s'", "0", "20000", "DEFAULT"],
    "idle_in_transaction_session_timeout": ["'1h'", "0", "DEFAULT"],
    "extra_float_digits": ["0", "3", "-5", "99", "DEFAULT", "1"],
    "bytea_output": ["hex", "escape", "'bogus'", "DEFAULT"],
    "default_transaction_isolation": ["'repeatable read'", "serializable", "'read committed'", "bogus", "DEFAULT"],
    "default_transaction_deferrable": ["on", "off"],
    "enable_seqscan": ["off", "on", "DEFAULT"],
    "random_page_cost": ["1.1", "4", "'x'"],
    "lc_messages": ["'C'", "'xx_YY'", "DEFAULT"],
    "lc_monetary": ["'C'", "'C.UTF-8'"],
    "client_min_messages": ["warning", "error", "notice", "DEFAULT"],
    "row_security": ["on", "off", "DEFAULT"],
    "escape_string_warning": ["off", "on"],
    "backslash_quote": ["on", "safe_encoding"],
    "array_nulls": ["off", "on"],
    "transform_null_equals": ["on", "off", "DEFAULT"],
    "check_function_bodies": ["off", "on"],
    "synchronous_commit": ["off", "local", "bogus"],
    "plan_cache_mode": ["force_generic_plan", "force_custom_plan", "DEFAULT"],
    "xmlbinary": ["hex", "base64"],
    "geqo": ["off", "on"],
    "log_statement": ["'none'", "'all'"],
    "session_replication_role": ["replica", "origin"],
    "shared_buffers": ["'1GB'"],
    "server_version": ["'9.6'"],
    "no_such_setting": ["1"],
    "transaction_isolation": ["'serializable'", "'repeatable read'"],
    "transaction_read_only": ["on", "off"],
}
CUSTOM = {
    "app.tenant": ["'one'", "'two'", "''", "DEFAULT", "one"],
    "a.b": ["1", "'x y'", "on", "DEFAULT"],
    '"My".setting': ["'quoted'"],
    "x.y": ["1", "2"],
}
MISSING_VALUES = ["'text'", "65000", "on"]

# Queries whose answers show what is set.
REVEALING = [
    "SELECT current_setting('search_path'), regexp_replace(current_schemas(false)::text, '[0-9]+', ''), where_am_i()",
    "SELECT k, v FROM kv ORDER BY k",
    "SELECT * FROM types ORDER BY id",
    "SELECT d, d::date, i FROM types ORDER BY id",
    "SELECT f, b FROM types ORDER BY id",
    "SELECT current_user, session_user, current_setting('role')",
    "SELECT current_setting('work_mem'), current_setting('statement_timeout'), current_setting('lock_timeout')",
    "SELECT current_setting('TimeZone'), current_setting('DateStyle'), current_setting('application_name')",
    "SELECT who, what FROM owned ORDER BY 1, 2",
    "SELECT current_setting('a.b', true), current_setting('app.tenant', true)",
    "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')",
    "SELECT NULL = NULL, ARRAY[NULL]::text",
    "SELECT name, setting FROM pg_settings WHERE name ~ '^(default_tr|extra|array|bytea|row_|lc_|geqo)' ORDER BY 1",
    "SELECT name, setting FROM pg_settings WHERE name ~ '^(client|sync|plan_c|xmlb|enable_se|idle_|log_st)' ORDER BY 1",
    "SELECT name, is_holdable, statement FROM pg_cursors WHERE name <> '' ORDER BY 1",
    "SELECT mode, objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() ORDER BY 1, 2",
    "SELECT has_table_privilege('kv', 'INSERT')",
    "SELECT oid::regclass::text FROM pg_class WHERE oid = to_regclass('kv')",
]
READS = [
    "SELECT 1",
    "SELECT 'text' AS a, 2 AS b",
    "SELECT k, v FROM kv ORDER BY k",
    "TABLE alt ORDER BY 1",
    "SELECT generate_series(1, 5) AS n",
    "VALUES (1, 'x'), (2, NULL)",
    "SELECT",
    "SELECT * FROM kv WHERE false",
    "SELECT repeat('x', 3000)",
    "SELECT a.k FROM kv a JOIN kv b USING (k) ORDER BY 1 FOR UPDATE OF a",
    "WITH w AS (SELECT 1 AS a) SELECT * FROM w",
    "EXPLAIN (COSTS off) SELECT 1",
    "SELECT E'\\\\x' || 'a\\b'",
    "SELECT count(*) FROM generate_series(1, 1000)",
    "/* comment */ SELECT 1 -- more",
    "SELECT 1;;",
]
WRITES = [
    "INSERT INTO kv VALUES (10, 'ten') ON CONFLICT (k) DO UPDATE SET v = 'again'",
    "UPDATE kv SET v = v || '!'",
    "DELETE FROM kv WHERE k = 2 RETURNING k, v",
    "INSERT INTO kv (k) SELECT generate_series(20, 22) RETURNING k",
    "INSERT INTO kv VALUES (1, 'double')",
    "INSERT INTO late VALUES (1)",
    "TRUNCATE late",
    "MERGE INTO kv USING (VALUES (3, 'm')) s(k, v) ON kv.k = s.k WHEN MATCHED THEN UPDATE SET v = s.v",
    "CREATE TABLE made (a int)",
    "DROP TABLE IF EXISTS made",
    "DROP TABLE made",
    "COMMENT ON TABLE kv IS NULL",
]
ERRORS = [
    "SELECT 1/0",
    "SELEC 1",
    "SELECT * FROM nowhere",
    "SELECT nothing FROM kv",
    "SELECT 'x'::int",
    "",
    ";",
    "  ",
    "-- only a comment",
    "SELECT f_fail()",
    "INSERT INTO kv VALUES (1, 'double')",
    "SELECT $1",
    "SELECT (1",
    "COMIT",
    "SELECT * FROM secret",
    "SELECT 1; SELECT 1/0; SELECT 2",
    "SELECT 'open",
    "VACUUM kv; SELECT 1",
    "SELECT 1 FROM kv WHERE k / 0 = 1",
    "DO $$ BEGIN RAISE 'in do'; END $$",
    "SELECT pg_sleep('x')",
    "SET",
    "CREATE DATABASE kv2 TEMPLATE nowhere",
    "EXECUTE",
    "FETCH",
    "LOCK TABLE nowhere",
    "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'retry', DETAIL = 'd', HINT = 'h'; END $$",
]
BEGINS = [
    "BEGIN",
    "BEGIN",
    "BEGIN",
    "START TRANSACTION",
    "BEGIN ISOLATION LEVEL REPEATABLE READ",
    "begin work",
    "BEGIN READ ONLY",
    "START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE",
    "BEGIN TRANSACTION",
    "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE",
    "/* x */ BEGIN;",
    "BEGIN; SELECT 1",
]
ENDINGS = [
    "COMMIT",
    "COMMIT",
    "COMMIT",
    "ROLLBACK",
    "ROLLBACK",
    "END",
    "ABORT",
    "COMMIT AND CHAIN",
    "ROLLBACK AND CHAIN",
    "COMMIT WORK",
    "END TRANSACTION",
    "COMMIT AND NO CHAIN",
    "COMMIT; SELECT 1",
    "COMMIT; BEGIN",
    "ROLLBACK; BEGIN",
]
PREPARABLE = [
    ("SELECT $1::int + 1", ["int"], ["7"]),
    ("SELECT k, v FROM kv WHERE k >= $1 ORDER BY k", ["int"], ["2"]),
    ("SELECT k, v FROM kv ORDER BY k", [], []),
    ("INSERT INTO kv VALUES ($1, $2) ON CONFLICT DO NOTHING", ["int", "text"], ["50", "fifty"]),
    ("SELECT where_am_i()", [], []),
    ("SELECT 100 / $1", ["int"], ["0"]),
    ("SELECT $1::text || $2", ["text", "text"], ["a", None]),
    ("SELECT generate_series(1, $1)", ["int"], ["8"]),
    ("UPDATE kv SET v = $2 WHERE k = $1 RETURNING *", ["int", "text"], ["1", "new"]),
    ("SELECT 'fixed'", [], []),
    ("SELECT current_setting('work_mem'), current_user", [], []),
    ("VALUES (1), (2), (3)", [], []),
    ("SELECT d, i, f, b FROM types ORDER BY id", [], []),
    ("SELECT * FROM alt ORDER BY 1", [], []),
    ("DELETE FROM kv WHERE k = $1", ["int"], ["3"]),
    ("SELECT $1::int", ["int"], ["x"]),
]
TYPE_OIDS = {"int": 23, "text": 25}
NAMES = ["s1", "s2", "s3"]
CURSORS = ["c1", "c2"]
CHANNELS = ["ch1", "ch2", '"Ch 3"']
SAVEPOINTS = ["a", "b"]
LOCK_FUNCTION, CURRENT_SETTING_FUNCTION, INT4PL_FUNCTION = 2880, 2077, 177


RESETTING = re.compile(r"^RESET |(TO|=|ZONE) (DEFAULT|LOCAL)\b|DISCARD ALL", re.IGNORECASE)


class Maker:
    """Makes one script. The state it keeps (in a transaction? which names?) is a guess that makes
    sensible scripts likely; that it is wrong at times is wanted."""

    def __init__(self, seed, enabled):
        self.rnd = random.Random(f"{seed}:{' '.join(sorted(enabled))}")
        self.seed = seed
        keep = self.rnd.choice([0.25, 0.5, 0.8, 1.0])
        self.on = {name for name in sorted(enabled) if self.rnd.random() < keep} or {self.rnd.choice(sorted(enabled))}
        # A script returns to a few settings, so that what it does to one of them adds up.
        self.favourites = [self.rnd.sample(list(table), 2) for table in (REPORTED, UNREPORTED, CUSTOM)]
        self.in_transaction = False
        self.names, self.sql_names, self.cursors = [], [], []
        self.naming = set()  # names whose own text names statements
        self.wants_end = 0
        self.plain_makers = [
            (name.split("__")[0].removeprefix("make_"), getattr(self, name), weight)
            for name, weight in WEIGHTS.items()
            if name.split("__")[0].removeprefix("make_") in self.on
        ]

    def pick(self, options):
        return options[int(self.rnd.random() * len(options))]

    def chance(self, probability):
        return self.rnd.random() < probability

    # --- statements, by class ---

    def make_query(self):
        kind = self.rnd.random()
        return self.pick(REVEALING if kind < 0.45 else READS if kind < 0.8 else WRITES)

    def make_error(self):
        return self.pick(ERRORS)

    def make_transaction(self):
        if not self.in_transaction and self.chance(0.85) or self.chance(0.08):
            self.in_transaction = True
            return self.pick(BEGINS)
        if self.chance(0.25):
            return self.pick(
                [
                    "SELECT pg_advisory_xact_lock(7)",
                    "LOCK TABLE kv IN SHARE MODE",
                    "SELECT 1",
                    "SET CONSTRAINTS ALL IMMEDIATE",
                    "SELECT v FROM kv WHERE k = 1 FOR UPDATE",
                    "SELECT pg_try_advisory_xact_lock(8)",
                    "SAVEPOINT x; SELECT 1/0",
                ]
            )
        ending = self.pick(ENDINGS)
        self.in_transaction = "CHAIN" in ending and "NO" not in ending or "BEGIN" in ending
        return ending

    def make_savepoint(self):
        name = self.pick(SAVEPOINTS)
        return self.pick(
            [
                f"SAVEPOINT {name}",
                f"SAVEPOINT {name}",
                f"ROLLBACK TO {name}",
                f"RELEASE {name}",
                f"ROLLBACK TO SAVEPOINT {name}",
                f"ROLLBACK TO {name}",
                f"RELEASE SAVEPOINT {name}",
            ]
        )

    def make_twophase(self):
        gid = f"g{self.seed}"
        if self.in_transaction and self.chance(0.6):
            self.in_transaction = False
            return f"PREPARE TRANSACTION '{gid}'"
        return self.pick([f"COMMIT PREPARED '{gid}'", f"ROLLBACK PREPARED '{gid}'"])

    def setting(self, tables):
        table = self.pick(tables)
        favourites = [name for names in self.favourites for name in names if name in table]
        name = self.pick(favourites if self.chance(0.75) else list(table))
        value = self.pick(table[name] if self.chance(0.95) else MISSING_VALUES)
        if name == "standard_conforming_strings" and "sql_prepare" in self.on:
            value = "on"  # without it texts are not read, and PREPARE makes names of the server's own
        if self.chance(0.1):
            name = self.pick([name.upper(), name.lower()])
        return name, value

    def set_or_show(self, tables):
        name, value = self.setting(tables)
        kind = self.rnd.random()
        if kind < 0.55:
            if name.lower() == "timezone" and self.chance(0.4):
                return f"SET TIME ZONE {value}"
            return self.pick(
                [
                    f"SET {name} = {value}",
                    f"SET {name} TO {value}",
                    f"SET SESSION {name} = {value}",
                    f"set /* c */ {name} to {value};",
                ]
            )
        if kind < 0.7:
            return self.pick([f"RESET {name}", f"RESET {name}", f"RESET {name}", "RESET ALL"])
        if kind < 0.95:
            return f"SHOW {name}"
        return self.pick(["SHOW TIME ZONE", "SHOW TRANSACTION ISOLATION LEVEL", "SHOW SESSION AUTHORIZATION"])

    def make_reported(self):
        return self.set_or_show([REPORTED])

    def make_setting(self):
        return self.set_or_show([UNREPORTED])

    def make_custom(self):
        if self.chance(0.3):
            return self.pick(
                [
                    "SELECT who, what FROM owned ORDER BY 1, 2",
                    "SELECT current_setting('a.b')",
                    "SELECT current_setting('app.tenant', true) IS NULL",
                ]
            )
        return self.set_or_show([CUSTOM])

    def settings_on(self):
        tables = {"reported": REPORTED, "setting": UNREPORTED, "custom": CUSTOM}
        return [table for name, table in tables.items() if name in self.on] or [REPORTED, UNREPORTED]

    def make_local(self):
        name, value = self.setting(self.settings_on())
        if name.lower() == "timezone" and self.chance(0.4):
            return f"SET LOCAL TIME ZONE {value}"
        return f"SET LOCAL {name} = {value}"

    def name_and_value(self):
        """As strings for set_config: the value without its quotes."""
        name, value = self.setting(self.settings_on())
        if name.lower() == "datestyle" and value == "DEFAULT" and "startup" in self.on:
            value = "ISO"  # as a text it is the server's default, not the startup's value
        value = value if value.startswith("'") else "'" + value.replace("'", "''") + "'"
        return name.replace('"', "").replace("'", "''"), value if not value.startswith("'INTERVAL") else "'UTC'"

    def make_set_config(self):
        name, value = self.name_and_value()
        local = self.pick(["false", "true", "false"])
        return self.pick(
            [
                f"SELECT set_config('{name}', {value}, {local})",
                f"SELECT set_config('{name}', {value}, {local}), 1/1",
                f"SELECT set_config('{name}', {value}, {local}) FROM kv WHERE k < 3",
                f"SELECT set_config('{name}', {value}, {local}), 1/0",
                f"SELECT pg_catalog.set_config('{name}', {value}, false)",
                f"WITH s AS (SELECT set_config('{name}', {value}, {local})) SELECT * FROM s",
            ]
        )

    def make_function(self):
        name, value = self.name_and_value()
        return self.pick(
            [
                f"SELECT f_set('{name}', {value})",
                f"SELECT f_set_local('{name}', {value})",
                "SELECT f_sql('9MB')",
                "SELECT f_path()",
                f"SELECT f_caught('{name}', {value})",
                "SELECT f_config()",
                "SELECT f_config_inside()",
                f"DO $$ BEGIN PERFORM set_config('{name}', {value}, false); END $$",
                "SELECT current_setting('work_mem')",
                "DO $$ BEGIN SET LOCAL search_path = other; END $$",
                "SELECT f_execute('SET work_mem = 1234')",
                "DO $$ BEGIN EXECUTE 'SET search_path TO ' || 'other'; END $$",
                "CALL p_set('11MB')",
                f"SELECT f_set('{name}', {value}), 1/0",
                # A RESET inside a function goes to the server's default, not to the startup's value.
                "SELECT f_execute('RESET ALL')" if "startup" not in self.on else "SELECT f_execute('RESET geqo')",
                "SELECT f_definer()",
                "SELECT f_execute('SET ROLE r1')" if "role" in self.on else "SELECT f_execute('SET a.c = 5')",
            ]
        )

    def make_characteristics(self):
        modes = [
            "ISOLATION LEVEL SERIALIZABLE",
            "READ ONLY",
            "READ WRITE",
            "ISOLATION LEVEL REPEATABLE READ, READ ONLY",
            "ISOLATION LEVEL READ COMMITTED",
            "DEFERRABLE",
            "NOT DEFERRABLE",
        ]
        return self.pick(
            [
                f"SET SESSION CHARACTERISTICS AS TRANSACTION {self.pick(modes)}",
                f"SET TRANSACTION {self.pick(['READ ONLY', 'READ WRITE'] if 'extended' in self.on else modes)}",
                "SHOW transaction_isolation",
                "SHOW transaction_read_only",
                "SHOW default_transaction_isolation",
                "SHOW default_transaction_read_only",
                "SET TRANSACTION SNAPSHOT 'bad'",
            ]
        )

    def make_role(self):
        return self.pick(
            [
                "SET ROLE r1",
                "SET ROLE r2",
                "SET ROLE NONE",
                "RESET ROLE",
                "SET ROLE 'r1'",
                "SET ROLE nobody",
                "SET SESSION AUTHORIZATION plain",
                "SET SESSION AUTHORIZATION r1",
                "RESET SESSION AUTHORIZATION",
                "SET SESSION AUTHORIZATION DEFAULT",
                "SET LOCAL ROLE r2",
                "SHOW role",
                "SHOW session_authorization",
                "SELECT current_user, session_user",
                "SET LOCAL SESSION AUTHORIZATION r1",
                "SELECT * FROM secret",
                "SELECT set_config('role', 'r1', false)",
                "SELECT set_config('role', 'none', true)",
                "SELECT f_definer()",
                "SET role = r2",
                "SET SESSION ROLE r1",
                "SELECT set_config('session_authorization', 'r1', false)",
            ]
        )

    def make_discard(self):
        kind = self.pick(["ALL", "ALL", "PLANS", "SEQUENCES", "TEMP", "TEMPORARY", "NOTHING"])
        if kind == "ALL":
            self.names, self.sql_names, self.cursors = [], [], []
        return f"DISCARD {kind}"

    def known_name(self, names):
        return self.pick(names) if names and self.chance(0.85) else self.pick(NAMES)

    def make_sql_prepare(self):
        kind = self.rnd.random()
        if kind < 0.35:
            sql, types, _ = self.pick(PREPARABLE)
            name = self.pick(NAMES)
            self.sql_names.append(name)
            types = f" ({', '.join(types)})" if types and self.chance(0.8) else ""
            return f"PREPARE {name}{types} AS {sql}"
        if kind < 0.85:
            name = self.known_name(self.sql_names + self.names)
            values = self.pick(["", "(1)", "(2)", "(1, 'x')", "(NULL)", "(60, 'sixty')", "(0)"])
            if name in self.naming:  # what EXECUTE runs so has the server's own names
                return "EXECUTE never"
            return self.pick([f"EXECUTE {name}{values}"] * 4 + [f"CREATE TABLE made AS EXECUTE {name}{values}"])
        if self.chance(0.2):
            self.names, self.sql_names = [], []
            return self.pick(["DEALLOCATE ALL", "DEALLOCATE PREPARE ALL"])
        return f"DEALLOCATE {self.known_name(self.sql_names + self.names)}"

    def make_plan(self):
        prepared = ["PREPARE s1 AS SELECT * FROM alt ORDER BY 1"] if "sql_prepare" in self.on else []
        prepared += ["EXECUTE s1"] if prepared and "s1" not in self.naming else []
        return self.pick(
            [
                "ALTER TABLE alt ADD COLUMN c int",
                "ALTER TABLE alt DROP COLUMN IF EXISTS c",
                "ALTER TABLE alt ALTER b TYPE bigint",
                "SELECT * FROM alt ORDER BY 1",
                "ALTER TABLE alt ALTER b TYPE int",
                *prepared,
            ]
        )

    def make_cursor(self, hold=False):
        name = self.pick(CURSORS)
        kind = self.rnd.random()
        if kind < 0.35:
            query = self.pick(
                [
                    "SELECT generate_series(1, 10)",
                    "SELECT k, v FROM kv ORDER BY k",
                    "SELECT 1/(3-n) FROM" " generate_series(1, 5) n",
                    "VALUES (1), (2)",
                    "SELECT where_am_i(), current_setting('work_mem')",
                ]
            )
            scroll = self.pick(["", "SCROLL ", "NO SCROLL ", "BINARY "])
            return f"DECLARE {name} {scroll}CURSOR {'WITH HOLD ' if hold and self.chance(0.8) else ''}FOR {query}"
        what = self.pick(["NEXT", "2", "ALL", "PRIOR", "FIRST", "ABSOLUTE 3", "FORWARD 2", "BACKWARD 1", "RELATIVE 0"])
        if kind < 0.7:
            return f"FETCH {what} FROM {name}"
        if kind < 0.8:
            return f"MOVE {what} IN {name}"
        return self.pick(
            [f"CLOSE {name}", f"CLOSE {name}", "CLOSE ALL", "SELECT name, is_holdable FROM pg_cursors ORDER BY 1"]
        )

    def make_hold(self):
        return self.make_cursor(hold=True)

    def make_listen(self):
        channel = self.pick(CHANNELS)
        kind = self.rnd.random()
        if kind < 0.3:
            return f"LISTEN {channel}"
        if kind < 0.65:
            return self.pick(
                [
                    f"NOTIFY {channel}",
                    f"NOTIFY {channel}, 'payload'",
                    f"NOTIFY {channel}, 'it''s'",
                    "SELECT pg_notify('ch1', 'from a function')",
                    "NOTIFY ch1, 'a'; NOTIFY ch1, 'a'",
                    "SELECT pg_notify('ch2', generate_series(1, 3)::text)",
                    "NOTIFY unheard",
                    "SELECT pg_notify('', 'x')",
                ]
            )
        if kind < 0.85:
            if "twophase" in self.on:  # whether UNLISTEN counts there depends on the process's past
                return f"LISTEN {channel}"
            return self.pick([f"UNLISTEN {channel}", "UNLISTEN *", "UNLISTEN never"])
        return f"LISTEN {channel}"  # pg_listening_channels() shows no shared LISTEN (docs/compatibility.md)

    def make_temp(self):
        name = self.pick(["t1", "t2"])
        if self.chance(0.1):  # in front of the table that all see, which must not be dropped
            return self.pick(
                [
                    "CREATE TEMP TABLE kv (k int, v text)",
                    "INSERT INTO kv VALUES (1, 'temp')",
                    "SELECT k, v FROM kv ORDER BY k",
                    "CREATE TEMP TABLE kv AS SELECT 5 AS k, 'temp'::text AS v",
                ]
            )
        return self.pick(
            [
                f"CREATE TEMP TABLE {name} (k int, v text)",
                f"CREATE TEMP TABLE {name} (k int, v text)",
                f"CREATE TEMP TABLE {name} ON COMMIT DROP AS SELECT 1 AS k, 'temp'::text AS v",
                f"CREATE TEMP TABLE {name} (k int, v text) ON COMMIT DELETE ROWS",
                f"SELECT 1 AS k INTO TEMP {name}",
                f"INSERT INTO {name} VALUES (1, 'temp') RETURNING k",
                f"SELECT * FROM {name} ORDER BY 1",
                f"DROP TABLE {name}",
                f"DROP TABLE IF EXISTS {name}",
                f"SELECT * FROM {name} ORDER BY 1",
                "CREATE TEMP VIEW tv AS SELECT 1 AS a",
                "TABLE tv",
                "CREATE TEMP SEQUENCE ts",
                "SELECT nextval('ts')",
                "DROP VIEW tv",
                f"ALTER TABLE {name} ADD COLUMN w int",
                f"CREATE INDEX ON {name} (k)",
                f"TRUNCATE {name}",
                f"CREATE TEMP TABLE {name} (k int); DROP TABLE {name}",
                "DROP SEQUENCE ts",
            ]
        )

    def make_pg_temp(self):
        name = self.pick(["t1", "t2", "kv"])
        return self.pick(
            [
                f"DROP TABLE IF EXISTS pg_temp.{name}",
                f"INSERT INTO pg_temp.{name} VALUES (2, 'qualified')",
                f"DROP TABLE pg_temp.{name}",
                "SELECT pg_temp.tf()",
                f"CREATE TABLE pg_temp.{name} (k int, v text)",
                "CREATE FUNCTION pg_temp.tf() RETURNS int LANGUAGE sql AS 'SELECT 5'",
            ]
        )

    def make_lock(self):
        key = self.seed * 10 + self.pick([1, 2])
        return self.pick(
            [
                f"SELECT pg_advisory_lock({key})",
                f"SELECT pg_try_advisory_lock({key})",
                f"SELECT pg_advisory_unlock({key})",
                f"SELECT pg_advisory_unlock({key})",
                "SELECT pg_advisory_unlock_all()",
                f"SELECT pg_advisory_lock_shared({key})",
                f"SELECT pg_advisory_unlock_shared({key})",
                f"SELECT pg_advisory_xact_lock({key})",
                "SELECT mode, objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() ORDER BY 1, 2",
            ]
        )

    def make_sequence(self):
        name = self.pick(["s1", "s2"])
        return self.pick(
            [
                f"SELECT nextval('{name}')",
                f"SELECT nextval('{name}')",
                f"SELECT currval('{name}')",
                "SELECT lastval()",
                "SELECT lastval()",
                f"SELECT setval('{name}', 50)",
                f"SELECT setval('{name}', 60, false)",
                f"SELECT last_value FROM {name}",
            ]
        )

    def make_notice(self):
        return self.pick(
            [
                "SELECT f_notice('a')",
                "DO $$ BEGIN RAISE NOTICE 'do'; RAISE INFO 'info'; END $$",
                "COMMIT",
                "ROLLBACK",
                "DROP TABLE IF EXISTS nowhere",
                "SELECT f_notice('é')",
                "SET LOCAL work_mem = '1MB'",
                "DO $$ BEGIN RAISE LOG 'log'; RAISE DEBUG 'debug'; END $$",
                "BEGIN; BEGIN; COMMIT",
                "CREATE TABLE IF NOT EXISTS kv ()",
                "DO $$ BEGIN RAISE WARNING SQLSTATE '01234'; END $$",
            ]
        )

    def make_catalog(self):
        return "SELECT name, statement, parameter_types::text, from_sql FROM pg_prepared_statements ORDER BY 1"

    def make_seed(self):
        return self.pick(["SELECT setseed(0.5)", "SELECT random()", "SELECT random() FROM generate_series(1, 2)"])

    def make_load(self):
        return self.pick(
            ["LOAD 'auto_explain'", "SHOW auto_explain.log_format", "SET auto_explain.log_format = 'json'"]
        )

    def statement(self):
        """One statement of any class that has statements."""
        if self.in_transaction and "transaction" in self.on:
            self.wants_end += 1
            if self.wants_end > 6:
                self.wants_end = 0
                self.in_transaction = False
                return self.pick(["COMMIT", "ROLLBACK"])
        if not self.plain_makers:
            return self.pick(READS)
        makers = self.plain_makers
        return self.rnd.choices(makers, [weight for _, _, weight in makers])[0][1]()

    # --- steps ---

    def step(self):
        kinds = ["simple"] * 5
        kinds += ["multi"] * ("multi" in self.on) + ["extended"] * (3 * ("extended" in self.on))
        kinds += ["pipeline"] * (3 * ("pipeline" in self.on)) + ["portal"] * (2 * ("portal" in self.on))
        kinds += ["outside"] * ("listen" in self.on)
        # Behind a FunctionCall, which may do anything, PREPARE makes names of the server's own.
        kinds += ["copy"] * (2 * ("copy" in self.on))
        kinds += ["call"] * ("call" in self.on and "sql_prepare" not in self.on)
        return getattr(self, "step_" + self.pick(kinds))()

    def step_simple(self):
        return [[["Q", self.statement()]]]

    def step_multi(self):
        statements = [self.statement().rstrip(";") for _ in range(self.rnd.randint(2, 4))]
        if "startup" in self.on:
            # A RESET among other statements goes to the server's default, not to the startup's value.
            statements = [sql for sql in statements if not RESETTING.search(sql)]
        if any("WITH HOLD" in sql for sql in statements):
            # pg_cursors shows the whole text, as we have sent it.
            statements = [sql for sql in statements if not re.match("PREPARE|EXECUTE|DEALLOCATE", sql)]
        if any("TEMP TABLE kv" in sql for sql in statements):
            # What is executed behind it was prepared before it: it has the table of that name before.
            statements = [sql for sql in statements if "EXECUTE" not in sql]
        return [[["Q", "; ".join(statements)]]]

    def step_extended(self):
        kind = self.rnd.random()
        if kind < 0.3:
            return [[*self.one_shot(self.statement()), ["S"]]]
        if kind < 0.55:
            return [[*self.parse_named(), ["S"]]]
        if kind < 0.9:
            return [[*self.bind_named(), ["S"]]]
        return [[["C", "S", self.known_name(self.names)], ["S"]]]

    def one_shot(self, sql, among=False):
        """`among` others without a Sync: there a Parse takes the transaction's snapshot, which a
        proxy that knows the text need not send, so that it is not too late for an isolation level."""
        if among and "ISOLATION" in sql:
            sql = "BEGIN"
        if among and sql == "DISCARD ALL" and "startup" in self.on:
            sql = "DISCARD PLANS"  # if an error skips it the startup's settings are set all the same
        messages = [["P", "", sql, []], ["B", "", "", [], []]]
        if self.chance(0.6):
            messages.append(["D", "P", ""])
        return [*messages, ["E", "", self.pick([0, 0, 0, 1, 2])]]

    def parse_named(self):
        name = self.pick(NAMES)
        if self.chance(0.25):
            sql, types = self.statement(), []
            if f"EXECUTE {name}" in sql:  # would call itself until the server's stack is full
                sql = "SELECT 1"
        else:
            sql, types, _ = self.pick(PREPARABLE)
        self.names.append(name)
        self.naming |= {name} if re.match(r"PREPARE|EXECUTE|DEALLOCATE|CREATE TABLE made AS EXECUTE", sql) else set()
        oids = [TYPE_OIDS[kind] for kind in types] if self.chance(0.3) else []
        messages = [["P", name, sql, oids]]
        if self.chance(0.3):
            messages = [["C", "S", name], *messages]
        return messages + ([["D", "S", name]] if self.chance(0.4) else [])

    def bind_named(self, portal=""):
        name = self.known_name(self.names + (self.sql_names if self.chance(0.3) else []))
        params = self.pick([[], ["7"], ["2"], ["0"], ["1", "x"], [None], ["70", "seventy"]])
        messages = [["B", portal, name, params, self.pick([[], [], [], [1], [0]])]]
        if self.chance(0.4):
            messages.append(["D", "P", portal])
        return [*messages, ["E", portal, self.pick([0, 0, 0, 2])]]

    def step_pipeline(self):
        steps, messages = [], []
        for _ in range(self.rnd.randint(2, 6)):
            kind = self.rnd.random()
            if kind < 0.35:
                messages += self.one_shot(self.statement(), among=True)
            elif kind < 0.5:
                messages += self.parse_named()
            elif kind < 0.75:
                messages += self.bind_named()
            elif kind < 0.8:
                messages.append(["C", self.pick("SP"), self.pick([*NAMES, ""])])
            elif kind < 0.85:
                messages.append(["D", "S", self.known_name(self.names)])
            else:
                messages.append(["S"])
            if self.chance(0.15):
                messages.append(["H"])
                if self.chance(0.6):
                    steps.append(messages)
                    messages = []
            elif self.chance(0.05):
                steps.append(messages)
                messages = []
        messages.append(["S"] if self.chance(0.95) else ["Q", self.statement()])
        return [*steps, messages]

    def step_portal(self):
        portal = self.pick(["p1", "p2"])
        sql = self.pick(
            [
                "SELECT generate_series(1, 7)",
                "SELECT k, v FROM kv ORDER BY k",
                "SELECT 1/(4-n) FROM" " generate_series(1, 6) n",
                "INSERT INTO kv VALUES (90, 'p') ON CONFLICT DO NOTHING RETURNING k",
            ]
        )
        steps = [] if self.in_transaction and self.chance(0.9) or self.chance(0.2) else [[["Q", "BEGIN"]]]
        self.in_transaction = True
        steps.append(
            [["P", "", sql, []], ["B", portal, "", [], []], ["E", portal, 2], self.pick([["S"], ["S"], ["H"]])]
        )
        for _ in range(self.rnd.randint(1, 3)):
            if self.chance(0.3):
                steps.append(self.step_simple()[0])
            # Not the unnamed portal: PostgreSQL 15 crashes over it after a query in a failed transaction.
            steps.append([["D", "P", portal], ["E", portal, self.pick([1, 3, 0])], ["S"]])
        if self.chance(0.4):
            steps.append([["C", "P", portal], ["S"]])
        return steps

    def step_copy(self):
        kind = self.rnd.random()
        if kind < 0.3:
            out = self.pick(
                [
                    "COPY (SELECT k, v FROM kv ORDER BY k) TO STDOUT",
                    "COPY (SELECT k, v FROM kv ORDER BY k) TO STDOUT (FORMAT csv, HEADER)",
                    "COPY (SELECT 1/(3-n) FROM generate_series(1, 4) n) TO STDOUT",
                    "COPY nowhere TO STDOUT",
                    "COPY (SELECT d, f, b, i FROM types ORDER BY id) TO STDOUT",
                    "COPY (SELECT where_am_i()) TO STDOUT; SELECT 1",
                ]
            )
            if self.chance(0.3) and ";" not in out:
                return [[["P", "", out, []], ["B", "", "", [], []], ["E", "", 0], ["S"]]]
            return [[["Q", out]]]
        into = self.pick(
            ["COPY kv FROM STDIN", "COPY kv (k) FROM STDIN", "COPY nowhere FROM STDIN", "COPY kv FROM STDIN"]
        )
        data = self.pick(
            [
                ["30\tthirty\n", "31\t\\N\n"],
                ["32\n"],
                ["1\tdouble\n"],
                ["x\ty\n"],
                [],
                ["33\tin ", "parts\n"],
                ["34\n35\n"],
                ["36\tlast\n\\.\n"],
            ]
        )
        end = [["c"]] if self.chance(0.75) else [["f", "not today"]]
        data = [["d", part] for part in data] + end
        if self.chance(0.4):
            return [[["P", "", into, []], ["B", "", "", [], []], ["E", "", 0], *data, ["S"]]]
        if self.chance(0.5):
            return [[["Q", into]], data]
        return [[["Q", into + self.pick(["", "; SELECT 1"])], *data]]

    def step_outside(self):
        """Somebody else notifies; it is waited for, as else it could come before or after an answer."""
        channel = self.pick(CHANNELS)
        self.in_transaction = False
        steps = [[["Q", "ROLLBACK"]]] if self.on & {"transaction", "portal", "notice"} else []
        steps = [[["S"]], *steps] if "pipeline" in self.on else steps  # amid one, a notification waits for its end
        return [*steps, [["Q", f"LISTEN {channel}"]], ["!", f"NOTIFY {channel}, 'from outside'"], ["A"]]

    def step_call(self):
        return [
            [
                self.pick(
                    [
                        ["F", INT4PL_FUNCTION, "3", "4"],
                        ["F", INT4PL_FUNCTION, "x", "4"],
                        ["F", 1, "1"],
                        ["F", CURRENT_SETTING_FUNCTION, "work_mem"],
                        ["F", CURRENT_SETTING_FUNCTION, "TimeZone"],
                    ]
                )
            ]
        ]

    # --- the whole ---

    def params(self):
        if "startup" not in self.on:
            return {}
        params, names = {}, set()
        for _ in range(self.rnd.randint(1, 3)):
            name, value = self.name_and_value()
            if name.lower() in names:
                continue
            names.add(name.lower())
            if "role" in self.on and name.lower() in ("session_replication_role", "log_statement", "lc_messages"):
                continue  # another role can't set it again behind a RESET
            if "discard" in self.on and name.lower() == "default_transaction_read_only":
                continue  # behind a DISCARD ALL in a pipeline it holds from the next Sync on
            if name.lower() == "standard_conforming_strings" and self.on & {"extended", "pipeline"}:
                continue  # while it is off a prepared RESET goes to the server's default
            if self.chance(0.8) and ("DEFAULT" in value or "bogus" in value or "Bad" in value or "parsecs" in value):
                continue
            value = value[1:-1].replace("''", "'")
            if name.startswith("transaction_") or name in ("no_such_setting", "shared_buffers", "server_version"):
                continue
            if self.chance(0.5):
                params[name] = value
            else:
                value = value.replace("\\", "\\\\").replace(" ", "\\ ")
                flag = self.pick([f"-c {name}={value}", f"--{name.replace('_', '-')}={value}", f"-c{name}={value}"])
                params["options"] = f"{params['options']} {flag}" if "options" in params else flag
        return params

    def script(self):
        user = self.pick(["plain", "plain", "super"])
        params = self.params()
        steps = []
        others = Others(self) if INTERFERING else None
        for _ in range(self.rnd.randint(5, 20)):
            if others:
                steps += others.between()
            new = self.step()
            for number, step in enumerate(new):
                if others and number:
                    steps += others.between()
                steps.append(step)
        if others:
            steps += others.between()
        steps.append([["S"]])
        known = [REPORTED, UNREPORTED] + [CUSTOM] * ("custom" in self.on) if self.on & SETTERS else []
        shows = [f"SHOW {name}" for names in self.favourites for name in names if any(name in t for t in known)]
        for sql in self.rnd.sample(REVEALING, 3) + shows:
            if others:
                steps += others.between()
            steps.append([["Q", sql]])
        return {"user": user, "params": params, "classes": sorted(self.on), "steps": steps}


INTERFERING = True
SETTERS = set("reported setting custom local set_config function startup discard role characteristics".split())

WEIGHTS = {
    "make_query": 6,
    "make_error": 2,
    "make_transaction": 5,
    "make_savepoint": 3,
    "make_twophase": 1,
    "make_sql_prepare": 4,
    "make_plan": 1,
    "make_reported": 4,
    "make_setting": 4,
    "make_custom": 3,
    "make_local": 2,
    "make_set_config": 3,
    "make_function": 3,
    "make_characteristics": 2,
    "make_role": 3,
    "make_discard": 1,
    "make_cursor": 3,
    "make_hold": 3,
    "make_listen": 4,
    "make_temp": 4,
    "make_lock": 3,
    "make_sequence": 3,
    "make_notice": 2,
    "make_catalog": 1,
    "make_seed": 1,
    "make_load": 1,
    "make_pg_temp": 2,
}


class Others:
    """What the interfering clients do between two steps. At most two of them have a transaction
    open, and the rest keep still then: the script's client is never kept waiting for one of them."""

    HOLDERS_MAX = 2

    def __init__(self, maker):
        self.maker, self.rnd = maker, maker.rnd
        self.holding = set()
        self.rate = maker.pick([0.3, 0.6, 0.9])

    def between(self):
        steps = []
        while self.maker.chance(self.rate) and len(steps) < 6:
            steps += self.action()
        return steps

    def action(self):
        pick = self.maker.pick
        if self.holding and (self.maker.chance(0.35) or len(self.holding) == self.HOLDERS_MAX):
            client = pick(sorted(self.holding))
            self.holding.discard(client)
            return [["~", client, pick(["COMMIT", "ROLLBACK", "COMMIT"])]]
        client = pick([number for number in range(4) if number not in self.holding])
        if self.maker.chance(0.6):
            self.holding.add(client)
            # A SET among others makes the proxy ask the server for all settings: half of what PostgreSQL
            # spends on a script, if it is in every second transaction.
            sets = self.maker.chance(0.15)
            return [["~", client, "BEGIN; SET LOCAL work_mem = '17MB'; SELECT 1" if sets else "BEGIN; SELECT 1"]]
        return [["~", client, what] for what in self.disturb()]

    def disturb(self):
        """Queries that leave something behind, of the classes that the script uses."""
        by_class = {
            "reported": [
                "SET DateStyle = 'SQL, DMY'",
                "SET TimeZone = 'Asia/Tokyo'",
                "SET IntervalStyle = sql_standard",
                "SET application_name = 'stranger'",
            ],
            "setting": [
                "SET search_path = other",
                "SET work_mem = '13MB'",
                "SET extra_float_digits = -3",
                "RESET ALL",
                "SET bytea_output = escape",
                "SET statement_timeout = '77s'",
                "SET array_nulls = off",
            ],
            "custom": ["SET app.tenant = 'two'", "SET a.b = 'strange'"],
            "role": ["SET ROLE r2", "SET ROLE r1", "RESET ROLE"],
            "set_config": [
                "SELECT set_config('search_path', 'other', false)",
                "SELECT set_config('work_mem', '14MB', false)",
            ],
            "function": ["SELECT f_path()", "SELECT f_sql('15MB')"],
            "characteristics": ["SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"],
            "discard": ["DISCARD ALL"],
            "sql_prepare": ["PREPARE s1 AS SELECT 'strange'", "PREPARE s2 AS SELECT 1", "DEALLOCATE ALL"],
            "listen": ["LISTEN ch1", "UNLISTEN *", "LISTEN ch2"],
            "temp": ["CREATE TEMP TABLE t1 (strange int)", "DROP TABLE IF EXISTS t1"],
            "hold": ["DECLARE c1 CURSOR WITH HOLD FOR SELECT 'strange'", "CLOSE ALL"],
            "lock": ["SELECT pg_try_advisory_lock(1)", "SELECT pg_advisory_unlock_all()"],
            "sequence": ["SELECT nextval('other_seq')"],
            "extended": [
                [["P", "s1", "SELECT 'strange'", []], ["S"]],
                [["C", "S", "s1"], ["S"]],
                [["P", "", "SELECT 'strange'", []], ["B", "", "", [], []], ["E", "", 0], ["S"]],
            ],
        }
        choices = [name for name in by_class if name in self.maker.on]
        return [self.maker.pick(by_class[self.maker.pick(choices)])] if choices else ["SELECT 1"]


def generate(seed, enabled=None):
    """The script of this seed."""
    return Maker(seed, set(CLASSES) if enabled is None else enabled).script()
