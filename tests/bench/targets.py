"""What the bench compares: no proxy, the bare relay, Howdah, PgBouncer and Odyssey.

A World holds one PostgreSQL with pgbench's tables, the bench's own C programs (compiled into a
temporary folder) and the paths of the proxies. start() starts one proxy in front of that server;
each one listens on a free port of 127.0.0.1 and is ended by its process id.

    with World(peers={"howdah": PATH}) as world, world.start("howdah", tls=True) as target:
        pgbench(target.port)

User `bench` is let in without a password; in front of Access(auth="scram") proxies the user is
`bench_scram`, who proves SECRET.
"""

import json
import os
import pwd
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

from howdah import Howdah, HowdahError          # noqa: E402
from pgcluster import Cluster, Replica, free_port, run, self_signed_cert     # noqa: E402

POOL_SIZE = 16              # server connections of the proxies that pool
CLIENTS_MAX = 15000
SCALE = 10                  # of pgbench's tables: a million accounts
SECRET = "secret"
FILES_MAX = 65536           # descriptors wanted, if the hard limit allows
SERVER_HBA = "local all all trust\n" \
             "host replication all 127.0.0.1/32 trust\n" \
             "host all bench_scram 127.0.0.1/32 scram-sha-256\n" \
             "host all all 127.0.0.1/32 trust\n"
C_FLAGS = ["-std=gnu17", "-O2", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror",
           "-D_GNU_SOURCE"]
C_PROGRAMS = {
    "relay": (["relay.c"], []),
    "load": (["load.c", "wire.c"], ["-lssl", "-lcrypto", "-lpthread"]),
    "malloc_count.so": (["malloc_count.c"], ["-shared", "-fPIC"]),
}


class Skip(Exception):
    """This can't be measured here; the text says why."""


class StartError(Exception):
    """A proxy that was given does not start; the text is what it said."""


class Target:
    """Something that listens on `port`; `pid` is the proxy's, None if there is no proxy."""

    def __init__(self, name, port, pid=None, tls=False, auth="trust", end=lambda: None):
        self.name, self.port, self.pid, self.tls, self.auth = name, port, pid, tls, auth
        self.stop = end

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def user(self):
        """Whom the load logs in as."""
        return "bench_scram" if self.auth == "scram" else "bench"

    def libpq_env(self):
        """The environment of a program that connects with libpq."""
        return {**os.environ, "PGSSLMODE": "require" if self.tls else "disable",
                "PGGSSENCMODE": "disable", "PGPASSWORD": SECRET, "PGHOST": "127.0.0.1",
                "PGPORT": str(self.port), "PGUSER": self.user, "PGDATABASE": "bench"}

    def load_env(self):
        """The environment of tests/bench/load.c."""
        env = {**os.environ, "LOAD_USER": self.user}
        if self.auth == "scram":
            env["LOAD_PASSWORD"] = SECRET
        if self.tls:
            env["LOAD_TLS"] = "1"
        return env


def raise_descriptor_limit():
    """Lets this process and what it starts open as many files as the hard limit allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, FILES_MAX)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class World:
    """The server, the tools and the peers' paths; a context manager."""

    def __init__(self, peers, version=15, cc=os.environ.get("CC", "cc")):
        self.peers, self.cc = peers, cc
        self.dir = None
        self.cluster = Cluster(version, hba=SERVER_HBA, ssl=True,
                               options={"max_connections": 300, "shared_buffers": "256MB"})
        self.replica = None     # started when it is first asked for

    def __enter__(self):
        raise_descriptor_limit()
        self.dir = tempfile.mkdtemp(prefix="howdah-bench-")
        os.chmod(self.dir, 0o755)
        try:
            self._compile()
            self.cert, self.key = self_signed_cert(self.dir)
            self.cluster.start()
            self._fill()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.replica:
            self.replica.stop()
        self.cluster.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def tool(self, name):
        """The path of one of the bench's C programs."""
        return os.path.join(self.dir, name)

    def path(self, name):
        """A file in the bench's temporary folder."""
        return os.path.join(self.dir, name)

    def start(self, name, auth="trust", tls=False, wrapper=(), env=None):
        """Starts a target; raises Skip if it isn't given, StartError if it won't."""
        starters = {"direct": self._start_direct, "relay": self._start_relay,
                    "howdah": self._start_howdah, "howdah-2": self._start_howdah_2,
                    "howdah-routed": self._start_howdah_routed,
                    "pgbouncer": self._start_pgbouncer, "odyssey": self._start_odyssey}
        return starters[name](auth, tls, list(wrapper), env or {})

    def describe(self):
        """The machine and the versions, as one line."""
        versions = [run([self.cluster.tool("postgres"), "--version"]).strip()]
        for name in self.peers:
            if self.peers[name]:
                said = subprocess.run([self._peer(name), "--version"], stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True, check=False).stdout
                versions.append(f"{name}: {(said.strip() or 'no version').splitlines()[0]}")
        return (f"{len(os.sched_getaffinity(0))} cores, Linux {os.uname().release}, "
                + ", ".join(versions))

    def scram_secret(self):
        """The SCRAM secret that the server itself stores for bench_scram."""
        return self.cluster.psql("select rolpassword from pg_authid where rolname = 'bench_scram'")

    def has_prepared(self, name):
        """Whether a target has prepared statements in transaction mode (PgBouncer from 1.21)."""
        return name != "pgbouncer" or self._pgbouncer_version() >= (1, 21)

    def _compile(self):
        for name, (sources, flags) in C_PROGRAMS.items():
            run([self.cc, *C_FLAGS, "-o", self.tool(name),
                 *[os.path.join(HERE, source) for source in sources], *flags])

    def _fill(self):
        sql = self.cluster.psql
        sql("create role bench login superuser")
        sql(f"create role bench_scram login superuser password '{SECRET}'")
        sql("create database bench owner bench")
        run([self.cluster.tool("pgbench"), "-i", "-q", "-s", str(SCALE), "-h", "127.0.0.1", "-p",
             str(self.cluster.port), "-U", "bench", "bench"])
        sql("create table copy_target(v text)", db="bench")
        sql("select sum(abalance) from pgbench_accounts", db="bench")

    def _start_direct(self, auth, tls, _wrapper, _env):
        return Target("direct", self.cluster.port, tls=tls, auth=auth)

    def _start_relay(self, auth, tls, wrapper, env):
        port = free_port()
        return self._spawn("relay", wrapper + [self.tool("relay"), str(port),
                                               str(self.cluster.port)], port, auth, tls, env)

    def _start_howdah(self, auth, tls, wrapper, env, workers=1, name="howdah", more=None):
        settings = {"workers": workers, "databases.bench.pool.size": POOL_SIZE,
                    "auth.method": "trust", "max_clients": CLIENTS_MAX, **(more or {})}
        if tls:
            settings |= {"tls.cert": self.cert, "tls.key": self.key}
        if auth == "scram":
            settings |= {"auth.method": "scram-sha-256", "auth.users_file": self._users_file()}
        server = f"postgres://127.0.0.1:{self.cluster.port}/bench?sslmode=disable"
        proxy = Howdah(self._peer("howdah"), databases={"bench": server}, settings=settings,
                       wrapper=wrapper, env=env, start_timeout_s=60 if wrapper else 20)
        try:
            proxy.start()
        except (HowdahError, OSError) as error:
            raise StartError(f"howdah: {error}") from None
        return Target(name, proxy.port, proxy.pid, tls, auth, proxy.stop)

    def _start_howdah_2(self, auth, tls, wrapper, env):
        return self._start_howdah(auth, tls, wrapper, env, workers=2, name="howdah-2")

    def _start_howdah_routed(self, auth, tls, wrapper, env):
        """One that sends reads to a replica, of the same size and on the same machine."""
        if not self.replica:
            self.replica = Replica(self.cluster)
            self.replica.start()
        replica = f"postgres://127.0.0.1:{self.replica.port}/bench?sslmode=disable"
        return self._start_howdah(auth, tls, wrapper, env, name="howdah-routed",
                                  more={"databases.bench.replicas": json.dumps([replica])})

    def _start_pgbouncer(self, auth, tls, wrapper, env):
        port, binary = free_port(), self._peer("pgbouncer")
        settings = {
            "listen_addr": "127.0.0.1", "listen_port": port, "unix_socket_dir": "",
            "auth_type": "scram-sha-256" if auth == "scram" else "trust",
            "auth_file": self._users_file(), "pool_mode": "transaction",
            "default_pool_size": POOL_SIZE, "max_client_conn": CLIENTS_MAX, "listen_backlog": 4096,
            "log_connections": 0, "log_disconnections": 0, "log_stats": 0,
            "server_lifetime": 86400, "server_idle_timeout": 86400, "server_tls_sslmode": "disable",
            "ignore_startup_parameters": "extra_float_digits",
        }
        if self.has_prepared("pgbouncer"):
            settings["max_prepared_statements"] = 500
        if tls:
            settings |= {"client_tls_sslmode": "allow", "client_tls_cert_file": self.cert,
                         "client_tls_key_file": self.key}
        # As Odyssey, it is told how to log in at the server: 1.25 does not reuse the clients' proofs.
        server = f" user=bench_scram password={SECRET}" if auth == "scram" else ""
        ini = self._write("pgbouncer.ini", f"[databases]\nbench = host=127.0.0.1 "
                          f"port={self.cluster.port} dbname=bench{server}\n[pgbouncer]\n" +
                          "".join(f"{key} = {value}\n" for key, value in settings.items()))
        return self._spawn("pgbouncer", wrapper + [binary, ini], port, auth, tls, env,
                           how=signal.SIGQUIT)

    def _start_odyssey(self, auth, tls, wrapper, env):
        port, binary = free_port(), self._peer("odyssey")
        method = (f'"scram-sha-256"\n password "{self.scram_secret()}"' if auth == "scram"
                  else '"none"')
        tls_lines = (f' tls "allow"\n tls_cert_file "{self.cert}"\n tls_key_file "{self.key}"\n'
                     if tls else "")
        user = "bench_scram" if auth == "scram" else "bench"
        config = self._write("odyssey.conf", f"""daemonize no
log_to_stdout yes
log_format "%p %t %l %m\\n"
log_session no
log_query no
log_stats no
workers 1
resolvers 1
client_max {CLIENTS_MAX}
locks_dir "{self.dir}"
listen {{
 host "127.0.0.1"
 port {port}
 backlog 4096
{tls_lines}}}
storage "server" {{
 type "remote"
 host "127.0.0.1"
 port {self.cluster.port}
}}
database "bench" {{
 user "{user}" {{
 authentication {method}
 storage "server"
 storage_db "bench"
 storage_user "{user}"
 storage_password "{SECRET}"
 pool "transaction"
 pool_size {POOL_SIZE}
 pool_timeout 0
 pool_ttl 86400
 pool_discard no
 pool_reserve_prepared_statement yes
 client_fwd_error yes
 }}
}}
""")
        return self._spawn("odyssey", wrapper + [binary, config], port, auth, tls, env)

    def _peer(self, name):
        if not self.peers.get(name):
            raise Skip(f"no {name} given")
        return os.path.abspath(self.peers[name])

    def _pgbouncer_version(self):
        found = re.search(r"(\d+)\.(\d+)", run([self._peer("pgbouncer"), "--version"]))
        return int(found[1]), int(found[2])

    def _users_file(self):
        return self._write("users.txt", f'"bench" ""\n"bench_scram" "{self.scram_secret()}"\n')

    def _write(self, name, text):
        path = self.path(name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def _spawn(self, name, argv, port, auth, tls, env, how=signal.SIGTERM):
        """Runs a proxy of the peers', not as root, as PgBouncer refuses that."""
        user = {}
        if os.geteuid() == 0:
            entry = pwd.getpwnam("postgres")
            user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
            for path in (self.dir, self.key):
                os.chown(path, entry.pw_uid, entry.pw_gid)
        with open(self.path(f"{name}.log"), "ab") as log:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       cwd=self.dir, env={**os.environ, **env},
                                       start_new_session=True, **user)

        def end():
            process.send_signal(how)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

        if not wait_for_port(port, process):
            end()
            with open(self.path(f"{name}.log"), encoding="utf-8", errors="replace") as log:
                raise StartError(f"{name}: {log.read()[-500:].strip()}")
        return Target(name, port, process.pid, tls, auth, end)


def wait_for_port(port, process, timeout_s=60):
    """Whether something listens on the port before the time is up or the process has ended."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.05)
    return False
