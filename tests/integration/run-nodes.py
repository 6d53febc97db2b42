#!/usr/bin/env python3
"""A primary and two streaming replicas: what SHOW REPLICAS says of them, how soon, and why.

Every state is brought about at real servers: refused, frozen, lagging by paused or delayed replay,
promoted, restarted. The times that are allowed are those of docs/replicas.md, on a machine that does
other things, too.
"""

import contextlib
import os
import signal
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Skip, Suite, equal, eventually, raises, true  # noqa: E402
from howdah import Howdah  # noqa: E402
from pgcluster import Cluster, Replica, free_port  # noqa: E402
from trio import START_S, Trio, all_up, delay_apply, pause_replay, rows  # noqa: E402
from wire import Result, ServerError, Wire, query  # noqa: E402

suite = Suite("nodes", check_limit_s=120)

# Seconds within which a change must be seen.
REFUSED_S, FROZEN_S, NO_NEW_SESSIONS_S, BACK_S, NAME_S = 4, 8, 25, 20, 25
MAX_LAG_S = 2
COLUMNS = ["database", "node", "host", "port", "address", "role", "state", "reason", "since", "writes", "lag_ms",
           "lag_bytes", "lsn", "timeline", "latency_us", "weight", "reads", "reads_percent", "reads_unknown_lsn",
           "reads_behind", "reads_no_replica", "reads_again", "reads_chosen", "reads_transaction", "reads_catalog",
           "reads_waited"]


trio = Trio(suite)


@trio.started
def _(primary):
    primary.psql("CREATE TABLE t (a int)")
    primary.psql("CREATE ROLE nobody_special LOGIN")


def config(**more):
    return trio.config(**{"routing": {"max_lag": f"{MAX_LAG_S}s"}, **more})


def row(proxy, at):
    return rows(proxy)[at]


def becomes(proxy, at, state, limit_s, reason=""):
    """Waits until a node is in a state; its row then."""
    seen = []

    def look():
        seen.append(row(proxy, at))
        return seen[-1]["state"] == state and reason in seen[-1]["reason"] and seen[-1]

    began = time.monotonic()
    try:
        found = eventually(look, f"node {at} becomes {state}", limit_s)
    except AssertionError as error:
        raise AssertionError(f"{error}; last seen {seen[-1]}") from None
    print(f"# node {at} is {state} after {time.monotonic() - began:.1f} s: {found['reason']}", flush=True)
    return found


class Writer:
    """Somebody who writes to the primary all the time."""

    def __enter__(self):
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.write, daemon=True)
        self.thread.start()

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def write(self):
        while not self.over.wait(0.2):
            trio[0].psql("INSERT INTO t VALUES (1)")


@suite.check("a primary and two replicas are found, with role, lag, LSN and timeline")
def _():
    with Howdah(config=config()) as proxy:
        all_up(proxy)
        found = rows(proxy)
        equal(list(found[0]), COLUMNS, "columns")
        equal([r["role"] for r in found], ["primary", "replica", "replica"], "roles")
        equal([r["writes"] for r in found], ["yes", "no", "no"], "writes")
        equal([r["port"] for r in found], [str(trio[at].port) for at in range(3)], "ports")
        equal({r["timeline"] for r in found}, {"1"}, "timelines")
        equal([r["weight"] for r in found], ["1"] * 3, "weights")
        equal([r["reads"] for r in found], ["0"] * 3, "nobody has read")
        true(all("/" in r["lsn"] and int(r["latency_us"]) > 0 for r in found), str(found))
        trio[0].psql("INSERT INTO t VALUES (1)")
        eventually(lambda: all((r["lag_ms"], r["lag_bytes"]) == ("0", "0") for r in rows(proxy)), "no lag", 5)
        equal(proxy.admin("SHOW FAILOVERS"), [], "failovers")


@suite.check("one server needs no watching, and has none")
def _():
    with Howdah(config=config(replicas=())) as proxy:
        time.sleep(1)
        equal(rows(proxy), [], "rows")
        count = trio[0].psql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'howdah probe'")
        equal(count, "0", "probes")


@suite.check("a login without any privilege is enough")
def _():
    with Howdah(config=config(user="nobody_special", replicas=(1,))) as proxy:
        all_up(proxy, 2)
        equal([r["timeline"] for r in rows(proxy)], ["1", "1"], "timelines")


@suite.check("without a login the replicas are not watched, and the reason says what to set")
def _():
    servers = [f"postgres://127.0.0.1:{trio[at].port}/postgres" for at in (0, 1)]
    with Howdah(config=config(primary=servers[0], replicas=[], **{})) as proxy:
        equal(rows(proxy), [], "one server")
    with Howdah(config={**config(), "databases": {"app": {"primary": servers[0], "replicas": servers[1]}}}) as proxy:
        found = becomes(proxy, 1, "unknown", START_S, "not watched")
        true("service.user" in found["reason"], found["reason"])
        true("service.user: not given" in proxy.stderr, proxy.stderr)


@suite.check("both workers know the same")
def _():
    with Howdah(config=config(workers=2)) as proxy:
        for _ in range(6):  # consoles of either worker
            all_up(proxy)


@suite.check("a replica that refuses is down, comes back by itself, and was restarted")
def _():
    with Howdah(config=config()) as proxy:
        all_up(proxy)
        trio[1].pause()
        found = becomes(proxy, 1, "down", REFUSED_S)
        true(found["reason"] != "" and found["lag_ms"] == "" and found["lsn"] == "", str(found))
        equal(row(proxy, 2)["state"], "up", "the other")
        trio[1].resume()
        becomes(proxy, 1, "up", BACK_S)
        proxy.wait_for_log("it was restarted")
        proxy.wait_for_log("is down (was up)")
        proxy.wait_for_log("is up (was returning)")


@suite.check("a server that is killed and recovers by itself is followed")
def _():
    with Howdah(config=config()) as proxy:
        all_up(proxy)
        trio[2].pause(signal.SIGQUIT)
        trio[2].resume()
        proxy.wait_for_log("it was restarted", BACK_S)
        becomes(proxy, 2, "up", BACK_S)


@suite.check("a frozen server is noticed by its silence, and thawed it comes back")
def _():
    with Howdah(config=config()) as proxy:
        all_up(proxy)
        trio[1].freeze()
        try:
            becomes(proxy, 1, "frozen", FROZEN_S, "within")
        finally:
            trio[1].thaw()
        becomes(proxy, 1, "up", BACK_S)


@suite.check("a server whose sessions live but that takes no new ones is noticed")
def _():
    with Howdah(config=config()) as proxy:
        all_up(proxy)
        trio[1].freeze(whole=False)
        try:
            becomes(proxy, 1, "frozen", NO_NEW_SESSIONS_S, "no connection and login")
        finally:
            trio[1].thaw()
        becomes(proxy, 1, "up", BACK_S)


@suite.check("a replica whose replay is paused lags once there is something to replay, and catches up")
def _():
    with Howdah(config=config()) as proxy:
        all_up(proxy)
        pause_replay(trio[1])
        try:
            with Writer():
                found = becomes(proxy, 1, "lagging", MAX_LAG_S + 6, "replay is paused")
                true(int(found["lag_ms"]) > MAX_LAG_S * 1000 and int(found["lag_bytes"]) > 0, str(found))
                equal(row(proxy, 2)["state"], "up", "the other")
        finally:
            pause_replay(trio[1], False)
        becomes(proxy, 1, "up", BACK_S)


@suite.check("a replica that applies late lags")
def _():
    with Howdah(config=config()) as proxy:
        all_up(proxy)
        delay_apply(trio[1], "20s")
        try:
            with Writer():
                becomes(proxy, 1, "lagging", MAX_LAG_S + 6, "ms behind")
        finally:
            delay_apply(trio[1], None)
        becomes(proxy, 1, "up", BACK_S + 10)


@suite.check("a switch of the WAL's segment leaves no replica behind")
def _():
    with Howdah(config=config()) as proxy:
        all_up(proxy)
        trio[0].psql("SELECT pg_switch_wal()")
        time.sleep(2)
        for _ in range(10):
            equal([r["lag_bytes"] for r in rows(proxy)], ["0"] * 3, "bytes behind")
            time.sleep(0.3)


@suite.check("a reload keeps what is known of servers that stay, and begins anew with others")
def _():
    with Howdah(config=config()) as proxy:
        all_up(proxy)
        since = [r["since"] for r in rows(proxy)]
        time.sleep(1.1)
        proxy.write_config(config(routing={"max_lag": "5s"}))
        proxy.admin("RELOAD")
        equal([r["since"] for r in rows(proxy)], since, "since when")
        proxy.write_config(config(replicas=(2,)))
        proxy.admin("RELOAD")
        all_up(proxy, 2)
        proxy.write_config(config(replicas=()))
        proxy.admin("RELOAD")
        equal(rows(proxy), [], "rows")
        proxy.write_config(config())
        proxy.admin("RELOAD")
        all_up(proxy)


@suite.check("an address where nobody listens is down; a name that does not exist is gone")
def _():
    replicas = [f"postgres://postgres@127.0.0.1:{free_port()}/postgres",
                "postgres://postgres@no-such-name.invalid:5432/postgres"]
    with Howdah(config=config(replicas=[]) | {"databases": {"app": {"primary": trio[0].dsn(),
                                                                    "replicas": replicas}}}) as proxy:
        found = becomes(proxy, 1, "down", START_S)
        true("refused" in found["reason"], found["reason"])
        found = eventually(lambda: (r := row(proxy, 2))["state"] in ("gone", "down") and r, "no such name", START_S)
        true("no-such-name.invalid" in found["reason"], found["reason"])
        equal(row(proxy, 0)["state"], "up", "the primary")


class Names:
    """A name service for one howdah: /etc/hosts alone, of its own."""

    def __enter__(self):
        self.hosts = tempfile.NamedTemporaryFile("w", suffix="-hosts")
        self.switch = tempfile.NamedTemporaryFile("w", suffix="-nsswitch")
        self.switch.write("hosts: files\n")
        self.switch.flush()
        mount = f'mount --bind {self.hosts.name} /etc/hosts && mount --bind {self.switch.name} /etc/nsswitch.conf'
        self.wrapper = ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh"]
        return self

    def __exit__(self, *_):
        self.hosts.close()
        self.switch.close()

    def say(self, text):
        self.hosts.seek(0)
        self.hosts.truncate()
        self.hosts.write(text)
        self.hosts.flush()


def needs_root():
    if os.geteuid() != 0:
        raise Skip("a name service of its own needs root")


class Named:
    """A howdah whose database "app" has its primary at the name primary.test; nobody is at the
    replica's address, which is there so that the primary is watched."""

    def __init__(self, stack, port, options="", host="primary.test", watched=True):
        self.stack, self.names = stack, stack.enter_context(Names())
        app = {"primary": f"postgres://postgres@{host}:{port}/postgres{options}", "pool": {"size": 60}}
        if watched:
            app["replicas"] = [f"postgres://postgres@127.0.0.1:{free_port()}/postgres"]
        self.config = {"auth": {"method": "trust"}, "admin": {"users": ["admin"]}, "workers": 1,
                       "databases": {"app": app}}

    def start(self, addresses, host="primary.test", watched=True):
        self.mean(addresses, host)
        self.proxy = self.stack.enter_context(Howdah(config=self.config, wrapper=self.names.wrapper))
        if watched:
            becomes(self.proxy, 0, "up", START_S)
        return self.proxy

    def mean(self, addresses, host="primary.test"):
        self.names.say("".join(f"{address} {host}\n" for address in addresses))

    def client(self):
        client = self.stack.enter_context(Wire(self.proxy.port))
        client.login("postgres", "app")
        return client

    def begin(self):
        """A client in a transaction that has written."""
        client = self.client()
        client.query("BEGIN")
        equal(client.query("INSERT INTO t VALUES (1)").sqlstate, None, "INSERT")
        return client


def is_canceled(client):
    """Whether a CancelRequest reaches what the client runs."""
    client.send(query("SELECT pg_sleep(10)"))
    end = time.monotonic() + 8
    while client.quiet(0.2) == [] and time.monotonic() < end:  # until it runs there is nothing to cancel
        client.cancel()
    return time.monotonic() < end


@suite.check("connections are made to the address that was probed, whatever its name means by then")
def _():
    needs_root()
    with contextlib.ExitStack() as stack:
        here = stack.enter_context(Cluster(options={"cluster_name": "here", "listen_addresses": "127.0.0.1"}))
        here.psql("CREATE TABLE t (a int)")
        there = {"cluster_name": "there", "listen_addresses": "127.0.0.2", "port": here.port}
        stack.enter_context(Replica(here, there)).promote()
        named = Named(stack, here.port)
        proxy = named.start(["127.0.0.1"])
        busy, asking = named.begin(), named.begin()
        named.mean(["127.0.0.2"])
        moved = "its name means 127.0.0.2 now"
        looked = 0
        while looked < 25 and moved not in proxy.stderr:
            client = named.begin()  # with a connection of its own
            where = client.scalar("SELECT current_setting('cluster_name')")
            if where != "here":
                proxy.wait_for_log(moved, 1)
                break
            looked += 1
            if looked == 1:
                true(is_canceled(asking), "a cancel goes where its connection goes")
            time.sleep(0.4)
        print(f"# {looked} connections were made after the name had moved", flush=True)
        true(looked > 0, "the probe looked before anybody could connect")
        proxy.wait_for_log(moved, NAME_S)
        # What the former primary would still commit is void.
        error = Result(busy.rest()).errors
        equal([e["C"] for e in error], ["08006"], f"how the transaction there ends: {error}")
        after = named.begin()
        equal(after.scalar("SELECT current_setting('cluster_name')"), "there", "new connections")
        time.sleep(2)
        equal(after.query("COMMIT").errors, [], "a transaction that was begun since")
        equal(here.psql("SELECT count(*) FROM t"), "0", "rows at the former primary")


@suite.check("what its name has left is not written to on, though who is there now shuts the probe out")
def _():
    needs_root()
    where = "SELECT current_setting('cluster_name') FROM t FOR UPDATE"
    with contextlib.ExitStack() as stack:
        here = stack.enter_context(Cluster(options={"cluster_name": "here", "listen_addresses": "127.0.0.1"}))
        here.psql("CREATE TABLE t AS SELECT 1 AS a")
        here.psql("CREATE ROLE prober LOGIN")
        there = Replica(here, {"cluster_name": "there", "listen_addresses": "127.0.0.2", "port": here.port})
        there.hba = "host all prober all reject\n" + there.hba
        stack.enter_context(there).promote()
        for lives in (True, False):
            named = Named(stack, here.port)
            named.config["databases"]["app"]["service"] = {"user": "prober"}
            proxy = named.start(["127.0.0.1"])
            client = named.client()
            equal(client.scalar(where), "here", "before")
            client.close()
            named.mean(["127.0.0.2"])
            if not lives:
                here.pause()
            proxy.wait_for_log("its name means 127.0.0.2 now", NAME_S)
            becomes(proxy, 0, "unknown", BACK_S, "not watched")
            equal(named.client().scalar(where), "there", "where it leads is written to")


@suite.check("a transaction goes on when its server's name means another address of the same server")
def _():
    needs_root()
    with contextlib.ExitStack() as stack:
        both = stack.enter_context(Cluster(options={"listen_addresses": "127.0.0.1,127.0.0.2"}))
        both.psql("CREATE TABLE t (a int)")
        named = Named(stack, both.port)
        proxy = named.start(["127.0.0.1"])
        busy = named.begin()
        named.mean(["127.0.0.2"])
        proxy.wait_for_log("its name means 127.0.0.2 now", NAME_S)
        equal(row(proxy, 0)["address"], "127.0.0.2", "address")
        equal(busy.scalar("SELECT host(inet_server_addr())"), "127.0.0.1", "where it runs")
        equal(busy.query("COMMIT").errors, [], "errors")
        # It is asked for its state behind the first, and meanwhile keeps its connection.
        eventually(lambda: busy.scalar("SELECT host(inet_server_addr())") == "127.0.0.2", "the next run there", 5)


@suite.check("of a name's addresses the one that answers is connected to")
def _():
    needs_root()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Cluster(options={"listen_addresses": "127.0.0.1,127.0.0.2"}))
        successor = {"listen_addresses": "127.0.0.4", "port": server.port}
        stack.enter_context(Replica(server, successor)).promote()
        named = Named(stack, server.port)
        proxy = named.start(["127.0.0.3", "127.0.0.2", "127.0.0.3"])
        equal(row(proxy, 0)["address"], "127.0.0.2", "address")
        equal(named.client().scalar("SELECT host(inet_server_addr())"), "127.0.0.2", "connected to")
        named.mean(["127.0.0.3", "127.0.0.2", "127.0.0.4"])
        server.pause()
        proxy.wait_for_log("its name means 127.0.0.4 now", NAME_S)
        equal(named.client().scalar("SELECT host(inet_server_addr())"), "127.0.0.4", "connected to since")


@suite.check("TLS verifies the name, not the address that it is connected to")
def _():
    needs_root()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Cluster(options={"listen_addresses": "127.0.0.2"}, ssl=True))
        for host, state in (("localhost", "up"), ("primary.test", "down")):  # the certificate is for localhost
            named = Named(stack, server.port, f"?sslmode=verify-full&sslrootcert={server.cert}", host)
            named.mean(["127.0.0.2"], host)
            named.proxy = stack.enter_context(Howdah(config=named.config, wrapper=named.names.wrapper))
            becomes(named.proxy, 0, state, START_S)
            if state == "up":
                equal(named.client().scalar("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"), "t", "TLS")
            else:
                with raises(ServerError):
                    named.client()


@suite.check("a cancel goes where its connection goes, also where nothing is probed")
def _():
    needs_root()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Cluster(options={"listen_addresses": "127.0.0.1"}))
        named = Named(stack, server.port, watched=False)
        named.start(["127.0.0.1"], watched=False)
        client = named.client()
        client.query("SELECT 1")
        named.mean(["127.0.0.2"])
        true(is_canceled(client), "canceled")


@suite.check("a name that means another address is followed, one that is taken away makes its server gone")
def _():
    needs_root()
    with contextlib.ExitStack() as stack:
        named = stack.enter_context(Replica(trio[0], {"listen_addresses": "127.0.0.1,127.0.0.2"}))
        names = stack.enter_context(Names())
        names.say("127.0.0.1 replica.test\n")
        dsn = f"postgres://postgres@replica.test:{named.port}/postgres"
        both = config(replicas=()) | {"databases": {"app": {"primary": trio[0].dsn(), "replicas": dsn}}}
        proxy = stack.enter_context(Howdah(config=both, wrapper=names.wrapper))
        all_up(proxy, 2)
        equal(row(proxy, 1)["address"], "127.0.0.1", "address")
        names.say("127.0.0.2 replica.test\n")
        proxy.wait_for_log("its name means 127.0.0.2 now", NAME_S)
        equal(row(proxy, 1)["address"], "127.0.0.2", "address")
        names.say("127.0.0.2 another.test\n")
        becomes(proxy, 1, "gone", NAME_S, "replica.test")
        names.say("127.0.0.1 replica.test\n127.0.0.2 replica.test\n")
        becomes(proxy, 1, "up", BACK_S)


@suite.check("connections lead to where a name leads now, also for eventual reads")
def _():
    needs_root()
    with contextlib.ExitStack() as stack:
        here = stack.enter_context(Replica(trio[0], {"cluster_name": "here", "listen_addresses": "127.0.0.1"}))
        there = {"cluster_name": "there", "listen_addresses": "127.0.0.2", "port": here.port}
        stack.enter_context(Replica(trio[0], there))
        names = stack.enter_context(Names())
        names.say("127.0.0.1 replica.test\n")
        both = trio.config(replicas=(), routing={"consistency": "eventual", "max_lag": "60s"})
        both["databases"]["app"]["replicas"] = [f"postgres://postgres@replica.test:{here.port}/postgres"]
        proxy = stack.enter_context(Howdah(config=both, wrapper=names.wrapper))
        client = stack.enter_context(Wire(proxy.port))
        client.login("postgres", "app")

        def asked():
            return client.scalar("SELECT current_setting('cluster_name')")

        all_up(proxy, 2)
        eventually(lambda: asked() == "here", "the replica is read", NAME_S)
        names.say("127.0.0.2 replica.test\n")
        proxy.wait_for_log("its name means 127.0.0.2 now", NAME_S)
        eventually(lambda: asked() == "there", "the other is read", NAME_S)


@suite.check("a promoted replica and the old primary are told apart, and no server is written to by mistake")
def _():
    fourth = trio.add()
    with Howdah(config=config(replicas=(1, 3))) as proxy:
        all_up(proxy)
        fourth.promote()
        found = becomes(proxy, 2, "fenced", REFUSED_S, "configured as a replica")
        equal((found["role"], found["timeline"], found["writes"]), ("primary", "2", "no"), "the promoted one")
        found = becomes(proxy, 0, "fenced", REFUSED_S, "timeline 1")
        equal(found["writes"], "no", "the old one")
        history = proxy.admin("SHOW FAILOVERS")
        equal([(r["to"], r["timeline"]) for r in history], [("", "2")], "failovers")
        true("another server is the primary" in history[0]["reason"], str(history))
        proxy.wait_for_log("no server counts as the primary")



@suite.check("as many servers as a database can have are polled")
def _():
    with contextlib.ExitStack() as stack:
        replica = stack.enter_context(Replica(trio[0], {"listen_addresses": "*"}))
        every = config(replicas=())
        every["databases"]["app"]["replicas"] = [f"postgres://postgres@127.0.0.{n}:{replica.port}/postgres"
                                                 for n in range(2, 33)]
        proxy = stack.enter_context(Howdah(config=every))
        all_up(proxy, 32)
        client = stack.enter_context(Wire(proxy.port))
        client.login("postgres", "app")
        eventually(lambda: ("catalog", "known") in [found[:2] for found in client.rows("EXPLAIN (HOWDAH) TABLE t")],
                   "the catalog is known", 20)
        for _ in range(20):
            equal(client.query("INSERT INTO t VALUES (1)").sqlstate, None, "INSERT")
            equal(client.query("SELECT count(*) FROM t").sqlstate, None, "SELECT")


@suite.check("a primary whose name was taken away is up as long as it answers, and no longer")
def _():
    needs_root()
    with contextlib.ExitStack() as stack:
        primary = stack.enter_context(Cluster())
        named = Named(stack, primary.port)
        proxy = named.start(["127.0.0.1"])
        named.mean(["127.0.0.1"], "another.test")
        time.sleep(14)  # its connection is renewed, in vain
        equal(row(proxy, 0)["state"], "up", "state")
        primary.pause(signal.SIGQUIT)
        becomes(proxy, 0, "gone", REFUSED_S, "primary.test")


if __name__ == "__main__":
    suite.main()
