#!/usr/bin/env python3
"""What no compiler checks, as a test: the order of the folders, lengths, banned calls.

    tests/tidy.py               prints FILE:LINE: RULE: MESSAGE for each fault, exit 1 if any
    tests/tidy.py --self-test   shows that each rule can fail

It reads C with comments and literals blanked out, not a syntax tree: rules are heuristics that must
be right on this code. When one is wrong, make it finer here rather than writing code around it.
"""

import fnmatch
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 800
LINE_COLUMNS_MAX = 100
SCRIPT_COLUMNS_MAX = 120  # SQL in strings is long

RULES = set("""tab trailing-space line-length private-path file-length include-root include-edge
    banned-call secret-compare function-length goto-backward mutable-static header-guard essay
    umbrella comment foreign ratchet""".split())

# base <- protocol <- cache, router <- pool <- config <- daemon: what each folder may include.
EDGES = {
    "base": {"base"},
    "protocol": {"base", "protocol"},
    "cache": {"base", "protocol", "cache"},
    "router": {"base", "protocol", "router"},
    "pool": {"base", "protocol", "cache", "router", "pool"},
    "config": {"base", "protocol", "cache", "router", "pool", "config"},
    "daemon": {"base", "protocol", "cache", "router", "pool", "config", "daemon"},
}
FOLDERS = set(EDGES)
CORES = FOLDERS - {"daemon"}

# One foreign library, one file: (header, patterns of files that may include it, how many at most).
FOREIGN = [
    (r"openssl/", "protocol/openssl.c", 1),
    (r"stringprep\.h", "protocol/saslprep.c", 1),
    (r"jansson\.h", "config/json.c", 1),
    (r"pg_query\.h", "router/*.c", 1),
    (r"hiredis/", "cache/resp.c", 1),
    (r"libpq(-fe|/.*)\.h", "daemon/*.c", 4),
    (r"(uv|uv/.*)\.h", "daemon/*", None),
    (r"microhttpd\.h", "daemon/*.c", 1),
    (r"(sys/epoll|sys/socket|netdb|syslog|threads)\.h", "daemon/*", None),
    # The lock of the accounts' directory: a worker takes it when it meets a pool for the first time.
    # (Not of <threads.h>: ThreadSanitizer does not see the locks of that.)
    (r"pthread\.h", "daemon/* pool/account.c", None),
]

BANNED = {
    "strcpy": "takes no length", "strcat": "takes no length", "sprintf": "takes no length",
    "vsprintf": "takes no length", "gets": "takes no length", "strncpy": "may leave out the NUL",
    "strncat": "its length is the room left, not the room", "strtok": "has hidden state",
    "alloca": "has no limit", "rand": "chance comes from base/random.h",
    "srand": "chance comes from base/random.h", "atoi": "hides errors", "atol": "hides errors",
    "assert": "use ASSERT of base/assert.h", "setjmp": "errors are returned",
    "longjmp": "errors are returned", "system": "no shell", "popen": "no shell",
}
# A core gets time, chance and bytes as events; config may print, for its errors go to a terminal.
BANNED_IN_CORES = {
    name: "a core has no clock, socket, thread or log"
    for name in ("time clock_gettime gettimeofday usleep nanosleep getrandom socket connect accept "
                 "send recv sendmsg recvmsg poll select pthread_create").split()
}
BANNED_PRINTS = {name: "a core returns errors, it doesn't print"
                 for name in "printf fprintf perror puts syslog".split()}
PRINTERS = {"base/assert.c"}

COMPARE = re.compile(r"\b(?:memcmp|strcmp|strncmp)\s*(\((?:[^;()]|\([^;()]*\))*\))")
SECRET = re.compile(r"(?:secret|_key|proof|password)(?:->bytes|\.bytes)?\s*[,)]")

MAY_HOLD_STATE = {"daemon/main.c"}  # a signal handler has no other place to look

# Paths of one person's machine don't belong in files for everyone.
PRIVATE_PATH = re.compile(r"(?<![\w.])/(?:work|root|home/\w+)/\w")

LITERAL = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.M)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+([<"])([^>"]+)[>"]', re.M)
CALL = re.compile(r"(?<![\w.>])(\w+)\s*\(")
NO_CALL = {"if", "for", "while", "switch", "return", "sizeof"}


def blank(match):
    return re.sub(r"[^\n]", " ", match.group())


class Block:
    """A top-level statement of a file: its head, and the span of its braces if it has any."""

    def __init__(self, head, start, body=None):
        self.head, self.start, self.body = head, start, body

    @property
    def is_function(self):
        return bool(self.body) and "(" in self.head and "=" not in self.head

    @property
    def name(self):
        match = re.search(r"(\w+)\s*\(([^)]*)", self.head)
        if not match:
            return ""
        if match[1] in ("Test", "ParameterizedTest", "Theory"):
            return ".".join(part.strip() for part in match[2].split(",")[-2:])
        return match[1]


class Source:
    """One file, with what the rules ask of it."""

    def __init__(self, path, text):
        self.path, self.text = path, text
        self.folder = path.split("/")[0]
        self.is_c = path.endswith((".c", ".h"))
        self.is_header = path.endswith(".h")
        self.ours = self.is_c and self.folder in FOLDERS
        self.code = LITERAL.sub(blank, text) if self.is_c else ""
        self.plain = DIRECTIVE.sub(blank, self.code)
        self.blocks = list(self.split()) if self.is_c else []

    def line(self, offset):
        return self.text.count("\n", 0, offset) + 1

    def includes(self):
        for match in INCLUDE.finditer(LITERAL.sub(lambda m: m.group() if m.group()[0] == '"'
                                                  else blank(m), self.text)):
            yield self.line(match.start()), match[1] == '"', match[2]

    def split(self):
        depth, start, body = 0, 0, 0
        for match in re.finditer(r"[{};]", self.plain):
            char, at = match.group(), match.start()
            if char == "{":
                if depth == 0:
                    body = at
                depth += 1
            elif char == "}":
                depth -= 1
                if depth == 0 and re.search(r"\)[\s\w]*$", self.plain[start:body]):
                    yield self.block(start, body, (body, at))
                    start = at + 1
            elif depth == 0:
                span = (body, at) if start <= body and body > 0 else None
                yield self.block(start, body if span else at, span)
                start = at + 1

    def block(self, start, end, body):
        head = self.plain[start:end]
        return Block(head.strip(), start + len(head) - len(head.lstrip()), body)


def check_text(source):
    text = source.text
    columns_max = SCRIPT_COLUMNS_MAX if source.path.endswith(".py") else LINE_COLUMNS_MAX
    for number, line in enumerate(text.split("\n"), 1):
        if "\t" in line:
            yield number, "tab", "indent with spaces"
        if line != line.rstrip():
            yield number, "trailing-space", "white space at the end of the line"
        if len(line) > columns_max:
            yield number, "line-length", f"{len(line)} columns, {columns_max} allowed"
        if PRIVATE_PATH.search(line) and source.path != "tests/tidy.py":
            yield number, "private-path", "a path of one machine"
    if text and not text.endswith("\n"):
        yield text.count("\n") + 1, "trailing-space", "no newline at the end of the file"
    if source.is_c and text.count("\n") > FILE_LINES_MAX:
        yield 1, "file-length", f"{text.count(chr(10))} lines, {FILE_LINES_MAX} allowed"


def check_includes(source):
    for line, quoted, name in source.includes():
        folder = name.split("/")[0]
        if not source.ours:
            continue
        if quoted and "/" not in name:
            yield line, "include-root", f'"{name}": say it from the root, "folder/{name}"'
        elif quoted and folder not in EDGES[source.folder]:
            yield line, "include-edge", f"{source.folder}/ may not include {folder}/"
        elif not quoted and name == "assert.h":
            yield line, "banned-call", "<assert.h>: ASSERT, or _Static_assert without a header"


def check_calls(source):
    """Comments and literals are blanked, so any name with a bracket after it is a use."""
    banned = dict(BANNED)
    if source.folder in CORES:
        banned.update(BANNED_IN_CORES)
    if source.folder in CORES - {"config"} and source.path not in PRINTERS:
        banned.update(BANNED_PRINTS)
    if not source.ours:
        for name in ("assert", "system", "popen"):  # a test may run openssl(1)
            del banned[name]
    for match in CALL.finditer(source.code):
        if match[1] in banned and match[1] not in NO_CALL:
            yield source.line(match.start()), "banned-call", f"{match[1]}: {banned[match[1]]}"
    if source.ours:
        for match in COMPARE.finditer(source.code):
            if SECRET.search(match[1]):
                yield (source.line(match.start()), "secret-compare",
                       "compare secrets in constant time")


def check_functions(source):
    for block in source.blocks:
        if not block.is_function:
            continue
        first, last = source.line(block.start), source.line(block.body[1])
        if last - first + 1 > FUNCTION_LINES_MAX:
            yield (first, "function-length",
                   f"{block.name} has {last - first + 1} lines, {FUNCTION_LINES_MAX} allowed")
        body = source.plain[block.body[0]:block.body[1]]
        for match in re.finditer(r"\bgoto\s+(\w+)\s*;", body):
            if not re.search(rf"[;{{}}]\s*{match[1]}\s*:", body[match.start():]):
                yield (source.line(block.body[0] + match.start()), "goto-backward",
                       f"{match[1]}: goto only goes forward, to clean-up")


def check_state(source):
    """No global mutable state; `static const` and function-local constants are fine."""
    if not source.ours or source.path in MAY_HOLD_STATE:
        return
    for block in source.blocks:
        declared = block.head.split("=")[0]
        if block.is_function:
            for match in re.finditer(r"[;{}]\s*(static\b[^;{(=]*)",
                                     source.plain[block.body[0]:block.body[1]]):
                if not re.search(r"\bconst\b", match[1]):
                    yield (source.line(block.body[0] + match.start(1)), "mutable-static",
                           match[1].strip())
            continue
        is_type = re.match(r"(?:struct|union|enum)\s*\w*\s*$|typedef\b|_Static_assert\b|"
                           r"static_assert\b|extern\b", declared) or not declared
        # Two words at least make a declaration; a lone NAME(…) is a macro's use.
        if (is_type or "(" in declared or re.search(r"\bconst\b", declared)
                or len(re.findall(r"\w+", declared)) < 2
                or (not block.body and re.match(r"(?:struct|union|enum)\s+\w+$", declared))):
            continue
        yield source.line(block.start), "mutable-static", declared.strip()


def check_header(source):
    if not (source.ours and source.is_header):
        return
    guard = re.sub(r"\W", "_", source.path).upper()
    if not re.search(rf"^#ifndef {guard}\n#define {guard}\n", source.text, re.M):
        yield 1, "header-guard", f"must be {guard}"
    if not source.text.startswith("/*"):
        yield 1, "essay", "a header begins with a comment that says what it is for"
    has_own = bool(source.plain.strip()) or re.search(
        r"#define \w+[( ]", source.text.replace(f"#define {guard}\n", ""))
    if not has_own:
        yield 1, "umbrella", "a header that only includes others"
    yield from check_comments(source)


def check_comments(source):
    """A prototype has a comment right above it, or belongs to a group that has one. What the house
    has said once for all files (x_init, x_fini, x_new, x_free) needs none."""
    commented = {source.line(m.end()) for m in LITERAL.finditer(source.text) if m[0][:2] == "/*"}
    covered_line = 0
    for block in source.blocks:
        first = source.line(block.start)
        last = source.line(source.plain.index(";", block.start)) if not block.body else first
        is_prototype = (not block.body and re.search(r"\w\s*\(", block.head)
                        and not re.match(r"typedef|static|_Static_assert", block.head))
        if not is_prototype:
            continue
        covered = {first - 1, first, last} & commented or covered_line == first - 1
        if not covered and not re.search(r"_(init|fini|new|free)$", block.name):
            yield first, "comment", f"{block.name}: units, ownership, errors?"
        if covered:
            covered_line = last


CHECKS = [check_text, check_includes, check_calls, check_functions, check_state, check_header]


def check_foreign(sources):
    users = {}
    for source in sources:
        for line, quoted, name in source.includes() if source.ours else ():
            for row, (header, _, _) in enumerate(FOREIGN):
                if not quoted and re.match(header, name):
                    users.setdefault(row, []).append((source.path, line, name))
    for row, places in users.items():
        _, allowed, count_max = FOREIGN[row]
        for path, line, name in places:
            if not any(fnmatch.fnmatch(path, pattern) for pattern in allowed.split()):
                yield path, line, "foreign", f"<{name}> belongs in {allowed} alone"
        files = sorted({path for path, _, _ in places})
        if count_max and len(files) > count_max:
            yield (*places[-1][:2], "foreign", f"<{places[-1][2]}> in {len(files)} files, "
                   f"{count_max} allowed: {' '.join(files)}")


def check_ratchet(problems, ratchet):
    """Lets a listed function be as long as its entry says, and no entry be larger than needed."""
    path = "tests/tidy_ratchet.txt"
    listed = {}
    for number, line in enumerate(ratchet.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            place, name, lines = line.split()
            listed[place, name] = (int(lines), number)
    for problem in problems:
        if problem[2] != "function-length":
            yield problem
            continue
        name, lines = re.match(r"(\S+) has (\d+)", problem[3]).groups()
        allowed, number = listed.pop((problem[0], name), (0, 0))
        if int(lines) > allowed:
            yield problem
        elif int(lines) < allowed:
            yield path, number, "ratchet", f"{name} has shrunk: write {lines}"
    for (place, name), (_, number) in listed.items():
        yield path, number, "ratchet", f"{place} {name} is short or gone: take the line out"


def check(files, ratchet=""):
    sources = [Source(path, text) for path, text in sorted(files.items())]
    problems = [(source.path, *found) for source in sources
                for rule in CHECKS if source.is_c or rule is check_text
                for found in rule(source)]
    problems += check_foreign(sources)
    problems = sorted(check_ratchet(problems, ratchet))
    assert {problem[2] for problem in problems} <= RULES
    return problems


def tree():
    files = {}
    for top in sorted(FOLDERS | {"tests", "packaging", ".ci"}):
        for folder, folders, names in os.walk(os.path.join(ROOT, top)):
            folders[:] = [n for n in folders if n not in ("node_modules", "__pycache__", "target")
                          and not n.startswith((".", "corpus"))]
            for name in names:
                path = os.path.join(folder, name)
                if not name.endswith((".c", ".h", ".def", ".py", ".sh", "meson.build")) and not (
                        "." not in name and os.access(path, os.X_OK)):
                    continue
                with open(path, encoding="utf-8", errors="replace") as file:
                    text = file.read()
                if name.endswith((".c", ".h", ".def", ".py", ".sh", ".build")) or \
                        text.startswith("#!"):
                    files[os.path.relpath(path, ROOT)] = text
    return files


def header(body, guard="BASE_X_H"):
    return f"/* Essay. */\n#ifndef {guard}\n#define {guard}\n\n{body}\n#endif\n"


# (rule, files, ratchet): each must raise exactly that rule; "" must raise none.
LONG = "int f(void)\n{\n" + "    g();\n" * 70 + "}\n"
CASES = [
    ("", {"base/x.c": '/* strcpy(a, b); */\nstatic const char *s = "strcpy(";\n'}, ""),
    ("", {"base/x.h": header("/* D. */\nint x(void);\nint y(void);\n\nvoid x_init(void);\n")}, ""),
    ("", {"daemon/a.c": '#include "pool/x.h"\n#include <uv.h>\n'}, ""),
    ("", {"base/x.c": "static int f(void)\n{\n    goto out;\nout:\n    return 0;\n}\n"}, ""),
    ("", {"base/x.h": header("struct x;\nstruct y {\n    int z;\n};\nenum { A };\n")}, ""),
    ("", {"base/x.c": "static const struct y rows[2] = {\n    {1},\n};\nvoid f(void);\n"}, ""),
    ("", {"tests/unit/test_x.c": "static int calls;\n#include <assert.h>\n"}, ""),
    ("", {"base/x.c": LONG}, "base/x.c f 73\n"),
    ("", {"pool/x.c": "int f(void)\n{\n    return memcmp(entry->name, name, 4);\n}\n"}, ""),
    ("tab", {"base/x.c": "\tint x;\n".replace("int", "const int")}, ""),
    ("trailing-space", {"base/x.py": "x = 1 \n"}, ""),
    ("line-length", {"tests/x.sh": "#" * 101 + "\n"}, ""),
    ("private-path", {"daemon/x.c": "/* see /work/x/y */\n"}, ""),
    ("file-length", {"base/x.c": "\n" * 801}, ""),
    ("include-root", {"base/x.c": '#include "x.h"\n'}, ""),
    ("include-edge", {"base/x.c": '#include "pool/x.h"\n'}, ""),
    ("include-edge", {"cache/x.c": '#include "router/x.h"\n'}, ""),
    ("include-edge", {"pool/x.c": '#include "tests/x.h"\n'}, ""),
    ("banned-call", {"daemon/x.c": "void f(void)\n{\n    strcpy(a, b);\n}\n"}, ""),
    ("banned-call", {"base/x.c": "void f(void)\n{\n    assert(a);\n}\n"}, ""),
    ("banned-call", {"base/x.c": "#include <assert.h>\n"}, ""),
    ("banned-call", {"pool/x.c": "void f(void)\n{\n    clock_gettime(0, &t);\n}\n"}, ""),
    ("banned-call", {"pool/x.c": "void f(void)\n{\n    printf(s);\n}\n"}, ""),
    ("secret-compare", {"pool/x.c": "int f(void)\n{\n    return memcmp(a, x->a_key, 8);\n}\n"}, ""),
    ("secret-compare", {"pool/x.c": "int f(void)\n{\n    return strcmp(password, b);\n}\n"}, ""),
    ("function-length", {"base/x.c": LONG}, ""),
    ("function-length", {"base/x.c": LONG}, "base/x.c f 72\n"),
    ("ratchet", {"base/x.c": LONG}, "base/x.c f 74\n"),
    ("ratchet", {"base/x.c": "\n"}, "base/x.c f 80\n"),
    ("goto-backward", {"base/x.c": "void f(void)\n{\nagain:\n    g();\n    goto again;\n}\n"}, ""),
    ("mutable-static", {"base/x.c": "static int count;\n"}, ""),
    ("mutable-static", {"base/x.c": "static struct y rows[2] = {\n    {1},\n};\n"}, ""),
    ("mutable-static", {"base/x.c": "void f(void)\n{\n    static int count = 0;\n}\n"}, ""),
    ("mutable-static", {"daemon/x.c": "int count = 3;\n"}, ""),
    ("header-guard", {"base/x.h": header("struct x;", "X_H")}, ""),
    ("essay", {"base/x.h": header("struct x;")[len("/* Essay. */\n"):]}, ""),
    ("umbrella", {"base/x.h": header('#include "base/y.h"\n#include "base/z.h"')}, ""),
    ("comment", {"base/x.h": header("int x(void);\n")}, ""),
    ("comment", {"base/x.h": header("/* Doc. */\nint x(void);\n\nint y(\n    int z);\n")}, ""),
    ("foreign", {"pool/x.c": "#include <openssl/evp.h>\n"}, ""),
    ("foreign", {"pool/x.c": "#include <uv.h>\n"}, ""),
    ("foreign", {"pool/x.c": "#include <threads.h>\n"}, ""),
    ("foreign", {"pool/x.c": "#include <pthread.h>\n"}, ""),
    ("", {"pool/account.c": "#include <pthread.h>\n"}, ""),
    ("foreign", {"router/a.c": "#include <pg_query.h>\n", "router/b.c": "#include <pg_query.h>\n"},
     ""),
]


def self_test():
    failed = 0
    for rule, files, ratchet in CASES:
        raised = {problem[2] for problem in check(files, ratchet)}
        if raised != ({rule} if rule else set()):
            failed += 1
            print(f"expected {rule or 'nothing'}, got {sorted(raised)}: {files} {ratchet!r}")
    untested = RULES - {rule for rule, _, _ in CASES}
    if untested:
        failed += 1
        print(f"rules without a case: {sorted(untested)}")
    print(f"{len(CASES)} cases, {failed} failed")
    return failed != 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    files = tree()
    ratchet_path = os.path.join(ROOT, "tests/tidy_ratchet.txt")
    with open(ratchet_path, encoding="utf-8") as file:
        problems = check(files, file.read())
    for path, line, rule, message in problems:
        print(f"{path}:{line}: {rule}: {message}")
    print(f"{len(files)} files, {len(problems)} problems")
    return bool(problems) or not files


if __name__ == "__main__":
    sys.exit(main())
