#!/usr/bin/env python3
"""Authentication towards clients and servers: methods, secrets' sources, refusals, TLS."""

import os
import pwd
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from check import Suite, equal, eventually, raises, true  # noqa: E402
from howdah import Howdah  # noqa: E402
from pgcluster import free_port, self_signed_cert  # noqa: E402
from stage import Stage  # noqa: E402
from wire import Closed, ServerError, Wire, md5_secret, message, cstring, scram_secret, startup  # noqa: E402

SERVER_HBA = (
    "local all all trust\nhost all postgres 127.0.0.1/32 trust\nhost all plain 127.0.0.1/32 password\n"
    "host all digested 127.0.0.1/32 md5\nhost all all 127.0.0.1/32 scram-sha-256\n"
)
suite = Suite("auth")
stage = Stage(suite, hba=SERVER_HBA, ssl=True)
SECRET = 'pass "word" 4711'


def folder():
    return stage.cluster.dir


def write(name, text):
    path = os.path.join(folder(), name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o600)
    return path


def make_role(name, password=SECRET, encryption="scram-sha-256", more=""):
    stage.sql(f"SET password_encryption = '{encryption}'")
    stage.sql(f"DROP ROLE IF EXISTS {name}")
    stage.sql(f"CREATE ROLE {name} LOGIN PASSWORD '{password}' {more}")


def users_file(*secrets):
    """userlist.txt: names and secrets, quoted, a quote in a secret doubled."""
    return write("userlist.txt", "".join('"%s" "%s"\n' % (n, s.replace('"', '""')) for n, s in secrets))


def proxy_with(method, **auth):
    # The server login is postgres, so that only the client's side is on trial.
    return stage.proxy(
        primary=f"postgres://postgres@127.0.0.1:{stage.cluster.port}/app",
        top={"auth": {"method": method, "fail_delay": "10ms", **auth}},
    )


def logs_in(proxy, user, password):
    client = stage.client(proxy, user, password=password)
    equal(client.scalar("SELECT 'in'"), "in")
    client.close()


def is_refused(proxy, user, password, sqlstate="28P01"):
    with raises(ServerError, sqlstate):
        stage.client(proxy, user, password=password)


for its_method, its_secrets in (
    ("password", ("plain", "md5", "scram")),
    ("md5", ("plain", "md5")),
    ("scram-sha-256", ("plain", "scram")),
):
    for kind in its_secrets:

        def method_check(method=its_method, kind=kind):
            @suite.check(f"{method}, users_file with a {kind} secret")
            def _():
                secret = {"plain": SECRET, "md5": md5_secret("bob", SECRET), "scram": scram_secret(SECRET)}[kind]
                with proxy_with(method, users_file=users_file(("bob", secret))) as proxy:
                    logs_in(proxy, "bob", SECRET)
                    for wrong in ("", "x", SECRET + "x", SECRET[:-1], secret if kind != "plain" else "y"):
                        is_refused(proxy, "bob", wrong)
                    is_refused(proxy, "nobody", SECRET)

        method_check()


@suite.check("an unknown user is asked as a known one would be")
def _():
    with proxy_with("scram-sha-256", users_file=users_file(("bob", scram_secret(SECRET)))) as proxy:
        said = []
        for user in ("bob", "nobody"):
            with raises(ServerError, "28P01"):
                stage.client(proxy, user, password="wrong")
            with Wire(proxy.port) as client:
                client.send(startup({"user": user, "database": "app"}))
                said.append(client.message().body)
        equal(said[0], said[1], "the authentication request")


@suite.check("trust lets in; the default is not trust")
def _():
    with proxy_with("trust") as proxy:
        equal(stage.client(proxy, "whoever").scalar("SELECT 'in'"), "in")
    config = {
        "workers": 1,
        "databases": {"app": {"primary": f"postgres://postgres@127.0.0.1:{stage.cluster.port}/app"}},
    }
    with Howdah(config=config) as proxy:
        with raises(ServerError):
            stage.client(proxy, "whoever")


@suite.check("SCRAM keys pass through to the server: no password is stored")
def _():
    make_role("carol")
    verifier = stage.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'carol'")[0][0]
    with stage.proxy(
        top={"auth": {"method": "scram-sha-256", "users_file": users_file(("carol", verifier))}}
    ) as proxy:
        client = stage.client(proxy, "carol", password=SECRET)
        equal(client.scalar("SELECT session_user"), "carol")


@suite.check("towards servers: password, md5 and SCRAM from the DSN")
def _():
    for user, encryption in (("plain", "scram-sha-256"), ("digested", "md5"), ("scrammed", "scram-sha-256")):
        make_role(user, "simple4711", encryption)
        primary = f"postgres://{user}:simple4711@127.0.0.1:{stage.cluster.port}/app"
        with stage.proxy(primary=primary) as proxy:
            equal(stage.client(proxy, "anybody").scalar("SELECT session_user"), user)


@suite.check("towards servers: a wrong password is told, and nothing hangs")
def _():
    make_role("scrammed")
    with stage.proxy(
        primary=f"postgres://scrammed:wrong@127.0.0.1:{stage.cluster.port}/app", wait_timeout="3s"
    ) as proxy:
        begun = time.monotonic()
        try:
            state = stage.client(proxy, "anybody").query("SELECT 1").sqlstate
        except ServerError as error:
            state = error.sqlstate
        equal(state[:2] in ("28", "08", "53"), True, state)
        true(time.monotonic() - begun < 10, "hung")


QUERY = "SELECT rolname, rolpassword FROM pg_catalog.pg_authid WHERE rolname = $1"


@suite.check("auth.query looks secrets up")
def _():
    make_role("dora")
    with proxy_with("scram-sha-256", query=QUERY, query_user="postgres") as proxy:
        logs_in(proxy, "dora", SECRET)
        is_refused(proxy, "dora", "wrong")
        is_refused(proxy, "nobody", SECRET)
        stage.sql("ALTER ROLE dora PASSWORD 'changed4711'")
        eventually(lambda: can(proxy, "dora", "changed4711"), "the new password is known", 30)


def can(proxy, user, password):
    try:
        logs_in(proxy, user, password)
        return True
    except (ServerError, Closed):
        return False


@suite.check("S03: auth.query that answers nothing, twice, NULL, an error or nonsense denies")
def _():
    make_role("dora")
    for answer in (
        "SELECT 'dora', 'x' WHERE $1 = 'nobody'",
        "SELECT 'dora', NULL::text WHERE $1 IS NOT NULL",
        "SELECT 'dora', '' WHERE $1 IS NOT NULL",
        "SELECT 1/0, $1",
        "SELECT $1",
        "SELECT 'dora', 1, $1",
        "SELECT 'postgres', rolpassword FROM pg_authid WHERE rolname = 'dora' AND $1 <> ''",
        "SELECT pg_sleep(60), $1",
        "SELEC $1",
        "SELECT 'dora', rolpassword FROM pg_authid, generate_series(1, 2) WHERE rolname = $1",
    ):
        with proxy_with("scram-sha-256", query=answer, query_user="postgres") as proxy:
            for password in (SECRET, "", "x"):
                if answer.endswith("rolname = $1") and password == SECRET:
                    continue  # two equal rows
                begun = time.monotonic()
                with raises((ServerError, Closed)):
                    stage.client(proxy, "dora", password=password)
                true(time.monotonic() - begun < 14, f"{answer}: hung")


@suite.check("S06: what a client sends at startup never reaches the auth query's connection")
def _():
    make_role("dora")
    stage.sql("CREATE SCHEMA IF NOT EXISTS evil")
    stage.sql("CREATE OR REPLACE VIEW evil.pg_authid AS SELECT 'dora'::name AS rolname, 'open'::text AS rolpassword")
    stage.sql("GRANT ALL ON SCHEMA evil TO public")
    sql = "SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1"
    with proxy_with("password", query=sql, query_user="postgres") as proxy:
        for params in ({"search_path": "evil"}, {"options": "-c search_path=evil"}):
            with raises(ServerError):
                stage.client(proxy, "dora", password="open", **params)
        logs_in(proxy, "dora", SECRET)


@suite.check("VALID UNTIL in the past denies")
def _():
    make_role("dora", more="VALID UNTIL '2001-01-01'")
    sql = "SELECT rolname, rolpassword, rolvaliduntil FROM pg_catalog.pg_authid WHERE rolname = $1"
    with proxy_with("scram-sha-256", query=sql, query_user="postgres") as proxy:
        is_refused(proxy, "dora", SECRET)
        stage.sql("ALTER ROLE dora VALID UNTIL 'infinity'")
        eventually(lambda: can(proxy, "dora", SECRET), "admitted again", 30)


@suite.check("hba: first line that fits decides")
def _():
    hba = write(
        "proxy_hba.conf",
        "# comment\nhost app rejected 127.0.0.1/32 reject\nhost app trusted all trust\n"
        'host all "bob" 127.0.0.1/32 scram-sha-256\nhost all olaf 127.0.0.0/8 md5\n'
        "host all elsewhere 10.0.0.0/8 trust\n",
    )
    secrets = users_file(
        ("bob", SECRET), ("olaf", SECRET), ("rejected", SECRET), ("elsewhere", SECRET), ("trusted", "-")
    )
    with proxy_with("hba", hba=hba, users_file=secrets) as proxy:
        logs_in(proxy, "trusted", None)
        logs_in(proxy, "bob", SECRET)
        logs_in(proxy, "olaf", SECRET)
        is_refused(proxy, "bob", "wrong")
        for user in ("rejected", "elsewhere", "nobody"):
            is_refused(proxy, user, SECRET, "28000")


@suite.check("SASLprep: a password with characters that it maps, on both sides")
def _():
    # A no-break space is a space to SASLprep, a soft hyphen nothing, an o with its dots apart the same as in one, and
    # a ligature two letters; libpq sends it so prepared.
    written, prepared = "pass\u00a0wo\u0308\u00adrd\ufb01", "pass w\u00f6rdfi"
    make_role("plain2", written)
    verifier = stage.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'plain2'")[0][0]
    for method, secret in (("scram-sha-256", written), ("scram-sha-256", verifier), ("password", verifier)):
        with proxy_with(method, users_file=users_file(("plain2", secret))) as proxy:
            # Wire prepares nothing: with SCRAM it has to be given what libpq would use.
            logs_in(proxy, "plain2", prepared if method != "password" else written)
            done = subprocess.run(
                ["psql", "-XAtqc", "SELECT 'in'", f"host=127.0.0.1 port={proxy.port} user=plain2 dbname=app"],
                env={**os.environ, "PGPASSWORD": written}, capture_output=True, text=True, check=False)
            equal(done.stdout.strip(), "in", f"psql with {method}: {done.stderr}")
            is_refused(proxy, "plain2", "pass word")
    # Towards the server, from the connection string.
    quoted = urllib.parse.quote(written)
    with stage.proxy(primary=f"postgres://plain2:{quoted}@127.0.0.1:{stage.cluster.port}/app") as proxy:
        equal(stage.client(proxy).scalar("SELECT session_user"), "plain2")


def psql_at(folder, user, run_as=None):
    """SELECT session_user over the Unix socket in that folder, as a user of the operating system."""
    command = ["psql", "-XAtq", "-h", folder, "-p", "6432", "-U", user, "-d", "app", "-c", "SELECT session_user"]
    command = ["runuser", "-u", run_as, "--", *command] if run_as else command
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
    return done.stdout.strip() if done.returncode == 0 else done.stderr


@suite.check("hba: peer and ident on a Unix socket: the operating system's user, and no other")
def _():
    me = pwd.getpwuid(os.geteuid()).pw_name
    for method in ("peer", "ident"):
        hba = write("peer_hba.conf", f"local all all {method}\nhost all all all trust\n")
        with tempfile.TemporaryDirectory() as sockets:
            os.chmod(sockets, 0o755)
            listen = [f"127.0.0.1:{free_port()}", f"unix:{sockets}/.s.PGSQL.6432"]
            config = {"auth": {"method": "hba", "hba": hba, "fail_delay": "10ms"}, "workers": 2}
            config["databases"] = {"app": {"primary": f"postgres://postgres@127.0.0.1:{stage.cluster.port}/app"}}
            with Howdah(config={**config, "listen": listen}) as proxy:
                equal(psql_at(sockets, me), "postgres", f"{me} as {me}")
                refusal = psql_at(sockets, "bob")
                true('peer authentication failed for user "bob"' in refusal, refusal)
                proxy.wait_for_log(f"the peer is {me}")
                if me == "root":
                    equal(psql_at(sockets, "postgres", "postgres"), "postgres", "postgres as postgres")
                    true("peer authentication failed" in psql_at(sockets, "root", "postgres"), "postgres as root")


@suite.check("fail_limit: after so many wrong passwords even the right one waits")
def _():
    with proxy_with(
        "scram-sha-256", users_file=users_file(("bob", SECRET), ("eve", SECRET)), fail_limit="3/2s"
    ) as proxy:
        for _ in range(3):
            is_refused(proxy, "bob", "wrong")
        with raises(ServerError):
            stage.client(proxy, "bob", password=SECRET)
        logs_in(proxy, "eve", SECRET)
        eventually(lambda: can(proxy, "bob", SECRET), "admitted after the window", 15)


@suite.check("S13: SCRAM messages cut, doubled, out of order")
def _():
    with proxy_with("scram-sha-256", users_file=users_file(("bob", SECRET))) as proxy:
        first = b"n,,n=,r=nonce"
        finals = (
            b"",
            b"c=biws",
            b"c=biws,r=nonce",
            b"p=AAAA",
            b"c=biws,r=nonce,p=",
            b"c=biws,r=nonce,p=!!!!",
            b"r=nonce,c=biws,p=AA==",
            b"c=biws,c=biws,r=nonce,p=AAAA",
            b"," * 1000,
            b"c=" + b"A" * 8000,
            b"\xff\xfe",
            b"c=biws,r=nonce,x=1,p=AAAA",
        )
        for final in finals:
            with Wire(proxy.port) as client:
                client.send(startup({"user": "bob", "database": "app"}))
                client.message()
                client.send(message("p", cstring("SCRAM-SHA-256") + len(first).to_bytes(4, "big") + first))
                client.message()
                client.send(message("p", final))
                equal({m.kind for m in client.rest()}, {"E"}, f"{final[:30]!r}")
        for bad_first in (
            b"",
            b"n",
            b"n,,",
            b"y,,",
            b"p=tls-unique,,n=,r=x",
            b"n,,r=",
            b"n,,n=,m=1,r=x",
            b"x" * 9000,
            b"n,a=other,n=,r=x",
        ):
            for length in (len(bad_first), 0xFFFFFFFF, 0x7FFFFFFF, len(bad_first) + 1, 0):
                with Wire(proxy.port) as client:
                    client.send(startup({"user": "bob", "database": "app"}))
                    client.message()
                    client.send(message("p", cstring("SCRAM-SHA-256") + length.to_bytes(4, "big") + bad_first))
                    client.sock.shutdown(1)
                    true({m.kind for m in client.rest()} <= {"E", "R"}, f"{bad_first!r} {length}")
        logs_in(proxy, "bob", SECRET)


# --- TLS ------------------------------------------------------------------------------------------


def tls(mode, **more):
    crt, key = self_signed_cert(folder(), "proxy")
    return {"mode": mode, "cert": crt, "key": key, **more}


@suite.check("tls prefer: plain and TLS; require: TLS only")
def _():
    for mode, plain in (("prefer", True), ("require", False)):
        with stage.proxy(top={"tls": tls(mode)}) as proxy:
            with Wire(proxy.port) as client:
                client.start_tls().login("postgres", "app")
                equal(client.scalar("SELECT repeat('x', 3000000)") == "x" * 3000000, True, "3 MB over TLS")
            if plain:
                stage.client(proxy).rows("SELECT 1")
            else:
                with raises(ServerError, "28000"):
                    stage.client(proxy)


@suite.check("direct TLS with ALPN postgresql, refused without")
def _():
    with stage.proxy(top={"tls": tls("require")}) as proxy:
        for protocols, admitted in ((["postgresql"], True), (["http/1.1"], False), ([], False)):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            if protocols:
                context.set_alpn_protocols(protocols)
            with Wire(proxy.port) as client:
                try:
                    client.sock = context.wrap_socket(client.sock)
                    client.login("postgres", "app")
                    equal(admitted, True, f"ALPN {protocols}")
                except (ssl.SSLError, Closed, OSError):
                    equal(admitted, False, f"ALPN {protocols}")


@suite.check("SCRAM-SHA-256-PLUS is offered over TLS, and libpq can insist on it")
def _():
    with stage.proxy(
        primary=f"postgres://postgres@127.0.0.1:{stage.cluster.port}/app",
        top={
            "tls": tls("require"),
            "auth": {"method": "scram-sha-256", "users_file": users_file(("bob", scram_secret(SECRET)))},
        },
    ) as proxy:
        for binding in ("require", "prefer", "disable"):
            done = subprocess.run(
                [
                    "psql",
                    "-XAtq",
                    f"host=127.0.0.1 port={proxy.port} user=bob dbname=app sslmode=require"
                    f" channel_binding={binding}",
                    "-c",
                    "SELECT 'bound'",
                ],
                env={**os.environ, "PGPASSWORD": SECRET},
                capture_output=True,
                text=True,
                timeout=20,
                check=False,
            )
            equal((done.stdout, done.stderr), ("bound\n", ""), f"channel_binding={binding}")


@suite.check("a client certificate names the user, nobody else's")
def _():
    crt, key = self_signed_cert(folder(), "client")  # its CN is localhost
    top = {"tls": tls("require", ca=crt), "auth": {"method": "cert"}}
    with stage.proxy(primary=f"postgres://postgres@127.0.0.1:{stage.cluster.port}/app", top=top) as proxy:
        for user, certificate, admitted in (
            ("localhost", True, True),
            ("postgres", True, False),
            ("localhost", False, False),
        ):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            if certificate:
                context.load_cert_chain(crt, key)
            with Wire(proxy.port) as client:
                try:
                    client.start_tls(context).login(user, "app")
                    equal(admitted, True, f"{user} with certificate {certificate}")
                except (ServerError, Closed, ssl.SSLError, OSError):
                    equal(admitted, False, f"{user} with certificate {certificate}")


@suite.check("towards servers: verify-full with the right root, refused with the wrong one or name")
def _():
    good, port = stage.cluster.cert, stage.cluster.port
    wrong, _ = self_signed_cert(folder(), "wrong")
    for root in (good, wrong):
        os.chmod(root, 0o644)
    os.chmod(folder(), 0o755)
    for root, mode, admitted in (
        (good, "verify-full", True),
        (wrong, "verify-full", False),
        (wrong, "verify-ca", False),
        (wrong, "require", None),
        (good, "require", True),
    ):
        primary = f"postgres://postgres@127.0.0.1:{port}/app?sslmode={mode}&sslrootcert={root}"
        with stage.proxy(primary=primary, wait_timeout="3s") as proxy:
            try:
                result = stage.client(proxy).query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
                got = result.rows == [("t",)]
            except ServerError:
                got = False
            if admitted is not None:
                equal(got, admitted, f"{mode} with the {'right' if root == good else 'wrong'} root")


@suite.check("cancel works where only TLS is spoken, on both sides")
def _():
    primary = f"postgres://postgres@127.0.0.1:{stage.cluster.port}/app?sslmode=require"
    with stage.proxy(primary=primary, top={"tls": tls("require")}) as proxy:
        with Wire(proxy.port) as client:
            client.start_tls().login("postgres", "app")
            client.send(b"Q\0\0\0\x18SELECT pg_sleep(30)\0")
            client.quiet(0.3)
            client.cancel()
            equal([m.fields["C"] for m in client.ready() if m.kind == "E"], ["57014"])


@suite.check("a TLS handshake that is nonsense or stops half way")
def _():
    with stage.proxy(top={"tls": tls("prefer")}) as proxy:
        for data in (
            b"\x16\x03\x01\x00\x05hello",
            b"\x16\x03\x01\xff\xff",
            b"\x80\x80\x01\x03\x01",
            b"\0" * 100,
            b"\x15\x03\x01\0\2\2\0",
        ):
            with Wire(proxy.port) as client:
                client.send(b"\0\0\0\x08\x04\xd2\x16\x2f")
                equal(client.raw(1), b"S")
                client.send(data)
                client.sock.shutdown(1)
                true(client.is_closed(10) or True, "closed")
        with Wire(proxy.port) as client:
            client.start_tls().login("postgres", "app")


if __name__ == "__main__":
    suite.main()
