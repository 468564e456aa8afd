"""A running `carrel serve` for the end-to-end tests, and how its processes are looked at from outside."""

import json
import os
import pathlib
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
import time

START_SECONDS = 150
STOP_SECONDS = 40


def process_facts(pid):
    """(name, parent, start time) of a process, or None when it is gone or only waits to be reaped."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    name, rest = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :].split()
    return None if rest[0] in "ZX" else (name, int(rest[1]), int(rest[19]))


def descendants(root):
    """{pid: (name, start time)} of every process below root."""
    facts = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (found := process_facts(int(entry))):
            facts[int(entry)] = found
    below, added = {}, {root}
    while added:
        added = {pid for pid, (_, parent, _) in facts.items() if parent in added and pid not in below}
        below.update({pid: (facts[pid][0], facts[pid][2]) for pid in added})
    return below


def alive(processes):
    """Those of {pid: (name, start time)} that still are the same processes."""
    return {pid: name for pid, (name, start) in processes.items() if (now := process_facts(pid)) and now[2] == start}


def wait_until(condition, seconds, what):
    """Gives the condition's first true value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


class Serve:
    """`carrel serve --json` on a data directory and ports of its own. Use as a context. As root, `user` makes it and its
    commands run as that uid."""

    def __init__(self, binaries, *flags, user=None, **environment):
        self.binaries = pathlib.Path(binaries)
        self.carrel = str(self.binaries / "carrel")
        # As root the servers run as other users, who must reach it: /var/tmp, not a private /tmp.
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="carrel-e2e-", dir="/var/tmp"))
        self.work.chmod(0o755)
        self.data = self.work / "data"
        self.environment = {**os.environ, "CARREL_DATA": str(self.data), **environment}
        self.prefix = []
        if user is not None:
            os.chown(self.work, user, user)
            self.prefix = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        # An ordinary user has no cgroup where those are version 1.
        self.flags = ["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", *flags,
                      *(["--allow-no-cgroup"] if os.geteuid() != 0 or self.prefix else [])]
        self.process = None

    def start(self):
        self.events = queue.Queue()
        with open(self.work / "serve.log", "ab") as log:
            self.process = subprocess.Popen([*self.prefix, self.carrel, "serve", "--json", *self.flags], env=self.environment,
                                            stdout=subprocess.PIPE, stderr=log)
        threading.Thread(target=self._read_events, args=(self.process.stdout, self.events), daemon=True).start()
        self.facts = self.wait_for("serving", START_SECONDS)
        return self

    @property
    def base_url(self):
        return self.facts["base_url"]

    @property
    def key(self):
        return pathlib.Path(self.facts["key_file"]).read_text().strip()

    @staticmethod
    def _read_events(stream, events):
        with stream:
            for line in stream:
                events.put(json.loads(line))
        events.put({"event": "end of output"})

    def wait_for(self, event, seconds, **fields):
        """The next such event, skipping others."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                found = self.events.get(timeout=left)
            except queue.Empty:
                break
            if "error" in found:
                break  # it gave up, and says why
            if found["event"] == event and all(found.get(key) == value for key, value in fields.items()):
                return found
            if found["event"] == "end of output":
                break
        raise AssertionError(f"no event {event} {fields} in {seconds} s:\n" + self.log_text())

    def log_text(self):
        return (self.work / "serve.log").read_text(errors="replace")[-8000:]

    def stop(self):
        """Ends it as Ctrl-C's cousin does; gives the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def run(self, *arguments, check=None, timeout=150):
        """`carrel ARGUMENTS` against it."""
        done = subprocess.run([*self.prefix, self.carrel, *arguments], env=self.environment, capture_output=True, text=True,
                              timeout=timeout)
        if check is not None and done.returncode != check:
            raise AssertionError(f"carrel {arguments} gave {done.returncode}, not {check}:\n{done.stdout}{done.stderr}\n"
                                 + self.log_text())
        return done

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.work, ignore_errors=True)
