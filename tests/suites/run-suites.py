#!/usr/bin/env python3
"""A look at PostgreSQL's own regression suite: those of its tests that a session's state is in.

tests/suites/regress runs all of them, and the isolation suite. Here, a selection passes directly
(what differs there is re-based) and must pass through Howdah in session and in transaction mode,
where the pool is smaller than the number of clients. exceptions.txt says what may fail, and why.
"""

import os
import sys
import tempfile

import pgsource
from pgsuite import Runner, read_exceptions

TESTS = """transactions portals guc prepare prepared_xacts temp advisory_lock sequence plpgsql async
    copy copy2 privileges xml psql truncate largeobject plancache namespace combocid""".split()
POOL_SIZE = 4
LIMIT_S = 150


def tell(mode, results, exceptions):
    """One line a test; returns how many failed."""
    failed = 0
    for name, difference in results.items():
        reason = exceptions.get((mode, name))
        if difference and reason:
            print(f"skip {mode} {name}: {reason}")
        elif difference:
            failed += 1
            lines = [line for line in difference.splitlines()[2:] if line[:1] in "+-"]
            print(f"not ok {mode} {name}: {' | '.join(lines[:4])[:300]}")
        else:
            print(f"ok {mode} {name}")
    sys.stdout.flush()
    return failed


def main():
    exceptions = read_exceptions("regress")
    failed = 0
    with tempfile.TemporaryDirectory(prefix="howdah-suites-") as folder:
        os.chmod(folder, 0o755)
        runner = Runner(pgsource.get(), "regress", folder)
        with runner.place("direct") as place:
            runner.rebase("direct", runner.run(place, TESTS, LIMIT_S))
        for mode in ("session", "transaction"):
            # One that is known to fail would leave to the others what it should not have.
            tests = [name for name in TESTS
                     if mode == "session" or (mode, name) not in exceptions]
            with runner.place(mode, POOL_SIZE, workers=2) as place:
                failed += tell(mode, runner.run(place, tests, LIMIT_S), exceptions)
            for name in sorted(set(TESTS) - set(tests)):
                print(f"skip {mode} {name}: {exceptions[mode, name]}")
    return failed > 0


if __name__ == "__main__":
    try:
        sys.exit(int(main()))
    except pgsource.Missing as missing:
        print(f"skip suites: {missing}")
