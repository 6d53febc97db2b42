#!/usr/bin/env python3
"""Howdah's reading of SQL against PostgreSQL's own: tokens, ends of statements, skeletons.

Over every statement of PostgreSQL's regression and isolation SQL, and mutations of them, compare.c
(its head says what is compared) and libpg_query must agree.

    HOWDAH_SQL_MUTATIONS   how many (40000)
    HOWDAH_SQL_SEED        of the first of them (1)
"""

import glob
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", "lib"), os.path.join(ROOT, "tests", "suites")]
import pgsource  # noqa: E402
from check import Skip, Suite, equal, true  # noqa: E402

suite = Suite("sql", check_limit_s=3000)
BIN = os.environ.get("HOWDAH_BIN", os.path.join(ROOT, "build/daemon/howdah"))
COMPARE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(BIN))), "tests/sql/sql-compare")
SEED = int(os.environ.get("HOWDAH_SQL_SEED", "1"))
MUTATIONS = int(os.environ.get("HOWDAH_SQL_MUTATIONS", "40000"))


def scripts():
    """The files of the regression suite; Skip if they can't be had."""
    try:
        source = pgsource.get()
    except pgsource.Missing as error:
        raise Skip(f"PostgreSQL's source cannot be had: {error}") from error
    found = sorted(glob.glob(f"{source.regress}/sql/*.sql"))
    true(len(found) > 150, f"{len(found)} files of SQL")
    return found


def compare(*arguments):
    """Runs compare; returns its counts."""
    if not os.path.exists(COMPARE):
        raise Skip(f"no {COMPARE}: libprotobuf-c-dev was not installed when it was built")
    done = subprocess.run([COMPARE, *arguments], capture_output=True, text=True, errors="replace",
                          check=False)
    differences = [line for line in done.stdout.splitlines() if line.startswith("different:")]
    equal((done.returncode, differences[:3]), (0, []), "what differs")
    counts = {name: int(count) for name, count in re.findall(r"^(\S+) (\d+)$", done.stdout, re.M)}
    print("# " + ", ".join(f"{count} {name}" for name, count in counts.items()), flush=True)
    return counts


@suite.check("tokens, statements and skeletons of the regression SQL are the server's")
def _():
    counts = compare(*scripts())
    true(counts["statements"] > 30000, f"only {counts['statements']} statements")
    true(counts["parsed"] > 0.97 * counts["statements"], "few of them parse")
    true(counts["opaque"] < 0.02 * counts["statements"], "many of them are opaque")


@suite.check("mutations are read as the server reads them")
def _():
    counts = compare("--mutations", str(MUTATIONS), "--seed", str(SEED), *scripts())
    true(counts["parsed"] > 0.1 * MUTATIONS, "few of them parse")


if __name__ == "__main__":
    suite.main()
