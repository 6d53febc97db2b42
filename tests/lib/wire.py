"""A small honest client of the PostgreSQL protocol, with every byte in the caller's hands.

Builders make frontend messages as bytes; a Wire sends any bytes, well formed or not, and cuts what
comes back into messages, no more. On top of that stand login (trust, cleartext, md5, SCRAM) and
query, and transcript(), which writes messages down without what may differ from one server
connection to the next, so that two conversations can be compared.

    with Wire(port) as client:
        client.login("postgres", "app")
        client.send(parse("", "SELECT $1::int"), bind("", "", [b"7"]), execute(), sync())
        print(transcript(client.ready()))

Source: PostgreSQL's manual, "Frontend/Backend Protocol", Message Formats.
"""

import base64
import hashlib
import hmac
import os
import socket
import ssl
import struct
import time
from typing import NamedTuple

PROTOCOL_3_0 = 3 << 16
PROTOCOL_3_2 = 3 << 16 | 2
SSL_REQUEST_CODE = 80877103
GSS_REQUEST_CODE = 80877104
CANCEL_REQUEST_CODE = 80877102


class Closed(Exception):
    """The peer closed the connection; .reset says whether by a reset."""

    def __init__(self, reset=False, rest=b""):
        super().__init__("reset" if reset else f"closed with {len(rest)} bytes of a message" if rest else "closed")
        self.reset = reset
        self.rest = rest


class ServerError(Exception):
    """An ErrorResponse where none was expected; .fields by their letters, .sqlstate."""

    def __init__(self, fields):
        super().__init__(f"{fields.get('C')}: {fields.get('M')}")
        self.fields = fields
        self.sqlstate = fields.get("C")


class Message(NamedTuple):
    """One backend message: its type's letter and its body without the length."""

    kind: str
    body: bytes

    @property
    def fields(self):
        """The fields of an ErrorResponse or NoticeResponse."""
        return {part[:1].decode(): part[1:].decode("utf-8", "replace") for part in self.body.split(b"\0") if part}


# --- frontend messages ----------------------------------------------------------------------------


def cstring(text):
    return (text if isinstance(text, bytes) else text.encode()) + b"\0"


def message(kind, body=b"", length=None):
    """A typed message; `length` overrides the true length field."""
    return kind.encode() + struct.pack("!I", len(body) + 4 if length is None else length) + body


def untyped(code, body=b"", length=None):
    return struct.pack("!II", len(body) + 8 if length is None else length, code) + body


def startup(params, version=PROTOCOL_3_0):
    return untyped(version, b"".join(cstring(k) + cstring(v) for k, v in params.items()) + b"\0")


def ssl_request():
    return untyped(SSL_REQUEST_CODE)


def gss_request():
    return untyped(GSS_REQUEST_CODE)


def cancel_request(pid, key):
    return untyped(CANCEL_REQUEST_CODE, struct.pack("!I", pid) + key)


def query(sql):
    return message("Q", cstring(sql))


def parse(name, sql, types=()):
    return message("P", cstring(name) + cstring(sql) + struct.pack(f"!H{len(types)}I", len(types), *types))


def bind(portal="", name="", params=(), formats=(), result_formats=()):
    values = b"".join(struct.pack("!i", -1) if p is None else struct.pack("!i", len(p)) + p for p in params)
    return message(
        "B",
        cstring(portal)
        + cstring(name)
        + struct.pack(f"!H{len(formats)}H", len(formats), *formats)
        + struct.pack("!H", len(params))
        + values
        + struct.pack(f"!H{len(result_formats)}H", len(result_formats), *result_formats),
    )


def describe(what, name=""):
    return message("D", what.encode() + cstring(name))


def close(what, name=""):
    return message("C", what.encode() + cstring(name))


def execute(portal="", rows=0):
    return message("E", cstring(portal) + struct.pack("!i", rows))


def sync():
    return message("S")


def flush():
    return message("H")


def terminate():
    return message("X")


def copy_data(data):
    return message("d", data)


def copy_done():
    return message("c")


def copy_fail(reason):
    return message("f", cstring(reason))


def function_call(oid, args, formats=(0,), result_format=0):
    values = b"".join(struct.pack("!i", -1) if a is None else struct.pack("!i", len(a)) + a for a in args)
    return message(
        "F",
        struct.pack(f"!IH{len(formats)}H", oid, len(formats), *formats)
        + struct.pack("!H", len(args))
        + values
        + struct.pack("!H", result_format),
    )


def one_shot(sql, *params, name="", portal="", rows=0):
    """Parse, Bind, Describe, Execute of one statement, without Sync."""
    return (
        parse(name, sql)
        + bind(portal, name, [p if p is None else p.encode() for p in params])
        + describe("P", portal)
        + execute(portal, rows)
    )


# --- backend messages -----------------------------------------------------------------------------


def data_row(body):
    """The values of a DataRow, as text."""
    count, at, values = struct.unpack_from("!H", body)[0], 2, []
    for _ in range(count):
        length = struct.unpack_from("!i", body, at)[0]
        at += 4
        values.append(None if length < 0 else body[at : at + length].decode("utf-8", "replace"))
        at += max(length, 0)
    return tuple(values)


# Where in PostgreSQL's source an error was raised: a proxy that answers for it has another place.
UNCOMPARED_FIELDS = "FLR"


def transcript(messages):
    """The messages as lines that two conversations can be compared by.

    Keys and pids are left out, and the ParameterStatus messages of one run of them are sorted."""
    lines, settings = [], []
    for kind, body in messages:
        if kind == "S":
            settings.append("S " + " = ".join(part.decode("utf-8", "replace") for part in body.split(b"\0")[:2]))
            continue
        lines += sorted(settings)
        settings = []
        if kind == "K":
            lines.append(f"K with a key of {len(body) - 4} bytes")
        elif kind == "A":
            lines.append(f"A {body[4:]!r}")
        elif kind in "EN":
            fields = Message(kind, body).fields
            lines.append(f"{kind} " + " ".join(f"{k}={v!r}" for k, v in fields.items() if k not in UNCOMPARED_FIELDS))
        else:
            lines.append(f"{kind} {body!r}")
    return lines + sorted(settings)


def count_ready(data):
    """How many ReadyForQuery messages answer what is sent at once: one for each Query, Sync and FunctionCall."""
    count = at = 0
    while at < len(data):
        count += data[at : at + 1] in (b"Q", b"S", b"F")
        at += 1 + int.from_bytes(data[at + 1 : at + 5], "big")
    return count


def play(client, script):
    """What is heard, step by step."""
    said = []
    for step in script:
        client.send(step)
        said.append(transcript(client.ready(count_ready(step))))
    return said


class Result:
    """What one query answered."""

    def __init__(self, messages):
        self.messages = messages
        self.rows = [data_row(m.body) for m in messages if m.kind == "D"]
        self.tags = [m.body[:-1].decode() for m in messages if m.kind == "C"]
        self.errors = [m.fields for m in messages if m.kind == "E"]
        self.notices = [m.fields for m in messages if m.kind == "N"]
        self.status = next((m.body.decode() for m in reversed(messages) if m.kind == "Z"), None)

    @property
    def sqlstate(self):
        """The first error's SQLSTATE, or None."""
        return self.errors[0]["C"] if self.errors else None


class Wire:
    """One connection. Every wait ends after timeout_s with a TimeoutError."""

    def __init__(self, port, host="127.0.0.1", timeout_s=15):
        self.port, self.host, self.timeout_s = port, host, timeout_s
        self.sock = socket.create_connection((host, port), timeout_s)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.parameters, self.pid, self.key = {}, None, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- bytes ---

    def send(self, *parts):
        self.sock.sendall(b"".join(parts))
        return self

    def send_cut(self, data, at, pause_s=0.002):
        """Sends the data in two segments, cut at this byte."""
        self.sock.sendall(data[:at])
        time.sleep(pause_s)
        self.sock.sendall(data[at:])

    def drip(self, data, pause_s=0):
        """Sends the data byte by byte."""
        for at in range(len(data)):
            self.sock.sendall(data[at : at + 1])
            if pause_s:
                time.sleep(pause_s)

    def raw(self, count):
        """The next bytes as they come, before any message."""
        self._fill(count)
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        return taken

    def _fill(self, count):
        while len(self.buffer) < count:
            try:
                got = self.sock.recv(65536)
            except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError) as error:
                raise Closed(reset=True, rest=bytes(self.buffer)) from error
            if not got:
                raise Closed(rest=bytes(self.buffer))
            self.buffer += got

    # --- messages ---

    def message(self):
        """The next message. Raises Closed at the end of the connection."""
        self._fill(5)
        kind, length = chr(self.buffer[0]), struct.unpack_from("!I", self.buffer, 1)[0]
        if length < 4:
            raise ValueError(f"message {kind!r} with length {length}")
        self._fill(1 + length)
        body = bytes(self.buffer[5 : 1 + length])
        del self.buffer[: 1 + length]
        if kind == "S":
            name, value = body.split(b"\0")[:2]
            self.parameters[name.decode()] = value.decode("utf-8", "replace")
        return Message(kind, body)

    def until(self, *kinds):
        """The messages up to and with the first of these types."""
        got = []
        while not got or got[-1].kind not in kinds:
            got.append(self.message())
        return got

    def ready(self, count=1):
        """The messages up to and with the count-th ReadyForQuery."""
        got = []
        for _ in range(count):
            got += self.until("Z")
        return got

    def rest(self):
        """All messages until the peer closes the connection."""
        got = []
        try:
            while True:
                got.append(self.message())
        except Closed:
            return got

    def quiet(self, limit_s):
        """The messages that arrive within this time; the connection must stay open."""
        got, end = [], time.monotonic() + limit_s
        try:
            while (left := end - time.monotonic()) > 0:
                self.sock.settimeout(left)
                got.append(self.message())
        except TimeoutError:
            pass
        finally:
            self.sock.settimeout(self.timeout_s)
        return got

    # --- conversations ---

    def start_tls(self, context=None, server_hostname="localhost"):
        """SSLRequest, then the handshake; raises ServerError unless the answer is S."""
        self.send(ssl_request())
        answer = self.raw(1)
        if answer != b"S":
            raise ServerError({"C": "no TLS", "M": f"the answer to SSLRequest was {answer!r}"})
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.sock = context.wrap_socket(self.sock, server_hostname=server_hostname)
        return self

    def login(self, user, database=None, password=None, version=PROTOCOL_3_0, **params):
        """Logs in; returns the messages. Raises ServerError if that is refused."""
        self.send(startup({"user": user, **({"database": database} if database else {}), **params}, version))
        return self.authenticate(user, password)

    def authenticate(self, user, password):
        """Answers what the server asks until ReadyForQuery."""
        got, scram = [], None
        while not got or got[-1].kind != "Z":
            got.append(self.message())
            kind, body = got[-1]
            if kind == "E":
                raise ServerError(got[-1].fields)
            if kind == "K":
                self.pid, self.key = struct.unpack_from("!I", body)[0], body[4:]
            if kind == "R":
                code = struct.unpack_from("!I", body)[0]
                if code in (3, 5, 10) and password is None:
                    raise ServerError({"C": "password", "M": "a password is asked for"})
                if code == 3:
                    self.send(message("p", cstring(password)))
                elif code == 5:
                    self.send(message("p", cstring(md5_answer(user, password, body[4:8]))))
                elif code == 10:
                    scram = Scram(password)
                    self.send(
                        message("p", cstring("SCRAM-SHA-256") + struct.pack("!I", len(scram.first())) + scram.first())
                    )
                elif code == 11:
                    self.send(message("p", scram.final(body[4:])))
                elif code == 12:
                    scram.verify(body[4:])
                elif code != 0:
                    raise ServerError({"C": "auth", "M": f"authentication request {code}"})
        return got

    def query(self, sql):
        """One simple query; returns its Result, errors included."""
        return Result(self.send(query(sql)).ready())

    def rows(self, sql):
        """The rows of a simple query; raises ServerError."""
        result = self.query(sql)
        if result.errors:
            raise ServerError(result.errors[0])
        return result.rows

    def scalar(self, sql):
        return self.rows(sql)[0][0]

    def prepared(self, sql, *params, name="", more=b""):
        """One extended query with its Sync; returns its Result, errors included."""
        return Result(self.send(one_shot(sql, *params, name=name), more, sync()).ready())

    def cancel(self, pid=None, key=None):
        """Sends a CancelRequest on a connection of its own and waits until that is closed."""
        with Wire(self.port, self.host, self.timeout_s) as other:
            other.send(cancel_request(self.pid if pid is None else pid, self.key if key is None else key))
            try:
                return other.rest()
            except OSError:
                return []

    # --- endings ---

    def close(self):
        self.sock.close()

    def terminate(self):
        """A polite end."""
        try:
            self.sock.sendall(terminate())
        except OSError:
            pass
        self.close()

    def reset(self):
        """An impolite end: a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def is_closed(self, limit_s=10):
        """Waits for the peer to close; false if it does not."""
        self.sock.settimeout(limit_s)
        try:
            self.rest()
            return True
        except TimeoutError:
            return False
        finally:
            self.sock.settimeout(self.timeout_s)


# --- secrets --------------------------------------------------------------------------------------


def md5_secret(user, password):
    """As it stands in pg_authid."""
    return "md5" + hashlib.md5((password + user).encode()).hexdigest()


def md5_answer(user, password, salt):
    return "md5" + hashlib.md5(md5_secret(user, password)[3:].encode() + salt).hexdigest()


def digest(key, text):
    return hmac.new(key, text, hashlib.sha256).digest()


def scram_secret(password, salt=None, iterations=4096):
    """As it stands in pg_authid."""
    salt = salt or os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(digest(salted, b"Client Key")).digest()
    server = digest(salted, b"Server Key")
    return (
        f"SCRAM-SHA-256${iterations}:{base64.b64encode(salt).decode()}$"
        f"{base64.b64encode(stored).decode()}:{base64.b64encode(server).decode()}"
    )


class Scram:
    """The client's half of SCRAM-SHA-256 without channel binding (RFC 5802, 7677)."""

    def __init__(self, password):
        self.password = password.encode()
        self.bare = b"n=,r=" + base64.b64encode(os.urandom(18))
        self.signature = None

    def first(self):
        return b"n,," + self.bare

    def final(self, server_first):
        parts = dict(part.split(b"=", 1) for part in server_first.split(b","))
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(parts[b"s"]), int(parts[b"i"]))
        without_proof = b"c=biws,r=" + parts[b"r"]
        whole = self.bare + b"," + server_first + b"," + without_proof
        key = digest(salted, b"Client Key")
        proof = bytes(a ^ b for a, b in zip(key, digest(hashlib.sha256(key).digest(), whole)))
        self.signature = digest(digest(salted, b"Server Key"), whole)
        return without_proof + b",p=" + base64.b64encode(proof)

    def verify(self, server_final):
        if base64.b64decode(server_final[2:]) != self.signature:
            raise ServerError({"C": "scram", "M": "the server does not know the password"})
