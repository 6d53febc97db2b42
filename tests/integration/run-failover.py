#!/usr/bin/env python3
"""`hosts`: the pool goes to whichever server is the primary, and waits while there is none."""

import contextlib
import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Failed, Suite, equal, eventually, true  # noqa: E402
from howdah import Howdah  # noqa: E402
from pgcluster import Cluster, Replica  # noqa: E402
from wire import Closed, Result, ServerError, Wire, bind, execute, sync  # noqa: E402

suite = Suite("failover", check_limit_s=120)


@contextlib.contextmanager
def servers(replicas=1, **options):
    """A primary with a table, and its replicas."""
    with contextlib.ExitStack() as stack:
        primary = stack.enter_context(Cluster())
        primary.psql("CREATE TABLE t (a int)")
        yield [primary, *(stack.enter_context(Replica(primary, options)) for _ in range(replicas))]


def config(hosts, failover_wait="20s", workers=1, **pool):
    return {
        "workers": workers,
        "auth": {"method": "trust"},
        "databases": {"app": {"hosts": [host.dsn() for host in hosts],
                              "routing": {"failover_wait": failover_wait, "max_lag": "5s"},
                              "pool": {"size": 3, "check_state": True, **pool}}},
    }


def connect(proxy):
    client = Wire(proxy.port)
    client.login("postgres", "app")
    return client


def port_of(client):
    return int(client.scalar("SELECT inet_server_port()"))


def in_thread(work):
    """Runs it aside; .result() waits for what it returned, with the seconds that it took."""
    box = {}

    def run():
        began = time.monotonic()
        try:
            box["value"] = work()
        except Exception as error:  # handed to whoever asks
            box["error"] = error
        box["took"] = time.monotonic() - began

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result():
        thread.join(60)
        if "error" in box:
            raise box["error"]
        return box["value"], box["took"]

    return result


def states(proxy):
    return [(r["state"], r["writes"]) for r in proxy.admin("SHOW REPLICAS")]


def no_links_lent(proxy):
    """Waits until nothing is asked behind the last statement (check_state): clients are idle then."""
    eventually(lambda: all(pool["sv_active"] == "0" for pool in proxy.admin("SHOW POOLS")), "no link is lent")


@suite.check("the primary is found wherever it stands in the list, before anybody is served")
def _():
    with servers() as (primary, replica), Howdah(config=config([replica, primary])) as proxy:
        with connect(proxy) as client:
            equal(port_of(client), primary.port, "the server")
            client.rows("INSERT INTO t VALUES (1)")
        eventually(lambda: states(proxy) == [("up", "no"), ("up", "yes")], "both are up", 8)
        equal(proxy.admin("SHOW FAILOVERS"), [], "failovers")


@suite.check("when the primary dies idle clients notice nothing, and statements wait for the next one")
def _():
    with servers() as (primary, replica), Howdah(config=config([primary, replica], workers=2)) as proxy:
        clients = [connect(proxy) for _ in range(6)]
        for number, client in enumerate(clients):
            client.rows(f"INSERT INTO t VALUES ({number})")
        eventually(lambda: replica.psql("SELECT count(*) FROM t") == "6", "all is replicated")
        no_links_lent(proxy)
        primary.pause(signal.SIGQUIT)
        waits = [in_thread(lambda c=client, n=number: c.rows(f"INSERT INTO t VALUES (10 + {n})"))
                 for number, client in enumerate(clients[:4])]
        time.sleep(2)
        promoted = time.monotonic()
        replica.promote()
        for wait in waits:
            wait()
        print(f"# writes go on {time.monotonic() - promoted:.1f} s after the promotion began", flush=True)
        equal([port_of(client) for client in clients], [replica.port] * 6, "the server")
        equal(replica.psql("SELECT count(*) FROM t"), "10", "rows: none lost, none twice")
        history = proxy.admin("SHOW FAILOVERS")
        equal([(r["from"], r["to"], r["timeline"]) for r in history],
              [(f"127.0.0.1:{primary.port}", f"127.0.0.1:{replica.port}", "2")], "failovers")
        # The old primary comes back, and doesn't know.
        primary.resume()
        eventually(lambda: states(proxy)[0] == ("fenced", "no"), "the old primary is fenced", 8)
        for client in clients:
            client.rows("INSERT INTO t VALUES (20)")
            client.close()
        equal(primary.psql("SELECT count(*) FROM t WHERE a >= 10"), "0", "writes at the old primary")


@suite.check("a new primary is followed while the old one still answers, and nothing is committed there")
def _():
    for mode in ("transaction", "session"):
        with servers() as (primary, replica), Howdah(config=config([primary, replica], mode=mode)) as proxy:
            with connect(proxy) as client, connect(proxy) as inside:
                client.rows("SELECT 1")
                inside.rows("BEGIN")
                inside.rows("INSERT INTO t VALUES (1)")
                replica.promote()
                proxy.wait_for_log("the primary is 127.0.0.1:%d" % replica.port, 5)
                try:
                    inside.rows("COMMIT")
                    raise Failed("a transaction of the old primary was committed")
                except (ServerError, Closed) as error:
                    equal(getattr(error, "sqlstate", "08006"), "08006", str(error))
                if mode == "transaction":
                    equal(port_of(client), replica.port, "the server of an idle client")
                with connect(proxy) as late:
                    equal(port_of(late), replica.port, "the server of a new client")
                equal(primary.psql("SELECT count(*) FROM t"), "0", "rows at the old primary")


@suite.check("a primary that a replica has left for a higher timeline is written to no more, whoever leads there")
def _():
    with servers(2, wal_retrieve_retry_interval="200ms") as (primary, unheard, other):
        with Howdah(config=config([primary, other], "2s", mode="session")) as proxy:
            with connect(proxy) as client, connect(proxy) as inside:
                other.become_standby(unheard)
                other.reload()
                eventually(lambda: unheard.psql("SELECT count(*) FROM pg_stat_replication") == "1", "it follows", 20)
                client.rows("INSERT INTO t VALUES (1)")
                inside.rows("BEGIN")
                inside.rows("INSERT INTO t VALUES (2)")
                eventually(lambda: other.psql("SELECT count(*) FROM t") == "1", "all is replicated")
                unheard.promote()
                proxy.wait_for_log("no server counts as the primary", 20)
                for session, statement in ((inside, "COMMIT"), (client, "INSERT INTO t VALUES (3)")):
                    try:
                        session.rows(statement)
                        raise Failed(f"{statement} goes on at the old primary")
                    except (ServerError, Closed, OSError) as error:
                        equal(getattr(error, "sqlstate", "08006"), "08006", str(error))
            equal(primary.psql("SELECT string_agg(a::text, ' ') FROM t"), "1", "rows at the old primary")


@suite.check("without a primary statements wait for failover_wait, then 57P03, until there is one")
def _():
    with servers() as (primary, replica), Howdah(config=config([primary, replica], "3s")) as proxy:
        with connect(proxy) as client:
            client.rows("INSERT INTO t VALUES (1)")
            no_links_lent(proxy)
            primary.pause()
            eventually(lambda: states(proxy)[0][0] == "down", "it is seen", 8)
            result, took = in_thread(lambda: client.query("INSERT INTO t VALUES (2)"))()
            equal(result.sqlstate, "57P03", str(result.errors))
            true(0.5 <= took <= 8, f"after {took:.1f} s")
            true("SHOW REPLICAS" in result.errors[0]["H"] and result.errors[0]["D"], str(result.errors))
            began = time.monotonic()
            equal(client.query("SELECT 1").sqlstate, "57P03", "at once")
            true(time.monotonic() - began < 1, "not at once")
            primary.resume()
            eventually(lambda: client.query("INSERT INTO t VALUES (3)").sqlstate is None, "it is back", 15)
            equal(port_of(client), primary.port, "the server")


@suite.check("a frozen primary: who waits goes on with the next one; thawed, it is written to no more")
def _():
    with servers() as (primary, replica), Howdah(config=config([primary, replica])) as proxy:
        with connect(proxy) as client:
            client.rows("INSERT INTO t VALUES (1)")
            eventually(lambda: replica.psql("SELECT count(*) FROM t") == "1", "all is replicated")
            primary.freeze()
            try:
                eventually(lambda: states(proxy)[0][0] == "frozen", "it is seen", 10)
                wait = in_thread(lambda: connect(proxy))
                replica.promote()
                late, _ = wait()
                equal(port_of(late), replica.port, "the server")
            finally:
                primary.thaw()
            eventually(lambda: states(proxy)[0][0] == "fenced", "it is fenced", 10)
            for _ in range(20):
                late.rows("INSERT INTO t VALUES (2)")
            late.close()
            equal(primary.psql("SELECT count(*) FROM t WHERE a = 2"), "0", "writes at the old primary")


@suite.check("two primaries on one timeline: writes stop until only one of them is left")
def _():
    with servers(2) as (primary, one, other), Howdah(config=config([primary, one, other], "2s")) as proxy:
        with connect(proxy) as client:
            client.rows("INSERT INTO t VALUES (1)")
            no_links_lent(proxy)
            primary.pause()
            one.promote()
            other.promote()
            eventually(lambda: [s[1] for s in states(proxy)] == ["no"] * 3, "there is none", 10)
            result = client.query("INSERT INTO t VALUES (2)")
            equal(result.sqlstate, "57P03", str(result.errors))
            true("2 primaries" in result.errors[0]["D"], str(result.errors))
            history = proxy.admin("SHOW FAILOVERS")
            true(history[0]["to"] == "" and "2 primaries on timeline 2" in history[0]["reason"], str(history))
            # One that is silent may still be one; as a replica it is none.
            other.pause()
            eventually(lambda: states(proxy)[2][0] == "down", "it is seen", 10)
            equal(client.query("INSERT INTO t VALUES (3)").sqlstate, "57P03", "with one that is silent")
            other.become_standby(one)
            other.resume()
            eventually(lambda: states(proxy)[1] == ("up", "yes"), "the one that is left is the primary", 20)
            client.rows("INSERT INTO t VALUES (4)")
            equal(port_of(client), one.port, "the server")
            equal(one.psql("SELECT string_agg(a::text, ' ' ORDER BY a) FROM t WHERE a > 1"), "4", "what was written")


@suite.check("replicas are read while there is no primary, and the one that follows the next is read again")
def _():
    where = "SELECT current_setting('port')"
    with servers(2, wal_retrieve_retry_interval="200ms") as (primary, one, other):
        both = config([primary, one, other])
        both["databases"]["app"]["routing"]["max_lag"] = "60s"
        ports = {str(one.port), str(other.port)}
        with Howdah(config=both) as proxy, connect(proxy) as client, connect(proxy) as careless:
            careless.rows("SET howdah.consistency = 'eventual'")
            client.rows("INSERT INTO t VALUES (1)")
            eventually(lambda: client.scalar(where) in ports, "replicas are read", 15)
            equal(client.scalar("SELECT count(*) FROM t"), "1", "rows")
            eventually(lambda: careless.scalar(where) in ports, "replicas are read", 15)
            eventually(lambda: other.psql("SELECT count(*) FROM t") == "1", "all is replicated")
            no_links_lent(proxy)
            primary.pause(signal.SIGQUIT)
            eventually(lambda: states(proxy)[0] == ("down", "yes"), "it is seen", 8)
            true(careless.scalar(where) in ports, "where it is read without a primary")
            other.become_standby(one)
            other.reload()
            one.promote()
            client.rows("INSERT INTO t VALUES (2)")
            equal(one.psql("SELECT count(*) FROM t WHERE a = 2"), "1", "what was written")
            eventually(lambda: states(proxy)[1:] == [("up", "yes"), ("up", "no")], "it follows", 20)
            for reader in (client, careless):
                eventually(lambda reader=reader: reader.scalar(where) == str(other.port), "it is read", 20)
            equal(client.scalar("SELECT count(*) FROM t"), "2", "rows")


@suite.check("a reload of hosts or of the service login ends nothing that is under way at the same primary")
def _():
    with servers() as (primary, replica):
        primary.psql("CREATE ROLE prober LOGIN")
        one, two, other = (config(hosts, size=6) for hosts in ([primary], [replica, primary], [replica, primary]))
        other["databases"]["app"]["service"] = {"user": "prober"}
        with Howdah(config=one) as proxy, contextlib.ExitStack() as stack:
            inside, pinned, listens, cached, watcher = clients = [stack.enter_context(connect(proxy)) for _ in range(5)]
            pinned.rows("CREATE TEMPORARY TABLE mine (a int)")
            listens.rows("LISTEN news")
            cached.prepared("INSERT INTO t VALUES ($1) RETURNING a", "10", name="kept")
            for number, after in enumerate((two, other, one)):
                inside.rows("BEGIN")
                inside.rows(f"INSERT INTO t VALUES ({number})")
                pid = inside.scalar("SELECT pg_backend_pid()")
                proxy.write_config(after)
                proxy.admin("RELOAD")
                pinned.rows("INSERT INTO mine VALUES (1)")  # waits for whatever is found out
                true(any(state == ("up", "yes") for state in states(proxy)), f"there is a primary: {states(proxy)}")
                eventually(lambda: {s[0] for s in states(proxy)} == {"up"}, "all are up", 8)
                equal(inside.scalar("SELECT pg_backend_pid()"), pid, "the server's process")
                inside.rows("COMMIT")
                watcher.rows("NOTIFY news")
                eventually(lambda: [m for m in listens.query("SELECT 1").messages if m.kind == "A"], "it is told", 5)
                again = bind("", "kept", [str(11 + number).encode()]) + execute() + sync()
                equal(Result(cached.send(again).ready()).rows, [(str(11 + number),)], "what was prepared")
                equal({port_of(client) for client in clients}, {primary.port}, "the server")
            equal(pinned.scalar("SELECT count(*) FROM mine"), "3", "rows of the temporary table")
            equal(proxy.admin("SHOW FAILOVERS"), [], "failovers")


@suite.check("hosts are changed by a reload")
def _():
    with servers() as (primary, replica), Howdah(config=config([primary])) as proxy:
        with connect(proxy) as client:
            equal(port_of(client), primary.port, "the server")
            proxy.write_config(config([replica, primary]))
            proxy.admin("RELOAD")
            equal(port_of(client), primary.port, "the server")
            eventually(lambda: states(proxy) == [("up", "no"), ("up", "yes")], "both are up", 8)
            equal(port_of(client), primary.port, "the server")


@suite.check("a reload from hosts to primary and replicas, or back, elects no primary of a timeline that is over")
def _():
    with servers() as (primary, replica), Howdah(config=config([primary, replica], failover_wait="0s")) as proxy:
        eventually(lambda: states(proxy) == [("up", "yes"), ("up", "no")], "both are up", 8)
        primary.pause(signal.SIGQUIT)
        replica.promote()
        eventually(lambda: states(proxy)[1] == ("up", "yes"), "the new one is followed", 20)
        replica.pause(signal.SIGQUIT)
        primary.resume()
        for number in range(2):
            after = config([primary, replica], failover_wait="0s")
            if number == 0:
                database = after["databases"]["app"]
                database["primary"], database["replicas"] = database.pop("hosts")[0], [replica.dsn()]
            proxy.write_config(after)
            proxy.admin("RELOAD")
            eventually(lambda: states(proxy)[0][0] == "fenced", f"the old primary is fenced: {states(proxy)}", 8)
            try:
                with connect(proxy) as client:
                    client.rows("INSERT INTO t VALUES (1)")
                raise Failed("it was written to")
            except ServerError as error:
                equal(error.sqlstate, "57P03", "a write")
        equal(primary.psql("SELECT count(*) FROM t"), "0", "writes at the old primary")


if __name__ == "__main__":
    suite.main()
