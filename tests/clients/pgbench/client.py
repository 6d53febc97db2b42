"""pgbench: TPC-B and select-only in each query mode, and reconnecting for every transaction."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from client_suite import Failed, Skip, Suite, equal, true  # noqa: E402

suite = Suite("pgbench")


def pgbench(*flags, script=None):
    """Run pgbench; returns its report. A failed or aborted transaction is a failure."""
    if not shutil.which("pgbench"):
        raise Skip("pgbench is not installed")
    with tempfile.TemporaryDirectory() as folder:
        if script:
            path = os.path.join(folder, "script.sql")
            with open(path, "w", encoding="utf-8") as file:
                file.write(script)
            flags += ("-f", path)
        done = subprocess.run(["pgbench", *flags, suite.dsn], capture_output=True, text=True, timeout=55, check=False)
    report = done.stdout + done.stderr
    if done.returncode or "aborted" in report:
        raise Failed(f"exit {done.returncode}: {report[-300:]}")
    failed = re.search(r"number of failed transactions: (\d+)", report)
    if failed:
        equal(failed.group(1), "0", "failed transactions")
    return report


def processed(report):
    return int(re.search(r"actually processed: (\d+)", report).group(1))


def query(sql):
    done = subprocess.run(["psql", "-XAtq", suite.dsn, "-c", sql], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@suite.check("initialise with COPY, at the client")
def _():
    pgbench("-i", "-s", "1", "-I", "dtgvp", "-q")
    equal(query("SELECT count(*) FROM pgbench_accounts"), "100000")


@suite.check("initialise at the server, in one transaction")
def _():
    pgbench("-i", "-s", "1", "-I", "dtGp", "-q")
    equal(query("SELECT count(*) FROM pgbench_accounts"), "100000")


def modes():
    for mode in ("simple", "extended", "prepared"):

        @suite.check(f"TPC-B, {mode}, 8 clients")
        def _(mode=mode):
            query("TRUNCATE pgbench_history")
            # -n: vacuum runs on its own connection and is checked below
            equal(processed(pgbench("-n", "-M", mode, "-c", "8", "-j", "2", "-t", "50")), 400)
            equal(query("SELECT count(*) FROM pgbench_history"), "400")
            equal(
                query(
                    "SELECT (SELECT sum(abalance) FROM pgbench_accounts) ="
                    " (SELECT sum(tbalance) FROM pgbench_tellers)"
                ),
                "t",
            )
            query("UPDATE pgbench_accounts SET abalance = 0 WHERE abalance <> 0")
            query("UPDATE pgbench_tellers SET tbalance = 0")

        @suite.check(f"select only, {mode}, 32 clients")
        def _(mode=mode):
            equal(processed(pgbench("-n", "-S", "-M", mode, "-c", "32", "-j", "2", "-t", "100")), 3200)

        @suite.check(f"a new connection for each transaction, {mode}")
        def _(mode=mode):
            equal(processed(pgbench("-n", "-S", "-C", "-M", mode, "-c", "4", "-t", "20")), 80)


modes()


@suite.check("vacuum before the run")
def _():
    pgbench("-S", "-c", "2", "-t", "5")


@suite.check("witness: each client reads its own value")
def _():
    script = (
        "\\set me :client_id * 1000003\n"
        "SELECT :me AS got, count(*) AS n FROM generate_series(1, 100) \\gset\n"
        "BEGIN;\nSELECT :me AS again \\gset\nEND;\n"
        "\\if :got <> :me OR :again <> :me\nSELECT 1/0;\n\\endif\n"
    )
    for mode in ("simple", "extended", "prepared"):
        equal(processed(pgbench("-n", "-M", mode, "-c", "24", "-j", "2", "-t", "40", script=script)), 960)


@suite.check("pipelines")
def _():
    script = "\\startpipeline\n" + "SELECT :client_id;\n" * 20 + "\\endpipeline\n"
    for mode in ("extended", "prepared"):
        equal(processed(pgbench("-n", "-M", mode, "-c", "8", "-t", "30", script=script)), 240)


@suite.check("pipelined transaction")
def _():
    script = (
        "\\startpipeline\nBEGIN;\nUPDATE pgbench_branches SET bbalance = bbalance + 1 WHERE bid = 1;\n"
        "SELECT bbalance FROM pgbench_branches WHERE bid = 1;\nEND;\n\\endpipeline\n"
    )
    query("UPDATE pgbench_branches SET bbalance = 0")
    pgbench("-n", "-M", "prepared", "-c", "8", "-t", "30", script=script)
    equal(query("SELECT bbalance FROM pgbench_branches WHERE bid = 1"), "240")


@suite.check("serialisable with retries")
def _():
    script = (
        "BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT bbalance FROM pgbench_branches WHERE bid = 1;\n"
        "UPDATE pgbench_branches SET bbalance = bbalance + 1 WHERE bid = 1;\nEND;\n"
    )
    version = subprocess.run(["pgbench", "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.split()[2].split(".")[0]) < 15:
        raise Skip("--max-tries came with pgbench 15")
    report = pgbench("-n", "-c", "8", "-t", "20", "--max-tries=200", script=script)
    true(processed(report) == 160, report)


@suite.check("tables dropped")
def _():
    pgbench("-i", "-I", "d")


if __name__ == "__main__":
    suite.main()
