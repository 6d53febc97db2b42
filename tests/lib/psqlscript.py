"""Cuts a psql script into its statements, well enough for PostgreSQL's regression tests.

statements(text) gives pairs: the SQL, and the lines of COPY data that follow it. psql's own commands
are left out, variables are not replaced: what then doesn't parse is no statement, and harmless.
"""

import re

TOKEN = re.compile(
    r"""
    (?P<line>--[^\n]*) | (?P<block>/\*) | (?P<escaped>\b[eE]'(?:[^'\\]|\\.|'')*'?)
    | (?P<string>'[^']*'?) | (?P<name>"[^"]*"?)
    | (?P<dollar>\$(?:[A-Za-z_\x80-\U0010ffff][\w\x80-\U0010ffff]*)?\$)
    | (?P<meta>\\[^\n;]*) | (?P<open>\() | (?P<close>\)) | (?P<end>;) | (?P<word>[\w$]+)
    """,
    re.X | re.S,
)
COPY_IN = re.compile(r"copy\b.*\bfrom\s+stdin\b", re.I | re.S)


def skip_block(text, at):
    """Behind a /* comment, which may hold others."""
    depth = 0
    for match in re.compile(r"/\*|\*/").finditer(text, at):
        depth += 1 if match.group() == "/*" else -1
        if depth == 0:
            return match.end()
    return len(text)


def copy_data(text, at):
    """The lines up to \\. and where they end."""
    start = text.find("\n", at) + 1
    if start == 0:
        return "", at
    end = re.compile(r"^\\\.$", re.M).search(text, start)
    if not end:
        return "", at
    return text[start:end.start()], end.end()


def statements(text):
    at = start = depth = atomic = 0
    words = []
    while match := TOKEN.search(text, at):
        kind, at = match.lastgroup, match.end()
        if kind == "block":
            at = skip_block(text, match.start())
        elif kind == "dollar":
            found = text.find(match.group(), at)
            at = len(text) if found < 0 else found + len(match.group())
        elif kind == "open":
            depth += 1
        elif kind == "close":
            depth = max(depth - 1, 0)
        elif kind == "word":
            words.append(match.group().lower())
            if words[-2:] == ["begin", "atomic"]:
                atomic = 1
            elif atomic and words[-1] == "case":
                atomic += 1
            elif atomic and words[-1] == "end":
                atomic -= 1
        elif kind == "meta" or (kind == "end" and depth == 0 and atomic == 0):
            sql = text[start:match.start()]
            data = ""
            if kind == "end" and COPY_IN.match(sql.lstrip()):
                data, at = copy_data(text, at)
            if words and (kind == "end" or re.match(r"\\(g|gx|gset|gexec|crosstabview)\b", match.group())):
                yield sql.strip(), data
            start, depth, atomic, words = at, 0, 0, []
