"""A chat model for tests: what it answers stands in the last user message, one order a line.

usage: scripted_model.py [PORT]      (0, the default: any; prints "listening PORT")

    say TEXT            answer TEXT (the rest of the message)
    call NAME JSON      call a function; several lines: several calls in one turn
    python CODE         call the code tool
    find QUESTION       call the search tool
    wait SECONDS        think first
    refuse STATUS       answer with this HTTP status
    hold                answer with a first word, then nothing
    break               answer with a first word, then hang up
    words N             answer N words

After tool calls the answer quotes what the tools said, with the citation markers and sandbox links that it finds. Without an
order it says how many messages it was given. Speaks chat completions, streamed and whole, with usage, and lists models.
"""

import itertools
import json
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODELS = ["scripted", "scripted-small"]
numbers = itertools.count(1)


def text_of(message):
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content if part.get("type") == "text")


def tool_named(request, word):
    """The name of the tool that has `word` in it, and the argument to use."""
    for tool in request.get("tools") or []:
        function = tool["function"]
        if word in function["name"]:
            return function["name"], function["parameters"]["required"][0]
    return None, None


class Turn:
    """What to do for one request."""

    def __init__(self, request):
        messages = request["messages"]
        last = max((i for i, m in enumerate(messages) if m["role"] == "user"), default=None)
        orders = text_of(messages[last]) if last is not None else ""
        outputs = [text_of(m) for m in messages[(last or 0) + 1 :] if m["role"] == "tool"]
        self.wait = 0.0 if outputs else sum(float(s) for s in re.findall(r"^wait ([\d.]+)$", orders, re.M))
        self.status = next((int(s) for s in re.findall(r"^refuse (\d+)$", orders, re.M)), 200)
        self.hold = bool(re.search(r"^hold$", orders, re.M))
        self.breaks = bool(re.search(r"^break$", orders, re.M))
        self.calls = [] if outputs or request.get("tool_choice") == "none" else self.calls_in(orders, request)
        self.text = self.answer(orders, outputs, len(messages))

    @staticmethod
    def calls_in(orders, request):
        calls = [(name, arguments) for name, arguments in re.findall(r"^call ([\w-]+) (.*)$", orders, re.M)]
        for word, tool in (("python", "code"), ("find", "search")):
            name, argument = tool_named(request, tool)
            if name:
                calls += [(name, json.dumps({argument: rest})) for rest in re.findall(rf"^{word} (.*)$", orders, re.M)]
        return calls

    @staticmethod
    def answer(orders, outputs, count):
        if outputs:
            said = " ".join(outputs)
            markers = list(dict.fromkeys(re.findall(r"【[^】]*】", said)))
            links = dict.fromkeys(re.findall(r"/mnt/data/[\w.-]+\.\w+", orders))
            plain = re.sub(r"【[^】]*】", "", said).strip()
            return f"They said: {plain}" + "".join(markers) + "".join(f" [file](sandbox:{link})" for link in links)
        for pattern, make in ((r"^say (.*)", lambda m: m[1]), (r"^words (\d+)$", lambda m: "word " * int(m[1]))):
            if found := re.search(pattern, orders, re.M | (re.S if pattern.endswith("(.*)") else 0)):
                return make(found)
        return f"{count} messages"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def send_json(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.send_json(200, {"object": "list", "data": [
            {"id": name, "object": "model", "created": 0, "owned_by": "tests"} for name in MODELS]})

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        turn = Turn(request)
        time.sleep(turn.wait)
        if turn.status != 200:
            return self.send_json(turn.status, {"error": {"message": "refused as asked", "type": "test", "code": None}})
        words = re.findall(r"\s*\S+\s*", turn.text) or [""]
        limit = request.get("max_completion_tokens") or request.get("max_tokens") or len(words)
        finish = "tool_calls" if turn.calls else "length" if len(words) > limit else "stop"
        usage = {"prompt_tokens": sum(len(text_of(m)) // 4 + 1 for m in request["messages"]),
                 "completion_tokens": min(len(words), limit)}
        usage["total_tokens"] = sum(usage.values())
        calls = [{"id": f"call_{next(numbers):06d}", "type": "function", "function": {"name": name, "arguments": arguments}}
                 for name, arguments in turn.calls]
        head = {"id": f"chatcmpl-{next(numbers)}", "created": int(time.time()), "model": request["model"]}
        if not request.get("stream"):
            message = {"role": "assistant", "content": None if calls else "".join(words[:limit])}
            if calls:
                message["tool_calls"] = calls
            return self.send_json(200, {**head, "object": "chat.completion", "usage": usage,
                                        "choices": [{"index": 0, "message": message, "finish_reason": finish}]})
        try:
            self.stream(request, head, turn, calls, words[:limit], finish, usage)
        except (BrokenPipeError, ConnectionResetError):
            pass  # a run that was cancelled
        self.close_connection = True

    def stream(self, request, head, turn, calls, words, finish, usage):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()

        def chunk(choices, **more):
            value = {**head, "object": "chat.completion.chunk", "choices": choices, **more}
            self.wfile.write(f"data: {json.dumps(value)}\n\n".encode())

        def delta(value, reason=None):
            chunk([{"index": 0, "delta": value, "finish_reason": reason}])

        delta({"role": "assistant", "content": None if calls else ""})
        for i, call in enumerate(calls):
            arguments = call["function"]["arguments"]
            delta({"tool_calls": [{**call, "index": i, "function": {"name": call["function"]["name"], "arguments": ""}}]})
            for at in range(0, len(arguments), 10):
                delta({"tool_calls": [{"index": i, "function": {"arguments": arguments[at : at + 10]}}]})
        for word in [] if calls else words:
            delta({"content": word})
            if turn.hold:
                time.sleep(600)
            if turn.breaks:
                return
        delta({}, finish)
        if (request.get("stream_options") or {}).get("include_usage"):
            chunk([], usage=usage)
        self.wfile.write(b"data: [DONE]\n\n")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    # Hundreds of runs ask at once; a connection that the kernel drops looks to the client like a model that thinks.
    request_queue_size = 1024


def start(port=0):
    """A server on its own thread; server.server_port is where."""
    server = Server(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


if __name__ == "__main__":
    running = start(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    print(f"listening {running.server_port}", flush=True)
    threading.Event().wait()
