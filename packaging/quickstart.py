"""The part of packaging/quickstart that runs once everything is installed and built.

Starts a PostgreSQL server, a streaming replica of it and Howdah on free ports of 127.0.0.1, proves
each main job with real statements, prints the DSN and stays until Ctrl-C. What it started it ends, by process id.
"""

import atexit
import signal
import socket
import subprocess
import sys
import threading
import time

import wire
from check import Failed, equal, eventually, in_threads, one_line, true
from howdah import Howdah, HowdahError
from pgcluster import Cluster, ClusterError, Replica

CLIENTS, POOL_SIZE = 50, 5
JOBS = []


def job(name):
    """The function below proves this job and returns what it saw."""

    def keep(function):
        JOBS.append((name, function))
        return function

    return keep


def connect(proxy, **params):
    client = wire.Wire(proxy.port)
    client.login("postgres", "app", **params)
    return client


@job("many clients share a few server connections")
def pooling(proxy):
    backends, transactions, lock = set(), [0], threading.Lock()

    def work(number):
        with connect(proxy) as client:
            for turn in range(20):
                client.rows("BEGIN")
                pid = client.scalar("SELECT pg_backend_pid()")
                equal(client.scalar(f"SELECT 'client {number} turn {turn}'"), f"client {number} turn {turn}")
                equal(client.scalar("SELECT pg_backend_pid()"), pid, "the backend within a transaction")
                client.rows("COMMIT")
                with lock:
                    backends.add(pid)
                    transactions[0] += 1

    in_threads(CLIENTS, work)
    true(1 <= len(backends) <= POOL_SIZE, f"{len(backends)} server connections")
    return f"{CLIENTS} clients, {transactions[0]} transactions, {len(backends)} server connections"


@job("prepared statements work across transactions and servers")
def prepared(proxy):
    backends, lock = set(), threading.Lock()

    def work(number):
        with connect(proxy) as client:
            client.send(wire.parse("mine", f"SELECT $1::int + {number}, pg_backend_pid()"), wire.sync()).ready()
            for turn in range(20):
                client.send(wire.bind("", "mine", [str(turn).encode()]), wire.execute(), wire.sync())
                result = wire.Result(client.ready())
                true(not result.errors, str(result.errors))
                equal(result.rows[0][0], str(turn + number), f"client {number}")
                with lock:
                    backends.add(result.rows[0][1])

    in_threads(12, work)
    return f"12 clients, one name for 12 statements, run on {len(backends)} servers"


@job("a cancel request ends the right statement")
def cancel(proxy):
    with connect(proxy) as victim, connect(proxy) as other:
        victim.send(wire.query("SELECT pg_sleep(30)"))
        victim.quiet(0.3)
        begun = time.monotonic()
        victim.cancel()
        equal([m.fields["C"] for m in victim.ready() if m.kind == "E"], ["57014"])
        equal(other.scalar("SELECT 'unharmed'"), "unharmed")
        equal(victim.scalar("SELECT 'alive'"), "alive")
    return f"after {(time.monotonic() - begun) * 1000:.0f} ms"


@job("COPY streams in and out")
def copy(proxy):
    with connect(proxy) as client:
        client.rows("DROP TABLE IF EXISTS lines; CREATE TABLE lines (n int, t text)")
        client.send(wire.query("COPY lines FROM STDIN")).until("G")
        data = b"".join(b"%d\tline %d\n" % (i, i) for i in range(50000))
        client.send(
            *(wire.copy_data(data[at : at + 60000]) for at in range(0, len(data), 60000)), wire.copy_done()
        ).ready()
        client.send(wire.query("COPY (SELECT * FROM lines ORDER BY n) TO STDOUT"))
        equal(b"".join(m.body for m in client.ready() if m.kind == "d") == data, True, "out is what went in")
    return f"50000 rows, {len(data)} bytes each way"


@job("an error is the client's own, and its connection lives on")
def errors(proxy):
    with connect(proxy) as client:
        result = client.query("SELECT 1/0")
        equal((result.sqlstate, result.status), ("22012", "I"))
        equal(client.scalar("SELECT 'alive'"), "alive")
    return "22012 told, then served"


@job("the admin database answers")
def admin(proxy):
    pool = next(row for row in proxy.admin("SHOW POOLS") if row["database"] == "app")
    servers = int(pool["sv_active"]) + int(pool["sv_idle"]) + int(pool["sv_used"])
    # Reads may have opened as many at the replica.
    true(1 <= servers <= 2 * POOL_SIZE, f"SHOW POOLS counts {servers} servers: {pool}")
    return f"SHOW POOLS: {servers} servers in mode {pool['pool_mode']}"


@job("a replica is watched")
def replica(proxy):
    with connect(proxy) as client:
        client.rows("CREATE TABLE IF NOT EXISTS watched AS SELECT generate_series(1, 10000) AS n")

    def caught_up():
        row = proxy.admin("SHOW REPLICAS")[1]
        return (row["state"], row["role"], row["lag_bytes"]) == ("up", "replica", "0") and row

    row = eventually(caught_up, "SHOW REPLICAS: the replica is up, with no lag")
    return f"SHOW REPLICAS: node {row['node']} is {row['state']}, {row['lag_ms']} ms behind at {row['lsn']}"


@job("what only reads goes to the replica, and shows what was written")
def reads(proxy):
    with connect(proxy) as client:
        client.rows("CREATE TABLE IF NOT EXISTS written (n int)")
        for n in range(100):
            client.rows(f"INSERT INTO written VALUES ({n})")
            equal(client.scalar("SELECT max(n) FROM written"), str(n), "what was written last")
        where = "SELECT current_setting('cluster_name')"
        eventually(lambda: client.scalar(where) == "replica", "a read runs at the replica")
    primary, replica = (int(row["reads"]) for row in proxy.admin("SHOW REPLICAS"))
    return f"SHOW REPLICAS: {replica} reads there, {primary} at the primary, none of them stale"


def prove(proxy):
    """Runs every job; returns how many failed."""
    failed = 0
    for name, function in JOBS:
        try:
            print(f"ok {name}: {function(proxy)}", flush=True)
        except Exception as error:  # whatever goes wrong is that job's outcome
            failed += 1
            print(f"not ok {name}: {one_line(error)}", flush=True)
    return failed


def usual_port_or_any(howdah, port=6432):
    """The port that the manual names, if nobody has it."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return
    howdah.port = port


def stay(proxy):
    """Until Ctrl-C, SIGTERM or Howdah's end; returns whether Howdah still ran."""
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    while not over.wait(0.2):
        if proxy.process.poll() is not None:
            print(f"howdah ended with {proxy.process.returncode}:\n{proxy.stderr[-1000:]}", file=sys.stderr)
            return False
    return True


def run(check, keep):
    cluster = Cluster(options={"cluster_name": "primary"})
    cluster.start()
    standby = Replica(cluster, {"cluster_name": "replica"})
    proxy = None
    try:
        cluster.psql("CREATE DATABASE app")
        standby.start()
        proxy = Howdah(
            databases={"app": cluster.dsn("postgres", "app")},
            settings={"auth.method": "trust", "databases.app.pool.size": POOL_SIZE,
                      "databases.app.replicas": standby.dsn("postgres", "app")},
        )
        usual_port_or_any(proxy)
        proxy.start()
        print(
            f"PostgreSQL {cluster.version} on 127.0.0.1:{cluster.port} with a replica on {standby.port}, "
            f"Howdah on 127.0.0.1:{proxy.port}",
            flush=True,
        )
        failed = prove(proxy)
        print(
            f"\n  psql '{proxy.dsn('postgres', 'app')}'        the database, through Howdah"
            f"\n  psql '{proxy.dsn('admin', 'howdah')}'        the admin database (SHOW HELP)\n",
            flush=True,
        )
        if not check:
            print("Ctrl-C ends it.", flush=True)
            failed += not stay(proxy)
        return failed
    finally:
        if proxy and proxy.process:
            proxy.stop()
        standby.stop()
        if keep:
            atexit.unregister(cluster.stop)
            cluster.pause()
            print(f"the data is in {cluster.data_dir}", flush=True)
        else:
            cluster.stop()


def main():
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        sys.exit(1 if run("--check" in sys.argv, "--keep" in sys.argv) else 0)
    except (ClusterError, HowdahError, Failed, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"quickstart: {error}")
    except KeyboardInterrupt:
        sys.exit(1)


if __name__ == "__main__":
    main()
