"""Where two transcripts of a script part, and what is not counted as a difference.

An excuse is for what no proxy can do (docs/compatibility.md names each), is as narrow as it can be
told from the transcripts, and is counted. Behind it the comparison goes on: with the next line
where both have failed, behind the next ReadyForQuery where one has failed. It ends there only when
the two are not in the same state any more: in a transaction that has failed for one of them, or
where more of the same batch was run for one of them.
"""

import ast
import json
import re
import struct


def brief(line):
    """A transcript's line as a kind: its type, and an error's code."""
    code = re.search(r" C='(\w+)'", line)
    return line[0] + (f" {code[1]}" if code and line[0] in "EN" else "") if not line.startswith("stuck") else line[:12]


class Difference:
    """What a script showed; `index` and `other_index` are where."""

    NOTHING = (None, "nothing more")

    def __init__(self, script, direct, proxied, index, other_index):
        self.script, self.direct, self.proxied = script, direct, proxied
        self.index, self.other_index = index, other_index
        self.one = direct[index] if index < len(direct) else self.NOTHING
        self.other = proxied[other_index] if other_index < len(proxied) else self.NOTHING

    @property
    def kind(self):
        return f"{brief(self.one[1])} / {brief(self.other[1])}"

    @property
    def number(self):
        """Of the step; 0 is the login."""
        return self.one[0] if self.one[0] is not None else self.other[0]

    @property
    def step(self):
        steps = self.script["steps"]
        if self.number == 0:
            return "login"
        return "end" if self.number > len(steps) else json.dumps(steps[self.number - 1])

    def near(self):
        """The messages of what is sent up to the step without waiting for an answer, at most three
        steps, and of the steps behind it that belong to the same batch."""
        steps, first = self.script["steps"], max(self.number - 3, 0)
        last = self.number
        while last < len(steps) and not self.ends_batch(steps[last - 1]):
            last += 1
        return [message for step in steps[first:last] if isinstance(step[0], list) for message in step]

    @staticmethod
    def ends_batch(step):
        return isinstance(step[0], list) and step[-1][0] in "SQF"

    @property
    def batch_from(self):
        """How many steps stand before those that are sent with it without a Sync in between."""
        steps, first = self.script["steps"], self.number - 1
        while first > 0 and not self.ends_batch(steps[first - 1]):
            first -= 1
        return first

    def texts(self, first=0, last=None):
        """All texts of the script's client from a step on, up to this one or another."""
        for number, text in self.numbered_texts():
            if first < number <= (self.number if last is None else last):
                yield text

    def numbered_texts(self):
        """The same from the first to this step, each with its step's number."""
        for number, step in enumerate(self.script["steps"][: self.number], 1):
            for message in step if isinstance(step[0], list) else []:
                if message[0] in "QP":
                    yield number, message[1] if message[0] == "Q" else message[2]

    def has_names_in_parse(self):
        """Whether a Parse of the script has a text that names statements."""
        parses = [m for step in self.script["steps"] if isinstance(step[0], list) for m in step if m[0] == "P"]
        return any(re.match(r"(PREPARE|EXECUTE|DEALLOCATE)\b", message[2]) for message in parses)

    @property
    def is_described(self):
        """Whether a Describe of a statement is where the direct connection's error is."""
        return self.index > 0 and self.direct[self.index - 1][1].startswith("t ")

    @property
    def is_short(self):
        return len(self.script["steps"]) < 25

    def group(self):
        """Rough sameness of causes."""
        words = re.findall(r"[A-Za-z_]{3,}", self.step)
        return f"{self.kind} at {' '.join(words[:2])}"

    def text(self):
        lines = [f"seed {self.script['seed']}, user {self.script['user']}, params {json.dumps(self.script['params'])}"]
        for at, step in enumerate(self.script["steps"], 1):
            if at <= self.number and (self.is_short or step[0] != "~"):
                lines.append(f"  {at:3} {json.dumps(step, ensure_ascii=False)}")
        lines.append(f"  direct : step {self.one[0]}: {self.one[1][:400]}")
        lines.append(f"  proxied: step {self.other[0]}: {self.other[1][:400]}")
        return "\n".join(lines)


# --- excuses --------------------------------------------------------------------------------------

# How the comparison goes on: with the next line of both, or of one only, direct or proxied; behind
# the next ReadyForQuery of both; not at all.
LINE, ONE_LINE, OTHER_LINE, BATCH, BATCH_IF_SAME, REST = range(6)


def both(one, other):
    return lambda found: bool(re.match(one, found.one[1]) and re.match(other, found.other[1]))


def is_startup(found):
    """Of two bad parameters at startup, either may be complained about."""
    kinds = "22023|42704|55P02|42501|08P01|25001"
    options = found.script["params"].get("options", "")
    count = len(found.script["params"]) - bool(options) + options.count("-c") + len(re.findall(r"--\w", options))
    return found.one[0] == found.other[0] == 0 and count > 1 and both(*[f"E .*C='({kinds})'"] * 2)(found)


def without_names(line):
    return re.sub(r'prepared statement "[^"]*"', "prepared statement", re.sub(r" P='[0-9]+'", "", line))


def is_named_otherwise(found):
    """Errors that say the same but for the name or the position. The name is ours if the statement's
    own text names statements; a position inside the text of a PREPARE counts our longer name."""
    one, other = found.one[1], found.other[1]
    if not one.startswith("E ") or one == other or without_names(one) != without_names(other):
        return False
    if "prepared statement" not in one:
        bound = [message[2] for message in found.near() if message[0] == "B"]
        prepared = any(f"PREPARE {name} " in text for name in bound if name for text in found.texts())
        return "EXECUTE" in found.step or prepared
    return found.has_names_in_parse()


# What a `SELECT * FROM alt ORDER BY 1` may answer, however alt was altered, in text or binary.
ALT_COLUMNS = re.compile(r"T a:\S+ b:\S+( c:\S+)?$")


def values(body):
    """The columns of a DataRow."""
    at, found = 2, []
    for _ in range(struct.unpack_from("!H", body)[0]):
        size = struct.unpack_from("!i", body, at)[0]
        found.append(None if size < 0 else body[at + 4 : at + 4 + size])
        at += 4 + max(size, 0)
    return found


def is_alt_row(body, number):
    row, wanted = values(body), ((1, 2), (3, 4))[number]
    forms = [{b"%d" % value, struct.pack("!i", value), struct.pack("!q", value)} for value in wanted]
    return len(row) in (2, 3) and row[2:] in ([], [None]) and all(value in form for value, form in zip(row, forms))


def is_healed(found):
    """A statement whose table was altered is prepared anew instead of refused: what it answers must
    be that table as it is now."""
    if "C='0A000' M='cached plan must not change result type'" not in found.one[1]:
        return False
    rows = 0
    for _, line in found.proxied[found.other_index :]:
        kind = line[0]
        if kind == "D":
            if rows > 1 or not is_alt_row(ast.literal_eval(line[2:]), rows):
                return False
            rows += 1
        elif kind == "T" and not ALT_COLUMNS.match(line):
            return False
        elif kind == "T" and found.is_described:
            return True
        elif kind in "ECsZ":
            return kind != "E" or " C='25P02'" in line
        elif kind not in "T123tnS":
            return False
    return False


def is_unasked_sequence(found):
    """A value is kept behind a plain read only for who has asked before it was made."""
    asks = re.compile(r"\b(lastval|currval)\(")
    texts = list(found.texts())
    if not asks.search(found.step) and not any(asks.search(text) for text in texts[-12:]):
        return False
    # What stands in a step that has failed may not have been reached.
    failed = {step for step, line in found.direct if line.startswith("E ")}
    makes = [at for at, (step, text) in enumerate(found.numbered_texts()) if "nextval(" in text and step not in failed]
    made = max(makes, default=len(texts) - 1)
    if any(asks.search(text) for text in texts[:made]):
        return False
    return both(r"[TDCs]", r"E .*C='55000' M='(lastval|currval of sequence \"\w+\") is not yet")(found)


def shows_sent_text(found):
    """pg_cursors has a text as it was sent, with our names of statements in it."""
    names = rb"\b(PREPARE|EXECUTE|DEALLOCATE) \w+"
    if "FROM pg_cursors" not in found.step or not both("D ", "D .*howdah_")(found):
        return False
    one, other = ([re.sub(names, rb"\1", value or b"") for value in values(ast.literal_eval(line[2:]))]
                  for line in (found.one[1], found.other[1]))
    return one == other


def described_execute(found):
    """A Describe of an EXECUTE tells what it would return now; PostgreSQL what it would have when it
    was parsed, and if there is nothing of that name any more, an error."""
    described = {message[2] for message in found.near() if message[0] == "D" and message[1] == "S"}
    described |= {message[2] for message in found.near() if message[0] == "B"}
    steps = [step for step in found.script["steps"] if isinstance(step[0], list)]
    texts = [m[2] for step in steps for m in step if m[0] == "P" and m[1] in described]
    same = both("[nT]", "[nT]")(found) or (found.is_described and both(r"E .*C='26000'", "n")(found))
    return same and any(text.startswith("EXECUTE") for text in texts)


def parsed_execute(found):
    """What an EXECUTE runs is prepared on the link ahead of its Parse, which PostgreSQL accepts
    whatever has become of it."""
    parses = any(message[0] == "P" and "EXECUTE " in message[2] for message in found.near())
    return parses and both("1$", r"E .*C='(42P01|42883)'")(found)


def listens_late(found):
    """PostgreSQL looks for what was notified when it is ready for the next query: by then a LISTEN
    holds that stands in the same query, or pipeline, behind the COMMIT."""
    told = re.match(r"A by itself: (b.*)$", found.one[1])
    if not told:
        return False
    channel = ast.literal_eval(told[1]).split(b"\0")[0].decode("utf-8", "replace")
    channel = channel if channel.isidentifier() else f'"{channel}"'
    batch = "; ".join(found.texts(found.batch_from))
    listens = re.search(rf"\b(COMMIT|END)\b[^;]*;(.*;)? *LISTEN {re.escape(channel)}(;|$)", batch)
    earlier = found.texts(0, found.batch_from)
    return bool(listens) and not any(f"LISTEN {channel}" in text for text in earlier)


def reads_anew(found):
    """PostgreSQL analyses what it has prepared anew when any session makes a schema (PlanCacheSysCallback
    in plancache.c; the first temporary table of a backend makes one): then a temporary table is meant
    that is there since."""
    made = any("TEMP TABLE kv" in text for text in found.texts())
    return made and any(message[0] == "B" and message[2] for message in found.near()) and both("[TDC]", "[TDC]")(found)


def is_unread_reset(found):
    """While standard_conforming_strings is off texts are not read: a RESET that was prepared then has
    gone to the server's default, not to what the startup asked for."""
    texts = list(found.texts())
    off = next((at for at, text in enumerate(texts) if re.search(r"standard_conforming_strings\W.*\boff", text)), None)
    parsed = {m[2] for step in found.script["steps"] if isinstance(step[0], list) for m in step if m[0] == "P"}
    resets = off is not None and any(text in parsed and re.match("RESET |DISCARD ALL", text) for text in texts[off:])
    shows = re.search(r"SHOW|current_setting|pg_settings|FROM owned", found.step)
    return bool(resets and shows and found.script["params"]) and both("D ", "D ")(found)


def is_out_of_reach(found):
    """A query that ends a failed transaction and executes what the link has not: there it can't be
    prepared ahead."""
    ends = re.match(r'\[\["Q", "(COMMIT|END|ROLLBACK|ABORT|PREPARE TRANSACTION)\b[^;]*;.*\bEXECUTE ', found.step)
    before = [line for step, line in found.direct if step is not None and step < found.number and line[0] == "Z"]
    other = r"E .*C='26000' M='prepared statement \"howdah_"
    return bool(ends and before and before[-1] == "Z b'E'" and both(".", other)(found))


EXCUSES = [
    # The statement is not on the link, and a failed transaction doesn't let it be prepared there; or
    # it is prepared there anew, under a search_path that has changed meanwhile: refused all the same.
    ("number of parameters", LINE, both(r"E .*C='08P01' M='bind message supplies", r"E .*C='(25P02|42P01|42883)'")),
    ("described in a failed transaction", BATCH_IF_SAME, both(r"t ", r"E .*C='25P02'")),
    ("described without its table", BATCH_IF_SAME, both(r"t ", r"E .*C='42P01'")),
    # A cursor that fails at its commit: what stands behind our longer UNLISTEN has been told by then.
    ("fails behind UNLISTEN", OTHER_LINE, both(r"E .*C='22012'", r"C b'UNLISTEN")),
    ("syntax in a failed transaction", LINE, both(r"E .*C='42601'", r"E .*C='25P02'")),
    ("healed", BATCH_IF_SAME, is_healed),
    # A Parse whose text is known at the server is not sent, and so takes no snapshot.
    ("snapshot", REST, both(r"E .*C='25001' M='SET TRANSACTION ISOLATION LEVEL must be", r"C b'(SET|BEGIN)\\x00'")),
    ("snapshot", LINE, both(r"E .*C='25001' M='SET TRANSACTION SNAPSHOT must be", r"E .*C='(0A000|22023)'")),
    # A statement that is prepared anew on the link takes one, and so does what is set behind a RESET.
    ("our snapshot", LINE, both(r"E .*C='(0A000|22023)'", r"E .*C='25001' M='SET TRANSACTION SNAPSHOT must be")),
    ("name", LINE, is_named_otherwise),
    ("startup", LINE, is_startup),
    ("text of a cursor", LINE, shows_sent_text),
    ("described EXECUTE", LINE, lambda found: found.one[1][0] != "E" and described_execute(found)),
    ("described EXECUTE of none", BATCH_IF_SAME, described_execute),
    ("parsed EXECUTE", BATCH_IF_SAME, parsed_execute),
    ("listens late", ONE_LINE, listens_late),
    ("read anew", BATCH_IF_SAME, reads_anew),
    ("out of reach", BATCH_IF_SAME, is_out_of_reach),
    ("unread RESET", BATCH_IF_SAME, is_unread_reset),
    ("sequence", BATCH_IF_SAME, is_unasked_sequence),
]


def excuse_of(found):
    return next(((name, behind) for name, behind, applies in EXCUSES if applies(found)), None)


# --- comparing ------------------------------------------------------------------------------------


def first_difference(direct, proxied, index, other_index):
    """Where the transcripts differ from there on, as indexes into both; or None."""
    while index < len(direct) and other_index < len(proxied):
        if direct[index][1] != proxied[other_index][1]:
            return index, other_index
        index, other_index = index + 1, other_index + 1
    return None if index == len(direct) and other_index == len(proxied) else (index, other_index)


def behind_ready(lines, index):
    """Where the next ReadyForQuery is; the end if there is none."""
    while index < len(lines) and not lines[index][1].startswith("Z "):
        index += 1
    return index


def status_at(lines, index):
    return lines[index][1] if index < len(lines) else ""


def ran_more(found):
    """Whether the batch of a step has more than one statement to run, or more than a Describe that
    has failed for one of them."""
    messages = found.near()
    beside = "PBCEFQ" if found.is_described else "EFQ"
    return sum(message[0] in beside for message in messages) > (not found.is_described) or any(
        message[0] == "Q" and ";" in message[1].rstrip("; ") for message in messages
    )


def compare(script, direct, proxied):
    """(a Difference or None, the names of what was excused)."""
    excused, index, other_index, loose = [], 0, 0, False
    while (at := first_difference(direct, proxied, index, other_index)) is not None:
        found = Difference(script, direct, proxied, *at)
        index, other_index = at
        excuse = excuse_of(found)
        if excuse is None:
            if not loose:
                return found, excused
            excused.append("behind " + excused[-1])
            break
        name, behind = excuse
        excused.append(name)
        if behind == REST:
            break
        if behind in (LINE, ONE_LINE, OTHER_LINE):
            index += behind != OTHER_LINE
            other_index += behind != ONE_LINE
        else:
            loose = loose or (behind == BATCH_IF_SAME and ran_more(found))
            index, other_index = behind_ready(direct, index), behind_ready(proxied, other_index)
            if behind == BATCH_IF_SAME and status_at(direct, index) != status_at(proxied, other_index):
                excused.append("state behind " + name)
                break
    return None, excused
