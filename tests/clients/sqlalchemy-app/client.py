"""SQLAlchemy as applications use it: the same checks over psycopg2, psycopg and (async) asyncpg."""

import asyncio
import datetime
import enum
import os
import sys
import uuid

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from sqlalchemy import (  # noqa: E402
    ForeignKey,
    Index,
    MetaData,
    Table,
    UniqueConstraint,
    Column,
    create_engine,
    event,
    func,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, ENUM, JSONB, insert as pg_insert  # noqa: E402
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError  # noqa: E402
from sqlalchemy.ext.asyncio import create_async_engine  # noqa: E402
from sqlalchemy.orm import (  # noqa: E402
    DeclarativeBase,
    Mapped,
    Session,
    joinedload,
    mapped_column,
    relationship,
    selectinload,
    sessionmaker,
    subqueryload,
)
from sqlalchemy.types import Integer, Text  # noqa: E402
from sqlalchemy.util import greenlet_spawn  # noqa: E402

from client_suite import Suite, equal, raises, true  # noqa: E402

suite = Suite("sqlalchemy-app")
DRIVERS = ("psycopg2", "psycopg", "asyncpg")


class Kind(enum.Enum):
    """A type of the database's own."""

    SMALL = "small"
    LARGE = "large"


class Base(DeclarativeBase):
    """What the mapped classes share."""


tagged = Table(
    suite.table("tagged"),
    Base.metadata,
    Column("item_id", ForeignKey(f"{suite.table('item')}.id", ondelete="CASCADE"), primary_key=True),
    Column("tag_id", ForeignKey(f"{suite.table('tag')}.id"), primary_key=True),
)


class Item(Base):
    """A tree of items with every kind of column."""

    __tablename__ = suite.table("item")
    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey(f"{suite.table('item')}.id"))
    name: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[Kind] = mapped_column(ENUM(Kind, name=suite.table("kind")), default=Kind.SMALL)
    labels: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list)
    numbers: Mapped[list[int]] = mapped_column(ARRAY(Integer), default=list)
    extra: Mapped[dict] = mapped_column(JSONB, default=dict)
    key: Mapped[uuid.UUID] = mapped_column(default=uuid.uuid4)
    made: Mapped[datetime.datetime] = mapped_column(server_default=func.localtimestamp())
    children: Mapped[list["Item"]] = relationship(back_populates="parent", order_by="Item.name")
    parent: Mapped["Item | None"] = relationship(back_populates="children", remote_side=[id])
    tags: Mapped[list["Tag"]] = relationship(secondary=tagged, back_populates="items", order_by="Tag.word")
    __table_args__ = (Index(suite.table("item_extra"), "extra", postgresql_using="gin"),)


class Tag(Base):
    """A word that many items have."""

    __tablename__ = suite.table("tag")
    id: Mapped[int] = mapped_column(primary_key=True)
    word: Mapped[str]
    language: Mapped[str] = mapped_column(default="en")
    items: Mapped[list[Item]] = relationship(secondary=tagged, back_populates="tags")
    __table_args__ = (UniqueConstraint("word", "language", name=suite.table("tag_word")), {"comment": "words"})


def with_driver(driver, body, **options):
    """Calls body(engine); over asyncpg inside a greenlet, where the engine looks like the others."""
    dsn = suite.dsn_with(scheme=f"postgresql+{driver}")
    if driver != "asyncpg":
        engine = create_engine(dsn, **options)
        try:
            body(engine)
        finally:
            engine.dispose()
        return

    async def run():
        engine = create_async_engine(dsn, **options)
        try:
            await greenlet_spawn(body, engine.sync_engine)
        finally:
            await engine.dispose()

    asyncio.run(run())


def each_driver(name, **options):
    """The check once for each driver: def f(engine), with these options of the engine."""

    def keep(function):
        for driver in DRIVERS:
            suite.check(f"{driver}: {name}")(lambda driver=driver: with_driver(driver, function, **options))
        return function

    return keep


def delete_all(engine):
    with engine.begin() as conn:
        for table in (tagged, Item.__table__, Tag.__table__):
            conn.execute(table.delete())


def fill(engine, count=6):
    delete_all(engine)
    with Session(engine) as session, session.begin():
        tags = [Tag(word=f"word {n}") for n in range(3)]
        root = Item(name="root", tags=tags)
        session.add(root)
        session.add_all(Item(name=f"item {n}", parent=root, tags=[tags[n % 3]]) for n in range(count))


@each_driver("tables, types and indexes made and reflected")
def _(engine):
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    found = MetaData()
    found.reflect(engine, only=[Item.__tablename__, Tag.__tablename__, tagged.name])
    item = found.tables[Item.__tablename__]
    equal([column.name for column in item.columns], [column.name for column in Item.__table__.columns], "columns")
    equal(item.c.kind.type.enums, ["SMALL", "LARGE"], "the enum")
    look = inspect(engine)
    equal([one["name"] for one in look.get_indexes(Item.__tablename__) if "unique" in one and not one["unique"]],
          [suite.table("item_extra")], "indexes")
    equal(look.get_unique_constraints(Tag.__tablename__)[0]["column_names"], ["word", "language"], "constraints")
    equal(look.get_table_comment(Tag.__tablename__), {"text": "words"}, "comment")
    equal(look.get_enums()[0]["labels"], ["SMALL", "LARGE"], "enums")


@each_driver("enum, arrays, JSONB and uuid there and back, and in conditions")
def _(engine):
    delete_all(engine)
    key = uuid.uuid4()
    with Session(engine) as session:
        session.add(Item(name="typed", kind=Kind.LARGE, labels=["a", "ü{}"], numbers=[1, 2], extra={"n": [1]}, key=key))
        session.commit()
        session.expire_all()
        item = session.scalars(select(Item).where(Item.kind == Kind.LARGE, Item.key == key)).one()
        equal((item.labels, item.numbers, item.extra), (["a", "ü{}"], [1, 2], {"n": [1]}))
        equal(session.scalar(select(func.count()).where(Item.labels.contains(["a"]))), 1, "ARRAY @>")
        equal(session.scalar(select(Item.extra["n"][0].as_integer())), 1, "JSONB path")
        equal(session.scalar(select(Item.id).where(Item.numbers.any(2))), item.id, "ANY")


@each_driver("eager and lazy loading")
def _(engine):
    fill(engine)
    for how in (selectinload, joinedload, subqueryload):
        with Session(engine) as session:
            root = session.scalars(select(Item).where(Item.name == "root").options(
                how(Item.children).options(selectinload(Item.tags)), how(Item.tags))).unique().one()
            session.commit()
            equal(len(root.children), 6, how.__name__)
    with Session(engine, expire_on_commit=True) as session:
        root = session.scalars(select(Item).where(Item.name == "root")).one()
        for child in root.children:
            equal(child.parent.name, "root", "lazy")
            session.commit()
            equal(len(child.tags), 1, "lazy, after a commit")


@each_driver("autobegin: a session over many transactions, nested ones undone")
def _(engine):
    fill(engine)
    with sessionmaker(engine)() as session:
        for turn in range(8):
            root = session.scalars(select(Item).where(Item.name == "root")).one()
            root.extra = {"turn": turn}
            with session.begin_nested():
                session.add(Item(name=f"kept {turn}"))
            with raises(IntegrityError, "23505"):
                with session.begin_nested():
                    session.add(Item(name=f"kept {turn}"))
                    session.flush()
            if turn % 2:
                session.rollback()
            else:
                session.commit()
        equal(session.scalar(select(func.count()).where(Item.name.like("kept%"))), 4, "kept")
        equal(session.scalar(select(Item.extra["turn"].as_integer()).where(Item.name == "root")), 6, "last kept turn")


@each_driver("isolation level of the engine", isolation_level="REPEATABLE READ")
def _(engine):
    for _ in range(3):
        with engine.begin() as conn:
            equal(conn.scalar(text("SHOW transaction_isolation")), "repeatable read")


@each_driver("isolation levels of connections, and back to the default in the pool", pool_size=1, max_overflow=0)
def _(engine):
    for level in ("SERIALIZABLE", "REPEATABLE READ", "AUTOCOMMIT", "READ COMMITTED"):
        with engine.connect().execution_options(isolation_level=level) as conn:
            shown = "read committed" if level == "AUTOCOMMIT" else level.lower()
            equal(conn.scalar(text("SHOW transaction_isolation")), shown, level)
            if level == "AUTOCOMMIT":
                conn.execute(text(f"VACUUM {Item.__tablename__}"))
        with engine.connect() as conn:
            equal(conn.scalar(text("SHOW transaction_isolation")), "read committed", f"after {level}")


@each_driver("read only and deferrable connections", pool_size=1, max_overflow=0)
def _(engine):
    options = {"postgresql_readonly": True, "postgresql_deferrable": True, "isolation_level": "SERIALIZABLE"}
    with engine.connect().execution_options(**options) as conn:
        equal(conn.scalar(text("SHOW transaction_read_only")), "on")
        equal(conn.scalar(text("SHOW transaction_deferrable")), "on")
        with raises(DBAPIError, "25006"):
            conn.execute(tagged.delete())
    with engine.begin() as conn:
        conn.execute(tagged.delete())


@each_driver("AUTOCOMMIT of the engine", isolation_level="AUTOCOMMIT")
def _(engine):
    delete_all(engine)
    with Session(engine) as session:
        session.add(Item(name="autocommitted"))
        session.flush()
        session.rollback()
        equal(session.scalar(select(func.count()).where(Item.name == "autocommitted")), 1)
    with engine.connect() as conn:
        conn.execute(text(f"VACUUM ANALYZE {Item.__tablename__}"))
        conn.execute(text(f"CREATE INDEX CONCURRENTLY ON {Item.__tablename__} (made)"))


@each_driver("streams: yield_per over the ORM, and partitions")
def _(engine):
    delete_all(engine)
    with Session(engine) as session:
        session.execute(insert(Item), [{"name": f"row {n:05}"} for n in range(2000)])
        session.commit()
        seen = [item.name for item in session.scalars(select(Item).order_by(Item.name).execution_options(yield_per=77))]
        equal((len(seen), seen[1999]), (2000, "row 01999"))
    with engine.connect().execution_options(stream_results=True) as conn:
        parts = conn.execute(select(Item.id)).partitions(300)
        equal([len(part) for part in parts], [300] * 6 + [200])
    with engine.connect().execution_options(yield_per=50) as conn:
        conn.execute(select(Item.id)).fetchmany(3)  # abandoned


@each_driver("bulk: insertmanyvalues with RETURNING, upserts, updates by primary key")
def _(engine):
    delete_all(engine)
    with Session(engine) as session:
        items = session.scalars(insert(Item).returning(Item, sort_by_parameter_order=True),
                                [{"name": f"bulk {n}", "numbers": [n], "kind": Kind.LARGE} for n in range(2300)]).all()
        true(all(item.numbers == [n] for n, item in enumerate(items)), "rows in the order of the parameters")
        session.bulk_update_mappings(Item, [{"id": item.id, "labels": ["x"]} for item in items[:500]])
        upsert = pg_insert(Item).values([{"name": "bulk 1"}, {"name": "new"}])
        upsert = upsert.on_conflict_do_update(index_elements=["name"], set_={"labels": ["again"]})
        got = session.execute(upsert.returning(Item.name, Item.labels)).all()
        equal([tuple(row) for row in got], [("bulk 1", ["again"]), ("new", [])], "upsert")
        session.commit()
        equal(session.scalar(select(func.count()).where(Item.labels == ["x"])), 499, "updated")


@each_driver("queue: FOR UPDATE SKIP LOCKED")
def _(engine):
    fill(engine)
    with Session(engine) as one, Session(engine) as two:
        names = []
        for session in (one, two):
            take = select(Item).order_by(Item.id).limit(3).with_for_update(skip_locked=True)
            names += [item.name for item in session.scalars(take)]
        equal(len(set(names)), 6, "rows taken once")


@each_driver("settings by the connect event and by SET LOCAL, row security among them", pool_size=1, max_overflow=0)
def _(engine):
    @event.listens_for(engine, "connect")
    def _set(dbapi_connection, _record):
        cursor = dbapi_connection.cursor()
        cursor.execute("SET SESSION lock_timeout = '4321ms'")
        cursor.execute("SET search_path TO pg_temp, public")
        cursor.close()
        dbapi_connection.commit()

    with engine.connect() as conn:
        for turn in range(5):
            with conn.begin():
                conn.execute(text("SELECT set_config('app.tenant', :tenant, true)"), {"tenant": f"t{turn}"})
                conn.execute(text("SET LOCAL work_mem = '9MB'"))
                equal(conn.scalar(text("SELECT current_setting('app.tenant')")), f"t{turn}", "in the transaction")
            with conn.begin():
                equal(conn.scalar(text("SELECT current_setting('app.tenant')")), "", "after it")
                equal(conn.scalar(text("SHOW work_mem")) != "9MB", True, "work_mem after it")
                equal(conn.scalar(text("SHOW lock_timeout")), "4321ms", "the connect event's")


@each_driver("temporary table and advisory lock of a connection")
def _(engine):
    with engine.connect() as conn, engine.connect() as other:
        conn.execute(text("CREATE TEMP TABLE mine AS SELECT 5 AS v"))
        conn.execute(text("SELECT pg_advisory_lock(4713)"))
        conn.commit()
        for _ in range(5):
            equal(conn.scalar(text("SELECT v FROM mine")), 5)
            conn.commit()
            equal(other.scalar(text("SELECT pg_try_advisory_lock(4713)")), False)
            other.commit()
        equal(conn.scalar(text("SELECT pg_advisory_unlock(4713)")), True)
        conn.execute(text("DROP TABLE mine"))
        conn.commit()


@each_driver("serialisation failures retried until done")
def _(engine):
    fill(engine)
    engine = engine.execution_options(isolation_level="SERIALIZABLE")
    with Session(engine) as one, Session(engine) as two:
        for session in (one, two):
            equal(session.scalar(select(func.count()).select_from(Item)), 7)
            session.execute(insert(Item).values(name=f"by {id(session)}"))
        one.commit()
        with raises(OperationalError if engine.driver != "asyncpg" else DBAPIError, "40001"):
            two.commit()
        two.rollback()
        equal(two.scalar(select(func.count()).select_from(Item)), 8)


@each_driver("a lost connection: told, thrown away, and a new one by pool_pre_ping", pool_pre_ping=True, pool_size=2)
def _(engine):
    with engine.connect() as killer:
        for _ in range(3):
            with engine.connect() as conn:
                pid = conn.scalar(text("SELECT pg_backend_pid()"))
                equal(killer.scalar(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid}), True)
                killer.commit()
                with raises(DBAPIError) as _error:
                    conn.execute(text("SELECT 1"))
                true(conn.invalidated, "the connection is invalidated")
            with engine.connect() as conn:
                equal(conn.scalar(text("SELECT 1")), 1)


@each_driver("prepared statements when the schema changes under them", pool_size=1, max_overflow=0)
def _(engine):
    name = suite.table("changing")
    with engine.begin() as conn:
        conn.execute(text(f"DROP TABLE IF EXISTS {name}"))
        conn.execute(text(f"CREATE TABLE {name} (a int)"))
        conn.execute(text(f"INSERT INTO {name} VALUES (1)"))
    for width in range(1, 4):
        for _ in range(3):
            with engine.connect() as conn:
                try:
                    equal(len(conn.execute(text(f"SELECT * FROM {name}")).one()), width)
                except DBAPIError as error:  # by asyncpg, once, as on a direct connection
                    true("cached statement plan is invalid" in str(error), str(error))
        with engine.begin() as conn:
            conn.execute(text(f"ALTER TABLE {name} ADD COLUMN c{width} int"))
    with engine.begin() as conn:
        conn.execute(text(f"DROP TABLE {name}"))


@each_driver("tables dropped")
def _(engine):
    Base.metadata.drop_all(engine)


if __name__ == "__main__":
    suite.main()
