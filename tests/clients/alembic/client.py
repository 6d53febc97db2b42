"""Alembic: an environment of its own in a folder, upgraded and downgraded, by each driver."""

import contextlib
import io
import os
import shutil
import sys
import tempfile

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from alembic import command  # noqa: E402
from alembic.config import Config  # noqa: E402
from alembic.util import CommandError  # noqa: E402
from sqlalchemy import create_engine, inspect, text  # noqa: E402
from sqlalchemy.exc import DBAPIError  # noqa: E402

from client_suite import Suite, equal, raises, true  # noqa: E402

suite = Suite("alembic")
DRIVERS = ("psycopg2", "psycopg", "asyncpg")
SCHEMA = suite.table("schema")

ENV = '''import asyncio
from alembic import context
from sqlalchemy import Column, Integer, MetaData, Table, Text, create_engine
from sqlalchemy.dialects.postgresql import ENUM
from sqlalchemy.ext.asyncio import create_async_engine

url, schema = context.config.get_main_option("url"), context.config.get_main_option("schema")
options = {"version_table_schema": schema, "include_schemas": True,
           "include_name": lambda name, kind, parents: kind != "schema" or name == schema}
metadata = MetaData(schema=schema)
Table("book", metadata, Column("id", Integer, primary_key=True), Column("title", Text, nullable=False),
      Column("kind", ENUM("novel", "poem", "essay", name="kind", metadata=metadata)), Column("pages", Integer),
      Column("note", Text))

def run(connection):
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True, **options)
    with context.begin_transaction():
        context.run_migrations()

async def run_async():
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()

if context.is_offline_mode():
    context.configure(url=url, literal_binds=True, **options)
    with context.begin_transaction():
        context.run_migrations()
elif "asyncpg" in url:
    asyncio.run(run_async())
else:
    engine = create_engine(url)
    with engine.connect() as connection:
        run(connection)
    engine.dispose()
'''

TEMPLATE = '''"""${message}"""
from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}

def upgrade():
    ${upgrades if upgrades else "pass"}

def downgrade():
    ${downgrades if downgrades else "pass"}
'''

HEAD = '''from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ENUM
revision, down_revision = "{0}", {1}
S = "%s"
''' % SCHEMA

MIGRATIONS = {
    "1": '''
def upgrade():
    op.create_table("book", sa.Column("id", sa.Integer, primary_key=True), sa.Column("title", sa.Text, nullable=False),
                    sa.Column("kind", ENUM("novel", "poem", name="kind", schema=S)), schema=S)
    op.bulk_insert(sa.table("book", sa.column("title"), schema=S), [{"title": f"t{n}"} for n in range(50)])

def downgrade():
    op.drop_table("book", schema=S)
    op.execute(f"DROP TYPE {S}.kind")
''',
    "2": '''
def upgrade():
    op.execute("SET LOCAL lock_timeout = '4s'")
    op.add_column("book", sa.Column("pages", sa.Integer), schema=S)
    connection = op.get_bind()
    if connection is not None and not op.get_context().as_sql:
        for row in connection.execute(sa.text(f"SELECT id FROM {S}.book")).all():
            connection.execute(sa.text(f"UPDATE {S}.book SET pages = :n WHERE id = :n"), {"n": row.id})
    op.alter_column("book", "pages", server_default="0", schema=S)

def downgrade():
    op.drop_column("book", "pages", schema=S)
''',
    "3": '''
def upgrade():
    with op.get_context().autocommit_block():
        op.execute(f"ALTER TYPE {S}.kind ADD VALUE 'essay'")
        op.create_index("book_title", "book", ["title"], schema=S, postgresql_concurrently=True)
    op.execute(f"UPDATE {S}.book SET kind = 'essay'")

def downgrade():
    with op.get_context().autocommit_block():
        op.drop_index("book_title", "book", schema=S, postgresql_concurrently=True)
    op.execute(f"UPDATE {S}.book SET kind = NULL")
''',
}

FAILING = '''
def upgrade():
    op.execute(f"CREATE TABLE {S}.half (a int)")
    op.execute("SELECT 1 / 0")

def downgrade():
    pass
'''


def write(path, content):
    with open(path, "w", encoding="utf-8") as file:
        file.write(content)


def write_migration(folder, revision, down, body):
    write(f"{folder}/versions/{revision}_.py", HEAD.format(revision, down and f'"{down}"') + body)


@contextlib.contextmanager
def environment(driver):
    """A fresh environment and schema; yields (configuration, folder, an engine to look with)."""
    folder = tempfile.mkdtemp(prefix="howdah-alembic-")
    engine = create_engine(suite.dsn_with(scheme="postgresql+psycopg2"))
    try:
        with engine.begin() as conn:
            conn.execute(text(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"))
            conn.execute(text(f"CREATE SCHEMA {SCHEMA}"))
        os.mkdir(f"{folder}/versions")
        write(f"{folder}/env.py", ENV)
        write(f"{folder}/script.py.mako", TEMPLATE)
        for revision, body in MIGRATIONS.items():
            write_migration(folder, revision, str(int(revision) - 1) if revision > "1" else None, body)
        config = Config(output_buffer=io.StringIO(), stdout=io.StringIO())
        config.set_main_option("script_location", folder)
        config.set_main_option("url", suite.dsn_with(scheme=f"postgresql+{driver}"))
        config.set_main_option("schema", SCHEMA)
        yield config, folder, engine
        with engine.begin() as conn:
            conn.execute(text(f"DROP SCHEMA {SCHEMA} CASCADE"))
    finally:
        engine.dispose()
        shutil.rmtree(folder, ignore_errors=True)


def each_driver(name):
    """The check once for each driver: def f(config, folder, engine)."""

    def keep(function):
        for driver in DRIVERS:

            def run(driver=driver):
                with environment(driver) as (config, folder, engine):
                    function(config, folder, engine)

            suite.check(f"{driver}: {name}")(run)
        return function

    return keep


def scalar(engine, sql):
    with engine.connect() as conn:
        return conn.scalar(text(sql.format(S=SCHEMA)))


@each_driver("upgrade, downgrade, and both again")
def _(config, _folder, engine):
    for _ in range(2):
        command.upgrade(config, "head")
        equal(scalar(engine, "SELECT version_num FROM {S}.alembic_version"), "3", "version")
        equal(scalar(engine, "SELECT count(*) FROM {S}.book WHERE kind = 'essay' AND pages = id"), 50, "rows")
        equal(inspect(engine).get_indexes("book", schema=SCHEMA)[0]["name"], "book_title", "index")
        command.downgrade(config, "1")
        equal([column["name"] for column in inspect(engine).get_columns("book", schema=SCHEMA)],
              ["id", "title", "kind"], "columns after the downgrade")
        command.downgrade(config, "base")
        equal(inspect(engine).has_table("book", schema=SCHEMA), False, "the table after the downgrade")


@each_driver("step by step, with current, history and stamp")
def _(config, _folder, engine):
    for version in ("1", "2", "3"):
        command.upgrade(config, "+1")
        equal(scalar(engine, "SELECT version_num FROM {S}.alembic_version"), version, "version")
        command.current(config)
    command.history(config, indicate_current=True)
    command.stamp(config, "2")
    equal(scalar(engine, "SELECT version_num FROM {S}.alembic_version"), "2", "stamped")


@each_driver("autogenerate: the missing column is found, then nothing is")
def _(config, _folder, engine):
    command.upgrade(config, "head")
    with raises(CommandError):
        command.check(config)
    script = command.revision(config, "a note", autogenerate=True, rev_id="4")
    with open(script.path, encoding="utf-8") as file:
        true("add_column" in file.read(), "the new revision adds the column")
    command.upgrade(config, "head")
    equal("note" in [column["name"] for column in inspect(engine).get_columns("book", schema=SCHEMA)], True, "note")


@each_driver("a migration that fails leaves nothing")
def _(config, folder, engine):
    write_migration(folder, "4", "3", FAILING)
    with raises(DBAPIError, "22012"):
        command.upgrade(config, "head")
    equal(scalar(engine, "SELECT version_num FROM {S}.alembic_version"), "3", "version")
    equal(inspect(engine).has_table("half", schema=SCHEMA), False, "half a migration")


@suite.check("offline SQL runs in one go")
def _():
    with environment("psycopg2") as (config, _folder, engine):
        command.upgrade(config, "1:2", sql=True)
        command.upgrade(config, "1")
        raw = engine.raw_connection()
        raw.cursor().execute(config.output_buffer.getvalue())
        raw.commit()
        raw.close()
        equal(scalar(engine, "SELECT version_num FROM {S}.alembic_version"), "2", "version")


if __name__ == "__main__":
    suite.main()
