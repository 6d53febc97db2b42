"""A throw-away PostgreSQL server for tests.

A Cluster owns a temporary directory, a server on 127.0.0.1 with a free port and a
unix socket in that directory. PostgreSQL refuses to run as root, so as root its
programs run as the user `postgres`. Durability is off: the data does not outlive the
test. What start() started, stop() ends by its process id.

    with Cluster(options={"max_connections": 200}, ssl=True) as cluster:
        cluster.psql("create table t(a int)")
        subprocess.run(["psql", cluster.dsn("bob", "app")])
"""

import atexit
import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

BIN_DIRS = ("/usr/lib/postgresql/{version}/bin", "/usr/pgsql-{version}/bin")
DEFAULT_HBA = "local all all trust\nhost all all 127.0.0.1/32 trust\n" \
              "host replication all 127.0.0.1/32 trust\n"
DEFAULT_OPTIONS = {
    "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off",
    "max_connections": 200, "shared_buffers": "64MB", "jit": "off",
    "max_parallel_workers_per_gather": 0, "autovacuum": "off", "max_wal_size": "2GB",
    "checkpoint_timeout": "1h", "logging_collector": "off", "wal_level": "logical",
}


class ClusterError(Exception):
    """A program of PostgreSQL failed; the text is what it said."""


def free_port():
    """A TCP port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def bin_dir(version):
    """The folder of a version's programs; $PG<version>_BIN overrides the usual places."""
    override = os.environ.get(f"PG{version}_BIN")
    for path in [override] if override else [d.format(version=version) for d in BIN_DIRS]:
        if os.path.exists(os.path.join(path, "postgres")):
            return path
    raise ClusterError(f"no PostgreSQL {version} here (set PG{version}_BIN)")


def clean_up_on_sigterm():
    """Makes a SIGTERM (a test runner's time-out) end this process as sys.exit does, so that
    context managers and atexit stop what was started. A handler already set stays."""
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def run(argv, **kwargs):
    """Runs a program and returns its output; raises ClusterError with the output if it fails."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, **kwargs)
    if done.returncode:
        raise ClusterError(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout}")
    return done.stdout


def self_signed_cert(directory, name="server", hosts="DNS:localhost,IP:127.0.0.1"):
    """Makes NAME.crt and NAME.key for localhost in the directory; returns both paths."""
    crt, key = (os.path.join(directory, f"{name}.{end}") for end in ("crt", "key"))
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "3650", "-subj", "/CN=localhost", "-addext", f"subjectAltName={hosts}",
         "-keyout", key, "-out", crt])
    os.chmod(key, 0o600)
    return crt, key


class Cluster:
    """One server. `options` are settings of postgresql.conf, `hba` replaces pg_hba.conf."""

    def __init__(self, version=15, options=None, hba=DEFAULT_HBA, ssl=False):
        self.version, self.hba, self.ssl = version, hba, ssl
        self.bin = bin_dir(version)
        self.options = {**DEFAULT_OPTIONS, **(options or {})}
        self.dir = self.port = self.cert = self.key = self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def socket_dir(self):
        """The folder of the server's unix socket."""
        return self.dir

    @property
    def data_dir(self):
        """The server's data; the server may be stopped with pause() while it is edited."""
        return os.path.join(self.dir, "data")

    @property
    def pid(self):
        """The postmaster's process id."""
        return self.process.pid

    @property
    def log(self):
        """What the server has said so far."""
        with open(os.path.join(self.dir, "log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def start(self):
        """initdb, then the server; returns when it answers."""
        clean_up_on_sigterm()
        self.dir = tempfile.mkdtemp(prefix="howdah-pg-")
        atexit.register(self.stop)
        self._own(self.dir)
        try:
            self._make_data()
            if self.ssl:
                self.cert, self.key = self_signed_cert(self.dir)
                self._own(self.key)
            self.port = self.options.get("port") or free_port()
            self._write_config()
            self.resume()
        except BaseException:
            self.stop()
            raise

    def _make_data(self):
        run(self._as_server([self.tool("initdb"), "-D", self.data_dir, "-U", "postgres", "-N",
                             "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8"]), cwd="/")

    def stop(self):
        """Ends the server and removes its data; does nothing if that is done already."""
        self.pause(signal.SIGQUIT)
        if self.dir:
            shutil.rmtree(self.dir, ignore_errors=True)
            self.dir = None
        atexit.unregister(self.stop)

    def pause(self, how=signal.SIGINT):
        """Ends the server but keeps its data: SIGINT is a fast shutdown, SIGQUIT a crash."""
        if not self.process:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def resume(self):
        """Starts the server over the data that is there, on the same port."""
        with open(os.path.join(self.dir, "log"), "ab") as log:
            self.process = subprocess.Popen(
                [self.tool("postgres"), "-D", self.data_dir], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, cwd=self.dir, start_new_session=True, **self._server_user())
        self._wait_until_it_answers()

    def freeze(self, whole=True):
        """Stops the server in its tracks; without `whole` only the postmaster, which starts no more
        backends then, while those that run go on."""
        self._signal_all(signal.SIGSTOP, whole)

    def thaw(self):
        """Lets it go on after freeze()."""
        self._signal_all(signal.SIGCONT, True)

    def signal_child(self, title, how):
        """Sends a signal to the server's processes with this word in their title; how many they were."""
        found = 0
        for pid in self._children():
            with contextlib.suppress(OSError):  # one that has ended meanwhile
                with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
                    if title in file.read():
                        os.kill(pid, how)
                        found += 1
        return found

    def _children(self):
        with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]

    def _signal_all(self, how, whole):
        for pid in [self.pid, *(self._children() if whole else [])]:
            with contextlib.suppress(ProcessLookupError):  # a worker that has ended meanwhile
                os.kill(pid, how)

    def reload(self):
        """Rewrites the configuration from `options` and `hba` and lets the server read it."""
        self._write_config()
        self.process.send_signal(signal.SIGHUP)

    def tool(self, name):
        """The path of one of this version's programs; psql and pgbench may be another's."""
        path = os.path.join(self.bin, name)
        return path if os.path.exists(path) else shutil.which(name)

    def dsn(self, user="postgres", db="postgres", password=None, **params):
        """A URI for libpq, over TCP; `params` go behind the question mark."""
        secret = f":{password}" if password else ""
        tail = "?" + "&".join(f"{k}={v}" for k, v in params.items()) if params else ""
        return f"postgres://{user}{secret}@127.0.0.1:{self.port}/{db}{tail}"

    def psql(self, sql, user="postgres", db="postgres", host="127.0.0.1", port=None):
        """Runs one -c with psql, at this server or at a proxy's port; returns the output."""
        env = {**os.environ, "PGSSLMODE": os.environ.get("PGSSLMODE", "prefer")}
        return run([self.tool("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", host, "-p",
                    str(port or self.port), "-U", user, "-d", db, "-c", sql], env=env).strip()

    def _write_config(self):
        settings = {"listen_addresses": "127.0.0.1", "port": self.port,
                    "unix_socket_directories": self.dir, **self.options}
        if self.ssl:
            settings |= {"ssl": "on", "ssl_cert_file": self.cert, "ssl_key_file": self.key}
        self._write("postgresql.auto.conf", "".join(f"{k} = '{v}'\n" for k, v in settings.items()))
        self._write("pg_hba.conf", self.hba)

    def _write(self, name, text):
        path = os.path.join(self.data_dir, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        self._own(path)

    def _wait_until_it_answers(self):
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise ClusterError(f"the server ended at its start:\n{self.log}")
            if subprocess.run([self.tool("pg_isready"), "-q", "-h", self.dir, "-p",
                               str(self.port)], check=False).returncode == 0:
                return
            time.sleep(0.05)
        raise ClusterError(f"the server does not answer:\n{self.log}")

    @staticmethod
    def _server_user():
        if os.geteuid() != 0:
            return {}
        entry = pwd.getpwnam("postgres")
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

    @staticmethod
    def _as_server(argv):
        return ["runuser", "-u", "postgres", "--", *argv] if os.geteuid() == 0 else argv

    def _own(self, path):
        if os.geteuid() == 0:
            entry = pwd.getpwnam("postgres")
            os.chown(path, entry.pw_uid, entry.pw_gid)


class Replica(Cluster):
    """A streaming replica of a running Cluster, with the same options and some of its own."""

    def __init__(self, primary, options=None):
        follow = {"primary_conninfo": primary.dsn(), "hot_standby": "on"}
        super().__init__(primary.version, {**primary.options, **follow, **(options or {})},
                         primary.hba)
        self.primary = primary

    def _make_data(self):
        run(self._as_server([self.tool("pg_basebackup"), "-D", self.data_dir, "-d",
                             self.primary.dsn(), "-X", "stream", "-c", "fast"]), cwd="/")
        self._write("standby.signal", "")

    def become_standby(self, primary):
        """Follows that one from its next start on, or (if it is a standby) from its next reload()."""
        self.options["primary_conninfo"] = primary.dsn()
        self._write("standby.signal", "")
        self._write_config()

    def promote(self):
        """Makes it a primary on the next timeline; returns when it is."""
        run(self._as_server([self.tool("pg_ctl"), "promote", "-w", "-D", self.data_dir]), cwd="/")
