#!/usr/bin/env python3
"""How soon after a write a replica can be read, and what the polls for it cost (bench-ticks).

    tests/bench/measure-ticks.py [PROGRAM] [SECONDS]

PROGRAM is bench-ticks of a build folder. A primary and two replicas are made for it.
"""

import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite  # noqa: E402
from trio import Trio  # noqa: E402

PAUSES_MS = (0.5, 1, 2, 5, 20)


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else "build/tests/bench/bench-ticks"
    seconds = sys.argv[2] if len(sys.argv) > 2 else "5"
    suite = Suite("ticks")
    trio = Trio(suite, synchronous_commit="on")
    try:
        trio[0].psql("CREATE TABLE ticks (a int)")
        config = trio.config(workers=1)
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(config, file)
            file.flush()

            def run(*arguments):
                subprocess.run([program, file.name, trio.dsn(0), *map(str, arguments)], check=True,
                               stderr=subprocess.DEVNULL)

            for sessions in (1, 8):
                for pause_ms in PAUSES_MS:
                    run(sessions, pause_ms, seconds)
            for wants in (100, 2000, 20000):
                print(f"{wants} wants/s:", end=" ", flush=True)
                run(1, 0, seconds, wants)
            run(32, 1, seconds)
    finally:
        trio.stop()


if __name__ == "__main__":
    main()
