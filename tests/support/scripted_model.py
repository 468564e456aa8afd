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
    pace SECONDS        wait after each word
    clock               begin the answer with the moment of its sending, in seconds of CLOCK_MONOTONIC

After tool calls the answer quotes what the tools said, with the citation markers and sandbox links that it finds. Without an
order it says how many messages it was given. Speaks chat completions, streamed and whole, with usage, and lists models.
One thread holds as many streams as there are; connections are kept.
"""

import asyncio
import itertools
import json
import re
import sys
import threading
import time

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
        self.pace = next((float(s) for s in re.findall(r"^pace ([\d.]+)$", orders, re.M)), 0.0)
        self.clock = bool(re.search(r"^clock$", orders, re.M))
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


class Connection(asyncio.Protocol):
    """One client: requests one after the other. What is going on ends when the client goes."""

    def __init__(self, server):
        self.server = server

    def connection_made(self, transport):
        self.transport, self.received, self.task = transport, bytearray(), None

    def connection_lost(self, _):
        if self.task:
            self.task.cancel()

    def data_received(self, data):
        self.received += data
        self.next_request()

    def next_request(self):
        end = self.received.find(b"\r\n\r\n")
        if self.task or end < 0:
            return
        method, path, _ = self.received[:end].split(b"\r\n", 1)[0].decode().split(" ")
        length = re.search(rb"\r\ncontent-length: *(\d+)", self.received[:end], re.I)
        size = end + 4 + (int(length[1]) if length else 0)
        if len(self.received) < size:
            return
        body = bytes(self.received[end + 4 : size])
        del self.received[:size]
        self.task = asyncio.get_running_loop().create_task(self.serve(method, path, body))

    async def serve(self, method, path, body):
        if method == "POST" and path.endswith("/chat/completions"):
            await self.complete(json.loads(body))
        elif method == "GET" and path.endswith("/models"):
            self.send_json(200, {"object": "list", "data": [
                {"id": name, "object": "model", "created": 0, "owned_by": "tests"} for name in MODELS]})
        else:
            self.send_json(404, {"error": {"message": f"no such route: {method} {path}", "type": "test", "code": None}})
        self.task = None
        self.next_request()

    def send_json(self, status, value):
        body = json.dumps(value).encode()
        self.transport.write(b"HTTP/1.1 %d Scripted\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                             % (status, len(body), body))

    async def complete(self, request):
        turn = self.server.turn_type(request)
        if turn.wait:
            await asyncio.sleep(turn.wait)
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
        if request.get("stream"):
            return await self.stream(request, head, turn, calls, words[:limit], finish, usage)
        message = {"role": "assistant", "content": None if calls else "".join(words[:limit])}
        if calls:
            message["tool_calls"] = calls
        return self.send_json(200, {**head, "object": "chat.completion", "usage": usage,
                                    "choices": [{"index": 0, "message": message, "finish_reason": finish}]})

    async def stream(self, request, head, turn, calls, words, finish, usage):
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")

        def event(data):
            data = b"data: %b\n\n" % data
            self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))

        def chunk(choices, **more):
            event(json.dumps({**head, "object": "chat.completion.chunk", "choices": choices, **more}).encode())

        def delta(value, reason=None):
            chunk([{"index": 0, "delta": value, "finish_reason": reason}])

        delta({"role": "assistant", "content": None if calls else ""})
        for i, call in enumerate(calls):
            arguments = call["function"]["arguments"]
            delta({"tool_calls": [{**call, "index": i, "function": {"name": call["function"]["name"], "arguments": ""}}]})
            for at in range(0, len(arguments), 10):
                delta({"tool_calls": [{"index": i, "function": {"arguments": arguments[at : at + 10]}}]})
        if turn.clock and not calls:
            delta({"content": f"{time.monotonic():.6f} "})
        for word in [] if calls else words:
            delta({"content": word})
            if turn.hold:
                await asyncio.sleep(600)
            if turn.breaks:
                return self.transport.close()
            if turn.pace:
                await asyncio.sleep(turn.pace)
        delta({}, finish)
        if (request.get("stream_options") or {}).get("include_usage"):
            chunk([], usage=usage)
        event(b"[DONE]")
        self.transport.write(b"0\r\n\r\n")


class Server:
    """The model on a thread of its own; server_port is where."""

    # What reads the request's orders: another one knows other words.
    turn_type = Turn

    def __init__(self, port):
        self.loop = asyncio.new_event_loop()
        # Hundreds of runs ask at once; a connection that the kernel drops looks to the client like a model that thinks.
        self.listening = self.loop.run_until_complete(
            self.loop.create_server(lambda: Connection(self), "127.0.0.1", port, backlog=1024))
        self.server_port = self.listening.sockets[0].getsockname()[1]
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def shutdown(self):
        asyncio.run_coroutine_threadsafe(self._end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    async def _end(self):
        self.listening.close()
        going_on = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in going_on:
            task.cancel()
        await asyncio.gather(*going_on, return_exceptions=True)


def start(port=0):
    """A server on its own thread; server.server_port is where."""
    return Server(port)


if __name__ == "__main__":
    running = start(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    print(f"listening {running.server_port}", flush=True)
    threading.Event().wait()
