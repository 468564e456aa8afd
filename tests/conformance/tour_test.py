"""Every route and every event once, under v1 and under v2, so that the recorder has held each against its schema.

usage: tour_test.py GATEWAY [unittest arguments]      GATEWAY is gateway_with_fakes
"""

import http.client
import json
import pathlib
import sys
import time
import unittest

import harness

GATEWAY = sys.argv[1]
TESTDATA = pathlib.Path(__file__).parent.parent / "testdata" / "openai"
OVER = ("completed", "failed", "cancelled", "expired", "incomplete", "requires_action")
# What the schemas have and the gateway has not.
NOT_OURS = {"v1": (), "v2": ("DELETE /models/{model}", "/containers", "/uploads")}
# A run expires after ten minutes: unit tests have a clock of their own for that.
NOT_SEEN = {"v1": {"thread.run.expired", "thread.run.step.expired"},
            "v2": {"thread.run.expired", "thread.run.step.expired"}}


def setUpModule():
    global server
    server = harness.Running(GATEWAY)


def tearDownModule():
    """What was seen is known only now."""
    report = server.stop()
    for version in ("v1", "v2"):
        document = json.loads((TESTDATA / f"{version}.json").read_text())
        routes = {r for r in document["routes"] if not any(r == n or r.split()[1].startswith(n) for n in NOT_OURS[version])}
        # v1's clients send no header to /files: there is one shape.
        routes = {r for r in routes if version == "v2" or not r.split()[1].startswith("/files")}
        seen = {name.removesuffix(" (stream)")[3:] for name in report["routes"] if name.startswith(version)}
        assert not routes - seen, f"{version}: no answer was seen of {sorted(routes - seen)}"
        events = set(document["events"]) - NOT_SEEN[version]
        seen = {name[3:] for name in report["events"] if name.startswith(version)}
        assert not events - seen, f"{version}: no event was seen of {sorted(events - seen)}"


class Tour(unittest.TestCase):
    def ask(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection(server.address, timeout=30)
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body)
        connection.request(method, "/v1" + path, data, {
            "Authorization": f"Bearer {server.key}", "OpenAI-Beta": f"assistants={self.version}", **headers})
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        self.assertEqual(response.status, 200, (method, path, answer))
        return json.loads(answer) if response.headers["Content-Type"] == "application/json" else answer

    def upload(self):
        return self.ask("POST", "/files", b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nassistants\r\n--b\r\n'
                        b'Content-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nsome text\r\n--b--\r\n',
                        **{"Content-Type": "multipart/form-data; boundary=b"})["id"]

    def list_and_get(self, path, identity):
        self.assertIn(identity, [o["id"] for o in self.ask("GET", path + "?limit=100")["data"]])
        self.assertEqual(self.ask("GET", f"{path}/{identity}")["id"], identity)

    def wait(self, thread, run, stop=OVER):
        until = time.monotonic() + 30
        while run["status"] not in stop:
            self.assertLess(time.monotonic(), until, run)
            time.sleep(0.02)
            run = self.ask("GET", f"/threads/{thread}/runs/{run['id']}")
        return run

    def conversation(self, text, **thread):
        return self.ask("POST", "/threads", {"messages": [{"role": "user", "content": text}], **thread})["id"]

    def test_v1(self):
        self.version = "v1"
        self.tour({"tools": [{"type": "code_interpreter"}, {"type": "retrieval"},
                             {"type": "function", "function": {"name": "f", "parameters": {}}}]})

    def test_v2(self):
        self.version = "v2"
        self.tour({"tools": [{"type": "code_interpreter"}, {"type": "file_search"},
                             {"type": "function", "function": {"name": "f", "strict": True}}],
                   "response_format": {"type": "text"}, "reasoning_effort": "low"})
        self.stores()
        self.list_and_get("/models", "scripted")

    def tour(self, assistant):
        file = self.upload()
        self.list_and_get("/files", file)
        self.assertEqual(self.ask("GET", f"/files/{file}/content"), b"some text")
        made = self.ask("POST", "/assistants", {"model": "scripted", "name": "A", "metadata": {"k": "v"}, **assistant})["id"]
        self.list_and_get("/assistants", made)
        self.ask("POST", f"/assistants/{made}", {"description": "changed"})
        thread = self.conversation("python print('1'); savefig('/mnt/data/a.png')\nfind some text\ncall f {}")
        self.ask("GET", f"/threads/{thread}")
        self.ask("POST", f"/threads/{thread}", {"metadata": {"a": "b"}})
        extra = {"file_ids": [file]} if self.version == "v1" else {
            "attachments": [{"file_id": file, "tools": [{"type": "file_search"}, {"type": "code_interpreter"}]}]}
        message = self.ask("POST", f"/threads/{thread}/messages", {
            "role": "user", "content": "python print('1'); savefig('/mnt/data/a.png')\nfind some text\ncall f {}", **extra})["id"]
        messages = f"/threads/{thread}/messages"
        self.list_and_get(messages, message)
        self.ask("POST", f"{messages}/{message}", {"metadata": {"a": "b"}})
        if self.version == "v1":
            self.files_of(made, thread, message, file)
        self.runs(made, thread)
        self.streams(made)
        if self.version == "v2":
            self.ask("DELETE", f"{messages}/{message}")
        self.ask("DELETE", f"/threads/{thread}")
        self.ask("DELETE", f"/assistants/{made}")
        self.ask("DELETE", f"/files/{file}")

    def files_of(self, made, thread, message, file):
        self.ask("POST", f"/assistants/{made}/files", {"file_id": file})
        self.list_and_get(f"/assistants/{made}/files", file)
        self.ask("DELETE", f"/assistants/{made}/files/{file}")
        self.list_and_get(f"/threads/{thread}/messages/{message}/files", file)

    def runs(self, made, thread):
        runs = f"/threads/{thread}/runs"
        run = self.wait(thread, self.ask("POST", runs, {"assistant_id": made}))
        self.assertEqual(run["status"], "requires_action", run)
        call = run["required_action"]["submit_tool_outputs"]["tool_calls"][0]["id"]
        self.wait(thread, self.ask("POST", f"{runs}/{run['id']}/submit_tool_outputs", {
            "tool_outputs": [{"tool_call_id": call, "output": "o"}]}), ("completed",))
        self.list_and_get(runs, run["id"])
        self.ask("POST", f"{runs}/{run['id']}", {"metadata": {"a": "b"}})
        steps = self.ask("GET", f"{runs}/{run['id']}/steps?include[]=step_details.tool_calls[*].file_search.results[*].content")
        kinds = {c["type"] for s in steps["data"] for c in s["step_details"].get("tool_calls", [])}
        self.assertEqual(kinds, {"code_interpreter", "function", "retrieval" if self.version == "v1" else "file_search"})
        self.list_and_get(f"{runs}/{run['id']}/steps", steps["data"][0]["id"])
        answer = self.ask("GET", f"/threads/{thread}/messages?run_id={run['id']}")["data"][0]
        self.assertIn("image_file", [p["type"] for p in answer["content"]])
        other = self.conversation("hold\nsay one two")
        run = self.ask("POST", f"/threads/{other}/runs", {"assistant_id": made})
        self.ask("POST", f"/threads/{other}/runs/{run['id']}/cancel")
        self.wait(other, run, ("cancelled",))
        one = self.ask("POST", "/threads/runs", {"assistant_id": made, "thread": {"messages": [{"role": "user", "content": "say x"}]}})
        self.wait(one["thread_id"], one, ("completed",))

    def streams(self, made):
        def stream(text, **more):
            return self.ask("POST", "/threads/runs", {"assistant_id": made, "stream": True, "thread": {
                "messages": [{"role": "user", "content": text}]}, **more})

        stream("python print('1')\nfind text\ncall f {}")
        stream("say hello")
        stream("refuse 400")
        stream("break\nsay one two")
        if self.version == "v2":
            stream("words 300", max_completion_tokens=256)
        # What a cancelled run's stream says, for one whose model is at work and one that waits for its client.
        thread = self.conversation("hold\nsay one two")
        for path, wanted in ((thread, "in_progress"), (self.conversation("call f {}"), "requires_action")):
            self.cancelled_stream(made, path, wanted)

    def cancelled_stream(self, made, thread, wanted):
        connection = http.client.HTTPConnection(server.address, timeout=30)
        connection.request("POST", f"/v1/threads/{thread}/runs", json.dumps({"assistant_id": made, "stream": True}), {
            "Authorization": f"Bearer {server.key}", "OpenAI-Beta": f"assistants={self.version}"})
        response = connection.getresponse()
        run = {"status": ""}
        until = time.monotonic() + 30
        while run["status"] != wanted:
            self.assertLess(time.monotonic(), until, run)
            runs = self.ask("GET", f"/threads/{thread}/runs")["data"]
            run = runs[0] if runs else run
        time.sleep(0.1)
        self.ask("POST", f"/threads/{thread}/runs/{run['id']}/cancel")
        response.read()
        connection.close()

    def stores(self):
        one, two = self.upload(), self.upload()
        store = self.ask("POST", "/vector_stores", {"file_ids": [one], "expires_after": {"anchor": "last_active_at", "days": 1},
                                                    "chunking_strategy": {"type": "auto"}})["id"]
        path = f"/vector_stores/{store}"
        self.list_and_get("/vector_stores", store)
        self.ask("POST", path, {"name": "n", "expires_after": None})
        self.ask("POST", f"{path}/files", {"file_id": two, "attributes": {"year": 2024, "draft": False, "kind": "x"}})
        self.list_and_get(f"{path}/files", two)
        self.ask("POST", f"{path}/files/{two}", {"attributes": {"year": 2025}})
        until = time.monotonic() + 30
        while self.ask("GET", path)["file_counts"]["completed"] < 2:
            self.assertLess(time.monotonic(), until)
            time.sleep(0.05)
        self.ask("GET", f"{path}/files/{two}/content")
        self.assertTrue(self.ask("POST", f"{path}/search", {"query": ["some text"]})["data"])
        batch = self.ask("POST", f"{path}/file_batches", {"files": [{"file_id": one}]})["id"]
        self.ask("GET", f"{path}/file_batches/{batch}")
        self.ask("GET", f"{path}/file_batches/{batch}/files")
        self.ask("POST", f"{path}/file_batches/{batch}/cancel")
        self.ask("DELETE", f"{path}/files/{two}")
        self.ask("DELETE", path)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
