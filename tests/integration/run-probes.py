#!/usr/bin/env python3
"""Howdah's own connections to servers: what may neither change what they say nor take a server down.

What role, environment and home folder set counts for nothing; TLS is that of the connection string.
"""

import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, eventually, true  # noqa: E402
from howdah import Howdah  # noqa: E402
from pgcluster import Cluster, self_signed_cert  # noqa: E402
from trio import START_S, Trio, all_up, rows  # noqa: E402
from wire import Wire  # noqa: E402

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


if __name__ == "__main__":
    suite.main()
