"""Stands between a client and the gateway, passes every byte on, and holds every answer against OpenAI's schemas.

usage: recorder.py GATEWAY_HOST:PORT        (prints "listening HOST:PORT")

Ends on SIGTERM, or when its standard input does, with a report as JSON: what was seen, by route, and what is wrong with
it. An answer is checked by the version that its request asked for (the header OpenAI-Beta, Azure's api-version, else v2),
against tests/testdata/openai/v1.json or v2.json; errors against the envelope; every event of a stream against the schema
of its name, and the stream against the order that clients insist on.
"""

import collections
import json
import pathlib
import re
import select
import signal
import socket
import sys
import threading
import time
import urllib.parse

import jsonschema

TESTDATA = pathlib.Path(__file__).parent.parent / "testdata" / "openai"
BASES = ("/openai/v1", "/openai", "/v1")
PROBLEMS_MAX = 50
RUN_IS_OVER = {"thread.run." + s for s in ("completed", "requires_action", "failed", "cancelled", "expired", "incomplete")}


class Schemas:
    """One version's routes and events."""

    def __init__(self, version):
        document = json.loads((TESTDATA / f"{version}.json").read_text())
        self.routes = []
        for route, schema in document["routes"].items():
            method, path = route.split()
            pattern = [None if s.startswith("{") else s for s in path.split("/")]
            self.routes.append((method, pattern, route, self.validator(schema, document)))
        # A word in the pattern is better than a place for an id.
        self.routes.sort(key=lambda r: sum(s is None for s in r[1]))
        self.events = {name: self.validator(schema, document) for name, schema in document["events"].items()}

    @staticmethod
    def validator(schema, document):
        return jsonschema.Draft202012Validator({**schema, "$defs": document["$defs"]})

    def route(self, method, path):
        segments = path.rstrip("/").split("/")
        for verb, pattern, name, validator in self.routes:
            if verb == method and len(pattern) == len(segments) and \
                    all(p is None or p == s for p, s in zip(pattern, segments)):
                return name, validator
        return None, None


ENVELOPE = jsonschema.Draft202012Validator({
    "type": "object", "required": ["error"], "additionalProperties": False,
    "properties": {"error": {
        "type": "object", "required": ["message", "type", "param", "code"], "additionalProperties": False,
        "properties": {"message": {"type": "string", "minLength": 1}, "param": {"type": ["string", "null"]},
                       "code": {"type": ["string", "null"]},
                       "type": {"enum": ["invalid_request_error", "server_error"]}}}}})


def deepest(error):
    """Of an anyOf that fits nowhere, what is wrong with the branch that fits best."""
    while error.context:
        error = min(error.context, key=lambda e: (e.validator in ("enum", "type") and len(e.relative_path) <= 1,
                                                  -len(e.absolute_path)))
    return error


def what_is_wrong(validator, value):
    for error in validator.iter_errors(value):
        error = deepest(error)
        yield f"{'/'.join(map(str, error.absolute_path)) or '(the whole)'}: {error.message[:300]}"


def without_carrel(value):
    """What Carrel adds on request is not OpenAI's."""
    if isinstance(value, dict):
        return {k: without_carrel(v) for k, v in value.items() if k != "x_carrel"}
    return [without_carrel(v) for v in value] if isinstance(value, list) else value


class Messages:
    """The HTTP messages in what one side sent."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def next(self, is_response, no_body=False):
        """(first line, headers, body, whole), or None when no whole head is left."""
        end = self.data.find(b"\r\n\r\n", self.at)
        if end < 0:
            return None
        lines = self.data[self.at:end].decode("latin-1").split("\r\n")
        headers = {k.lower().strip(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        self.at = end + 4
        if is_response and lines[0].split()[1].startswith("1"):
            return self.next(is_response, no_body)
        if no_body:
            return lines[0], headers, b"", True
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return (lines[0], headers, *self.chunks())
        length = int(headers.get("content-length", 0))
        body = self.data[self.at:self.at + length]
        self.at += length
        return lines[0], headers, body, len(body) == length

    def chunks(self):
        body = b""
        while (end := self.data.find(b"\r\n", self.at)) >= 0:
            size = int(self.data[self.at:end].split(b";")[0], 16)
            body += self.data[end + 2:end + 2 + size]
            self.at = end + 4 + size
            if size == 0:
                return body, True
        return body, False


def version_of(target, headers):
    beta = headers.get("openai-beta", "")
    if "assistants=v" in beta:
        return "v1" if "assistants=v1" in beta else "v2"
    asked = urllib.parse.parse_qs(urllib.parse.urlsplit(target).query).get("api-version", [""])[0]
    return "v1" if re.match(r"\d{4}-", asked) and asked[:10] < "2024-05-01" else "v2"


class Checker:
    def __init__(self):
        self.schemas = {version: Schemas(version) for version in ("v1", "v2")}
        self.routes, self.errors, self.events = (collections.Counter() for _ in range(3))
        self.problems = []

    def wrong(self, where, what):
        if len(self.problems) < PROBLEMS_MAX and f"{where}: {what}" not in self.problems:
            self.problems.append(f"{where}: {what}")

    def connection(self, asked, answered):
        requests, responses = Messages(asked), Messages(answered)
        while True:
            request = requests.next(False)
            method = request[0].split()[0] if request else ""
            response = responses.next(True, method == "HEAD")
            if response is None:
                return
            self.exchange(request or ("? ? ?", {}, b"", False), response)

    def exchange(self, request, response):
        method, target, _ = (request[0].split() + ["?"] * 3)[:3]
        head, headers, body, whole = response
        status, path = int(head.split()[1]), urllib.parse.urlsplit(target).path
        for base in BASES:
            if path.startswith(base + "/"):
                path = path[len(base):]
                break
        version = version_of(target, request[1])
        where = f"{version} {method} {re.sub(r'(_|file-)[0-9A-Za-z]{20,}', '_…', path)} -> {status}"
        if not re.fullmatch(r"req_[0-9a-zA-Z]{24,64}", headers.get("x-request-id", "")):
            self.wrong(where, f"x-request-id is {headers.get('x-request-id')!r}")
        kind = headers.get("content-type", "")
        if status >= 400:
            self.errors[f"{version} {status}"] += 1
            return self.json(where, ENVELOPE, body) if method != "HEAD" else None
        if method == "HEAD" or path.startswith(("/carrel", "/healthz", "/readyz")):
            return None
        name, validator = self.schemas[version].route(method, path)
        if name is None:  # what v1 did not have is answered as v2 does: stores, models
            name, validator = self.schemas["v2"].route(method, path)
        if path.endswith("/content") and kind == "application/octet-stream":
            self.routes[f"{version} GET content"] += 1
        elif name is None:
            self.wrong(where, "an answer on a route that OpenAI does not have")
        elif kind.startswith("text/event-stream"):
            self.routes[f"{version} {name} (stream)"] += 1
            self.stream(where, version, body, whole)
        elif kind != "application/json":
            self.wrong(where, f"Content-Type is {kind!r}")
        elif whole:
            self.routes[f"{version} {name}"] += 1
            self.json(where, validator, body, request[1].get("x-carrel") == "1")

    def json(self, where, validator, body, with_carrel=False):
        try:
            value = json.loads(body)
        except ValueError:
            return self.wrong(where, f"this is not JSON: {body[:200]!r}")
        for problem in what_is_wrong(validator, without_carrel(value) if with_carrel else value):
            self.wrong(where, problem)

    def stream(self, where, version, body, whole):
        frames = body.decode().split("\n\n")
        rest = frames.pop()
        if whole and rest:
            self.wrong(where, f"the stream ends within a frame: {rest[:200]!r}")
        order = Order()
        for frame in frames:
            if frame.startswith(":"):
                continue
            found = re.fullmatch(r"event: ([\w.]+)\ndata: (.*)", frame)
            if not found:
                self.wrong(where, f"this is not 'event: …' and one line 'data: …': {frame[:200]!r}")
                continue
            name, data = found.groups()
            self.events[f"{version} {name}"] += 1
            at = f"{where}, event {name}"
            if name == "error":
                self.json(at, ENVELOPE, data)
            elif name != "done":
                validator = self.schemas[version].events.get(name)
                if validator is None:
                    self.wrong(at, "there is no such event")
                else:
                    self.json(at, validator, data)
            elif data != "[DONE]":
                self.wrong(at, f"its data is {data!r}")
            problem = order.next(name, data)
            if problem:
                self.wrong(at, problem)
        if whole and order.end():
            self.wrong(where, order.end())


class Order:
    """What the clients' accumulators insist on."""

    def __init__(self):
        self.names, self.seen, self.open_message, self.parts = [], set(), None, {}

    def next(self, name, data):
        if self.names and self.names[-1] == "done":
            return "it comes after done"
        self.names.append(name)
        if name in ("done", "error"):
            return None
        identity = json.loads(data).get("id")
        if name in ("thread.message.created", "thread.run.step.created"):
            if identity in self.seen:
                return f"{identity} is created twice"
            self.seen.add(identity)
        elif name.startswith(("thread.message.", "thread.run.step.")) and name.endswith(".delta") \
                and identity not in self.seen:
            return f"{identity} has not been created"
        if name == "thread.message.created":
            if self.open_message:
                return f"{self.open_message} is still open"
            self.open_message = identity
        elif name == "thread.message.delta":
            if identity != self.open_message:
                return f"{identity} is not the open message"
            for part in json.loads(data)["delta"]["content"]:
                if part["index"] > self.parts.get(identity, -1) + 1:
                    return f"content index {part['index']} leaves a gap"
                self.parts[identity] = max(part["index"], self.parts.get(identity, -1))
        elif name in ("thread.message.completed", "thread.message.incomplete"):
            self.open_message = None
        return None

    def end(self):
        if self.names[-1:] == ["error"]:
            return None
        if self.names[-1:] != ["done"]:
            return f"the stream ends with {self.names[-3:]}"
        return None if self.names[-2] in RUN_IS_OVER else f"before done comes {self.names[-2]}, which does not end a run"


class Proxy:
    def __init__(self, upstream):
        host, port = upstream.rsplit(":", 1)
        self.upstream = (host, int(port))
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.lock, self.recorded = threading.Lock(), []

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.connection, args=(client,), daemon=True).start()

    def connection(self, client):
        server = socket.create_connection(self.upstream)
        record = (bytearray(), bytearray())
        with self.lock:
            self.recorded.append(record)
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        other = {client: (server, record[0]), server: (client, record[1])}
        reading = [client, server]
        try:
            while reading:
                for end in select.select(reading, [], [])[0]:
                    data = end.recv(1 << 18)
                    to, kept = other[end]
                    kept += data
                    if data:
                        to.sendall(data)
                    else:
                        reading.remove(end)
                        to.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # one side is gone, so is the connection
        client.close()
        server.close()


def main():
    proxy = Proxy(sys.argv[1])
    signal.signal(signal.SIGTERM, lambda *_: proxy.listener.shutdown(socket.SHUT_RDWR))
    threading.Thread(target=lambda: (sys.stdin.read(), proxy.listener.shutdown(socket.SHUT_RDWR)), daemon=True).start()
    print(f"listening 127.0.0.1:{proxy.listener.getsockname()[1]}", flush=True)
    proxy.run()
    time.sleep(0.1)
    checker = Checker()
    with proxy.lock:
        for asked, answered in proxy.recorded:
            checker.connection(bytes(asked), bytes(answered))
    json.dump({"routes": checker.routes, "events": checker.events, "errors": checker.errors,
               "problems": checker.problems}, sys.stdout)


if __name__ == "__main__":
    main()
