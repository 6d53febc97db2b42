"""The frame of a test program: named checks, one line of outcome each.

A program declares its checks with Suite.check and ends with Suite.main, which prints "ok NAME",
"not ok NAME: reason" or "skip NAME: reason" for each and exits 1 if one failed. Names given on the
command line select checks. HOWDAH_TEST_TRACE=1 prints the trace of a failure, too.
"""

import contextlib
import os
import signal
import sys
import threading
import time
import traceback

CHECK_LIMIT_S = 60


class Failed(AssertionError):
    """A check that did not hold."""


class Skip(Exception):
    """A check that cannot be made here; its text says why."""


def equal(got, wanted, what="value"):
    if got != wanted:
        raise Failed(f"{what}: got {got!r}, wanted {wanted!r}")


def true(condition, what):
    if not condition:
        raise Failed(what)


@contextlib.contextmanager
def raises(kind, sqlstate=None):
    """The block must raise kind, with this SQLSTATE if one is given."""
    try:
        yield
    except kind as error:
        got = (
            getattr(error, "sqlstate", None)
            or getattr(error, "pgcode", None)
            or getattr(getattr(error, "orig", None), "sqlstate", None)
            or getattr(getattr(error, "orig", None), "pgcode", None)
        )
        if sqlstate is not None and got != sqlstate:
            raise Failed(f"SQLSTATE {got} ({error}), wanted {sqlstate}") from error
        return
    raise Failed(f"nothing was raised, wanted {sqlstate or kind}")


def one_line(error):
    text = f"{type(error).__name__}: {error}" if not isinstance(error, Failed) else str(error)
    return " | ".join(line.strip() for line in text.splitlines() if line.strip())[:400]


class Suite:
    """The checks of one program. What at_end() was given is called after the last check."""

    def __init__(self, name, check_limit_s=CHECK_LIMIT_S):
        self.name = name
        self.check_limit_s = check_limit_s
        self.checks = []
        self.endings = []

    def check(self, name):
        """The function below is the check of this name."""

        def keep(function):
            self.checks.append((name, function))
            return function

        return keep

    def at_end(self, function):
        self.endings.append(function)

    def run_one(self, name, function):
        """Runs one check; returns its line."""
        try:
            signal.alarm(self.check_limit_s)
            function()
        except Skip as skip:
            return f"skip {self.name}/{name}: {skip}"
        except Exception as error:  # whatever is raised is an outcome, not a crash
            if os.environ.get("HOWDAH_TEST_TRACE"):
                traceback.print_exc()
            return f"not ok {self.name}/{name}: {one_line(error)}"
        finally:
            signal.alarm(0)
        return f"ok {self.name}/{name}"

    def main(self):
        """Runs the checks and ends the process."""
        signal.signal(signal.SIGALRM, self.on_alarm)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        only = sys.argv[1:]
        failed = 0
        try:
            for name, function in self.checks:
                if only and name not in only:
                    continue
                line = self.run_one(name, function)
                failed += line.startswith("not ok")
                print(line, flush=True)
        finally:
            for ending in reversed(self.endings):
                ending()
        # A thread that still waits for a lost answer must not keep the process.
        sys.stdout.flush()
        os._exit(1 if failed else 0)

    def on_alarm(self, _signal, _frame):
        raise Failed(f"no answer within {self.check_limit_s} s")


def in_threads(count, work):
    """Run work(0) ... work(count - 1) at the same time; the first failure is raised here."""
    errors = []

    def guarded(number):
        try:
            work(number)
        except BaseException as error:  # carried to the check's own thread
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def eventually(question, what, limit_s=10):
    """Asks until the answer is true; returns it. `what` is said if it never is."""
    end = time.monotonic() + limit_s
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > end:
            raise Failed(f"not within {limit_s} s: {what}")
        time.sleep(0.02)
