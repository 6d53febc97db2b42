#!/usr/bin/env python3
"""The causes by which clients break behind a pooler in transaction mode, each a named test.

Every script runs on a direct connection and through Howdah, where other clients take all links of
the pool in turn between any two of its steps and leave behind settings, roles, statements and
temporary tables of their own. What the client sees must be the same.
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Failed, Suite, equal, eventually, true  # noqa: E402
from stage import Stage  # noqa: E402
from wire import Result, ServerError, bind, describe, execute, one_shot, parse, query  # noqa: E402
from wire import sync, terminate, transcript  # noqa: E402

suite = Suite("causes")
stage = Stage(suite)
POOL_SIZE = 3
INTRUDERS = 4

# What the others do on their links between the client's steps, and leave there for themselves.
INTRUSIONS = (
    ("SET search_path = pg_catalog", "SET work_mem = '77MB'", "SET app.tenant = 'theirs'"),
    ("SET ROLE stranger", "SET default_transaction_read_only = on", "SET DateStyle = 'German'"),
    ("PREPARE s AS SELECT 'theirs'", "SET TimeZone = 'Asia/Tokyo'", "SET lock_timeout = '1h'"),
    ("SET client_encoding = 'LATIN1'", "SET application_name = 'theirs'", "SET statement_timeout = '2h'"),
)


class Intruders:
    """Clients that keep the pool moving."""

    def __init__(self, proxy):
        self.clients = [stage.client(proxy) for _ in range(INTRUDERS)]
        for client, statements in zip(self.clients, INTRUSIONS):
            for statement in statements:
                client.rows(statement)

    def move(self):
        """Each takes a link at once with the others, so that the client's next is another one."""
        for client in self.clients:
            client.send(query("SELECT pg_sleep(0.002)"))
        for client in self.clients:
            client.ready()


def play(client, steps, between):
    seen = []
    for step in steps:
        between()
        data = query(step) if isinstance(step, str) else step
        client.send(data)
        seen.append(transcript(client.ready()))
    return seen


def same(steps, **params):
    """The script's transcripts, direct and through the proxy."""
    with stage.direct(**params) as client:
        wanted = play(client, steps, lambda: None)
    with stage.proxy(size=POOL_SIZE) as proxy:
        intruders = Intruders(proxy)
        client = stage.client(proxy, **params)
        got = play(client, steps, intruders.move)
    for number, (one, other) in enumerate(zip(got, wanted)):
        equal(one, other, f"step {number}: {steps[number]!r:.80}")


def prepare():
    stage.sql("DROP TABLE IF EXISTS rows; CREATE TABLE rows (id serial, owner text, v text)")
    stage.sql("DO $$ BEGIN IF to_regrole('stranger') IS NULL THEN CREATE ROLE stranger; END IF; END $$")
    stage.sql("GRANT ALL ON rows, rows_id_seq TO public")


@suite.check("cause 1: SET is neither lost nor leaked, with row security by a setting among it")
def _():
    prepare()
    stage.sql("INSERT INTO rows (owner, v) VALUES ('mine', 'a'), ('theirs', 'b')")
    stage.sql("ALTER TABLE rows ENABLE ROW LEVEL SECURITY")
    stage.sql("CREATE POLICY p ON rows USING (owner = current_setting('app.tenant', true))")
    same(["SHOW work_mem", "SET work_mem = '9MB'", "SHOW work_mem", "BEGIN", "SET work_mem = '10MB'",
          "SAVEPOINT a", "SET work_mem = '11MB'", "ROLLBACK TO a", "SHOW work_mem", "ROLLBACK", "SHOW work_mem",
          "SET app.tenant = 'mine'", "SET ROLE stranger", "SELECT v FROM rows", "RESET ROLE", "SELECT current_user",
          "BEGIN", "SET LOCAL app.tenant = 'nobody'", "SET LOCAL ROLE stranger", "SELECT v FROM rows", "COMMIT",
          "SHOW app.tenant", "SELECT set_config('app.tenant', 'theirs', false)", "SHOW app.tenant",
          "SET default_transaction_read_only = on", "INSERT INTO rows (v) VALUES ('x')", "SHOW lock_timeout"])
    same(["SELECT current_setting('app.tenant', true)", "SHOW default_transaction_read_only", "SELECT current_user"])


@suite.check("cause 1: a custom setting goes with who had it, however it leaves: to the next it is NULL, not ''")
def _():
    for mode in ("transaction", "session"):
        with stage.proxy(size=1, mode=mode) as proxy:
            for leave in (
                query("SELECT 1; SET app.tenant = 'mine'"),
                query("SET app.tenant = 'mine'"),
                query("BEGIN; SET app.tenant = 'mine'"),
                one_shot("SELECT set_config($1, 'mine', false)", "app.tenant") + sync(),
            ):
                if mode == "session" and leave[:1] != b"Q":
                    continue
                client = stage.client(proxy)
                client.send(leave, terminate())
                client.rest()
                client.close()
                with stage.client(proxy) as other:
                    equal(other.scalar("SELECT current_setting('app.tenant', true)"), None, f"{mode} {leave!r}")
            try:
                stage.client(proxy, **{"app.tenant": "mine", "work_mem": "3 parsecs"}).terminate()
                raise Failed("a startup with a bad value is refused")
            except ServerError:
                pass
            with stage.client(proxy) as other:
                equal(other.scalar("SELECT current_setting('app.tenant', true)"), None, f"{mode}, a refused startup")


@suite.check("cause 2: startup parameters and options are honoured, whatever they are")
def _():
    same(["SHOW search_path", "SHOW statement_timeout", "SHOW idle_in_transaction_session_timeout",
          "SHOW client_min_messages", "SHOW lock_timeout", "SHOW app.x", "SHOW work_mem", "SHOW DateStyle"],
         search_path="pg_temp, public", statement_timeout="61s", lock_timeout="62s",
         options="-c idle_in_transaction_session_timeout=63s -cclient_min_messages=error --app.x=1\\ 2 -c work_mem=5MB",
         DateStyle="SQL, DMY")


@suite.check("cause 3: RESET goes back to the startup's values, in and out of transactions")
def _():
    same(["SET work_mem = '6MB'", "RESET work_mem", "SHOW work_mem", "SET TimeZone = 'UTC'", "RESET TimeZone",
          "SHOW TimeZone", "SET work_mem TO '7MB'", "RESET ALL", "SHOW work_mem", "SHOW TimeZone", "BEGIN",
          "SET work_mem = '8MB'", "RESET work_mem", "SHOW work_mem", "SET TimeZone TO DEFAULT", "SHOW TimeZone",
          "ROLLBACK", "SHOW work_mem", "SET work_mem = '8MB'", "DISCARD ALL", "SHOW work_mem", "SHOW TimeZone"],
         TimeZone="Europe/Berlin", options="-c work_mem=5MB")


@suite.check("cause 3: in session mode, and by the extended protocol, too")
def _():
    twice = bind("", "r") + execute() + sync()
    steps = ["SET work_mem = '6MB'", one_shot("RESET work_mem") + sync(), "SHOW work_mem", "SET TimeZone = 'UTC'",
             one_shot("SET TimeZone TO DEFAULT") + sync(), "SHOW TimeZone", "SET work_mem = '7MB'",
             one_shot("RESET ALL") + sync(), "SHOW work_mem", "SHOW TimeZone", parse("r", "RESET work_mem") + sync(),
             "SET work_mem = '8MB'", "SHOW work_mem", twice, "SHOW work_mem", "SET work_mem = '9MB'", twice,
             "SHOW work_mem", parse("", "RESET work_mem") + sync(), "SET work_mem = '9MB'",
             one_shot("SELECT 1") + sync(), "SHOW work_mem", "BEGIN", one_shot("RESET work_mem") + sync(),
             "SHOW work_mem", "ROLLBACK", "SHOW work_mem", one_shot("DISCARD ALL") + sync(), "SHOW work_mem"]
    params = {"TimeZone": "Europe/Berlin", "options": "-c work_mem=5MB"}
    with stage.direct(**params) as client:
        wanted = play(client, steps, lambda: None)
    for mode in ("session", "transaction"):
        with stage.proxy(mode=mode, size=POOL_SIZE) as proxy:
            got = play(stage.client(proxy, **params), steps, lambda: None)
        for step, one, other in zip(steps, got, wanted):
            equal(one, other, f"{mode}: {step!r:.60}")


@suite.check("cause 4: temporary tables are there, and nobody else's")
def _():
    same(["CREATE TEMP TABLE t (a int)", "INSERT INTO t VALUES (1)", "SELECT a + 0 FROM t", "BEGIN",
          "CREATE TEMP TABLE gone (a int) ON COMMIT DROP", "SELECT count(*) FROM gone", "COMMIT",
          "SELECT * FROM gone", "DROP TABLE t", "SELECT * FROM t", "SELECT 1 AS a INTO TEMP u", "SELECT a + 0 FROM u"])


@suite.check("cause 5: PREPARE, EXECUTE and DEALLOCATE, and the protocol's statements, are one store")
def _():
    same(["PREPARE s (int) AS SELECT $1 + 1", "EXECUTE s(1)", bind("", "s", [b"41"]) + execute() + sync(),
          parse("p", "SELECT $1::text || 'x'") + sync(), "EXECUTE p('a')", "DEALLOCATE p",
          bind("", "p", [b"a"]) + execute() + sync(), "PREPARE s AS SELECT 2", "DEALLOCATE s", "EXECUTE s(1)",
          "PREPARE s AS SELECT 3", "EXECUTE s", "DEALLOCATE ALL", "EXECUTE s", "DEALLOCATE s"])


@suite.check("cause 6: who prepares anew after DDL gets what the text means now, whoever changed it")
def _():
    make = "DROP TABLE IF EXISTS changed; CREATE TABLE changed (a int, b text); INSERT INTO changed VALUES (1, 'one')"
    text = "SELECT * FROM changed"
    anew = [parse("s", text) + describe("S", "s") + sync(), bind("", "s") + execute() + sync(),
            parse("q", text) + bind("", "q") + describe("P", "") + execute() + sync(), "BEGIN",
            parse("r", text) + bind("", "r") + describe("P", "") + execute() + sync(), "COMMIT"]
    for ddl in ("ALTER TABLE changed ADD c date", "ALTER TABLE changed ALTER a TYPE bigint", make):
        for seen in (True, False):
            stage.sql(make)
            with stage.proxy(size=POOL_SIZE) as proxy:
                intruders = Intruders(proxy)
                client = stage.client(proxy)
                known = parse("s2", text) + bind("", "s2") + execute() + sync()
                for other in intruders.clients:
                    other.send(known + query("SELECT pg_sleep(0.002)"))
                for other in intruders.clients:
                    other.ready(2)
                if seen:
                    client.rows(ddl)
                else:
                    stage.sql(ddl)
                got = play(client, anew, intruders.move)
            with stage.direct() as client:
                wanted = play(client, anew, lambda: None)
            for number, (one, other) in enumerate(zip(got, wanted)):
                equal(one, other, f"{ddl}, step {number}")


@suite.check("cause 7: the unnamed statement lives across Sync")
def _():
    same([parse("", "SELECT $1::int * 2") + sync(), bind("", "", [b"21"]) + execute() + sync(),
          describe("S", "") + sync(), "SELECT 1", bind("", "", [b"21"]) + execute() + sync()])


@suite.check("cause 8 and 9: NOTIFY reaches its listeners, with the pid that the notifier was told")
def _():
    with stage.proxy(size=POOL_SIZE) as proxy:
        intruders = Intruders(proxy)
        listener, notifier = stage.client(proxy), stage.client(proxy)
        listener.rows("LISTEN news")
        intruders.move()
        notifier.rows("NOTIFY news, 'hello'")
        message = listener.until("A")[-1]
        equal(message.body[4:], b"news\0hello\0", "the notification")
        equal(int.from_bytes(message.body[:4], "big"), notifier.pid, "its pid")


@suite.check("cause 9 and 10: who is terminated by the pid it was told hears 57P01")
def _():
    with stage.proxy(size=POOL_SIZE) as proxy:
        victim, killer = stage.client(proxy), stage.client(proxy)
        victim.send(query("SELECT pg_sleep(30)"))
        eventually(lambda: stage.backends("query LIKE '%pg_sleep(30)%'"), "the query runs")
        equal(killer.scalar(f"SELECT pg_terminate_backend({victim.pid})"), "t", "pg_terminate_backend")
        error = victim.until("E")[-1]
        equal((error.fields["S"], error.fields["C"]), ("FATAL", "57P01"), "what the victim hears")


@suite.check("cause 11: reported parameters come back in the server's spelling")
def _():
    same(["SHOW client_encoding", "SET client_encoding = 'latin1'", "SHOW client_encoding", "SET DateStyle = iso",
          "SHOW DateStyle", "SHOW TimeZone"], client_encoding="utf8", TimeZone="utc")


@suite.check("cause 12: advisory locks of the session are held, and given back")
def _():
    with stage.proxy(size=POOL_SIZE) as proxy:
        intruders = Intruders(proxy)
        one, other = stage.client(proxy), stage.client(proxy)
        one.rows("SELECT pg_advisory_lock(77)")
        for _round in range(3):
            intruders.move()
            equal(other.scalar("SELECT pg_try_advisory_lock(77)"), "f", "a stranger's try")
        equal(one.scalar("SELECT pg_advisory_unlock(77)"), "t", "the owner's unlock")
        intruders.move()
        equal(other.scalar("SELECT pg_try_advisory_lock(77)"), "t", "after it")


@suite.check("cause 13: cursors WITH HOLD, session characteristics, constraints, DISCARD")
def _():
    same(["DECLARE c CURSOR WITH HOLD FOR SELECT * FROM generate_series(1, 3)", "FETCH c", "FETCH c", "CLOSE c",
          "FETCH c", "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE READ ONLY",
          "SHOW transaction_isolation", "SHOW transaction_read_only", "SET CONSTRAINTS ALL DEFERRED", "DISCARD PLANS",
          "DISCARD TEMP", "DISCARD SEQUENCES", "DISCARD ALL", "SHOW transaction_isolation"])


@suite.check("cause 13: lastval is the client's own, or PostgreSQL's error, never another client's")
def _():
    prepare()
    with stage.proxy(size=2) as proxy:
        clients = [stage.client(proxy) for _ in range(4)]
        asked = 0
        for number in range(40):
            client = clients[number % 4]
            own = client.scalar("INSERT INTO rows (v) VALUES ('x') RETURNING id")
            for other in clients:
                if other is not client and number < 4:
                    other.rows("INSERT INTO rows (v) VALUES ('y')")
            answer = client.query("SELECT lastval()")
            if answer.sqlstate is None:
                equal(answer.rows[0][0], own, f"lastval of client {number % 4}")
                asked += 1
            else:
                equal(answer.sqlstate, "55000", "the error")
                true(number < 8, "once somebody has asked, it is kept")
        true(asked >= 30, f"answered {asked} times of 40")


def asks_lastval(way):
    """What a stranger's way of asking answers behind another's nextval, on the same connection."""
    prepare()
    stage.sql("DROP TABLE IF EXISTS plain; CREATE TABLE plain (a int)")
    stage.sql("CREATE OR REPLACE FUNCTION asks() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN lastval(); END'")
    for known in (False, True):
        with stage.proxy(size=1, max_pinned=4) as proxy:
            owner, stranger = stage.client(proxy), stage.client(proxy)
            if known:  # by now the pool keeps such values
                equal(stranger.query("SELECT lastval()").sqlstate, "55000", "before")
                stranger.rows("DISCARD ALL")
            owner.rows("INSERT INTO rows (v) VALUES ('theirs')")
            owner.rows("SELECT 1")
            equal(way(stranger), "55000", f"the stranger's error, known {known}")
            owner.rows("SELECT 1")


def then_simple(*steps):
    def way(client):
        for data in steps:
            client.send(query(data) if isinstance(data, str) else data)
            client.ready(2 if data[:1] == b"Q" else 1)
        return client.query("SELECT lastval()").sqlstate

    return way


def parsed_before(client):
    client.send(parse("", "SELECT lastval()") + sync())
    client.ready()
    client.send(bind() + execute() + sync())
    return [message.fields["C"] for message in client.ready() if message.kind == "E"][0]


def behind_a_failed_batch(asks):
    """Both batches come in one packet: what is discarded for the first is skipped with it."""
    failed = bind("", "nobodys") + one_shot("SELECT pg_notify('none', '')") + sync()

    def way(client):
        client.send(failed, asks)
        client.ready()
        return Result(client.ready()).sqlstate

    return way


WAYS = {
    "behind a failed batch": behind_a_failed_batch(one_shot("SELECT lastval()") + sync()),
    "a query behind a failed batch": behind_a_failed_batch(query("SELECT lastval()")),
    "simple": then_simple(),
    "extended": lambda client: client.prepared("SELECT lastval()").sqlstate,
    "named": lambda client: client.prepared("SELECT lastval()", name="s").sqlstate,
    "currval": lambda client: client.prepared("SELECT currval('rows_id_seq')").sqlstate,
    "parsed before": parsed_before,
    "EXECUTE": lambda client: client.query("PREPARE q AS SELECT lastval(); EXECUTE q").sqlstate,
    "in a function": lambda client: client.prepared("SELECT asks()").sqlstate,
    "behind a write": then_simple("INSERT INTO plain VALUES (1)"),
    "behind a prepared write": then_simple(one_shot("INSERT INTO plain VALUES ($1::int)", "1") + sync()),
    "behind a failed write": then_simple("INSERT INTO plain VALUES (1 / 0)"),
    "behind DDL": then_simple("CREATE TEMP TABLE own (a int)"),
    "in a transaction": then_simple("BEGIN"),
    "behind a failed transaction": then_simple("BEGIN", "SELECT 1 / 0", "SELECT lastval()", "ROLLBACK"),
    "behind a skipped pipeline": then_simple(parse("", "SELECT nope") + one_shot("SELECT lastval()") + sync()),
    "behind a pipeline": then_simple(one_shot("INSERT INTO plain VALUES (1)") + one_shot("SELECT lastval()") + sync()),
    "behind a skipped write": then_simple(parse("", "x") + one_shot("INSERT INTO rows (v) VALUES ('no')") + sync()),
    "two queries sent at once": then_simple(query("BEGIN") + query("SELECT lastval()"), "ROLLBACK"),
}

for _name, _way in WAYS.items():
    suite.check(f"cause 13: lastval is nobody else's, {_name}")(lambda way=_way: asks_lastval(way))


def first_to_ask(proxy, advance):
    """In a pool where nobody has asked yet: what a transaction of its own has advanced, others amid."""
    others, client = [stage.client(proxy) for _ in range(2)], stage.client(proxy)
    for other in others:
        other.rows("INSERT INTO rows VALUES (DEFAULT)")
    client.rows("BEGIN")
    advance(client)
    own = stage.sql("SELECT last_value FROM rows_id_seq")[0][0]
    for other in others:
        other.rows("INSERT INTO rows VALUES (DEFAULT)")
    for ask in ("lastval()", "currval('rows_id_seq')"):
        equal((client.query(f"SELECT {ask}").sqlstate, client.query(f"SELECT {ask}").rows), (None, [(own,)]), ask)
    equal(client.query("COMMIT").status, "I")


FIRST_ADVANCES = {
    "INSERT": lambda client: client.rows("INSERT INTO rows VALUES (DEFAULT)"),
    "a prepared INSERT": lambda client: client.prepared("INSERT INTO rows VALUES (DEFAULT)"),
    "a read, then INSERT": lambda client: [client.rows(q) for q in ("SELECT 1", "INSERT INTO rows VALUES (DEFAULT)")],
    "an UPDATE, then INSERT": lambda client: [
        client.rows(q) for q in ("UPDATE plain SET a = 1", "INSERT INTO rows VALUES (DEFAULT)")
    ],
    "nextval": lambda client: client.rows("SELECT nextval('rows_id_seq')"),
    "two queries sent at once": lambda client: [
        client.send(query("SELECT 1") + query("INSERT INTO rows VALUES (DEFAULT)")),
        client.ready(2),
    ],
}

for _name, _way in FIRST_ADVANCES.items():

    def first_check(way=_way):
        @suite.check(f"cause 13: the first to ask for lastval, in its own transaction: {_name}")
        def _():
            prepare()
            stage.sql("CREATE TABLE IF NOT EXISTS plain (a int)")
            for begin in (True, False):
                with stage.proxy(size=2, deferred_begin=begin) as proxy:
                    first_to_ask(proxy, way)

    first_check()


@suite.check("cause 13: a client's own lastval, by the extended protocol")
def _():
    prepare()
    with stage.proxy(size=2) as proxy:
        clients = [stage.client(proxy) for _ in range(4)]
        for client in clients:
            client.prepared("SELECT lastval()")
        for _turn in range(10):
            for client in clients:
                own = client.prepared("INSERT INTO rows (v) VALUES ($1) RETURNING id", "x").rows
                equal(client.prepared("SELECT lastval()").rows, own, "lastval")


def victim_config(**pool):
    """Database "victim" beside "app", two workers, connections kept."""
    primary = f"postgres://127.0.0.1:{stage.cluster.port}/victim"
    return {"workers": 2, "databases": {"victim": {"primary": primary, "pool": {"size": 3, "min_idle": 2, **pool}}}}


def vacated(run, **pool):
    """CREATE .. TEMPLATE, RENAME and DROP by run(client, sql), while the pool of the database is full and moves."""
    stage.sql("DROP DATABASE IF EXISTS victim WITH (FORCE)")
    stage.sql("DROP DATABASE IF EXISTS moved")
    stage.sql("DROP DATABASE IF EXISTS copied")
    stage.sql("CREATE DATABASE victim")
    with stage.proxy(size=POOL_SIZE, top=victim_config(**pool)) as proxy:
        client = stage.client(proxy)
        users = [stage.client(proxy, database="victim") for _ in range(6)]
        for sql in ("CREATE DATABASE copied TEMPLATE victim", "ALTER DATABASE victim RENAME TO moved",
                    "ALTER DATABASE moved RENAME TO victim", "DROP DATABASE victim"):
            here = users if "moved RENAME" not in sql else []
            for user in here:
                user.send(query("SELECT pg_sleep(0.05)"))
            for user in here:
                user.ready()
            connected = stage.sql("SELECT count(*) FROM pg_stat_activity WHERE datname = 'victim'")
            true(int(connected[0][0]) > 0 or not here, "connections are in the way")
            run(client, sql)
        equal(stage.sql("SELECT datname FROM pg_database WHERE datname IN ('victim', 'copied')"), [("copied",)], "left")


@suite.check("cause 14: DROP, RENAME and TEMPLATE of a database are not held up by the pool's own connections")
def _():
    vacated(lambda client, sql: client.rows(sql))


@suite.check("cause 14: nor by the extended protocol")
def _():
    def extended(client, sql):
        result = client.prepared(sql)
        equal(result.errors, [], sql)

    vacated(extended)


@suite.check("cause 14: nor in session mode, by either protocol")
def _():
    def simple(client, sql):
        client.rows(sql)

    def extended(client, sql):
        equal(client.prepared(sql).errors, [], sql)

    for run in (simple, extended):
        stage.sql("DROP DATABASE IF EXISTS victim WITH (FORCE)")
        stage.sql("CREATE DATABASE victim")
        with stage.proxy(size=POOL_SIZE, mode="session", top=victim_config()) as proxy:
            client, user = stage.client(proxy), stage.client(proxy, database="victim")
            user.rows("SELECT 1")
            connected = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'victim'"
            eventually(lambda: stage.sql(connected) > [("0",)], "a link")
            run(client, "DROP DATABASE victim")
        equal(stage.sql("SELECT count(*) FROM pg_database WHERE datname = 'victim'"), [("0",)], "left")


@suite.check("cause 14: nor by a look at the catalog that takes longer than the server waits")
def _():
    stage.sql("DROP DATABASE IF EXISTS victim WITH (FORCE)")
    stage.sql("CREATE DATABASE victim")
    direct = stage.direct(database="victim")
    for view in range(6):  # two seconds of looking for each
        numbers = ",".join(f"abs({number} - x)" for number in range(20000))
        direct.rows(f"CREATE VIEW v{view} AS SELECT ARRAY[{numbers}] FROM (VALUES (1)) AS t (x)")
    direct.terminate()
    looks = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'victim' AND application_name = 'howdah catalog'"
    top = victim_config(size=1, min_idle=0)
    top["databases"]["victim"]["service"] = {"user": "postgres"}
    with stage.proxy(size=POOL_SIZE, top=top) as proxy:
        client, user = stage.client(proxy), stage.client(proxy, database="victim")
        user.rows("SELECT * FROM pg_am")
        eventually(lambda: stage.sql(looks) == [("1",)], "a look")
        time.sleep(1)
        before = time.monotonic()
        equal(client.query("DROP DATABASE victim").errors, [])
        true(time.monotonic() - before < 4, "it did not wait for the look's end")
    equal(stage.sql("SELECT count(*) FROM pg_database WHERE datname = 'victim'"), [("0",)], "left")


@suite.check("cause 14: who may not drop a database closes no connection of its pool")
def _():
    stage.sql("DROP DATABASE IF EXISTS victim WITH (FORCE)")
    stage.sql("CREATE DATABASE victim")
    stage.sql("DROP ROLE IF EXISTS nobody")
    stage.sql("CREATE ROLE nobody LOGIN")
    for mode in ("transaction", "session"):
        with stage.proxy(size=POOL_SIZE, mode=mode, top=victim_config(size=1, min_idle=0)) as proxy:
            client, user = stage.client(proxy, user="nobody"), stage.client(proxy, database="victim")
            backend = user.scalar("SELECT pg_backend_pid()")
            for sql in ("DROP DATABASE victim", "ALTER DATABASE victim RENAME TO moved",
                        "CREATE DATABASE x TEMPLATE victim"):
                equal(client.query(sql).sqlstate, "42501", sql)
                equal(client.prepared(sql).sqlstate, "42501", sql)
                # what does not run is not waited for by the server, only by us
                client.send(parse("", sql), bind("", ""), b"H\0\0\0\4")
                client.until("2")
                client.quiet(0.2)
                client.send(sync())
                client.ready()
                client.send(query(f"SELECT pg_sleep(0.2); {sql}"))
                client.ready()
                client.send(parse("", sql), bind("p", ""), one_shot("SELECT pg_sleep(0.2)") + sync())
                client.ready()
            equal(user.scalar("SELECT pg_backend_pid()"), backend, mode)


@suite.check("cause 14: a client at work there is in the way, as it would be directly")
def _():
    stage.sql("DROP DATABASE IF EXISTS victim WITH (FORCE)")
    stage.sql("CREATE DATABASE victim")
    with stage.proxy(size=POOL_SIZE, top=victim_config()) as proxy:
        client, user = stage.client(proxy), stage.client(proxy, database="victim")
        user.rows("BEGIN; SELECT 1")
        equal(client.query("DROP DATABASE victim").sqlstate, "55006", "the error")
        user.rows("COMMIT")
        client.rows("DROP DATABASE victim")


@suite.check("cause 15: an error in a long pipeline reaches the client while it is still sending")
def _():
    stage.sql("DROP TABLE IF EXISTS one; CREATE TABLE one (a int PRIMARY KEY)")
    batch = b"".join(one_shot("INSERT INTO one VALUES ($1::int)", "1") for _ in range(300))
    with stage.proxy(size=POOL_SIZE) as proxy:
        client = stage.client(proxy)
        client.send(batch)
        client.send(batch + sync())
        kinds = [message.kind for message in client.ready()]
        equal((kinds.count("E"), kinds[-1]), (1, "Z"), "errors, and the end")
        equal(client.scalar("SELECT count(*) FROM one"), "0", "rows")


# What a client may leave in its backend; the ends of some are the pool's to see to.
LEFT_BEHIND = (
    "CREATE TEMP TABLE left_behind AS SELECT 1 AS a", "CREATE TEMP SEQUENCE left_numbers",
    "SELECT nextval('rows_id_seq')", "LOAD 'auto_explain'", "SET auto_explain.log_min_duration = 0",
    "SET app.tenant = 'theirs'", "PREPARE theirs AS SELECT 'theirs'", "SELECT pg_advisory_lock(78)",
    "DECLARE theirs CURSOR WITH HOLD FOR SELECT 1", "LISTEN theirs", "SELECT setseed(0.5)", "SET work_mem = '77MB'",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
)

# What a fresh backend shows. Not here, as pools can't keep it (docs/compatibility.md): the oid of
# pg_my_temp_schema(), names in pg_prepared_statements, counters of backends.
FRESH = (
    "SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema()", "SELECT * FROM left_behind",
    "SELECT currval('rows_id_seq')", "SELECT lastval()", "SHOW auto_explain.log_min_duration",
    "SELECT current_setting('app.tenant', true) IS NULL", "EXECUTE theirs",
    "SELECT name FROM pg_cursors WHERE is_holdable", "SELECT pg_listening_channels()",
    "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
    "SELECT name, setting FROM pg_settings WHERE source = 'session'", "SHOW work_mem", "SHOW transaction_read_only",
    "SELECT session_user, current_user", "SELECT txid_current_if_assigned()", "CLOSE theirs", "DEALLOCATE theirs",
)


def given_back(proxy):
    """Whether no client has a connection any more, but for the one that listens for others."""
    return [row["state"] for row in proxy.admin("SHOW SERVERS") if row["state"] != "idle"] in ([], ["active"])


@suite.check("cause 16: who comes later sees what a fresh backend shows, whatever others have left")
def _():
    prepare()
    with stage.direct() as client:
        wanted = play(client, FRESH, lambda: None)
    with stage.proxy(size=1, max_pinned=20) as proxy:
        for count in range(len(LEFT_BEHIND) + 1):
            with stage.client(proxy) as other:
                for sql in LEFT_BEHIND[count:] if count < len(LEFT_BEHIND) else LEFT_BEHIND:
                    other.rows(sql)
                    if count < len(LEFT_BEHIND):
                        break
            eventually(lambda: given_back(proxy), "all is given back")
            client = stage.client(proxy)
            for step, one, other in zip(FRESH, play(client, FRESH, lambda: None), wanted):
                equal(one, other, f"behind {LEFT_BEHIND[count:count + 1] or 'all'}: {step}")
            client.close()


@suite.check("cause 16: nobody goes on with another's random numbers")
def _():
    with stage.direct() as client:
        client.rows("SELECT setseed(0.5)")
        theirs = client.rows("SELECT random() FROM generate_series(1, 10)")
    for mode in ("transaction", "session"):
        with stage.proxy(mode=mode, size=1) as proxy:
            with stage.client(proxy) as other:
                other.rows("SELECT setseed(0.5)" if mode == "transaction" else "SET seed = 0.5")
            client = stage.client(proxy)
            mine = client.rows("SELECT random() FROM generate_series(1, 5)")
            true(not set(mine) & set(theirs), f"in {mode} mode")


if __name__ == "__main__":
    suite.main()
