"""Clients in the background that keep a pool moving.

They are more than the pool has connections, so whoever does something next hardly gets the same
connection again, and each leaves settings, a role and statements of its own on whatever it had. A
mover looks in every turn whether what it sees is its own.
"""

import os
import sys
import threading

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from wire import Closed, ServerError, Wire  # noqa: E402

PAUSE_S = 0.01
SETTINGS = (
    {"search_path": "pg_catalog", "work_mem": "77MB"},
    {"role": "howdah_mover", "default_transaction_read_only": "on", "DateStyle": "German, DMY"},
    {"TimeZone": "Asia/Tokyo", "lock_timeout": "1h", "bytea_output": "escape"},
    {"client_encoding": "LATIN1", "application_name": "theirs", "statement_timeout": "2h"},
    {"default_transaction_isolation": "serializable", "IntervalStyle": "iso_8601"},
    {"extra_float_digits": "-3", "standard_conforming_strings": "off", "client_min_messages": "error"},
)


class Movers:
    """While the block runs, they move; .problems says what was not as it should be."""

    def __init__(self, port, user="postgres", database="app"):
        self.login = port, user, database
        self.problems = []
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self._move, args=(one,), daemon=True) for one in SETTINGS]

    def __enter__(self):
        with self._connect() as client:
            if client.scalar("SELECT to_regrole('howdah_mover') IS NULL") == "t":
                client.rows("CREATE ROLE howdah_mover")
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join(30)

    def _connect(self):
        port, user, database = self.login
        client = Wire(port, timeout_s=60)
        client.login(user, database)
        return client

    def _move(self, settings):
        try:
            with self._connect() as client:
                for name, value in settings.items():
                    client.rows(f"SET {name} = '{value}'")
                client.rows("PREPARE theirs AS SELECT 'theirs'")
                while not self.ended.wait(PAUSE_S):
                    self._turn(client, settings)
        except (Closed, OSError, ServerError) as error:
            self.problems.append(f"{settings}: {type(error).__name__}: {error}")

    def _turn(self, client, settings):
        for name, value in settings.items():
            got = client.scalar(f"SHOW {name}")
            if got != value:
                self.problems.append(f"{name} is {got}, wanted {value}")
                settings[name] = got
        client.rows("BEGIN; SELECT pg_catalog.pg_sleep(0.003); COMMIT")
