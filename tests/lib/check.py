"""The frame of a client script: named checks, one line of outcome each.

A client script declares its checks with Suite.check and ends with Suite.main. It reads

    HOWDAH_TEST_DSN   a postgres:// URI
    HOWDAH_TEST_MODE  direct | session | transaction: what stands behind that URI
    HOWDAH_TEST_SALT  a short word that keeps tables of runs beside each other apart

and prints "ok NAME", "not ok NAME: reason" or "skip NAME: reason"; it exits 1 if a check failed.
What lives in the server's session (SET, LISTEN, temporary tables, ...) is marked session_only and
is skipped where transactions of one client may run on different servers.
"""

import contextlib
import os
import signal
import sys
import threading
import traceback
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

CHECK_LIMIT_S = 60
SESSION_ONLY = "it lives in the server's session, and transactions share servers here"


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
        got = (getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
               or getattr(getattr(error, "orig", None), "sqlstate", None)
               or getattr(getattr(error, "orig", None), "pgcode", None))
        if sqlstate is not None and got != sqlstate:
            raise Failed(f"SQLSTATE {got} ({error}), wanted {sqlstate}") from error
        return
    raise Failed(f"no {kind.__name__} was raised")


def one_line(error):
    text = f"{type(error).__name__}: {error}" if not isinstance(error, Failed) else str(error)
    return " | ".join(line.strip() for line in text.splitlines() if line.strip())[:400]


class Suite:
    """The checks of one client."""

    def __init__(self, name):
        self.name = name
        self.mode = os.environ.get("HOWDAH_TEST_MODE", "direct")
        self.salt = os.environ.get("HOWDAH_TEST_SALT", "t")
        self.dsn = os.environ.get("HOWDAH_TEST_DSN", "")
        self.checks = []

    def table(self, stem):
        """A table's name that no other client or run beside this one uses."""
        return f"{self.name.replace('-', '_')}_{stem}_{self.salt}"

    def dsn_with(self, scheme=None, database=None, **params):
        """The DSN with another scheme, database or more parameters."""
        parts = urlsplit(self.dsn)
        query = dict(parse_qsl(parts.query))
        query.update(params)
        path = "/" + database if database else parts.path
        return urlunsplit((scheme or parts.scheme, parts.netloc, path, urlencode(query, quote_via=quote), ""))

    def check(self, name, session_only=False):
        def keep(function):
            self.checks.append((name, function, session_only))
            return function
        return keep

    def run_one(self, name, function, session_only):
        if session_only and self.mode == "transaction":
            return f"skip {self.name}/{name}: {SESSION_ONLY}"
        try:
            signal.alarm(CHECK_LIMIT_S)
            function()
        except Skip as skip:
            return f"skip {self.name}/{name}: {skip}"
        except Exception as error:  # whatever a driver raises is an outcome, not a crash
            if os.environ.get("HOWDAH_TEST_TRACE"):
                traceback.print_exc()
            return f"not ok {self.name}/{name}: {one_line(error)}"
        finally:
            signal.alarm(0)
        return f"ok {self.name}/{name}"

    def main(self):
        if not self.dsn:
            sys.exit(f"{sys.argv[0]}: set HOWDAH_TEST_DSN")
        signal.signal(signal.SIGALRM, on_alarm)
        only = sys.argv[1:]
        failed = 0
        for name, function, session_only in self.checks:
            if only and name not in only:
                continue
            line = self.run_one(name, function, session_only)
            failed += line.startswith("not ok")
            print(line, flush=True)
        # A driver's thread that still waits for a lost answer must not keep the process.
        sys.stdout.flush()
        os._exit(1 if failed else 0)


def on_alarm(_signal, _frame):
    raise Failed(f"no answer within {CHECK_LIMIT_S} s")


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
