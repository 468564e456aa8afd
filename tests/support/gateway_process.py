"""Gateways for tests and benchmarks: their processes, and a client for their HTTP that adds next to no time of its own."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time

KEY = "sk-test-of-the-gateway-process"
START_SECONDS = 60


@contextlib.contextmanager
def work_directory():
    """Where servers of other users can reach their sockets: not in a private /tmp."""
    with tempfile.TemporaryDirectory(prefix="carrel-", dir="/var/tmp", ignore_cleanup_errors=True) as name:
        os.chmod(name, 0o755)
        yield pathlib.Path(name)


def ended(process, seconds=20):
    """Ends a child as Ctrl-C's cousin does, and by force when it does not listen."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{process.args[0]} did not end at SIGTERM") from None
    return process.returncode


class Interpreter:
    """carrel-jailer with carrel-interpreter, without a supervisor. Use as a context."""

    def __init__(self, binaries, directory):
        self.data = directory / "interpreter"
        self.data.mkdir(mode=0o700)
        self.address = f"unix:{self.data}/grpc.sock"
        self.log = open(directory / "interpreter.log", "ab")
        binaries = pathlib.Path(binaries)
        tier = ["--tier", "full"] if os.geteuid() == 0 else ["--tier", "userns", "--allow-no-cgroup"]
        self.process = subprocess.Popen(
            [binaries / "carrel-jailer", "--server", binaries / "carrel-interpreter", "--data-dir", self.data, *tier,
             "--runtimes", binaries.parent / "share/carrel/runtimes", "--", "--data", self.data, "--listen", self.address,
             "--set", "log.level=warning", "--set", "rpc.drain_ms=500"],
            stdout=self.log, stderr=self.log)

    def __enter__(self):
        end = time.monotonic() + START_SECONDS
        while not (self.data / "grpc.sock").exists():
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError("carrel-interpreter did not start:\n" + pathlib.Path(self.log.name).read_text()[-4000:])
            time.sleep(0.02)
        return self

    def __exit__(self, *_):
        ended(self.process)
        self.log.close()


class Gateway:
    """carrel-gateway on a data directory, which outlives it: start, kill, start again. Use as a context."""

    def __init__(self, command, directory):
        self.command, self.directory = [str(part) for part in command], directory
        self.process = self.port = None

    @staticmethod
    def real(binaries, directory, model_port, interpreter="", **settings):
        """With `settings` as in the configuration, "." written "__"."""
        data = directory / "gateway"
        data.mkdir(mode=0o700, exist_ok=True)
        command = [pathlib.Path(binaries) / "carrel-gateway", "--data", data, "--listen", "127.0.0.1:0",
                   "--set", f"model.base_url=http://127.0.0.1:{model_port}/v1",
                   "--set", f"gateway.interpreter={interpreter or f'unix:{data}/nobody.sock'}"]
        for name, value in settings.items():
            command += ["--set", f"{name.replace('__', '.')}={value}"]
        return Gateway(command, directory)

    def start(self):
        log = self.directory / "gateway.log"
        with open(log, "ab") as out:
            begin = out.tell()
            self.process = subprocess.Popen(self.command, stdout=out, stderr=out,
                                            env={**os.environ, "CARREL_BOOTSTRAP_KEY": KEY})
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            with open(log, "rb") as said:
                said.seek(begin)
                for line in said:
                    if line.startswith(b"listening "):
                        self.port = int(line.rsplit(b":", 1)[1])
                        return self
                    if b'"serving"' in line:
                        self.port = int(json.loads(line)["listen"].rsplit(":", 1)[1])
                        return self
            time.sleep(0.01)
        raise AssertionError("the gateway did not start:\n" + log.read_text(errors="replace")[-4000:])

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        return ended(self.process)

    def facts(self):
        """{"VmRSS": KiB, "VmHWM": KiB, "Threads": n, …} of the process."""
        lines = (line.split(":", 1) for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines())
        return {name: int(value.split()[0]) for name, value in lines if value.split() and value.split()[0].isdigit()}

    __enter__ = start

    def __exit__(self, *_):
        if self.process:
            self.stop()


class Refused(Exception):
    """An answer that is no success: (status, body)."""


class Peer:
    """One kept connection to an HTTP server. Reads chunked and plain bodies; knows nothing else."""

    def __init__(self, port, timeout=60, **headers):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.headers = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        self.unread = bytearray()

    @staticmethod
    def of_gateway(port, **more):
        return Peer(port, Authorization=f"Bearer {KEY}", OpenAI_Beta="assistants=v2", Content_Type="application/json", **more)

    def close(self):
        self.socket.close()

    def _more(self):
        piece = self.socket.recv(262144)
        if not piece:
            raise ConnectionError("the server closed the connection")
        self.unread += piece

    def _line(self):
        while (end := self.unread.find(b"\r\n")) < 0:
            self._more()
        line = bytes(self.unread[:end])
        del self.unread[: end + 2]
        return line

    def _take(self, count):
        while len(self.unread) < count:
            self._more()
        taken = bytes(self.unread[:count])
        del self.unread[:count]
        return taken

    def send(self, method, path, value=None):
        body = b"" if value is None else json.dumps(value).encode()
        self.socket.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{self.headers}"
                            f"Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def pieces(self):
        """The body of the next answer as it comes. Raises Refused when it is no success."""
        status = int(self._line().split()[1])
        length = None
        while line := self._line():
            name, value = line.split(b":", 1)
            if name.lower() == b"content-length":
                length = int(value)
        if status >= 400:
            raise Refused(status, self._take(length or 0).decode(errors="replace"))
        if length is not None:
            yield self._take(length)
            return
        while size := int(self._line(), 16):
            yield self._take(size)
            self._line()
        self._line()

    def ask(self, method, path, value=None):
        self.send(method, path, value)
        return json.loads(b"".join(self.pieces()))

    def events(self, path, value):
        """(event name, data) of a stream, as they come."""
        self.send("POST", path, value)
        unread = b""
        for piece in self.pieces():
            unread += piece
            while (end := unread.find(b"\n\n")) >= 0:
                frame, unread = unread[:end].decode(), unread[end + 2 :]
                fields = dict(line.split(": ", 1) for line in frame.split("\n") if not line.startswith(":"))
                if fields:
                    yield fields.get("event", ""), fields["data"]
