"""What the bench measures, cell by cell, and the goals that are set for it.

A cell is one kind of load, given to every target in every round. A goal is a figure computed from
one round's results (so that the weather of a round cancels out) and a limit for it; it is met if
the better quartile over the rounds is within the limit.
"""

from dataclasses import dataclass, field
from typing import Callable

import measure

CPU_MAX = {"simple": 1.08, "extended": 1.12, "prepared": 1.12}
CPU_TLS_MAX = 1.25
CPU_STREAM_MAX = 1.15
ADDED_LATENCY_US_MAX = 5
PEERS = ("pgbouncer", "odyssey")
CPU_ROUTED_MAX = 1.03       # by one Howdah without replicas
CPU_ORM_MAX = 0.96          # the goal; hoped for are 0.90
STORM_SECONDS_MAX = 3       # more would run out of the client's ports


@dataclass
class Goal:
    """`value(results, name)` of one round, None if it lacks a target; `least` turns it round."""
    text: str
    limit: float
    value: Callable
    least: bool = False


@dataclass
class Cell:
    """One load: how its targets are started, what runs, what its columns are called."""
    name: str
    load: Callable                  # (world, target, seconds) -> results
    per: str                        # the CPU is microseconds per this
    rate: str                       # the key of the rate in the results
    auth: str = "trust"
    tls: bool = False
    prepared: bool = False
    workers_2: bool = False         # also with two workers
    routed: bool = False            # also with reads going to a replica
    goals: list = field(default_factory=list)


def ratio(key, to):
    """A goal's value: this target's figure by another's, in the same round."""
    def value(results, name):
        mine, other = (results.get(x, {}).get(key) for x in (name, to))
        return mine / other if mine is not None and other and name != to else None
    return value


def ratio_to_best_peer(results, name):
    """CPU by the cheapest peer's in the same round."""
    peers = [results[peer]["cpu_us"] for peer in PEERS if peer in results and peer != name]
    return results[name]["cpu_us"] / min(peers) if peers and name in results else None


def added_latency(results, name):
    """Microseconds more than through the relay in the same round."""
    if name not in results or "relay" not in results:
        return None
    return results[name]["latency_us"] - results["relay"]["latency_us"]


def two_workers(results, _name):
    """Queries a second of two workers by those of one."""
    return ratio("tps", "howdah")(results, "howdah-2")


def routed(results, _name):
    """CPU of one that sends reads to a replica by that of one without replicas."""
    return ratio("cpu_us", "howdah")(results, "howdah-routed")


def cpu_goal(limit):
    """CPU against the relay's."""
    return Goal(f"CPU at most {limit} x the relay's", limit, ratio("cpu_us", "relay"))


def not_above(peer):
    """CPU against a peer's."""
    return Goal(f"CPU not above {peer}'s", 1.0, ratio("cpu_us", peer))


def query_cell(mode, clients, tls=False):
    """pgbench's select, with so many clients."""
    if clients == 1:
        goals = [Goal(f"latency at most the relay's + {ADDED_LATENCY_US_MAX} us",
                      ADDED_LATENCY_US_MAX, added_latency)]
    else:
        goals = [cpu_goal(CPU_TLS_MAX if tls else CPU_MAX[mode]), not_above("pgbouncer")]
        if not tls:
            goals.append(Goal("two workers not slower than one", 1.0, two_workers, least=True))
            goals.append(Goal(f"with reads routed, CPU at most {CPU_ROUTED_MAX} x without",
                              CPU_ROUTED_MAX, routed))
    return Cell(f"select, {mode}, {clients} client{'s' if clients > 1 else ''}"
                + (", TLS" if tls else ""),
                lambda world, target, seconds: measure.pgbench(world, target, mode, clients,
                                                               seconds),
                "query", "tps", tls=tls, prepared=mode == "prepared",
                workers_2=clients > 1 and not tls, routed=clients > 1 and not tls, goals=goals)


def orm_cell(style, clients):
    """Transactions of four round trips, as psycopg2 sends them (simple) or asyncpg (prepared)."""
    goals = [cpu_goal(CPU_ORM_MAX)]
    if clients == 1:
        goals = [Goal("latency below the relay's", 1.0, ratio("latency_us", "relay"))]
    return Cell(f"ORM, {style}, {clients} client{'s' if clients > 1 else ''}",
                lambda world, target, seconds: measure.orm(world, target, style, clients, seconds),
                "transaction", "tps", prepared=style == "prepared", goals=goals)


def storm_cell(name, **access):
    """Logins, one after the other."""
    return Cell(f"storm, {name}",
                lambda world, target, seconds: measure.storm(world, target,
                                                             min(seconds, STORM_SECONDS_MAX)),
                "login", "rate", **access,
                goals=[Goal("CPU per login not above the best peer's", 1.0, ratio_to_best_peer)])


def stream_cell(kind):
    """One big transfer."""
    return Cell(f"stream, {kind}",
                lambda world, target, _seconds: measure.stream(world, target, kind),
                "MB", "rate", goals=[cpu_goal(CPU_STREAM_MAX)])


def all_cells():
    """Every cell, in groups that start their targets alike."""
    cells = [query_cell(mode, clients) for mode in CPU_MAX for clients in (1, 32)]
    cells += [orm_cell(style, clients) for style in ("simple", "prepared") for clients in (1, 32)]
    cells += [stream_cell(kind) for kind in measure.STREAMS]
    cells += [storm_cell("trust"), storm_cell("SCRAM", auth="scram")]
    return cells + [query_cell("prepared", 32, tls=True), storm_cell("TLS", tls=True)]
