#!/usr/bin/env python3
"""Howdah's own connections to servers: what may neither change what they say nor take a server down.

What role, environment and home folder set counts for nothing; TLS is that of the connection string.
Where a server does not let Howdah in to ask it (another password, no connection left), statements go
on as long as nothing says that it may have gone away.
"""

import contextlib
import os
import signal
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, eventually, true  # noqa: E402
from howdah import Howdah  # noqa: E402
from pgcluster import DEFAULT_HBA, Cluster, Replica, self_signed_cert  # noqa: E402
from trio import START_S, Trio, all_up, rows  # noqa: E402
from wire import ServerError, Wire  # noqa: E402

suite = Suite("probes", check_limit_s=120)
trio = Trio(suite)

# Each of them ends or falsifies a probe that it holds for.
ODD_SETTINGS = ("default_transaction_isolation = 'serializable'", "statement_timeout = '1ms'", "lock_timeout = '1ms'",
                "idle_session_timeout = '300ms'", "search_path = odd, pg_catalog", "role = 'powerless'",
                "client_encoding = 'LATIN1'", "datestyle = 'German'", "local_preload_libraries = 'nowhere'")


@trio.started
def _(primary):
    primary.psql("CREATE TABLE t (a int)")
    primary.psql("CREATE ROLE powerless; CREATE ROLE probe LOGIN; GRANT powerless TO probe")
    primary.psql("REVOKE ALL ON FUNCTION pg_control_system(), pg_current_wal_insert_lsn() FROM public")
    primary.psql("GRANT EXECUTE ON FUNCTION pg_control_system(), pg_current_wal_insert_lsn() TO probe")
    primary.psql("CREATE SCHEMA odd; GRANT USAGE ON SCHEMA odd TO public;"
                 "CREATE FUNCTION odd.pg_is_in_recovery() RETURNS bool LANGUAGE sql AS 'SELECT false';"
                 "CREATE FUNCTION odd.minus(pg_lsn, pg_lsn) RETURNS numeric LANGUAGE sql AS 'SELECT 0::numeric';"
                 "CREATE OPERATOR odd.- (LEFTARG = pg_lsn, RIGHTARG = pg_lsn, FUNCTION = odd.minus)")
    for setting in ODD_SETTINGS:
        primary.psql(f"ALTER ROLE probe SET {setting}")


def connect(proxy):
    client = Wire(proxy.port)
    client.login("postgres", "app")
    return client


@suite.check("what the role, the environment and the home folder set changes nothing of a probe")
def _():
    with tempfile.TemporaryDirectory() as home:
        os.mkdir(os.path.join(home, ".postgresql"))
        self_signed_cert(os.path.join(home, ".postgresql"), "root")
        for name in ("postgresql.crt", "postgresql.key", "root.crl"):
            with open(os.path.join(home, ".postgresql", name), "w", encoding="ascii") as file:
                file.write("no certificate\n")
        env = {"HOME": home, "PGOPTIONS": "-c default_transaction_isolation=serializable", "PGSSLMODE": "verify-full",
               "PGSERVICE": "none", "PGTARGETSESSIONATTRS": "read-write", "PGUSER": "nobody"}
        config = trio.config(service={"user": "probe"}, replicas=(1,), routing={"consistency": "session"})
        with Howdah(config=config, env=env) as proxy, connect(proxy) as client:
            all_up(proxy, 2)
            eventually(lambda: client.scalar("SELECT current_setting('cluster_name')") == "node1", "it is read", 10)
            client.rows("INSERT INTO t VALUES (1)")
            eventually(lambda: client.scalar("SELECT current_setting('cluster_name') FROM t") == "node1",
                       "it is read behind a write", 20)
            equal([row["role"] for row in rows(proxy)], ["primary", "replica"], "roles")
            true("(was up)" not in proxy.stderr, proxy.stderr)


@suite.check("a probe speaks TLS as the connection string says, and trusts only what that names")
def _():
    with Cluster(ssl=True) as server, tempfile.TemporaryDirectory() as home:
        hba = "local all all trust\nhostssl all all 127.0.0.1/32 trust\nhost all postgres 127.0.0.1/32 trust\n"
        server.psql("CREATE ROLE probe LOGIN")
        server.hba = hba
        server.reload()
        os.mkdir(os.path.join(home, ".postgresql"))
        other, _ = self_signed_cert(os.path.join(home, ".postgresql"), "root")

        def state_with(**tls):
            dsn = f"postgres://localhost:{server.port}/postgres?" + "&".join(f"{k}={v}" for k, v in tls.items())
            config = {"auth": {"method": "trust"},
                      "databases": {"app": {"hosts": [dsn], "service": {"user": "probe"}}}}
            with Howdah(config=config, env={"HOME": home}) as proxy:
                row = eventually(lambda: (r := rows(proxy)[0])["state"] != "unknown" and r, "it is known", START_S)
                return row["state"], row["reason"]

        equal(state_with(sslmode="verify-full", sslrootcert=server.cert), ("up", ""), "verify-full")
        equal(state_with(sslmode="require"), ("up", ""), "require, with a root.crt in the home folder")
        state, reason = state_with(sslmode="verify-full", sslrootcert=other)
        true(state == "down" and "certificate" in reason, f"with another authority: {state} {reason}")


# --- shut out -------------------------------------------------------------------------------------


@contextlib.contextmanager
def guarded(**options):
    """A server and a replica that ask the service login, of whom there is one, for its password."""
    hba = "host all prober 127.0.0.1/32 scram-sha-256\n" + DEFAULT_HBA
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Cluster(options=options, hba=hba))]
        servers[0].psql("CREATE TABLE t (a int); CREATE ROLE prober LOGIN PASSWORD 'one'")
        servers.append(stack.enter_context(Replica(servers[0])))
        yield servers


def hosts_config(servers, password="one", **pool):
    return {"auth": {"method": "trust"},
            "databases": {"app": {"hosts": [server.dsn() for server in servers],
                                  "service": {"user": "prober", "password": password},
                                  "routing": {"failover_wait": "2s", "reads": "primary"},
                                  "pool": {"size": 4, "check_state": False, **pool}}}}


def end_probes(server):
    return server.psql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                       " WHERE application_name = 'howdah probe'")


def seen(proxy, at, state, reason="", limit_s=10):
    def look():
        row = rows(proxy)[at]
        return row["state"] == state and reason in row["reason"] and row
    return eventually(look, f"node {at} is {state}: {reason}", limit_s)


def fill(server, clients):
    """Takes all connections that the server has for others than superusers."""
    while True:
        client = Wire(server.port)
        try:
            client.login("filler", "postgres")
        except ServerError as error:
            equal(error.sqlstate, "53300", "why there are no more")
            return
        clients.append(client)


def ask(proxy):
    """What a new client is told to its INSERT: SQLSTATE and DETAIL, or nothing."""
    try:
        with connect(proxy) as client:
            client.rows("INSERT INTO t VALUES (2)")
            return None
    except ServerError as error:
        return error.sqlstate, error.fields.get("D", "")


@suite.check("another password of the service login takes no server down, also when its connections end")
def _():
    with guarded() as servers, Howdah(config=hosts_config(servers)) as proxy, connect(proxy) as client:
        all_up(proxy, 2)
        client.rows("INSERT INTO t VALUES (1)")
        servers[0].psql("ALTER ROLE prober PASSWORD 'two'")
        # What can't be renewed is kept, and somebody is warned.
        seen(proxy, 0, "up", "28P01", 25)
        seen(proxy, 1, "up", "28P01", 25)
        proxy.wait_for_log("another connection is refused")
        # Without it statements go on, and so do new connections.
        for server in servers:
            equal(end_probes(server), "1", "probes")
        row = seen(proxy, 0, "unknown", "not watched: ")
        equal((row["writes"], "28P01" in row["reason"]), ("yes", True), str(row))
        seen(proxy, 1, "unknown", "28P01")
        for _ in range(10):
            client.rows("INSERT INTO t VALUES (2)")
        proxy.admin("RECONNECT app")
        with connect(proxy) as other:
            other.rows("INSERT INTO t VALUES (3)")
        # Nor does a reload ask for more than is known.
        proxy.write_config(hosts_config(servers, "three", size=5))
        proxy.admin("RELOAD")
        client.rows("INSERT INTO t VALUES (4)")
        seen(proxy, 0, "unknown", "28P01")
        client.rows("INSERT INTO t VALUES (5)")
        # The right one, and all is as before.
        proxy.write_config(hosts_config(servers, "two"))
        proxy.admin("RELOAD")
        all_up(proxy, 2)
        client.rows("INSERT INTO t VALUES (6)")
        equal(proxy.admin("SHOW FAILOVERS"), [], "failovers")


@suite.check("a primary that was gone and shuts its probe out is not written to before it can be asked")
def _():
    with guarded() as servers, Howdah(config=hosts_config(servers)) as proxy:
        all_up(proxy, 2)
        equal(ask(proxy), None, "what is told")
        servers[0].psql("ALTER ROLE prober PASSWORD 'two'")
        servers[0].pause()
        seen(proxy, 0, "down")
        servers[0].resume()
        seen(proxy, 0, "unknown", "28P01")
        sqlstate, detail = ask(proxy)
        true(sqlstate == "57P03" and "not watched" in detail, f"what is told: {sqlstate} {detail}")
        equal(servers[0].psql("SELECT count(*) FROM t"), "1", "rows")
        servers[0].psql("ALTER ROLE prober PASSWORD 'one'")
        eventually(lambda: ask(proxy) is None, "it is written to", 10)


@suite.check("a server without a connection left serves those that it has, and goes on being the primary")
def _():
    with guarded(max_connections=20, max_wal_senders=3) as servers, contextlib.ExitStack() as stack:
        servers[0].psql("CREATE ROLE filler LOGIN")
        proxy = stack.enter_context(Howdah(config=hosts_config(servers)))
        client = stack.enter_context(connect(proxy))
        all_up(proxy, 2)
        client.rows("INSERT INTO t VALUES (1)")
        fillers = []
        os.kill(proxy.pid, signal.SIGSTOP)
        try:
            end_probes(servers[0])
            fill(servers[0], fillers)
        finally:
            os.kill(proxy.pid, signal.SIGCONT)
        row = seen(proxy, 0, "unknown", "53300")
        equal(row["writes"], "yes", "the primary")
        for _ in range(30):
            client.rows("INSERT INTO t VALUES (2)")
            time.sleep(0.05)
        for filler in fillers:
            filler.close()
        all_up(proxy, 2, 20)
        equal(servers[0].psql("SELECT count(*) FROM t"), "31", "rows")
        equal(proxy.admin("SHOW FAILOVERS"), [], "failovers")



@suite.check("a given primary that was frozen, and shuts its probe out then, serves those who know it")
def _():
    with guarded() as servers:
        config = hosts_config(servers)
        app = config["databases"]["app"]
        app["primary"], *app["replicas"] = app.pop("hosts")
        with Howdah(config=config) as proxy:
            all_up(proxy, 2)
            equal(ask(proxy), None, "what is told")
            servers[0].psql("ALTER ROLE prober PASSWORD 'two'")
            servers[0].freeze()
            try:
                seen(proxy, 0, "frozen")
            finally:
                servers[0].thaw()
            seen(proxy, 0, "unknown", "28P01", 20)
            equal(ask(proxy), None, "what is told")


if __name__ == "__main__":
    suite.main()
