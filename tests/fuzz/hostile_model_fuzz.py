"""A model that answers nonsense: every run must end, with a true state, and the gateway must go on.

usage: hostile_model_fuzz.py GATEWAY [COUNT]      GATEWAY is gateway_with_fakes; COUNT runs (default CARREL_FUZZ_RUNS / 100, 200)

The recorder stands between: whatever the model says, what clients are told is as OpenAI says it.
"""

import collections
import concurrent.futures
import http.client
import json
import os
import pathlib
import random
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "conformance"))

import harness  # noqa: E402

OVER = ("completed", "failed", "incomplete", "requires_action", "expired", "cancelled")
WORDS = [b"data: ", b"\n\n", b"\r", b"[DONE]", b"null", b"-1", b"1e999", b'"', b"{", b"}", b"[]", b"\xff\xfe", b"\\ud800", b"\xe3\x80\x90",
         "【0:0†x】".encode(), b"sandbox:/mnt/data/../../etc/passwd", b"event: thread.run.completed\n", b"data: {}\n\n", b"x" * 3000,
         b'"index":99999999', b'"index":-5', b'"name":""', b'"arguments":{"a":[1]}', b'"finish_reason":"tool_calls"', b'"usage":7']


def chunk(delta, finish=None, **more):
    return b"data: " + json.dumps({"id": "c", "object": "chat.completion.chunk", "model": "scripted", "choices": [
        {"index": 0, "delta": delta, "finish_reason": finish}], **more}, ensure_ascii=False).encode() + b"\n\n"


def call(index, name, arguments, **more):
    return {"tool_calls": [{"index": index, "function": {"name": name, "arguments": arguments}, **more}]}


USAGE = {"usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}}
SEEDS = [
    chunk({"role": "assistant", "content": "Hello"}) + chunk({"content": " 【0:1†a.txt】 [f](sandbox:/mnt/data/a.csv)"})
    + chunk({}, "stop", **USAGE) + b"data: [DONE]\n\n",
    chunk(call(0, "f", '{"x": 1}', id="call_1", type="function")) + chunk(call(1, "g", "{", id="call_2")) + chunk({}, "tool_calls"),
    chunk(call(0, "code_interpreter", '{"code": "print(\'1\')"}', id="call_1")) + chunk({}, "tool_calls") + b"data: [DONE]\n\n",
    chunk(call(0, "nobody", "no JSON at all")) + chunk({}, "tool_calls"),
    chunk({"content": "cut "}) + chunk({"content": "short"}, "length", **USAGE),
    b'data: {"error": {"message": "the model is on fire", "type": "server_error"}}\n\n',
    b'{"object":"chat.completion","choices":[{"message":{"role":"assistant","content":"whole"},"finish_reason":"stop"}]}',
]


class Hostile(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    random = random.Random(int(os.environ.get("CARREL_FUZZ_SEED", 1)))
    lock = threading.Lock()

    def log_message(self, *arguments):
        pass

    def do_POST(self):
        request = self.rfile.read(int(self.headers["Content-Length"]))
        if b"harmless" in request:
            data, cut = SEEDS[0], 10_000
        else:
            with self.lock:
                data, cut = self.mutated(), self.random.choice([1, 7, 100, 10_000])
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            for at in range(0, len(data), max(cut, len(data) // 50)):
                self.wfile.write(data[at:at + max(cut, len(data) // 50)])
        except OSError:
            pass

    def mutated(self):
        r, data = self.random, bytearray(b"".join(self.random.choice(SEEDS) for _ in range(self.random.randint(1, 2))))
        for _ in range(r.randint(0, 3)):
            at = r.randint(0, len(data))
            kind = r.randrange(5)
            if kind == 0 and at < len(data):
                data[at] = r.randrange(256)
            elif kind == 1:
                del data[at:at + r.randint(1, 30)]
            elif kind == 2:
                data[at:at] = r.choice(WORDS)
            elif kind == 3:
                data[at:at] = data[at:at + r.randint(1, 300)]
            elif r.random() < 0.3:
                del data[at:]
        return bytes(data)


def main():
    count = int(sys.argv[2]) if len(sys.argv) > 2 else int(os.environ.get("CARREL_FUZZ_RUNS", 20_000)) // 100
    model = ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    threading.Thread(target=model.serve_forever, daemon=True).start()
    server = harness.Running(sys.argv[1], model_port=model.server_port)

    def ask(method, path, body=None):
        connection = http.client.HTTPConnection(server.address, timeout=60)
        connection.request(method, "/v1" + path, body and json.dumps(body), {
            "Authorization": "Bearer " + server.key, "OpenAI-Beta": "assistants=v2"})
        response = connection.getresponse()
        data = response.read()
        connection.close()
        assert response.status == 200, (response.status, data[:500])
        return data

    def run(assistant, text, stream):
        thread = json.loads(ask("POST", "/threads", {"messages": [{"role": "user", "content": text}]}))["id"]
        answer = ask("POST", f"/threads/{thread}/runs", {"assistant_id": assistant, "stream": stream})
        until = time.monotonic() + 60
        while (last := json.loads(ask("GET", f"/threads/{thread}/runs"))["data"][0])["status"] not in OVER:
            assert time.monotonic() < until, f"a run does not end: {last}, {answer[-300:]!r}"
            time.sleep(0.02)
        if last["status"] == "failed":
            assert last["last_error"]["message"], last
        ask("GET", f"/threads/{thread}/messages")
        ask("GET", f"/threads/{thread}/runs/{last['id']}/steps")
        return last["status"]

    try:
        made = json.loads(ask("POST", "/assistants", {"model": "scripted", "tools": [
            {"type": "code_interpreter"}, {"type": "function", "function": {"name": "f"}}]}))["id"]
        # Several at once: a model that fails is asked again after a while.
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            ends = collections.Counter(pool.map(lambda n: run(made, f"number {n}", n % 2 == 0), range(count)))
        assert run(made, "harmless", True) == "completed"
        print(f"{count} runs of a hostile model: {dict(ends)}")
    finally:
        server.stop()
        model.shutdown()


main()
