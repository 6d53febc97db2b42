"""The admin database opened by drivers: each asks its own questions on connecting.

Runs through Howdah only. HOWDAH_TEST_ADMIN_DSN is the console's URI.
"""

import asyncio
import os
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import asyncpg  # noqa: E402
import psycopg  # noqa: E402
import psycopg2  # noqa: E402

from client_suite import Suite, raises, true  # noqa: E402

suite = Suite("admin")
DSN = os.environ.get("HOWDAH_TEST_ADMIN_DSN", "")
SHOWS = ("SHOW POOLS", "SHOW CLIENTS", "SHOW SERVERS", "SHOW STATS", "SHOW DATABASES", "SHOW CONFIG", "SHOW VERSION")


@suite.check("psycopg2, in a transaction of its own making and in autocommit")
def _():
    for autocommit in (False, True):
        conn = psycopg2.connect(DSN)
        conn.autocommit = autocommit
        with conn.cursor() as cur:
            for sql in SHOWS:
                cur.execute(sql)
                true(len(cur.fetchall()) >= 1, f"{sql}: no rows")
        conn.close()


@suite.check("psycopg 3: simple, server-side binding, prepared, pipeline")
def _():
    with psycopg.connect(DSN, autocommit=True) as conn:
        for sql in SHOWS:
            true(len(conn.execute(sql).fetchall()) >= 1, f"{sql}: no rows")
            for _ in range(3):
                true(len(conn.execute(sql, prepare=True).fetchall()) >= 1, f"{sql}, prepared: no rows")
        with conn.pipeline():
            cursors = [conn.execute(sql) for sql in SHOWS]
        true(all(cursor.fetchall() for cursor in cursors), "a pipelined SHOW without rows")
        with raises(psycopg.Error):
            conn.execute("SHOW NO_SUCH_THING")
        true(conn.execute("SHOW VERSION").fetchone() is not None, "after an error")
    with psycopg.connect(DSN) as conn:
        true(len(conn.execute("SHOW POOLS").fetchall()) >= 1, "in a transaction")


@suite.check("asyncpg: prepared statements, rows by name, pool")
def _():
    async def run():
        conn = await asyncpg.connect(DSN)
        for sql in SHOWS:
            true(len(await conn.fetch(sql)) >= 1, f"{sql}: no rows")
        row = (await conn.fetch("SHOW POOLS"))[0]
        true(row["database"] is not None and int(row["cl_active"]) >= 0, str(row))
        await conn.close()
        async with asyncpg.create_pool(DSN, min_size=1, max_size=2) as pool:
            for _ in range(3):
                true(await pool.fetch("SHOW VERSION"), "no rows from the pool")

    asyncio.run(run())


if __name__ == "__main__":
    suite.main()
