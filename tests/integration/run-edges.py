#!/usr/bin/env python3
"""Where one session ends and the next begins: nothing it did, timed out or failed reaches another.

Each check stands for a mistake that was made once.
"""

import os
import signal
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, eventually, in_threads, raises, true  # noqa: E402
from stage import Stage  # noqa: E402
from wire import (  # noqa: E402
    Closed,
    Result,
    ServerError,
    Wire,
    bind,
    close,
    cstring,
    execute,
    message,
    parse,
    query,
    startup,
    sync,
)

suite = Suite("edges")
stage = Stage(
    suite,
    hba="local all all trust\nhost all bob 127.0.0.1/32 scram-sha-256\n"
    "host all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n",
)


def reload(proxy, config):
    """SIGHUP, and until it holds."""
    seen = proxy.stderr.count("config")
    proxy.write_config(config)
    proxy.process.send_signal(signal.SIGHUP)
    eventually(lambda: proxy.stderr.count("config") > seen, "a word about the reload")


def with_second(**options):
    """A configuration with a second database, two, which is the server's database postgres."""
    config = stage.config(**options)
    app = config["databases"]["app"]
    dsn = f"postgres://127.0.0.1:{stage.cluster.port}/postgres"
    config["databases"]["two"] = {**app, "primary": dsn}
    return config


def backend(client):
    return client.scalar("SELECT pg_backend_pid()")


# --- what a session leaves behind -----------------------------------------------------------------


@suite.check("a DISCARD ALL that fails: its link is closed, not lent")
def _():
    with stage.proxy("session", size=1) as proxy:
        client = stage.client(proxy)
        first = backend(client)
        client.rows("CREATE TEMP TABLE kept (v int)")
        schema = client.scalar("SELECT relnamespace::regnamespace FROM pg_class WHERE relname = 'kept'")
        with stage.direct() as locker:
            locker.rows("BEGIN")
            locker.rows(f"LOCK TABLE {schema}.kept IN ACCESS EXCLUSIVE MODE")
            # The lock cannot be had in time, so nothing of the DISCARD ALL takes place.
            client.rows("SET work_mem = '123MB'")
            client.rows("SET statement_timeout = '200ms'")
            client.terminate()
            time.sleep(0.6)
        after = stage.client(proxy)
        equal(after.scalar("SHOW work_mem"), "4MB", "work_mem of the next client")
        equal(after.scalar("SELECT to_regclass('kept')"), None, "its temporary table")
        true(backend(after) != first, "the same server connection")


@suite.check("pool.mode changed by a reload: who is in a transaction gives its link back")
def _():
    with stage.proxy("transaction", size=1) as proxy:
        client = stage.client(proxy)
        client.rows("BEGIN")
        reload(proxy, stage.config("session", size=1))
        equal(client.query("COMMIT").status, "I")
        equal(stage.client(proxy).scalar("SELECT 'served'"), "served", "a client of the new mode")


@suite.check("pool.mode changed by a reload: a session keeps its link, and leaves nothing on it")
def _():
    with stage.proxy("session", size=1) as proxy:
        client = stage.client(proxy)
        client.rows("SET work_mem = '77MB'")
        client.rows("CREATE TEMP TABLE leak (v int)")
        reload(proxy, stage.config("transaction", size=1))
        other = stage.client(proxy)
        other.send(query("SHOW work_mem"), query("SELECT to_regclass('leak')"))
        equal(client.scalar("SHOW work_mem"), "77MB", "its own setting")
        equal(client.rows("SELECT * FROM leak"), [], "its own table")
        client.terminate()
        equal(Result(other.ready(2)).rows, [("4MB",), (None,)], "what the next client sees")


@suite.check("a replication connection's settings are nobody else's")
def _():
    with stage.proxy(size=3) as proxy:
        before = stage.client(proxy)
        before.rows("SELECT 1")
        settings = {"DateStyle": "German", "application_name": "wal", "client_encoding": "LATIN1"}
        stage.client(proxy, replication="database", **settings)
        after = stage.client(proxy)
        equal(after.parameters, before.parameters, "what a client is told at its login")
        equal((after.scalar("SHOW datestyle"), after.scalar("SHOW client_encoding")), ("ISO, MDY", "UTF8"))


@suite.check("statement mode: pipelines behind a refused transaction lose no place in the pool")
def _():
    with stage.proxy("statement", size=1, wait_timeout="3s") as proxy:
        for turn in range(30):
            client = stage.client(proxy)
            client.send(query("BEGIN"), query("SELECT 1"), query("SELECT 2"))
            if turn % 2 == 0:
                time.sleep(0.02)
            client.close()
        equal(stage.client(proxy).scalar("SELECT 'served'"), "served")
        true(len(stage.backends()) <= 1, "more server connections than the pool has")


@suite.check("a Query behind an unsynced Parse ends the batch, too")
def _():
    with stage.proxy(size=1, wait_timeout="2s") as proxy:
        client = stage.client(proxy)
        equal(Result(client.send(parse("", "SELECT 1"), query("SELECT 2")).ready()).rows, [("2",)])
        equal(stage.client(proxy).scalar("SELECT 'served'"), "served", "another client")


# --- prepared statements --------------------------------------------------------------------------


@suite.check("a statement that one database can prepare is not known to prepare in another")
def _():
    stage.sql("DROP TABLE IF EXISTS only_app")
    stage.sql("CREATE TABLE only_app (v int)")
    with stage.proxy(size=2) as proxy:
        reload(proxy, with_second(size=2))
        equal(stage.client(proxy).prepared("SELECT * FROM only_app", name="s").tags, ["SELECT 0"])
        second = stage.client(proxy, database="two")
        equal(Result(second.send(parse("s", "SELECT * FROM only_app"), sync()).ready()).sqlstate, "42P01")


@suite.check("the names that statements have at the server are not for clients to call")
def _():
    with stage.proxy(size=1) as proxy:
        stage.client(proxy).prepared("SELECT 'a secret'", name="mine")
        at_server = [row[0] for row in stage.client(proxy).rows("SELECT name FROM pg_prepared_statements")]
        equal(len(at_server), 1, f"statements at the server: {at_server}")
        other = stage.client(proxy)
        result = Result(other.send(bind("", at_server[0]), execute(), sync()).ready())
        equal((result.sqlstate, result.rows), ("26000", []))


# --- limits and times -----------------------------------------------------------------------------


@suite.check("users.NAME.max_server_connections: idle links of the user's other pools make room")
def _():
    top = {"users": {"postgres": {"max_server_connections": 1}}}
    with stage.proxy() as proxy:
        reload(proxy, with_second(size=3, wait_timeout="3s", top=top))
        for database in ("app", "two", "app"):
            client = stage.client(proxy, database=database)
            equal(client.query("SELECT 1").rows, [("1",)], f"in {database}")


@suite.check("client_idle_timeout holds after a query longer than itself")
def _():
    with stage.proxy(size=1, client_idle_timeout="700ms") as proxy:
        client = stage.client(proxy)
        client.rows("SELECT pg_sleep(1.2)")
        begun = time.monotonic()
        equal([m.fields["C"] for m in client.rest() if m.kind == "E"], ["57P05"])
        took = time.monotonic() - begun
        true(0.5 < took < 3, f"after {took:.2f} s")


@suite.check("query_timeout counts from each statement's own start")
def _():
    with stage.proxy(size=1, query_timeout="1500ms") as proxy:
        client = stage.client(proxy)
        sleep = query("SELECT pg_sleep(0.9)")
        equal(Result(client.send(sleep, sleep, sleep).ready(3)).errors, [], "three in a pipeline")
        begun = time.monotonic()
        result = Result(client.send(query("SELECT 1"), query("SELECT pg_sleep(30)")).ready(2))
        equal((result.rows, result.sqlstate), ([("1",)], "57014"))
        took = time.monotonic() - begun
        true(1 < took < 6, f"after {took:.2f} s")


@suite.check("NOTIFY that comes to an idle client is no transaction")
def _():
    with stage.proxy("session", size=2) as proxy:
        listener, notifier = stage.client(proxy), stage.client(proxy)
        listener.rows("LISTEN news")
        for _turn in range(5):
            notifier.rows("NOTIFY news")
            equal(listener.message().kind, "A")
        stats = [row for row in proxy.admin("SHOW STATS") if row["database"] == "app"][0]
        equal(stats["total_xact_count"], "6", "transactions")


# --- clients that go ------------------------------------------------------------------------------


@suite.check("a client that goes: a batch with a write in it runs to its end")
def _():
    stage.sql("DROP TABLE IF EXISTS written")
    stage.sql("CREATE TABLE written (v int)")
    insert = "INSERT INTO written SELECT {} FROM (SELECT pg_sleep(1.5)) AS s"
    parts = [
        parse("", insert.format(1)) + bind() + execute() + parse("", "SELECT 1") + bind() + execute() + sync(),
        query("SELECT 1; " + insert.format(2)),
        query(insert.format(3)),
    ]
    with stage.proxy(size=3) as proxy:

        def leave(number):
            client = stage.client(proxy)
            client.send(parts[number])
            time.sleep(0.3)
            client.close()

        in_threads(3, leave)
        eventually(lambda: not stage.backends("state = 'active'"), "the statements end")
        equal(stage.sql("SELECT v FROM written ORDER BY 1"), [("1",), ("2",), ("3",)])


# --- passwords ------------------------------------------------------------------------------------


def password_file(text):
    folder = tempfile.mkdtemp(prefix="howdah-users-")
    path = os.path.join(folder, "users.txt")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


@suite.check("a changed password: links of later logins use the new one")
def _():
    stage.sql("DROP ROLE IF EXISTS bob")
    stage.sql("CREATE ROLE bob LOGIN PASSWORD 'one'")
    path = password_file('"bob" "one"\n')
    top = {"auth": {"method": "scram-sha-256", "users_file": path}}
    with stage.proxy(size=2, wait_timeout="3s", top=top) as proxy:
        equal(stage.client(proxy, "bob", password="one").scalar("SELECT session_user"), "bob")
        stage.sql("ALTER ROLE bob PASSWORD 'two'")
        with open(path, "w", encoding="utf-8") as file:
            file.write('"bob" "two"\n')
        reload(proxy, proxy.config)
        stage.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'bob'")

        def served():
            try:
                return stage.client(proxy, "bob", password="two").scalar("SELECT 'in'") == "in"
            except (ServerError, Closed):
                return False

        eventually(served, "a login with the new password", 8)
        with raises(ServerError, "28P01"):
            stage.client(proxy, "bob", password="one")
    os.unlink(path)
    os.rmdir(os.path.dirname(path))


@suite.check("fail_limit counts guesses: logins that began before the limit was reached are held by it")
def _():
    path = password_file('"postgres" "right"\n')
    auth = {"method": "password", "users_file": path, "fail_limit": "3/1m", "fail_delay": "100ms"}
    with stage.proxy(size=1, top={"auth": auth}) as proxy:
        clients = [Wire(proxy.port) for _ in range(8)]
        for client in clients:
            client.send(startup({"user": "postgres", "database": "app"}))
            equal(client.message().kind, "R")
        for client in clients[:3]:
            client.send(message("p", cstring("wrong")))
            equal(client.message().fields["C"], "28P01")
        for client in clients[3:]:
            client.send(message("p", cstring("right")))
            equal(client.message().fields["M"], "too many failed logins")
    os.unlink(path)
    os.rmdir(os.path.dirname(path))


@suite.check("fail_limit counts guesses: connections that go without one do not count")
def _():
    path = password_file('"postgres" "right"\n')
    auth = {"method": "password", "users_file": path, "fail_limit": "3/1m", "fail_delay": "100ms"}
    with stage.proxy(size=1, top={"auth": auth}) as proxy:
        for _turn in range(8):
            with Wire(proxy.port) as client:
                client.send(startup({"user": "postgres", "database": "app"}))
                equal(client.message().kind, "R")
        equal(stage.client(proxy, password="right").scalar("SELECT 'in'"), "in")
    os.unlink(path)
    os.rmdir(os.path.dirname(path))


@suite.check("others' sequence values ahead of a query in a transaction that has failed unnoticed")
def _():
    stage.sql("CREATE SEQUENCE IF NOT EXISTS edges")
    with stage.proxy(size=1) as proxy:
        other, client = stage.client(proxy), stage.client(proxy)
        for _ in range(2):
            other.rows("SELECT nextval('edges')")
            client.query("BEGIN")
            client.rows("SELECT 1")
            client.send(bind("", "nope"), sync(), close("P", "x"), query("SELECT lastval()"))
            heard = client.ready(2)
            equal([m.kind for m in heard], ["E", "Z", "3", "E", "Z"])
            equal([m.fields["C"] for m in heard if m.kind == "E"], ["26000", "25P02"])
            client.query("ROLLBACK")
            equal(client.query("SELECT lastval()").sqlstate, "55000", "another's value")


@suite.check("what was sent without a Sync is one transaction with a query, whosever sequence values are there")
def _():
    stage.sql("CREATE SEQUENCE IF NOT EXISTS edges; CREATE TABLE IF NOT EXISTS edge (n int UNIQUE)")
    with stage.proxy(size=1) as proxy:
        other, client = stage.client(proxy), stage.client(proxy)
        client.query("SELECT lastval()")
        client.terminate()
        client = stage.client(proxy)
        other.rows("SELECT nextval('edges')")
        other.rows("SELECT 1")
        ahead = [parse("", "SET work_mem = '3MB'"), bind("", ""), execute("")]
        client.send(*ahead, query("INSERT INTO edge VALUES (1/0)"))
        equal([m.kind for m in client.ready()], ["1", "2", "C", "E", "Z"])
        equal(client.scalar("SHOW work_mem"), "4MB", "what was rolled back")


@suite.check("what was sent without a Sync is one transaction with a query that executes what must be prepared first")
def _():
    stage.sql("CREATE TABLE IF NOT EXISTS edge (n int UNIQUE); CREATE TABLE IF NOT EXISTS edge_gone (n int)")
    with stage.proxy(size=1) as proxy:
        client = stage.client(proxy)
        client.rows("PREPARE divides (int) AS SELECT 1 / $1")
        client.rows("PREPARE gone AS SELECT * FROM edge_gone")
        proxy.admin("RECONNECT app")
        client.rows("SELECT 1")  # at a server that has neither
        insert = [parse("", "INSERT INTO edge VALUES (5)"), bind("", ""), execute("")]
        client.send(*insert, query("EXECUTE divides(0)"))
        equal([m.kind for m in client.ready()], ["1", "2", "C", "E", "Z"])
        equal(client.scalar("SELECT count(*) FROM edge"), "0", "rolled back with the query")
        stage.sql("DROP TABLE edge_gone")
        client.send(*insert, query("EXECUTE gone"))
        heard = client.ready()
        equal(([m.kind for m in heard], Result(heard).sqlstate), (["1", "2", "C", "E", "Z"], "42P01"))
        equal(client.scalar("SELECT count(*) FROM edge"), "0", "rolled back with what can't be prepared")
        client.send(*insert, query("EXECUTE divides(1)"))
        equal([m.kind for m in client.ready()][-4:], ["T", "D", "C", "Z"])
        equal(client.scalar("SELECT count(*) FROM edge"), "1", "committed")


if __name__ == "__main__":
    suite.main()
