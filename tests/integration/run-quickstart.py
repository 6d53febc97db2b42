#!/usr/bin/env python3
"""packaging/quickstart --check, the README's first command: every job is proven, a second run works, and
nothing is left behind."""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, true  # noqa: E402

QUICKSTART = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "packaging", "quickstart")
JOBS = 8

suite = Suite("quickstart", check_limit_s=120)


def processes_of(port):
    """Those whose command line has the port."""
    found = subprocess.run(["pgrep", "-af", rf"\b{port}\b"], capture_output=True, text=True, check=False)
    return found.stdout


@suite.check("packaging/quickstart --check, twice: every job is proven, and what it started ends")
def _():
    for _ in range(2):
        run = subprocess.run([QUICKSTART, "--check"], capture_output=True, text=True, timeout=60, check=False)
        said = f"{run.stdout}{run.stderr}"
        equal(run.returncode, 0, said)
        equal(len(re.findall(r"^ok ", run.stdout, re.M)), JOBS, f"jobs: {said}")
        ports = set(re.findall(r"(?:127\.0\.0\.1:|with a replica on )(\d+)", run.stdout))
        true(len(ports) >= 3, f"ports: {said}")
        for port in ports:
            equal(processes_of(port), "", f"processes of port {port}")


if __name__ == "__main__":
    suite.main()
