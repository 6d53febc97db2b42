#!/usr/bin/env python3
"""The first bytes of a connection: encryption requests, versions, lengths, what must not come twice."""

import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, true  # noqa: E402
from pgcluster import self_signed_cert  # noqa: E402
from stage import Stage  # noqa: E402
from wire import (
    PROTOCOL_3_0,
    PROTOCOL_3_2,
    Closed,
    Wire,
    cancel_request,
    cstring,
    gss_request,
    message,  # noqa: E402
    parse,
    query,
    ssl_request,
    startup,
    untyped,
)

suite = Suite("startup")
stage = Stage(suite)
ME = {"user": "postgres", "database": "app"}
WRONG_LENGTHS = (
    0,
    1,
    3,
    4,
    5,
    7,
    10001,
    1 << 15,
    1 << 16,
    1 << 24,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 4,
    (1 << 32) - 1,
)


def still_serves(proxy):
    equal(stage.client(proxy).scalar("SELECT 'served'"), "served", "the next client")


def refused(proxy, *data):
    """Sends the bytes; Howdah must hang up without a login. Returns the error's fields, or None."""
    with Wire(proxy.port) as client:
        try:
            client.send(*data)
        except OSError:
            return None
        answers = client.rest()
    # Like the server, Howdah may find the name wrong only after AuthenticationOk.
    true(all(m.kind in "RE" for m in answers), f"answers {answers[:2]}")
    true(sum(m.kind == "E" for m in answers) <= 1, f"several errors: {answers}")
    return next((m.fields for m in answers if m.kind == "E"), None)


def everything(client):
    """All bytes until the end of the connection."""
    got = b""
    try:
        while True:
            got += client.raw(1)
    except Closed:
        return got


@suite.check("SSLRequest without TLS is answered N, then plain text goes on")
def _():
    with stage.proxy() as proxy, Wire(proxy.port) as client:
        client.send(ssl_request())
        equal(client.raw(1), b"N")
        client.login(**ME)
        equal(client.scalar("SELECT 1"), "1")


@suite.check("GSSENCRequest is answered N, then SSLRequest, then startup")
def _():
    with stage.proxy() as proxy:
        for requests in ((gss_request, ssl_request), (ssl_request, gss_request), (gss_request,)):
            with Wire(proxy.port) as client:
                for request in requests:
                    client.send(request())
                    equal(client.raw(1), b"N", request.__name__)
                client.login(**ME)
                equal(client.scalar("SELECT 1"), "1")


@suite.check("an encryption request of each kind at most once")
def _():
    with stage.proxy() as proxy:
        for request in (ssl_request, gss_request):
            with Wire(proxy.port) as client:
                client.send(request())
                equal(client.raw(1), b"N")
                client.send(request())
                answers = client.rest()
                true(all(m.kind == "E" for m in answers), f"second {request.__name__}: {answers}")
        still_serves(proxy)


@suite.check("request code cut at every byte")
def _():
    with stage.proxy() as proxy:
        for at in range(1, 8):
            with Wire(proxy.port) as client:
                client.send_cut(ssl_request(), at)
                equal(client.raw(1), b"N")
                client.login(**ME)


@suite.check("startup cut at every byte")
def _():
    with stage.proxy() as proxy:
        data = startup(ME)
        for at in range(1, len(data)):
            with Wire(proxy.port) as client:
                client.send_cut(data, at, 0.001)
                client.authenticate("postgres", None)


@suite.check("startup and first query in one segment")
def _():
    with stage.proxy() as proxy, Wire(proxy.port) as client:
        client.send(startup(ME), query("SELECT 'early'"))
        equal([m.body[6:] for m in client.ready(2) if m.kind == "D"], [b"early"])


def negotiated(port, version, **params):
    """The NegotiateProtocolVersion that this login gets, decoded, or None."""
    with Wire(port) as client:
        got = client.login(**ME, version=version, **params)
        equal(client.scalar("SELECT 1"), "1")
        said = [m.body for m in got if m.kind == "v"]
        if not said:
            return None
        newest, count = struct.unpack_from("!II", said[0])
        return newest, count, said[0][8:]


@suite.check("protocol 3.2 and unknown minors are negotiated, not refused")
def _():
    with stage.proxy() as proxy:
        equal(negotiated(proxy.port, PROTOCOL_3_0), None, "3.0")
        for minor in (2, 3, 9999):
            said = negotiated(proxy.port, 3 << 16 | minor)
            if minor == 2 and said is None:
                continue  # 3.2 is spoken
            true(said is not None and said[0] in (PROTOCOL_3_0, PROTOCOL_3_2) and said[1] == 0, f"3.{minor}: {said}")


@suite.check("unknown _pq_. options are named in NegotiateProtocolVersion")
def _():
    with stage.proxy() as proxy:
        said = negotiated(proxy.port, PROTOCOL_3_0, **{"_pq_.first": "1", "_pq_.second": "x"})
        true(said is not None and said[1] == 2, f"{said}")
        equal(sorted(said[2].split(b"\0")[:2]), [b"_pq_.first", b"_pq_.second"])


@suite.check("a 3.2 client gets a key that cancels")
def _():
    with stage.proxy() as proxy:
        client = stage.client(proxy, version=PROTOCOL_3_2)
        client.send(query("SELECT pg_sleep(20)"))
        client.quiet(0.3)
        client.cancel()
        equal([m.fields["C"] for m in client.ready() if m.kind == "E"], ["57014"])


@suite.check("other protocol versions get one clear error")
def _():
    with stage.proxy() as proxy:
        for version in (2 << 16, 1 << 16, 4 << 16, 0, 1234 << 16 | 1, 0xFFFFFFFF):
            with Wire(proxy.port) as client:
                client.send(startup(ME, version))
                said = everything(client)
                # To versions before 3 the server answers in the old format; the text is the same.
                true(b"unsupported frontend protocol" in said, f"version {version:#x}: {said[:100]!r}")
        still_serves(proxy)


@suite.check("S07: wrong lengths of the first packet")
def _():
    with stage.proxy() as proxy:
        for code in (PROTOCOL_3_0, 80877103, 80877104, 80877102):
            for length in WRONG_LENGTHS:
                with Wire(proxy.port, timeout_s=5) as client:
                    client.send(untyped(code, b"user\0postgres\0database\0app\0\0", length=length))
                    client.sock.shutdown(1)
                    answers = client.rest()
                    true(all(m.kind in "EN" for m in answers), f"code {code} length {length}: {answers[:1]}")
        still_serves(proxy)


@suite.check("S01: over-long user, database and parameters")
def _():
    with stage.proxy() as proxy:
        for size in (0, 1, 62, 63, 64, 65, 127, 128, 255, 256, 1023, 1024, 4096, 9900, 9999, 10000, 20000):
            for field in ("user", "database", "application_name", "options", "x" * min(size, 100) or "e"):
                with Wire(proxy.port) as client:
                    try:
                        client.send(startup({**ME, field: "u" * size}))
                        client.message()
                    except (Closed, OSError):
                        pass
        still_serves(proxy)


@suite.check("malformed parameter lists")
def _():
    bodies = (
        b"",
        b"\0",
        b"user",
        b"user\0",
        b"user\0postgres",
        b"user\0postgres\0",
        b"user\0postgres\0database\0",
        b"user\0postgres\0database\0app\0",
        b"user\0postgres\0\0database\0app\0\0",
        b"\0\0\0",
        b"database\0app\0\0",
        b"user\0\0database\0app\0\0",
        b"user\0\xff\xfe\0database\0app\0\0",
    )
    with stage.proxy() as proxy:
        for body in bodies:
            with Wire(proxy.port, timeout_s=5) as client:
                client.send(untyped(PROTOCOL_3_0, body))
                client.sock.shutdown(1)
                kinds = {m.kind for m in client.rest()}
                # Bytes behind the list's end are an error to PostgreSQL; a login there would be a difference.
                true("Z" not in kinds, f"{body!r} logged in")
        still_serves(proxy)


@suite.check("S24: database names that mean something elsewhere")
def _():
    with stage.proxy() as proxy:
        for name in ("host=127.0.0.1", "postgresql://evil/", "-x", "a b", "'", "\\", "%00", "../../etc", "x" * 63):
            errors = refused(proxy, startup({"user": "postgres", "database": name}))
            equal(errors and errors["C"], "3D000", name)
        still_serves(proxy)


@suite.check("S14: options that are empty, quoted, cut off")
def _():
    with stage.proxy() as proxy:
        for options in (
            "",
            " ",
            "-c",
            "-c=",
            "-c ",
            "--",
            "--=",
            "-c x",
            "-c x=",
            "-c =y",
            "\\",
            "-c\\",
            "-c x=\\ y",
            "-x",
            "- c x=y",
            "--search_path",
            "-c " * 500,
            "'\"'",
            "-cstatement_timeout=1\\",
        ):
            with Wire(proxy.port) as client:
                client.send(startup({**ME, "options": options}))
                client.message()
        still_serves(proxy)


@suite.check("S02: messages before startup, and a login that is never finished")
def _():
    with stage.proxy() as proxy:
        for first in (
            query("SELECT 1"),
            message("p", cstring("secret")),
            parse("", "SELECT 1"),
            message("X"),
            b"\0",
            b"\x16\x03\x01\x02\x00",
            b"GET / HTTP/1.1\r\n\r\n",
        ):
            with Wire(proxy.port, timeout_s=5) as client:
                client.send(first)
                client.sock.shutdown(1)
                true(all(m.kind == "E" for m in client.rest()), f"{first[:10]!r}")
        still_serves(proxy)


@suite.check("S15: a second startup, SSLRequest or cancel is no startup any more")
def _():
    stage.sql("DROP ROLE IF EXISTS mallory")
    stage.sql("CREATE ROLE mallory LOGIN")
    with stage.proxy() as proxy:
        for again in (
            startup({"user": "mallory", "database": "app"}),
            ssl_request(),
            gss_request(),
            cancel_request(1, b"abcd"),
        ):
            client = stage.client(proxy)
            client.send(again)
            kinds = {m.kind for m in client.rest()}
            true(kinds <= {"E"}, f"answers {kinds}")
        still_serves(proxy)


@suite.check("S04: plain text behind SSLRequest is never read as if it came through TLS")
def _():
    crt, key = self_signed_cert(stage.cluster.dir, "proxy")
    for path in (crt, key):
        os.chmod(path, 0o600)
    with stage.proxy(top={"tls": {"mode": "prefer", "cert": crt, "key": key}}) as proxy:
        stuffed = startup(ME) + query("SELECT 'stuffed'")
        for at in range(0, len(stuffed) + 1, 3):
            with Wire(proxy.port) as client:
                client.send(ssl_request(), stuffed[:at] or b"\0")
                try:
                    answer = client.raw(1)
                except (Closed, OSError):
                    continue
                # Whether it says S or E first: nothing else may follow, and no login happens.
                true(answer in (b"S", b"E", b"N"), f"answer {answer!r}")
                client.sock.shutdown(1)
                try:
                    rest = client.raw(6)
                except (Closed, OSError):
                    continue
                true(b"R\0\0\0" not in rest, f"the stuffed startup was answered with {rest!r}")
        with Wire(proxy.port) as client:
            client.start_tls()
            client.login(**ME)
            equal(client.scalar("SELECT 1"), "1", "an honest TLS client")


@suite.check("wrong cancel keys disturb nobody")
def _():
    with stage.proxy() as proxy:
        client = stage.client(proxy)
        client.send(query("SELECT pg_sleep(1)"))
        for pid, key in (
            (client.pid, b"\0\0\0\0"),
            (client.pid ^ 1, client.key),
            (0, b""),
            (client.pid, client.key[:-1]),
            (client.pid, client.key + b"x"),
            (client.pid, b"k" * 256),
            (client.pid, b"k" * 5000),
        ):
            equal(client.cancel(pid, key), [], "answer to a cancel request")
        equal([m.kind for m in client.ready() if m.kind == "E"], [], "errors of the query")
        still_serves(proxy)


if __name__ == "__main__":
    suite.main()
