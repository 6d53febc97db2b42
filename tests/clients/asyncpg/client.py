"""asyncpg: its own protocol code, every statement prepared, results in binary."""

import asyncio
import datetime
import decimal
import functools
import os
import sys
import uuid

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import asyncpg  # noqa: E402

from client_suite import Suite, equal, raises, true  # noqa: E402

suite = Suite("asyncpg")
T = suite.table("items")
DSN = suite.dsn_with()


def check(name):
    """A check over one connection: async def f(conn)."""

    def keep(function):
        @functools.wraps(function)
        def run():
            async def body():
                conn = await asyncpg.connect(DSN)
                try:
                    await function(conn)
                finally:
                    conn.terminate()

            asyncio.run(asyncio.wait_for(body(), 55))

        suite.check(name)(run)
        return function

    return keep


@check("connect and version")
async def _(conn):
    true(conn.get_server_version().major >= 14, str(conn.get_server_version()))
    equal(conn.get_settings().client_encoding, "UTF8")
    await conn.close()


@check("types, both ways in binary")
async def _(conn):
    values = [
        True,
        5,
        2**40,
        1.5,
        decimal.Decimal("12.3400"),
        "ü",
        b"\0\xff",
        uuid.UUID(int=7),
        datetime.date(2026, 1, 2),
        datetime.timedelta(days=1, seconds=3),
        [1, 2, None],
    ]
    types = "bool int4 int8 float8 numeric text bytea uuid date interval int4[]".split()
    sql = "SELECT " + ", ".join(f"${i + 1}::{t}" for i, t in enumerate(types))
    equal(list(await conn.fetchrow(sql, *values)), values)


@check("type introspection: enum, composite, array of enum")
async def _(conn):
    await conn.execute(f"DROP TABLE IF EXISTS {T}; DROP TYPE IF EXISTS {T}_pair; DROP TYPE IF EXISTS {T}_mood")
    await conn.execute(f"CREATE TYPE {T}_mood AS ENUM ('sad', 'glad')")
    await conn.execute(f"CREATE TYPE {T}_pair AS (a int, m {T}_mood)")
    row = await conn.fetchrow(f"SELECT ROW(3, 'glad')::{T}_pair AS p, $1::{T}_mood[] AS m", ["sad", "glad"])
    equal((row["p"]["a"], row["p"]["m"], row["m"]), (3, "glad", ["sad", "glad"]))
    await conn.execute(f"DROP TYPE {T}_pair; DROP TYPE {T}_mood")
    await conn.execute(f"CREATE TABLE {T} (id serial PRIMARY KEY, who text, n int)")


@check("prepared statement over many transactions")
async def _(conn):
    stmt = await conn.prepare("SELECT $1::int + 1 AS next")
    equal([a.name for a in stmt.get_attributes()], ["next"])
    for i in range(30):
        equal(await stmt.fetchval(i), i + 1)
    async with conn.transaction():
        equal(await stmt.fetchval(99), 100)


@check("statement cache on: the same and other statements")
async def _(conn):
    for turn in range(3):
        for i in range(130):
            equal(await conn.fetchval(f"SELECT $1::int + {i}", turn), turn + i)


@check("executemany")
async def _(conn):
    await conn.executemany(f"INSERT INTO {T} (who, n) VALUES ($1, $2)", [("many", i) for i in range(500)])
    equal(await conn.fetchval(f"SELECT sum(n) FROM {T} WHERE who = 'many'"), 124750)
    if hasattr(conn, "fetchmany"):
        got = await conn.fetchmany(
            f"INSERT INTO {T} (who, n) VALUES ('f', $1) RETURNING n", [(i,) for i in range(50)]
        )
        equal([row["n"] for row in got], list(range(50)))


@check("executemany with a bad row is all or nothing")
async def _(conn):
    with raises(asyncpg.UniqueViolationError, "23505"):
        await conn.executemany(f"INSERT INTO {T} (id, who) VALUES ($1, 'bad')", [(900001,), (900002,), (900001,)])
    equal(await conn.fetchval(f"SELECT count(*) FROM {T} WHERE who = 'bad'"), 0)


@check("transactions and savepoints")
async def _(conn):
    async with conn.transaction(isolation="repeatable_read"):
        equal(await conn.fetchval("SHOW transaction_isolation"), "repeatable read")
        try:
            async with conn.transaction():
                await conn.execute(f"INSERT INTO {T} (who) VALUES ('inner')")
                await conn.execute("SELECT 1/0")
        except asyncpg.DivisionByZeroError:
            pass
        equal(await conn.fetchval(f"SELECT count(*) FROM {T} WHERE who = 'inner'"), 0)
        pids = {await conn.fetchval("SELECT pg_backend_pid()") for _ in range(10)}
        equal(len(pids), 1, "backends of one transaction")


@check("cursor in a transaction")
async def _(conn):
    async with conn.transaction():
        total = 0
        async for row in conn.cursor("SELECT g FROM generate_series(1, $1::int) g", 5000, prefetch=123):
            total += row["g"]
        equal(total, 12502500)
        cur = await conn.cursor("SELECT g FROM generate_series(1, 100) g")
        equal(len(await cur.fetch(7)), 7)
        equal(await cur.forward(10), 10)
        equal((await cur.fetchrow())["g"], 18)


@check("copy_records_to_table and copy out")
async def _(conn):
    equal(
        await conn.copy_records_to_table(T, records=[("copied", i) for i in range(20000)], columns=["who", "n"]),
        "COPY 20000",
    )
    chunks = []

    async def take(data):
        chunks.append(bytes(data))

    await conn.copy_from_query(f"SELECT n FROM {T} WHERE who = 'copied' ORDER BY n", output=take)
    equal(sum(int(line) for line in b"".join(chunks).split()), 199990000)


@check("copy in with a bad value")
async def _(conn):
    async def source():
        yield b"x\t1\n"
        yield b"y\tnot a number\n"

    with raises(asyncpg.InvalidTextRepresentationError, "22P02"):
        await conn.copy_to_table(T, source=source(), columns=["who", "n"])
    equal(await conn.fetchval("SELECT 1"), 1)


@check("errors carry their fields, the connection lives on")
async def _(conn):
    try:
        await conn.execute("SELECT * FROM no_such_table_at_all")
    except asyncpg.UndefinedTableError as error:
        equal((error.sqlstate, error.position), ("42P01", "15"))
    with raises(asyncpg.RaiseError, "P0001"):
        await conn.execute("DO $$ BEGIN RAISE EXCEPTION 'x'; END $$")
    equal(await conn.fetchval("SELECT 'alive'"), "alive")


@check("a timeout cancels the statement")
async def _(conn):
    with raises(asyncio.TimeoutError):
        await conn.fetch("SELECT pg_sleep(30)", timeout=0.5)
    equal(await conn.fetchval("SELECT 'alive'"), "alive")


@check("many cancels in a row hit only their own statement")
async def _(conn):
    other = await asyncpg.connect(DSN)
    for i in range(8):
        with raises(asyncio.TimeoutError):
            await conn.fetch("SELECT pg_sleep(30)", timeout=0.1)
        equal(await other.fetchval("SELECT $1::int", i), i)
        equal(await conn.fetchval("SELECT $1::int", -i), -i)
    other.terminate()


@check("schema change under a prepared statement")
async def _(conn):
    table = suite.table("wide")
    await conn.execute(f"DROP TABLE IF EXISTS {table}; CREATE TABLE {table} (a int); INSERT INTO {table} VALUES (1)")
    equal(len(await conn.fetchrow(f"SELECT * FROM {table}")), 1)
    await conn.execute(f"ALTER TABLE {table} ADD COLUMN b int")
    equal(len(await conn.fetchrow(f"SELECT * FROM {table}")), 2)
    await conn.execute(f"DROP TABLE {table}")


@check("SET lasts for the session")
async def _(conn):
    await conn.execute("SET lock_timeout = '4321ms'")
    equal(await conn.fetchval("SHOW lock_timeout"), "4321ms")


@check("LISTEN and NOTIFY")
async def _(conn):
    heard = asyncio.get_running_loop().create_future()
    await conn.add_listener(T, lambda *args: heard.done() or heard.set_result(args[3]))
    await conn.execute(f"NOTIFY {T}, 'hello'")
    equal(await asyncio.wait_for(heard, 10), "hello")


@check("witness: 30 workers over a pool of 10")
async def _(_conn):
    async with asyncpg.create_pool(DSN, min_size=2, max_size=10) as pool:

        async def work(number):
            me = f"worker {number}"
            for turn in range(20):
                async with pool.acquire() as conn:
                    got = await conn.fetch("SELECT $1::text AS who, g FROM generate_series(1, $2) g", me, 40)
                    true({row["who"] for row in got} == {me} and len(got) == 40, f"{me} got {got[:1]}")
                    async with conn.transaction():
                        await conn.execute(f"INSERT INTO {T} (who, n) VALUES ($1, $2)", me, turn)
                        equal(await conn.fetchval(f"SELECT count(*) FROM {T} WHERE who = $1", me), turn + 1)
                    try:
                        await conn.fetch("SELECT $1::text::int", me)
                    except asyncpg.InvalidTextRepresentationError as error:
                        true(f'"{me}"' in str(error), f"{me} got the error {error}")

        await asyncio.gather(*(work(n) for n in range(30)))


@check("the pool's reset leaves nothing behind")
async def _(_conn):
    async with asyncpg.create_pool(DSN, min_size=1, max_size=1) as pool:
        for _ in range(5):
            async with pool.acquire() as conn:
                equal(await conn.fetchval("SELECT 1"), 1)
        await pool.execute(f"DROP TABLE {T}")


if __name__ == "__main__":
    suite.main()
