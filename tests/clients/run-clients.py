#!/usr/bin/env python3
"""Runs the client scripts, real drivers against real PostgreSQL servers, through Howdah.

    HOWDAH_BIN=build/daemon/howdah tests/clients/run-clients.py [CLIENT...]
        --mode transaction|session    only this pool mode (default: both)
        --direct                      without Howdah: the scripts themselves are on trial
        --pgbouncer                   a PgBouncer in session mode instead of Howdah, likewise
        --pg-version N, --all-versions   servers other than the system's 15: 14, 16, 17, 18

In transaction mode other clients, with settings of their own, keep the pool moving (movers.py).
Prints "ok pgVERSION/MODE/CLIENT/CHECK", "not ok ...: reason" or "skip ...: reason"; exits 1 if a
check failed. Drivers are fetched into a cache at need (toolchains.py); a client whose toolchain
is missing is a skip.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from urllib.parse import urlsplit

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, "..", "lib"))
import toolchains  # noqa: E402
from movers import Movers  # noqa: E402
from howdah import Howdah  # noqa: E402
from pgcluster import Cluster, ClusterError, bin_dir, free_port  # noqa: E402

SYSTEM_VERSION = 15
VERSIONS = (14, 15, 16, 17, 18)
CLIENT_LIMIT_S = 240  # of the 600 that the runner gives to all of them
# Fewer servers than any client's workers, so that transactions really share them.
POOL_SIZE = {"transaction": 4, "session": 64}
SERVER_OPTIONS = {"max_prepared_transactions": 10}


def in_python(name):
    return lambda: ([toolchains.python(), os.path.join(HERE, name, "client.py")], {})


def in_plain_python(name):
    toolchains.need("psql")
    return [sys.executable, os.path.join(HERE, name, "client.py")], {}


def node_postgres():
    modules = toolchains.node_modules()
    return (["node", "--no-deprecation", os.path.join(HERE, "node-postgres", "client.js")], {"NODE_PATH": modules})


def pgjdbc():
    return ["java", "-cp", toolchains.pgjdbc_jar(), os.path.join(HERE, "pgjdbc", "Client.java")], {}


def pdo():
    toolchains.need_php()
    return ["php", os.path.join(HERE, "pdo", "client.php")], {}


CLIENTS = {
    "psql": lambda: in_plain_python("psql"),
    "pgbench": lambda: in_plain_python("pgbench"),
    "psycopg2": in_python("psycopg2"),
    "psycopg3": in_python("psycopg3"),
    "sqlalchemy": in_python("sqlalchemy"),
    "sqlalchemy-app": in_python("sqlalchemy-app"),
    "alembic": in_python("alembic"),
    "django": in_python("django"),
    "asyncpg": in_python("asyncpg"),
    "node-postgres": node_postgres,
    "pgx": lambda: ([toolchains.pgx_client()], {}),
    "pgjdbc": pgjdbc,
    "pdo": pdo,
    "admin": in_python("admin"),
}


class Tally:
    """Prints outcomes and remembers whether one was a failure."""

    def __init__(self):
        self.failed = 0

    def say(self, line):
        self.failed += line.startswith("not ok")
        print(line, flush=True)


def last_words(text):
    return " | ".join(text.strip().splitlines()[-3:])[:400]


def run_client(name, dsn, prefix, tally):
    try:
        argv, env = CLIENTS[name]()
    except toolchains.Missing as reason:
        tally.say(f"skip {prefix}/{name}: {reason}")
        return
    # A script that hangs is ended by SIGABRT, and Python then tells where its threads are.
    env = {**os.environ, **env, "HOWDAH_TEST_DSN": dsn, "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}
    if name == "admin":
        env["HOWDAH_TEST_ADMIN_DSN"] = admin_dsn(dsn)
    process = subprocess.Popen(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=env,
        stdin=subprocess.DEVNULL,
    )
    before = tally.failed
    try:
        output, errors = process.communicate(timeout=CLIENT_LIMIT_S)
    except subprocess.TimeoutExpired:
        show_standstill(dsn)
        process.send_signal(signal.SIGABRT)
        output, errors = process.communicate()
        print("\n".join(f"# {line}" for line in errors.splitlines()[-60:]))
        tally.say(f"not ok {prefix}/{name}: no end within {CLIENT_LIMIT_S} s")
    count = 0
    for line in output.splitlines():
        for verdict in ("ok ", "not ok ", "skip "):
            if line.startswith(verdict):
                count += 1
                tally.say(f"{verdict}{prefix}/{line[len(verdict):]}")
    if tally.failed == before and (count == 0 or process.returncode != 0):
        tally.say(f"not ok {prefix}/{name}: exit {process.returncode} after {count} checks: {last_words(errors)}")


def admin_dsn(dsn):
    return dsn.replace("//postgres@", "//admin@").replace("/app", "/howdah")


def show_standstill(dsn):
    """Prints who waits for whom, as the proxy and its server tell it."""
    for where, statement in (
        (admin_dsn(dsn), "SHOW CLIENTS"),
        (admin_dsn(dsn), "SHOW SERVERS"),
        (dsn, "SELECT pid, state, wait_event, now() - query_start, query FROM pg_stat_activity WHERE datname = 'app'"),
    ):
        try:
            done = subprocess.run(
                ["psql", "-X", "-d", where, "-c", statement],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=20,
                check=False,
            )
            said = done.stdout
        except (OSError, subprocess.TimeoutExpired) as error:
            said = f"{statement}: {error}"
        print("\n".join(f"# {line}" for line in said.splitlines()), flush=True)


@contextlib.contextmanager
def pgbouncer(cluster):
    """A PgBouncer in session mode; yields its port."""
    program = toolchains.need("pgbouncer")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="howdah-pgbouncer-") as folder:
        path = os.path.join(folder, "pgbouncer.ini")
        with open(path, "w", encoding="utf-8") as file:
            file.write(
                f"[databases]\n* = host=127.0.0.1 port={cluster.port} user=postgres\n[pgbouncer]\n"
                f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
                f"pool_mode = session\ndefault_pool_size = 64\nignore_startup_parameters = extra_float_digits\n"
                "server_reset_query = DISCARD ALL\nmax_client_conn = 200\n"
            )
        os.chmod(folder, 0o755)
        as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        process = subprocess.Popen(
            [*as_user, program, "-q", path],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until_answering(port)
            yield port
        finally:
            process.terminate()
            process.wait(20)


def wait_until_answering(port, limit_s=20):
    end = time.monotonic() + limit_s
    while subprocess.run(["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False).returncode:
        if time.monotonic() > end:
            raise ClusterError(f"nothing answers on port {port}")
        time.sleep(0.05)


@contextlib.contextmanager
def proxy_dsn(kind, cluster):
    """What the clients connect to: the server itself, PgBouncer, or Howdah in a pool mode."""
    if kind == "direct":
        yield cluster.dsn("postgres", "app")
    elif kind == "pgbouncer":
        with pgbouncer(cluster) as port:
            yield f"postgres://postgres@127.0.0.1:{port}/app"
    else:
        settings = {
            "auth.method": "trust",
            "databases.app.pool.mode": kind,
            "databases.app.pool.size": POOL_SIZE[kind],
            "databases.app.pool.max_pinned": 16,
            "databases.app.pool.check_state": "true",
        }
        with Howdah(databases={"app": cluster.dsn("postgres", "app")}, settings=settings) as howdah:
            try:
                yield howdah.dsn("postgres", "app")
            finally:
                if howdah.process.poll() is not None:
                    print(
                        f"howdah ended with {howdah.process.returncode}: {last_words(howdah.stderr)}", file=sys.stderr
                    )


@contextlib.contextmanager
def moving(kind, dsn, prefix, tally):
    """In transaction mode other clients keep the pool moving, and want to see their own settings only."""
    if kind != "transaction":
        yield
        return
    with Movers(urlsplit(dsn).port) as movers:
        yield
    for problem in movers.problems:
        tally.say(f"not ok {prefix}/movers: {problem}")
    if not movers.problems:
        tally.say(f"ok {prefix}/movers/{len(movers.threads)} others had their own settings in every turn")


def run_version(version, kinds, names, tally):
    try:
        if version != SYSTEM_VERSION and not os.environ.get(f"PG{version}_BIN"):
            try:
                bin_dir(version)
            except ClusterError:
                os.environ[f"PG{version}_BIN"] = toolchains.postgres_bin(version)
        cluster = Cluster(version, options=SERVER_OPTIONS)
    except (toolchains.Missing, ClusterError) as reason:
        tally.say(f"skip pg{version}: {reason}")
        return
    with cluster:
        for kind in kinds:
            cluster.psql("DROP DATABASE IF EXISTS app")
            cluster.psql("CREATE DATABASE app")
            try:
                with proxy_dsn(kind, cluster) as dsn, moving(kind, dsn, f"pg{version}/{kind}", tally):
                    for name in names:
                        if name == "admin" and kind not in POOL_SIZE:
                            continue  # only Howdah has one
                        run_client(name, dsn, f"pg{version}/{kind}", tally)
            except Exception as error:  # the proxy did not start or did not stop: an outcome too
                tally.say(f"not ok pg{version}/{kind}: {last_words(str(error))}")
            end_sessions(cluster)


def end_sessions(cluster):
    """A proxy that has ended may leave its servers a moment to notice; DROP DATABASE does not wait."""
    cluster.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'app'")
    for _ in range(100):
        if cluster.psql("SELECT count(*) FROM pg_stat_activity WHERE datname = 'app'") == "0":
            return
        time.sleep(0.05)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help=", ".join(CLIENTS))
    parser.add_argument("--mode", choices=["transaction", "session"])
    parser.add_argument("--direct", action="store_true")
    parser.add_argument("--pgbouncer", action="store_true")
    parser.add_argument("--pg-version", type=int, action="append", choices=VERSIONS)
    parser.add_argument("--all-versions", action="store_true")
    args = parser.parse_args()
    unknown = set(args.clients) - set(CLIENTS)
    if unknown:
        parser.error(f"no such client: {', '.join(sorted(unknown))}; there are {', '.join(CLIENTS)}")
    kinds = ["direct"] * args.direct + ["pgbouncer"] * args.pgbouncer
    kinds = kinds or ([args.mode] if args.mode else ["transaction", "session"])
    if set(kinds) & set(POOL_SIZE) and not os.environ.get("HOWDAH_BIN"):
        parser.error("set HOWDAH_BIN to the howdah that was built, or give --direct")
    tally = Tally()
    versions = VERSIONS if args.all_versions else args.pg_version or [SYSTEM_VERSION]
    for version in versions:
        run_version(version, kinds, args.clients or list(CLIENTS), tally)
    sys.exit(1 if tally.failed else 0)


if __name__ == "__main__":
    main()
