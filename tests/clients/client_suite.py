"""The frame of a client script, see tests/lib/check.py.

A client script reads

    HOWDAH_TEST_DSN   a postgres:// URI
    HOWDAH_TEST_MODE  direct | session | transaction: what stands behind that URI
    HOWDAH_TEST_SALT  a short word that keeps tables of runs beside each other apart

What lives in the server's session (SET, LISTEN, temporary tables, ...) is marked session_only and
is skipped where transactions of one client may run on different servers.
"""

import os
import sys
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import check  # noqa: E402
from check import Failed, Skip, equal, in_threads, raises, true  # noqa: E402,F401  for the scripts

SESSION_ONLY = "it lives in the server's session, and transactions share servers here"


class Suite(check.Suite):
    """The checks of one client."""

    def __init__(self, name):
        super().__init__(name)
        self.mode = os.environ.get("HOWDAH_TEST_MODE", "direct")
        self.salt = os.environ.get("HOWDAH_TEST_SALT", "t")
        self.dsn = os.environ.get("HOWDAH_TEST_DSN", "")
        if not self.dsn:
            sys.exit(f"{sys.argv[0]}: set HOWDAH_TEST_DSN")

    def table(self, stem):
        """A table's name that no other client or run beside this one uses."""
        return f"{self.name.replace('-', '_')}_{stem}_{self.salt}"

    def dsn_with(self, scheme=None, database=None, **params):
        """The DSN with another scheme, database or more parameters."""
        parts = urlsplit(self.dsn)
        query = {**dict(parse_qsl(parts.query)), **params}
        path = "/" + database if database else parts.path
        return urlunsplit((scheme or parts.scheme, parts.netloc, path, urlencode(query, quote_via=quote), ""))

    def check(self, name, session_only=False):
        if not session_only or self.mode != "transaction":
            return super().check(name)

        def leave(function):
            def skip():
                raise Skip(SESSION_ONLY)

            super(Suite, self).check(name)(skip)
            return function

        return leave
