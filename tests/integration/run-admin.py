#!/usr/bin/env python3
"""The admin database: PgBouncer's columns, actions that act, roles that are denied, any protocol."""

import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, eventually, raises, true  # noqa: E402
from howdah import HowdahError  # noqa: E402
from stage import Stage  # noqa: E402
from wire import (  # noqa: E402
    Closed, Result, ServerError, Wire, bind, close, describe, execute, one_shot, parse, query, sync)

suite = Suite("admin")
stage = Stage(suite)

# PgBouncer 1.24's columns, in its order; Howdah's own may follow.
COLUMNS = {
    "POOLS": "database user cl_active cl_waiting cl_active_cancel_req cl_waiting_cancel_req sv_active sv_active_cancel"
    " sv_being_canceled sv_idle sv_used sv_tested sv_login maxwait maxwait_us pool_mode load_balance_hosts",
    "DATABASES": "name host port database force_user pool_size min_pool_size reserve_pool_size server_lifetime"
    " pool_mode load_balance_hosts max_connections current_connections max_client_connections"
    " current_client_connections paused disabled",
    "CLIENTS": "type user database replication state addr port local_addr local_port connect_time request_time wait"
    " wait_us close_needed ptr link remote_pid tls application_name prepared_statements id",
    "SERVERS": "type user database replication state addr port local_addr local_port connect_time request_time wait"
    " wait_us close_needed ptr link remote_pid tls application_name prepared_statements id",
    "STATS": "database total_server_assignment_count total_xact_count total_query_count total_received total_sent"
    " total_xact_time total_query_time total_wait_time total_client_parse_count total_server_parse_count"
    " total_bind_count avg_server_assignment_count avg_xact_count avg_query_count avg_recv avg_sent"
    " avg_xact_time avg_query_time avg_wait_time avg_client_parse_count avg_server_parse_count avg_bind_count",
    "USERS": "name pool_size reserve_pool_size pool_mode max_user_connections current_connections"
    " max_user_client_connections current_client_connections",
    "LISTS": "list items",
    "CONFIG": "key value default changeable",
    "MEM": "name size used free memtotal",
    "STATE": "key value",
    "VERSION": "version",
}
ACTIONS = (
    "RELOAD",
    "PAUSE",
    "RESUME",
    "DISABLE app",
    "ENABLE app",
    "RECONNECT",
    "KILL app",
    "KILL_CLIENT 1",
    "WAIT_CLOSE",
    "SHUTDOWN",
    "SET wait_timeout = '1s'",
)
SHOWS = tuple(f"SHOW {name}" for name in (*COLUMNS, "STATS_TOTALS", "STATS_AVERAGES", "TOTALS"))


def columns(result):
    body, at, names = next(m.body for m in result.messages if m.kind == "T"), 2, []
    for _ in range(int.from_bytes(body[:2], "big")):
        end = body.index(b"\0", at)
        names.append(body[at:end].decode())
        at = end + 19
    return names


def console(proxy, user="admin", database="howdah"):
    return stage.client(proxy, user, database)


@suite.check("every SHOW has PgBouncer's columns, in the simple and the extended protocol")
def _():
    with stage.proxy() as proxy:
        stage.client(proxy).rows("SELECT 1")
        admin, wrong = console(proxy), []
        for name, wanted in COLUMNS.items():
            for ask in (query(f"SHOW {name}"), one_shot(f"SHOW {name}") + sync()):
                admin.send(ask)
                result = Result(admin.ready())
                if result.errors:
                    wrong.append(f"SHOW {name}: {result.errors[0]['M']}")
                    continue
                got = columns(result)
                missing = [column for column in wanted.split() if column not in got]
                if missing or got[: len(wanted.split())] != wanted.split():
                    wrong.append(f"SHOW {name}: lacks {missing}, has {got}")
        equal(wrong, [])


@suite.check("the alias pgbouncer, any letter case, a semicolon, SHOW HELP")
def _():
    with stage.proxy() as proxy:
        admin = console(proxy, database="pgbouncer")
        for sql in ("show pools", "SHOW POOLS;", "  Show\n Pools ;", "SHOW VERSION", "SHOW HELP"):
            equal(admin.query(sql).sqlstate, None, sql)


@suite.check("SHOW POOLS, CLIENTS and SERVERS count what is there")
def _():
    with stage.proxy(size=3) as proxy:
        clients = [stage.client(proxy, application_name=f"app {n}") for n in range(5)]
        for client in clients[:2]:
            client.rows("BEGIN")
            client.rows("SELECT 1")
        pool = next(row for row in proxy.admin("SHOW POOLS") if row["database"] == "app")
        # As in PgBouncer, a client that asks for nothing is active: only those in line are not.
        equal((pool["cl_active"], pool["sv_active"], pool["pool_mode"]), ("5", "2", "transaction"), str(pool))
        listed = [row for row in proxy.admin("SHOW CLIENTS") if row["database"] == "app"]
        equal(sorted(row["application_name"] for row in listed), [f"app {n}" for n in range(5)])
        servers = proxy.admin("SHOW SERVERS")
        equal({row["remote_pid"] for row in servers if row["database"] == "app"}, set(stage.backends()))


@suite.check("SHOW STATS counts queries and transactions")
def _():
    with stage.proxy(size=2) as proxy:
        client = stage.client(proxy)
        for _ in range(7):
            client.rows("SELECT 1")
        client.rows("BEGIN")
        client.rows("SELECT 1")
        client.rows("COMMIT")
        row = eventually(
            lambda: next(
                (r for r in proxy.admin("SHOW STATS") if r["database"] == "app" and int(r["total_query_count"]) >= 8),
                None,
            ),
            "the counts",
        )
        true(int(row["total_xact_count"]) in (8, 9), str(row))


@suite.check("PAUSE waits for transactions, holds new ones; RESUME lets them go on")
def _():
    with stage.proxy(size=2) as proxy:
        busy, held = stage.client(proxy), stage.client(proxy)
        busy.rows("BEGIN")
        busy.rows("SELECT 1")
        paused = threading.Thread(target=lambda: proxy.admin("PAUSE app"), daemon=True)
        paused.start()
        time.sleep(0.3)
        true(paused.is_alive(), "PAUSE must wait for the open transaction")
        busy.rows("COMMIT")
        paused.join(10)
        true(not paused.is_alive(), "PAUSE answers when all is quiet")
        eventually(lambda: not stage.backends(), "server connections are closed")
        held.send(query("SELECT 'held'"))
        equal(held.quiet(0.5), [])
        proxy.admin("RESUME app")
        equal(held.ready()[1].body[6:], b"held")


@suite.check("DISABLE refuses new clients, ENABLE takes them again")
def _():
    with stage.proxy() as proxy:
        client = stage.client(proxy)
        proxy.admin("DISABLE app")
        with raises(ServerError):
            stage.client(proxy)
        equal(client.scalar("SELECT 1"), "1", "who was there goes on")
        proxy.admin("ENABLE app")
        equal(stage.client(proxy).scalar("SELECT 1"), "1")


@suite.check("RECONNECT replaces server connections, no client notices")
def _():
    with stage.proxy(size=1) as proxy:
        client = stage.client(proxy)
        before = client.scalar("SELECT pg_backend_pid()")
        proxy.admin("RECONNECT app")
        true(client.scalar("SELECT pg_backend_pid()") != before, "still the old backend")


@suite.check("KILL and KILL_CLIENT")
def _():
    with stage.proxy() as proxy:
        victim, other = stage.client(proxy, application_name="victim"), stage.client(proxy)
        row = next(r for r in proxy.admin("SHOW CLIENTS") if r["application_name"] == "victim")
        proxy.admin(f"KILL_CLIENT {row['id']}")
        true(victim.is_closed(5), "the victim is closed")
        equal(other.scalar("SELECT 1"), "1")
        proxy.admin("KILL app")
        true(other.is_closed(5), "KILL closes all of the database's clients")
        proxy.admin("RESUME app")
        equal(stage.client(proxy).scalar("SELECT 1"), "1")


@suite.check("roles: every action is denied to all but admins, every SHOW to all but admins and stats users")
def _():
    for user in ("alice", "bob"):
        stage.sql(f"DROP ROLE IF EXISTS {user}")
        stage.sql(f"CREATE ROLE {user} LOGIN")
    with stage.proxy(top={"admin": {"users": ["admin"], "stats_users": ["alice"]}}) as proxy:
        alice = console(proxy, "alice")
        for sql in SHOWS:
            equal(alice.query(sql).sqlstate, None, f"alice: {sql}")
        for sql in ACTIONS:
            equal(alice.query(sql).sqlstate, "42501", f"alice: {sql}")
            equal(alice.prepared(sql).sqlstate, "42501", f"alice, extended: {sql}")
        with raises(ServerError):
            console(proxy, "bob").rows("SHOW POOLS")
        equal(stage.client(proxy).scalar("SELECT 1"), "1")


@suite.check("S23: nonsense is an error, the console goes on")
def _():
    with stage.proxy() as proxy:
        admin = console(proxy)
        for sql in (
            "",
            ";",
            ";;;;",
            "SHOW",
            "SHOW ",
            "SHOW NOPE",
            "SHOW POOLS POOLS",
            "KILL",
            "KILL_CLIENT",
            "KILL_CLIENT x",
            "KILL_CLIENT 99999999999999999999",
            "PAUSE nope",
            "SET",
            "SET x",
            "SET x =",
            "SET = y",
            "SELECT",
            "'",
            '"',
            "/*",
            "--",
            "SHOW\0POOLS",
            "\x01\x02",
            "SHOW " + "x" * 100000,
            "PAUSE 'app",
            "RELOAD now please",
        ):
            result = admin.query(sql)
            equal(result.status, "I", repr(sql[:30]))
        equal(admin.query("SHOW NOPE").sqlstate[:2], "42")
        equal(admin.query("SHOW VERSION").sqlstate, None)


@suite.check("what drivers ask on connecting is answered")
def _():
    with stage.proxy() as proxy:
        admin = console(proxy)
        for sql in (
            "SET extra_float_digits = 3",
            "SET application_name = 'PostgreSQL JDBC Driver'",
            "SELECT 1",
            "SET client_encoding TO 'UTF8'",
            "BEGIN",
            "SHOW POOLS",
            "COMMIT",
            "ROLLBACK",
            "select version()",
            "SET standard_conforming_strings = on",
            "SHOW TRANSACTION ISOLATION LEVEL",
        ):
            equal(admin.query(sql).sqlstate, None, sql)


@suite.check("SET and SHOW CONFIG, RELOAD")
def _():
    with stage.proxy() as proxy:
        names = {row["key"] for row in proxy.admin("SHOW CONFIG")}
        true(len(names) > 10, f"only {sorted(names)}")
        proxy.admin("RELOAD")
        with raises(HowdahError):
            proxy.admin("SET no_such_key = '1'")


@suite.check("SHUTDOWN ends the program with 0")
def _():
    with stage.proxy() as proxy:
        client = stage.client(proxy)
        client.rows("SELECT 1")
        try:
            proxy.admin("SHUTDOWN")
        except HowdahError:
            pass  # the console may be closed before it answers
        equal(eventually(lambda: proxy.process.poll() is not None and [proxy.process.returncode], "the end"), [0])
        proxy.end()
        proxy.start()


@suite.check("no secret in any SHOW")
def _():
    stage.sql("ALTER ROLE postgres PASSWORD 'canary4711'")
    primary = f"postgres://postgres:canary4711@127.0.0.1:{stage.cluster.port}/app"
    with stage.proxy(primary=primary) as proxy:
        stage.client(proxy).rows("SELECT 1")
        admin = console(proxy)
        for sql in (*SHOWS, "SHOW HELP"):
            said = b"".join(m.body for m in admin.send(query(sql)).ready())
            true(b"canary4711" not in said, f"{sql} shows the password")
        true("canary4711" not in proxy.stderr, "the log shows the password")


@suite.check("SHOW DNS_HOSTS tells what names were resolved to, and which were not")
def _():
    primary = f"postgres://localhost:{stage.cluster.port}/app"
    with stage.proxy(primary=primary, top={"workers": 2}) as proxy:
        equal(proxy.admin("SHOW DNS_HOSTS"), [], "before anybody asks")
        equal(stage.client(proxy).scalar("SELECT 1"), "1")
        rows = {row["hostname"]: row for row in proxy.admin("SHOW DNS_HOSTS")}
        equal(list(rows), ["localhost"])
        true("127.0.0.1" in rows["localhost"]["addrs"].split(","), rows["localhost"]["addrs"])
        lists = {row["list"]: row["items"] for row in proxy.admin("SHOW LISTS")}
        equal(lists["dns_names"], "1")
    with stage.proxy(primary="postgres://no-such-host.invalid/app", wait_timeout="1s") as proxy:
        with raises((ServerError, Closed)):
            stage.client(proxy).rows("SELECT 1")
        rows = [(row["hostname"], row["addrs"]) for row in proxy.admin("SHOW DNS_HOSTS")]
        equal(rows, [("no-such-host.invalid", "")])


def canceled(admin):
    """A CancelRequest for what the console waits for; its error and the status behind it."""
    admin.cancel()
    result = Result(admin.ready())
    return result.sqlstate, result.status


@suite.check("a cancel ends a PAUSE or WAIT_CLOSE that waits, and takes its pause back")
def _():
    for workers in (1, 2):
        with stage.proxy(size=2, top={"workers": workers}) as proxy:
            busy, others = stage.client(proxy), [stage.client(proxy) for _ in range(4)]
            busy.rows("BEGIN")
            busy.rows("SELECT 1")
            for words in ("PAUSE app", "PAUSE"):
                for version in (196608, 196610):
                    admin = Wire(proxy.port)
                    admin.login("admin", "howdah", version=version)
                    admin.send(query(words)).quiet(0.3)
                    equal(canceled(admin), ("57014", "I"), words)
                    equal([client.scalar("SELECT 1") for client in others], ["1"] * 4, "others go on")
                    equal(admin.query("SHOW VERSION").errors, [], "the console goes on")
                    admin.close()
            admin = stage.client(proxy, "admin", database="howdah")
            # Another's pause stays, and a cancel for nothing does nothing.
            proxy.admin("DISABLE app")
            proxy.admin("ENABLE app")
            equal(admin.cancel(), [])
            proxy.admin("RECONNECT app")
            admin.send(query("WAIT_CLOSE app")).quiet(0.3)
            equal(canceled(admin), ("57014", "I"), "WAIT_CLOSE")
            admin.send(parse("", "PAUSE app"), bind(), execute(), sync()).quiet(0.3)
            equal(canceled(admin), ("57014", "I"), "in the extended protocol")
            wrong = bytes(byte ^ 1 for byte in admin.key)
            admin.send(query("PAUSE app")).quiet(0.2)
            admin.cancel(key=wrong)
            equal(admin.quiet(0.3), [], "a wrong key cancels nothing")
            equal(busy.query("COMMIT").status, "I")
            equal(Result(admin.ready()).tags, ["PAUSE"])
            proxy.admin("RESUME app")
            equal(busy.scalar("SELECT 1"), "1")


@suite.check("a console that vanishes in mid PAUSE leaves the database usable")
def _():
    with stage.proxy(size=1) as proxy:
        holder = stage.client(proxy)
        holder.rows("BEGIN")
        holder.rows("SELECT 1")
        with Wire(proxy.port) as admin:
            admin.login("admin", "howdah")
            admin.send(query("PAUSE app"))
            time.sleep(0.2)
        holder.rows("COMMIT")
        proxy.admin("RESUME app")
        equal(holder.scalar("SELECT 1"), "1")


def clients_on_two_workers(proxy, count=6):
    """Clients of which both workers have some, and a console."""
    clients = [stage.client(proxy, application_name=f"app {n}") for n in range(count)]
    admin = console(proxy)
    workers = {row["worker"] for row in proxy.admin("SHOW CLIENTS") if row["database"] == "app"}
    equal(workers, {"0", "1"}, "the workers that have clients")
    return clients, admin


@suite.check("2 workers: rows of both, one row a pool, PAUSE and RESUME of all, KILL of all")
def _():
    with stage.proxy(size=4, top={"workers": 2}) as proxy:
        clients, admin = clients_on_two_workers(proxy)
        for client in clients:
            client.rows("SELECT 1")
        equal(len([r for r in proxy.admin("SHOW CLIENTS") if r["database"] == "app"]), len(clients))
        pools = proxy.admin("SHOW POOLS")
        equal([(r["database"], r["cl_active"]) for r in pools], [("app", str(len(clients)))])
        equal({r["list"]: r["items"] for r in proxy.admin("SHOW LISTS")}["pools"], "1")
        stats = proxy.admin("SHOW STATS_TOTALS")
        equal([(r["database"], r["query_count"]) for r in stats], [("app", str(len(clients)))])
        for _ in range(3):
            equal(admin.query("PAUSE").sqlstate, None)
            equal({r["key"]: r["value"] for r in proxy.admin("SHOW STATE")}["paused"], "yes")
            equal(admin.query("PAUSE").sqlstate, "55000")
            eventually(lambda: not stage.backends(), "server connections are closed")
            for number, client in enumerate(clients):
                client.send(query(f"SELECT {number}"))
            time.sleep(0.1)
            equal({r["cl_waiting"] for r in proxy.admin("SHOW POOLS")}, {str(len(clients))})
            equal(admin.query("RESUME").sqlstate, None)
            for number, client in enumerate(clients):
                equal(client.ready()[1].body[6:], str(number).encode())
        equal(admin.query("RESUME").sqlstate, "55000")
        equal(admin.query("KILL app").sqlstate, None)
        for client in clients:
            true(client.is_closed(5), "KILL closes the clients of every worker")
        equal(admin.query("RESUME app").sqlstate, None)
        equal(stage.client(proxy).scalar("SELECT 1"), "1")


@suite.check("2 workers: RECONNECT under load loses nobody; WAIT_CLOSE waits for the old ones")
def _():
    with stage.proxy(size=2, top={"workers": 2}) as proxy:
        clients, admin = clients_on_two_workers(proxy)
        over = threading.Event()
        failed = []

        def work(client):
            while not over.is_set():
                try:
                    client.scalar("SELECT pg_sleep(0.001)")
                except Exception as error:  # noqa: BLE001 whatever it is, it is a failure
                    failed.append(error)
                    return

        threads = [threading.Thread(target=work, args=(client,), daemon=True) for client in clients[1:]]
        for thread in threads:
            thread.start()
        for _ in range(20):
            equal(admin.query("RECONNECT").sqlstate, None)
            time.sleep(0.02)
        over.set()
        for thread in threads:
            thread.join(10)
            true(not thread.is_alive(), "a client waits for ever")
        equal(failed, [])
        clients[0].rows("BEGIN")
        clients[0].rows("SELECT 1")
        admin.query("RECONNECT app")
        waiting = threading.Thread(target=lambda: proxy.admin("WAIT_CLOSE app"), daemon=True)
        waiting.start()
        time.sleep(0.2)
        true(waiting.is_alive(), "WAIT_CLOSE must wait for the transaction")
        equal([r["close_needed"] for r in proxy.admin("SHOW SERVERS") if r["state"] == "active"], ["1"])
        clients[0].rows("COMMIT")
        waiting.join(5)
        true(not waiting.is_alive(), "WAIT_CLOSE answers when the old ones are closed")


@suite.check("PAUSE holds pools that are made later, too")
def _():
    with stage.proxy(top={"workers": 2}) as proxy:
        proxy.admin("PAUSE app")
        client = Wire(proxy.port)
        came = threading.Thread(target=lambda: client.login("postgres", "app"), daemon=True)
        came.start()
        time.sleep(0.3)
        true(came.is_alive() and not stage.backends(), "a new pool must not connect")
        proxy.admin("RESUME app")
        came.join(5)
        equal(client.scalar("SELECT 1"), "1")
        client.terminate()


@suite.check("SUSPEND stops reading, RESUME goes on where it was")
def _():
    with stage.proxy(top={"workers": 2}) as proxy:
        clients, admin = clients_on_two_workers(proxy)
        clients[0].rows("BEGIN")
        equal(admin.query("SUSPEND").sqlstate, None)
        for client in clients:
            client.send(query("SELECT 1"))
        equal([client.quiet(0.1) for client in clients[:2]], [[], []])
        equal({r["key"]: r["value"] for r in proxy.admin("SHOW STATE")}["suspended"], "yes")
        equal(admin.query("RESUME").sqlstate, None)
        for client in clients:
            equal(client.ready()[1].body[6:], b"1")


@suite.check("SUSPEND does not wait for the Sync behind an answer that is told with it")
def _():
    with stage.proxy(check_state=False) as proxy:
        client, admin = stage.client(proxy), console(proxy)
        client.send(close("S", "a"))
        equal(client.quiet(0.1), [])
        admin.sock.settimeout(5)
        equal(admin.query("SUSPEND").sqlstate, None)
        equal(client.message().kind, "3")
        equal(admin.query("RESUME").sqlstate, None)
        client.send(sync())
        equal(client.message().kind, "Z")


@suite.check("SET changes what it names, is refused whole, and ends with a RELOAD")
def _():
    def value(proxy, key):
        return {row["key"]: row["value"] for row in proxy.admin("SHOW CONFIG")}[key]

    with stage.proxy(size=3, top={"workers": 2}) as proxy:
        proxy.admin("SET databases.app.pool.size = 7")
        proxy.admin("SET log.level = 'debug'")
        equal((value(proxy, "databases.app.pool.size"), value(proxy, "log.level")), ("7", "debug"))
        for sql, sqlstate in (
            ("SET databases.app.pool.size = 'many'", "F0000"),
            ("SET workers = 5", "F0000"),
            ("SET max_client = 5", "F0000"),
        ):
            equal(console(proxy).query(sql).sqlstate, sqlstate, sql)
        equal(value(proxy, "databases.app.pool.size"), "7")
        proxy.admin("RELOAD")
        equal(value(proxy, "databases.app.pool.size"), "3")


@suite.check("a RELOAD of a bad file says why and changes nothing")
def _():
    with stage.proxy() as proxy:
        good = proxy.config
        proxy.write_config({**good, "max_clients": "lots"})
        result = console(proxy).query("RELOAD")
        equal(result.sqlstate, "F0000")
        true("max_clients" in result.errors[0]["M"], result.errors[0]["M"])
        proxy.write_config(good)
        equal(console(proxy).query("RELOAD").sqlstate, None)


@suite.check("SHUTDOWN WAIT_FOR_SERVERS lets a transaction end, WAIT_FOR_CLIENTS a client")
def _():
    for how in ("SERVERS", "CLIENTS"):
        with stage.proxy(top={"workers": 2}) as proxy:
            client, idle = stage.client(proxy), stage.client(proxy)
            client.rows("BEGIN")
            equal(console(proxy).query(f"SHUTDOWN WAIT_FOR_{how}").sqlstate, None)
            equal(idle.is_closed(0.5), how == "SERVERS", "the idle one is sent away")
            with raises((OSError, Closed)):
                stage.client(proxy)
            equal(client.scalar("SELECT 1"), "1")
            client.rows("COMMIT")
            if how == "CLIENTS":
                equal(client.scalar("SELECT 1"), "1")
                client.terminate()
                idle.terminate()
            equal(eventually(lambda: proxy.process.poll() is not None and [proxy.process.returncode], "the end"), [0])
            proxy.end()
            proxy.start()


@suite.check("extended protocol: binary results, rows in parts, an error skips to Sync")
def _():
    with stage.proxy() as proxy:
        admin = console(proxy)
        admin.send(parse("", "SHOW LISTS") + bind(result_formats=(1,)) + describe("P") + execute(rows=2) + execute()
                   + execute() + sync())
        messages = admin.ready()
        equal("".join(m.kind for m in messages), "12TDDsDDDDDDDDDDDDCCZ")
        equal(messages[3].body, b"\0\2\0\0\0\tdatabases\0\0\0\4\0\0\0\1")
        admin.send(parse("", "SHOW NOPE") + bind() + execute() + sync() + query("SHOW VERSION"))
        equal("".join(m.kind for m in admin.ready()), "EZ")
        equal("".join(m.kind for m in admin.ready()), "TDCZ")
        admin.send(query("BEGIN; SHOW VERSION; SHOW NOPE; SHOW VERSION"))
        equal("".join(m.kind for m in admin.ready()), "CTDCEZ")
        equal(admin.query("ROLLBACK").status, "I")


if __name__ == "__main__":
    suite.main()
