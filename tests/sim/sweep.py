#!/usr/bin/env python3
"""Many seeds of the simulator, for as long as it takes; tests/run has a few hundred.

    tests/sim/sweep.py [--sim build/tests/sim/sim] [--twice] 1..4000 10001..14000 20001..24000

Seeds below 10000 have no session state, those from 20000 on have everything (tests/sim/sim.h). A seed
takes 20 to 100 ms, one core is used. A seed that fails is one line with what a checker said, one that
crashes with its assertion; `sim --seed N` shows more, `--verbose` all of it. Exit status 1 if any
failed. --twice runs each seed a second time, which must go exactly as the first.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CHUNK = 200


def run(sim, first, last, twice):
    """Runs first..last; the seeds that were run, and {seed: what was wrong}."""
    command = [sim, "--seeds", f"{first}..{last}", "--keep-going"] + ([] if twice else ["--once"])
    with tempfile.TemporaryFile("w+", errors="replace") as trace:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=trace, text=True, errors="replace",
            env={**os.environ, "SIM_TRACE": "1"}, check=False,
        )
        trace.seek(0)
        errors = trace.read()
    failed = {int(seed): what for seed, what in re.findall(r"^seed (\d+) FAILED: (.*)$", done.stdout, re.M)}
    if done.returncode in (0, 1):
        return last, failed
    seeds = re.findall(r"^seed (\d+)$", errors, re.M)
    at = int(seeds[-1]) if seeds else first
    words = [line for line in errors.splitlines() if line and not re.match(r"seed \d+$", line)]
    failed[at] = f"CRASH, status {done.returncode}: {words[0] if words else ''}"
    return at, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ranges", nargs="+", metavar="A..B")
    parser.add_argument("--sim", default=os.path.join(HERE, "..", "..", "build", "tests", "sim", "sim"))
    parser.add_argument("--twice", action="store_true")
    arguments = parser.parse_args()
    count = failures = 0
    for text in arguments.ranges:
        first, last = (int(number) for number in text.split(".."))
        while first <= last:
            end, failed = run(arguments.sim, first, min(first + CHUNK - 1, last), arguments.twice)
            for seed, what in sorted(failed.items()):
                print(f"{seed} {what}", flush=True)
            count += end - first + 1
            failures += len(failed)
            first = end + 1
    print(f"{count} seeds, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
