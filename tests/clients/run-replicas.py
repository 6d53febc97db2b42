#!/usr/bin/env python3
"""Drivers and SQLAlchemy in front of a primary and two replicas: what ran where, by the servers' word.

The rows of routes.py through psycopg2, psycopg and asyncpg, and those of until_write through pgjdbc and psycopg's
pipelines, which send BEGIN with the first statement, by the servers' logs; and SQLAlchemy's
sessions, which begin a transaction for whatever they do, with transaction_reads "until_write", by
pg_stat_statements.
"""

import asyncio
import atexit
import contextlib
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
import toolchains  # noqa: E402

IN_VENV = "HOWDAH_DRIVERS_HERE"
if IN_VENV not in os.environ:
    try:
        interpreter = toolchains.python()
    except toolchains.Missing as reason:
        print(f"skip replicas: {reason}", flush=True)
        sys.exit(0)
    os.environ[IN_VENV] = "1"
    os.execv(interpreter, [interpreter, os.path.abspath(__file__), *sys.argv[1:]])

import asyncpg  # noqa: E402
import psycopg  # noqa: E402
import psycopg2  # noqa: E402
import sqlalchemy as sa  # noqa: E402
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine  # noqa: E402
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload  # noqa: E402

import routes  # noqa: E402
from check import Skip, Suite, equal, eventually, true  # noqa: E402
from howdah import Howdah  # noqa: E402
from trio import Trio, all_up  # noqa: E402
from whereabouts import LOGGED, Whereabouts  # noqa: E402
from wire import Wire  # noqa: E402

ROUNDS = 80
MOST = 0.85  # of the reads that may run at replicas
PAUSE_S = 0.02

suite = Suite("replicas", check_limit_s=240)
trio = Trio(suite, "app", synchronous_commit="on", shared_preload_libraries="pg_stat_statements", **LOGGED)
where = Whereabouts(trio)


@trio.started
def _(primary):
    routes.set_up(primary)
    primary.psql("CREATE EXTENSION pg_stat_statements", db="app")


@contextlib.contextmanager
def proxied(**routing):
    trio.caught_up()
    with Howdah(config=trio.config(workers=2, pool={"size": 8}, routing=routing)) as proxy:
        all_up(proxy)
        with Wire(proxy.port) as client:
            client.login("postgres", "app")
            eventually(lambda: ("catalog", "known") in [found[:2] for found in client.rows("EXPLAIN (HOWDAH) TABLE t")],
                       "the catalog is known", 10)
        yield proxy


# --- the table, through drivers -------------------------------------------------------------------


CONTROL = re.compile(r"\W*(/\*.*?\*/\W*)?(BEGIN|START|COMMIT|END|ROLLBACK)\b", re.S)


@contextlib.contextmanager
def in_psycopg2(dsn):
    conn = psycopg2.connect(dsn)
    conn.autocommit = True

    def run(sql, _number):
        with conn.cursor() as cursor:
            try:
                cursor.execute(sql)
                return (cursor.fetchall() if cursor.description else []), None
            except psycopg2.Error as error:
                return [], error.pgcode

    yield run
    conn.close()


@contextlib.contextmanager
def in_psycopg(dsn):
    conn = psycopg.connect(dsn, autocommit=True)

    def run(sql, number):
        with conn.cursor() as cursor:
            try:
                # As the driver's own BEGIN and COMMIT, which it never prepares.
                cursor.execute(sql, prepare=number % 2 == 0 and not CONTROL.match(sql))
                return (cursor.fetchall() if cursor.description else []), None
            except psycopg.Error as error:
                return [], error.sqlstate

    yield run
    conn.close()


@contextlib.contextmanager
def in_asyncpg(dsn):
    loop = asyncio.new_event_loop()
    conn = loop.run_until_complete(asyncpg.connect(dsn))

    def run(sql, _number):
        try:
            if CONTROL.match(sql):  # as conn.transaction() does it
                loop.run_until_complete(conn.execute(sql))
                return [], None
            return [tuple(record) for record in loop.run_until_complete(conn.fetch(sql))], None
        except asyncpg.PostgresError as error:
            return [], error.sqlstate

    yield run
    loop.run_until_complete(conn.close())
    loop.close()


@contextlib.contextmanager
def in_pipelines(dsn):
    """psycopg's pipelines: BEGIN and the first statement under one Sync."""
    conn, held = psycopg.connect(dsn, autocommit=True), []

    def run(sql, number):
        if CONTROL.match(sql) and not held and BARE_BEGIN.search(sql):
            held.append(sql)
            return [], None
        begins = [held.pop()] if held else []
        try:
            with conn.pipeline():
                for begin in begins:
                    conn.execute(begin)
                cursor = conn.execute(sql, prepare=number % 2 == 0 and not CONTROL.match(sql))
            return (cursor.fetchall() if cursor.description else []), None
        except psycopg.Error as error:
            return [], error.sqlstate

    yield run
    conn.close()


BARE_BEGIN = re.compile(r"BEGIN( READ ONLY)?$")


@contextlib.contextmanager
def in_pgjdbc(dsn):
    """Routes.java: a line each way for each statement."""
    user, place = re.fullmatch(r"postgres://(\w+)@(.*)", dsn).groups()
    argv = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", java_classes(), "Routes",
            f"jdbc:postgresql://{place}", user]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as java:
        def run(sql, _number):
            java.stdin.write(sql.replace("\\", "\\\\").replace("\n", "\\n") + "\n")
            java.stdin.flush()
            word, _, value = java.stdout.readline().rstrip("\n").partition(" ")
            if word == "error":
                return [], value
            equal(word, "ok", "what Routes.java says")
            return [(value,)], None

        yield run
        java.stdin.close()


@functools.cache
def java_classes():
    """The class path of Routes, which is compiled once."""
    jar, folder = toolchains.pgjdbc_jar(), tempfile.mkdtemp(prefix="howdah-routes-")
    atexit.register(shutil.rmtree, folder)
    toolchains.run([toolchains.need("javac"), "-cp", jar, "-d", folder, os.path.join(HERE, "pgjdbc", "Routes.java")])
    return f"{jar}:{folder}"


DRIVERS = {"psycopg2": in_psycopg2, "psycopg": in_psycopg, "asyncpg": in_asyncpg}


def all_rows(proxy, driver, rows):
    dsn = proxy.dsn("postgres", "app")
    connect = (DRIVERS | PIPELINED)[driver]
    faults = [f"{name}: {fault}" for name, steps in rows for fault in routes.play(lambda: connect(dsn), steps, where)]
    for fault in faults:
        print(f"# {driver}: {fault}", flush=True)
    if faults:
        print(f"# {where_reads_went(proxy)}", flush=True)
    true(not faults, f"{len(faults)} faults in {len(rows)} rows: {faults[0] if faults else ''}")


def check_driver(driver):
    @suite.check(f"{driver}: statements, sessions and transactions run where they must")
    def _():
        with proxied() as proxy:
            all_rows(proxy, driver, routes.single_rows(routes.READS + routes.WRITES))
            all_rows(proxy, driver, routes.script_rows(routes.SCRIPTS))

    @suite.check(f"{driver}: until_write")
    def _():
        with proxied(transaction_reads="until_write") as proxy:
            all_rows(proxy, driver, routes.script_rows(routes.UNTIL_WRITE))


for one in DRIVERS:
    check_driver(one)


# --- BEGIN and the first statement under one Sync --------------------------------------------------

PIPELINED = {"psycopg in pipelines": in_pipelines, "pgjdbc": in_pgjdbc}


def check_pipelined(driver):
    def needs():
        if driver == "pgjdbc":
            try:
                java_classes()
            except toolchains.Missing as reason:
                raise Skip(str(reason)) from None

    @suite.check(f"{driver}: until_write, with BEGIN in front of the first statement")
    def _():
        needs()
        with proxied(transaction_reads="until_write", wait_for_replica="20s") as proxy:
            all_rows(proxy, driver, routes.script_rows(routes.UNTIL_WRITE))

    @suite.check(f"{driver}: READ ONLY transactions are read at replicas")
    def _():
        needs()
        with proxied(wait_for_replica="20s") as proxy, PIPELINED[driver](proxy.dsn("postgres", "app")) as run:
            ran = []
            for _ in range(2 * ROUNDS):
                marks, sqls = zip(*(where.marked(sql) for sql in ("TABLE t", "SELECT count(*) FROM t")))
                for sql in ("BEGIN READ ONLY", *sqls, "COMMIT"):
                    equal(run(sql, 1)[1], None, sql)
                ran += [where.ran(mark) for mark in marks]
            there = sum(0 not in places for places in ran)
            print(f"# {driver}: {there} of {len(ran)} reads at replicas", flush=True)
            true(there >= MOST * len(ran), f"{there} of {len(ran)} reads at replicas; {where_reads_went(proxy)}")


for one in PIPELINED:
    check_pipelined(one)


# --- one snapshot, read only, by the drivers' own means --------------------------------------------


def by_psycopg2(dsn, sqls):
    conn = psycopg2.connect(dsn)
    conn.set_session(isolation_level="REPEATABLE READ", readonly=True)
    with conn, conn.cursor() as cursor:
        for sql in sqls:
            cursor.execute(sql)
            cursor.fetchall()
    with conn, conn.cursor("named") as cursor:  # by DECLARE and FETCH
        cursor.execute(sqls[0])
        cursor.fetchall()
    conn.close()


def by_psycopg(dsn, sqls):
    with psycopg.connect(dsn) as conn:
        conn.isolation_level, conn.read_only = psycopg.IsolationLevel.REPEATABLE_READ, True
        for sql in sqls:
            conn.execute(sql).fetchall()
        conn.commit()
        with conn.cursor("named") as cursor:
            cursor.execute(sqls[0])
            cursor.fetchall()
        conn.commit()
        with conn.transaction():
            conn.execute(sqls[0], prepare=True).fetchall()
            with conn.pipeline():
                cursors = [conn.execute(sql) for sql in sqls]
            for cursor in cursors:
                cursor.fetchall()


def by_asyncpg(dsn, sqls):
    async def play():
        conn = await asyncpg.connect(dsn)
        async with conn.transaction(isolation="repeatable_read", readonly=True):
            for sql in sqls:
                await conn.fetch(sql)
            async for _ in conn.cursor(sqls[0], prefetch=7):
                pass
        await conn.close()

    asyncio.run(play())


def by_sqlalchemy(dsn, sqls):
    engine = sa.create_engine(dsn.replace("postgres:", "postgresql+psycopg:", 1))
    with engine.connect() as conn:
        conn.rollback()
        conn = conn.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        for _ in range(2):
            for sql in sqls:
                conn.execute(sa.text(sql)).fetchall()
            conn.commit()
    engine.dispose()


def check_snapshot(name, play):
    @suite.check(f"{name}: REPEATABLE READ READ ONLY, as the driver says it, is a replica's")
    def _():
        with proxied(wait_for_replica="20s") as proxy:
            def at_replicas():
                marks, sqls = zip(*(where.marked(sql) for sql in ("TABLE t", "SELECT count(*) FROM t", "SELECT now()")))
                play(proxy.dsn("postgres", "app"), sqls)
                places = set().union(*map(where.ran, marks))
                return places and places <= {1, 2}

            # Each worker reads the catalog for itself, at its first statement.
            for _ in range(3):
                eventually(at_replicas, "all of it runs at replicas", 20)


for one in (by_psycopg2, by_psycopg, by_asyncpg, by_sqlalchemy):
    check_snapshot(one.__name__[3:], one)


# --- SQLAlchemy -----------------------------------------------------------------------------------


class Base(DeclarativeBase):
    """What the mapped classes share."""


class Author(Base):
    """One author, many books."""

    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    books: Mapped[list["Book"]] = relationship(back_populates="author")


class Book(Base):
    """One book."""

    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    author_id: Mapped[int] = mapped_column(sa.ForeignKey("author.id"))
    author: Mapped[Author] = relationship(back_populates="books")


def make_tables(proxy):
    engine = sa.create_engine(proxy.dsn("postgres", "app").replace("postgres:", "postgresql+psycopg:", 1))
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(Author(name=f"author {i}", books=[Book(title=f"book {i}")]) for i in range(10))
        session.commit()
    engine.dispose()
    trio.caught_up()
    time.sleep(1)  # the catalog is read anew after the tables were made


def calls(pattern):
    """How often each server has run statements like this."""
    sql = f"SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE query LIKE '{pattern}'"
    return [int(trio.sql(sql, at)) for at in range(3)]


def forget_calls():
    for at in range(3):
        trio.sql("SELECT pg_stat_statements_reset()", at)


def where_reads_went(proxy):
    """What SHOW REPLICAS counts: for each server its reads, and why replicas did not get them."""
    return [{name: value for name, value in row.items() if name.startswith("reads") and value not in ("0", "")}
            for row in proxy.admin("SHOW REPLICAS")]


def each_driver(name):
    """The check once for each driver: play(body) runs body(session, turn) in sessions of their own,
    one after the other, and commits each."""

    def keep(function):
        for driver in ("psycopg2", "psycopg", "asyncpg"):
            def check(driver=driver):
                with proxied(transaction_reads="until_write") as proxy:
                    make_tables(proxy)
                    dsn = proxy.dsn("postgres", "app").replace("postgres:", f"postgresql+{driver}:", 1)
                    forget_calls()
                    print(f"# before: {where_reads_went(proxy)}", flush=True)
                    if driver == "asyncpg":
                        function(lambda body: asyncio.run(play_async(dsn, body)))
                    else:
                        function(lambda body: play_sync(dsn, body))
                    print(f"# after: {where_reads_went(proxy)}", flush=True)

            suite.check(f"SQLAlchemy, {driver}: {name}")(check)

    return keep


def play_sync(dsn, body):
    engine = sa.create_engine(dsn, pool_size=2)
    for turn in range(ROUNDS):
        with Session(engine) as session:
            body(session, turn)
            session.commit()
        time.sleep(PAUSE_S)
    engine.dispose()


async def play_async(dsn, body):
    engine = create_async_engine(dsn, pool_size=2)
    for turn in range(ROUNDS):
        async with AsyncSession(engine) as session:
            await session.run_sync(body, turn)
            await session.commit()
        await asyncio.sleep(PAUSE_S)
    await engine.dispose()


AUTHORS, BOOKS = "SELECT author.%", "SELECT book.%"


@each_driver("sessions that only read are served by replicas")
def _(play):
    def body(session, _turn):
        equal(len(session.scalars(sa.select(Author).options(selectinload(Author.books))).all()), 10)

    play(body)
    ran = [calls(AUTHORS), calls(BOOKS)]
    print(f"# selects by server: {ran}", flush=True)
    for counts in ran:
        equal(sum(counts), ROUNDS, "selects by the servers' count")
        true(sum(counts[1:]) >= MOST * ROUNDS, f"selects by server: {counts}")


@each_driver("a session reads at a replica until it writes, and then what it wrote")
def _(play):
    def body(session, turn):
        author = session.scalars(sa.select(Author).where(Author.id == turn % 10 + 1)).one()
        if turn >= 10:
            equal(author.name, f"name {turn - 10}", "what an earlier session wrote")
        author.name = f"name {turn}"
        session.flush()
        names = session.scalars(sa.select(Author.name).order_by(Author.id).limit(10)).all()
        equal(names[turn % 10], f"name {turn}", "what this session wrote")

    play(body)
    first, updates, then = calls("SELECT author.%WHERE %"), calls("UPDATE author%"), calls("SELECT author.%ORDER %")
    print(f"# by server: reads first {first}, updates {updates}, reads then {then}", flush=True)
    equal((updates, then), ([ROUNDS, 0, 0], [ROUNDS, 0, 0]), "by server: updates and reads behind them")
    equal(sum(first), ROUNDS, "first reads by the servers' count")
    true(sum(first[1:]) >= MOST * ROUNDS, f"first reads by server: {first}")


@each_driver("reads of a session whose last one has just written see it")
def _(play):
    seen = []

    def body(session, turn):
        seen.append(session.scalar(sa.select(sa.func.max(Book.id))))
        session.add(Book(title=f"new {turn}", author_id=1))
        session.flush()
        session.commit()
        seen.append(session.scalar(sa.select(sa.func.max(Book.id))))

    play(body)
    equal(seen, sorted(seen), "what each read saw")
    equal(seen[-1], seen[0] + ROUNDS, "the last")
    inserts = calls("INSERT INTO book%")
    equal(inserts, [ROUNDS, 0, 0], "inserts by server")


if __name__ == "__main__":
    suite.main()
