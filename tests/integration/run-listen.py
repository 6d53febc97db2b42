#!/usr/bin/env python3
"""LISTEN and NOTIFY in transaction mode: what each client hears, and when, is what it hears directly."""

import os
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Failed, Suite, equal, eventually, in_threads, true  # noqa: E402
from stage import SHORT, Stage  # noqa: E402
from wire import bind, execute, one_shot, parse, query, sync, transcript  # noqa: E402

suite = Suite("listen")
stage = Stage(suite)

# Each step: a client's name, and its query or messages with one ReadyForQuery.
A_LISTENS = ("a", "LISTEN x")
CONVERSATIONS = {
    "own notification": [A_LISTENS, ("a", "NOTIFY x, 'payload'"), ("a", "SELECT 1")],
    "another's notification": [A_LISTENS, ("b", "NOTIFY x, 'payload'"), ("b", "NOTIFY y"), ("a", "SELECT 1")],
    "pg_notify": [A_LISTENS, ("b", "SELECT pg_notify('x', 'y')"), ("a", "SELECT pg_notify('x', repeat('z', 7999))")],
    "order and payloads": [
        A_LISTENS,
        ("b", "BEGIN; NOTIFY x, '1'; NOTIFY x, '2'; NOTIFY x, '1'; NOTIFY x; COMMIT"),
        ("a", "BEGIN; NOTIFY x, '3'; SELECT pg_notify('x', g::text) FROM generate_series(4, 40) g; COMMIT"),
    ],
    "two that listen": [A_LISTENS, ("b", "LISTEN x"), ("c", "NOTIFY x, 'both'"), ("b", "NOTIFY x, 'own'")],
    "same channel twice": [A_LISTENS, A_LISTENS, ("a", "LISTEN x; LISTEN x"), ("b", "NOTIFY x")],
    "in a transaction": [
        ("a", "BEGIN"), A_LISTENS, ("b", "NOTIFY x, 'before'"), ("a", "COMMIT"), ("b", "NOTIFY x, 'after'"),
    ],
    "rolled back": [("a", "BEGIN"), A_LISTENS, ("a", "ROLLBACK"), ("b", "NOTIFY x")],
    "savepoints": [
        ("a", "BEGIN"), ("a", "LISTEN k"), ("a", "SAVEPOINT s"), A_LISTENS, ("a", "ROLLBACK TO s"),
        ("a", "SAVEPOINT t"), ("a", "LISTEN y"), ("a", "RELEASE t"), ("a", "COMMIT"),
        ("b", "NOTIFY x"), ("b", "NOTIFY y"), ("b", "NOTIFY k"),
    ],
    "listens and notifies in one transaction": [
        ("b", "LISTEN x"), ("a", "BEGIN"), A_LISTENS, ("a", "NOTIFY x, 'own'"), ("a", "COMMIT"), ("a", "NOTIFY x"),
    ],
    "listens again and notifies": [A_LISTENS, ("a", "BEGIN; LISTEN x; NOTIFY x, 'once'; COMMIT")],
    "held while in a transaction": [
        A_LISTENS, ("a", "BEGIN"), ("b", "NOTIFY x, 'waits'"), ("a", "SELECT 1"), ("a", "NOTIFY x, 'own'"),
        ("a", "COMMIT"),
    ],
    "failed transaction": [
        ("a", "BEGIN"), ("a", "SELECT 1/0"), A_LISTENS, ("a", "UNLISTEN *"), ("a", "COMMIT"), ("b", "NOTIFY x"),
    ],
    "notification rolled back": [A_LISTENS, ("a", "BEGIN"), ("a", "NOTIFY x"), ("a", "ROLLBACK")],
    "unlisten": [A_LISTENS, ("a", "LISTEN y"), ("a", "UNLISTEN x"), ("b", "NOTIFY x"), ("b", "NOTIFY y")],
    "unlisten all": [A_LISTENS, ("a", "LISTEN y"), ("a", "UNLISTEN *"), ("b", "NOTIFY x"), ("b", "NOTIFY y")],
    "unlisten in a transaction": [
        A_LISTENS, ("a", "LISTEN y"), ("a", "BEGIN"), ("a", "UNLISTEN x"), ("b", "NOTIFY x, 'still'"),
        ("a", "COMMIT"), ("b", "NOTIFY x"), ("b", "NOTIFY y"),
    ],
    "unlisten rolled back": [A_LISTENS, ("a", "BEGIN"), ("a", "UNLISTEN *"), ("a", "ROLLBACK"), ("b", "NOTIFY x")],
    "unlisten rolled back to a savepoint": [
        A_LISTENS, ("a", "LISTEN y"), ("a", "BEGIN"), ("a", "SAVEPOINT s"), ("a", "UNLISTEN x"),
        ("a", "ROLLBACK TO s"), ("a", "UNLISTEN y"), ("a", "COMMIT"), ("b", "NOTIFY x"), ("b", "NOTIFY y"),
    ],
    "unlisten, then listen": [
        A_LISTENS, ("a", "BEGIN"), ("a", "UNLISTEN *"), A_LISTENS, ("a", "COMMIT"), ("b", "NOTIFY x"),
    ],
    "listen, then unlisten": [("a", "BEGIN"), A_LISTENS, ("a", "UNLISTEN x"), ("a", "COMMIT"), ("b", "NOTIFY x")],
    "unlisten among others": [
        A_LISTENS, ("a", "SELECT 1; UNLISTEN *; LISTEN z; SELECT 2"), ("b", "NOTIFY x"), ("b", "NOTIFY z"),
    ],
    "unlisten behind a rollback": [
        A_LISTENS, ("a", "BEGIN"), ("a", "ROLLBACK; SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL"),
        ("b", "NOTIFY x"),
    ],
    "discard all": [A_LISTENS, ("a", "DISCARD ALL"), ("b", "NOTIFY x"), A_LISTENS, ("b", "NOTIFY x")],
    "names": [
        ("a", 'LISTEN "Mixed ""x"""'), ("a", "LISTEN FoldED"), ("a", f"LISTEN {'l' * 70}"), ("a", 'LISTEN "ñandú"'),
        ("b", 'NOTIFY "Mixed ""x"""'), ("b", "NOTIFY folded, '→'"), ("b", f"NOTIFY {'l' * 63}"), ("b", "NOTIFY ñandú"),
        ("a", 'UNLISTEN "Mixed ""x"""'), ("a", "UNLISTEN FOLDED"), ("a", f"UNLISTEN {'l' * 80}"),
        ("b", 'NOTIFY "Mixed ""x"""'), ("b", "NOTIFY folded"), ("b", f"NOTIFY {'l' * 63}"), ("b", "NOTIFY ñandú"),
    ],
    "extended query": [
        ("a", one_shot("LISTEN x") + sync()), ("b", one_shot("SELECT pg_notify('x', $1)", "p") + sync()),
        ("a", one_shot("NOTIFY x, 'own'") + sync()), ("a", one_shot("UNLISTEN *") + sync()), ("b", "NOTIFY x"),
    ],
    "extended query, prepared": [
        ("a", parse("l", "LISTEN x") + parse("u", "UNLISTEN x") + sync()),
        ("a", bind("", "l") + execute() + sync()), ("b", "NOTIFY x, '1'"),
        ("a", bind("", "u") + execute() + sync()), ("b", "NOTIFY x, '2'"),
        ("a", bind("", "l") + execute() + bind("", "u") + execute() + bind("", "l") + execute() + sync()),
        ("b", "NOTIFY x, '3'"),
    ],
    "in a function": [
        ("a", "CREATE OR REPLACE FUNCTION hear() RETURNS void LANGUAGE plpgsql AS 'BEGIN LISTEN x; END'"),
        ("a", "SELECT hear()"), ("b", "NOTIFY x"), ("a", "DROP FUNCTION hear()"),
    ],
    "from a trigger": [
        ("b", "CREATE TABLE told (v int)"),
        ("b", "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NOTIFY x; RETURN NEW; END'"),
        ("b", "CREATE TRIGGER tell AFTER INSERT ON told FOR EACH ROW EXECUTE FUNCTION tell()"),
        A_LISTENS, ("a", "INSERT INTO told VALUES (1)"), ("b", "INSERT INTO told VALUES (2)"),
        ("b", "DROP TABLE told; DROP FUNCTION tell"),
    ],
    "bad statements": [A_LISTENS, ("a", "LISTEN"), ("a", "UNLISTEN"), ("a", "NOTIFY x, y"), ("b", "NOTIFY x")],
}


def play(connect, steps):
    """What each client hears at each step, with names for pids."""
    clients = {name: connect() for name in sorted({name for name, _ in steps})}
    pids = {client.pid: name for name, client in clients.items()}
    heard = []
    for who, what in steps:
        got = {who: clients[who].send(query(what) if isinstance(what, str) else what).ready()}
        for name, client in clients.items():
            more = client.quiet(0.06)
            got[name] = got.get(name, []) + more
        for name, messages in got.items():
            heard.append((who, what, name, [named(message, pids) for message in messages]))
    for client in clients.values():
        client.close()
    return heard


def named(message, pids):
    if message.kind != "A":
        return transcript([message])[0]
    pid, rest = struct.unpack_from("!I", message.body)[0], message.body[4:]
    return ("A", pids.get(pid, "unknown pid"), rest)


_shared = []


def shared_proxy():
    if not _shared:
        _shared.append(stage.proxy(size=2))
        _shared.append(_shared[0].__enter__())
    return _shared[1]


suite.at_end(lambda: _shared and _shared[0].__exit__(None, None, None))


def each(name, steps):
    @suite.check(f"as directly: {name}")
    def _():
        wanted = play(stage.direct, steps)
        got = play(lambda: stage.client(shared_proxy()), steps)
        for one, two in zip(wanted, got):
            if one != two:
                raise Failed(f"at {one[:3]}: directly {one[3]}, through Howdah {two[3]}")
        equal(len(got), len(wanted), "steps")


for conversation, its_steps in CONVERSATIONS.items():
    each(conversation, its_steps)


def notifications(client, count, limit_s=10):
    """The payloads of the next so many notifications."""
    got, end = [], time.monotonic() + limit_s
    while len(got) < count and time.monotonic() < end:
        got += [m.body[4:].split(b"\0")[1].decode() for m in client.quiet(0.05) if m.kind == "A"]
    return got


@suite.check("where the catalog is known, what a trigger sends has the pid of its own client, too")
def _():
    stage.sql("CREATE TABLE told (v text)")
    stage.sql("CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS"
              " 'BEGIN PERFORM pg_notify(''by_trigger'', NEW.v); RETURN NEW; END'")
    stage.sql("CREATE TRIGGER tell AFTER INSERT ON told FOR EACH ROW EXECUTE FUNCTION tell()")
    with stage.proxy(size=1, top={"database": {"service": {"user": "postgres"}}}) as proxy:
        listener, tellers = stage.client(proxy), [stage.client(proxy) for _ in range(4)]
        listener.rows("LISTEN by_trigger")
        tellers[0].rows("SELECT 1")
        time.sleep(0.5)  # the facts are loaded at the first statement
        rounds = 10 if SHORT else 60

        def work(number):
            for turn in range(rounds):
                tellers[number].rows(f"INSERT INTO told VALUES ('{number} {turn}')")

        in_threads(len(tellers), work)
        heard = [m for m in listener.quiet(1) if m.kind == "A"]
        equal(len(heard), rounds * len(tellers), "notifications")
        for message in heard:
            pid, payload = struct.unpack_from("!I", message.body)[0], message.body[4:].split(b"\0")[1].decode()
            equal(pid, tellers[int(payload.split()[0])].pid, payload)
    stage.sql("DROP TABLE told; DROP FUNCTION tell")


@suite.check("40 clients listen on a pool of 2, and hold no link")
def _():
    for workers in (1, 2):
        before = len(stage.backends())
        with stage.proxy(size=2, top={"workers": workers}) as proxy:
            clients = [stage.client(proxy) for _ in range(40)]
            for number, client in enumerate(clients):
                client.rows(f"LISTEN everybody; LISTEN own{number}")
            for turn in range(3):
                clients[turn].rows(f"NOTIFY everybody, '{turn}'; NOTIFY own{turn}, 'mine'")
            for number, client in enumerate(clients):
                if number > 2:  # the others have heard some with their own answers
                    equal(notifications(client, 3), ["0", "1", "2"], f"client {number}")
            # one listening connection a worker, and the pool's two
            count = len(stage.backends()) - before
            true(count <= 2 + workers, f"{count} server connections")


@suite.check("nothing is missed after the answer to a LISTEN, while others notify all the time")
def _():
    with stage.proxy(size=2, top={"workers": 2}) as proxy:
        over, done = threading.Event(), []
        rounds = 10 if SHORT else 40

        def work(number):
            client = stage.client(proxy)
            if number == 0:
                count = 0
                while not over.is_set():
                    client.rows(f"NOTIFY ticks, '{count}'")
                    count += 1
                return
            try:
                for _ in range(rounds):
                    client.rows("LISTEN ticks")
                    seen = [int(p) for p in notifications(client, 3)]
                    equal(seen, list(range(seen[0], seen[0] + len(seen))), "in order, without a gap")
                    rest = client.send(query("UNLISTEN *")).ready()
                    more = [int(m.body[4:].split(b"\0")[1]) for m in rest if m.kind == "A"]
                    equal(more, list(range(seen[-1] + 1, seen[-1] + 1 + len(more))), "and up to UNLISTEN")
                    equal([m.kind for m in client.quiet(0.02)], [], "behind UNLISTEN")
            finally:
                done.append(number)
                if len(done) == 5:
                    over.set()

        in_threads(6, work)


@suite.check("own notifications come before the commit's ReadyForQuery, each time")
def _():
    with stage.proxy(size=2, top={"workers": 2}) as proxy:

        def work(number):
            client = stage.client(proxy)
            client.rows(f"LISTEN c{number}")
            for turn in range(50 if SHORT else 300):
                kinds = [m.kind for m in client.send(query(f"NOTIFY c{number}, '{turn}'")).ready()]
                equal(kinds, ["C", "A", "Z"], f"client {number}, turn {turn}")

        in_threads(6, work)


@suite.check("the listening connection is lost: its clients get 57P01 and end, others live")
def _():
    with stage.proxy(size=2) as proxy:
        one, two, other = (stage.client(proxy) for _ in range(3))
        one.rows("LISTEN x")
        two.rows("LISTEN y")
        other.rows("SELECT 1")
        hubs = stage.backends("query LIKE 'LISTEN%'")
        equal(len(hubs), 1, "listening connections")
        stage.sql(f"SELECT pg_terminate_backend({hubs[0]})")
        for client in (one, two):
            said = client.rest()
            equal([m.fields["C"] for m in said if m.kind == "E"], ["57P01"], "what is said")
        equal(other.scalar("SELECT 1"), "1")
        another = stage.client(proxy)
        another.rows("LISTEN x")
        other.rows("NOTIFY x, 'again'")
        equal(notifications(another, 1), ["again"])


@suite.check("no place for a listening connection: the session keeps its link")
def _():
    with stage.proxy(size=1, top={"database": {"max_server_connections": 1}}) as proxy:
        client = stage.client(proxy)
        client.rows("LISTEN x")
        stage.sql("SELECT 1")
        with stage.direct() as direct:
            direct.rows("NOTIFY x, 'p'")
        equal(notifications(client, 1), ["p"])
        client.rows("UNLISTEN x")
        other = stage.client(proxy)
        equal(other.scalar("SELECT 1"), "1", "the link is free again")


@suite.check("more channels than are shared: the session keeps its link, and hears all of them")
def _():
    with stage.proxy(size=1, max_pinned=2) as proxy:
        client = stage.client(proxy)
        client.rows("LISTEN first")
        client.rows(";".join(f"LISTEN c{number}" for number in range(1024)))
        equal([row["reason"] for row in proxy.admin("SHOW PINS")], ["LISTEN"])
        with stage.direct() as direct:
            direct.rows("NOTIFY first, '1'")
            direct.rows("NOTIFY c1023, '2'")
        equal(sorted(notifications(client, 2)), ["1", "2"])
        client.rows("UNLISTEN *")
        equal(proxy.admin("SHOW PINS"), [])
        with stage.direct() as direct:
            direct.rows("NOTIFY first; NOTIFY c0")
        equal(client.quiet(0.3), [])


@suite.check("thousands of channels and UNLISTENs hold up nobody")
def _():
    with stage.proxy(size=3, check_state=False) as proxy:
        client, other = stage.client(proxy), stage.client(proxy)
        client.sock.settimeout(60)
        client.rows("BEGIN")
        for part in range(4):
            client.rows(";".join(f"LISTEN c{number}" for number in range(part * 4000, part * 4000 + 4000)))
        client.rows("COMMIT")
        other.rows("SELECT 1")
        client.send(query(";".join(f"UNLISTEN c{number}" for number in range(3500))))
        worst, end = 0, time.monotonic() + 1.5
        while (begun := time.monotonic()) < end:
            other.rows("SELECT 1")
            worst = max(worst, time.monotonic() - begun)
        client.ready()
        true(worst < 1.5, f"another client waited {worst:.1f} s")


@suite.check("an UNLISTEN is not lost where its Execute is cut")
def _():
    with stage.proxy(size=1) as proxy:
        client = stage.client(proxy)
        for cut in (1, 5, 8, 9, 10):
            client.rows("LISTEN x")
            front = parse("", "UNLISTEN x") + bind()
            client.send_cut(front + execute() + sync(), len(front) + cut, 0.1)
            client.ready()
            stage.sql("NOTIFY x, 'late'")
            equal(client.quiet(0.2), [], f"cut at {cut}")


@suite.check("a client that does not read is ended; who listens beside it hears on")
def _():
    with stage.proxy(size=3) as proxy:
        slow, other = stage.client(proxy), stage.client(proxy)
        for channels in ("x", "x, y"):
            slow = stage.client(proxy)
            for channel in channels.split(", "):
                slow.rows(f"LISTEN {channel}")
            slow.rows("BEGIN")
            slow.rows("SELECT 1")
            for part in range(3):
                stage.sql("SELECT count(pg_notify('x', n::text || repeat('x', 7900)))"
                          f" FROM generate_series({part * 1000}, {part * 1000 + 999}) n")
            equal([m.fields["C"] for m in slow.rest() if m.kind == "E"], ["54000"])
        other.rows("LISTEN x")
        stage.sql("NOTIFY x, 'on'")
        equal(notifications(other, 1), ["on"])


@suite.check("a session of another client_encoding hears in that encoding")
def _():
    with stage.proxy(size=2) as proxy:
        latin = stage.client(proxy, client_encoding="LATIN1")
        latin.rows("LISTEN x")
        with stage.direct() as direct:
            direct.rows("NOTIFY x, 'ä'")
        message = latin.message()
        equal(message.body[4:], b"x\0\xe4\0")


@suite.check("clients that go leave nothing behind: the hub stops listening")
def _():
    with stage.proxy(size=2) as proxy:
        clients = [stage.client(proxy) for _ in range(10)]
        for number, client in enumerate(clients):
            client.rows(f"LISTEN c{number}")
        for client in clients[1:]:
            client.close()
        eventually(lambda: stage.backends("query LIKE '%UNLISTEN%'"), "the server is told")
        clients[0].rows("NOTIFY c0, 'still'")
        clients[0].rows("SELECT 1")


sys.exit(suite.main())
