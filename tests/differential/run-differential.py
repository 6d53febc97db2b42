#!/usr/bin/env python3
"""Random scripts, played to PostgreSQL itself and through Howdah: the transcripts must be equal.

    run-differential.py                             as a test: the kept scripts, and new ones for 20 s
    run-differential.py --seeds 1..100000           the long form
    run-differential.py --seed 4711                 one, with both transcripts
    run-differential.py --play FILE                 scripts in a file, one a line as in `known`
        --mode transaction|session|direct           the pool's mode; direct is no proxy at all: what
                                                    differs then is the runner's own fault
        --only CLASS,... --without CLASS,...        which classes of statements; --list names them
        --shrink                                    cut what was found down to the steps that it takes
        --jobs 2  --most 20                         processes; stop after that many differences
        --out FILE                                  what was found, shortest first for each kind
        --record                                    print found scripts as lines for `known`

generator.py has the grammar, play.py the client, shrink.py the cutting. The script's client shares
its pool with four others, who hold links and leave settings behind between its steps.
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
from check import Failed, Suite, true  # noqa: E402
from howdah import Howdah  # noqa: E402
from pgcluster import Cluster  # noqa: E402
from play import Closed, Connection, Interference, Stuck, Transcript, first_difference, play  # noqa: E402
from shrink import shrink  # noqa: E402

SHORT = os.environ.get("HOWDAH_SHORT") == "1"
KNOWN = os.path.join(HERE, "known")
# A session that is pinned keeps its link: there are enough for all five clients of a script.
POOL_SIZE = 8


# --- the servers ----------------------------------------------------------------------------------


class Ground:
    """A server with a pair of equal databases for each process, and a proxy in front of one of each."""

    def __init__(self, jobs, mode):
        self.jobs, self.mode = jobs, mode
        options = {"max_prepared_transactions": 20, "autovacuum": "on", "lc_messages": "C", "log_min_messages": "log"}
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

    def config(self):
        pool = {"mode": self.mode, "size": POOL_SIZE, "wait_timeout": "8s", "check_state": True}
        return {
            "workers": 1,
            "auth": {"method": "trust"},
            "admin": {"users": ["admin"]},
            "databases": {
                f"diff{job}": {"primary": f"postgres://127.0.0.1:{self.cluster.port}/diff{job}p", "pool": pool,
                               "service": {"user": "postgres"}}
                for job in range(self.jobs)
            },
        }

    def bench(self, job):
        """What one process needs to know; plain data."""
        proxied = (self.proxy.port, f"diff{job}") if self.proxy else (self.cluster.port, f"diff{job}p")
        return Bench(self.cluster.port, f"diff{job}d", f"diff{job}p", proxied, bool(self.proxy))


class Bench:
    """One pair of databases, and the two ways to play a script on it."""

    def __init__(self, server_port, direct, behind, proxied, has_proxy):
        self.server_port, self.direct, self.behind, self.proxied = server_port, direct, behind, proxied
        self.has_proxy = has_proxy
        self.controls, self.admin, self.fixed_oids, self.is_warm = {}, None, None, False

    def control(self, database):
        if database not in self.controls:
            self.controls[database] = Connection(self.server_port, {"user": "postgres", "database": database})
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
        if self.has_proxy and not self.is_warm:
            self.is_warm = True
            for user in ("plain", "super"):
                client = Connection(self.proxied[0], {"user": user, "database": self.proxied[1]})
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
        transcripts = []
        for port, database, behind, other in (
            (self.server_port, self.direct, self.direct, None),
            (*self.proxied, self.behind, generator.INTERFERING and self.has_proxy),
        ):
            self.reset(behind, script, before=True)
            interference = Interference(port, database, script["user"]) if other else None
            outside = self.control(behind)
            transcripts.append(play(script, port, database, interference, outside, oids))
            if interference:
                interference.end()
            self.reset(behind, script, before=False)
        return transcripts

    def fresh_links(self):
        """Lets the proxy close the links that it has, so that a script's past does not matter."""
        if not self.has_proxy:
            return
        if self.admin is None:
            self.admin = Connection(self.proxied[0], {"user": "admin", "database": "howdah"})
        self.admin.query(f"RECONNECT {self.proxied[1]}")


class Heard:
    def __init__(self):
        self.oids = []

    def add(self, _step, kind, body):
        if kind == "D":
            self.oids.append(int(body[6:]))


# --- differences ----------------------------------------------------------------------------------


def brief(line):
    """A transcript's line as a kind: its type, and an error's code."""
    code = re.search(r" C='(\w+)'", line)
    return line[0] + (f" {code[1]}" if code and line[0] in "EN" else "") if not line.startswith("stuck") else line[:12]


class Difference:
    """What a script showed."""

    def __init__(self, script, direct, proxied, index):
        self.script, self.direct, self.proxied, self.index = script, direct, proxied, index
        self.one = direct[index] if index < len(direct) else (None, "nothing more")
        self.other = proxied[index] if index < len(proxied) else (None, "nothing more")

    @property
    def kind(self):
        return f"{brief(self.one[1])} / {brief(self.other[1])}"

    @property
    def step(self):
        number = self.one[0] if self.one[0] is not None else self.other[0]
        steps = self.script["steps"]
        return "login" if number == 0 else "end" if number > len(steps) else json.dumps(steps[number - 1])

    def binds(self):
        """The Binds of what is sent up to the step without waiting for an answer, at most three steps."""
        number = self.one[0] or 0
        steps = self.script["steps"][max(number - 3, 0) : number]
        return [message for step in steps if isinstance(step[0], list) for message in step if message[0] == "B"]

    def prepares_names(self):
        """Whether a Parse of the script has a text that names statements."""
        parses = [m for step in self.script["steps"] if isinstance(step[0], list) for m in step if m[0] == "P"]
        return any(re.match(r"(PREPARE|EXECUTE|DEALLOCATE)\b", message[2]) for message in parses)

    @property
    def is_short(self):
        return len(self.script["steps"]) < 25

    def group(self):
        """Rough sameness of causes."""
        words = re.findall(r"[A-Za-z_]{3,}", self.step)
        return f"{self.kind} at {' '.join(words[:2])}"

    def text(self):
        lines = [f"seed {self.script['seed']}, user {self.script['user']}, params {json.dumps(self.script['params'])}"]
        number = self.one[0] if self.one[0] is not None else self.other[0]
        for at, step in enumerate(self.script["steps"], 1):
            if at <= number and (self.is_short or step[0] != "~"):
                lines.append(f"  {at:3} {json.dumps(step, ensure_ascii=False)}")
        lines.append(f"  direct : step {self.one[0]}: {self.one[1][:400]}")
        lines.append(f"  proxied: step {self.other[0]}: {self.other[1][:400]}")
        return "\n".join(lines)


# Differences that are not counted, each with its reason; what comes behind them is not looked at.
EXCEPTIONS = [
    # The statement is not on the link, and a failed transaction doesn't let it be prepared there.
    (r"E .*C='08P01' M='bind message supplies", r"E .*C='25P02'"),
    # It is prepared there anew, under a search_path that has changed meanwhile: refused all the same.
    (r"E .*C='08P01' M='bind message supplies", r"E .*C='42P01'"),
    (r"t ", r"E .*C='25P02'"),
    (r"t ", r"E .*C='42P01'"),
    # A cursor that fails at its commit: what stands behind our longer UNLISTEN has been told by then.
    (r"E .*C='22012'", r"C b'UNLISTEN"),
    (r"E .*C='42601'", r"E .*C='25P02'"),
    # A statement whose table was altered is prepared anew instead.
    (r"E .*C='0A000' M='cached plan must not change result type'", r""),
    # A Parse whose text is known at the server is not sent, and so takes no snapshot.
    (r"E .*C='25001' M='SET TRANSACTION ISOLATION LEVEL must be called before any query'", r"C "),
]


def notifies_amid(script, number):
    """Whether a step near `number` goes on behind a Sync: only the last ReadyForQuery of what is sent
    together is held back for the client's own notifications."""
    near = [step for step in script["steps"][max(number - 3, 0) : number] if isinstance(step[0], list)]
    return any(message[0] in "SQ" for step in near for message in step[:-1])


def without_names(line):
    return re.sub(r'prepared statement "[^"]*"', "prepared statement", re.sub(r" P='[0-9]+'", "", line))


def is_named_otherwise(found):
    """Errors that say the same but for the name or the position. The name is that of the Bind that
    came last, also if an earlier one of the same pipeline has failed, or ours if the statement's own
    text names statements; a position inside the text of a PREPARE counts our longer name."""
    one, other = found.one[1], found.other[1]
    if not one.startswith("E ") or one == other or without_names(one) != without_names(other):
        return False
    step = found.step
    return "EXECUTE" in step if "prepared statement" not in one else len(found.binds()) > 1 or found.prepares_names()


def is_exception(found):
    if is_named_otherwise(found):
        return True
    if found.one[1].startswith("A by itself") and found.other[1].startswith("Z "):
        return notifies_amid(found.script, found.one[0])
    if found.one[0] == found.other[0] == 0 and found.one[1][0] == found.other[1][0] == "E":
        return True  # of two bad parameters at startup, either may be complained about
    return any(re.match(one, found.one[1]) and re.match(other, found.other[1]) for one, other in EXCEPTIONS)


def is_stuck(lines):
    return any(line.startswith("stuck") for _, line in lines)


def try_script(bench, script):
    """A Difference, or None. Raises Stuck if the server itself does not answer."""
    direct, proxied = bench.play_both(script)
    if is_stuck(direct):
        if "twophase" in script["classes"]:
            return None
        raise Stuck(f"seed {script['seed']} is stuck without a proxy: {direct[-1]}")
    index = first_difference(direct, proxied)
    if index is None:
        return None
    found = Difference(script, direct, proxied, index)
    return None if is_exception(found) else found


def shrunk(bench, found):
    """The same difference with fewer steps; itself if it does not show again with fresh links."""
    best = [found]

    def differs(script):
        bench.fresh_links()
        try:
            again = try_script(bench, script)
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
    """A process: plays the seeds, puts ("done", count), ("found", Difference, alone) and
    ("broken", text) on the queue."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    shrinks = collections.Counter()
    count = 0
    try:
        for seed in seeds:
            script = {**generator.generate(seed, options.classes), "seed": seed}
            try:
                found = try_script(bench, script)
            except Stuck as stuck:
                out.put(("broken", str(stuck)))
                bench.controls.clear()
                continue
            count += 1
            if found:
                alone = None
                if options.shrink and shrinks[found.group()] < 3:
                    shrinks[found.group()] += 1
                    alone = shrunk(bench, found)
                out.put(("found", alone or found, alone is not None))
            if count % 20 == 0:
                out.put(("done", 20))
        out.put(("done", count % 20))
    except (OSError, Closed) as error:
        out.put(("broken", f"seed {seed}: {type(error).__name__} {error}"))
    out.put(("end", None))


class Campaign:
    """Many seeds over several processes."""

    def __init__(self, ground, options):
        self.ground, self.options = ground, options
        self.done, self.found, self.broken = 0, [], []

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
        while running and len(self.found) < self.options.most and len(self.broken) < 20:
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
            elif what == "broken":
                self.broken.append(value)
                if not self.options.quiet:
                    print(f"broken: {value}", flush=True)
            else:
                self.found.append(value)
                on_found(value, *more)


def long_form(options):
    first, _, last = (options.seed or options.seeds).partition("..")
    with Ground(options.jobs, options.mode) as ground:
        campaign = Campaign(ground, options)
        groups = collections.Counter()

        def on_found(found, alone):
            groups[found.group()] += 1
            if groups[found.group()] <= 2:
                print(f"--- {found.group()}{' (shrunk)' if alone else ''}\n{found.text()}", flush=True)
                if options.record:
                    print(json.dumps(found.script), flush=True)
                if options.out:
                    with open(options.out, "a", encoding="utf-8") as file:
                        file.write(f"## {found.group()}\n\n{found.text()}\n\n{json.dumps(found.script)}\n\n")

        started = time.monotonic()
        campaign.run(int(first), int(last or first), None, on_found)
        took = time.monotonic() - started
        for group, count in groups.most_common():
            print(f"{count:6} {group}")
        print(
            f"{campaign.done} scripts in {took:.0f} s ({campaign.done / took:.0f}/s), {len(campaign.found)} differ,"
            f" {len(campaign.broken)} broken, classes {','.join(sorted(options.classes))}"
        )
        if campaign.broken:
            print("the server's log:\n" + "\n".join(ground.cluster.log.splitlines()[-12:]))
        if ground.proxy and ground.proxy.process.poll() is not None:
            print(f"howdah ended with {ground.proxy.process.returncode}: {ground.proxy.stderr[-2000:]}")
            return 1
        return 1 if campaign.found or campaign.broken else 0


def show_some(options, scripts):
    """Plays scripts in this process, and prints both transcripts of those that differ."""
    differ = 0
    with Ground(1, options.mode) as ground:
        bench = ground.bench(0)
        for cause, script in scripts:
            bench.fresh_links()
            found = try_script(bench, script)
            if found and options.shrink:
                found = shrunk(bench, found) or found
            differ += bool(found)
            print(f"{'differs' if found else 'equal'}: {cause}")
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

# Classes that do not agree yet, in transaction mode and in session mode.
NOT_YET = set()
NOT_YET_SESSION = {"startup"}


def short_form():
    suite = Suite("differential", check_limit_s=120)
    options = argparse.Namespace(classes=None, shrink=True, most=3, quiet=True)
    def campaign(mode, not_yet, seeds):
        options.classes = set(generator.CLASSES) - not_yet
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
                found = try_script(bench, script)
                if found:
                    raise Failed(f"{cause}: {found.text()}")

    @suite.check("new scripts in session mode")
    def _():
        campaign("session", NOT_YET_SESSION, 200)

    @suite.check("new scripts in transaction mode")
    def _():
        campaign("transaction", NOT_YET, 300)

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
    parser.add_argument("--play")
    parser.add_argument("--mode", default="transaction", choices=["transaction", "session", "direct"])
    parser.add_argument("--only")
    parser.add_argument("--without")
    parser.add_argument("--plus")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--shrink", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
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
