"""Starts the built howdah for a test and stops it again.

The binary is $HOWDAH_BIN. A test gives a configuration (the dictionary that becomes
howdah.json), or databases and settings for the command line, or both:

    with Howdah(databases={"app": cluster.dsn()}, settings={"auth.method": "trust"}) as proxy:
        subprocess.run(["psql", proxy.dsn("bob", "app")])
        rows = proxy.admin("SHOW POOLS")

It listens on a free port of 127.0.0.1. start() returns when howdah has said `ready`.
stop() sends SIGTERM to the process that was started, and to no other.
"""

import atexit
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from pgcluster import clean_up_on_sigterm, free_port


class HowdahError(Exception):
    """howdah did not start, or did not end; the text holds what it said on stderr."""


class Howdah:
    """One proxy. `wrapper` is put before the command (valgrind, strace), `env` is added."""

    def __init__(self, binary=None, config=None, databases=None, settings=None, flags=(),
                 wrapper=(), env=None, start_timeout_s=20):
        self.binary = binary or os.environ.get("HOWDAH_BIN")
        if not self.binary:
            raise HowdahError("set HOWDAH_BIN to the howdah that was built")
        # Absolute, as it runs in a folder of its own.
        self.binary = os.path.abspath(shutil.which(self.binary) or self.binary)
        self.config, self.databases, self.settings = config, databases or {}, settings or {}
        self.flags, self.wrapper, self.env = list(flags), list(wrapper), env or {}
        self.start_timeout_s = start_timeout_s
        self.dir = self.port = self.process = self._reader = None
        self._lines, self._ready = [], threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        """The process id of howdah, or of the wrapper it runs under."""
        return self.process.pid

    @property
    def stderr(self):
        """All that howdah has logged so far."""
        return "".join(self._lines)

    @property
    def config_path(self):
        """Where the configuration was written, for a test that edits it and reloads."""
        return os.path.join(self.dir, "howdah.json")

    def start(self):
        """Starts howdah and waits for its `ready`."""
        clean_up_on_sigterm()
        if not self.dir:
            self.dir = tempfile.mkdtemp(prefix="howdah-test-")
            atexit.register(self.stop, signal.SIGKILL)
        self.port = self.port or free_port()
        self._ready.clear()
        self.process = subprocess.Popen(
            self.wrapper + self._command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, errors="replace", cwd=self.dir,
            env={**os.environ, **self.env}, start_new_session=True)
        self._reader = threading.Thread(target=self._read_stderr, daemon=True)
        self._reader.start()
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop(signal.SIGKILL)
            raise

    def stop(self, how=signal.SIGTERM, timeout_s=20):
        """Ends howdah and removes its folder; returns the exit code (None if it did not run)."""
        atexit.unregister(self.stop)
        try:
            return self.end(how, timeout_s) if self.process else None
        finally:
            if self.dir:
                shutil.rmtree(self.dir, ignore_errors=True)
                self.dir = None

    def end(self, how=signal.SIGTERM, timeout_s=20):
        """Ends howdah but keeps folder and port, so that start() can be called again."""
        self.process.send_signal(how)
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise HowdahError(f"no end within {timeout_s} s of {how!r}:\n{self.stderr}") from None
        finally:
            self._reader.join(5)
            self.process = None
        return code

    def write_config(self, config):
        """Replaces the configuration file; a SIGHUP or RELOAD makes howdah read it."""
        self.config = config
        with open(self.config_path, "w", encoding="utf-8") as file:
            json.dump({"listen": [f"127.0.0.1:{self.port}"], **config}, file, indent=2)

    def dsn(self, user="postgres", db="postgres", password=None, **params):
        """A URI for libpq, at the proxy."""
        secret = f":{password}" if password else ""
        tail = "?" + "&".join(f"{k}={v}" for k, v in params.items()) if params else ""
        return f"postgres://{user}{secret}@127.0.0.1:{self.port}/{db}{tail}"

    def admin(self, sql, user="admin", password=None, db="howdah"):
        """Runs one command of the admin database with psql; returns its rows as dictionaries."""
        env = {**os.environ, **({"PGPASSWORD": password} if password else {})}
        done = subprocess.run(
            ["psql", "-XAq", "-F", "\x1f", "-R", "\x1e", "-P", "footer=off", "-v",
             "ON_ERROR_STOP=1", "-d", self.dsn(user, db), "-c", sql],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, check=False)
        if done.returncode:
            raise HowdahError(f"{sql}: {done.stderr.strip()}")
        lines = [line.split("\x1f") for line in done.stdout.rstrip("\n").split("\x1e") if line]
        return [dict(zip(lines[0], line)) for line in lines[1:]]

    def wait_for_log(self, text, timeout_s=10):
        """Waits until a line of stderr contains the text; returns that line."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            for line in list(self._lines):
                if text in line:
                    return line
            time.sleep(0.02)
        raise HowdahError(f"never logged {text!r}:\n{self.stderr}")

    def _command(self):
        command = [self.binary]
        if self.config is not None:
            self.write_config(self.config)
            command += ["-c", self.config_path]
        else:
            command += ["--listen", f"127.0.0.1:{self.port}"]
        for name, dsn in self.databases.items():
            command += ["--database", f"{name}={dsn}"]
        for key, value in self.settings.items():
            command += ["--set", f"{key}={value}"]
        return command + self.flags

    def _read_stderr(self):
        for line in self.process.stderr:
            self._lines.append(line)
            if "ready" in line:
                self._ready.set()

    def _wait_until_ready(self):
        end = time.monotonic() + self.start_timeout_s
        while not self._ready.wait(0.02):
            if self.process.poll() is not None:
                self._reader.join(5)
                raise HowdahError(f"exit {self.process.returncode} at the start:\n{self.stderr}")
            if time.monotonic() > end:
                raise HowdahError(f"not ready in {self.start_timeout_s} s:\n{self.stderr}")
