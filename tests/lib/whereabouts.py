"""Which server of a Trio a statement really ran on, by the servers' own logs.

    trio = Trio(suite, "app", **LOGGED)
    where = Whereabouts(trio)
    mark, sql = where.marked("SELECT 1")
    ...
    where.ran(mark)             {0}: at the primary; {1, 2}: at either replica
    where.ran_on(client, "SELECT 1")    the same of a simple query that a Wire sends now

The mark is a comment in the statement, so it works through every driver.
"""

import itertools
import os
import re
import time

from check import equal

LOGGED = {"log_statement": "all", "log_min_error_statement": "panic", "log_line_prefix": "[%p %a] "}
RAN = re.compile(r"LOG:  (?:statement|execute [^:]*|fastpath[^:]*): (.*)")
MARK = re.compile(r"/\*(m\d+)\*/")


class Whereabouts:
    """Reads the servers' logs on from where it last stopped."""

    def __init__(self, trio, count=3):
        self.trio, self.count = trio, count
        self.numbers = itertools.count(1)
        self.offsets, self.found = [0] * count, {}

    def marked(self, sql):
        """A new mark, and the statement with it in front; hints and the like stay what they are."""
        mark = f"m{next(self.numbers)}"
        return mark, f"/*{mark}*/ {sql}"

    def ran(self, mark):
        """The servers that were told to run the statement; a backend logs it before it begins."""
        self._read()
        if mark not in self.found:  # what was sent without waiting for its answer
            time.sleep(0.05)
            self._read()
        return self.found.get(mark, set())

    def ran_on(self, client, sql):
        """The client sends it as a simple query, which works: the servers that ran it."""
        mark, sql = self.marked(sql)
        equal(client.query(sql).errors, [], sql)
        return self.ran(mark)

    def _read(self):
        for at in range(self.count):
            path = os.path.join(self.trio[at].dir, "log")
            with open(path, "rb") as file:
                file.seek(self.offsets[at])
                data = file.read()
            whole = data.rfind(b"\n") + 1
            self.offsets[at] += whole
            for line in data[:whole].decode("utf-8", "replace").splitlines():
                ran = RAN.search(line)
                for mark in MARK.findall(ran[1]) if ran else ():
                    self.found.setdefault(mark, set()).add(at)
