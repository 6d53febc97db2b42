"""Where each kind of statement must run, as a table; run-routing.py and run-replicas.py play it.

A statement is written `P ...` if it must run on the primary and nowhere else, `R ...` on a replica
(outside of a transaction it is tried again while replicas may not show yet what the session has
seen), `N ...` on a replica at once, `T ...` on the primary in the end, though a replica may have
been tried, and `- ...` if any will do, or no server is asked. The first word may say what it
answers: `R=7 SELECT 7`, `P!42601 SELEC`: an SQLSTATE. A row is a list of them, for a session.
"""

import re
import time

SETUP = """
CREATE TABLE t (id int PRIMARY KEY, v int DEFAULT 0);
INSERT INTO t SELECT g, g FROM generate_series(1, 50) g;
CREATE UNLOGGED TABLE unlogged (id int);
CREATE SEQUENCE s;
CREATE TABLE d (id int DEFAULT nextval('s'), v int);
CREATE TABLE parted (id int) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (100);
CREATE TABLE guarded (id int);
CREATE TABLE calls (id int);
CREATE MATERIALIZED VIEW mv AS SELECT count(*) FROM t;
CREATE FUNCTION reads(int) RETURNS int STABLE LANGUAGE sql AS 'SELECT v FROM t WHERE id = $1';
CREATE FUNCTION adds(int, int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 + $2';
CREATE FUNCTION writes(int) RETURNS int VOLATILE LANGUAGE plpgsql AS
  'BEGIN INSERT INTO calls VALUES ($1); RETURN $1; END';
CREATE FUNCTION wraps(int) RETURNS int STABLE LANGUAGE plpgsql AS 'BEGIN RETURN writes($1); END';
CREATE FUNCTION nap(float8) RETURNS void STABLE LANGUAGE internal AS 'pg_sleep';
CREATE VIEW plain AS SELECT * FROM t WHERE reads(id) > 0;
CREATE FUNCTION locks() RETURNS text VOLATILE LANGUAGE sql AS 'SELECT pg_advisory_xact_lock(3)::text';
CREATE FUNCTION locks_row(t) RETURNS text VOLATILE LANGUAGE sql AS 'SELECT pg_advisory_xact_lock(4)::text';
CREATE VIEW locking AS SELECT locks();
CREATE VIEW sly AS SELECT writes(id) FROM t WHERE id = 1;
CREATE VIEW sly_too AS SELECT * FROM sly;
CREATE VIEW activity AS SELECT pid FROM pg_stat_activity;
CREATE VIEW activity_too AS SELECT count(*) FROM activity;
CREATE VIEW role AS SELECT pg_is_in_recovery();
CREATE FUNCTION held() RETURNS bigint STABLE LANGUAGE sql AS 'SELECT count(*) FROM pg_locks';
CREATE VIEW moment AS SELECT CURRENT_TIMESTAMP AS at, * FROM t;
CREATE FUNCTION since(timestamptz) RETURNS interval STABLE LANGUAGE sql AS 'SELECT now() - $1';
CREATE VIEW counted AS SELECT nextval('s') FROM t WHERE id = 1;
CREATE POLICY p ON guarded USING (writes(id) > 0);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE PROCEDURE proc() LANGUAGE plpgsql AS 'BEGIN PERFORM 1; END';
CREATE ROLE reader LOGIN;
GRANT ALL ON ALL TABLES IN SCHEMA public TO reader;
GRANT ALL ON SEQUENCE s TO reader
"""
# Made last: where an operator, a cast or a type writes, no statement is proven to read.
SETUP_SLY = """
CREATE FUNCTION writes_two(int, int) RETURNS bool VOLATILE LANGUAGE sql AS 'SELECT writes($1) = $2';
CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = writes_two);
CREATE FUNCTION writes_more(int, int) RETURNS int VOLATILE LANGUAGE sql AS 'SELECT writes($2)';
CREATE AGGREGATE writes_all (int) (SFUNC = writes_more, STYPE = int);
CREATE DOMAIN checked AS int CHECK (writes(VALUE) > 0);
CREATE TYPE pair AS (a int, b int);
CREATE FUNCTION to_pair(text) RETURNS pair VOLATILE LANGUAGE sql AS 'SELECT ROW(writes(1), 1)::pair';
CREATE CAST (text AS pair) WITH FUNCTION to_pair(text)
"""


# --- the table ------------------------------------------------------------------------------------

# One statement each, in a session that has done nothing before.
READS = """
R=1 SELECT 1
R SELECT * FROM t WHERE id = 1
R SELECT count(*), max(v), string_agg(v::text, ',' ORDER BY v) FROM t
R SELECT a.v FROM t a JOIN t b USING (id) LEFT JOIN d ON d.id = a.id ORDER BY 1 LIMIT 3
R SELECT id, row_number() OVER (ORDER BY v) FROM t
R WITH x AS (SELECT * FROM t) SELECT count(*) FROM x
R WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT * FROM n
R SELECT 1 UNION SELECT 2 INTERSECT SELECT 2
R VALUES (1), (2)
R TABLE t
R SELECT * FROM t TABLESAMPLE SYSTEM (10)
R SELECT * FROM parted
R SELECT * FROM ONLY t
R SELECT * FROM plain
R SELECT * FROM mv
R SELECT * FROM moment
R SELECT since('2020-01-01')
R SELECT reads(1)
R SELECT adds(1, 2)
R SELECT now(), current_date, localtimestamp
R SELECT version(), current_user, current_database(), current_schema
R SELECT relname FROM pg_class WHERE relname = 't'
R SELECT count(*) FROM information_schema.tables
R SELECT pg_get_viewdef('plain'::regclass)
R SELECT EXISTS (SELECT 1 FROM t WHERE id = 5)
R SELECT jsonb_build_object('a', v) FROM t WHERE id = 1
R SELECT '2020-01-01'::date + 1
R SELECT * FROM generate_series(1, 3)
R SELECT current_setting('cluster_name')
R SELECT has_table_privilege('t', 'SELECT')
- SELECT random(), clock_timestamp(), gen_random_uuid()
- SELECT pg_is_in_recovery(), pg_backend_pid()
- EXPLAIN SELECT * FROM t
- EXPLAIN ANALYZE SELECT * FROM t
- SHOW server_version
- SELECT pg_sleep(0)
""".strip().splitlines()

WRITES = """
P INSERT INTO d (v) VALUES (1)
P INSERT INTO d (v) SELECT 1 RETURNING id
P UPDATE t SET v = v WHERE id = 1
P DELETE FROM d
P MERGE INTO t USING (VALUES (1)) n(i) ON t.id = n.i WHEN MATCHED THEN UPDATE SET v = v
P TRUNCATE d
P WITH w AS (UPDATE t SET v = v WHERE id = 1 RETURNING id) SELECT id FROM w
P WITH w AS (DELETE FROM d RETURNING *) SELECT 1
P WITH a AS (SELECT 1), w AS (INSERT INTO d (v) VALUES (1) RETURNING id), b AS (SELECT 2) SELECT * FROM a, b
P SELECT * FROM t WHERE id = 1 FOR UPDATE
P SELECT * FROM t WHERE id = 1 FOR KEY SHARE SKIP LOCKED
P SELECT * FROM (SELECT * FROM t WHERE id = 1 FOR SHARE) x
P WITH x AS (SELECT * FROM t WHERE id = 1 FOR NO KEY UPDATE) SELECT * FROM x
P SELECT writes(1)
P SELECT 1 FROM t WHERE id = 1 AND writes(id) = 1
P SELECT (SELECT writes(1))
P SELECT * FROM writes(1)
P SELECT count(*) FROM t GROUP BY writes(id) HAVING count(*) > 100
P SELECT wraps(1)
P SELECT nap(0)
P SELECT * FROM sly
P SELECT * FROM sly_too
P SELECT 1 FROM (SELECT * FROM sly_too) x LIMIT 1
P SELECT * FROM counted
P SELECT t.locks_row FROM t WHERE id = 1
P SELECT (x).locks_row FROM t x WHERE id = 1
P SELECT (7).pg_advisory_xact_lock
P=off SELECT current_setting('transaction_read_only')
P=off SELECT current_setting('In_Hot_Standby', true)
P SELECT * FROM activity
P SELECT * FROM activity_too
P SELECT * FROM role
P SELECT held()
P SELECT last_value FROM s
P SELECT table_to_xml('locking', true, true, '')
P SELECT schema_to_xml('public', true, true, '')
P SELECT nextval('s')
P SELECT setval('s', 100)
P SELECT pg_advisory_xact_lock(1)
P SELECT pg_try_advisory_xact_lock(1)
P SELECT pg_try_advisory_lock_shared(3), pg_advisory_unlock_shared(3)
P SELECT txid_current()
P SELECT pg_current_xact_id()
P SELECT pg_export_snapshot()
P SELECT pg_notify('c', 'x')
P NOTIFY c
P SELECT pg_logical_emit_message(false, 'a', 'b')
P SELECT pg_terminate_backend(2147483647)
P SELECT pg_cancel_backend(2147483647)
P!55000 SELECT pg_wal_replay_pause()
P!55000 SELECT pg_promote(false)
P SELECT pg_stat_reset()
P SELECT query_to_xml('SELECT writes(1)', true, true, '')
P SELECT * FROM ts_stat('SELECT to_tsvector(writes(1)::text)')
P SELECT lo_unlink(lo_create(0))
P SELECT 1 AS a INTO made_1
P DROP TABLE made_1
P CREATE TABLE made_2 AS SELECT 1 AS a
P DROP TABLE made_2
P EXPLAIN ANALYZE UPDATE t SET v = v WHERE id = 1
P EXPLAIN (ANALYZE, COSTS OFF) DELETE FROM d
P EXPLAIN ANALYZE SELECT writes(1)
P CALL proc()
P DO $$BEGIN PERFORM 1; END$$
P LOCK TABLE t
P REFRESH MATERIALIZED VIEW mv
P ANALYZE t
P VACUUM t
P REINDEX TABLE t
P CHECKPOINT
P CREATE INDEX i ON t (v)
P DROP INDEX i
P COMMENT ON TABLE t IS 'a table'
P GRANT SELECT ON t TO PUBLIC
P ALTER TABLE t ALTER v SET DEFAULT 0
P CREATE TEMP TABLE tmp (a int) ON COMMIT DROP
P!42601 SELEC 1
T SELECT count(*) FROM unlogged
T SELECT pg_current_wal_lsn() > '0/0'
""".strip().splitlines()
# More relations than a plan keeps the names of (PLAN_NAMES_MAX); the last one locks.
MANY = [f"m{i}" for i in range(70)]
SETUP += "".join(f";\nCREATE TABLE {name} (a int)" for name in MANY)
WRITES.append(f"P SELECT 1 FROM {', '.join(MANY)}, locking")
# With what SETUP_SLY makes.
SLY = """
P SELECT 1 === 2
P SELECT 1 WHERE 1 OPERATOR(public.===) 2
P SELECT writes_all(id) FROM t WHERE id = 1
P SELECT 7::checked
P SELECT CAST(NULL::text AS pair)
""".strip().splitlines()

# LOCK TABLE and the like want a transaction block.
WANTED_ERRORS = {"P LOCK TABLE t": "25P01"}

# Several in one session, with `;;` between.
SCRIPTS = {
    "a temporary table is where it was made":
        "P CREATE TEMP TABLE tmp (a int) ;; P INSERT INTO tmp VALUES (7) ;; P=7 SELECT a FROM tmp ;; P TABLE tmp",
    "a session's lock and what follows are at one server":
        "P SELECT pg_advisory_lock(77) ;; P SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' ;;"
        " P SELECT pg_advisory_unlock(77)",
    "currval belongs to its connection": "P!55000 SELECT lastval() ;; P SELECT nextval('s') ;;"
        " P SELECT currval('s') ;; P SELECT lastval()",
    "settings go along":
        "- SET TimeZone = 'Asia/Tokyo' ;; R=Asia/Tokyo SELECT current_setting('TimeZone') ;;"
        " - SET search_path = pg_catalog ;; -!42P01 SELECT * FROM t ;; - RESET ALL ;; R SELECT count(*) FROM t",
    "a role goes along": "- SET ROLE reader ;; R=reader SELECT current_user ;; - RESET ROLE ;;"
        " R=postgres SELECT current_user",
    "prepared in SQL": "- PREPARE a(int) AS SELECT v FROM t WHERE id = $1 ;; - EXECUTE a(1) ;; - EXECUTE a(2) ;;"
                       " - PREPARE b(int) AS UPDATE t SET v = v WHERE id = $1 ;; P EXECUTE b(1) ;; - DEALLOCATE ALL",
    "a transaction is the primary's":
        "- BEGIN ;; P SELECT * FROM t ;; P UPDATE t SET v = v WHERE id = 2 ;; P SELECT 1 ;; - COMMIT ;; - SELECT 1",
    "a transaction that is given up": "- BEGIN ;; P SELECT 1 ;; - ROLLBACK ;; - SELECT 1",
    "savepoints": "- BEGIN ;; - SAVEPOINT a ;; P SELECT 1 ;; - ROLLBACK TO a ;; P SELECT 2 ;; - COMMIT",
    "serializable by default":
        "- SET default_transaction_isolation = 'serializable' ;; T SELECT count(*) FROM t ;;"
        " - RESET default_transaction_isolation ;; R SELECT 1",
    "serializable for the session":
        "- SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE ;; T SELECT count(*) FROM t",
    "read only by default":
        "- SET default_transaction_read_only = on ;; - SELECT 1 ;; -!25006 UPDATE t SET v = v ;;"
        " - SET default_transaction_read_only = off ;; P UPDATE t SET v = v WHERE id = 4",
    "cursors": "- BEGIN ;; P DECLARE c CURSOR FOR SELECT * FROM t ;; P FETCH 2 FROM c ;; P CLOSE c ;; - COMMIT",
    "a cursor with hold": "P DECLARE c CURSOR WITH HOLD FOR SELECT * FROM t ;; P FETCH 2 FROM c ;; P CLOSE c",
    "after an error, the session reads on": "R!22012 SELECT 1/0 ;; R SELECT 1 ;;"
        " -!42P01 SELECT * FROM nowhere ;; R SELECT 2",
    "hints": "P /* howdah: route=primary */ SELECT 1 ;; R SELECT 1 ;; R /* howdah: route=replica */ SELECT 1",
    "howdah.route":
        "- SET howdah.route = 'primary' ;; P SELECT 1 ;; - RESET howdah.route ;; - SELECT 1 ;;"
        " - SET howdah.route = 'replica' ;; R SELECT 1 ;; - SET howdah.route TO DEFAULT ;;"
        " P UPDATE t SET v = v WHERE id = 5",
    "howdah.route = 'replica' refuses what writes":
        "- SET howdah.route = 'replica' ;; R SELECT 1 ;; -!25006 CALL proc() ;; -!25006 DO $$ BEGIN END $$ ;;"
        " -!25006 SELECT nextval('s') ;; R SELECT 2",
    "howdah.route = 'replica' in a transaction":
        "- SET howdah.route = 'replica' ;; R SELECT 1 ;; - BEGIN ISOLATION LEVEL READ COMMITTED ;; R TABLE t ;;"
        " -!25006 UPDATE t SET v = v ;; -!25P02 SELECT 1 ;; - ROLLBACK ;; R SELECT 2",
    "howdah.route for one transaction":
        "- BEGIN ;; - SET LOCAL howdah.route = 'primary' ;; P SELECT 1 ;; - COMMIT",
}

READ_ONLY = {
    "a read-only transaction is a replica's":
        "- BEGIN READ ONLY ;; R SELECT * FROM t ;; R=7 SELECT 7 ;; - COMMIT ;; R SELECT 1",
    "a standby cannot be serializable":
        "- BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY ;; T SELECT count(*) FROM t ;; P SELECT 1 ;; - COMMIT",
    "read only by default":
        "- SET default_transaction_read_only = on ;; R SELECT 1 ;; - BEGIN ;; R TABLE t ;; R=7 SELECT 7 ;; - COMMIT",
    "read only by default, and not by BEGIN":
        "- SET default_transaction_read_only = on ;; R SELECT 1 ;; - BEGIN READ WRITE ;; P TABLE t ;; - COMMIT",
    "nor defer": "- BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE ;; T SELECT count(*) FROM t ;;"
        " - COMMIT",
    "a write in a read-only transaction is refused":
        "- BEGIN READ ONLY ;; -!25006 UPDATE t SET v = v ;; -!25P02 SELECT 1 ;; - ROLLBACK ;; - SELECT 1",
    "made a read-write one after all":
        "- BEGIN READ ONLY ;; - SET TRANSACTION READ WRITE ;; P UPDATE t SET v = v WHERE id = 3 ;; - COMMIT",
    "a read-only transaction may ask for an id": "- BEGIN READ ONLY ;; T SELECT txid_current() > 0 ;; - COMMIT",
    "a read-only transaction may lock": "- BEGIN READ ONLY ;; T SELECT pg_advisory_xact_lock(5) ;; - COMMIT",
    "a read-only transaction may notify": "- BEGIN READ ONLY ;; T SELECT pg_notify('c', 'x') ;; - COMMIT",
}

# REPEATABLE READ READ ONLY: as a whole on a replica, or on the primary.
SNAPSHOT = "- BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY ;; "
AGAIN = f" ;; -!25P02 TABLE t ;; - ROLLBACK ;; {SNAPSHOT}P TABLE t ;; P TABLE t ;; - COMMIT"
REPEATABLE = {
    "all of it": f"{SNAPSHOT}R TABLE t ;; R SELECT count(*) FROM t ;; R=7 SELECT 7 ;; R COMMIT ;; R SELECT 1 ;;"
        " P UPDATE t SET v = v WHERE id = 11",
    "as START TRANSACTION": "- START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY ;; R TABLE t ;;"
        " R SELECT count(*) FROM t ;; R END",
    "given up": f"{SNAPSHOT}R TABLE t ;; R ROLLBACK ;; R SELECT 1",
    "nothing in it": f"{SNAPSHOT}- COMMIT ;; R SELECT 1",
    "by the session's defaults": "- SET default_transaction_isolation = 'repeatable read' ;;"
        " - SET default_transaction_read_only = on ;; R SELECT 1 ;; - BEGIN ;; R TABLE t ;; R TABLE t ;; R COMMIT",
    "by its characteristics": "- SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
        " ;; R SELECT 1 ;; - BEGIN ;; R TABLE t ;; R SELECT 1 ;; R COMMIT ;; - BEGIN READ WRITE ;; P TABLE t ;; - END",
    "what shows the transaction's moment or server": f"{SNAPSHOT}R SELECT now() ;; R SELECT pg_current_snapshot() ;;"
        " R=t SELECT pg_is_in_recovery() ;; R COMMIT",
    "a cursor": f"{SNAPSHOT}R DECLARE c CURSOR FOR TABLE t ;; R FETCH 2 FROM c ;; R MOVE 1 FROM c ;; R CLOSE c ;;"
        " R COMMIT",
    "a cursor over what writes": f"{SNAPSHOT}P DECLARE c CURSOR FOR SELECT writes(1) ;; P!25006 FETCH c ;;"
        " - ROLLBACK",
    "a cursor that outlives it": f"{SNAPSHOT}P DECLARE c CURSOR WITH HOLD FOR TABLE t ;; P CLOSE c ;; - COMMIT",
    "settings": f"{SNAPSHOT}R TABLE t ;; R SET LOCAL work_mem = '1MB' ;; R=1MB SELECT current_setting('work_mem') ;;"
        " R SET statement_timeout = '7s' ;; R COMMIT ;; -=4MB SHOW work_mem ;; -=7s SHOW statement_timeout",
    "savepoints": f"{SNAPSHOT}R TABLE t ;; R SAVEPOINT a ;; R!22012 SELECT 1/0 ;; R!25P02 SELECT 1 ;;"
        " R ROLLBACK TO a ;; R TABLE t ;; R RELEASE a ;; R COMMIT",
    "SHOW, EXPLAIN": f"{SNAPSHOT}R TABLE t ;; R=on SHOW transaction_read_only ;; R EXPLAIN TABLE t ;; R COMMIT",
    "another one behind it": f"{SNAPSHOT}R TABLE t ;; R COMMIT AND CHAIN ;; R TABLE t ;; R ROLLBACK",
    "no SQL": f"{SNAPSHOT}R TABLE t ;; -!42601 SELEC 1 ;; -!25P02 SELECT 1 ;; - COMMIT ;; R SELECT 1",
    "an error first": f"{SNAPSHOT}R!22012 SELECT 1/0 ;; R!25P02 SELECT 1 ;; - COMMIT ;; R SELECT 1",
    "a write": f"{SNAPSHOT}R TABLE t ;; R!25006 UPDATE t SET v = v ;; R!25P02 TABLE t ;; - ROLLBACK ;; R SELECT 1",
    "a row lock": f"{SNAPSHOT}R TABLE t ;; R!25006 SELECT * FROM t FOR UPDATE ;; - ROLLBACK",
    "DDL": f"{SNAPSHOT}R TABLE t ;; R!25006 CREATE TABLE made (a int) ;; - ROLLBACK",
    "what a replica lacks": f"{SNAPSHOT}T TABLE unlogged ;; P TABLE t ;; - COMMIT ;; R SELECT 1",
    "a lock first": f"{SNAPSHOT}P SELECT pg_advisory_xact_lock(5) ;; P TABLE t ;; - COMMIT ;; R SELECT 1 ;;"
        f" {SNAPSHOT}R TABLE t ;; R COMMIT",
    "a setting first": f"{SNAPSHOT}P SET LOCAL work_mem = '1MB' ;; P TABLE t ;; - COMMIT",
    "made a read-write one": f"{SNAPSHOT}- SET TRANSACTION READ WRITE ;; P UPDATE t SET v = v WHERE id = 3 ;; - COMMIT",
    "howdah.route": f"- SET howdah.route = 'primary' ;; {SNAPSHOT}P TABLE t ;; P TABLE t ;; - COMMIT",
    "a hint": f"{SNAPSHOT}P /* howdah: route=primary */ TABLE t ;; P TABLE t ;; - COMMIT",
    "a lock later": f"{SNAPSHOT}R TABLE t ;; -!40001 SELECT pg_advisory_xact_lock(5){AGAIN}",
    "a listener": f"{SNAPSHOT}R TABLE t ;; -!40001 LISTEN c{AGAIN}",
    "a transaction id": f"{SNAPSHOT}R TABLE t ;; -!40001 SELECT txid_current(){AGAIN}",
    "a snapshot for others": f"{SNAPSHOT}R TABLE t ;; -!40001 SELECT pg_export_snapshot(){AGAIN}",
    "a table lock": f"{SNAPSHOT}R TABLE t ;; -!40001 LOCK TABLE t IN ACCESS SHARE MODE{AGAIN}",
    "a function that may write": f"{SNAPSHOT}R TABLE t ;; -!40001 SELECT wraps(1){AGAIN}",
    "a cursor over such": f"{SNAPSHOT}R TABLE t ;; -!40001 DECLARE c CURSOR FOR SELECT writes(1){AGAIN}",
    "a procedure": f"{SNAPSHOT}R TABLE t ;; -!40001 CALL proc(){AGAIN}",
    "more behind its end": f"{SNAPSHOT}R TABLE t ;; -!40001 COMMIT; UPDATE t SET v = v WHERE id = 3{AGAIN}",
}

# What the session itself asks for.
OWN_SETTINGS = {
    "eventual reads do not wait for a replica":
        "- SET howdah.consistency = 'eventual' ;; P UPDATE t SET v = v WHERE id = 6 ;; N SELECT 1 ;;"
        " P UPDATE t SET v = v WHERE id = 6 ;; N SELECT 2",
    "howdah.route": "- SET howdah.route = 'replica' ;; R SELECT 1 ;; -!25006 UPDATE t SET v = v ;; R SELECT 2",
    "a hint": "-!25006 /* howdah: route=replica */ UPDATE t SET v = v ;; R SELECT 2",
}

UNTIL_WRITE = {
    "reads, then a write":
        "- BEGIN ;; R SELECT 1 ;; R SELECT * FROM t ;; P UPDATE t SET v = v WHERE id = 7 ;;"
        " P SELECT * FROM t ;; - COMMIT",
    "reads alone": "- BEGIN ;; R TABLE t ;; R TABLE plain ;; - COMMIT ;; R SELECT 1",
    "reads, given up": "- BEGIN ;; R TABLE t ;; - ROLLBACK ;; R SELECT 1",
    "read committed, said so": "- BEGIN ISOLATION LEVEL READ COMMITTED ;; R TABLE t ;; - COMMIT",
    "repeatable read stays": "- BEGIN ISOLATION LEVEL REPEATABLE READ ;; P TABLE t ;; P SELECT 1 ;; - COMMIT",
    "serializable stays": "- BEGIN ISOLATION LEVEL SERIALIZABLE ;; P TABLE t ;; - COMMIT",
    "by default repeatable read":
        "- SET default_transaction_isolation = 'repeatable read' ;; - BEGIN ;; P TABLE t ;; P TABLE t ;; - COMMIT",
    "set in the transaction":
        "- BEGIN ;; - SET TRANSACTION ISOLATION LEVEL REPEATABLE READ ;; P TABLE t ;; - COMMIT",
    "now() is the transaction's": "- BEGIN ;; P SELECT now() ;; P TABLE t ;; - COMMIT",
    "current_timestamp": "- BEGIN ;; R TABLE t ;; P SELECT current_timestamp ;; P TABLE t ;; - COMMIT",
    "now() in a view": "- BEGIN ;; R TABLE t ;; P SELECT count(*) FROM moment ;; P TABLE t ;; - COMMIT",
    "now() in a function": "- BEGIN ;; P SELECT since('2020-01-01') ;; P TABLE t ;; - COMMIT",
    "current_date": "- BEGIN ;; P SELECT current_date ;; - COMMIT",
    "'now'::timestamptz": "- BEGIN ;; P SELECT 'now'::timestamptz ;; - COMMIT",
    "$$now$$::timestamptz": "- BEGIN ;; P SELECT $$now$$::timestamptz ;; - COMMIT",
    "E'Now'::timestamptz": "- BEGIN ;; P SELECT E'Now'::timestamptz ;; - COMMIT",
    "'04:05 today'": "- BEGIN ;; P SELECT '04:05 today'::timestamptz, ' now'::timestamptz ;; - COMMIT",
    "no time in a text": "- BEGIN ;; R SELECT 'nowhere', 'snow', $$todays$$ ;; - COMMIT",
    "transaction_timestamp()": "- BEGIN ;; P SELECT transaction_timestamp() ;; - COMMIT",
    "age()": "- BEGIN ;; P SELECT age(timestamp '2020-01-01') ;; - COMMIT",
    "txid_current": "- BEGIN ;; R TABLE t ;; P SELECT txid_current() ;; P TABLE t ;; - COMMIT",
    "pg_current_snapshot": "- BEGIN ;; P SELECT pg_current_snapshot() ;; - COMMIT",
    "pg_backend_pid": "- BEGIN ;; P SELECT pg_backend_pid() ;; - COMMIT",
    "row locks": "- BEGIN ;; R TABLE t ;; P SELECT * FROM t WHERE id = 1 FOR UPDATE ;; P TABLE t ;; - COMMIT",
    "table locks": "- BEGIN ;; P LOCK TABLE t IN ACCESS SHARE MODE ;; P TABLE t ;; - COMMIT",
    "advisory locks": "- BEGIN ;; P SELECT pg_advisory_xact_lock(9) ;; P TABLE t ;; - COMMIT",
    "sequences": "- BEGIN ;; P SELECT nextval('s') ;; P TABLE t ;; - COMMIT",
    "volatile functions": "- BEGIN ;; R TABLE t ;; P SELECT writes(1) ;; P TABLE t ;; - COMMIT",
    "savepoints": "- BEGIN ;; R TABLE t ;; - SAVEPOINT a ;; P TABLE t ;; - ROLLBACK TO a ;; P TABLE t ;; - COMMIT",
    "SET LOCAL": "- BEGIN ;; - SET LOCAL work_mem = '1MB' ;; P=1MB SELECT current_setting('work_mem') ;; - COMMIT",
    "SET": "- BEGIN ;; - SET work_mem = '1MB' ;; P=1MB SELECT current_setting('work_mem') ;; - ROLLBACK ;;"
           " -=4MB SELECT current_setting('work_mem')",
    "set_config": "- BEGIN ;; P SELECT set_config('work_mem', '1MB', true) ;; P SELECT 1 ;; - COMMIT",
    "cursors": "- BEGIN ;; R TABLE t ;; P DECLARE c CURSOR FOR TABLE t ;; P FETCH c ;; - COMMIT",
    "temporary tables": "- BEGIN ;; R TABLE t ;; P CREATE TEMP TABLE tt (a int) ;; P TABLE tt ;; P TABLE t ;;"
        " - ROLLBACK",
    "DDL": "- BEGIN ;; R TABLE t ;; P CREATE TABLE made (a int) ;; P TABLE made ;; - ROLLBACK",
    "an error fails the transaction":
        "- BEGIN ;; R!22012 SELECT 1/0 ;; -!25P02 SELECT 1 ;; -!25P02 UPDATE t SET v = v ;;"
        " - COMMIT ;; R SELECT 1",
    "read only": "- BEGIN READ ONLY ;; R TABLE t ;; R SELECT 1 ;; - COMMIT",
    "unlogged tables": "- BEGIN ;; R TABLE t ;; T TABLE unlogged ;; - COMMIT",
    "one statement, one answer": "- BEGIN ;; R=50 SELECT count(*) FROM t ;; - COMMIT",
}



STEP = re.compile(r"([PRNT-])(?:=(\S+)|!(\w{5}))? (.*)", re.S)


SHOWN_S = 3  # within which a replica shows what the session has seen, on a busy machine too
BEGINS, ENDS = re.compile("BEGIN|START"), re.compile("COMMIT|END|ROLLBACK$")


# --- playing it -----------------------------------------------------------------------------------


def set_up(primary, text=SETUP):
    """Makes what the statements use, in database app."""
    for sql in text.split(";\n"):
        primary.psql(sql, db="app")


def single_rows(statements):
    """A row for each statement."""
    return [(step, [step]) for step in statements]


def script_rows(scripts):
    """A row for each script."""
    return [(name, [step.strip() for step in text.split(";;")]) for name, text in scripts.items()]


def wrong_place(place, ran):
    """Whether a statement that had to run in this place did not: "", "later" (what is read may be
    read at the primary for a while: the catalog is being read anew, a replica is behind), or "no"."""
    if place == "P":
        return "no" if ran - {0} else ""
    if place == "T":
        return "no" if 0 not in ran else ""
    if place in "RN":
        return "" if ran and 0 not in ran else "no" if ran - {0} else "later"
    return ""


def play_once(connect, steps, where):
    """One session; what was wrong, and whether a later try may be right. connect() is a context
    that gives run(sql, number) -> (rows, SQLSTATE or None)."""
    faults, later, block = [], True, False
    with connect() as run:
        for number, step in enumerate(steps):
            place, value, state, plain = STEP.fullmatch(step).groups()
            state = state or WANTED_ERRORS.get(step)
            mark, sql = where.marked(plain)
            end = time.monotonic() + (SHOWN_S if place == "R" and not block else 0)
            try:
                while True:
                    found, error = run(sql, number)
                    ran = where.ran(mark)
                    if ran != {0} or time.monotonic() > end:
                        break
                    mark, sql = where.marked(plain)
                    time.sleep(0.02)
            except (TimeoutError, OSError) as lost:
                raise AssertionError(f"{step!r} of {steps}: {lost!r}") from lost
            block = not ENDS.match(plain) and (block or bool(BEGINS.match(plain)))
            told = f"{step!r} ran on {sorted(ran)} and answered {error or str(found)[:80]}"
            # An error in Parse or Bind comes before the statement is logged.
            wrong = wrong_place(place, ran) if ran or not state else ""
            if wrong or error != state or (value is not None and str(found[0][0]) != value):
                faults.append(told)
                later = later and (wrong == "later" or not wrong)
            elif place == "P" and not ran and not state:
                faults.append(f"{told}: nowhere")
    return faults, later


def play(connect, steps, where, tries=3):
    """Plays a row, again while that may mend it; what was wrong at last."""
    faults = []
    for turn in range(tries):
        faults, later = play_once(connect, steps, where)
        if not faults or not later:
            break
        time.sleep(0.05 * turn)
    return faults
