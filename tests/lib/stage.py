"""What an integration test stands on: one PostgreSQL server for a program, and proxies in front.

    suite = Suite("pool")
    stage = Stage(suite)

    @suite.check("...")
    def _():
        with stage.proxy(size=2) as proxy:
            client = stage.client(proxy)

The server is started at first use and stopped after the last check. proxy() gives a running Howdah
for database "app" with auth.method trust; when the block ends it must still run, and must end with
exit code 0 when asked to.
"""

import contextlib
import os
import signal

from check import Failed, eventually
from howdah import Howdah
from pgcluster import Cluster
from wire import Closed, ServerError, Wire

SHORT = os.environ.get("HOWDAH_SHORT") == "1"


class Stage:
    """The server of one program, and the proxies and clients of its checks."""

    def __init__(self, suite, **cluster_options):
        self.cluster_options = cluster_options
        self._cluster = self._control = None
        self._clients = []
        suite.at_end(self.stop)

    @property
    def cluster(self):
        """The server, started now if it was not."""
        if self._cluster is None:
            cluster = Cluster(**self.cluster_options)
            cluster.start()
            self._cluster = cluster
            cluster.psql("CREATE DATABASE app")
        return self._cluster

    def stop(self):
        if self._cluster:
            self._cluster.stop()
            self._cluster = None

    # --- the server's side ---

    def sql(self, text):
        """Rows of a query that a superuser asks the server itself, beside every proxy."""
        if self._control is None:
            self._control = eventually(self._connect_control, "the server takes connections", 20)
        return self._control.rows(text)

    def _connect_control(self):
        try:
            return self.direct()
        except (ServerError, Closed, OSError):
            return None

    def forget_control(self):
        """After the server was killed: the next sql() connects anew."""
        self._control = None

    def direct(self, user="postgres", database="app", **params):
        """A client of the server itself."""
        return self._logged_in(self.cluster.port, user, database, params)

    def backends(self, where="true"):
        """Pids of client backends in database app, without our own."""
        return [
            row[0]
            for row in self.sql(
                "SELECT pid FROM pg_stat_activity WHERE datname = 'app' AND backend_type = 'client backend'"
                f" AND pid <> pg_backend_pid() AND ({where}) ORDER BY backend_start"
            )
        ]

    # --- the proxy's side ---

    def config(self, mode="transaction", primary=None, top=None, **pool):
        """A configuration: keys of `pool` by name, `top` for the other sections."""
        database = {
            "primary": primary or f"postgres://127.0.0.1:{self.cluster.port}/app",
            "pool": {"mode": mode, "check_state": True, **pool},
        }
        config = {
            "workers": 1,
            "auth": {"method": "trust"},
            "admin": {"users": ["admin"]},
            "databases": {"app": database},
        }
        for key, value in (top or {}).items():
            if key == "database":
                database.update(value)
            elif isinstance(value, dict) and isinstance(config.get(key), dict):
                config[key] = {**config[key], **value}
            else:
                config[key] = value
        return config

    @contextlib.contextmanager
    def proxy(self, mode="transaction", primary=None, top=None, exit_code=0, **pool):
        """A running Howdah; at the block's end it must live, and end with this exit code."""
        howdah = Howdah(config=self.config(mode, primary, top, **pool))
        howdah.start()
        try:
            yield howdah
            if howdah.process.poll() is not None:
                raise Failed(f"howdah ended with {howdah.process.returncode}: {howdah.stderr[-600:]}")
        except BaseException:
            self._forget_clients()
            howdah.stop(signal.SIGKILL)
            raise
        self._forget_clients()
        code = howdah.stop()
        if code != exit_code:
            raise Failed(f"howdah ended with {code}, wanted {exit_code}: {howdah.stderr[-600:]}")

    def client(self, proxy, user="postgres", database="app", password=None, **params):
        """A client of the proxy; closed when the proxy ends."""
        client = self._logged_in(proxy.port, user, database, params, password)
        self._clients.append(client)
        return client

    def _logged_in(self, port, user, database, params, password=None):
        client = Wire(port)
        try:
            client.login(user, database, password, **params)
        except BaseException:
            client.close()
            raise
        return client

    def _forget_clients(self):
        for client in self._clients:
            client.close()
        self._clients.clear()
