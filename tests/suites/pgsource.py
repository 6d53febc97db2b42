"""PostgreSQL's own test suites: the tests as Debian's source package has them.

Nothing of PostgreSQL lies in this repository. get() fetches the source package once into a cache,
with package lists of its own, so that neither the machine's sources nor its packages change, and
keeps of it what the suites need: the tests, and regress.so, which they load into the server. The
psql is that of the source's version, too: psql has changed what it reads of a script after a COPY
that failed.

    HOWDAH_PG_SOURCE    a folder of PostgreSQL's source to take instead (one with src/test)
    HOWDAH_SUITES_CACHE the cache; default: HOWDAH_BUILD_DIR/suites, else ~/.cache/howdah/suites
"""

import glob
import os
import re
import shutil
import subprocess
import tempfile

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
MIRRORS = (("http://deb.debian.org/debian", "{suite}"),
           ("http://deb.debian.org/debian", "{suite}-updates"),
           ("http://deb.debian.org/debian-security", "{suite}-security"))
SPI_LIBRARIES = ("autoinc.so", "refint.so")  # of postgresql-contrib; the triggers test loads them


class Missing(Exception):
    """The suites cannot be had here; the text says why."""


class Source:
    """Where the suites are. `version` is that of the source, which may be an older minor one."""

    def __init__(self, folder, version):
        self.version = version
        self.regress = os.path.join(folder, "src/test/regress")
        self.isolation = os.path.join(folder, "src/test/isolation")
        self.libraries = os.path.join(folder, "lib")
        self.programs = os.path.join(folder, "bin")  # psql


def run(argv, **options):
    """Runs a program; Missing with the end of what it said if it fails."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=300, check=False,
                              **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{argv[0]}: {error}") from error
    if done.returncode:
        said = " | ".join(done.stdout.strip().splitlines()[-3:])
        raise Missing(f"{' '.join(argv[:1] + argv[-1:])}: {said[:300]}")
    return done.stdout


def cache_dir():
    """The folder that keeps what was fetched."""
    build = os.environ.get("HOWDAH_BUILD_DIR")
    default = os.path.join(build, "suites") if build else \
        os.path.expanduser("~/.cache/howdah/suites")
    return os.path.abspath(os.environ.get("HOWDAH_SUITES_CACHE", default))


def suite_name():
    """The codename of the Debian this is."""
    with open("/etc/os-release", encoding="utf-8") as file:
        found = re.search(r"^VERSION_CODENAME=(\w+)", file.read(), re.M)
    if not found:
        raise Missing("no codename in /etc/os-release; set HOWDAH_PG_SOURCE")
    return found.group(1)


class Apt:
    """apt-get with lists of its own: sources, and the same Debian's packages."""

    def __init__(self, folder):
        for name in ("lists/partial", "cache/archives/partial", "get"):
            os.makedirs(os.path.join(folder, name), exist_ok=True)
        self.folder = os.path.join(folder, "get")
        path = os.path.join(folder, "sources.list")
        with open(path, "w", encoding="utf-8") as file:
            for url, pattern in MIRRORS:
                name = pattern.format(suite=suite_name())
                file.writelines(f"{kind} [signed-by={KEYRING}] {url} {name} main\n"
                                for kind in ("deb", "deb-src"))
        self.options = [f"-o{key}={value}" for key, value in {
            "Dir::Etc::sourcelist": path, "Dir::Etc::sourceparts": "-",
            "Dir::State::lists": os.path.join(folder, "lists"), "APT::Sandbox::User": "root",
            "Dir::Cache": os.path.join(folder, "cache")}.items()]

    def __call__(self, program, *arguments):
        return run([program, *self.options, *arguments], cwd=self.folder)

    def fetch_source(self, package, wanted):
        """Downloads the tarball of the wanted version, or else of the newest that can be had: an
        archive may list what its mirror does not hold any more. Returns (version, path)."""
        listed = self("apt-cache", "showsrc", package)
        versions = sorted(set(re.findall(r"^Version: (\S+)", listed, re.M)), reverse=True)
        versions.sort(key=lambda version: version != wanted)
        failure = Missing(f"no source package {package} is listed")
        for version in versions:
            try:
                self("apt-get", "source", "--download-only", "--tar-only", f"{package}={version}")
                return version, glob.glob(f"{self.folder}/*{version.split('-')[0]}.orig.tar.*")[0]
            except (Missing, IndexError) as error:
                failure = error
        raise failure

    def fetch_package(self, package, version=None):
        """Unpacks a package, of any version unless one is told; returns the folder it is in."""
        self("apt-get", "download", f"{package}={version}" if version else package)
        unpacked = os.path.join(self.folder, package)
        run(["dpkg-deb", "-x", glob.glob(f"{self.folder}/{package}_*.deb")[0], unpacked])
        return os.path.join(unpacked, "usr")


def build_libraries(folder, headers, major):
    """regress.so from the source, and beside it the two libraries of the server's own."""
    libraries = os.path.join(folder, "lib")
    os.makedirs(libraries, exist_ok=True)
    includes = [f"{headers}/{major}/server", f"{headers}/internal", headers,
                "/usr/include/postgresql", "/usr/include/postgresql/internal"]
    run(["gcc", "-O2", "-w", "-fPIC", "-shared", *[f"-I{path}" for path in includes], "-o",
         f"{libraries}/regress.so", f"{folder}/src/test/regress/regress.c"])
    for name in SPI_LIBRARIES:
        path = f"/usr/lib/postgresql/{major}/lib/{name}"
        if os.path.exists(path):
            shutil.copy(path, libraries)


def keep_psql(folder, path):
    """Into bin/; it runs with the libpq that is installed."""
    programs = os.path.join(folder, "bin")
    os.makedirs(programs, exist_ok=True)
    shutil.copy(path, programs)
    run([os.path.join(programs, "psql"), "--version"])


def fetch(folder, major, wanted):
    """Fills the folder with what Source promises; returns the version that was found."""
    with tempfile.TemporaryDirectory() as temp:
        os.chmod(temp, 0o755)
        apt = Apt(temp)
        apt("apt-get", "update", "-q")
        version, tarball = apt.fetch_source(f"postgresql-{major}", wanted)
        run(["tar", "xf", tarball, "-C", folder, "--strip-components=1", "--wildcards",
             "*/src/test/regress", "*/src/test/isolation"])
        headers = apt.fetch_package(f"postgresql-server-dev-{major}")
        build_libraries(folder, f"{headers}/include/postgresql", major)
        client = apt.fetch_package(f"postgresql-client-{major}", version)
        keep_psql(folder, f"{client}/lib/postgresql/{major}/bin/psql")
    return version.split("-")[0]


def adopt(folder, path, major):
    """Takes the suites of a source tree at hand, which need not be a built one."""
    headers = run([f"/usr/lib/postgresql/{major}/bin/pg_config", "--includedir-server"]).strip()
    for name in ("regress", "isolation"):
        shutil.copytree(f"{path}/src/test/{name}", f"{folder}/src/test/{name}")
    build_libraries(folder, os.path.dirname(os.path.dirname(headers)), major)
    keep_psql(folder, f"/usr/lib/postgresql/{major}/bin/psql")
    return "given"


def get(major=15):
    """The suites for the server of this machine; from the cache, else fetched."""
    installed = run(["dpkg-query", "-W", "-f", "${Version}", f"postgresql-{major}"])
    given = os.environ.get("HOWDAH_PG_SOURCE")
    final = os.path.join(cache_dir(), f"postgresql-{'given' if given else installed}")
    stamp = os.path.join(final, "version")
    if given or not os.path.exists(stamp):
        os.makedirs(cache_dir(), exist_ok=True)
        folder = tempfile.mkdtemp(dir=cache_dir())
        os.chmod(folder, 0o755)
        try:
            version = adopt(folder, given, major) if given else fetch(folder, major, installed)
            with open(os.path.join(folder, "version"), "w", encoding="utf-8") as file:
                file.write(version)
            shutil.rmtree(final, ignore_errors=True)
            os.rename(folder, final)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    with open(stamp, encoding="utf-8") as file:
        return Source(final, file.read())
