#!/usr/bin/env python3
"""What a replica refuses to read runs at the primary, however long it is."""

import contextlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, eventually  # noqa: E402
from howdah import Howdah  # noqa: E402
from trio import Trio, all_up, rows  # noqa: E402
from wire import Result, Wire, bind, execute, parse, sync  # noqa: E402

NODE = "SELECT current_setting('cluster_name')"
LENGTHS = (10, 4000, 5000, 20000, 60000)
SETUP = """
CREATE UNLOGGED TABLE unlogged (id int); INSERT INTO unlogged VALUES (7);
CREATE VIEW over_unlogged AS SELECT * FROM unlogged;
CREATE FUNCTION picky() RETURNS text STABLE LANGUAGE plpgsql AS $$
  BEGIN
    IF current_setting('cluster_name') <> 'node0' THEN
      RAISE EXCEPTION 'conflict' USING ERRCODE = '40001';
    END IF;
    RETURN current_setting('cluster_name');
  END $$
"""

suite = Suite("again", check_limit_s=120)
trio = Trio(suite, "app", synchronous_commit="on")


@trio.started
def _(primary):
    primary.psql(SETUP, db="app")


@contextlib.contextmanager
def proxied(**pool):
    """A Howdah whose reads go to a replica, and a client of it."""
    trio.caught_up(1)
    config = trio.config(replicas=(1,), routing={"max_lag": "60s", "consistency": "eventual"}, pool=pool)
    with Howdah(config=config) as proxy:
        all_up(proxy, 2)
        with Wire(proxy.port, timeout_s=60) as client:
            client.login("postgres", "app")
            eventually(lambda: client.rows(NODE) == [("node1",)], "it reads there", 20)
            yield proxy, client


def tried(proxy):
    return int(rows(proxy)[0]["reads_again"])


def refused_first(proxy, read, wanted, what):
    """Reads until the replica was asked first; the answer is right each time."""
    before = tried(proxy)

    def look():
        equal(read(), wanted, what)
        return tried(proxy) > before

    eventually(look, f"the replica had it first: {what}", 20)


@suite.check("long texts and values that a replica refuses are run at the primary")
def _():
    with proxied() as (proxy, client):

        def send(*messages):
            client.send(*messages)
            return Result(client.ready()).rows

        for length in LENGTHS:
            padding, wanted = "x" * length, [("node0", str(length))]
            values = bind("", "", [padding.encode()]), execute(), sync()
            named = bind("", f"p{length}", [padding.encode()]), execute(), sync()
            sql = f"SELECT picky(), length('{padding}')"
            refused_first(proxy, lambda sql=sql: client.rows(sql), wanted, f"simple, {length}")
            refused_first(proxy, lambda sql=sql: client.prepared(sql).rows, wanted, f"extended, {length}")
            refused_first(proxy, lambda values=values: send(parse("", "SELECT picky(), length($1)"), *values), wanted,
                          f"a value, {length}")
            client.send(parse(f"p{length}", "SELECT picky(), length($1)"), sync())
            client.ready()
            refused_first(proxy, lambda named=named: send(*named), wanted, f"prepared, a value, {length}")


@suite.check("likewise without prepared statements of Howdah's")
def _():
    with proxied(prepared_statements=0) as (proxy, client):
        for length in LENGTHS:
            sql = f"SELECT picky(), length('{'x' * length}')"
            refused_first(proxy, lambda sql=sql: client.rows(sql), [("node0", str(length))], str(length))


@suite.check("unlogged tables are the primary's at once, also below views")
def _():
    with proxied() as (proxy, client):
        before = tried(proxy)
        for name in ("unlogged", "over_unlogged"):
            equal(client.rows(f"SELECT id FROM {name}"), [("7",)], name)
            equal(client.prepared(f"SELECT id FROM {name}").rows, [("7",)], name)
        equal(tried(proxy), before, "how many the replica had first")
        client.query("CREATE TABLE kept (id int)")
        client.query("ALTER TABLE kept SET UNLOGGED")
        trio.caught_up(1)
        eventually(lambda: client.rows(NODE) == [("node1",)], "it reads there", 20)
        before = tried(proxy)
        equal(client.rows("SELECT id FROM kept"), [], "made unlogged")
        equal(tried(proxy), before, "how many the replica had first")
        client.query("DROP TABLE kept")


if __name__ == "__main__":
    suite.main()
