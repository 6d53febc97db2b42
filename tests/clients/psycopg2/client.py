"""psycopg2: the simple protocol of libpq, transactions opened by the driver."""

import io
import os
import select
import sys
import threading
import time

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import psycopg2  # noqa: E402
import psycopg2.extensions as ext  # noqa: E402
from psycopg2.extras import DictCursor, execute_values  # noqa: E402
from psycopg2.pool import ThreadedConnectionPool  # noqa: E402

from client_suite import Suite, equal, in_threads, raises, true  # noqa: E402

suite = Suite("psycopg2")
T = suite.table("items")


def connect(**params):
    return psycopg2.connect(suite.dsn_with(**params))


def rows(conn, sql, args=None):
    with conn.cursor() as cur:
        cur.execute(sql, args)
        return cur.fetchall() if cur.description else None


@suite.check("connect and version")
def _():
    with connect(application_name="c-psycopg2") as conn:
        true(conn.server_version >= 140000, f"server_version {conn.server_version}")
        equal(conn.get_parameter_status("client_encoding"), "UTF8")
        equal(conn.get_parameter_status("application_name"), "c-psycopg2")
        equal(conn.info.backend_pid > 0, True, "backend pid is set")


@suite.check("create, insert, read back")
def _():
    with connect() as conn:
        rows(conn, f"DROP TABLE IF EXISTS {T}")
        rows(conn, f"CREATE TABLE {T} (id serial PRIMARY KEY, who text, n int)")
        with conn.cursor() as cur:
            execute_values(cur, f"INSERT INTO {T} (who, n) VALUES %s", [("a", i) for i in range(500)])
        equal(rows(conn, f"SELECT count(*), sum(n) FROM {T}"), [(500, 124750)])


@suite.check("rollback undoes, commit keeps")
def _():
    conn = connect()
    rows(conn, f"INSERT INTO {T} (who) VALUES ('rolled back')")
    conn.rollback()
    rows(conn, f"INSERT INTO {T} (who) VALUES ('kept')")
    conn.commit()
    conn.close()
    with connect() as conn:
        equal(rows(conn, f"SELECT who FROM {T} WHERE who IN ('kept', 'rolled back')"), [("kept",)])


@suite.check("a transaction stays on one server")
def _():
    with connect() as conn:
        pids = {rows(conn, "SELECT pg_backend_pid()")[0][0] for _ in range(20)}
        equal(len(pids), 1, "backends of one transaction")
        xid = rows(conn, "SELECT pg_current_xact_id()::text")
        equal(rows(conn, "SELECT pg_current_xact_id()::text"), xid)


@suite.check("error, aborted transaction, recovery")
def _():
    conn = connect()
    with raises(psycopg2.errors.DivisionByZero, "22012"):
        rows(conn, "SELECT 1/0")
    equal(conn.info.transaction_status, ext.TRANSACTION_STATUS_INERROR)
    with raises(psycopg2.errors.InFailedSqlTransaction, "25P02"):
        rows(conn, "SELECT 1")
    conn.rollback()
    equal(rows(conn, "SELECT 2"), [(2,)])
    conn.close()


@suite.check("error fields")
def _():
    conn = connect()
    try:
        rows(conn, f"INSERT INTO {T} (id, who) SELECT id, 'twice' FROM {T} LIMIT 1")
    except psycopg2.errors.UniqueViolation as error:
        equal(error.diag.constraint_name, f"{T}_pkey")
        equal(error.diag.table_name, T)
        true("already exists" in error.diag.message_detail, error.diag.message_detail)
    conn.rollback()
    try:
        rows(conn, "SELECT nope FROM pg_class")
    except psycopg2.errors.UndefinedColumn as error:
        equal(error.diag.statement_position, "8")
    conn.close()


@suite.check("savepoints")
def _():
    with connect() as conn:
        rows(conn, "SAVEPOINT a")
        with raises(psycopg2.errors.UndefinedTable, "42P01"):
            rows(conn, "SELECT * FROM no_such_table_at_all")
        rows(conn, "ROLLBACK TO SAVEPOINT a")
        equal(rows(conn, "SELECT 'alive'"), [("alive",)])
        rows(conn, "RELEASE SAVEPOINT a")


@suite.check("autocommit, and what forbids a transaction")
def _():
    conn = connect()
    conn.autocommit = True
    rows(conn, f"VACUUM {T}")
    equal(rows(conn, "SELECT 1; SELECT 2, 3"), [(2, 3)])
    conn.close()


@suite.check("isolation levels")
def _():
    conn = connect()
    for level, name in (
        (ext.ISOLATION_LEVEL_SERIALIZABLE, "serializable"),
        (ext.ISOLATION_LEVEL_REPEATABLE_READ, "repeatable read"),
        (ext.ISOLATION_LEVEL_READ_COMMITTED, "read committed"),
    ):
        conn.set_isolation_level(level)
        equal(rows(conn, "SHOW transaction_isolation"), [(name,)])
        conn.rollback()
    conn.set_session(readonly=True)
    with raises(psycopg2.errors.ReadOnlySqlTransaction, "25006"):
        rows(conn, f"DELETE FROM {T}")
    conn.rollback()
    conn.close()


@suite.check("named cursor in a transaction")
def _():
    with connect() as conn, conn.cursor("walk") as cur:
        cur.itersize = 100
        cur.execute("SELECT g FROM generate_series(1, 5000) g")
        equal(sum(row[0] for row in cur), 12502500)


@suite.check("named cursor WITH HOLD")
def _():
    conn = connect()
    cur = conn.cursor("held", withhold=True)
    cur.execute("SELECT g FROM generate_series(1, 100) g")
    equal(len(cur.fetchmany(10)), 10)
    conn.commit()
    equal(len(cur.fetchall()), 90)
    cur.close()
    conn.close()


@suite.check("COPY in and out")
def _():
    with connect() as conn, conn.cursor() as cur:
        data = "".join(f"copied\t{i}\n" for i in range(20000))
        cur.copy_expert(f"COPY {T} (who, n) FROM STDIN", io.StringIO(data))
        equal(cur.rowcount, 20000)
        out = io.StringIO()
        cur.copy_expert(f"COPY (SELECT who, n FROM {T} WHERE who = 'copied' ORDER BY n) TO STDOUT", out)
        equal(out.getvalue() == data, True, "what came out is what went in")


@suite.check("COPY with a bad line fails cleanly")
def _():
    conn = connect()
    with conn.cursor() as cur, raises(psycopg2.errors.InvalidTextRepresentation, "22P02"):
        cur.copy_expert(f"COPY {T} (who, n) FROM STDIN", io.StringIO("x\t1\ny\tnot a number\n"))
    conn.rollback()
    equal(rows(conn, "SELECT 1"), [(1,)])
    conn.close()


@suite.check("notices arrive")
def _():
    with connect() as conn:
        rows(conn, "DO $$ BEGIN RAISE NOTICE 'hear me %', 7; END $$")
        true(any("hear me 7" in notice for notice in conn.notices), f"notices {conn.notices}")


@suite.check("large objects")
def _():
    with connect() as conn:
        lobject = conn.lobject(0, "wb")
        lobject.write(b"\x00\xff" * 50000)
        lobject.seek(0)
        conn.lobject(lobject.oid, "rb").read()
        equal(len(conn.lobject(lobject.oid, "rb").read()), 100000)
        lobject.unlink()


@suite.check("wide and long values")
def _():
    with connect() as conn:
        text = "ä€😀" * 400000
        equal(rows(conn, "SELECT %s::text", (text,))[0][0] == text, True, "8 MB there and back")
        wide = "SELECT " + ",".join(f"{i} AS c{i}" for i in range(1600))
        equal(len(rows(conn, wide)[0]), 1600)


@suite.check("cancel from another thread")
def _():
    conn = connect()
    timer = threading.Timer(0.5, conn.cancel)
    timer.start()
    begun = time.monotonic()
    with raises(psycopg2.errors.QueryCanceled, "57014"):
        rows(conn, "SELECT pg_sleep(30)")
    true(time.monotonic() - begun < 10, "the cancel took effect late")
    conn.rollback()
    equal(rows(conn, "SELECT 1"), [(1,)])
    conn.close()


@suite.check("asynchronous connection")
def _():
    def wait(conn):
        while (state := conn.poll()) != ext.POLL_OK:
            ready = ([conn], []) if state == ext.POLL_READ else ([], [conn])
            select.select(*ready, [], 10)

    conn = psycopg2.connect(suite.dsn, async_=True)
    wait(conn)
    cur = conn.cursor(cursor_factory=DictCursor)
    cur.execute("SELECT 42 AS answer")
    wait(conn)
    equal(cur.fetchone()["answer"], 42)
    conn.close()


@suite.check("SET lasts for the session")
def _():
    with connect() as conn:
        rows(conn, "SET statement_timeout = '12345ms'")
        conn.commit()
        equal(rows(conn, "SHOW statement_timeout"), [("12345ms",)])


@suite.check("PREPARE, temporary table, advisory lock")
def _():
    with connect() as conn:
        for sql in (
            "PREPARE p AS SELECT $1::int + 1",
            "CREATE TEMP TABLE tmp AS SELECT 5 AS v",
            "SELECT pg_advisory_lock(4711)",
        ):
            rows(conn, sql)
            conn.commit()
        equal(rows(conn, "EXECUTE p(1)"), [(2,)])
        conn.commit()
        equal(rows(conn, "SELECT v FROM tmp"), [(5,)])
        conn.commit()
        equal(rows(conn, "SELECT pg_advisory_unlock(4711)"), [(True,)])


@suite.check("LISTEN and NOTIFY")
def _():
    conn, other = connect(), connect()
    conn.autocommit = other.autocommit = True
    rows(conn, f"LISTEN {T}")
    rows(other, f"NOTIFY {T}, 'hello'")
    select.select([conn], [], [], 10)
    conn.poll()
    equal([note.payload for note in conn.notifies], ["hello"])
    conn.close()
    other.close()


@suite.check("witness: 12 workers see only their own rows")
def _():
    pool = ThreadedConnectionPool(1, 12, suite.dsn)

    def work(number):
        me = f"worker {number}"
        for turn in range(25):
            conn = pool.getconn()
            got = rows(conn, "SELECT %s, g FROM generate_series(1, %s) g", (me, 50 + turn))
            true(all(row == (me, i + 1) for i, row in enumerate(got)), f"{me} got {got[:1]}")
            rows(conn, f"INSERT INTO {T} (who, n) VALUES (%s, %s)", (me, turn))
            try:
                rows(conn, "DO $$ BEGIN RAISE EXCEPTION 'for %s'; END $$", (psycopg2.extensions.AsIs(me),))
            except psycopg2.errors.RaiseException as error:
                true(f"for {me}" in str(error), f"{me} got the error {error}")
                conn.rollback()
            rows(conn, f"INSERT INTO {T} (who, n) VALUES (%s, %s)", (me, turn))
            conn.commit()
            pool.putconn(conn)

    in_threads(12, work)
    with connect() as conn:
        equal(rows(conn, f"SELECT count(*) FROM {T} WHERE who LIKE 'worker %%'"), [(300,)])
        rows(conn, f"DROP TABLE {T}")


if __name__ == "__main__":
    suite.main()
