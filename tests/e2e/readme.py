"""Runs what the README shows, and holds the printed output against it.

usage: readme.py README BIN [--update]

A fenced block marked `console` is a dialogue: a line that starts with "$ " is a command for bash (a trailing backslash
continues it), the lines until the next command are what it prints, stdout and stderr together. In the expected lines
`…` stands for any text within a line, and a line that is only `…` for any number of lines. A block marked `python` is
run as a program of its own, and what it prints is the `text` block that follows, by the same rule. `carrel serve` with
a fresh data directory runs meanwhile, as the README's commands start it, with readme_model.py for a chat model; commands
that start a server, or set this checkout up (./dev …, git clone …), are not run again: this test is part of what they do.
Its address and its data directory take the place of the default ones in programs: two may run on one machine.

--update prints what the commands really said, for pasting.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import readme_model

NOT_RUN = re.compile(r"^((\w+=\S+ )*\./dev |git clone |cd |sudo |pip |python3 -m venv )")
START_SECONDS = 120
COMMAND_SECONDS = 180


def blocks(text):
    """Yields (language, first line's number, lines) of each fenced block."""
    language, start, lines = None, 0, []
    for number, line in enumerate(text.splitlines(), 1):
        if language is None:
            opened = re.match(r"^```(\w*)\s*$", line)
            if opened:
                language, start, lines = opened.group(1), number + 1, []
        elif line.rstrip() == "```":
            yield language, start, lines
            language = None
        else:
            lines.append(line)


def dialogue(lines, start):
    """Yields (command, its line's number, expected lines) of a console block."""
    command, at, expected = None, 0, []
    joined = iter(enumerate(lines, start))
    for number, line in joined:
        if line.startswith("$ "):
            if command is not None:
                yield command, at, expected
            command, at, expected = line[2:], number, []
            while command.endswith("\\"):
                command = command[:-1] + next(joined)[1].lstrip("> ")
        else:
            expected.append(line)
    if command is not None:
        yield command, at, expected


def matches(expected, printed):
    """True if the printed lines are the expected ones, by the rule of this file's head."""
    while expected and not expected[-1].strip():
        expected = expected[:-1]
    pattern = ""
    for line in expected:
        if line.strip() == "…":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*?".join(re.escape(part.rstrip() if part is line else part) for part in line.rstrip().split("…")) + r"[ \t]*\n"
    text = "".join(line.rstrip() + "\n" for line in printed.splitlines()).rstrip("\n") + "\n"
    return re.fullmatch(pattern, text if text.strip() else "") is not None


class Server:
    """`carrel serve` on a data directory of its own."""

    def __init__(self, carrel, data, log):
        flags = ["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]
        if os.geteuid() != 0:
            flags.append("--allow-no-cgroup")
        self._log = open(log, "wb")
        model = readme_model.start()
        environment = {**os.environ, "CARREL_MODEL_BASE_URL": f"http://127.0.0.1:{model.server_port}/v1"}
        self._process = subprocess.Popen([carrel, "serve", "--data", data, *flags], stdout=self._log, stderr=self._log,
                                         env=environment)
        began = time.monotonic()
        while "Carrel is ready." not in (said := pathlib.Path(log).read_text()):
            if self._process.poll() is not None or time.monotonic() - began > START_SECONDS:
                sys.exit(f"carrel serve did not come up in {START_SECONDS} s:\n" + said)
            time.sleep(0.2)
        self.url = json.loads((pathlib.Path(data) / "run" / "gateway.json").read_text())["url"]

    def stop(self):
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(60)
        if code != 0:
            sys.exit(f"carrel serve ended with {code} on SIGTERM")


def main():
    readme, binaries = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
    update = "--update" in sys.argv[3:]
    work = pathlib.Path(tempfile.mkdtemp(prefix="carrel-readme-", dir="/var/tmp"))
    work.chmod(0o755)
    environment = {**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}", "CARREL_DATA": str(work / "data"),
                   "COLUMNS": "120", "TERM": "dumb", "OUT": str(work / "out")}
    os.environ.update(environment)
    failures, ran, pending, server = [], 0, None, None
    try:
        server = Server(str(binaries / "carrel"), str(work / "data"), work / "serve.log")
        for language, start, lines in blocks(readme.read_text()):
            jobs = []
            if language == "console":
                jobs = [(["bash", "-c", command], command, at, expected)
                        for command, at, expected in dialogue(lines, start) if not NOT_RUN.match(command)]
            elif language == "python":
                program = "\n".join(lines).replace("http://127.0.0.1:8080", server.url)
                program = program.replace("/var/lib/carrel", str(work / "data"))
                pending = (["/usr/bin/python3", "-W", "ignore::DeprecationWarning", "-c", program], "the program", start)
                continue
            elif language == "text" and pending:
                jobs, pending = [(*pending, lines)], None
            for arguments, shown, at, expected in jobs:
                done = subprocess.run(arguments, cwd=readme.parent, env=environment, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, timeout=COMMAND_SECONDS)
                printed = done.stdout.decode("utf-8", "replace")
                ran += 1
                if update:
                    print(f"--- {at}: {shown}\n{printed}")
                elif not matches(expected, printed):
                    failures.append(f"{readme.name}:{at}: {shown}\n  shown:   " + "\n           ".join(expected) +
                                    "\n  printed: " + "\n           ".join(printed.splitlines()))
    finally:
        if server:
            server.stop()
        shutil.rmtree(work, ignore_errors=True)
    if ran == 0:
        failures.append("the README shows no command")
    print("\n".join(failures))
    print(f"{ran} examples, {len(failures)} differ")
    sys.exit(1 if failures else 0)


main()
