"""The gateway with a scripted model below it and a recorder before it: what every client suite runs against."""

import http.client
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "support"))

import scripted_model  # noqa: E402

# What the recorder needs; its own process, so that no client sees it.
RECORDER_PACKAGES = str(HERE.parent.parent / "build" / "deps" / "python-tests")


class Running:
    """A gateway on a directory of its own. `address` is the recorder's, `direct` the gateway's."""

    def __init__(self, gateway, model_port=None):
        """`model_port`: of another model than the scripted one."""
        self.directory = tempfile.TemporaryDirectory(prefix="carrel-")
        self.model = None if model_port else scripted_model.start()
        self.process = subprocess.Popen(
            [gateway, self.directory.name, f"http://127.0.0.1:{model_port or self.model.server_port}/v1"],
            stdout=subprocess.PIPE, text=True)
        self.direct = self.process.stdout.readline().split()[1]
        self.key = self.process.stdout.readline().split()[1]
        self.recorder = subprocess.Popen(
            ["/usr/bin/python3", HERE / "recorder.py", self.direct], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env={**os.environ, "PYTHONPATH": RECORDER_PACKAGES, "PYTHONDONTWRITEBYTECODE": "1"})
        listening = self.recorder.stdout.readline().split()
        if not listening:
            self.process.terminate()  # else it holds our output open, and the failure looks like a hang
            raise AssertionError("the recorder did not start; ./dev setup installs what it needs")
        self.address = listening[1]

    def report(self):
        """Stops the recorder; what it has seen."""
        text, _ = self.recorder.communicate(timeout=120)
        return json.loads(text)

    def stop(self, answers_min=10):
        """Stops everything. AssertionError when an answer was not OpenAI's, or fewer than `answers_min` were seen."""
        try:
            report = self.report()
        finally:
            died = self.process.poll()
            self.process.terminate()
            self.process.wait(20)
            self.process.stdout.close()
            if self.model:
                self.model.shutdown()
            self.directory.cleanup()
        assert died is None, f"the gateway ended by itself, with {died}"
        seen = {what: sum(report[what].values()) for what in ("routes", "events", "errors")}
        print(f"validated: {seen['routes']} answers of {len(report['routes'])} routes, {seen['events']} events of "
              f"{len(report['events'])} names, {seen['errors']} errors", file=sys.stderr)
        assert not report["problems"], "not as OpenAI answers:\n" + "\n".join(report["problems"])
        assert seen["routes"] >= answers_min, report
        return report

    def admin(self, method, path):
        """Over the socket for people with a shell on the machine."""
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.directory.name + "/admin.sock")
        connection.request(method, path)
        return json.loads(connection.getresponse().read())
