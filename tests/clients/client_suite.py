"""The frame of a client script, see tests/lib/check.py.

A client script reads

    HOWDAH_TEST_DSN   a postgres:// URI
    HOWDAH_TEST_SALT  a short word that keeps tables of runs beside each other apart

A client is promised the same on a direct connection and in every pool mode: a check does not know
which it has.
"""

import os
import sys
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import check  # noqa: E402
from check import Failed, Skip, equal, in_threads, raises, true  # noqa: E402,F401  for the scripts


class Suite(check.Suite):
    """The checks of one client."""

    def __init__(self, name):
        super().__init__(name)
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
