#!/usr/bin/env python3
"""Reload: all or nothing, no client dropped; signals; draining at the end."""

import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, eventually, true  # noqa: E402
from howdah import HowdahError  # noqa: E402
from stage import Stage  # noqa: E402
from wire import Closed, ServerError, Wire  # noqa: E402

suite = Suite("reload")
stage = Stage(suite)


def reload(proxy, config, by_signal=True):
    proxy.write_config(config)
    if by_signal:
        proxy.process.send_signal(signal.SIGHUP)
    else:
        proxy.admin("RELOAD")


@suite.check("a changed pool size holds for clients that are there, and none is dropped")
def _():
    with stage.proxy(size=1) as proxy:
        one, two = stage.client(proxy), stage.client(proxy)
        one.rows("BEGIN")
        one.rows("SELECT 1")
        reload(proxy, stage.config(size=2))

        def second_server():
            return two.scalar("SELECT 1") == "1"

        eventually(second_server, "the second server")
        equal(one.query("COMMIT").status, "I")
        reload(proxy, stage.config(size=1), by_signal=False)
        equal((one.scalar("SELECT 1"), two.scalar("SELECT 2")), ("1", "2"))
        eventually(lambda: len(stage.backends()) <= 1, "the pool shrinks")


@suite.check("a bad file changes nothing and is reported")
def _():
    with stage.proxy(size=2) as proxy:
        client = stage.client(proxy)
        for text in ("{", '{"databases": {"app": {"primry": "postgres://x/y"}}}', '{"workers": "many"}', ""):
            with open(proxy.config_path, "w", encoding="utf-8") as file:
                file.write(text)
            before = len(proxy.stderr)
            proxy.process.send_signal(signal.SIGHUP)
            eventually(lambda before=before: len(proxy.stderr) > before, f"a word about {text!r}")
            equal(client.scalar("SELECT 1"), "1")
            try:
                proxy.admin("RELOAD")
                true(False, f"RELOAD accepted {text!r}")
            except HowdahError:
                pass
        reload(proxy, stage.config(size=2), by_signal=False)


@suite.check("a database added and one taken away")
def _():
    with stage.proxy() as proxy:
        config = stage.config()
        config["databases"]["second"] = {"primary": f"postgres://127.0.0.1:{stage.cluster.port}/postgres"}
        reload(proxy, config, by_signal=False)
        equal(stage.client(proxy, database="second").scalar("SELECT current_database()"), "postgres")
        kept = stage.client(proxy)
        reload(proxy, stage.config(), by_signal=False)
        equal(kept.scalar("SELECT 1"), "1", "the other database's client")
        try:
            stage.client(proxy, database="second")
            true(False, "the database is still there")
        except (ServerError, Closed):
            pass


@suite.check("reloads under load: no error, no row for another")
def _():
    with stage.proxy(size=3) as proxy:
        over, wrong = threading.Event(), []

        def work(number):
            client, turn = stage.client(proxy), 0
            while not over.is_set():
                turn += 1
                result = client.prepared("SELECT $1::text", f"{number}.{turn}")
                if result.rows != [(f"{number}.{turn}",)]:
                    wrong.append((number, result.errors, result.rows))
                    return

        threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(6)]
        for thread in threads:
            thread.start()
        for turn in range(10):
            reload(proxy, stage.config(size=2 + turn % 3, max_lifetime=f"{10 + turn}m"))
            time.sleep(0.1)
        over.set()
        for thread in threads:
            thread.join(10)
        equal(wrong, [])


@suite.check("SIGTERM drains: running transactions finish, new clients are refused, exit 0")
def _():
    with stage.proxy(size=2) as proxy:
        busy, idle = stage.client(proxy), stage.client(proxy)
        idle.rows("SELECT 1")
        busy.rows("BEGIN")
        busy.rows("SELECT 1")
        proxy.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        equal(proxy.process.poll(), None, "still runs for the open transaction")
        try:
            Wire(proxy.port, timeout_s=3).login("postgres", "app")
            true(False, "a new client was let in")
        except (ServerError, Closed, OSError):
            pass
        equal(busy.scalar("SELECT 'still'"), "still")
        equal(busy.query("COMMIT").status, "I")
        equal(eventually(lambda: proxy.process.poll() is not None and [proxy.process.returncode], "the end"), [0])
        proxy.end()
        proxy.start()


@suite.check("shutdown_timeout ends the drain; a second signal ends at once")
def _():
    for signals, limit_s in ((1, 6), (2, 2)):
        with stage.proxy(size=1, top={"shutdown_timeout": "2s" if signals == 1 else "1m"}) as proxy:
            client = stage.client(proxy)
            client.rows("BEGIN")
            client.rows("SELECT 1")
            for _ in range(signals):
                proxy.process.send_signal(signal.SIGTERM)
                time.sleep(0.3)
            eventually(lambda: proxy.process.poll() is not None, f"the end after {signals} signals", limit_s)
            proxy.end()
            proxy.start()


if __name__ == "__main__":
    suite.main()
