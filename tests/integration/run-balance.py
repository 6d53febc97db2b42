#!/usr/bin/env python3
"""Sessions that live for long spread out over the replicas again when one has come back, or is new."""

import collections
import contextlib
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, eventually  # noqa: E402
from howdah import Howdah  # noqa: E402
from trio import Heartbeat, Trio, all_up, rows  # noqa: E402
from wire import Wire  # noqa: E402

SESSIONS = 8
WINDOW_S, BACK_S, SPREAD_S, ALONE_S = 2, 25, 20, 12
NODE = "SELECT current_setting('cluster_name')"

suite = Suite("balance", check_limit_s=150)
trio = Trio(suite, "app", synchronous_commit="on")


def config(replicas, **routing):
    return trio.config(replicas=replicas, routing={"max_lag": "60s", "consistency": "session", **routing},
                       pool={"check_state": False})


class Readers:
    """Sessions that read all the time, half of them without a pause, and where they have read."""

    def __init__(self, proxy):
        self.proxy, self.over, self.failed = proxy, threading.Event(), []
        self.counts = collections.Counter()  # of Python's own lock: one increment each
        self.threads = [threading.Thread(target=self._run, args=(at,), daemon=True) for at in range(SESSIONS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join(60)
        equal(self.failed, [], "failed")

    def _run(self, at):
        try:
            with Wire(self.proxy.port, timeout_s=60) as client:
                client.login("postgres", "app")
                while not self.over.is_set():
                    self.counts[client.rows(NODE)[0][0]] += 1
                    if at % 2 == 0:
                        time.sleep(0.01)
        except Exception as error:  # told by the check
            self.failed.append(error)

    def share(self, node):
        """Of the reads of some time from now on."""
        before = dict(self.counts)
        time.sleep(WINDOW_S)
        now = {name: count - before.get(name, 0) for name, count in self.counts.items()}
        return now.get(node, 0) / max(1, sum(now.values()))


def spreads(readers, node, least=0.25):
    """Waits until that replica has its share."""
    seen, began = [], time.monotonic()

    def look():
        seen.append(readers.share(node))
        return seen[-1] >= least

    try:
        eventually(look, f"{node} has a share", SPREAD_S)
    except AssertionError as error:
        raise AssertionError(f"{error}: {[f'{share:.2f}' for share in seen]}") from None
    print(f"# {node} has {seen[-1]:.2f} of the reads after {time.monotonic() - began:.1f} s", flush=True)


@contextlib.contextmanager
def proxied(replicas=(1, 2), **routing):
    trio.caught_up(2)
    with Heartbeat(trio), Howdah(config=config(replicas, **routing)) as proxy:
        all_up(proxy, len(replicas) + 1)
        yield proxy


@suite.check("a replica that comes back gets its share of the reads of sessions that live for long")
def _():
    with proxied() as proxy, Readers(proxy) as readers:
        spreads(readers, "node1")
        trio[1].freeze()  # a server that ends may end clients that were just told of its answer
        try:
            eventually(lambda: readers.share("node1") == 0, "nobody reads there", 20)
        finally:
            trio[1].thaw()
        eventually(lambda: rows(proxy)[1]["state"] == "up", "it is back", BACK_S)
        spreads(readers, "node1")


@suite.check("a session that is alone stays where it is")
def _():
    with proxied() as proxy, Wire(proxy.port, timeout_s=60) as client:
        client.login("postgres", "app")
        eventually(lambda: client.rows(NODE)[0][0] != "node0", "replicas are read", 20)
        at, over = collections.Counter(), time.monotonic() + ALONE_S
        while time.monotonic() < over:
            at[client.rows(NODE)[0][0]] += 1
        equal(len(at), 1, f"servers that it has read at: {dict(at)}")


@suite.check("a replica that is new after a reload gets its share")
def _():
    with proxied(replicas=(1,)) as proxy, Readers(proxy) as readers:
        spreads(readers, "node1", 0.5)
        proxy.write_config(config((1, 2)))
        proxy.admin("RELOAD")
        all_up(proxy, 3)
        spreads(readers, "node2")


@suite.check("sessions that live for long keep to the weights")
def _():
    with proxied(replicas=(1, 2), balance="weighted") as proxy, Readers(proxy) as readers:
        spreads(readers, "node1", 0.3)
        changed = config((1, 2), balance="weighted")
        replicas = changed["databases"]["app"]["replicas"]
        replicas[1] = {"dsn": replicas[1], "weight": 20}
        proxy.write_config(changed)
        proxy.admin("RELOAD")
        all_up(proxy, 3)
        spreads(readers, "node2", 0.75)


if __name__ == "__main__":
    suite.main()
