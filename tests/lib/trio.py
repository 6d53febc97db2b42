"""A primary and streaming replicas for the checks of one program, and what makes replicas late.

    suite = Suite("nodes")
    trio = Trio(suite)

    @suite.check("...")
    def _():
        with Howdah(config=trio.config(routing={"consistency": "session"})) as proxy:
            all_up(proxy)

The servers are started at first use (trio[0] is the primary) and stopped after the last check.
Each has a cluster_name, so that a statement can ask where it ran: node_of().
"""

import contextlib
import random
import signal
import threading
import time

from check import Failed, eventually
from pgcluster import Cluster, Replica
from wire import Wire

START_S = 8


class Trio:
    """A primary and as many replicas as are asked for, each made at its first use."""

    def __init__(self, suite, database="postgres", **options):
        self.servers, self.database, self.options = [], database, options
        self.on_start = []  # called with the primary once it runs
        suite.at_end(self.stop)

    def __getitem__(self, at):
        if not self.servers:
            self.servers.append(Cluster(options={"cluster_name": "node0", **self.options}))
            self.servers[0].start()
            if self.database != "postgres":
                self.servers[0].psql(f"CREATE DATABASE {self.database}")
            for function in self.on_start:
                function(self.servers[0])
        while len(self.servers) <= at:
            self.add()
        return self.servers[at]

    def started(self, function):
        """Decorator: fills the primary before there are replicas."""
        self.on_start.append(function)
        return function

    def add(self):
        """One more replica of the primary."""
        self.servers.append(Replica(self[0], {"cluster_name": f"node{len(self.servers)}"}))
        self.servers[-1].start()
        return self.servers[-1]

    def stop(self):
        for server in reversed(self.servers):
            server.stop()

    def sql(self, text, at=0):
        """Asks one of the servers itself."""
        return self[at].psql(text, db=self.database)

    def dsn(self, at, user="postgres"):
        return self[at].dsn(user, self.database)

    def caught_up(self, count=2, limit_s=20):
        """Waits until the replicas show all that has been committed."""
        _ = self[count]  # starting a replica logs something, too
        # A commit that waits for the disk: what a rolled-back transaction logged may else stay unsent.
        self.sql("SET synchronous_commit = on; SELECT txid_current()")
        target = self.sql("SELECT pg_current_wal_flush_lsn()")
        for at in range(1, count + 1):
            eventually(lambda at=at: self.sql(f"SELECT pg_last_wal_replay_lsn() >= '{target}'", at) == "t",
                       f"replica {at} has caught up", limit_s)

    def config(self, *, replicas=(1, 2), workers=1, user="postgres", routing=None, pool=None, top=None, **database):
        """A configuration with database "app" in front of these servers."""
        return {
            "workers": workers,
            "auth": {"method": "trust"},
            "admin": {"users": ["admin"]},
            "databases": {"app": {
                "primary": self.dsn(0, user),
                "replicas": [self.dsn(at, user) for at in replicas],
                "pool": {"check_state": True, **(pool or {})},
                "routing": routing or {},
                **database,
            }},
            **(top or {}),
        }


def rows(proxy):
    return proxy.admin("SHOW REPLICAS")


def all_up(proxy, count=3, limit_s=START_S):
    """Waits until Howdah takes every server for well."""
    seen = []

    def look():
        seen[:] = rows(proxy)
        return [row["state"] for row in seen] == ["up"] * count

    try:
        eventually(look, "all are up", limit_s)
    except Failed as failed:
        raise Failed(f"{failed}: {[(row['state'], row['reason']) for row in seen]}") from None


class Heartbeat:
    """Somebody commits at the primary every 50 ms, as in any database that is in use: what others
    have logged without a commit is then soon on its way to the replicas."""

    def __init__(self, trio):
        self.trio, self.over = trio, threading.Event()
        self.thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self):
        self.client = Wire(self.trio[0].port)
        self.client.login("postgres", self.trio.database)
        self.client.query("SET synchronous_commit = on")
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.client.close()

    def _beat(self):
        while not self.over.wait(0.05):
            self.client.query("SELECT txid_current()")


# --- late replicas --------------------------------------------------------------------------------


def delay_apply(replica, delay):
    """Commits are shown that long after they were made; None: at once."""
    if delay:
        replica.options["recovery_min_apply_delay"] = delay
    else:
        replica.options.pop("recovery_min_apply_delay", None)
    replica.reload()


def pause_replay(replica, paused=True):
    """The replica goes on receiving, and shows nothing of it."""
    replica.psql(f"SELECT pg_wal_replay_{'pause' if paused else 'resume'}()")


@contextlib.contextmanager
def delayed(replica, delay):
    """delay_apply for a while."""
    delay_apply(replica, delay)
    try:
        yield
    finally:
        delay_apply(replica, None)


@contextlib.contextmanager
def paused(replica):
    """pause_replay for a while."""
    pause_replay(replica)
    try:
        yield
    finally:
        pause_replay(replica, False)


def stop_receiver(replica, stopped=True):
    """The replica's walreceiver hangs: nothing comes in any more, and no connection breaks."""
    replica.signal_child("walreceiver", signal.SIGSTOP if stopped else signal.SIGCONT)


class Lag:
    """Makes replicas late, each for itself: with delayed or paused replay, or a hanging receiver.

    Between two such times a replica is healthy for a while. `seed` says the kinds and the times,
    `most_s` how long one may take. What was done is counted in .done; with `crash`, replicas are
    killed and recover, too."""

    KINDS = ("delay", "pause", "receiver")

    def __init__(self, replicas, seed=1, most_s=1.5, healthy_s=1.0, crash=False):
        self.kinds = self.KINDS + (("crash",) if crash else ())
        self.replicas, self.most_s, self.healthy_s = replicas, most_s, healthy_s
        self.done = dict.fromkeys(self.kinds, 0)
        self.over, self.errors = threading.Event(), []
        self.threads = [threading.Thread(target=self._guarded, args=(replica, random.Random(f"{seed}/{at}")))
                        for at, replica in enumerate(replicas)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()
        if self.errors:
            raise self.errors[0]

    def _guarded(self, replica, chance):
        try:
            while not self.over.wait(chance.uniform(0, self.healthy_s)):
                kind = chance.choice(self.kinds)
                self._make_late(replica, kind, chance)
                self.done[kind] += 1
        except Exception as error:  # carried to the program's own thread
            self.errors.append(error)

    def _make_late(self, replica, kind, chance):
        with contextlib.ExitStack() as undo:
            if kind == "delay":
                undo.enter_context(delayed(replica, f"{chance.choice([20, 100, 500, 1500])}ms"))
            elif kind == "pause":
                undo.enter_context(paused(replica))
            elif kind == "receiver":
                undo.callback(stop_receiver, replica, False)
                stop_receiver(replica)
            else:
                replica.pause(signal.SIGQUIT)
                time.sleep(chance.uniform(0, 0.3))
                replica.resume()
                return
            self.over.wait(chance.uniform(0.05, self.most_s))
