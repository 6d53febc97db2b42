#!/usr/bin/env python3
"""Fuzzes Howdah's readers of foreign bytes, each for a short while.

    tests/fuzz/run-fuzz.py [TARGET ...]

Builds tests/fuzz/fuzz_*.c with clang's libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer into
$HOWDAH_BUILD_DIR/fuzz (or a temporary folder), and runs each for $FUZZ_SECONDS (3) from its seeds in
tests/fuzz/corpus. Prints "ok NAME", "not ok NAME: REASON" or "skip NAME: REASON"; the input that
broke it stays beside the build. Longer: FUZZ_SECONDS=3600 tests/fuzz/run-fuzz.py client
"""

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = "tests/fuzz"
FOLDERS = ["base", "protocol", "cache", "router", "pool", "config"]
LEN_MAX = {"config": 4096, "dsn": 2048, "hba": 4096, "scram": 2048, "userlist": 4096}
SANITIZE = "address,undefined"


def library_sources():
    found = [path for folder in FOLDERS for path in glob.glob(f"{folder}/*.c", root_dir=ROOT)]
    found += glob.glob("tests/scenario/*.c", root_dir=ROOT)
    return sorted(path for path in found if not is_program(path))


def is_program(path):
    """Whether a C file among the shared ones has a main, or is a part of a program with one."""
    name = os.path.basename(path)
    return path == "config/generate.c" or ("scenario" in path and name.startswith(
        ("run.", "matrix.", "test_")))


def targets():
    names = glob.glob(f"{HERE}/fuzz_*.c", root_dir=ROOT)
    return sorted(os.path.basename(name)[len("fuzz_"):-2] for name in names)


def write_ninja(folder, clang):
    """A ninja file, so that a second run builds only what has changed."""
    flags = ("-std=gnu17 -g -O1 -fvisibility=hidden -fno-omit-frame-pointer "
             "-fno-sanitize-recover=all -D_GNU_SOURCE "
             f"-DHOWDAH_VERSION='\"fuzz\"' -I{ROOT} -fsanitize=fuzzer-no-link,{SANITIZE}")
    libraries = subprocess.run(["pkg-config", "--libs", "libssl", "libcrypto", "libidn", "jansson"],
                               check=True, capture_output=True, text=True).stdout.strip()
    libraries += " -lpg_query"
    lines = [f"flags = {flags}", f"libraries = {libraries}",
             f"rule cc\n  command = {clang} $flags -MD -MF $out.d -c $in -o $out",
             "  depfile = $out.d\n  deps = gcc",
             f"rule link\n  command = {clang} -fsanitize=fuzzer,{SANITIZE} $in -o $out $libraries"]
    common = []
    for source in [*library_sources(), f"{HERE}/fuzz.c"]:
        common.append(source.replace("/", "_") + ".o")
        lines.append(f"build {common[-1]}: cc {ROOT}/{source}")
    for name in targets():
        lines.append(f"build {name}.o: cc {ROOT}/{HERE}/fuzz_{name}.c")
        lines.append(f"build fuzz-{name}: link {name}.o {' '.join(common)}")
    with open(f"{folder}/build.ninja", "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def build(folder, clang):
    write_ninja(folder, clang)
    done = subprocess.run(["ninja", "-C", folder], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stdout[-4000:], file=sys.stderr)
    return done.returncode == 0


def reason_of(output):
    found = re.search(r"^(?:fuzz: .*|SUMMARY: .*|.*runtime error: .*|.*ASSERT.*|.*assert.*)$", output,
                      re.M | re.I)
    return found[0].strip() if found else output.strip().split("\n")[-1]


def fuzz(folder, name, seconds):
    corpus, crashes = f"{folder}/corpus-{name}", f"{folder}/crash-{name}-"
    os.makedirs(corpus, exist_ok=True)
    seeds = f"{ROOT}/{HERE}/corpus/{name}"
    command = [f"{folder}/fuzz-{name}", f"-max_total_time={seconds}", "-timeout=20",
               f"-max_len={LEN_MAX.get(name, 20000)}", f"-artifact_prefix={crashes}",
               "-rss_limit_mb=2048", "-print_final_stats=1", corpus]
    if os.path.isdir(seeds):
        command.append(seeds)
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    output = done.stdout + done.stderr
    if done.returncode != 0:
        print(output[-6000:], file=sys.stderr)
        print(f"not ok {name}: {reason_of(output)}", flush=True)
        return False
    runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", output)
    covered = re.findall(r"cov: (\d+)", output)
    print(f"ok {name} # {runs[1] if runs else '?'} inputs, coverage {covered[-1] if covered else '?'}",
          flush=True)
    return True


def main():
    clang = shutil.which("clang") or shutil.which("clang-14")
    chosen = sys.argv[1:] or targets()
    if clang is None or shutil.which("ninja") is None:
        for name in chosen:
            print(f"skip {name}: clang or ninja is not installed")
        return 0
    base = os.environ.get("HOWDAH_BUILD_DIR")
    temporary = None if base else tempfile.mkdtemp(prefix="howdah-fuzz-")
    folder = temporary or f"{base}/fuzz"
    os.makedirs(folder, exist_ok=True)
    try:
        if not build(folder, clang):
            print("not ok build: the fuzz targets do not build")
            return 1
        seconds = os.environ.get("FUZZ_SECONDS", "3")
        results = [fuzz(folder, name, seconds) for name in chosen]
    finally:
        if temporary and not glob.glob(f"{temporary}/crash-*"):
            shutil.rmtree(temporary)
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
