"""Plays a script over a connection and writes down what came back.

A script is plain data, so that it can be kept in a file and cut shorter:

    {"user": "plain", "params": {"options": "-c work_mem=2MB"}, "steps": [
        [["Q", "SELECT 1"]],
        [["P", "s1", "SELECT $1::int", []], ["B", "", "s1", ["7"], []], ["E", "", 0], ["S"]],
        ["~", 0, "BEGIN"],
        [["P", "", "SELECT 2", []], ["H"]]]}

A step is a list of frontend messages that are sent together, or ["~", CLIENT, ...]: a query of one
of the interfering clients, who are there only when a proxy is. After a step that ends with a Query,
Sync, Flush or the end of a COPY the player waits until every reply due has come. What is due is
known from what was sent: one message ends the reply to each request, an error drops the requests
up to the next Sync. So nothing here depends on time, but for notifications: ["!", SQL] is a query of a
client beside the proxy, and ["A"] waits for a notification: on a direct connection one is there before
the answer to a Sync is, and through the proxy it is waited for if a direct connection had one.

The transcript has what may differ from one connection to another taken out: see Transcript.
"""

import collections
import re
import select
import socket
import struct

WAIT_S = 10
NOTIFICATION_WAIT_S = 3


class Stuck(Exception):
    """An answer that did not come."""


class Closed(Exception):
    """The peer has closed the connection."""


# --- frontend messages ----------------------------------------------------------------------------


def text(value):
    return value.encode("utf-8", "surrogateescape") + b"\0"


def framed(kind, body):
    return kind + struct.pack("!I", len(body) + 4) + body


def encode_parse(name, sql, types=()):
    return framed(b"P", text(name) + text(sql) + struct.pack(f"!H{len(types)}I", len(types), *types))


def encode_bind(portal, name, params=(), formats=()):
    values = bytearray(struct.pack("!HH", 0, len(params)))
    for value in params:
        if value is None:
            values += b"\xff\xff\xff\xff"
        else:
            value = value.encode("utf-8", "surrogateescape")
            values += struct.pack("!I", len(value)) + value
    return framed(b"B", text(portal) + text(name) + values + struct.pack(f"!H{len(formats)}H", len(formats), *formats))


def encode_call(function, *args):
    """A FunctionCall with integer arguments in text, its result in text."""
    values = bytearray(struct.pack("!IHH", function, 0, len(args)))
    for value in args:
        values += struct.pack("!I", len(value)) + value.encode()
    return framed(b"F", bytes(values) + b"\0\0")


ENCODERS = {
    "Q": lambda sql: framed(b"Q", text(sql)),
    "P": encode_parse,
    "B": encode_bind,
    "D": lambda what, name: framed(b"D", what.encode() + text(name)),
    "E": lambda portal, rows=0: framed(b"E", text(portal) + struct.pack("!I", rows)),
    "C": lambda what, name: framed(b"C", what.encode() + text(name)),
    "S": lambda: b"S\0\0\0\4",
    "H": lambda: b"H\0\0\0\4",
    "F": encode_call,
    "d": lambda data: framed(b"d", data.encode()),
    "c": lambda: b"c\0\0\0\4",
    "f": lambda reason: framed(b"f", text(reason)),
}

# What ends the reply to a request, besides an error. A query's ends with ReadyForQuery alone.
ENDS = {"P": "1", "B": "2", "C": "3", "D": "Tn", "E": "CIs", "S": "Z", "Q": "Z", "F": "Z"}
AWAITED = "QSHFcf"

HEADER = struct.Struct("!BI")
KINDS = [chr(number) for number in range(256)]


# --- one connection -------------------------------------------------------------------------------


class Transcript:
    """The messages of a connection, without what differs between any two connections: pids and
    keys, where in the server's source an error was raised, the order of settings reported
    together and of notifications amid them, where in a pipeline a notification comes (when the
    server looks for more of it, or at the end), and the oids of tables made since (they are numbered
    as they come)."""

    FIRST_NORMAL_OID = 16384

    # What is not looked at: "pids" in notifications, "names" of statements in errors.
    forgiven = frozenset()

    def __init__(self, fixed_oids=()):
        self.lines, self.settings, self.tables = [], [], {}
        self.told = []  # notifications amid a pipeline
        self.fixed_oids = fixed_oids
        self.pid = None

    def add(self, step, kind, body, amid=False):
        if kind == "A" and amid:
            self.told.append((step, self.line(kind, body)))
            return
        if kind in "Z!":
            self.lines += self.told
            self.told = []
        if kind == "S":
            self.settings.append((step, "S " + body[:-1].replace(b"\0", b" = ").decode("utf-8", "replace")))
            return
        if kind == "A" and self.settings:
            self.lines.append((step, self.line(kind, body)))
            return
        if self.settings:
            self.lines += sorted(self.settings)
            self.settings = []
        self.lines.append((step, self.line(kind, body)))

    def line(self, kind, body):
        if kind in "EN":
            body = re.sub(rb"tuple \(\d+,\d+\)", b"tuple", body)
            if "names" in self.forgiven:
                body = re.sub(rb'prepared statement "[^"]*"', b'prepared statement "..."', body)
            fields = [part.decode("utf-8", "replace") for part in body.split(b"\0") if part]
            return f"{kind} " + " ".join(f"{part[0]}={part[1:]!r}" for part in fields if part[0] not in "FLR")
        if kind == "K":
            self.pid = body[:4]
            return f"K of {len(body)} bytes"
        if kind == "A":
            by = "itself" if "pids" in self.forgiven or body[:4] == self.pid else "another"
            return f"A by {by}: {body[4:]!r}"
        if kind == "T":
            return "T " + self.columns(body)
        return f"{kind} {body!r}" if body else kind

    def columns(self, body):
        found, at = [], 2
        for _ in range(struct.unpack_from("!H", body)[0]):
            end = body.index(b"\0", at)
            name, at = body[at:end].decode("utf-8", "replace"), end + 1
            table, column, kind, size, modifier, form = struct.unpack_from("!IHIhih", body, at)
            at += 18
            if table >= self.FIRST_NORMAL_OID and table not in self.fixed_oids:
                table = f"new{self.tables.setdefault(table, len(self.tables))}"
            found.append(f"{name}:{table}.{column}:{kind}/{size}/{modifier}/{form}")
        return " ".join(found)

    def note(self, step, what):
        self.add(step, "!", b"")
        self.lines[-1] = (step, what)


class Connection:
    """One client; blocking, and every wait ends after wait_s. `place`: a port of 127.0.0.1, or the
    path of a unix socket. Without a transcript the bodies of messages are not looked at, but for
    errors and ReadyForQuery."""

    def __init__(self, place, startup, transcript=None, wait_s=WAIT_S):
        self.transcript, self.wait_s, self.step = transcript, wait_s, 0
        self.due, self.skipping, self.status = collections.deque(), False, ""
        self.buffer, self.at = b"", 0
        self.is_between = True  # nothing was sent that a Sync would end
        self.sock = self.connect(place, wait_s)
        body = b"".join(text(key) + text(value) for key, value in startup.items()) + b"\0"
        self.sock.sendall(struct.pack("!II", len(body) + 8, 3 << 16) + body)
        self.error = None
        try:
            while self.message() != "Z":
                pass
        except BaseException:
            self.sock.close()
            raise

    @staticmethod
    def connect(place, wait_s):
        if isinstance(place, int):
            sock = socket.create_connection(("127.0.0.1", place), wait_s)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(wait_s)
        sock.connect(place)
        return sock

    def message(self):
        """Reads a message; returns its type."""
        while len(self.buffer) - self.at < 5:
            self.fill()
        kind, length = HEADER.unpack_from(self.buffer, self.at)
        while len(self.buffer) - self.at < 1 + length:
            self.fill()
        start = self.at + 5
        self.at += 1 + length
        kind = KINDS[kind]
        if kind == "Z":
            self.status = chr(self.buffer[start])
        elif kind == "E":
            self.error = self.buffer[start : self.at]
        if self.transcript is not None:
            amid = not self.is_between or (self.due and self.due[0] in "PBDEC")
            self.transcript.add(self.step, kind, self.buffer[start : self.at], amid)
        return kind

    def fill(self):
        try:
            got = self.sock.recv(65536)
        except TimeoutError:
            raise Stuck(f"no answer within {self.wait_s} s, due: {''.join(self.due)}") from None
        except OSError:
            got = b""
        if not got:
            raise Closed
        self.buffer = self.buffer[self.at :] + got if self.at < len(self.buffer) else got
        self.at = 0

    def send(self, messages):
        """Sends the messages of a step, and waits for what is due if they are to be answered."""
        self.is_between = messages[-1][0] in "SQF"
        for message in messages:
            kind = message[0]
            if kind == "S":
                self.skipping = False
            if kind in ENDS and not self.skipping:
                self.due.append(kind)
        try:
            self.sock.sendall(b"".join(ENCODERS[message[0]](*message[1:]) for message in messages))
        except TimeoutError:
            raise Stuck("nothing is read any more") from None
        except OSError:
            pass  # what was said before the end is still read
        if messages[-1][0] in AWAITED:
            self.settle(copy_ends=messages[-1][0] in "cf" or any(m[0] in "cf" for m in messages))

    def settle(self, copy_ends=True):
        """Reads until nothing is due any more, or until the server wants the data of a COPY."""
        while self.due:
            kind = self.message()
            head = self.due[0]
            if kind == "E" and head not in "QF":
                if head != "S":
                    self.skip_to_sync()
            elif kind == "G" and not copy_ends:
                return
            elif kind in ENDS[head]:
                self.due.popleft()

    def skip_to_sync(self):
        while self.due and self.due[0] != "S":
            self.due.popleft()
        self.skipping = not self.due

    def query(self, sql):
        """A simple query whose answer does not matter."""
        self.send([["Q", sql]])

    def late(self):
        """Whether something has come that nothing asked for."""
        return len(self.buffer) > self.at or bool(select.select([self.sock], [], [], 0)[0])

    def await_notification(self):
        """Reads a message that nothing asked for, if one comes in time."""
        if len(self.buffer) > self.at or select.select([self.sock], [], [], NOTIFICATION_WAIT_S)[0]:
            self.message()

    def hear_notification(self):
        """Of a direct connection, behind a NOTIFY that has been answered: its process has been
        signalled, and looks before it is ready again. The Sync is not written down."""
        if not self.is_between or self.skipping or self.due:
            self.await_notification()
            return
        self.send([["S"]])
        self.transcript.lines.pop()

    def terminate(self, wait=False):
        """A polite end; waits until the server's process is gone, and its locks with it."""
        try:
            self.sock.sendall(b"X\0\0\0\4")
            while wait and self.sock.recv(65536):
                pass
        except OSError:
            pass
        self.sock.close()


# --- a script -------------------------------------------------------------------------------------


class Interference:
    """The other clients of a script's pool. Each is logged in when it is first needed."""

    PARAMS = [
        {"application_name": "other0"},
        {"DateStyle": "German", "client_encoding": "LATIN1"},
        {"options": "-c search_path=other -c work_mem=19MB -c extra_float_digits=0"},
        {"TimeZone": "Asia/Tokyo", "IntervalStyle": "iso_8601"},
    ]

    def __init__(self, place, database, user, wait_s=WAIT_S):
        self.place, self.database, self.user, self.wait_s = place, database, user, wait_s
        self.clients = {}

    def play(self, step):
        """["~", CLIENT, SQL] or ["~", CLIENT, [messages]]"""
        try:
            client = self.clients.get(step[1])
            if client is None:
                startup = {"user": self.user, "database": self.database, **self.PARAMS[step[1]]}
                client = self.clients[step[1]] = Connection(self.place, startup, wait_s=self.wait_s)
            client.send([["Q", step[2]]] if isinstance(step[2], str) else step[2])
        except Closed:
            raise Stuck(f"interfering client {step[1]} was closed") from None
        except Stuck as stuck:
            raise Stuck(f"interfering client {step[1]}: {stuck}") from None

    def end(self):
        for client in self.clients.values():
            client.terminate()


def play(script, place, database, interference, outside, fixed_oids=(), heard=None, wait_s=WAIT_S):
    """Plays the script; returns the transcript's lines as (step, line). `interference` is None for
    a direct connection, `outside` a connection of another client to the server itself. `heard`: the
    steps at which a direct connection was notified; None for the direct one itself."""
    transcript = Transcript(fixed_oids)
    startup = {"user": script["user"], "database": database, **script.get("params", {})}
    client = None
    number = 0
    try:
        client = Connection(place, startup, transcript, wait_s)
        for number, step in enumerate(script["steps"], 1):
            client.step = number
            if step[0] == "!":
                outside.query(step[1])
            elif step[0] == "A":
                if heard is None:
                    client.hear_notification()
                elif number in heard:
                    client.await_notification()
            elif step[0] != "~":
                client.send(step)
            elif interference:
                interference.play(step)
        client.step = number = number + 1
        client.send([["S"]])
        if client.late():
            client.message()
    except Closed:
        transcript.note(number, "closed")
    except Stuck as stuck:
        transcript.note(number, f"stuck: {stuck}")
    finally:
        if client:
            client.terminate(wait=interference is None)
    return transcript.lines
