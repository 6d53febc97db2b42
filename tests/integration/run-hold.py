#!/usr/bin/env python3
"""`primary` with `replicas`: writes stop while the primary is none, and wait while it does not answer."""

import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Failed, Suite, equal, eventually, true  # noqa: E402
from howdah import Howdah  # noqa: E402
from pgcluster import free_port  # noqa: E402
from trio import Trio, all_up  # noqa: E402
from wire import Closed, ServerError, Wire  # noqa: E402

suite = Suite("hold", check_limit_s=120)
trio = Trio(suite, synchronous_commit="on")  # a crash loses nothing


@trio.started
def _(primary):
    primary.psql("CREATE TABLE t (a text)")
    primary.psql("CREATE ROLE nobody NOLOGIN")
    primary.psql("CREATE ROLE prober LOGIN")


def servers(promotes=False):
    """The primary with an empty table, and a replica: one of its own for who promotes it."""
    replica = trio.add() if promotes and trio[1] else trio[1]
    trio.sql("TRUNCATE t")
    return trio[0], replica


def config(primary, replica, failover_wait="60s", workers=2, service=None, **pool):
    asks = {"service": {"user": service}} if service else {}
    return {
        "workers": workers,
        "auth": {"method": "trust"},
        "databases": {"app": {"primary": primary, "replicas": [replica], **asks,
                              "routing": {"failover_wait": failover_wait, "max_lag": "60s"},
                              "pool": {"size": 3, "check_state": True, "wait_timeout": "60s", **pool}}},
    }


def connect(proxy, user="postgres"):
    client = Wire(proxy.port, timeout_s=60)
    client.login(user, "app")
    return client


def states(proxy):
    return [(row["state"], row["writes"]) for row in proxy.admin("SHOW REPLICAS")]


def no_links_lent(proxy):
    """Waits until nothing is asked behind the last statement (check_state): clients are idle then."""
    eventually(lambda: all(pool["sv_active"] == "0" for pool in proxy.admin("SHOW POOLS")), "no link is lent")


def waiting(proxy):
    return sum(int(pool["cl_waiting"]) for pool in proxy.admin("SHOW POOLS"))


class Aside(threading.Thread):
    """A statement of each client, sent at once; .results() waits for what they were told."""

    def __init__(self, clients, statement):
        super().__init__(daemon=True)
        self.clients, self.statement, self.told = clients, statement, []
        self.start()

    def run(self):
        for number, client in enumerate(self.clients):
            client.send(b"Q" + (len(text := self.statement(number).encode() + b"\0") + 4).to_bytes(4, "big") + text)
        for client in self.clients:
            errors = [body for kind, body in client.ready() if kind == "E"]
            self.told.append(errors)

    def results(self):
        self.join(90)
        equal(len(self.told), len(self.clients), "answers")
        return self.told


def error_of(result):
    """What a client was told that still has its connection."""
    return (result.sqlstate, result.errors[0].get("D", "") if result.errors else "")


def count(server, like="%"):
    return int(server.psql(f"SELECT count(*) FROM t WHERE a LIKE '{like}'"))


def links_of(server):
    """The server's processes for connections of pools."""
    pids = server.psql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
                       " AND application_name NOT LIKE 'howdah %' AND pid <> pg_backend_pid()")
    return set(pids.split())


@suite.check("while the primary is stopped statements wait, and run once it is there; idle clients notice nothing")
def _():
    primary, replica = servers()
    for how, user in ((signal.SIGINT, "postgres@"), (signal.SIGQUIT, "")):  # without a user nobody watches
        dsn = f"postgres://{user}127.0.0.1:{primary.port}/postgres"
        with Howdah(config=config(dsn, replica.dsn())) as proxy:
            clients = [connect(proxy) for _ in range(5)]
            for client in clients:
                client.rows("INSERT INTO t VALUES ('before')")
            no_links_lent(proxy)
            primary.pause(how)
            aside = Aside(clients[:4], lambda number: f"INSERT INTO t VALUES ('during {number}')")
            eventually(lambda: waiting(proxy) == 4, "all wait", 20)
            primary.resume()
            equal(aside.results(), [[]] * 4, "errors")
            for client in clients:
                client.rows("INSERT INTO t VALUES ('after')")
                client.close()
        equal([count(primary, f"{word}%") for word in ("before", "during", "after")], [5, 4, 5], "rows")
        trio.sql("TRUNCATE t")


@suite.check("a replica is promoted: writes stop, none is done at the old primary, and the error says why")
def _():
    primary, replica = servers(promotes=True)
    with Howdah(config=config(primary.dsn(), replica.dsn(), "3s")) as proxy:
        clients = [connect(proxy) for _ in range(3)]
        for client in clients:
            client.rows("INSERT INTO t VALUES ('before')")
        inside, listens = connect(proxy), connect(proxy)
        listens.rows("LISTEN news")
        inside.rows("BEGIN")
        inside.rows("INSERT INTO t VALUES ('inside')")
        eventually(lambda: count(replica) == 3, "all is replicated")
        replica.promote()
        proxy.wait_for_log("no server counts as the primary", 20)
        for kind in ("INSERT INTO t VALUES ('more')", "COMMIT"):  # either way it is told once
            try:
                inside.rows(kind)
                raise Failed("a transaction goes on at the old primary")
            except ServerError as error:
                equal(error.sqlstate, "08006", str(error))
            except (Closed, OSError):
                pass
        true(listens.is_closed(), "who listens is told that nothing will come")
        began = time.monotonic()
        said = [error_of(client.query("INSERT INTO t VALUES ('after')")) for client in clients]
        equal({code for code, _ in said}, {"57P03"}, str(said))
        true(all("another server is the primary, on timeline 2" in why for _, why in said), str(said))
        true(time.monotonic() - began < 30, "all have waited, one after the other")
        began = time.monotonic()
        equal(clients[0].query("SELECT 1 FROM t FOR UPDATE").sqlstate, "57P03", "later")
        true(time.monotonic() - began < 2, "not at once")
        equal(states(proxy), [("fenced", "no"), ("fenced", "no")], "states")
        # The promoted one is made the primary; who waits goes there.
        proxy.write_config(config(replica.dsn(), primary.dsn(), "60s"))
        proxy.admin("RELOAD")
        for client in clients:
            client.rows("INSERT INTO t VALUES ('new')")
            client.close()
    equal([count(primary, f"{word}%") for word in ("before", "inside", "after", "new")], [3, 0, 0, 0], "the old one")
    equal([count(replica, f"{word}%") for word in ("before", "inside", "after", "new")], [3, 0, 0, 3], "the new one")


@suite.check("a reload frees no primary that is known to be none; another failover_wait holds at once")
def _():
    primary, replica = servers(promotes=True)
    with Howdah(config=config(primary.dsn(), replica.dsn())) as proxy:
        client = connect(proxy)
        client.rows("INSERT INTO t VALUES ('before')")
        no_links_lent(proxy)
        replica.promote()
        proxy.wait_for_log("no server counts as the primary", 20)
        aside = Aside([client], lambda _: "INSERT INTO t VALUES ('during')")
        eventually(lambda: waiting(proxy) == 1, "it waits", 20)
        for size in (4, 5, 6):
            proxy.write_config(config(primary.dsn(), replica.dsn(), size=size))
            proxy.admin("RELOAD")
        # Servers are watched anew, by who is let in nowhere: nobody says again what is known.
        proxy.write_config(config(primary.dsn(), replica.dsn(), service="nobody"))
        proxy.admin("RELOAD")
        eventually(lambda: "not watched" in proxy.admin("SHOW REPLICAS")[0]["reason"], "nobody is let in", 20)
        proxy.admin("PAUSE app")
        proxy.admin("RESUME app")
        equal(waiting(proxy), 1, "it waits on")
        proxy.write_config(config(primary.dsn(), replica.dsn(), "1s"))
        proxy.admin("RELOAD")
        (error,), = aside.results()
        true(b"57P03" in error and b"another server is the primary" in error, str(error))
        equal(count(primary, "during"), 0, "written at the old one")


@suite.check("a reload of the replicas or of the service login ends nothing at the primary, and no connection to it")
def _():
    primary, replica = servers()
    asked = "SELECT count(*) > 0 FROM pg_stat_activity WHERE usename = 'prober'"
    more = config(primary.dsn(), replica.dsn(), service="prober")
    more["databases"]["app"]["replicas"].append(f"postgres://127.0.0.1:{free_port()}/postgres")
    with Howdah(config=config(primary.dsn(), replica.dsn(), workers=1)) as proxy:
        with connect(proxy) as listens, connect(proxy) as inside, connect(proxy) as client:
            eventually(lambda: states(proxy)[0] == ("up", "yes"), "it is up", 20)
            listens.rows("LISTEN news")
            for after, count_after in ((config(primary.dsn(), replica.dsn(), service="prober"), 2), (more, 3)):
                inside.rows("BEGIN")
                inside.rows("INSERT INTO t VALUES ('inside')")
                client.rows("INSERT INTO t VALUES ('before')")
                before = links_of(primary)
                proxy.write_config({**after, "workers": 1})
                proxy.admin("RELOAD")
                eventually(lambda: primary.psql(asked) == "t" and states(proxy)[0] == ("up", "yes"), "it is asked", 20)
                equal(len(states(proxy)), count_after, "servers")
                inside.rows("COMMIT")
                client.rows("NOTIFY news")
                eventually(lambda: [m for m in listens.query("SELECT 1").messages if m.kind == "A"], "it is told", 5)
                equal(before - links_of(primary), set(), "processes of connections that were closed")
    equal(count(primary, "inside"), 2, "rows")


@suite.check("a reload that brings the first replica, takes the last, or brings hosts, ends nothing at the primary")
def _():
    primary, replica = trio[0], trio.add()  # the first one may have fallen behind for good by now
    trio.sql("TRUNCATE t")
    one = config(primary.dsn(), replica.dsn(), workers=1)
    alone = {**one, "databases": {"app": {**one["databases"]["app"], "replicas": []}}}
    hosts = {**alone["databases"]["app"], "hosts": [primary.dsn(), replica.dsn()]}
    del hosts["primary"], hosts["replicas"]
    found = {**one, "databases": {"app": hosts}}
    with Howdah(config=alone) as proxy:
        with connect(proxy) as listens, connect(proxy) as inside, connect(proxy) as client:
            listens.rows("LISTEN news")
            for after, count_after in ((one, 2), (alone, 1), (one, 2), (alone, 1), (found, 2)):
                inside.rows("BEGIN")
                inside.rows("INSERT INTO t VALUES ('inside')")
                client.rows("INSERT INTO t VALUES ('before')")
                before = links_of(primary)
                proxy.write_config({**after, "workers": 1})
                proxy.admin("RELOAD")
                if count_after == 2:
                    all_up(proxy, 2, 20)
                client.rows("INSERT INTO t VALUES ('after')")
                inside.rows("COMMIT")
                client.rows("NOTIFY news")
                eventually(lambda: [m for m in listens.query("SELECT 1").messages if m.kind == "A"], "it is told", 5)
                equal(before - links_of(primary), set(), "processes of connections that were closed")


@suite.check("a reload that leaves nobody to ask the servers as: the primary that was up is written to on")
def _():
    primary, replica = servers()
    bare = [f"postgres://127.0.0.1:{server.port}/postgres" for server in (primary, replica)]
    with Howdah(config=config(primary.dsn(), replica.dsn())) as proxy, connect(proxy) as client:
        eventually(lambda: states(proxy)[0] == ("up", "yes"), "it is up", 20)
        proxy.write_config(config(*bare))
        proxy.admin("RELOAD")
        eventually(lambda: [state for state, _ in states(proxy)] == ["unknown"] * 2, "nobody is asked", 20)
        client.rows("INSERT INTO t VALUES ('on trust')")
    equal(count(primary), 1, "rows")


@suite.check("a frozen primary: who waits is told why, with a shorter wait_timeout too; thawed, it is written to")
def _():
    primary, replica = servers()
    with Howdah(config=config(primary.dsn(), replica.dsn(), wait_timeout="1s")) as proxy:
        with connect(proxy) as client:
            client.rows("INSERT INTO t VALUES ('before')")
            no_links_lent(proxy)
            primary.freeze()
            try:
                eventually(lambda: states(proxy)[0][0] == "frozen", "it is seen", 20)
                code, why = error_of(client.query("INSERT INTO t VALUES ('frozen')"))
                equal(code, "57P03", why)
                true("The primary is frozen: " in why, why)
            finally:
                primary.thaw()
            eventually(lambda: client.query("INSERT INTO t VALUES ('thawed')").sqlstate is None, "it is back", 20)
    equal(count(primary, "frozen"), 0, "refused, and there all the same")


@suite.check("57P03 says what a dial failed with; a refused login is told at once")
def _():
    primary, replica = servers()
    dsn = f"postgres://127.0.0.1:{primary.port}/postgres"
    with Howdah(config=config(dsn, replica.dsn(), "2s")) as proxy:
        began = time.monotonic()
        try:
            connect(proxy, "nobody")
            raise Failed("a role that may not log in is let in")
        except ServerError as error:
            equal(error.sqlstate, "28000", str(error))
        true(time.monotonic() - began < 2, "not at once")
        with connect(proxy) as client:
            client.rows("SELECT 1 FOR UPDATE")
            no_links_lent(proxy)
            primary.pause()
            began = time.monotonic()
            code, why = error_of(client.query("INSERT INTO t VALUES ('x')"))
            equal(code, "57P03", why)
            true("The primary takes no connection: could not connect" in why, why)
            true(time.monotonic() - began >= 1.9, "without a wait")
            primary.resume()
            eventually(lambda: client.query("INSERT INTO t VALUES ('y')").sqlstate is None, "it is back", 30)
    equal((count(primary, "x"), count(primary, "y")), (0, 1), "rows")


if __name__ == "__main__":
    suite.main()
