#!/usr/bin/env python3
"""Deferred BEGIN: what a client sees is what a direct connection shows, and an empty transaction holds no server.

Each script runs on a direct connection and through a proxy whose pool is smaller than its clients, with and
without pool.deferred_begin: message by message the same.
"""

import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, eventually, true  # noqa: E402
from stage import Stage  # noqa: E402
from wire import (  # noqa: E402
    bind,
    close,
    copy_data,
    copy_done,
    describe,
    execute,
    flush,
    function_call,
    parse,
    play,
    query,
    sync,
)

suite = Suite("begin")
stage = Stage(suite)

SETUP = (  # the same OIDs for both
    "CREATE TABLE IF NOT EXISTS t (a int PRIMARY KEY, b text); TRUNCATE t;"
    " INSERT INTO t VALUES (1, 'one'), (2, 'two')"
)
MODES = (
    "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only'),"
    " current_setting('transaction_deferrable')"
)


def alone(sql, name="", what="P"):
    """One statement as its own batch, as PQexecParams sends it."""
    described = describe("S", name) if what == "S" else b""
    portal = describe("P") if what == "P" else b""
    return parse(name, sql) + described + bind("", name) + portal + execute() + sync()


BEGINS = [
    "BEGIN",
    "begin;",
    "BEGIN WORK",
    "BEGIN TRANSACTION;",
    "START TRANSACTION",
    " /* a */ Begin -- b\n ; ;",
    "BEGIN ISOLATION LEVEL READ UNCOMMITTED",
    "BEGIN ISOLATION LEVEL READ COMMITTED;",
    "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    "START TRANSACTION ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE",
    "BEGIN READ WRITE NOT DEFERRABLE",
    "BEGIN READ ONLY, READ WRITE",
    "BEGIN ISOLATION LEVEL SERIALIZABLE, ISOLATION LEVEL READ COMMITTED",
    "BEGIN ISOLATION LEVEL nonsense",
    "BEGIN /* \u00e4 */",
    "BEGIN; SELECT 1",
    "SELECT 1; BEGIN",
]
FIRSTS = [
    "SELECT a FROM t",
    "INSERT INTO t VALUES (7, 'seven')",
    "COMMIT",
    "END",
    "ROLLBACK",
    "abort;",
    "COMMIT AND CHAIN",
    "ROLLBACK AND CHAIN",
    "COMMIT AND NO CHAIN",
    "BEGIN",
    "BEGIN ISOLATION LEVEL SERIALIZABLE",
    "START TRANSACTION READ ONLY",
    "SAVEPOINT s",
    "ROLLBACK TO s",
    "RELEASE s",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "SET LOCAL work_mem = '7MB'",
    "SET work_mem = '7MB'",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "SHOW transaction_isolation",
    "PREPARE TRANSACTION 'none'",
    "COMMIT PREPARED 'none'",
    "ROLLBACK PREPARED 'none'",
    "SELEC nonsense",
    "SELECT 1/0",
    "SELECT * FROM nonsense",
    "",
    ";",
    "-- nothing",
    "SELECT 1; COMMIT; SELECT 2",
    "COMMIT; SELECT 1",
    "ROLLBACK; BEGIN; SELECT 2",
    "VACUUM t",
    "PREPARE p AS SELECT 1",
    "LISTEN c",
    "NOTIFY nobody",
    "CREATE TEMP TABLE x (a int)",
    "DISCARD ALL",
    "LOCK t",
    "DECLARE c CURSOR FOR SELECT a FROM t",
    "SELECT pg_advisory_lock(5)",
]


def simple(*texts):
    return [query(text) for text in texts]


SCRIPTS = {f"simple: {begin!r}": simple(begin, MODES, "COMMIT", "COMMIT") for begin in BEGINS}
SCRIPTS |= {f"extended: {begin!r}": [alone(begin), query(MODES), alone("COMMIT"), alone("COMMIT")] for begin in BEGINS}
SCRIPTS |= {
    f"first {first!r}": simple("BEGIN", first, MODES, "SELECT a FROM t ORDER BY a", "ROLLBACK", "ROLLBACK", "RESET ALL")
    for first in FIRSTS
}
SCRIPTS |= {
    f"first {first!r}, extended": [
        alone("BEGIN"),
        alone(first),
        alone("SELECT a FROM t ORDER BY a"),
        alone("ROLLBACK"),
        query("RESET ALL"),
    ]
    for first in FIRSTS
    if ";" not in first[:-1]
}
SCRIPTS |= {
    "empty transactions": simple("BEGIN", "COMMIT", "BEGIN", "ROLLBACK", "START TRANSACTION", "END", "BEGIN", "ABORT"),
    "chains": simple(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        "COMMIT AND CHAIN",
        "ROLLBACK AND CHAIN",
        MODES,
        "COMMIT AND CHAIN",
        MODES,
        "COMMIT",
    ),
    "a chain of one that has failed": simple("BEGIN", "nonsense", "ROLLBACK AND CHAIN", MODES, "SELECT 1", "COMMIT"),
    "defaults": simple(
        "SET default_transaction_isolation = serializable", "BEGIN", MODES, "COMMIT", "BEGIN", "SELECT 1", "COMMIT"
    ),
    "sync and flush alone": [
        query("BEGIN"),
        sync(),
        flush() + sync(),
        query("SELECT 1"),
        sync(),
        query("COMMIT"),
        sync(),
    ],
    "described": [alone("BEGIN", what="S"), alone("SELECT 1", what="S"), alone("COMMIT", what="S")],
    "not described": [alone("BEGIN", what=""), alone("SELECT 1", what=""), alone("COMMIT", what="")],
    "named": [
        alone("BEGIN", name="b"),
        alone("COMMIT", name="c"),
        alone("BEGIN", name="b"),
        bind("", "b") + execute() + sync(),
        alone("INSERT INTO t VALUES (8, 'eight')", name="i"),
        bind("", "c") + describe("P") + execute() + sync(),
        bind("", "b") + execute() + sync(),
        bind("", "c") + execute() + sync(),
        close("S", "b") + sync(),
        bind("", "b") + execute() + sync(),
    ],
    "step by step": [
        parse("", "BEGIN") + describe("S", "") + sync(),
        bind() + execute() + sync(),
        parse("", "SELECT 1") + describe("S", "") + sync(),
        bind() + execute() + sync(),
        parse("", "COMMIT") + describe("S", "") + sync(),
        bind() + execute() + sync(),
    ],
    "begin and a statement under one Sync": [
        parse("", "BEGIN") + bind() + execute() + parse("", "SELECT 1") + bind() + describe("P") + execute() + sync(),
        parse("", "COMMIT") + bind() + execute(rows=1) + sync(),
    ],
    "everything at once": [
        query("BEGIN") + query("INSERT INTO t VALUES (9, 'nine')") + query("COMMIT"),
        query("BEGIN") + alone("SELECT 1") + query("COMMIT"),
        alone("BEGIN") + alone("SELECT 1") + alone("SELECT 1/0") + alone("SELECT 2") + alone("COMMIT"),
    ],
    "several batches behind a deferred one": [
        query("BEGIN"),
        alone("SELECT 1") + alone("INSERT INTO t VALUES (10, 'ten')") + alone("SELECT 1/0") + alone("COMMIT"),
        query("BEGIN"),
        query("SELECT 1") + query("INSERT INTO t VALUES (11, 'eleven')") + query("ROLLBACK"),
        query("SELECT a FROM t ORDER BY a"),
    ],
    "an error in the first batch": [
        query("BEGIN"),
        alone("SELECT 1/0")[:-5] + alone("INSERT INTO t VALUES (12, '')"),
        alone("SELECT 1"),
        alone("COMMIT"),
    ],
    "a statement prepared before": [
        alone("SELECT b FROM t WHERE a = 1", name="s"),
        parse("", "SELECT 'unnamed'") + sync(),
        alone("BEGIN", name="b"),
        bind("", "") + execute() + sync(),
        bind("", "s") + execute() + sync(),
        query("COMMIT"),
    ],
    "bind behind begin": [
        parse("", "SELECT 'x'") + sync(),
        query("BEGIN"),
        bind() + execute() + sync(),
        query("ROLLBACK"),
    ],
    "a portal of nobody": [query("BEGIN"), bind("p", "none") + execute("p") + sync(), query("ROLLBACK")],
    "SQL prepared": simple("PREPARE q AS SELECT 3", "BEGIN", "EXECUTE q", "COMMIT", "BEGIN", "EXECUTE none", "COMMIT"),
    "copy": [
        query("BEGIN"),
        query("COPY t FROM STDIN") + copy_data(b"20\ttwenty\n") + copy_done(),
        query("COMMIT"),
        query("BEGIN"),
        query("COPY t TO STDOUT"),
        query("COMMIT"),
    ],
    "a function call first": [query("BEGIN"), function_call(77, (b"7",), formats=(0,)), query("COMMIT")],
    "commit with parameters": [
        query("BEGIN"),
        parse("", "COMMIT", (23,)) + bind() + execute() + sync(),
        bind("", "", [b"1"]) + execute() + sync(),
        query("ROLLBACK"),
    ],
    "commit to a portal": [query("BEGIN"), parse("", "COMMIT") + bind("p") + execute("p") + sync(), query("ROLLBACK")],
    "an advisory lock": simple(
        "SELECT pg_advisory_lock(9)", "BEGIN", "SELECT 1", "COMMIT", "SELECT pg_advisory_unlock(9)"
    ),
}


def compare_scripts(proxy):
    for name, script in SCRIPTS.items():
        stage.sql(SETUP)
        with stage.direct() as direct:
            wanted = play(direct, script)
        stage.sql(SETUP)
        client = stage.client(proxy)
        for number, (want, got) in enumerate(zip(wanted, play(client, script))):
            equal(got, want, f"{name}, step {number}: {script[number][:100]!r}")
        client.terminate()


@suite.check("what is told along with a Sync is sent before it, too, when it is much")
def _():
    with stage.proxy(check_state=False) as proxy:
        client = stage.client(proxy)
        client.send(close("S", "a") * 10000)
        equal(len(client.raw(5 * 10000 - 8192)), 5 * 10000 - 8192)


@suite.check("each script is answered as on a direct connection")
def _():
    with stage.proxy(size=2) as proxy:
        compare_scripts(proxy)


@suite.check("the same without pool.deferred_begin")
def _():
    with stage.proxy(size=2, deferred_begin=False) as proxy:
        compare_scripts(proxy)


@suite.check("the same while others keep the pool moving")
def _():
    stop = threading.Event()

    def move(client):
        while not stop.is_set():
            client.query("BEGIN")
            client.query("SELECT pg_sleep(0.001)")
            client.query("COMMIT")

    with stage.proxy(size=2) as proxy:
        threads = [threading.Thread(target=move, args=(stage.client(proxy),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            compare_scripts(proxy)
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def assignments(proxy):
    """How often a server connection was lent."""
    row = next(row for row in proxy.admin("SHOW STATS") if row["database"] == "app")
    return int(row["total_server_assignment_count"])


@suite.check("a deferred transaction holds no server connection, and an empty one asks none")
def _():
    with stage.proxy(size=1) as proxy:
        clients = [stage.client(proxy) for _ in range(5)]
        for client in clients:
            equal(client.query("BEGIN").status, "T")
        equal(stage.client(proxy).scalar("SELECT 1"), "1", "the one server connection is free")
        asked = assignments(proxy)
        for client in clients:
            equal(client.query("COMMIT").tags, ["COMMIT"])
            client.query("BEGIN")
            client.query("ROLLBACK AND CHAIN")
            equal(client.query("ROLLBACK").tags, ["ROLLBACK"])
        equal(assignments(proxy), asked, "server connections lent")


@suite.check("no connection within wait_timeout: 53300 at the first statement, a failed transaction, the client kept")
def _():
    with stage.proxy(size=1, wait_timeout="300ms") as proxy:
        holder, client, other = stage.client(proxy), stage.client(proxy), stage.client(proxy)
        for end, tag in (("COMMIT", "ROLLBACK"), ("ROLLBACK", "ROLLBACK"), ("PREPARE TRANSACTION 'x'", "ROLLBACK")):
            holder.query("BEGIN")
            holder.query("SELECT 1")
            equal(client.query("BEGIN").status, "T")
            got = client.query("INSERT INTO t VALUES (30, '')")
            equal((got.sqlstate, got.status), ("53300", "E"))
            got = client.query("SELECT 1")
            equal((got.sqlstate, got.status), ("25P02", "E"))
            equal([m.kind for m in client.query("").messages], ["I", "Z"])
            client.send(alone("SELECT 1"))
            equal([m.kind for m in client.ready()], ["E", "Z"])
            client.send(close("S", "none") + sync())
            equal([m.kind for m in client.ready()], ["3", "Z"])
            client.send(function_call(77, (b"7",)))
            equal([m.kind for m in client.ready()], ["E", "Z"])
            equal((client.query(end).tags, client.query("").status), ([tag], "I"))
            # The same in extended query.
            client.send(alone("BEGIN"))
            client.ready()
            client.send(alone("INSERT INTO t VALUES (31, '')"))
            equal([(m.kind, m.body[:1]) for m in client.ready()][-1], ("Z", b"E"))
            client.send(alone("COMMIT"))
            equal([(m.kind, m.body) for m in client.ready()][-2:], [("C", b"ROLLBACK\0"), ("Z", b"I")])
            # AND CHAIN begins a new one; statements behind a ROLLBACK run.
            client.query("BEGIN")
            equal(client.query("SELECT 1").status, "E")
            equal(client.query("ROLLBACK AND CHAIN").status, "T")
            equal(client.query("SELECT 1").status, "E")
            equal(client.query("COMMIT; SELECT 4").sqlstate, "25P02")
            holder.query("COMMIT")
            got = client.query("ROLLBACK; SELECT 5")
            equal((got.tags, got.rows, got.status), (["ROLLBACK", "SELECT 1"], [("5",)], "I"))
            equal(got.notices, [])
        equal(other.rows("SELECT a FROM t WHERE a IN (30, 31)"), [])


def refused(client, text, parses):
    """What a failed transaction says of a text: the error's code, message and place."""
    result = client.send(parse("", text) + sync() if parses else query(text)).ready()
    return [(m.kind, *(m.fields.get(field) for field in "CMP")) if m.kind == "E" else m.kind for m in result]


@suite.check("in a failed transaction that no server knows of, what is no SQL is 42601, as on a direct connection")
def _():
    texts = [
        "SELEC 1", "SELECT 1 FRM t", "SELECT 1; SELEC 2", "UPDATE t SET", "SELECT 'no end", "SELECT $tag$ no end",
        "SELECT \"no end", "/* no end", "SELECT 1; SELECT 2", "SELECT 1", "INSERT INTO none VALUES (1)",
        "SELECT 'na\u00efve' FRM t", "SELECT * FROM t WHERE b = 'x' LIMIT LIMIT", "SELECT 1;;", "SELECT (1",
        "SELECT 1 " + "-- a long comment\n" * 2000 + "FRM t", "SELECT U&'\\00zz'", "SELECT 1 AS",
    ]
    with stage.proxy(size=1, wait_timeout="100ms") as proxy, stage.direct() as direct:
        holder, client = stage.client(proxy), stage.client(proxy)
        holder.query("BEGIN")
        holder.query("SELECT 1")
        for each in (client, direct):
            each.query("BEGIN")
            equal(each.query("SELECT 1/0").status, "E")
        for text in texts:
            for parses in (False, True):
                wanted = refused(direct, text, parses)
                equal(refused(client, text, parses), wanted, f"{'Parse' if parses else 'Query'} of {text[:60]!r}")
        equal(client.query("ROLLBACK").tags, ["ROLLBACK"])


@suite.check("idle_transaction_timeout runs from BEGIN on, client_idle_timeout does not")
def _():
    with stage.proxy(size=1, idle_transaction_timeout="600ms", client_idle_timeout="200ms") as proxy:
        client = stage.client(proxy)
        client.query("BEGIN")
        time.sleep(0.4)
        equal(client.query("COMMIT").tags, ["COMMIT"], "longer than client_idle_timeout")
        last = client.until("E")[-1]
        equal(last.fields["C"], "57P05")
        client = stage.client(proxy)
        client.query("BEGIN")
        begun = time.monotonic()
        last = client.until("E")[-1]
        equal(last.fields["C"], "25P03")
        true(0.5 < time.monotonic() - begun < 3, "after the timeout")


@suite.check("SHOW CLIENTS shows a deferred transaction as active, without a server")
def _():
    with stage.proxy(size=1) as proxy:
        client = stage.client(proxy, application_name="deferred")
        client.query("BEGIN")
        row = next(row for row in proxy.admin("SHOW CLIENTS") if row["application_name"] == "deferred")
        equal((row["state"], row["link"]), ("active", ""))
        client.query("COMMIT")


@suite.check("a drain waits for a deferred transaction, and ends its session behind it")
def _():
    with stage.proxy(size=1) as proxy:
        client, empty = stage.client(proxy), stage.client(proxy)
        client.query("BEGIN")
        empty.query("BEGIN")
        proxy.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        client.query("INSERT INTO t VALUES (40, 'forty')")
        equal(client.query("COMMIT").tags, ["COMMIT"])
        equal(empty.query("COMMIT").tags, ["COMMIT"])
        for each in (client, empty):
            equal(each.until("E")[-1].fields["C"], "57P01")
        equal(eventually(lambda: proxy.process.poll() is not None and [proxy.process.returncode], "the end"), [0])
        proxy.end()
        proxy.start()
        equal(stage.sql("SELECT count(*) FROM t WHERE a = 40"), [("1",)])


@suite.check("notifications come when a deferred transaction has ended, as on a direct connection")
def _():
    with stage.proxy(size=2) as proxy:
        listener, speaker = stage.client(proxy), stage.client(proxy)
        listener.query("LISTEN news")
        listener.query("BEGIN")
        speaker.query("NOTIFY news, 'one'")
        equal(listener.quiet(0.3), [])
        listener.send(query("COMMIT"))
        equal([m.kind for m in listener.ready()], ["C", "A", "Z"])
        speaker.query("NOTIFY news, 'two'")
        equal(listener.until("A")[-1].kind, "A")
        listener.query("BEGIN")
        listener.query("NOTIFY news, 'mine'")
        listener.send(query("COMMIT"))
        kinds = [m.kind for m in listener.ready()]
        equal(kinds, ["C", "A", "Z"])


@suite.check("a cancel request in a deferred transaction does nothing; one that waits for a server fails")
def _():
    with stage.proxy(size=1) as proxy:
        holder, client = stage.client(proxy), stage.client(proxy)
        client.query("BEGIN")
        client.cancel()
        equal(client.query("SELECT 1").status, "T")
        client.query("COMMIT")
        holder.query("BEGIN")
        holder.query("SELECT 1")
        client.query("BEGIN")
        client.send(query("SELECT 2"))
        time.sleep(0.2)
        client.cancel()
        got = client.ready()
        equal([(m.kind, m.body[:1]) for m in got][-1], ("Z", b"E"))
        equal(got[0].fields["C"], "57014")
        equal(client.query("COMMIT").tags, ["ROLLBACK"])
        holder.query("COMMIT")


@suite.check("a client that goes away in a deferred transaction costs nothing")
def _():
    with stage.proxy(size=1) as proxy:
        for end in ("terminate", "reset"):
            client = stage.client(proxy)
            client.query("BEGIN")
            getattr(client, end)()
        equal(stage.client(proxy).scalar("SELECT 1"), "1")


@suite.check("a session's settings hold in a deferred transaction, whatever connection it gets")
def _():
    with stage.proxy(size=2) as proxy:
        client, other = stage.client(proxy), stage.client(proxy)
        client.query("SET work_mem = '3MB'")
        for _ in range(5):
            other.query("SET work_mem = '5MB'")
            client.query("BEGIN")
            equal(client.scalar("SHOW work_mem"), "3MB")
            client.query("SET work_mem = '9MB'")
            client.query("ROLLBACK")
            client.query("BEGIN")
            client.query("SET work_mem = '4MB'")
            client.query("COMMIT")
            client.query("BEGIN")
            equal(client.scalar("SHOW work_mem"), "4MB")
            client.query("SET work_mem = '3MB'")
            client.query("COMMIT")


@suite.check("now() is the first statement's time")
def _():
    with stage.proxy(size=1) as proxy:
        client = stage.client(proxy)
        client.query("BEGIN")
        time.sleep(0.3)
        equal(client.scalar("SELECT statement_timestamp() - now() < interval '100 ms'"), "t")
        client.query("COMMIT")


@suite.check("many cancel requests at random: no statement ever runs outside of its transaction")
def _():
    stage.sql("DROP TABLE IF EXISTS lonely; CREATE TABLE lonely (a int)")
    with stage.proxy(size=1) as proxy:
        client = stage.client(proxy)
        stop = threading.Event()

        def shoot():
            while not stop.is_set():
                client.cancel()

        thread = threading.Thread(target=shoot)
        thread.start()
        try:
            end = time.monotonic() + 4
            while time.monotonic() < end:
                if client.query("BEGIN").status != "T":
                    continue  # it kept its server for a cancel request's sake, and that hit the BEGIN
                client.query("INSERT INTO lonely VALUES (1)")
                while client.query("ROLLBACK").status != "I":
                    pass  # it was canceled itself
        finally:
            stop.set()
            thread.join()
        equal(stage.sql("SELECT count(*) FROM lonely"), [("0",)])


if __name__ == "__main__":
    suite.main()
