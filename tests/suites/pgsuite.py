"""Runs one of PostgreSQL's suites: at a server, or at a proxy before one.

    runner = Runner(source, "regress", folder)
    with runner.place("transaction", size=8) as place:      # or "direct", "session"
        results = runner.run(place, tests=["guc", "prepare"])

Every place is a new server, with a Howdah in front unless it is direct. Results is a dictionary
of test names to what differed from the expected output ("" for a test that passed). rebase()
makes what a run gave the expected output, for what differs on the server itself.
"""

import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess

from howdah import Howdah
from pgcluster import Cluster
from pgsource import Missing

# What initdb would write, and pg_regress for a server of its own; without the time for durability.
SERVER_OPTIONS = {
    "max_prepared_transactions": 2, "max_connections": 100, "autovacuum": "on",
    "max_parallel_workers_per_gather": 2, "shared_buffers": "128MB", "wal_level": "replica",
    "synchronous_commit": "on", "full_page_writes": "on", "checkpoint_timeout": "5min",
}
PGXS = "/usr/lib/postgresql/{major}/lib/pgxs/src/test"
PROGRAMS = {"regress": "regress/pg_regress", "isolation": "isolation/pg_isolation_regress"}
DATABASES = {"regress": "regression", "isolation": "isolation_regression"}
SCHEDULES = {"regress": "parallel_schedule", "isolation": "isolation_schedule"}
SESSION_LINKS = 60
TEST_LIMIT_S = 60  # for one client program, which a proxy may leave waiting for ever
RESULT = re.compile(r"^(?:test)?\s+(\S+)\s+\.\.\. (ok|FAILED|failed)\b(.*)", re.M)


def read_exceptions(kind):
    """{(mode, test): reason} of exceptions.txt for one of the suites."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "exceptions.txt")
    with open(path, encoding="utf-8") as file:
        rows = [line.split(None, 3) for line in file if line.strip() and line[0] != "#"]
    return {(mode, name): reason.strip() for suite, mode, name, reason in rows if suite == kind}


class Runner:
    """One suite. `folder` is where its inputs and outputs go, for the server's user to write."""

    def __init__(self, source, kind, folder, major=15):
        self.source, self.kind, self.folder, self.major = source, kind, folder, major
        self.program = os.path.join(PGXS.format(major=major), PROGRAMS[kind])
        if not os.path.exists(self.program):
            raise Missing(f"no {self.program}")
        self.input = os.path.join(folder, "input")
        shutil.copytree(getattr(source, kind), self.input)
        self._give(folder)

    @property
    def schedule(self):
        """The suite's own order of its tests."""
        return os.path.join(self.input, SCHEDULES[self.kind])

    @contextlib.contextmanager
    def place(self, mode, size=8, workers=1, binary=None):
        """A new server, and a proxy of this mode before it; yields the place's (name, port)."""
        with Cluster(self.major, options=SERVER_OPTIONS) as cluster:
            self._make_database(cluster)
            if mode == "direct":
                yield mode, cluster.port
                return
            links = SESSION_LINKS if mode == "session" else size
            pool = {"mode": mode, "size": links, "max_pinned": 100, "wait_timeout": "10m"}
            # A test that was given up may have left a transaction that waits for ever.
            config = {"workers": workers, "shutdown_timeout": "3s",
                      "auth": {"method": "trust", "fail_limit": None}, "databases": {
                          "*": {"primary": f"postgres://127.0.0.1:{cluster.port}/", "pool": pool}}}
            howdah = Howdah(config=config, binary=binary)
            howdah.start()
            try:
                yield mode, howdah.port
            finally:
                ended = howdah.process.poll()
                code = howdah.stop(signal.SIGTERM if ended is None else signal.SIGKILL)
            if code:
                raise AssertionError(f"howdah ended with {code} in {mode} mode")

    def _make_database(self, cluster):
        """As pg_regress would make it."""
        name = DATABASES[self.kind]
        cluster.psql(f"CREATE DATABASE {name} TEMPLATE = template0")
        for setting in ("lc_messages TO 'C'", "lc_monetary TO 'C'", "lc_numeric TO 'C'",
                        "lc_time TO 'C'", "bytea_output TO 'hex'",
                        "timezone_abbreviations TO 'Default'"):
            cluster.psql(f"ALTER DATABASE {name} SET {setting}")

    def run(self, place, tests=(), limit_s=3600, test_limit_s=TEST_LIMIT_S):
        """The tests in the order of the suite's schedule, side by side as there; or all of it."""
        mode, port = place
        output = os.path.join(self.folder, mode)
        shutil.rmtree(output, ignore_errors=True)
        os.makedirs(output)
        schedule = self._write_schedule(output, tests) if tests else self.schedule
        self._give(output)
        command = [self.program, "--use-existing", "--host=127.0.0.1", f"--port={port}",
                   "--user=postgres", f"--dbname={DATABASES[self.kind]}",
                   f"--inputdir={self.input}", f"--outputdir={output}", f"--schedule={schedule}",
                   f"--dlpath={self.source.libraries}", f"--launcher=timeout {test_limit_s}",
                   f"--bindir={self.source.programs}"]
        said = self._pg_regress(command, output, limit_s)
        diffs = self._diffs(output)
        results = {name: "" if outcome == "ok" else diffs.get(name) or rest.strip() or "failed"
                   for name, outcome, rest in RESULT.findall(said)}
        with open(schedule, encoding="utf-8") as file:
            wanted = re.findall(r"[^\s:]+", " ".join(re.findall(r"^test:(.*)", file.read(), re.M)))
        if set(wanted) - set(results):
            raise AssertionError(f"pg_regress ended early: {said[-600:]}")
        return results

    def rebase(self, mode, results):
        """What this run gave for the tests that failed is what is expected from now on."""
        for name in (name for name, diff in results.items() if diff):
            given = os.path.join(self.folder, mode, "results", f"{name}.out")
            if os.path.exists(given):
                shutil.copy(given, os.path.join(self.input, "expected", f"{name}.out"))

    def _write_schedule(self, output, tests):
        """The suite's schedule with these tests, and the one that others stand on."""
        path = os.path.join(output, "schedule")
        with open(self.schedule, encoding="utf-8") as file:
            groups = [line.split()[1:] for line in file if line.startswith("test:")]
        chosen = [[name for name in group if name in {"test_setup", *tests}] for group in groups]
        unknown = set(tests).difference(*groups)
        if unknown:
            raise AssertionError(f"no such tests: {' '.join(sorted(unknown))}")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"test: {' '.join(group)}\n" for group in chosen if group)
        return path

    def _pg_regress(self, command, output, limit_s):
        env = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        process = subprocess.Popen(command, cwd=output, env=env, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   errors="replace", start_new_session=True, **self._user())
        try:
            return process.communicate(timeout=limit_s)[0]
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            said = process.communicate()[0]
            raise AssertionError(f"pg_regress did not end: {said[-600:]}") from None

    @staticmethod
    def _diffs(output):
        """The differences by test, of the file that has those of all."""
        path = os.path.join(output, "regression.diffs")
        if not os.path.exists(path):
            return {}
        with open(path, encoding="utf-8", errors="replace") as file:
            parts = re.split(r"^diff .*/results/(\S+)\.out$", file.read(), flags=re.M)
        return {name: text.strip("\n") for name, text in zip(parts[1::2], parts[2::2])}

    @staticmethod
    def _user():
        if os.geteuid() != 0:
            return {}
        entry = pwd.getpwnam("postgres")
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

    @staticmethod
    def _give(folder):
        """To the server's user, whose server writes files there as well."""
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "postgres:", folder], check=True)
