"""gateway/examples/executor.py against a Tools service and a chat model of the test's own.

usage: example_test.py TOOLS_SERVER EXECUTOR
"""

import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import unittest

SERVER, EXECUTOR = sys.argv[1:3]


class Model(http.server.BaseHTTPRequestHandler):
    """First calls what the question says, as "name {arguments}" lines; then answers with what the tools said."""

    requests = []

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.requests.append(body)
        outputs = [m["content"] for m in body["messages"] if m["role"] == "tool"]
        message = {"role": "assistant", "content": " | ".join(outputs)}
        if not outputs:
            calls = [line.split(" ", 1) for line in body["messages"][-1]["content"].splitlines()]
            message = {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": f"call_{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
                    for i, (name, arguments) in enumerate(calls)
                ],
            }
        reply = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)


class ExampleTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.server = subprocess.Popen(
            [SERVER, folder.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.addCleanup(self.stop)
        self.key, self.store = self.server.stdout.readline().split()
        self.model = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Model)
        Model.requests.clear()
        threading.Thread(target=self.model.serve_forever, daemon=True).start()
        self.addCleanup(self.model.server_close)
        self.addCleanup(self.model.shutdown)

    def stop(self):
        self.server.stdin.close()
        self.server.wait(timeout=20)
        self.server.stdout.close()

    def execute(self, question, *more, key=None):
        return subprocess.run(
            [
                sys.executable,
                EXECUTOR,
                f"--carrel=unix:{self.folder}/s",
                f"--model-url=http://127.0.0.1:{self.model.server_port}/v1",
                *more,
                question,
            ],
            env={**os.environ, "CARREL_API_KEY": key or self.key},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def test_both_tools_and_a_file(self):
        saved = self.folder / "saved"
        done = self.execute(
            'code_interpreter {"code": "write"}\nfile_search {"query": "q"}', f"--store={self.store}", f"--save={saved}"
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("printed write", done.stdout)
        self.assertIn("【0:0†a.pdf】 page 2", done.stdout)
        self.assertEqual([p.read_text() for p in saved.glob("*/a.csv")], ["1,2"])
        self.assertEqual(
            [tool["function"]["name"] for tool in Model.requests[0]["tools"]], ["code_interpreter", "file_search"]
        )

    def test_without_a_store_nothing_is_searched(self):
        done = self.execute('code_interpreter {"code": "1"}')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(Model.requests[0]["tools"]), 1)

    def test_a_bad_call_is_told_to_the_model(self):
        done = self.execute("code_interpreter print(1)")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("not a JSON object", done.stdout)

    def test_a_wrong_key_is_refused(self):
        done = self.execute("code_interpreter {}", key="sk-wrong")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("UNAUTHENTICATED", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
