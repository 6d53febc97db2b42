#!/usr/bin/env python3
"""Custom settings ("app.tenant"): whoever sets one, and however, the next client of the connection has none.

Row security reads them. No server tells which it has, so each way in which a statement may come to the name of one is
tried here: on one server connection, and with the check mode off, since that asks by the same names.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, true  # noqa: E402
from stage import Stage  # noqa: E402
from wire import bind, execute, one_shot, parse, query, sync  # noqa: E402

suite = Suite("custom")
stage = Stage(suite)

WORDS = " ".join(f"word{number}.b" for number in range(40))
MANY = " ".join(f"word{number}.b" for number in range(300))
FUNCTION = """CREATE OR REPLACE FUNCTION set_it(text, text) RETURNS text
              LANGUAGE sql AS 'SELECT set_config($1, $2, false)'"""


def shown(client, name):
    return client.scalar(f"SELECT current_setting('{name}', true)")


def tried(name, *batches, cut_at=None, **pool):
    """One client sends these batches; then it has the setting, and another one hasn't."""
    stage.sql(FUNCTION)
    with stage.proxy(size=1, check_state=False, **pool) as proxy:
        client, other = stage.client(proxy), stage.client(proxy)
        for batch in batches:
            if cut_at is None:
                client.send(batch)
            else:
                client.send_cut(batch, batch.index(cut_at), 0.2)
            equal([m.fields for m in client.ready() if m.kind == "E"], [], name)
        for _ in range(2):
            equal(shown(other, name), None, f"{name}, as another client sees it")
            equal(shown(client, name), "mine", name)


def extended(text, *params):
    return one_shot(text, *params) + sync()


@suite.check("a name that is a parameter, of any length, wherever the Bind is cut")
def _():
    for name in ["app.tenant"] + ["app." + "t" * (length - 4) for length in (36, 46, 50, 60)]:
        tried(name, extended("SELECT set_config($1, 'mine', false)", name))
    tried("app.cut", extended("SELECT set_config($1, 'mine', false)", "app.cut"), cut_at=b"app.cut")
    tried("app.long", extended("SELECT set_config($2, 'mine', false), $1::text", "x" * 30000, "app.long"))
    tried("app.none", extended("SELECT set_config($1, 'mine', false)", "app.none"), prepared_statements=0)


@suite.check("a name behind many that are none, or behind more than are looked at")
def _():
    tried("app.p", extended("SELECT set_config($2, 'mine', false), $1::text", WORDS, "app.p"))
    tried("app.p", extended("SELECT set_config($2, 'mine', false), $1::text", MANY, "app.p"))
    tried("app.p", extended("SELECT set_config($2, 'mine', false), $1::text", "x" * 100000, "app.p"))
    tried("app.d", query(f"DO $$ /* {WORDS} */ BEGIN PERFORM set_config('app.d', 'mine', false); END $$"))


@suite.check("a name that is computed")
def _():
    tried("app.x", query("SELECT set_config('app.' || 'x', 'mine', false)"))
    tried("app.x", extended("SELECT set_config('app.' || $1, 'mine', false)", "x"))
    tried("app.x", query("PREPARE p AS SELECT set_config('app.' || $1, 'mine', false)"), query("EXECUTE p('x')"))
    with stage.proxy(size=1, check_state=False) as proxy:  # until the transaction ends: then it is '', and not NULL
        client, other = stage.client(proxy), stage.client(proxy)
        client.query("SELECT set_config('app.' || 'x', 'mine', true)")
        equal(shown(other, "app.x"), None)


@suite.check("a computed name pins its session, under the limit, until DISCARD ALL")
def _():
    setting = "SELECT set_config('app.' || 'x', 'mine', false)"
    with stage.proxy(size=1, max_pinned=1) as proxy:
        client, other = stage.client(proxy), stage.client(proxy)
        client.query(setting)
        equal([row["reason"] for row in proxy.admin("SHOW PINS")], ["NAMELESS"])
        equal(other.query(setting).sqlstate, "53300")
        client.query("DISCARD ALL")
        equal(proxy.admin("SHOW PINS"), [])
        equal(shown(other, "app.x"), None)


@suite.check("a name in what an EXECUTE runs, or is given, and in what a function is given")
def _():
    prepare = query("PREPARE p AS SELECT set_config($1, $2, false)")
    tried("app.e", prepare, query("EXECUTE p('app.e', 'mine')"))
    tried("app.e", prepare, parse("", "EXECUTE p('app.e', 'mine')") + bind() + execute() + sync())
    tried("app.f", query("PREPARE p AS SELECT set_it('app.f', $1)"), query("SELECT 1"), query("EXECUTE p('mine')"))
    tried("app.f", query("SELECT set_it('app.f', 'mine')"))
    tried("app.f", query("SELECT set_it($$app.f$$, $q$mine$q$)"))


@suite.check("as many settings as one likes, beside others")
def _():
    with stage.proxy(size=1, check_state=False) as proxy:
        client, other = stage.client(proxy), stage.client(proxy)
        for number in range(520):
            client.query(f"SET app.v{number} = 'mine'")
        client.query("SET work_mem = '7MB'")
        for _ in range(2):
            equal([shown(other, name) for name in ("app.v0", "app.v300", "app.v519", "work_mem")],
                  [None, None, None, "4MB"])
            equal([shown(client, name) for name in ("app.v0", "app.v300", "app.v519", "work_mem")],
                  ["mine", "mine", "mine", "7MB"])


@suite.check("a value of 100 MB stays at the server")
def _():
    with stage.proxy(size=1, check_state=False) as proxy:
        client, other = stage.client(proxy), stage.client(proxy)
        before = peak_mib(proxy.pid)
        equal(client.scalar("SELECT length(set_config('app.big', repeat('x', 100000000), false))"), "100000000")
        equal(shown(other, "app.big"), None)
        equal(client.scalar("SELECT length(current_setting('app.big'))"), "100000000")
        client.query("DISCARD ALL")
        equal(shown(other, "app.big"), None)
        true(peak_mib(proxy.pid) < before + 20, f"{peak_mib(proxy.pid) - before} MiB more")


def peak_mib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024


@suite.check("a text that another role reads in another way")
def _():
    stage.sql("CREATE ROLE old LOGIN")
    stage.sql("ALTER ROLE old SET standard_conforming_strings = off")
    stage.sql("ALTER ROLE old SET escape_string_warning = off")
    text = "SELECT '\\' || ' , set_config($a$app.old$a$, $b$mine$b$, false) --'"
    with stage.proxy(size=1, check_state=False) as proxy:
        usual, client, other = stage.client(proxy), stage.client(proxy, user="old"), stage.client(proxy, user="old")
        for one in (usual, client):
            one.send(parse("s", text) + bind("", "s") + execute() + sync())
            equal([m.kind for m in one.ready() if m.kind == "E"], [])
        equal(shown(other, "app.old"), None)
        equal(shown(client, "app.old"), "mine")


if __name__ == "__main__":
    suite.main()
