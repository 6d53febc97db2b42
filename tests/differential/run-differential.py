#!/usr/bin/env python3
"""Random scripts, played to PostgreSQL itself and through Howdah: the transcripts must be equal.

    run-differential.py                             as a test: the kept scripts, and new ones for 20 s
    run-differential.py --seeds 1..100000           the long form
    run-differential.py --first-seed 1 --count 100000 --log FILE
                                                    the same; the file gets a line for each 2,000
                                                    scripts, and a later run goes on from the last
    run-differential.py --seed 4711                 one, with both transcripts
    run-differential.py --play FILE                 scripts in a file, one a line as in `known`
        --mode transaction|session|direct           the pool's mode; direct is no proxy at all: what
                                                    differs then is the runner's own fault
        --only CLASS,... --without CLASS,...        which classes of statements; --list names them
        --shrink                                    cut what was found down to the steps that it takes
        --jobs 3  --most 20                         processes; stop after that many differences
        --check-every 8                             pool.check_state for one script of eight; it costs
                                                    about half as much again, and finds what else
                                                    shows in no transcript, so without this all have it
        --no-check                                  for none
        --out FILE                                  what was found, shortest first for each kind
        --record                                    print found scripts as lines for `known`

generator.py has the grammar, play.py the client, compare.py what counts as a difference, shrink.py
the cutting. The script's client shares its pool with four others, who hold links and leave settings
behind between its steps.
"""

import argparse
import collections
import json
import multiprocessing
import os
import queue
import re
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
import generator  # noqa: E402
from compare import compare  # noqa: E402
from check import Failed, Suite, true  # noqa: E402
from howdah import Howdah  # noqa: E402
from pgcluster import Cluster  # noqa: E402
from play import Closed, Connection, Interference, Stuck, Transcript, play  # noqa: E402
from shrink import shrink  # noqa: E402

SHORT = os.environ.get("HOWDAH_SHORT") == "1"
KNOWN = os.path.join(HERE, "known")
# A session that is pinned keeps its link: there are enough for all five clients of a script.
POOL_SIZE = 8
# A process has up to four names with two users each.
LINKS_MAX = 4 * 2 * POOL_SIZE
BROKEN_MOST = 20


# --- the servers ----------------------------------------------------------------------------------


class Ground:
    """A server with a pair of equal databases for each process, and a proxy in front of one of each.
    `check_every`: which scripts are played with pool.check_state; see Bench."""

    def __init__(self, jobs, mode, check_every=1):
        self.jobs, self.mode, self.check_every = jobs, mode, check_every
        options = {"max_prepared_transactions": 20, "autovacuum": "on", "lc_messages": "C", "log_min_messages": "log"}
        options["max_connections"] = 50 + LINKS_MAX * jobs
        self.cluster, self.proxy = Cluster(options=options), None

    def __enter__(self):
        self.cluster.start()
        try:
            for statement in generator.ROLES.split(";"):
                self.cluster.psql(statement)
            self.cluster.psql("CREATE DATABASE pattern")
            self.cluster.psql(generator.SETUP, db="pattern")
            for job in range(self.jobs):
                for end in "dp":
                    self.cluster.psql(f"CREATE DATABASE diff{job}{end} TEMPLATE pattern")
                    # Some scripts wait for a transaction that they have prepared themselves.
                    self.cluster.psql(f"ALTER DATABASE diff{job}{end} SET lock_timeout = '1s'")
            if self.mode != "direct":
                self.proxy = Howdah(config=self.config())
                self.proxy.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.proxy:
            self.proxy.stop(signal.SIGTERM)
        self.cluster.stop()

    @property
    def server_place(self):
        """Unix sockets: a script is a hundred round trips, and TCP would be a fifth of their cost."""
        return f"{self.cluster.socket_dir}/.s.PGSQL.{self.cluster.port}"

    @property
    def proxy_place(self):
        return f"{self.cluster.socket_dir}/howdah"

    def config(self):
        databases = {}
        for job in range(self.jobs):
            primary = f"postgres:///diff{job}p?host={self.cluster.socket_dir}&port={self.cluster.port}"
            for name, facts, checks in self.bench(job).names():
                pool = {"mode": self.mode, "size": POOL_SIZE, "wait_timeout": "8s", "check_state": checks}
                service = {"service": {"user": "postgres"}} if facts else {}
                databases[name] = {"primary": primary, "pool": pool, **service}
        return {
            "listen": [f"unix:{self.proxy_place}"],
            "workers": 1,
            "auth": {"method": "trust"},
            "admin": {"users": ["admin"]},
            "databases": databases,
        }

    def bench(self, job):
        """What one process needs to know; plain data."""
        return Bench(self.server_place, self.proxy_place if self.proxy else None, f"diff{job}", self.check_every)


class Bench:
    """One pair of databases, and the two ways to play a script on it. The proxy has a name for its
    database with the facts of its catalog (docs/pooling.md), which scripts of odd seeds use, and one
    without; and each with and without pool.check_state, as far as `check_every` says: of that many
    pairs of seeds one is checked, of 1 all, and of 0 none."""

    def __init__(self, server, proxy, name, check_every):
        self.server, self.proxy, self.name, self.check_every = server, proxy, name, check_every
        self.direct, self.behind = name + "d", name + "p"
        self.controls, self.admin, self.fixed_oids, self.is_warm = {}, None, None, False

    def proxied_name(self, facts, checks):
        return self.name + "f" * facts + "c" * checks

    def names(self):
        """The proxy's names for the database: (name, whether it has facts, whether it checks)."""
        checks = [check for check in (False, True) if self.check_every > 1 or check == bool(self.check_every)]
        return [(self.proxied_name(facts, check), facts, check) for facts in (False, True) for check in checks]

    def proxied(self, script):
        """Place and database."""
        if not self.proxy:
            return self.server, self.behind
        facts, checks = script["seed"] % 2 == 1, self.check_every and script["seed"] // 2 % self.check_every == 0
        return self.proxy, self.proxied_name(facts, bool(checks))

    def control(self, database):
        if database not in self.controls:
            self.controls[database] = Connection(self.server, {"user": "postgres", "database": database})
        return self.controls[database]

    def reset(self, database, script, before):
        """Undoes what scripts do to what all see. A transaction that was prepared holds locks, so
        it goes first, and right after the script."""
        control = self.control(database)
        if "twophase" in script["classes"]:
            control.query(f"ROLLBACK PREPARED 'g{script['seed']}'")
        if before:
            parts = [sql for name, sql in generator.RESET.items() if not name or name in script["classes"]]
            control.error = None
            control.query("; ".join(parts))
            if control.error:
                raise Stuck(f"no reset of {database}: {control.error!r}")

    def warm_up(self):
        """A pool keeps what nextval has left only once somebody has asked for it (docs/compatibility.md)."""
        if self.proxy and not self.is_warm:
            self.is_warm = True
            for user in ("plain", "super"):
                for database, _, _ in self.names():
                    client = Connection(self.proxy, {"user": user, "database": database})
                    client.query("SELECT lastval()")
                    client.terminate()

    def know_oids(self):
        if self.fixed_oids is None:
            control = self.control(self.direct)
            control.transcript = heard = Heard()
            control.query("SELECT oid FROM pg_class WHERE oid >= 16384 AND relname <> 'alt'")
            control.transcript = None
            self.fixed_oids = frozenset(heard.oids)
        return self.fixed_oids

    def play_both(self, script):
        """The two transcripts."""
        oids = self.know_oids()
        self.warm_up()
        transcripts, heard = [], None
        for place, database, behind, other in (
            (self.server, self.direct, self.direct, None),
            (*self.proxied(script), self.behind, generator.INTERFERING and self.proxy),
        ):
            self.reset(behind, script, before=True)
            interference = Interference(place, database, script["user"]) if other else None
            outside = self.control(behind)
            transcripts.append(play(script, place, database, interference, outside, oids, heard))
            heard = {step for step, line in transcripts[0] if line[0] == "A"}
            if interference:
                interference.end()
            self.reset(behind, script, before=False)
        return transcripts

    def fresh_links(self):
        """Lets the proxy close the links that it has, so that a script's past does not matter."""
        if not self.proxy:
            return
        if self.admin is None:
            self.admin = Connection(self.proxy, {"user": "admin", "database": "howdah"})
        for database, _, _ in self.names():
            self.admin.query(f"RECONNECT {database}")


class Heard:
    def __init__(self):
        self.oids = []

    def add(self, _step, kind, body, _amid=False):
        if kind == "D":
            self.oids.append(int(body[6:]))


# --- one script -----------------------------------------------------------------------------------


def is_stuck(lines):
    return any(line.startswith("stuck") for _, line in lines)


def try_script(bench, script):
    """(a Difference or None, what was excused). Raises Stuck if the server itself does not answer."""
    direct, proxied = bench.play_both(script)
    if is_stuck(direct):
        if "twophase" in script["classes"]:
            return None, ["waits for itself"]
        raise Stuck(f"seed {script['seed']} is stuck without a proxy: {direct[-1]}")
    return compare(script, direct, proxied)


def shrunk(bench, found):
    """The same difference with fewer steps; itself if it does not show again with fresh links."""
    best = [found]

    def differs(script):
        bench.fresh_links()
        try:
            again, _ = try_script(bench, script)
        except Stuck:
            return False
        if again and again.kind == found.kind:
            best[0] = again
            return True
        return False

    if not differs(found.script):
        return None
    script = shrink(found.script, differs)
    differs(json.loads(json.dumps(script)))
    return best[0]


# --- processes ------------------------------------------------------------------------------------


def work(bench, seeds, options, out):
    """A process: plays the seeds, puts ("done", count, excuses), ("found", Difference, alone) and
    ("broken", text) on the queue."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    shrinks, excuses = collections.Counter(), collections.Counter()
    count = 0
    try:
        for seed in seeds:
            script = {**generator.generate(seed, options.classes), "seed": seed}
            try:
                found, excused = try_script(bench, script)
            except Stuck as stuck:
                out.put(("broken", str(stuck)))
                bench.controls.clear()
                continue
            count += 1
            excuses.update(set(excused))
            excuses["scripts"] += bool(excused)
            if found:
                alone = None
                if options.shrink and shrinks[found.group()] < 3:
                    shrinks[found.group()] += 1
                    alone = shrunk(bench, found)
                out.put(("found", alone or found, alone is not None))
            if count % 20 == 0:
                out.put(("done", 20, excuses))
                excuses = collections.Counter()
        out.put(("done", count % 20, excuses))
    except (OSError, Closed) as error:
        out.put(("broken", f"seed {seed}: {type(error).__name__} {error}"))
    out.put(("end", None))


class Campaign:
    """Many seeds over several processes."""

    def __init__(self, ground, options):
        self.ground, self.options = ground, options
        self.done, self.found, self.broken, self.excuses = 0, [], [], collections.Counter()

    def run(self, first, last, until=None, on_found=lambda *_: None):
        out, processes = multiprocessing.Queue(), []
        started = time.monotonic()
        for job in range(self.ground.jobs):
            seeds = range(first + job, last + 1, self.ground.jobs)
            process = multiprocessing.Process(target=work, args=(self.ground.bench(job), seeds, self.options, out))
            process.daemon = True
            process.start()
            processes.append(process)
        try:
            self.listen(out, len(processes), until, on_found, started)
        finally:
            for process in processes:
                process.terminate()
                process.join()

    def listen(self, out, running, until, on_found, started):
        said = started
        while running and len(self.found) < self.options.most and len(self.broken) < BROKEN_MOST:
            now = time.monotonic()
            if until and now > until:
                return
            if not self.options.quiet and now - said > 30:
                said = now
                rate = self.done / (now - started)
                print(f"... {self.done} scripts, {rate:.0f}/s, {len(self.found)} differ", flush=True)
            try:
                what, value, *more = out.get(timeout=1)
            except queue.Empty:
                continue
            if what == "end":
                running -= 1
            elif what == "done":
                self.done += value
                self.excuses.update(more[0])
            elif what == "broken":
                self.broken.append(value)
                if not self.options.quiet:
                    print(f"broken: {value}", flush=True)
            else:
                self.found.append(value)
                on_found(value, *more)


def known_checks(options):
    """As it stands in the lines of a Log: all, none, or one in how many."""
    return options.check_every if options.check_every > 1 else bool(options.check_every)


class Log:
    """The lines that a long run has written, one a chunk, to go on from. They count as one run only
    if they are of the same mode and classes."""

    def __init__(self, path, options):
        self.path, self.lines = path, []
        self.run = {"mode": options.mode, "checks": known_checks(options), "classes": sorted(options.classes)}
        if path and os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                lines = [json.loads(line) for line in file]
            self.lines = [line for line in lines if line["run"] == self.run]

    def next_seed(self, first):
        return max([first, *(line["seeds"][1] + 1 for line in self.lines)])

    def add(self, seeds, campaign, took_s, whole):
        """A chunk that is not `whole` is to be played again."""
        line = {"run": self.run, "seeds": seeds, "scripts": campaign.done, "differ": len(campaign.found)}
        line |= {"broken": len(campaign.broken), "excused": dict(campaign.excuses), "took_s": round(took_s)}
        line |= {"found": [found.script["seed"] for found in campaign.found]}
        self.lines.append(line)
        if self.path and whole:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def summary(self):
        total = {key: sum(line[key] for line in self.lines) for key in ("scripts", "differ", "broken", "took_s")}
        excuses = sum((collections.Counter(line["excused"]) for line in self.lines), collections.Counter())
        excused = excuses.pop("scripts", 0)
        seeds = [line["seeds"] for line in self.lines]
        classes = self.run["classes"] if set(self.run["classes"]) != set(generator.CLASSES) else ["all"]
        every = self.run["checks"]
        checks = {True: "", False: " without checks"}.get(every, f" with checks for one in {every}")
        return (
            f"seeds {min(first for first, _ in seeds)}..{max(last for _, last in seeds)}, {self.run['mode']} mode"
            f"{checks}, classes {','.join(classes)}: {total['scripts']} scripts"
            f" in {total['took_s']} s ({total['scripts'] / max(total['took_s'], 1):.0f}/s), {total['differ']} differ,"
            f" {total['broken']} broken; {excused} with an excuse:"
            f" {', '.join(f'{name} {count}' for name, count in excuses.most_common())}"
        )


CHUNK = 2000


def seeds_of(options, log):
    """The first and the last seed."""
    if options.count:
        first = log.next_seed(options.first_seed)
        return first, options.first_seed + options.count - 1
    first, _, last = options.seeds.partition("..")
    return int(first), int(last or first)


def long_form(options):
    log = Log(options.log, options)
    first, last = seeds_of(options, log)
    groups, status = collections.Counter(), 0

    def on_found(found, alone):
        groups[found.group()] += 1
        if groups[found.group()] <= 2:
            print(f"--- {found.group()}{' (shrunk)' if alone else ''}\n{found.text()}", flush=True)
            if options.record:
                print(json.dumps(found.script), flush=True)
        if options.out:
            with open(options.out, "a", encoding="utf-8") as file:
                file.write(f"## {found.group()}\n\n{found.text()}\n\n{json.dumps(found.script)}\n\n")

    with Ground(options.jobs, options.mode, options.check_every) as ground:
        while first <= last and not status:
            seeds = [first, min(first + CHUNK - 1, last)]
            campaign = Campaign(ground, options)
            started = time.monotonic()
            campaign.run(*seeds, None, on_found)
            stops = len(campaign.found) >= options.most or len(campaign.broken) >= BROKEN_MOST
            log.add(seeds, campaign, time.monotonic() - started, whole=not stops)
            first = seeds[1] + 1
            print(log.summary(), flush=True)
            if campaign.broken:
                print("the server's log:\n" + "\n".join(ground.cluster.log.splitlines()[-12:]))
            if ground.proxy and ground.proxy.process.poll() is not None:
                print(f"howdah ended with {ground.proxy.process.returncode}: {ground.proxy.stderr[-2000:]}")
                status = 1
            status = 1 if stops else status
    for group, count in groups.most_common():
        print(f"{count:6} {group}")
    return 1 if status or any(line["differ"] or line["broken"] for line in log.lines) else 0


def show_some(options, scripts):
    """Plays scripts in this process, and prints both transcripts of those that differ."""
    differ = 0
    with Ground(1, options.mode, options.check_every) as ground:
        bench = ground.bench(0)
        for cause, script in scripts:
            bench.fresh_links()
            found, excused = try_script(bench, script)
            if found and options.shrink:
                found = shrunk(bench, found) or found
            differ += bool(found)
            print(f"{'differs' if found else 'equal'}{f' but for {excused}' if excused else ''}: {cause}")
            if found:
                print(found.text())
                for name, lines in (("direct", found.direct), ("proxied", found.proxied)):
                    print(f"{name}:\n" + "\n".join(f"  {step:3} {line[:300]}" for step, line in lines))
                if options.record:
                    print(json.dumps(found.script))
    return 1 if differ else 0


def kept_scripts(path):
    """The scripts of a file, as (what they showed, script): a comment names those below it."""
    cause, kept = "", []
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith("#"):
                cause = line[1:].strip()
            elif line.strip():
                kept.append((cause, {"seed": 1, "classes": [], "params": {}, **json.loads(line)}))
    return kept


# --- as a test ------------------------------------------------------------------------------------

# (what, steps, a direct transcript, one through a proxy, whether that is a difference)
PLAN_ERROR = "E S='ERROR' C='0A000' M='cached plan must not change result type'"
ALT = [f"D {row!r}" for row in (b"\0\2\0\0\0\1" b"1\0\0\0\1" b"2", b"\0\2\0\0\0\1" b"3\0\0\0\1" b"4")]
READY, FAILED = "Z b'I'", "Z b'E'"
NO_VALUE = "E S='ERROR' C='55000' M='lastval is not yet defined in this session'"
NO_LEVEL = "E S='ERROR' V='ERROR' C='0A000' M='a snapshot-importing transaction must have'"
BEHIND_QUERY = "E S='ERROR' V='ERROR' C='25001' M='SET TRANSACTION SNAPSHOT must be called before any query'"
COLUMNS = "T a:new0.1:23/4/-1/0 b:new0.2:23/4/-1/0 c:new0.3:23/4/-1/0"
DESCRIBED = [[["D", "S", "s1"], ["E", "", 0], ["S"]]]
PARSED = [["P", "s2", "EXECUTE s1", []], ["S"]]
GONE = "E C='26000' M='prepared statement \"s1\" does not exist'"
NONE = "t b'\\x00\\x00'"
ASKED = [[["Q", "SELECT nextval('s1')"]], [["Q", "SELECT lastval()"]]] * 2
SYNTAX = "E C='42601'"
TOLD = "A by itself: b'ch1\\x00a\\x00'"
EXCUSED = [
    ("healed", [[["Q", "EXECUTE s1"]]], [PLAN_ERROR, READY], [*ALT, "C b'SELECT 2'", READY], False),
    ("healed, a wrong row", [[["Q", "EXECUTE s1"]]], [PLAN_ERROR, READY], [ALT[1], "C b'SELECT 1'", READY], True),
    ("healed, a strange error", [[["Q", "EXECUTE s1"]]], [PLAN_ERROR, READY], ["E C='42P01'", READY], True),
    ("behind a healed one", [[["Q", "EXECUTE s1"]]], [PLAN_ERROR, READY, "1"], [*ALT, "C ''", READY, "2"], True),
    ("not asked", [[["Q", "SELECT lastval()"]]], ["T", "D 1", "C ''", READY], ["T", NO_VALUE, READY], False),
    ("asked", [[["Q", "SELECT lastval()"]]] * 2, ["T", "D 1", "C ''", READY], ["T", NO_VALUE, READY], True),
    ("asked ahead of what failed", ASKED, [(3, SYNTAX), "D 1", READY], [(3, SYNTAX), NO_VALUE, READY], False),
    ("asked ahead of what is there", ASKED, [(3, "C"), "D 1", READY], [(3, "C"), NO_VALUE, READY], True),
    ("a value for none", [[["Q", "SELECT lastval()"]]], ["T", NO_VALUE, READY], ["T", "D 1", "C ''", READY], True),
    ("two parameters at startup", [], ["E C='22023'"], ["E C='42704'"], True),
    ("our snapshot", [[["Q", "SELECT 1"]]], [NO_LEVEL, READY], [BEHIND_QUERY, READY], False),
    ("their snapshot", [[["Q", "SELECT 1"]]], [BEHIND_QUERY, READY], [NO_LEVEL, READY], False),
    ("their snapshot, imported", [[["Q", "SELECT 1"]]], [BEHIND_QUERY, READY], ["C b'SET\\x00'", READY], True),
    ("our snapshot, imported", [[["Q", "SELECT 1"]]], ["C b'SET\\x00'", READY], [BEHIND_QUERY, READY], True),
    ("healed, described", DESCRIBED, [NONE, PLAN_ERROR, READY], [NONE, COLUMNS, "E C='34000'", READY], False),
    ("healed, described otherwise", DESCRIBED, [NONE, PLAN_ERROR, READY], [NONE, "T x:1.2", READY], True),
    ("healed, not described", DESCRIBED, ["n", PLAN_ERROR, READY], ["n", COLUMNS, "E C='34000'", READY], True),
    ("gone, described", [PARSED, [["D", "S", "s2"], ["S"]]], [NONE, GONE, READY], [NONE, "n", READY], False),
    ("gone, bound", [PARSED, [["B", "", "s2", [], []], ["S"]]], ["1", GONE, READY], ["1", "n", READY], True),
    ("parsed", [PARSED], ["1", "Z b'I'"], ["E C='42P01'", READY], False),
    ("parsed, another text", [[["P", "s2", "SELECT 1", []], ["S"]]], ["1", READY], ["E C='42P01'", READY], True),
    ("listens late", [[["Q", "COMMIT; LISTEN ch1"]]], [TOLD, READY], [READY], False),
    ("listens early", [[["Q", "LISTEN ch1; COMMIT"]]], [TOLD, READY], [READY], True),
    ("listens", [[["Q", "LISTEN ch1"]], [["Q", "COMMIT; LISTEN ch1"]]], [TOLD, READY], [READY], True),
    ("a name", [[["Q", "SELECT 1"]]], ['E M=\'prepared statement "a"\''], ['E M=\'prepared statement "b"\''], True),
]


def short_form():
    suite = Suite("differential", check_limit_s=120)
    options = argparse.Namespace(classes=None, shrink=True, most=3, quiet=True)
    def campaign(mode, seeds):
        options.classes = set(generator.CLASSES)
        again = []

        def on_found(found, alone):
            # What a Flush brings is cut into steps by time: on a busy machine a step may have less.
            if alone:
                again.append(found)
            else:
                print(f"# {mode}: seed {found.script['seed']} differed once, and was equal when played again")

        with Ground(2, mode) as ground:
            played = Campaign(ground, options)
            played.run(1, seeds // 4 if SHORT else seeds, time.monotonic() + 40, on_found)
        if again:
            raise Failed(f"{len(again)} scripts differ; {again[0].text()}")
        true(not played.broken, f"broken: {played.broken[:1]}")
        true(played.done > 20, f"only {played.done} scripts were played")

    @suite.check("scripts that once differed are equal now")
    def _():
        with Ground(1, "transaction") as ground:
            bench = ground.bench(0)
            for cause, script in kept_scripts(KNOWN):
                bench.fresh_links()
                found, _ = try_script(bench, script)
                if found:
                    raise Failed(f"{cause}: {found.text()}")

    @suite.check("an excuse holds for what it says and nothing else")
    def _():
        for what, steps, direct, proxied, differs in EXCUSED:
            script = {"seed": 0, "user": "plain", "params": {}, "classes": [], "steps": steps}
            placed = [
                [at if isinstance(at, tuple) else (len(steps), at) for at in lines] for lines in (direct, proxied)
            ]
            found, excused = compare(script, *placed)
            true(bool(found) == differs, f"{what}: {found and found.text()}, excused: {excused}")

    @suite.check("new scripts in session mode")
    def _():
        campaign("session", 200)

    @suite.check("new scripts in transaction mode")
    def _():
        campaign("transaction", 300)

    suite.main()


def classes_of(options):
    known = {**generator.CLASSES, **generator.EXTRA_CLASSES}
    chosen = set(options.only.split(",")) if options.only else set(generator.CLASSES)
    chosen |= set(options.plus.split(",")) if options.plus else set()
    chosen -= set(options.without.split(",")) if options.without else set()
    unknown = (chosen | set((options.without or "").split(",")) - {""}) - set(known)
    if unknown:
        sys.exit(f"no such class: {', '.join(sorted(unknown))}; --list names them")
    return chosen


def main():
    if len(sys.argv) == 1:
        return short_form()
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", default="1..1000")
    parser.add_argument("--seed")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--log")
    parser.add_argument("--check-every", type=int, default=1)
    parser.add_argument("--no-check", action="store_const", const=0, dest="check_every")
    parser.add_argument("--play")
    parser.add_argument("--mode", default="transaction", choices=["transaction", "session", "direct"])
    parser.add_argument("--only")
    parser.add_argument("--without")
    parser.add_argument("--plus")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--shrink", action="store_true")
    parser.add_argument("--jobs", type=int, default=3)
    parser.add_argument("--most", type=int, default=20)
    parser.add_argument("--out")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--calm", action="store_true", help="without the interfering clients")
    parser.add_argument("--forgive", default="", help="what not to look at: pids (of notifications), names (in errors)")
    options = parser.parse_args()
    if options.list:
        for name, what in {**generator.CLASSES, **generator.EXTRA_CLASSES}.items():
            print(f"{name:16} {what}")
        return None
    options.classes = classes_of(options)
    generator.INTERFERING = not options.calm
    Transcript.forgiven = frozenset(options.forgive.split(","))
    if options.play:
        sys.exit(show_some(options, kept_scripts(options.play)))
    if options.seed:
        seed = int(options.seed)
        sys.exit(show_some(options, [(f"seed {seed}", {**generator.generate(seed, options.classes), "seed": seed})]))
    sys.exit(long_form(options))


if __name__ == "__main__":
    main()
