#!/usr/bin/env python3
"""The tests: builds, and runs them. tests/run starts it, once Python itself is installed.

    tests/run              everything; the last line is "N passed, N failed", plus ", N skipped"
    tests/run NAME...      stages or single tests; tests/run --list names them

Stages: build tidy unit (and every other meson suite) format clang-tidy, the programs
tests/FOLDER/run-*.{py,sh} by FOLDER, then asan (address and undefined) and tsan (threads).

Such a program prints "ok NAME", "not ok NAME: reason" or "skip NAME: reason" a line and exits with
0 if none failed. It finds HOWDAH_BIN, HOWDAH_BUILD_DIR, TMPDIR and PYTHONPATH set, HOWDAH_SANITIZER
(address or thread) and HOWDAH_SHORT=1 under a sanitizer, takes free ports, and stops what it
started: what it leaves is stopped here, and is a failure. They wait more than they compute, so one
more than there are cores run at a time; those of tests/bench, which measure, one by one before the
others. The asan stage runs tests/integration, the tsan stage those of its programs with "workers"
in their name.

clang-tidy ends its look at a function early; the stage clang-tidy-deep, which runs only if it is
named, takes five times as long.

    HOWDAH_BUILD_DIR        where to build; default: build
    HOWDAH_TEST_TIMEOUT_S   for everything together; default: 2100, for machines that do other things
"""

import ctypes
import fcntl
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOOLCHAINS = f"{ROOT}/tests/clients/toolchains.py"
FOLDERS = ["base", "protocol", "cache", "router", "pool", "config", "daemon"]
PROGRAM_TIMEOUT_S = 600
# For the time that they take; with what tries the same code there.
NOT_UNDER_ASAN = {
    "run-nodes": "run-failover, run-hold, run-probes",
    "run-balance": "run-frozen, run-routing",
    "run-quickstart": "all others",
}
OUTPUT_LINES_SHOWN = 60
# States of a function that clang's static analyzer looks at. Its own 225,000 cost three minutes.
ANALYZER_NODES = 30_000
# What the programs run; meson builds what its own tests need.
PROGRAM_TARGETS = ["daemon/howdah", "tests/sql/plan-of", "tests/sql/facts-of", "tests/bench/bench-ticks"]
PROGRAMS_AT_ONCE = (os.cpu_count() or 1) + 1
PR_SET_CHILD_SUBREAPER = 36
WITH_ITS_OWN = "--with-its-own"  # PROGRAM: runs it and ends what it leaves; for ourselves alone

RESULT = re.compile(r"^\s*(ok|not ok|skip)\b(?:\s+\d+)?(?:\s+-)?\s*(.*)$")


class Tally:
    """What passed and failed; a test is counted once for each build it ran in."""

    def __init__(self):
        self.passed, self.failed, self.skipped = 0, [], []

    def ok(self):
        self.passed += 1

    def fail(self, name, reason=""):
        self.failed.append(f"{name}: {reason}" if reason else name)
        print(f"not ok {self.failed[-1]}", flush=True)

    def skip(self, name):
        self.skipped.append(name)

    def read(self, name, output, exit_code):
        """Takes the result lines of one program; without any it is one test by its exit code."""
        results = [m.groups() for m in map(RESULT.match, output.splitlines()) if m]
        failed = [text for kind, text in results if kind == "not ok"]
        for kind, text in results:
            if kind == "skip" or (kind == "ok" and re.search(r"#\s*skip", text, re.I)):
                self.skip(f"{name}: {text}")
            elif kind == "ok":
                self.ok()
            else:
                self.fail(f"{name}: {text}")
        if exit_code != 0 and not failed:
            self.fail(name, f"exit code {exit_code}")
        elif exit_code == 0 and not results:
            self.ok()
        if exit_code != 0 or failed:
            show(output)


def show(output):
    lines = output.rstrip().splitlines()
    if len(lines) > OUTPUT_LINES_SHOWN:
        print(f"  | ... {len(lines) - OUTPUT_LINES_SHOWN} lines before")
    for line in lines[-OUTPUT_LINES_SHOWN:]:
        print(f"  | {line}")
    sys.stdout.flush()


class Failed(Exception):
    """A stage cannot go on; the text says why."""


def children():
    """Process ids whose parent we are: also orphans of what we started, as their subreaper."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                    stat = file.read()
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == os.getpid():
                found.append((int(entry), stat[stat.index("("):stat.rindex(")") + 1]))
    return found


def end_leftovers(grace_s):
    """Waits for our children, then ends those that stay; returns the names of these."""
    names = []
    for signal_number, wait_s in ((None, grace_s), (signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        if signal_number:
            left = children()
            names = names or [f"{pid} {name}" for pid, name in left]
            for pid, _ in left:
                os.kill(pid, signal_number)
        until = time.monotonic() + wait_s
        while time.monotonic() <= until:
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                return names
            time.sleep(0.02)
    return names


class Run:
    def __init__(self, names):
        self.names, self.used = set(names), set()
        self.tally = Tally()
        timeout_s = float(os.environ.get("HOWDAH_TEST_TIMEOUT_S", 2100))
        self.deadline = time.monotonic() + timeout_s
        self.temp = tempfile.mkdtemp(prefix="howdah-test-")
        os.chmod(self.temp, 0o755)  # servers run as the user postgres when we are root
        self.locks = []
        self.build_dir = self.own_dir(os.environ.get("HOWDAH_BUILD_DIR", f"{ROOT}/build"))

    def own_dir(self, path):
        """The path, or one of our own where another run is using that."""
        path = os.path.abspath(path)
        os.makedirs(path, exist_ok=True)
        lock = open(f"{path}/.tests-run.lock", "w", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return os.path.join(self.temp, os.path.basename(path))
        self.locks.append(lock)
        return path

    def wanted(self, *names):
        self.used |= self.names & set(names)
        return not self.names or bool(self.names & set(names))

    def command(self, command, timeout_s=None, env=None):
        """Runs it in a session of its own; returns its exit code and its output."""
        left_s = self.deadline - time.monotonic()
        timeout_s = min(left_s, timeout_s or left_s)
        if left_s <= 0:
            raise Failed("no time left")
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **(env or {})},
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        try:
            output, code = process.communicate(timeout=timeout_s)[0], process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                output = process.communicate(timeout=10)[0]
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                output = process.communicate()[0]
            code = f"none: stopped after {timeout_s:.0f} s"
        return code, output.decode("utf-8", "replace")

    def must(self, command, env=None):
        code, output = self.command(command, env=env)
        if code != 0:
            show(output)
            raise Failed(f"{' '.join(command[:4])}: exit code {code}")
        return output

    def stage(self, name, function, *arguments):
        print(f"== {name}", flush=True)
        start = time.monotonic()
        try:
            function(*arguments)
        except Failed as problem:
            self.tally.fail(name, str(problem))
            return False
        finally:
            print(f"== {name}: {time.monotonic() - start:.1f} s", flush=True)
        return True

    # --- building ---------------------------------------------------------------------------

    def build(self, folder, options=(), targets=()):
        if not os.path.exists(f"{folder}/build.ninja"):
            self.must(["meson", "setup", folder, ROOT, *options])
        self.must(["ninja", "-C", folder, *targets])

    def build_all(self):
        clients = [path for path in self.programs() if path.startswith("tests/clients/")]
        fetches = any(self.wanted("clients", *self.program_names(path)) for path in clients)
        if fetches:
            self.must([f"{ROOT}/packaging/install-deps", "clients"])
        with ThreadPoolExecutor(1) as beside:
            # By now: nothing is to be fetched and compiled beside what is measured and timed.
            fetched = beside.submit(self.command, [sys.executable, TOOLCHAINS]) if fetches else None
            self.build(self.build_dir)
        if fetched:
            print(fetched.result()[1], end="", flush=True)

    # --- tests that meson knows -------------------------------------------------------------

    def meson_tests(self, folder):
        listed = json.loads(self.must(["meson", "introspect", "--tests", folder]))
        return [(test["suite"][0].split(":")[-1], test["name"]) for test in listed]

    def meson(self, folder, label, suite, names, env=None, prefix=()):
        log = f"{folder}/meson-logs/testlog.json"
        if os.path.exists(log):
            os.remove(log)
        # Meson builds what these tests need; a failure to do so leaves no log.
        command = [*prefix, "meson", "test", "-C", folder, "--suite", suite, *names]
        code, output = self.command(command, env={**self.environment(folder), **(env or {})})
        if not os.path.exists(log):
            show(output)
            raise Failed(f"meson test: exit code {code}")
        with open(log, encoding="utf-8") as file:
            for line in file:
                test = json.loads(line)
                fine = test["result"] in ("OK", "SKIP", "EXPECTEDFAIL")
                said = test.get("stdout", "")
                name = f"{label}: {test['name'].split(' / ')[-1].split(':')[-1]}"
                if test["result"] == "SKIP" and not RESULT.match(said):
                    self.tally.skip(f"{name}: {said.strip() or 'no reason given'}")
                    continue
                whole = said if fine else f"{said}\n{test.get('stderr', '')}"
                self.tally.read(name, whole, 0 if fine else test["result"].lower())

    def meson_stages(self):
        tests = self.meson_tests(self.build_dir)
        suites = sorted({suite for suite, _ in tests}, key=lambda suite: (suite != "tidy", suite))
        for suite in suites:
            names = [name for other, name in tests if other == suite]
            if not self.wanted(suite):
                names = [name for name in names if self.wanted(name)]
            if names:
                self.stage(suite, self.meson, self.build_dir, suite, suite, names)

    # --- style ------------------------------------------------------------------------------

    def sources(self, folders, kinds):
        return sorted(path for folder in folders for kind in kinds
                      for path in glob.glob(f"{folder}/**/*.{kind}", root_dir=ROOT, recursive=True))

    def at_once(self, count, function, items):
        """What the function returns for each, as they are done, so many at a time."""
        with ThreadPoolExecutor(count) as executor:
            try:
                for done in as_completed([executor.submit(function, item) for item in items]):
                    yield done.result()
            except BaseException:
                self.deadline = 0  # what waits gives up, what runs is ended by close()
                executor.shutdown(wait=False, cancel_futures=True)
                raise

    def in_parallel(self, commands):
        """The outputs of the commands that failed."""
        results = self.at_once(os.cpu_count(), self.command, commands)
        return [output for code, output in results if code != 0]

    def format(self):
        files = self.sources([*FOLDERS, "tests"], ["c", "h"])
        failed = self.in_parallel([["clang-format-14", "--dry-run", "--Werror", path]
                                   for path in files])
        if failed:
            names = [output.split(":")[0] for output in failed]
            raise Failed(f"mend it by: clang-format-14 -i {' '.join(names)}")
        self.tally.ok()

    def clang_tidy(self, deep=False):
        with open(f"{self.build_dir}/compile_commands.json", encoding="utf-8") as file:
            built = [os.path.relpath(os.path.join(row["directory"], row["file"]), ROOT)
                     for row in json.load(file)]
        files = sorted({path for path in built if path.split("/")[0] in FOLDERS})
        command = ["clang-tidy-14", "--quiet", "-p", self.build_dir]
        if not deep:
            for word in ("-Xclang", "-analyzer-config", "-Xclang", f"max-nodes={ANALYZER_NODES}"):
                command.append(f"--extra-arg={word}")
        failed = self.in_parallel([[*command, path] for path in files])
        for output in failed:
            show(output)
        if failed:
            raise Failed(f"{len(failed)} of {len(files)} files")
        self.tally.ok()

    # --- programs: integration, clients, ... ------------------------------------------------

    def environment(self, folder):
        paths = [f"{ROOT}/tests/lib", os.environ.get("PYTHONPATH", "")]
        return {"HOWDAH_BIN": f"{folder}/daemon/howdah", "HOWDAH_BUILD_DIR": folder,
                "TMPDIR": self.temp, "PYTHONPATH": ":".join(filter(None, paths)),
                "PYTHONUNBUFFERED": "1"}

    @staticmethod
    def programs():
        return sorted(path for kind in ("py", "sh")
                      for path in glob.glob(f"tests/*/run-*.{kind}", root_dir=ROOT))

    @staticmethod
    def program_names(path):
        """tests/integration/run-cancel.py answers to its path, to run-cancel and to cancel."""
        stem = os.path.splitext(os.path.basename(path))[0]
        return path, stem, stem.removeprefix("run-")

    def run_programs(self, folder, programs, label="", prefix=(), env=None, count=PROGRAMS_AT_ONCE):
        def run_one(path):
            start = time.monotonic()
            code, output = self.command([sys.executable, __file__, WITH_ITS_OWN, *prefix, f"{ROOT}/{path}"],
                                        PROGRAM_TIMEOUT_S, {**self.environment(folder), **(env or {})})
            return path, code, output, time.monotonic() - start

        runnable = []
        for path in programs:
            if os.access(os.path.join(ROOT, path), os.X_OK):
                runnable.append(path)
            else:
                self.tally.fail(f"{label}{path}", f"not run, as it is not executable; mend it by: chmod +x {path}")
        for path, code, output, took_s in self.at_once(count, run_one, runnable):
            name = f"{label}{self.program_names(path)[1]}"
            self.tally.read(name, output, code)
            print(f"   {name}: {took_s:.1f} s", flush=True)

    def program_stages(self):
        chosen = [path for path in self.programs()
                  if self.wanted(path.split("/")[1], *self.program_names(path))]
        measuring = [path for path in chosen if path.startswith("tests/bench/")]
        others = [path for path in chosen if path not in measuring]
        if measuring:
            self.stage("bench", self.run_programs, self.build_dir, measuring, "", (), None, 1)
        if others:
            self.stage("programs", self.run_programs, self.build_dir, others)

    # --- sanitizers -------------------------------------------------------------------------

    def sanitize(self, kind, options, suites, programs):
        folder = self.own_dir(f"{self.build_dir}-{kind}")
        # The sanitizers' extra code makes gcc's flow warnings guess; the plain build is strict.
        self.build(folder, [f"-Db_sanitize={options}", "-Db_lundef=false", "-Db_lto=false",
                            "-Dwerror=false", "-Doptimization=1"], PROGRAM_TARGETS)
        reports = f"{self.temp}/report-{kind}"
        common = f"log_path={reports}:log_exe_name=1:halt_on_error=1"
        env = {"ASAN_OPTIONS": f"{common}:detect_leaks=1", "TSAN_OPTIONS": common,
               "UBSAN_OPTIONS": f"{common}:print_stacktrace=1", "HOWDAH_SHORT": "1",
               "HOWDAH_SANITIZER": options.split(",")[0]}
        # Newer kernels randomise more address bits than the sanitizers of gcc 12 can place.
        prefix = ["setarch", "--addr-no-randomize"]
        failed_before = len(self.tally.failed)
        tests = self.meson_tests(folder) if suites else []
        for suite in sorted({suite for suite, _ in tests} & suites):
            self.meson(folder, f"{kind}: {suite}", suite, [], env, prefix)
        self.run_programs(folder, programs, f"{kind}: ", prefix, env)
        found = sorted(glob.glob(f"{reports}*"))
        for path in found:
            with open(path, encoding="utf-8", errors="replace") as file:
                show(file.read())
        if found:
            self.tally.fail(kind, f"{len(found)} reports of the sanitizer")
        elif len(self.tally.failed) == failed_before:
            self.tally.ok()

    def sanitizer_stages(self):
        programs = [path for path in self.programs() if path.startswith("tests/integration/")]
        if self.wanted("asan"):
            for name, others in NOT_UNDER_ASAN.items():
                self.tally.skip(f"asan: {name}: only without sanitizers, for its time; {others} try the same code")
            self.stage("asan", self.sanitize, "asan", "address,undefined", {"unit", "scenario", "sim"},
                       [path for path in programs if self.program_names(path)[1] not in NOT_UNDER_ASAN])
        if self.wanted("tsan"):
            self.stage("tsan", self.sanitize, "tsan", "thread", {"threads"},
                       [path for path in programs if "workers" in path])

    # --- all --------------------------------------------------------------------------------

    def everything(self):
        self.wanted("build")
        if not self.stage("build", self.build_all):
            return
        if self.names != {"build"}:
            self.meson_stages()
            for name, stage in (("format", self.format), ("clang-tidy", self.clang_tidy)):
                if self.wanted(name):
                    self.stage(name, stage)
            if self.names and self.wanted("clang-tidy-deep"):
                self.stage("clang-tidy-deep", self.clang_tidy, True)
            self.program_stages()
            self.sanitizer_stages()
        else:
            self.tally.ok()
        for name in sorted(self.names - self.used):
            self.tally.fail(name, "no such stage or test; see tests/run --list")

    def list(self):
        self.build_all()
        print("stages: build tidy format clang-tidy asan tsan, and these with their tests:")
        for suite, name in self.meson_tests(self.build_dir):
            print(f"  {suite}: {name}")
        for path in self.programs():
            print(f"  {path.split('/')[1]}: {self.program_names(path)[2]}")

    def close(self):
        end_leftovers(grace_s=0)
        shutil.rmtree(self.temp, ignore_errors=True)


def run_with_its_own(command):
    """Runs a program; its exit code, after all that it has started has ended, or is ended here."""
    try:
        code = subprocess.run(command, check=False).returncode
        left = end_leftovers(grace_s=3)
    finally:
        end_leftovers(grace_s=0)
    if left:
        print(f"not ok left running: {', '.join(left)}", flush=True)
    return code if code >= 0 else 128 - code


def on_signal(number, _frame):
    raise SystemExit(128 + number)


def main():
    if set(sys.argv[1:]) & {"-h", "--help"}:
        print(__doc__.strip())
        return 0
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    if sys.argv[1:2] == [WITH_ITS_OWN]:
        return run_with_its_own(sys.argv[2:])
    start = time.monotonic()
    run = Run([] if sys.argv[1:] == ["--list"] else sys.argv[1:])
    try:
        if sys.argv[1:] == ["--list"]:
            run.list()
            return 0
        run.everything()
    finally:
        run.close()
    tally = run.tally
    print(f"== all: {time.monotonic() - start:.1f} s")
    for name in tally.skipped:
        print(f"skipped {name}")
    for name in tally.failed:
        print(f"failed {name}")
    skipped = f", {len(tally.skipped)} skipped" if tally.skipped else ""
    print(f"{tally.passed} passed, {len(tally.failed)} failed{skipped}")
    return 1 if tally.failed or not tally.passed else 0


if __name__ == "__main__":
    sys.exit(main())
