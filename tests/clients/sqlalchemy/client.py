"""SQLAlchemy 2: the ORM over psycopg2, psycopg and asyncpg, as applications use it."""

import asyncio
import os
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from sqlalchemy import (
    ForeignKey,
    MetaData,
    Table,
    create_engine,
    func,
    inspect,
    insert,  # noqa: E402
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError  # noqa: E402
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine  # noqa: E402
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload  # noqa: E402

from client_suite import Suite, equal, in_threads, raises, true  # noqa: E402

suite = Suite("sqlalchemy")
SYNC_DRIVERS = ("psycopg2", "psycopg")


class Base(DeclarativeBase):
    """What the mapped classes share."""


class Author(Base):
    """One author, many books."""

    __tablename__ = suite.table("author")
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    books: Mapped[list["Book"]] = relationship(back_populates="author", cascade="all, delete-orphan")


class Book(Base):
    """One book."""

    __tablename__ = suite.table("book")
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    pages: Mapped[int] = mapped_column(default=0)
    author_id: Mapped[int] = mapped_column(ForeignKey(f"{Author.__tablename__}.id"))
    author: Mapped[Author] = relationship(back_populates="books")


def each_driver(name):
    """The check once for each synchronous driver: def f(engine)."""

    def keep(function):
        for driver in SYNC_DRIVERS:

            def run(driver=driver):
                engine = create_engine(suite.dsn_with(scheme=f"postgresql+{driver}"), pool_size=10)
                try:
                    function(engine)
                finally:
                    engine.dispose()

            suite.check(f"{driver}: {name}")(run)
        return function

    return keep


def asynchronous(name):
    """The check over asyncpg: async def f(engine)."""

    def keep(function):
        def run():
            async def body():
                engine = create_async_engine(suite.dsn_with(scheme="postgresql+asyncpg"), pool_size=10)
                try:
                    await function(engine)
                finally:
                    await engine.dispose()

            asyncio.run(body())

        suite.check(f"asyncpg: {name}")(run)
        return function

    return keep


def delete_all(session):
    session.execute(text(f"DELETE FROM {Book.__tablename__}"))
    session.execute(text(f"DELETE FROM {Author.__tablename__}"))


@each_driver("tables made and found again by reflection")
def _(engine):
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    found = Table(Book.__tablename__, MetaData(), autoload_with=engine)
    equal([column.name for column in found.columns], ["id", "title", "pages", "author_id"])
    keys = inspect(engine).get_foreign_keys(Book.__tablename__)
    equal(keys[0]["referred_table"], Author.__tablename__)
    true(inspect(engine).has_table(Author.__tablename__), "has_table")


@each_driver("session: create, read, update, delete")
def _(engine):
    with Session(engine) as session:
        session.add(Author(name="Borges", books=[Book(title="Ficciones"), Book(title="El Aleph")]))
        session.commit()
        author = session.scalars(
            select(Author).options(selectinload(Author.books)).where(Author.name == "Borges")
        ).one()
        equal(sorted(book.title for book in author.books), ["El Aleph", "Ficciones"])
        author.books[0].pages = 174
        session.commit()
        session.delete(author)
        session.commit()
        equal(session.scalar(select(func.count()).select_from(Book)), 0)


@each_driver("bulk insert with RETURNING")
def _(engine):
    with Session(engine) as session:
        ids = session.scalars(
            insert(Author).returning(Author.id, sort_by_parameter_order=True),
            [{"name": f"bulk {i}"} for i in range(2500)],
        ).all()
        equal(len(set(ids)), 2500)
        session.execute(insert(Book), [{"title": f"t{i}", "author_id": ids[i]} for i in range(2500)])
        session.execute(update(Book).values(pages=Book.pages + 1))
        equal(session.scalar(select(func.sum(Book.pages))), 2500)
        delete_all(session)
        session.commit()


@each_driver("a unique violation, then the session goes on")
def _(engine):
    with Session(engine) as session:
        session.add(Author(name="once"))
        session.commit()
        session.add(Author(name="once"))
        with raises(IntegrityError, "23505"):
            session.commit()
        session.rollback()
        with session.begin_nested():
            session.add(Author(name="nested"))
        delete_all(session)
        session.commit()


@each_driver("pool_pre_ping")
def _(engine):
    pinged = create_engine(engine.url, pool_pre_ping=True, pool_size=1, max_overflow=0)
    for i in range(5):
        with pinged.connect() as conn:
            equal(conn.scalar(text("SELECT CAST(:i AS int)"), {"i": i}), i)
    pinged.dispose()


@each_driver("isolation levels")
def _(engine):
    for level in ("SERIALIZABLE", "REPEATABLE READ", "READ COMMITTED"):
        with engine.connect().execution_options(isolation_level=level) as conn:
            equal(conn.scalar(text("SHOW transaction_isolation")), level.lower())
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(text(f"VACUUM {Author.__tablename__}"))


@each_driver("two sessions at once: isolation between them")
def _(engine):
    with Session(engine) as one, Session(engine) as two:
        one.add(Author(name="unseen"))
        one.flush()
        equal(two.scalar(select(func.count()).select_from(Author)), 0)
        two.rollback()
        one.commit()
        equal(two.scalar(select(func.count()).select_from(Author)), 1)
        delete_all(two)
        two.commit()


@each_driver("serialisation failure is told and retried")
def _(engine):
    with Session(engine) as session:
        session.add(Author(name="s"))
        session.commit()
    engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with Session(engine) as one, Session(engine) as two:
        a, b = one.scalars(select(Author)).one(), two.scalars(select(Author)).one()
        a.name, b.name = "by one", "by two"
        one.commit()
        with raises(DBAPIError, "40001"):
            two.commit()
        two.rollback()
        equal(two.scalars(select(Author)).one().name, "by one")
        delete_all(two)
        two.commit()


@each_driver("stream_results")
def _(engine):
    with engine.connect().execution_options(stream_results=True, max_row_buffer=100) as conn:
        got = conn.execute(text("SELECT g FROM generate_series(1, 3000) g"))
        equal(sum(row.g for row in got), 4501500)


@each_driver("witness: 10 workers see only their own rows")
def _(engine):
    def work(number):
        me = f"worker {number}"
        for turn in range(10):
            with Session(engine) as session:
                session.add(Author(name=f"{me}/{turn}", books=[Book(title=me), Book(title=me)]))
                session.commit()
                titles = session.scalars(select(Book.title).join(Author).where(Author.name.like(f"{me}/%"))).all()
                true(set(titles) == {me} and len(titles) == 2 * (turn + 1), f"{me} got {titles[:3]}")

    in_threads(10, work)
    with Session(engine) as session:
        delete_all(session)
        session.commit()


@asynchronous("session: create, read, update, delete")
async def _(engine):
    async with AsyncSession(engine, expire_on_commit=False) as session:
        session.add(Author(name="Lem", books=[Book(title="Solaris")]))
        await session.commit()
        author = (await session.scalars(select(Author).options(selectinload(Author.books)))).one()
        equal(author.books[0].title, "Solaris")
        author.books[0].pages = 204
        await session.commit()
        equal(await session.scalar(select(Book.pages)), 204)
        await session.delete(author)
        await session.commit()


@asynchronous("bulk insert")
async def _(engine):
    async with AsyncSession(engine) as session:
        await session.execute(insert(Author), [{"name": f"bulk {i}"} for i in range(1500)])
        equal(await session.scalar(select(func.count()).select_from(Author)), 1500)
        await session.run_sync(delete_all)
        await session.commit()


@asynchronous("errors, nested transactions, isolation")
async def _(engine):
    async with AsyncSession(engine) as session:
        with raises(DBAPIError, "22012"):
            await session.execute(text("SELECT 1/0"))
        await session.rollback()
        async with session.begin_nested():
            equal(await session.scalar(text("SELECT 5")), 5)
    async with engine.connect() as conn:
        conn = await conn.execution_options(isolation_level="SERIALIZABLE")
        equal(await conn.scalar(text("SHOW transaction_isolation")), "serializable")


@asynchronous("reflection and pool_pre_ping")
async def _(engine):
    pinged = create_async_engine(engine.url, pool_pre_ping=True)
    for _ in range(3):
        async with pinged.connect() as conn:
            true(await conn.run_sync(lambda sync: inspect(sync).has_table(Book.__tablename__)), "has_table")
    await pinged.dispose()


@asynchronous("witness: 20 workers see only their own rows")
async def _(engine):
    async def work(number):
        me = f"worker {number}"
        for turn in range(10):
            async with AsyncSession(engine) as session:
                session.add(Author(name=f"{me}/{turn}"))
                await session.commit()
                names = (await session.scalars(select(Author.name).where(Author.name.like(f"{me}/%")))).all()
                true(len(names) == turn + 1 and all(n.startswith(me + "/") for n in names), f"{me} got {names[:3]}")

    await asyncio.gather(*(work(n) for n in range(20)))
    async with engine.begin() as conn:
        await conn.run_sync(Base.metadata.drop_all)


if __name__ == "__main__":
    suite.main()
