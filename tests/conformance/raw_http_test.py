"""HTTP itself, and lists: what no client library sends on purpose, and what the worst of them do.

usage: raw_http_test.py GATEWAY [unittest arguments]      GATEWAY is gateway_with_fakes

Limits that are named here are those of gateway/http/include/gateway/http/server.h.
"""

import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import re
import socket
import sys
import threading
import time
import unittest

import harness

GATEWAY = sys.argv[1]
MIB = 1 << 20
FILE_BYTES_MAX = 512 * MIB


def setUpModule():
    global server
    server = harness.Running(GATEWAY)


def tearDownModule():
    server.stop(answers_min=0)  # most of it goes past the recorder


def connect():
    # Not through the recorder: it would read for a peer that does not.
    host, port = server.direct.split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def head(method, path, *lines, key=None):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: h", f"Authorization: Bearer {key or server.key}", *lines, "", ""]).encode()


class Reply:
    """One answer off a socket's file."""

    def __init__(self, file, has_body=True):
        line = file.readline()
        self.status = int(line.split()[1]) if line else None  # None: closed
        self.headers, self.body = {}, b""
        while line and (line := file.readline().strip()):
            name, _, value = line.decode().partition(":")
            self.headers[name.lower()] = value.strip()
        if not has_body or self.status is None or self.status < 200:
            return
        if self.headers.get("transfer-encoding") == "chunked":
            while size := int(file.readline(), 16):
                self.body += file.read(size)
                file.readline()
            file.readline()
        else:
            self.body = file.read(int(self.headers["content-length"]))

    @property
    def json(self):
        return json.loads(self.body)


def exchange(*requests, end=False, no_body=()):
    """Sends the requests' bytes at once; the answer to each."""
    with connect() as connection, connection.makefile("rb") as file:
        connection.sendall(b"".join(requests))
        if end:
            connection.shutdown(socket.SHUT_WR)
        return [Reply(file, i not in no_body) for i in range(len(requests))]


def ask(method, path, body=None, **headers):
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{k.replace('_', '-')}: {v}" for k, v in headers.items()]
    return exchange(head(method, path, f"Content-Length: {len(data)}", *lines) + data)[0]


def memory(what="VmRSS"):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(rf"^{what}:\s+(\d+)", status, re.M)[1]) * 1024


def sockets():
    count = 0
    for link in pathlib.Path(f"/proc/{server.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            count += os.readlink(link).startswith("socket:")
    return count


def forget_peak():
    with open(f"/proc/{server.process.pid}/clear_refs", "w") as file:
        file.write("5")


class Alive(unittest.TestCase):
    def tearDown(self):
        self.assertEqual(exchange(head("GET", "/v1/models"))[0].status, 200, "the gateway does not answer any more")


class Messages(Alive):
    def test_many_at_once(self):
        """Pipelined: answered in order, on one connection."""
        create = b'{"model": "m", "name": "pipelined"}'
        replies = exchange(
            head("GET", "/v1/models"),
            head("POST", "/v1/assistants", f"Content-Length: {len(create)}") + create,
            head("GET", "/v1/nope"),
            head("POST", "/v1/threads", "Transfer-Encoding: chunked") + b"2;x=y\r\n{}\r\n0\r\nTrailer: t\r\n\r\n",
            head("GET", "/healthz", "Connection: close"))
        self.assertEqual([r.status for r in replies], [200, 200, 404, 200, 200])
        self.assertEqual([replies[1].json["name"], replies[3].json["object"]], ["pipelined", "thread"])
        self.assertEqual(len({r.headers["x-request-id"] for r in replies}), 5)

    def test_a_client_that_has_said_all(self):
        """Half closed: it is still answered, streams too."""
        self.assertEqual(exchange(head("GET", "/v1/models"), end=True)[0].status, 200)
        made = ask("POST", "/v1/assistants", {"model": "scripted"}).json["id"]
        body = json.dumps({"assistant_id": made, "stream": True,
                           "thread": {"messages": [{"role": "user", "content": "say all the words"}]}}).encode()
        reply = exchange(head("POST", "/v1/threads/runs", f"Content-Length: {len(body)}") + body, end=True)[0]
        self.assertTrue(reply.body.endswith(b"event: done\ndata: [DONE]\n\n"), reply.body[-200:])

    def test_head(self):
        """As GET, without the body; and the next answer is not taken for one."""
        got, asked, after = exchange(head("GET", "/v1/models"), head("HEAD", "/v1/models"), head("GET", "/healthz"),
                                     no_body=(1,))
        self.assertEqual((asked.status, asked.headers["content-length"]), (200, got.headers["content-length"]))
        self.assertEqual(after.json, {"status": "ok"})
        missing, after = exchange(head("HEAD", "/v1/files/file-x"), head("GET", "/healthz"), no_body=(0,))
        self.assertEqual((missing.status, after.status), (404, 200))

    def test_methods(self):
        for method, path, allowed in (("OPTIONS", "/v1/files", "POST, GET"), ("PUT", "/v1/threads/thread_x", "GET, POST, DELETE"),
                                      ("TRACE", "/v1/models", "GET"), ("BREW", "/v1/threads", "POST")):
            reply = ask(method, path)
            self.assertEqual((reply.status, reply.headers.get("allow")), (405, allowed), method)
            self.assertEqual(reply.json["error"]["message"], f"Not allowed to {method} on {path}.")

    def test_what_is_not_http(self):
        get = f"GET /v1/models HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {server.key}\r\n"
        for raw in (b"GARBAGE\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100 + b"\r\n\r\n",
                    b"GET  HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"G@T / HTTP/1.1\r\n\r\n",
                    get.encode() + b"Bad Name: x\r\n\r\n", get.encode() + b"Content-Length: -5\r\n\r\n",
                    get.encode() + b"Content-Length: 99999999999999999999\r\n\r\n",
                    # Two lengths: what one reader takes for a body, another takes for the next request.
                    get.encode() + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
                    get.encode() + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"):
            with connect() as connection, connection.makefile("rb") as file:
                connection.sendall(raw)
                reply = Reply(file)
                self.assertEqual(reply.status, 400, raw)
                self.assertEqual(reply.json["error"]["type"], "invalid_request_error")
                self.assertEqual(Reply(file).status, None, "the connection is not closed")

    def test_headers_that_are_too_long(self):
        for lines in (["X-Long: " + "x" * 20_000], [f"X-{i}: y" for i in range(4000)]):
            reply = exchange(head("GET", "/v1/models", *lines))[0]
            self.assertEqual((reply.status, reply.json["error"]["message"]),
                             (431, "The request's headers are longer than 16384 bytes."))
        self.assertEqual(exchange(head("GET", "/v1/models?x=" + "y" * 20_000))[0].status, 431)
        self.assertEqual(exchange(head("GET", "/v1/models", "X-Long: " + "x" * 15_000))[0].status, 200)

    def test_http_1_0(self):
        with connect() as connection, connection.makefile("rb") as file:
            connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            self.assertEqual(Reply(file).json, {"status": "ok"})
            self.assertEqual(file.read(), b"")


class Bodies(Alive):
    def test_expecting_to_be_told(self):
        """Expect: 100-continue, as curl sends it with what is large."""
        with connect() as connection, connection.makefile("rb") as file:
            connection.sendall(head("POST", "/v1/threads", "Content-Length: 2", "Expect: 100-continue"))
            self.assertEqual(Reply(file).status, 100)
            connection.sendall(b"{}")
            self.assertEqual(Reply(file).status, 200)
        for key, path, status in (("sk-nobody", "/v1/threads", 401), (None, "/v1/nope", 404)):
            with connect() as connection, connection.makefile("rb") as file:
                began = time.monotonic()
                connection.sendall(head("POST", path, "Content-Length: 2", "Expect: 100-continue", key=key))
                self.assertEqual(Reply(file).status, status)
                self.assertLess(time.monotonic() - began, 10, "it was waited for a body that was not asked for")

    def test_content_types(self):
        """A body is read as JSON whatever it is called: curl -d calls it a form."""
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8", "nonsense", ""):
            self.assertEqual(ask("POST", "/v1/threads", {}, Content_Type=kind).status, 200, kind)
        reply = ask("POST", "/v1/threads", b"a=b&c=d", Content_Type="application/x-www-form-urlencoded")
        self.assertEqual(reply.json["error"]["message"],
                         "We could not parse the JSON body of your request: the body is not valid JSON.")
        for kind in ("application/json", "multipart/form-data", "multipart/mixed; boundary=b", "multipart/form-data; boundary="):
            self.assertEqual(ask("POST", "/v1/files", b"--b--", Content_Type=kind).status, 400, kind)

    def test_compressed(self):
        reply = ask("POST", "/v1/threads", b"\x1f\x8b\x08\x00", Content_Encoding="gzip")
        self.assertEqual((reply.status, reply.json["error"]["message"]),
                         (400, "Bodies with Content-Encoding 'gzip' are not read. Send the body as it is."))
        self.assertEqual(ask("POST", "/v1/threads", {}, Content_Encoding="identity").status, 200)

    def test_bodies_that_cost_more_than_they_weigh(self):
        """Depth that eats a stack, and values that eat memory."""
        forget_peak()
        before = memory("VmHWM")
        for body, words in ((b"[" * 100_000, "nested more than 128 deep"), (b'{"a":' * 200 + b"1" + b"}" * 200, "nested"),
                            (b'{"metadata":[' + b"[]," * 3_000_000 + b"[]]}", "more than 250000 values")):
            reply = ask("POST", "/v1/threads", body)
            self.assertEqual(reply.status, 400)
            self.assertIn(words, reply.json["error"]["message"])
        self.assertLess(memory("VmHWM") - before, 64 * MIB)

    def test_too_large_is_told_while_it_is_sent(self):
        """The client can read why, though it sends on for a while."""
        for lines, unit in (([f"Content-Length: {40 * MIB}"], b"x" * MIB),
                            (["Transfer-Encoding: chunked"], b"100000\r\n" + b"x" * MIB + b"\r\n")):
            with connect() as connection, connection.makefile("rb") as file:
                connection.sendall(head("POST", "/v1/threads", *lines))
                try:
                    for _ in range(40):
                        connection.sendall(unit)
                except OSError:
                    self.fail("the connection was reset before the client had read its answer")
                reply = Reply(file)
                self.assertEqual((reply.status, reply.json["error"]["code"]), (413, "request_too_large"))

    def test_forms_of_a_thousand_parts(self):
        """Names without number, each kept: they are counted."""
        part = '--b\r\nContent-Disposition: form-data; name="{}"\r\n\r\n\r\n'
        for names in ((str(i) for i in range(100_000)), (f"{i}" + "n" * 10_000 for i in range(60))):
            body = "".join(part.format(name) for name in names).encode() + b"--b--\r\n"
            reply = ask("POST", "/v1/files", body, Content_Type="multipart/form-data; boundary=b")
            self.assertEqual(reply.status, 400, reply.body)
            self.assertIn("at most 64 parts", reply.json["error"]["message"])

    def test_clients_that_go_in_the_midst_of_a_body(self):
        """Their connections are closed at once, not when a time-out says so."""
        before = sockets()
        connections = []
        for i in range(40):
            connections.append(connect())
            lines = ["Content-Length: 50" if i % 2 else "Transfer-Encoding: chunked"]
            connections[-1].sendall(head("POST", "/v1/threads", *lines) + b'5\r\n{"met')
        time.sleep(0.3)  # what they have sent is read, and more is waited for
        for connection in connections:
            connection.close()
        until = time.monotonic() + 10
        while sockets() > before + 5:
            self.assertLess(time.monotonic(), until, f"{sockets()} sockets, before {before}")
            time.sleep(0.05)

    def test_a_body_byte_by_byte(self):
        body = b'{"metadata": {"slow": "yes"}}'
        with connect() as connection, connection.makefile("rb") as file:
            for byte in head("POST", "/v1/threads", f"Content-Length: {len(body)}") + body:
                connection.sendall(bytes([byte]))
            self.assertEqual(Reply(file).json["metadata"], {"slow": "yes"})


class Large(Alive):
    PREFIX = (b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nassistants\r\n'
              b'--b\r\nContent-Disposition: form-data; name="file"; filename="large.bin"\r\n\r\n')
    SUFFIX = b"\r\n--b--\r\n"

    def upload(self, size, chunked):
        block = bytes(range(256)) * 4096
        length = len(self.PREFIX) + size + len(self.SUFFIX)
        lines = ["Content-Type: multipart/form-data; boundary=b",
                 "Transfer-Encoding: chunked" if chunked else f"Content-Length: {length}"]
        with connect() as connection, connection.makefile("rb") as file:
            def send(data):
                connection.sendall(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
            connection.sendall(head("POST", "/v1/files", *lines))
            send(self.PREFIX)
            for _ in range(size // MIB):
                send(block)
            if size % MIB:
                send(block[:size % MIB])
            send(self.SUFFIX)
            if chunked:
                connection.sendall(b"0\r\n\r\n")
            return Reply(file)

    def test_512_mib_up_and_down_in_constant_memory(self):
        forget_peak()
        before = memory("VmHWM")
        reply = self.upload(FILE_BYTES_MAX, chunked=True)
        self.assertEqual((reply.status, reply.json.get("bytes")), (200, FILE_BYTES_MAX), reply.body)
        path = "/v1/files/" + reply.json["id"]
        wanted, got = hashlib.sha256(), hashlib.sha256()
        for _ in range(FILE_BYTES_MAX // MIB):
            wanted.update(bytes(range(256)) * 4096)
        connection = http.client.HTTPConnection(server.direct, timeout=60)
        connection.request("GET", path + "/content", headers={"Authorization": "Bearer " + server.key})
        answer = connection.getresponse()
        while data := answer.read(MIB):
            got.update(data)
        connection.close()
        self.assertEqual(got.digest(), wanted.digest())
        grown = memory("VmHWM") - before
        print(f"512 MiB up and down: {grown / MIB:.1f} MiB more memory at most", file=sys.stderr)
        self.assertLess(grown, 32 * MIB)
        self.assertEqual(ask("DELETE", path).status, 200)

    def test_one_byte_more(self):
        reply = self.upload(FILE_BYTES_MAX + 1, chunked=False)
        self.assertEqual((reply.status, reply.json["error"]["message"]),
                         (413, f"The request is too large: at most {FILE_BYTES_MAX} bytes are read."))

    def test_readers_that_do_not_read(self):
        """They hold their connection, nothing else: not memory, not others, not their runs."""
        file = self.upload(64 * MIB, chunked=False).json["id"]
        made = ask("POST", "/v1/assistants", {"model": "scripted"}).json["id"]
        thread = ask("POST", "/v1/threads", {"messages": [{"role": "user", "content": "words 20000"}]}).json["id"]
        before = memory()
        sleepers = [connect() for _ in range(20)]
        try:
            for sleeper in sleepers:
                sleeper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sleeper.sendall(head("GET", f"/v1/files/{file}/content"))
            body = json.dumps({"assistant_id": made, "stream": True}).encode()
            sleepers.append(connect())
            sleepers[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sleepers[-1].sendall(head("POST", f"/v1/threads/{thread}/runs", f"Content-Length: {len(body)}") + body)
            until = time.monotonic() + 60
            while True:
                runs = ask("GET", f"/v1/threads/{thread}/runs").json["data"]
                if runs and runs[0]["status"] == "completed":
                    break
                self.assertLess(time.monotonic(), until, runs)
                time.sleep(0.05)
            self.assertLess(memory() - before, 64 * MIB)
        finally:
            for sleeper in sleepers:
                sleeper.close()


class Lists(Alive):
    def setUp(self):
        self.thread = ask("POST", "/v1/threads").json["id"]
        self.path = f"/v1/threads/{self.thread}/messages"
        self.made = [ask("POST", self.path, {"role": "user", "content": f"m{i}"}).json["id"] for i in range(7)]

    def page(self, query):
        answer = ask("GET", f"{self.path}?{query}").json
        self.assertEqual(answer["object"], "list")
        ids = [m["id"] for m in answer["data"]]
        self.assertEqual((answer["first_id"], answer["last_id"]), (ids[0], ids[-1]) if ids else (None, None))
        return ids, answer["has_more"]

    def test_order_and_limits(self):
        made, newest = self.made, self.made[::-1]
        for query, expected in (
            ("", (newest, False)), ("order=asc", (made, False)), ("order=desc&limit=100", (newest, False)),
            ("limit=1", (newest[:1], True)), ("limit=7", (newest, False)), ("limit=6", (newest[:6], True)),
            (f"after={newest[2]}&limit=2", (newest[3:5], True)), (f"after={newest[-1]}", ([], False)),
            (f"order=asc&after={made[4]}", (made[5:], False)),
            # The page before an object is the one next to it, in the list's order.
            (f"before={newest[5]}&limit=2", (newest[3:5], True)), (f"before={newest[0]}", ([], False)),
            (f"order=asc&before={made[2]}", (made[:2], False)),
            (f"after={newest[1]}&before={newest[5]}", (newest[2:5], False)),
            (f"after={newest[1]}&before={newest[5]}&limit=1", (newest[2:3], True)),
            (f"after={newest[5]}&before={newest[1]}", ([], False)),
        ):
            self.assertEqual(self.page(query), expected, query)

    def test_limits_that_are_none(self):
        for query, param in (("limit=0", "limit"), ("limit=101", "limit"), ("limit=-1", "limit"), ("limit=x", "limit"),
                             ("limit=1.5", "limit"), ("limit=99999999999999999999", "limit"), ("order=up", "order"),
                             ("after=msg_nobody", "after"), ("before=msg_nobody", "before"), ("after=%00%ff", "after")):
            reply = ask("GET", f"{self.path}?{query}")
            self.assertEqual((reply.status, reply.json["error"]["param"]), (400, param), query)

    def test_a_cursor_whose_object_is_gone(self):
        """People delete while they page."""
        for id in self.made[2:5]:
            self.assertEqual(ask("DELETE", f"{self.path}/{id}").status, 200)
        self.assertEqual(self.page(f"order=asc&after={self.made[3]}"), (self.made[5:], False))
        self.assertEqual(self.page(f"order=asc&before={self.made[3]}"), (self.made[:2], False))
        other = ask("POST", "/v1/threads").json["id"]
        self.assertEqual(ask("GET", f"/v1/threads/{other}/messages?after={self.made[3]}").json["data"], [])

    def test_clients_that_ask_until_a_page_is_empty(self):
        """Those before has_more: with the last id, again and again, while others add."""
        seen, after = [], ""
        for _ in range(20):
            ids, _ = self.page("order=asc&limit=3" + (f"&after={after}" if after else ""))
            if not ids:
                break
            seen += ids
            after = ids[-1]
        self.assertEqual((seen, ids), (self.made, []))

    def test_v1s_files_page_alike(self):
        v1 = {"OpenAI_Beta": "assistants=v1"}
        form = (b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nassistants\r\n'
                b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nx\r\n--b--\r\n')
        files = [ask("POST", "/v1/files", form, Content_Type="multipart/form-data; boundary=b").json["id"] for _ in range(5)]
        made = ask("POST", "/v1/assistants", {"model": "m", "file_ids": files}, **v1).json
        self.assertEqual(made["file_ids"], files)
        for query, expected, more in (("order=asc&limit=2", files[:2], True), (f"order=asc&after={files[3]}", files[4:], False),
                                      (f"order=asc&before={files[4]}&limit=2", files[2:4], True),
                                      (f"limit=2&after={files[3]}", files[2:0:-1], True)):
            answer = ask("GET", f"/v1/assistants/{made['id']}/files?{query}", **v1).json
            self.assertEqual(([f["id"] for f in answer["data"]], answer["has_more"]), (expected, more), query)


class Retries(Alive):
    def test_what_a_client_repeats_does_no_harm(self):
        """Deleting and cancelling twice, and outputs that were taken already, are told apart from what never was."""
        thread = ask("POST", "/v1/threads").json["id"]
        self.assertEqual([ask("DELETE", f"/v1/threads/{thread}").status for _ in range(2)], [200, 404])
        made = ask("POST", "/v1/assistants", {"model": "scripted"}).json["id"]
        thread = ask("POST", "/v1/threads", {"messages": [{"role": "user", "content": "hold\nsay one two"}]}).json["id"]
        run = ask("POST", f"/v1/threads/{thread}/runs", {"assistant_id": made}, Idempotency_Key="stainless-node-retry-1").json["id"]
        again = ask("POST", f"/v1/threads/{thread}/runs", {"assistant_id": made}, Idempotency_Key="stainless-node-retry-1")
        self.assertEqual((again.status, again.json["error"]["message"]),
                         (400, f"Thread {thread} already has an active run {run}."))
        first = ask("POST", f"/v1/threads/{thread}/runs/{run}/cancel")
        self.assertIn(first.json["status"], ("cancelling", "cancelled"))
        until = time.monotonic() + 20
        while ask("GET", f"/v1/threads/{thread}/runs/{run}").json["status"] != "cancelled":
            self.assertLess(time.monotonic(), until)
            time.sleep(0.02)
        self.assertEqual(ask("POST", f"/v1/threads/{thread}/runs/{run}/cancel").json["error"]["message"],
                         "Cannot cancel run with status 'cancelled'.")

    def test_many_at_once_on_one_thread(self):
        """One of them gets the thread, the others are told who has it: never two runs."""
        made = ask("POST", "/v1/assistants", {"model": "scripted"}).json["id"]
        thread = ask("POST", "/v1/threads", {"messages": [{"role": "user", "content": "wait 1\nsay x"}]}).json["id"]
        statuses = []
        tries = [threading.Thread(target=lambda: statuses.append(
            ask("POST", f"/v1/threads/{thread}/runs", {"assistant_id": made}).status)) for _ in range(16)]
        for one in tries:
            one.start()
        for one in tries:
            one.join()
        self.assertEqual(sorted(statuses), [200] + [400] * 15)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
