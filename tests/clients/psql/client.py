"""psql: scripts, meta-commands, \\copy, SIGINT, the ways of sslmode."""

import os
import signal
import subprocess
import sys
import tempfile
import time

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from client_suite import Failed, Skip, Suite, equal, in_threads, true  # noqa: E402

suite = Suite("psql")
T = suite.table("items")
ENV = {**os.environ, "PGOPTIONS": "", "PSQLRC": "/dev/null", "PAGER": "cat", "LC_ALL": "C.UTF-8"}


def psql(script, *flags, dsn=None, want=0):
    """Run a script; returns (stdout, stderr). `want` is the exit code it must have."""
    done = subprocess.run(
        ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", *flags, dsn or suite.dsn],
        input=script,
        capture_output=True,
        text=True,
        timeout=55,
        env=ENV,
        check=False,
    )
    if done.returncode != want:
        raise Failed(f"psql exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout.rstrip("\n"), done.stderr


def out(script, *flags, **kwargs):
    return psql(script, *flags, **kwargs)[0]


def psql_major():
    version = subprocess.run(["psql", "--version"], capture_output=True, text=True, check=True).stdout
    return int(version.split()[2].split(".")[0])


@suite.check("script with many statements")
def _():
    equal(
        out(
            f"DROP TABLE IF EXISTS {T}; CREATE TABLE {T} (id int, who text);\n"
            f"INSERT INTO {T} SELECT g, 'x' || g FROM generate_series(1, 1000) g;\n"
            f"SELECT count(*), max(who) FROM {T};"
        ),
        "1000|x999",
    )


@suite.check("several statements in one query string")
def _():
    equal(out("SELECT 1 \\; SELECT 2 \\; SELECT 3;"), "1\n2\n3")
    equal(out("", "-c", "SELECT 1; SELECT 'two'"), "1\ntwo")


@suite.check("an error in a query string rolls all of it back")
def _():
    _, err = psql(f"INSERT INTO {T} VALUES (-1) \\; SELECT 1/0;", want=3)
    true("division by zero" in err, err)
    equal(out(f"SELECT count(*) FROM {T} WHERE id = -1"), "0")


@suite.check("errors show line, position, detail and hint")
def _():
    _, err = psql("\\set VERBOSITY verbose\nSELECT\n nope;", want=3)
    for part in ("42703", "LINE 2", 'column "nope" does not exist'):
        true(part in err, err)
    _, err = psql("\\set VERBOSITY sqlstate\nSELECT * FROM pg_clas;", want=3)
    true("42P01" in err, err)


@suite.check("\\gset and variables")
def _():
    equal(out("SELECT 41 + 1 AS answer, 'it''s' AS word \\gset\nSELECT :answer, :'word';"), "42|it's")


@suite.check("\\gexec and \\gdesc")
def _():
    equal(out("SELECT format('SELECT %s', g) FROM generate_series(1, 3) g \\gexec"), "1\n2\n3")
    equal(out("SELECT 1 AS a, 'x'::text AS b \\gdesc"), "a|integer\nb|text")


@suite.check("\\bind: the extended protocol")
def _():
    if psql_major() < 16:
        raise Skip(f"\\bind came with psql 16, this is {psql_major()}")
    equal(out("SELECT $1::int + $2::int \\bind 3 4 \\g"), "7")


@suite.check("describe commands")
def _():
    true("id|integer" in out(f"\\d {T}"), "\\d shows the columns")
    # An older psql asks newer servers for columns of pg_database that are gone.
    newer = int(out("SHOW server_version_num;")) // 10000 > psql_major()
    for command in (
        "\\conninfo" if newer else "\\l",
        "\\dt",
        "\\du",
        "\\dn",
        "\\df pg_catalog.lower",
        "\\dx",
        "\\conninfo",
        "\\encoding",
    ):
        true(out(command) != "", f"{command} answers")


@suite.check("\\copy in and out, through files and pipes")
def _():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rows")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{i}\tline {i}\n" for i in range(50000))
        out(f"TRUNCATE {T};\n\\copy {T} from '{path}'")
        equal(out(f"SELECT count(*), sum(id) FROM {T}"), "50000|1249975000")
        out(f"\\copy (SELECT * FROM {T} ORDER BY id) to '{path}.out'")
        with open(path, encoding="utf-8") as one, open(path + ".out", encoding="utf-8") as two:
            equal(one.read() == two.read(), True, "what came out is what went in")
    equal(out(f"\\copy (SELECT 7) to program 'cat'"), "7")


@suite.check("COPY FROM STDIN with inline data, then with a bad line")
def _():
    equal(out(f"TRUNCATE {T};\nCOPY {T} FROM STDIN;\n1\ta\n2\tb\n\\.\nSELECT count(*) FROM {T};"), "2")
    _, err = psql(f"COPY {T} FROM STDIN;\n3\tc\nbad\tline\n\\.\n", want=3)
    true("invalid input syntax for type integer" in err and "line 2" in err, err)
    equal(out(f"SELECT count(*) FROM {T}"), "2")


@suite.check("transactions and savepoints")
def _():
    equal(
        out(
            f"BEGIN; DELETE FROM {T}; SAVEPOINT s; INSERT INTO {T} VALUES (5); ROLLBACK TO s;\n"
            f"SELECT count(*) FROM {T}; ROLLBACK; SELECT count(*) FROM {T};"
        ),
        "0\n2",
    )
    equal(out("BEGIN;\nSELECT 1/0;\nCOMMIT;\nSELECT 'alive';", "-v", "ON_ERROR_STOP=0"), "alive")


@suite.check("single transaction flag and ON_ERROR_ROLLBACK")
def _():
    psql(f"INSERT INTO {T} VALUES (77);\nSELECT 1/0;", "-1", want=3)
    equal(out(f"SELECT count(*) FROM {T} WHERE id = 77"), "0")
    equal(
        out(
            "\\set ON_ERROR_ROLLBACK on\nBEGIN;\nSELECT 1/0;\nSELECT 'still here';\nCOMMIT;", "-v", "ON_ERROR_STOP=0"
        ),
        "still here",
    )


@suite.check("a large result, whole and by FETCH_COUNT")
def _():
    big = out("SELECT g, repeat('x', 100) FROM generate_series(1, 200000) g;")
    equal(len(big.splitlines()), 200000)
    some = out("\\set FETCH_COUNT 1000\nSELECT g FROM generate_series(1, 50000) g;")
    equal(some.splitlines()[-1], "50000")


@suite.check("one very long value")
def _():
    equal(len(out("SELECT repeat('ä', 20000000);")), 20000000)


@suite.check("SIGINT cancels the statement, psql lives on")
def _():
    process = subprocess.Popen(
        ["psql", "-XAtq", suite.dsn],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENV,
    )
    process.stdin.write("SELECT 'begun';\nSELECT pg_sleep(30);\nSELECT 'after';\n")
    process.stdin.flush()
    equal(process.stdout.readline(), "begun\n")
    time.sleep(0.5)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=40)
    true("canceling statement due to user request" in stderr, stderr)
    true(time.monotonic() - begun < 10, "the cancel took effect late")
    # psql gives up the rest of a script that was interrupted; the session itself must have ended well.
    true(stdout in ("", "after\n"), stdout)
    equal(process.returncode in (0, 3), True, f"exit {process.returncode}")


@suite.check("notices reach stderr")
def _():
    _, err = psql("DO $$ BEGIN RAISE NOTICE 'hear me'; END $$;")
    true("NOTICE:  hear me" in err, err)


@suite.check("sslmode disable, allow, prefer")
def _():
    for mode in ("disable", "allow", "prefer"):
        equal(out(f"SELECT '{mode}'", dsn=suite.dsn_with(sslmode=mode)), mode)


@suite.check("sslmode require: TLS, or one clear refusal")
def _():
    done = subprocess.run(
        ["psql", "-XAtq", suite.dsn_with(sslmode="require"), "-c", "SELECT 'tls'"],
        capture_output=True,
        text=True,
        timeout=20,
        env=ENV,
        check=False,
    )
    if done.returncode:
        true("server does not support SSL" in done.stderr, done.stderr)
    else:
        equal(done.stdout, "tls\n")


@suite.check("GSS encryption asked for is declined politely")
def _():
    equal(out("SELECT 'fine'", dsn=suite.dsn_with(gssencmode="prefer")), "fine")


@suite.check("wrong database and wrong user are told apart")
def _():
    _, err = psql("SELECT 1", dsn=suite.dsn_with(database="no_such_database_here"), want=2)
    true("no_such_database_here" in err, err)


@suite.check("startup parameters show in the session")
def _():
    equal(out("SHOW application_name;", dsn=suite.dsn_with(application_name="who am i")), "who am i")
    equal(out("SHOW client_encoding;", dsn=suite.dsn_with(client_encoding="LATIN1")), "LATIN1")


@suite.check("options at startup reach the session")
def _():
    equal(
        out(
            "SHOW work_mem; SHOW search_path;",
            dsn=suite.dsn_with(options="-c work_mem=9MB -csearch_path=pg_catalog,public"),
        ),
        "9MB\npg_catalog,public",
    )


@suite.check("SET, PREPARE, temporary table, WITH HOLD")
def _():
    equal(
        out(
            "SET work_mem = '9MB';\nSHOW work_mem;\nPREPARE p AS SELECT $1::int;\nEXECUTE p(3);\n"
            "CREATE TEMP TABLE t1 AS SELECT 4 AS a;\nSELECT a FROM t1;\n"
            "DECLARE c CURSOR WITH HOLD FOR SELECT 5;\nFETCH c;"
        ),
        "9MB\n3\n4\n5",
    )


@suite.check("LISTEN and NOTIFY")
def _():
    true(f'"{T}" with payload "hello"' in out(f"LISTEN {T};\nNOTIFY {T}, 'hello';\nSELECT 1;"), "a notification")


@suite.check("\\connect")
def _():
    equal(out("SELECT 1;\n\\connect\nSELECT 2;"), "1\n2")


@suite.check("witness: 8 psql at once see only their own rows")
def _():
    def work(number):
        script = "".join(f"SELECT 'worker {number}', g FROM generate_series(1, 20) g;\n" for _ in range(30))
        lines = out(script).splitlines()
        true(
            len(lines) == 600 and all(line.startswith(f"worker {number}|") for line in lines),
            f"worker {number} got {lines[:2]}",
        )

    in_threads(8, work)
    out(f"DROP TABLE {T}")


if __name__ == "__main__":
    suite.main()
