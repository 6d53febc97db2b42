"""psycopg 3: the extended protocol of libpq, synchronous, asynchronous and in pipelines."""

import asyncio
import os
import sys
import threading
import time

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import psycopg  # noqa: E402
from psycopg import errors  # noqa: E402
from psycopg.rows import dict_row  # noqa: E402
from psycopg.types.json import Jsonb  # noqa: E402
from psycopg_pool import AsyncConnectionPool, ConnectionPool  # noqa: E402

from client_suite import Skip, Suite, equal, in_threads, raises, true  # noqa: E402

suite = Suite("psycopg3")
T = suite.table("items")


def connect(**kwargs):
    return psycopg.connect(suite.dsn, **kwargs)


@suite.check("connect and version")
def _():
    with connect() as conn:
        true(conn.info.server_version >= 140000, f"server_version {conn.info.server_version}")
        equal(conn.info.encoding, "utf-8")
        equal(conn.execute("SELECT current_database()").fetchone()[0], conn.info.dbname)


@suite.check("server-side binding, text and binary")
def _():
    with connect() as conn:
        values = (7, 2.5, "ü", b"\x00\xff", Jsonb({"a": [1, 2]}), [1, None, 3])
        for binary in (False, True):
            got = conn.execute(
                "SELECT %s::int8, %s::float8, %s::text, %s::bytea, %s::jsonb, %s::int4[]", values, binary=binary
            ).fetchone()
            equal(got[:4] + got[5:], (7, 2.5, "ü", b"\x00\xff", [1, None, 3]))
            equal(got[4], {"a": [1, 2]})


@suite.check("executemany is pipelined")
def _():
    with connect() as conn:
        conn.execute(f"DROP TABLE IF EXISTS {T}")
        conn.execute(f"CREATE TABLE {T} (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, who text, n int)")
        with conn.cursor() as cur:
            cur.executemany(
                f"INSERT INTO {T} (who, n) VALUES (%s, %s) RETURNING n",
                [("many", i) for i in range(300)],
                returning=True,
            )
            got = []
            while True:
                got.append(cur.fetchone()[0])
                if not cur.nextset():
                    break
            equal(got, list(range(300)))


@suite.check("prepared after the threshold, over many transactions")
def _():
    with connect(autocommit=True) as conn:
        conn.prepare_threshold = 2
        for i in range(30):
            equal(conn.execute("SELECT %s::int + 1", (i,)).fetchone()[0], i + 1)
        for i in range(30):
            with conn.transaction():
                equal(conn.execute("SELECT %s::int * 2", (i,), prepare=True).fetchone()[0], i * 2)


@suite.check("prepared statements evicted and made again")
def _():
    with connect(autocommit=True) as conn:
        conn.prepare_threshold, conn.prepared_max = 0, 5
        for _ in range(3):
            for i in range(12):
                equal(conn.execute(f"SELECT %s::int + {i}", (1,)).fetchone()[0], 1 + i)


@suite.check("prepared statements after a rollback")
def _():
    with connect() as conn:
        conn.prepare_threshold = 0
        for i in range(5):
            equal(conn.execute("SELECT %s::int - 1", (i,)).fetchone()[0], i - 1)
            conn.rollback()


@suite.check("error, aborted transaction, recovery")
def _():
    with connect() as conn:
        with raises(errors.DivisionByZero, "22012"):
            conn.execute("SELECT 1/%s::int", (0,))
        with raises(errors.InFailedSqlTransaction, "25P02"):
            conn.execute("SELECT 1")
        conn.rollback()
        equal(conn.execute("SELECT 1").fetchone(), (1,))


@suite.check("nested transactions are savepoints")
def _():
    with connect() as conn:
        with conn.transaction():
            conn.execute(f"INSERT INTO {T} (who) VALUES ('outer')")
            try:
                with conn.transaction():
                    conn.execute(f"INSERT INTO {T} (who) VALUES ('inner')")
                    raise ValueError
            except ValueError:
                pass
        got = conn.execute(f"SELECT who FROM {T} WHERE who IN ('outer', 'inner')").fetchall()
        equal(got, [("outer",)])


@suite.check("pipeline mode")
def _():
    with connect(autocommit=True) as conn, conn.pipeline() as pipe:
        cursors = [conn.execute("SELECT %s::int", (i,)) for i in range(100)]
        pipe.sync()
        equal([cur.fetchone()[0] for cur in cursors], list(range(100)))


@suite.check("pipeline with an error in the middle")
def _():
    with connect(autocommit=True) as conn:
        with raises(errors.DivisionByZero, "22012"):
            with conn.pipeline() as pipe:
                first = conn.execute("SELECT 'first'")
                conn.execute("SELECT 1/0")
                conn.execute("SELECT 'skipped'")
                pipe.sync()
        equal(first.fetchone(), ("first",))
        equal(conn.execute("SELECT 'after'").fetchone(), ("after",))


@suite.check("pipeline inside a transaction is one backend")
def _():
    with connect() as conn, conn.pipeline() as pipe:
        cursors = [conn.execute("SELECT pg_backend_pid()") for _ in range(20)]
        pipe.sync()
        equal(len({cur.fetchone()[0] for cur in cursors}), 1, "backends of one transaction")


@suite.check("COPY in and out, text and binary")
def _():
    with connect() as conn, conn.cursor() as cur:
        with cur.copy(f"COPY {T} (who, n) FROM STDIN") as copy:
            for i in range(5000):
                copy.write_row(("copied", i))
        with cur.copy(f"COPY {T} (who, n) FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["text", "int4"])
            for i in range(5000):
                copy.write_row(("copied b", i))
        with cur.copy(f"COPY (SELECT n FROM {T} WHERE who LIKE 'copied%%' ORDER BY n) TO STDOUT") as copy:
            copy.set_types(["int4"])
            equal(sum(row[0] for row in copy.rows()), 2 * 12497500)


@suite.check("COPY in given up by the client")
def _():
    with connect() as conn:
        before = conn.execute(f"SELECT count(*) FROM {T}").fetchone()
        conn.commit()
        with raises(errors.QueryCanceled, "57014"):
            with conn.cursor().copy(f"COPY {T} (who, n) FROM STDIN") as copy:
                copy.write_row(("x", 1))
                raise errors.QueryCanceled("the client gives up")
        conn.rollback()
        equal(conn.execute(f"SELECT count(*) FROM {T}").fetchone(), before)


@suite.check("COPY out abandoned half way")
def _():
    with connect() as conn:
        try:
            with conn.cursor().copy("COPY (SELECT generate_series(1, 200000)) TO STDOUT") as copy:
                equal(bytes(copy.read()), b"1\n")
                raise ValueError
        except ValueError:
            pass
        conn.rollback()
        equal(conn.execute("SELECT 1").fetchone(), (1,))


@suite.check("named cursor in a transaction")
def _():
    with connect() as conn, conn.cursor("walk", scrollable=True) as cur:
        cur.execute("SELECT g FROM generate_series(1, 2000) g")
        equal(len(cur.fetchmany(150)), 150)
        cur.scroll(-100)
        equal(cur.fetchone(), (51,))


@suite.check("stream row by row")
def _():
    with connect() as conn:
        total = sum(r[0] for r in conn.cursor().stream("SELECT generate_series(1, %s)", (30000,)))
        equal(total, 450015000)


@suite.check("cancel")
def _():
    with connect() as conn:
        threading.Timer(0.5, conn.cancel_safe).start()
        begun = time.monotonic()
        with raises(errors.QueryCanceled, "57014"):
            conn.execute("SELECT pg_sleep(30)")
        true(time.monotonic() - begun < 10, "the cancel took effect late")
        conn.rollback()
        equal(conn.execute("SELECT 1").fetchone(), (1,))


@suite.check("protocol 3.2 asked for: the longer cancel key works")
def _():
    if psycopg.pq.version() < 180000:
        raise Skip(f"libpq {psycopg.pq.version()} speaks 3.0 only")
    with psycopg.connect(suite.dsn, max_protocol_version="3.2") as conn:
        threading.Timer(0.5, conn.cancel_safe).start()
        with raises(errors.QueryCanceled, "57014"):
            conn.execute("SELECT pg_sleep(30)")
        conn.rollback()
        equal(conn.execute("SELECT 1").fetchone(), (1,))


@suite.check("notices and diagnostics")
def _():
    with connect() as conn:
        seen = []
        conn.add_notice_handler(lambda diag: seen.append((diag.severity, diag.message_primary)))
        conn.execute("DO $$ BEGIN RAISE WARNING 'careful'; END $$")
        equal(seen, [("WARNING", "careful")])


@suite.check("asynchronous connection")
def _():
    async def run():
        async with await psycopg.AsyncConnection.connect(suite.dsn, row_factory=dict_row) as conn:
            cur = await conn.execute("SELECT %s::int AS n", (5,))
            equal(await cur.fetchone(), {"n": 5})
            task = asyncio.create_task(conn.execute("SELECT pg_sleep(30)"))
            await asyncio.sleep(0.5)
            await conn.cancel_safe()
            with raises(errors.QueryCanceled, "57014"):
                await task
            await conn.rollback()

    asyncio.run(run())


@suite.check("two-phase commit works, or is refused as directly")
def _():
    conn = connect()
    limit = int(conn.execute("SHOW max_prepared_transactions").fetchone()[0])
    conn.rollback()
    conn.tpc_begin(conn.xid(1, f"g-{T}", "b"))
    conn.execute("SELECT 1")
    if limit == 0:
        with raises(psycopg.NotSupportedError):
            conn.tpc_prepare()
    else:
        conn.tpc_prepare()
        conn.tpc_rollback()
    conn.close()


@suite.check("SET lasts for the session")
def _():
    with connect() as conn:
        conn.execute("SET work_mem = '7MB'")
        conn.commit()
        equal(conn.execute("SHOW work_mem").fetchone(), ("7MB",))


@suite.check("LISTEN and NOTIFY")
def _():
    with connect(autocommit=True) as conn, connect(autocommit=True) as other:
        conn.execute(f"LISTEN {T}")
        other.execute(f"NOTIFY {T}, 'hello'")
        equal([n.payload for n in conn.notifies(timeout=10, stop_after=1)], ["hello"])


def witness(conn, me, turn):
    got = conn.execute("SELECT %s::text, g FROM generate_series(1, %s::int) g", (me, 30 + turn)).fetchall()
    true(got == [(me, i + 1) for i in range(30 + turn)], f"{me} got {got[:1]}")
    with conn.pipeline():
        cursors = [conn.execute("SELECT %s::text, %s::int", (me, i)) for i in range(10)]
        equal([cur.fetchone() for cur in cursors], [(me, i) for i in range(10)])
    with conn.transaction():
        conn.execute(f"INSERT INTO {T} (who, n) VALUES (%s, %s)", (me, turn))
        got = conn.execute(f"SELECT n FROM {T} WHERE who = %s ORDER BY n", (me,)).fetchall()
        equal(got, [(i,) for i in range(turn + 1)])


@suite.check("witness: 12 workers of a pool see only their own rows")
def _():
    with ConnectionPool(suite.dsn, min_size=2, max_size=12, kwargs={"autocommit": True}) as pool:

        def work(number):
            for turn in range(20):
                with pool.connection() as conn:
                    conn.prepare_threshold = 1
                    witness(conn, f"worker {number}", turn)

        in_threads(12, work)


@suite.check("witness: 16 asynchronous workers over 6 connections")
def _():
    async def work(pool, number):
        me = f"async {number}"
        for turn in range(20):
            async with pool.connection() as conn:
                cur = await conn.execute("SELECT %s::text FROM generate_series(1, 20)", (me,), prepare=True)
                true({row[0] for row in await cur.fetchall()} == {me}, f"{me} got another's rows")

    async def run():
        async with AsyncConnectionPool(suite.dsn, min_size=2, max_size=6, open=False) as pool:
            await asyncio.gather(*(work(pool, n) for n in range(16)))

    asyncio.run(run())
    with connect() as conn:
        conn.execute(f"DROP TABLE {T}")


if __name__ == "__main__":
    suite.main()
