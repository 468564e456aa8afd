"""Hostile bytes at the real listener: mutated requests on loopback, and after every few a harmless one that must be answered.

usage: http_fuzz.py GATEWAY [COUNT]      GATEWAY is gateway_with_fakes; COUNT (default 2000, or CARREL_FUZZ_RUNS / 10)

The same requests in every run (CARREL_FUZZ_SEED). Fails when the gateway dies, stops answering, keeps connections, answers
what is not HTTP, or grows by more than 64 MiB (AddressSanitizer keeps what is freed: with it, growth is not looked at).
"""

import json
import os
import pathlib
import random
import re
import select
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "conformance"))

import harness  # noqa: E402

GROWTH_MAX = 64 << 20
CANARY_EVERY = 50
WORDS = [b"\r\n", b"\r\n\r\n", b"\n", b"\0", b" ", b":", b"%00", b"%ff", b"/", b"//", b"/..", b"?", b"&", b"[]", b"Content-Length: 5",
         b"Content-Length: 99999999999", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Expect: 100-continue",
         b"Connection: close", b"Upgrade: h2c", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"POST", b"HEAD", b"X" * 5000, b"\xff\xfe",
         b"ffffffffffffffff\r\n", b"0\r\n\r\n", b"-1\r\n", b"{", b"[" * 300, b'"', b"\\u0000", b"null", b"1e999", b"--b", b"--b--",
         b'filename="../../etc/passwd"', b"assistants=v1", b"undefined"]


def seeds(key, thread, assistant):
    """One whole request for each kind of reading."""
    authorization = f"Authorization: Bearer {key}\r\n".encode()

    def request(method, path, body=None, *lines):
        head = f"{method} {path} HTTP/1.1\r\nHost: h\r\n".encode() + authorization + b"".join(line + b"\r\n" for line in lines)
        if body is not None and not any(b"chunked" in line for line in lines):
            head += b"Content-Length: %d\r\n" % len(body)
        return head + b"\r\n" + (body or b"")

    form = (b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nassistants\r\n'
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\ndata\r\n--b--\r\n')
    run = json.dumps({"assistant_id": assistant, "stream": True, "additional_messages": [{"role": "user", "content": "x"}]})
    return [
        request("GET", "/v1/assistants?limit=2&order=asc&after=asst_x"),
        request("GET", "/openai/threads?api-version=2024-02-15-preview"),
        request("POST", "/v1/threads", b'{"messages": [{"role": "user", "content": "hi"}]}', b"Content-Type: application/json"),
        request("POST", "/v1/threads", b"2\r\n{}\r\n0\r\n\r\n", b"Transfer-Encoding: chunked"),
        request("POST", "/v1/files", form, b"Content-Type: multipart/form-data; boundary=b"),
        request("POST", "/v1/threads", b"{}", b"Expect: 100-continue"),
        request("POST", f"/v1/threads/{thread}/runs", run.encode(), b"OpenAI-Beta: assistants=v2"),
        request("GET", f"/v1/threads/{thread}/messages?limit=1") + request("HEAD", "/healthz"),
        request("DELETE", "/v1/files/file-x", None, b"Connection: keep-alive"),
        request("POST", "/v1/assistants", b'{"model": "scripted", "tools": [{"type": "retrieval"}]}', b"OpenAI-Beta: assistants=v1"),
    ]


def mutate(random_, pool):
    data = bytearray(random_.choice(pool))
    for _ in range(random_.randint(1, 5)):
        at = random_.randint(0, len(data))
        kind = random_.randrange(6)
        if kind == 0 and at < len(data):
            data[at] = random_.randrange(256)
        elif kind == 1:
            del data[at:at + random_.randint(1, 20)]
        elif kind == 2:
            data[at:at] = random_.choice(WORDS)
        elif kind == 3:
            data[at:at + random_.randint(1, 12)] = random_.choice(WORDS)
        elif kind == 4:
            data[at:at] = data[at:at + random_.randint(1, 200)] * random_.randint(1, 5)
        elif random_.random() < 0.3:
            del data[at:]
    return bytes(data)


def send(address, data, random_):
    """All of it, perhaps in two pieces, perhaps half closed after; what comes back, for a moment."""
    with socket.create_connection(address, timeout=10) as connection:
        try:
            cut = random_.randint(0, len(data)) if random_.random() < 0.3 else len(data)
            connection.sendall(data[:cut])
            connection.sendall(data[cut:])
            if random_.random() < 0.7:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused before it was whole
        answer = b""
        while select.select([connection], [], [], 0.03)[0]:
            try:
                got = connection.recv(1 << 16)
            except OSError:
                break
            if not got:
                break
            answer += got
        return answer


def memory(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) * 1024


def connections(pid):
    return sum(os.readlink(link).startswith("socket:") for link in pathlib.Path(f"/proc/{pid}/fd").iterdir())


def main():
    count = int(sys.argv[2]) if len(sys.argv) > 2 else int(os.environ.get("CARREL_FUZZ_RUNS", 20_000)) // 10
    random_ = random.Random(int(os.environ.get("CARREL_FUZZ_SEED", 1)))
    server = harness.Running(sys.argv[1])
    host, port = server.direct.split(":")
    address = (host, int(port))
    ask = f"GET /v1/models HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAuthorization: Bearer {server.key}\r\n\r\n".encode()

    def canary(after):
        with socket.create_connection(address, timeout=10) as connection:
            connection.sendall(ask)
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
        assert answer.startswith(b"HTTP/1.1 200 "), (answer[:200], after)

    def make(path, body):
        return json.loads(send(address, f"POST {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {server.key}\r\n"
                               f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode(),
                               random.Random(0)).partition(b"\r\n\r\n")[2])["id"]

    try:
        canary("the start")
        pool = seeds(server.key, make("/v1/threads", "{}"), make("/v1/assistants", '{"model": "scripted"}'))
        warm, statuses = 0, {}
        for number in range(count):
            data = mutate(random_, pool)
            answer = send(address, data, random_)
            if answer:
                status = re.match(rb"HTTP/1\.[01] (\d{3}) ", answer)
                assert status, f"this is not HTTP: {answer[:200]!r}, to {data!r}"
                statuses[status[1].decode()] = statuses.get(status[1].decode(), 0) + 1
                assert status[1] != b"500", f"a server's error: {answer[:600]!r}, to {data!r}"
            if number % CANARY_EVERY == 0:
                canary(data)
                warm = warm or (memory(server.process.pid) if number >= count // 4 else 0)
        canary("the end")
        until = time.monotonic() + 20
        while (left := connections(server.process.pid)) > 20:
            assert time.monotonic() < until, f"{left} sockets are still open"
            time.sleep(0.2)
        grown = memory(server.process.pid) - warm
        sanitized = b"__asan_init" in pathlib.Path(sys.argv[1]).read_bytes()
        assert sanitized or grown < GROWTH_MAX, f"{grown} bytes more memory than after the first quarter"
        print(f"{count} requests, answered {dict(sorted(statuses.items()))}; {grown >> 20} MiB more than after a quarter of them")
    finally:
        server.stop(answers_min=0)


main()
