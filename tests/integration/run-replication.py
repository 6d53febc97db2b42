#!/usr/bin/env python3
"""Replication connections: passed through on a server connection of their own."""

import os
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, eventually, true  # noqa: E402
from pgcluster import bin_dir  # noqa: E402
from stage import Stage  # noqa: E402

suite = Suite("replication")
stage = Stage(suite, options={"wal_level": "logical", "max_wal_senders": 8})
TOOLS = bin_dir(15)


def run(tool, *arguments, timeout_s=40):
    done = subprocess.run(
        [os.path.join(TOOLS, tool), *arguments], capture_output=True, text=True, timeout=timeout_s, check=False
    )
    true(done.returncode == 0, f"{tool}: {done.stderr.strip()}")
    return done.stdout


def read(path):
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as file:
        return file.read()


@suite.check("IDENTIFY_SYSTEM and SQL on a logical replication connection")
def _():
    with stage.proxy(size=1) as proxy:
        client = stage.client(proxy, replication="database")
        equal(client.query("IDENTIFY_SYSTEM").rows[0][3], "app")
        equal(client.query("SELECT 1").rows, [("1",)])
        client.close()
        eventually(lambda: not stage.backends("backend_type = 'walsender'"), "its server connection is closed")


@suite.check("pg_basebackup streams a whole cluster through, with its WAL beside it")
def _():
    with stage.proxy(size=1) as proxy, tempfile.TemporaryDirectory() as folder:
        target = os.path.join(folder, "copy")
        run("pg_basebackup", "-h", "127.0.0.1", "-p", str(proxy.port), "-U", "postgres", "-D", target, "-c", "fast")
        true(os.path.exists(os.path.join(target, "PG_VERSION")), "the copy has no PG_VERSION")
        run("pg_verifybackup", target)


@suite.check("logical decoding: CopyBoth in both directions until both have ended")
def _():
    stage.sql("DROP TABLE IF EXISTS decoded")
    stage.sql("CREATE TABLE decoded (v int)")
    with stage.proxy(size=1) as proxy, tempfile.TemporaryDirectory() as folder:
        dsn = f"host=127.0.0.1 port={proxy.port} user=postgres dbname=app"
        out = os.path.join(folder, "changes")
        run("pg_recvlogical", "-d", dsn, "--slot", "through", "--create-slot", "-P", "test_decoding")
        command = [os.path.join(TOOLS, "pg_recvlogical"), "-d", dsn, "--slot", "through",
                   "--start", "-f", out, "-F", "1"]
        with subprocess.Popen(command) as receiver:
            try:
                stage.sql("INSERT INTO decoded VALUES (4711)")
                eventually(lambda: "4711" in read(out), "the change is decoded", 20)
            finally:
                receiver.send_signal(signal.SIGINT)
        equal(receiver.returncode, 0, "pg_recvlogical")
        run("pg_recvlogical", "-d", dsn, "--slot", "through", "--drop-slot")


@suite.check("replication connections leave the pool's own size alone")
def _():
    with stage.proxy(size=1) as proxy:
        walsender = stage.client(proxy, replication="database")
        equal(walsender.query("IDENTIFY_SYSTEM").rows[0][3], "app")
        equal(stage.client(proxy).scalar("SELECT 1"), "1")


if __name__ == "__main__":
    suite.main()
