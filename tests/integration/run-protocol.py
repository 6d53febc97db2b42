#!/usr/bin/env python3
"""The same bytes must get the same messages back, directly and through Howdah.

Each conversation is a list of steps (bytes to send, what to wait for): a number of ReadyForQuery,
or the letter of a message, or CLOSE for the end of the connection. It is held with the server itself
and with Howdah in both pool modes, and the transcripts are compared; only keys, pids and the place
in the source where an error was raised are left out. Short ones are also cut at every byte.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Failed, Suite, equal, true  # noqa: E402
from howdah import Howdah  # noqa: E402
from stage import SHORT, Stage  # noqa: E402
from wire import (
    Wire,
    bind,
    close,
    copy_data,
    copy_done,
    copy_fail,
    describe,
    execute,
    flush,
    function_call,  # noqa: E402
    message,
    one_shot,
    parse,
    query,
    sync,
    terminate,
    transcript,
)

suite = Suite("protocol")
stage = Stage(suite)
CLOSE = "the end of the connection"
LOWER = 870  # pg_proc's lower(text)
ROWS = "SELECT g FROM generate_series(1, 10) g"

CONVERSATIONS = {
    "simple query": [(query("SELECT 1, NULL, 'ü'"), 1)],
    "empty query": [(query(""), 1), (query(" ; ;"), 1)],
    "several statements": [(query("SELECT 1; SELECT 'a', 2; SELECT"), 1)],
    "an error among several statements": [(query("SELECT 1; SELECT 1/0; SELECT 3"), 1), (query("SELECT 4"), 1)],
    "syntax error": [(query("SELEC 1"), 1)],
    "two queries sent at once": [(query("SELECT 1") + query("SELECT 2"), 2)],
    "ten queries sent at once, one fails": [
        (b"".join(query("SELECT 1/0" if i == 4 else f"SELECT {i}") for i in range(10)), 10)
    ],
    "transaction": [(query("BEGIN"), 1), (query("SELECT 1"), 1), (query("COMMIT"), 1)],
    "failed transaction": [
        (query("BEGIN"), 1),
        (query("SELECT 1/0"), 1),
        (query("SELECT 1"), 1),
        (query("COMMIT"), 1),
        (query("SELECT 2"), 1),
    ],
    "whole transaction at once": [(query("BEGIN") + query("SELECT 1") + query("COMMIT"), 3)],
    "transaction in one string": [(query("BEGIN; SELECT 1; COMMIT; SELECT 2"), 1)],
    "commit and chain": [(query("BEGIN"), 1), (query("COMMIT AND CHAIN"), 1), (query("ROLLBACK"), 1)],
    "savepoints": [
        (query("BEGIN; SAVEPOINT a"), 1),
        (query("SELECT 1/0"), 1),
        (query("ROLLBACK TO a"), 1),
        (query("SELECT 1"), 1),
        (query("COMMIT"), 1),
    ],
    "needless commit warns": [(query("COMMIT"), 1), (query("BEGIN; BEGIN"), 1), (query("ROLLBACK"), 1)],
    "notices of every level": [
        (
            query(
                "SET client_min_messages = debug1; DO $$ BEGIN RAISE DEBUG 'd'; RAISE LOG 'l';"
                " RAISE INFO 'i'; RAISE NOTICE 'n' USING HINT = 'h', DETAIL = 'd'; RAISE WARNING 'w';"
                " END $$; RESET client_min_messages"
            ),
            1,
        )
    ],
    "notices between rows": [
        (
            query(
                "CREATE OR REPLACE FUNCTION public.say(n int) RETURNS int LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE NOTICE 'n %', n; RETURN n; END $$;"
                " SELECT public.say(g) FROM generate_series(1, 3) g;"
                " DROP FUNCTION public.say(int)"
            ),
            1,
        )
    ],
    "error with all its fields": [
        (
            query(
                "CREATE TABLE IF NOT EXISTS strict (a int CONSTRAINT positive CHECK (a > 0));"
                " INSERT INTO strict VALUES (-1)"
            ),
            1,
        ),
        (query("DROP TABLE IF EXISTS strict"), 1),
    ],
    "parameter status": [
        (query("BEGIN; SET LOCAL client_encoding = 'LATIN1'; SET LOCAL DateStyle = 'German'; COMMIT"), 1)
    ],
    "one-shot extended": [(one_shot("SELECT $1::int + 1, $2::text", "41", None) + sync(), 1)],
    "parse, describe, flush, then bind": [
        (parse("", "SELECT $1::int4 AS n") + describe("S") + flush(), "T"),
        (bind("", "", [b"5"]) + execute() + sync(), 1),
    ],
    "named statement, many binds": [
        (
            parse("s1", "SELECT $1::text")
            + b"".join(bind("", "s1", [str(i).encode()]) + execute() for i in range(5))
            + close("S", "s1")
            + sync(),
            1,
        )
    ],
    "named statement over transactions": [(parse("s2", "SELECT $1::int * 2") + sync(), 1)]
    + [(bind("", "s2", [str(i).encode()]) + describe("P") + execute() + sync(), 1) for i in range(6)]
    + [(close("S", "s2") + sync(), 1), (bind("", "s2", [b"1"]) + sync(), 1)],
    "statement described over transactions": [
        (parse("s3", "SELECT 1 AS a, 'x' AS b") + sync(), 1),
        (describe("S", "s3") + sync(), 1),
        (close("S", "s3") + sync(), 1),
    ],
    "a statement's name taken twice": [
        (parse("s4", "SELECT 1") + parse("s4", "SELECT 2") + sync(), 1),
        (close("S", "s4") + sync(), 1),
    ],
    "a name given back and taken again": [
        (parse("s5", "SELECT 1") + sync(), 1),
        (close("S", "s5") + sync(), 1),
        (parse("s5", "SELECT 'other'") + bind("", "s5") + execute() + sync(), 1),
        (close("S", "s5") + sync(), 1),
    ],
    "statement that does not exist": [
        (bind("", "never") + execute() + sync(), 1),
        (describe("S", "never") + sync(), 1),
        (close("S", "never") + close("P", "never") + sync(), 1),
    ],
    "a parse that fails leaves no name": [
        (parse("s6", "SELEC") + sync(), 1),
        (bind("", "s6") + sync(), 1),
        (parse("s6", "SELECT 6") + bind("", "s6") + execute() + sync(), 1),
        (close("S", "s6") + sync(), 1),
    ],
    "portal that does not exist": [(execute("never") + sync(), 1), (describe("P", "never") + sync(), 1)],
    "binary parameters and results": [
        (
            parse("", "SELECT $1::int4, $2::int8", (23, 20))
            + bind("", "", [b"\0\0\0\7", b"\0" * 7 + b"\3"], (1,), (1,))
            + describe("P")
            + execute()
            + sync(),
            1,
        )
    ],
    "wrong number of parameters": [
        (parse("", "SELECT $1::int, $2::int") + bind("", "", [b"1"]) + execute() + sync(), 1)
    ],
    "bad parameter value": [(one_shot("SELECT $1::int", "x") + sync(), 1)],
    "empty statement": [(one_shot("") + sync(), 1)],
    "no data": [(one_shot("SET LOCAL work_mem = '4MB'") + sync(), 1)],
    "row limit, portal resumed": [
        (parse("", ROWS) + bind() + execute("", 3) + execute("", 3) + execute("", 0) + execute("", 0) + sync(), 1)
    ],
    "row limit, portal resumed after flush": [
        (parse("", ROWS) + bind("p", "") + execute("p", 4) + flush(), "s"),
        (execute("p", 4) + flush(), "s"),
        (execute("p", 4) + flush(), "C"),
        (close("P", "p") + sync(), 1),
    ],
    "portals in a transaction over syncs": [
        (query("BEGIN"), 1),
        (parse("", ROWS) + bind("p1") + sync(), 1),
        (execute("p1", 2) + sync(), 1),
        (execute("p1", 2) + sync(), 1),
        (close("P", "p1") + sync(), 1),
        (execute("p1", 1) + sync(), 1),
        (query("ROLLBACK"), 1),
    ],
    "two portals in turn": [
        (query("BEGIN"), 1),
        (
            parse("q", ROWS)
            + bind("a", "q")
            + bind("b", "q")
            + execute("a", 2)
            + execute("b", 3)
            + execute("a", 2)
            + sync(),
            1,
        ),
        (query("COMMIT"), 1),
        (close("S", "q") + sync(), 1),
    ],
    "syncs alone": [(sync(), 1), (sync() + sync() + sync(), 3)],
    "flush alone, then sync": [(flush() + flush() + sync(), 1)],
    "pipeline of ten with their syncs": [
        (b"".join(one_shot("SELECT $1::int", str(i)) + sync() for i in range(10)), 10)
    ],
    "pipeline under one sync": [(b"".join(one_shot("SELECT $1::int", str(i)) for i in range(10)) + sync(), 1)],
    "pipeline with an error in the middle": [
        (
            one_shot("SELECT 1")
            + one_shot("SELECT 1/0")
            + one_shot("SELECT 3")
            + sync()
            + one_shot("SELECT 4")
            + sync(),
            2,
        )
    ],
    "pipeline, error at parse": [
        (one_shot("SELECT 1") + parse("", "SELEC") + bind() + execute() + flush() + sync(), 1)
    ],
    "pipeline with names, error, reuse": [
        (parse("n1", "SELECT 1") + parse("n2", "SELEC") + parse("n3", "SELECT 3") + sync(), 1),
        (bind("", "n1") + execute() + sync() + bind("", "n3") + execute() + sync(), 2),
        (close("S", "n1") + close("S", "n3") + sync(), 1),
    ],
    "transaction in a pipeline": [(one_shot("BEGIN") + one_shot("SELECT 1") + one_shot("COMMIT") + sync(), 1)],
    "failed transaction in a pipeline": [
        (
            one_shot("BEGIN")
            + sync()
            + one_shot("SELECT 1/0")
            + sync()
            + one_shot("SELECT 2")
            + sync()
            + one_shot("ROLLBACK")
            + sync(),
            4,
        )
    ],
    "simple between extended": [
        (one_shot("SELECT 1") + sync() + query("SELECT 2") + one_shot("SELECT 3") + sync(), 3)
    ],
    "simple query inside an unsynced pipeline": [(one_shot("SELECT 1") + query("SELECT 2") + sync(), 2)],
    "function call": [
        (function_call(LOWER, [b"ABC"]), 1),
        (function_call(LOWER, [None]), 1),
        (function_call(999999, [b"x"]), 1),
        (query("SELECT 1"), 1),
    ],
    "copy in": [
        (query("CREATE TABLE IF NOT EXISTS ci (a int)"), 1),
        (query("COPY ci FROM STDIN"), "G"),
        (copy_data(b"1\n2\n") + copy_data(b"3") + copy_data(b"\n") + copy_done(), 1),
        (query("SELECT sum(a) FROM ci; DROP TABLE ci"), 1),
    ],
    "copy in sent without waiting": [
        (query("CREATE TABLE IF NOT EXISTS cw (a int)"), 1),
        (query("COPY cw FROM STDIN") + copy_data(b"1\n") + copy_done() + query("SELECT 'after'"), 2),
        (query("DROP TABLE cw"), 1),
    ],
    "copy in with a bad line": [
        (query("CREATE TABLE IF NOT EXISTS cb (a int)"), 1),
        (query("COPY cb FROM STDIN"), "G"),
        (copy_data(b"1\nx\n") + copy_data(b"2\n") + copy_done(), 1),
        (query("DROP TABLE cb"), 1),
    ],
    "copy in failed by the client": [
        (query("CREATE TABLE IF NOT EXISTS cf (a int)"), 1),
        (query("COPY cf FROM STDIN"), "G"),
        (copy_data(b"1\n") + copy_fail("changed my mind"), 1),
        (query("DROP TABLE cf"), 1),
    ],
    "copy refused, its data follows": [
        (query("COPY no_such_table FROM STDIN") + copy_data(b"1\n") + copy_done(), 1),
        (query("SELECT 1"), 1),
    ],
    "copy in, flush and sync are ignored in it": [
        (query("CREATE TABLE IF NOT EXISTS cs (a int)"), 1),
        (query("COPY cs FROM STDIN"), "G"),
        (copy_data(b"1\n") + flush() + sync() + copy_data(b"2\n") + copy_done(), 1),
        (query("DROP TABLE cs"), 1),
    ],
    "copy in, another message in it": [
        (
            query(
                "SET client_min_messages = error; DROP TABLE IF EXISTS cm; "
                "CREATE TABLE cm (a int); RESET client_min_messages"
            ),
            1,
        ),
        (query("COPY cm FROM STDIN"), "G"),
        (copy_data(b"1\n") + query("SELECT 1"), CLOSE),
    ],
    "copy in, extended": [
        (query("CREATE TABLE IF NOT EXISTS ce (a int)"), 1),
        (parse("", "COPY ce FROM STDIN") + bind() + execute() + sync(), "G"),
        (copy_data(b"1\n") + copy_done() + sync(), 1),
        (query("DROP TABLE ce"), 1),
    ],
    "copy in, extended, fails": [
        (query("CREATE TABLE IF NOT EXISTS cx (a int)"), 1),
        (parse("", "COPY cx FROM STDIN") + bind() + execute() + flush(), "G"),
        (copy_data(b"x\n") + copy_done() + sync(), 1),
        (query("DROP TABLE cx"), 1),
    ],
    "copy out": [(query("COPY (SELECT g, 'x' FROM generate_series(1, 50) g) TO STDOUT"), 1)],
    "copy out, binary": [(query("COPY (SELECT g FROM generate_series(1, 5) g) TO STDOUT (FORMAT binary)"), 1)],
    "copy out that fails half way": [(query("COPY (SELECT 10 / (5 - g) FROM generate_series(1, 9) g) TO STDOUT"), 1)],
    "two copies in one string": [
        (query("CREATE TABLE IF NOT EXISTS c2 (a int)"), 1),
        (query("COPY c2 FROM STDIN; COPY c2 TO STDOUT; SELECT 1"), "G"),
        (copy_data(b"7\n") + copy_done(), 1),
        (query("DROP TABLE c2"), 1),
    ],
    "stray copy messages": [(copy_data(b"x") + copy_done() + copy_fail("x") + query("SELECT 1"), 1)],
    "terminate": [(query("SELECT 1"), 1), (terminate(), CLOSE)],
    "terminate right behind a query": [(query("SELECT 1") + terminate(), CLOSE)],
    "unknown message type": [(message("!"), CLOSE)],
    "a message only servers send": [(message("Z", b"I"), CLOSE)],
    "password message out of place": [(message("p", b"secret\0"), CLOSE)],
    "query without its NUL": [(message("Q", b"SELECT 1"), 1), (query("SELECT 2"), 1)],
    "query with bytes behind its NUL": [(message("Q", b"SELECT 1\0more"), 1), (query("SELECT 2"), 1)],
    "sync with a body": [(message("S", b"x"), 1)],
    "bind cut short": [(parse("", "SELECT 1") + message("B", b"\0\0\0") + sync(), 1)],
    "bind with more formats than parameters": [(parse("", "SELECT 1") + bind("", "", [], (0, 0)) + sync(), 1)],
    "bind whose value is longer than its message": [
        (parse("", "SELECT $1::text") + message("B", b"\0\0\0\0\0\1\0\0\0\x63ab\0\0") + sync(), 1)
    ],
    "describe of an unknown kind": [(message("D", b"X\0") + sync(), 1), (message("C", b"X\0") + sync(), 1)],
    "wide row": [(query("SELECT " + ",".join(str(i) for i in range(1600))), 1)],
    "large rows": [(query("SELECT repeat('x', 300000) FROM generate_series(1, 5)"), 1)],
    "large parameter": [(one_shot("SELECT length($1::text)", "y" * 3000000) + sync(), 1)],
    "many small rows": [(query("SELECT g FROM generate_series(1, 30000) g"), 1)],
}
# What only a session of one's own server can do, until state is virtual.
SESSION_CONVERSATIONS = {
    "listen and notify": [(query("LISTEN here"), 1), (query("NOTIFY here, 'payload'"), 1), (query("UNLISTEN *"), 1)],
    "setting lasts": [(query("SET DateStyle = 'German'"), 1), (query("SHOW DateStyle"), 1)],
    "sql prepare": [
        (query("PREPARE x AS SELECT $1::int"), 1),
        (query("EXECUTE x(3)"), 1),
        (query("DEALLOCATE x"), 1),
    ],
    "held cursor": [(query("DECLARE c CURSOR WITH HOLD FOR SELECT 1"), 1), (query("FETCH c"), 1)],
}
# The server logs these and hangs up; Howdah may say why before it does the same.
MALFORMED = {
    "length too short": message("Q", b"", length=3),
    "length zero": message("Q", b"", length=0),
    "length negative": message("Q", b"", length=0xFFFFFFFF),
    "length 2^31": message("Q", b"", length=1 << 31),
    "sync of a gigabyte": message("S", b"", length=1 << 30),
    "a NUL for a type": b"\0" + message("Q")[1:],
}
CUT_AT_EVERY_BYTE = (
    "simple query",
    "one-shot extended",
    "named statement, many binds",
    "row limit, portal resumed",
    "pipeline with an error in the middle",
    "failed transaction in a pipeline",
    "copy in",
    "copy in sent without waiting",
    "function call",
    "simple between extended",
)


def hold(client, steps, send=None):
    """Holds one conversation; returns all messages that came."""
    got = []
    for data, wanted in steps:
        (send or client.send)(data)
        if wanted == CLOSE:
            got += client.rest()
        elif isinstance(wanted, int):
            got += client.ready(wanted)
        else:
            # an error instead of what was waited for ends in ReadyForQuery
            got += client.until(wanted, "Z")
    return got


def compare(name, wanted, got):
    for number, (one, two) in enumerate(zip(wanted + ["nothing"], got + ["nothing"])):
        if one != two:
            raise Failed(f"{name}: message {number}: directly {one[:150]}, through Howdah {two[:150]}")
    equal(len(got), len(wanted), f"{name}: messages")


def each_conversation(mode, conversations):
    for name, steps in conversations.items():

        @suite.check(f"{mode}: {name}")
        def _(name=name, steps=steps):
            with stage.direct() as direct:
                wanted = transcript(hold(direct, steps))
            client = stage.client(shared_proxy(mode))
            compare(name, wanted, transcript(hold(client, steps)))
            client.close()


_proxies = {}


def shared_proxy(mode):
    """One proxy for all conversations of a mode; a dead one is replaced, so that one fault is one failure."""
    if mode in _proxies and _proxies[mode].process.poll() is not None:
        end_proxy(_proxies.pop(mode))
    if mode not in _proxies:
        _proxies[mode] = Howdah(config=stage.config(mode, size=2))
        _proxies[mode].start()
    return _proxies[mode]


def end_proxy(proxy):
    code = proxy.stop()
    if code:
        print(f"not ok protocol/howdah ends well: exit {code}: {proxy.stderr[-300:]}")


suite.at_end(lambda: [end_proxy(proxy) for proxy in _proxies.values()])
for pool_mode in ("transaction", "session"):
    each_conversation(pool_mode, CONVERSATIONS)
each_conversation("session", SESSION_CONVERSATIONS)


def cut_everywhere(name):
    @suite.check(f"cut at every byte: {name}")
    def _():
        steps = CONVERSATIONS[name]
        with stage.direct() as direct:
            wanted = transcript(hold(direct, steps))
        longest = max(len(data) for data, _ in steps)
        client = stage.client(shared_proxy("transaction"))
        for at in range(1, longest, 7 if SHORT else 1):
            got = hold(client, steps, lambda data, at=at: client.send_cut(data, min(at, len(data)), 0.001))
            compare(f"{name}, cut at {at}", wanted, transcript(got))
        compare(f"{name}, byte by byte", wanted, transcript(hold(client, steps, client.drip)))


for conversation in CUT_AT_EVERY_BYTE:
    cut_everywhere(conversation)


def hangs_up(name, data):
    @suite.check(f"malformed: {name}")
    def _():
        for before in (b"", query("BEGIN"), parse("", "SELECT 1")):
            client = stage.client(shared_proxy("transaction"))
            client.send(before, data)
            answers = client.rest()
            true(all(m.fields["C"] == "08P01" for m in answers if m.kind == "E"), f"{answers[-1:]}")
            equal(stage.client(shared_proxy("transaction")).query("SELECT 1").status, "I", "the next client")


for malformed, its_bytes in MALFORMED.items():
    hangs_up(malformed, its_bytes)


@suite.check("login says what the server says")
def _():
    transcripts = []
    for port in (stage.cluster.port, shared_proxy("transaction").port):
        with Wire(port) as client:
            transcripts.append(
                transcript(client.login("postgres", "app", application_name="who", DateStyle="German"))
            )
    compare("login", *transcripts)


if __name__ == "__main__":
    suite.main()
