#!/usr/bin/env python3
"""Gates on what repeats: system calls, instructions, allocations, bytes, idle CPU.

Prints "ok NAME", "not ok NAME: reason" or "skip NAME: reason" a line; exits 1 if one is not ok.
The howdah measured is $HOWDAH_BIN. With names, only those gates run. To see how another proxy
does against the same budgets: --subject relay, or --subject pgbouncer --pgbouncer PATH.
"""

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import gates                                    # noqa: E402
import measure                                  # noqa: E402
from targets import Skip, StartError, World     # noqa: E402

SYSCALLS_MAX = 4.4              # a query at 32 clients; the relay's 4.2 (a receive and a send per
                                # hop, and the share of an epoll_wait)
TRIES = 3
TRANSFERS_MAX = 14.1            # BEGIN, select, update, COMMIT at one client: four times in and out,
                                # at the server only three; the relay's 16
LOGIN_SYSCALLS_MAX = 15         # reached are 13, of which the share of accepting and waiting moves
                                # with the weather; PgBouncer takes 20
SENDS_BY_RELAY_MAX = 1.15       # of COPY out, a megabyte; reached are 0.5 on a quiet machine, 1.0 on
                                # one so busy that both always find a full receive
# Of the build that users get (meson's default). Reached are 2,050 and 2,800; up to 200 more or
# less with how many queries find a link free, and how many clients a turn of the loop serves.
INSTRUCTIONS_GOAL = {"simple": 2200, "prepared": 3200}
INSTRUCTIONS_MAX = {"simple": 2300, "prepared": 3050}
ORM_INSTRUCTIONS_MAX = {"simple": 15700, "prepared": 21400}    # reached are 13,940 and 19,010
ALLOCATIONS_MAX = 0.001         # zero, but for one in a thousand queries: a table that still grows
IDLE_CLIENTS, IDLE_TLS_CLIENTS = 10000, 1000
IDLE_BYTES_MAX = {"bytes": 750, "bytes_prepared": 1000}    # the goal: 1000 and 1400
IDLE_TLS_BYTES_GOAL = 12 * 1024     # of these OpenSSL 3.0's own SSL object takes 7.6 KiB
IDLE_TLS_BYTES_MAX = 15 * 1024
IDLE_CPU_US_MAX = 200           # in two seconds: 0.01 %, what reading a clock now and then takes


def least_of(budget, count):
    """The least of a few counts, as what disturbs one adds to it; no more once one is within."""
    least = float("inf")
    for _ in range(TRIES):
        least = min(least, count())
        if least <= budget:
            break
    return least


class Gates:
    """The gates of one subject. Each returns (what was counted, budget, unit)."""

    def __init__(self, world, subject):
        self.world, self.subject, self._idle = world, subject, None

    def all(self):
        """Names and functions, in the order in which they run."""
        return {
            "syscalls-simple": lambda: self.syscalls("simple"),
            "syscalls-prepared": lambda: self.syscalls("prepared"),
            "syscalls-login": self.syscalls_login,
            "transfers-transaction-simple": lambda: self.transfers("simple"),
            "transfers-transaction-extended": lambda: self.transfers("extended"),
            "transfers-transaction-prepared": lambda: self.transfers("prepared"),
            "sends-copy-out": self.sends_copy_out,
            "instructions-simple": lambda: self.instructions("simple"),
            "instructions-prepared": lambda: self.instructions("prepared"),
            "instructions-transaction-simple": lambda: self.instructions_orm("simple"),
            "instructions-transaction-prepared": lambda: self.instructions_orm("prepared"),
            "allocations-simple": lambda: self.allocations("simple"),
            "allocations-extended": lambda: self.allocations("extended"),
            "allocations-prepared": lambda: self.allocations("prepared"),
            "idle-bytes": lambda: self.idle_bytes("bytes"),
            "idle-bytes-after-prepared": lambda: self.idle_bytes("bytes_prepared"),
            "idle-bytes-tls": self.idle_bytes_tls,
            "idle-cpu": self.idle_cpu,
        }

    def syscalls(self, mode):
        """System calls a query makes the proxy do: the least of a few tries, as a proxy that the
        machine starves of clients wakes more often for less."""
        with self.world.start(self.subject) as target:
            least = least_of(SYSCALLS_MAX,
                             lambda: gates.count_syscalls(self.world, target, mode)["all"])
        return least, SYSCALLS_MAX, "system calls a query"

    def syscalls_login(self):
        """System calls of a login with trust, its first query and its end."""
        with self.world.start(self.subject) as target:
            least = least_of(LOGIN_SYSCALLS_MAX,
                             lambda: gates.count_syscalls_a_login(self.world, target)["all"])
        return least, LOGIN_SYSCALLS_MAX, "system calls a login"

    def transfers(self, mode):
        """Sends and receives of a transaction: BEGIN goes with its first statement."""
        with self.world.start(self.subject) as target:
            least = least_of(TRANSFERS_MAX, lambda: gates.count_transfers_a_transaction(
                self.world, target, mode))
        return least, TRANSFERS_MAX, "sends and receives a transaction"

    def sends_copy_out(self):
        """Sends a megabyte of COPY out, by the relay's in the same minute."""
        with self.world.start(self.subject) as target, self.world.start("relay") as relay:
            least = least_of(SENDS_BY_RELAY_MAX,
                             lambda: gates.count_sends_a_megabyte(self.world, target) /
                             gates.count_sends_a_megabyte(self.world, relay))
        return least, SENDS_BY_RELAY_MAX, "sends by the relay's"

    def instructions(self, mode):
        """User-space instructions a query costs the proxy, in the build that users get."""
        if self.subject == "howdah" and not gates.is_default_build(self.world.peers["howdah"]):
            raise Skip("its build folder has other options than meson's default: not -O3 with LTO")
        count = gates.count_instructions(self.world, self.subject, mode)
        return count, INSTRUCTIONS_MAX[mode], f"instructions a query (goal {INSTRUCTIONS_GOAL[mode]})"

    def instructions_orm(self, mode):
        """User-space instructions of BEGIN, a select, an update and COMMIT: the short form of the
        bench's CPU a transaction, which is four of them and what the deferred BEGIN needs."""
        count = gates.count_instructions(self.world, self.subject, mode, 5, 40, measure.TRANSACTION)
        return count, ORM_INSTRUCTIONS_MAX[mode], "instructions a transaction"

    def allocations(self, mode):
        """Allocations a query costs a proxy that is warm."""
        count = gates.count_allocations(self.world, self.subject, mode)
        return count, ALLOCATIONS_MAX, "allocations a query"

    def idle_bytes(self, which):
        """Memory of an idle client among many."""
        return self._idle_crowd()[which], IDLE_BYTES_MAX[which], "bytes a client"

    def idle_bytes_tls(self):
        """Memory of an idle client with TLS."""
        with self.world.start(self.subject, tls=True) as target:
            got = measure.idle(self.world, target, IDLE_TLS_CLIENTS)
        return got["bytes"], IDLE_TLS_BYTES_MAX, f"bytes a client with TLS (goal {IDLE_TLS_BYTES_GOAL})"

    def idle_cpu(self):
        """CPU while ten thousand clients do nothing."""
        return self._idle_crowd()["idle_cpu_us"], IDLE_CPU_US_MAX, "us of CPU in 2 s"

    def _idle_crowd(self):
        if self._idle is None:
            with self.world.start(self.subject) as target:
                self._idle = measure.idle(self.world, target, IDLE_CLIENTS)
        return self._idle


def check(name, gate):
    """Runs one gate and prints its line; returns whether it may pass."""
    try:
        count, budget, unit = gate()
    except Skip as reason:
        print(f"skip {name}: {one_line(reason)}", flush=True)
        return True
    except (measure.LoadError, StartError) as error:
        print(f"not ok {name}: {one_line(error)}", flush=True)
        return False
    figures = f"{count:.4g} {unit}, budget {budget}"
    if count > budget:
        print(f"not ok {name}: {figures}", flush=True)
        return False
    print(f"ok {name}", flush=True)
    print(f"# {name}: {figures}", flush=True)
    return True


def one_line(error):
    """An error's text without line breaks, as a reason must fit on its line."""
    return " ".join(str(error).split())


def main():
    """Parses the command line and runs the gates."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="gates to run; all if none is named")
    parser.add_argument("--subject", default="howdah", choices=["howdah", "relay", "pgbouncer"])
    parser.add_argument("--pgbouncer", help="path of a PgBouncer, for --subject pgbouncer")
    options = parser.parse_args()
    peers = {"howdah": os.environ.get("HOWDAH_BIN"), "pgbouncer": options.pgbouncer}
    if options.subject != "relay" and not peers[options.subject]:
        parser.error("set HOWDAH_BIN" if options.subject == "howdah" else "give --pgbouncer")
    with World(peers) as world:
        known = Gates(world, options.subject).all()
        unknown = [name for name in options.names if name not in known]
        if unknown:
            parser.error(f"no gate {', '.join(unknown)}; there are {', '.join(known)}")
        passed = [check(name, known[name]) for name in options.names or known]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
