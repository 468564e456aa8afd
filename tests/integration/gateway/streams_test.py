"""Streams of runs at their worst: readers that do not read, that vanish, that are there when the server stops or the thread
is deleted. A run never notices its readers; a reader is never left hanging.

usage: streams_test.py GATEWAY_WITH_FAKES
"""

import contextlib
import json
import pathlib
import socket
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "support"))

import scripted_model  # noqa: E402
from gateway_process import Gateway, Peer, work_directory  # noqa: E402

BINARY = sys.argv.pop(1)
RUN_SECONDS = 30


class Streams(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.model = scripted_model.start()
        self.stack.callback(self.model.shutdown)
        directory = self.stack.enter_context(work_directory())
        self.gateway = self.stack.enter_context(
            Gateway([BINARY, directory, f"http://127.0.0.1:{self.model.server_port}/v1"], directory))
        self.meet()

    def meet(self):
        self.peer = Peer.of_gateway(self.gateway.port)
        self.assistant = self.peer.ask("POST", "/v1/assistants", {"model": "scripted"})["id"]

    def thread(self, text):
        return self.peer.ask("POST", "/v1/threads", {"messages": [{"role": "user", "content": text}]})["id"]

    def begin(self, thread):
        """A reader of a new run's stream that has read nothing yet."""
        reader = Peer.of_gateway(self.gateway.port)
        reader.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.addCleanup(reader.close)
        reader.send("POST", f"/v1/threads/{thread}/runs", {"assistant_id": self.assistant, "stream": True})
        return reader

    @staticmethod
    def frames(reader):
        """(name, data) of what still comes, to the end of the stream; fails when the end is not clean."""
        text = b"".join(reader.pieces()).decode()
        found = []
        for frame in text.split("\n\n"):
            lines = dict(line.split(": ", 1) for line in frame.split("\n") if line and not line.startswith(":"))
            if lines:
                found.append((lines.get("event", ""), lines["data"]))
        return found

    def run_of(self, thread, status):
        end = time.monotonic() + RUN_SECONDS
        while time.monotonic() < end:
            runs = self.peer.ask("GET", f"/v1/threads/{thread}/runs")["data"]
            if runs and runs[0]["status"] == status:
                return runs[0]
            time.sleep(0.02)
        self.fail(f"not {status} in {RUN_SECONDS} s: {runs}")

    def answer(self, thread):
        message = self.peer.ask("GET", f"/v1/threads/{thread}/messages")["data"][0]
        return message["content"][0]["text"]["value"]

    def test_a_reader_that_does_not_read_holds_nothing_up_and_can_read_later(self):
        thread = self.thread("words 20000")
        reader = self.begin(thread)
        self.run_of(thread, "completed")
        frames = self.frames(reader)
        self.assertEqual(frames[-1], ("done", "[DONE]"))
        text = "".join(json.loads(data)["delta"]["content"][0]["text"]["value"]
                       for name, data in frames if name == "thread.message.delta")
        self.assertEqual(text, self.answer(thread))
        self.assertEqual(len(text), 5 * 20000)

    def test_readers_that_vanish_are_not_missed(self):
        threads = [self.thread("pace 0.01\nwords 30") for _ in range(20)]
        for i, thread in enumerate(threads):
            reader = self.begin(thread)
            if i % 2:
                reader._more()  # the first of it
            if i % 4 > 1:  # a reset, not an end
                reader.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            else:
                self.run_of(thread, "in_progress")
            reader.close()
        for thread in threads:
            # One that went before its request was read has made no run.
            if self.peer.ask("GET", f"/v1/threads/{thread}/runs")["data"]:
                self.run_of(thread, "completed")
                self.assertEqual(self.answer(thread).split(), ["word"] * 30)

    def test_a_stop_of_the_server_ends_streams_with_a_word(self):
        thread = self.thread("pace 0.2\nwords 40")
        reader = self.begin(thread)
        deaf = self.begin(self.thread("pace 0.2\nwords 40"))  # is not told, and does not keep the server from stopping
        self.run_of(thread, "in_progress")
        begun = time.monotonic()
        self.gateway.process.terminate()
        frames = self.frames(reader)
        self.assertEqual(frames[-1][0], "error")
        self.assertIn("The server is stopping", json.loads(frames[-1][1])["error"]["message"])
        self.assertEqual(self.gateway.stop(), 0)
        self.assertLess(time.monotonic() - begun, 15)
        deaf.close()
        self.gateway.start()
        self.peer = Peer.of_gateway(self.gateway.port)
        self.run_of(thread, "completed")
        self.assertEqual(self.answer(thread).split(), ["word"] * 40)

    def test_a_deleted_thread_ends_its_streams(self):
        thread = self.thread("hold")
        reader = self.begin(thread)
        self.run_of(thread, "in_progress")
        self.peer.ask("DELETE", f"/v1/threads/{thread}")
        frames = self.frames(reader)
        self.assertEqual([name for name, _ in frames][-2:], ["error", "done"])
        self.assertIn("The thread was deleted", json.loads(frames[-2][1])["error"]["message"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
