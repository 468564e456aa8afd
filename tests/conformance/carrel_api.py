"""What the gateway's HTTP API has beside assistants: containers, uploads, Carrel's own additions, and the walls between
projects, over bare HTTP and, where it has the call, with an official client.

usage: carrel_api.py GATEWAY CLIENT_DIR [unittest arguments]

GATEWAY is gateway_with_fakes; CLIENT_DIR holds a version of `openai` that knows containers. Exits with 1 when it is not
there.
"""

import hashlib
import http.client
import io
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

GATEWAY, CLIENT_DIR = sys.argv[1:3]
if not os.path.isdir(CLIENT_DIR):
    sys.exit(f"{CLIENT_DIR} is not there; ./dev setup installs the clients")
sys.path.insert(0, CLIENT_DIR)
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))

import openai  # noqa: E402
import scripted_model  # noqa: E402


def setUpModule():
    global directory, model, process, address, key, client
    directory = tempfile.TemporaryDirectory(prefix="carrel-")
    model = scripted_model.start()
    process = subprocess.Popen([GATEWAY, directory.name, f"http://127.0.0.1:{model.server_port}/v1"],
                               stdout=subprocess.PIPE, text=True)
    address = process.stdout.readline().split()[1]
    key = process.stdout.readline().split()[1]
    client = openai.OpenAI(base_url=f"http://{address}/v1", api_key=key, max_retries=0)


def tearDownModule():
    process.terminate()
    process.wait(20)
    process.stdout.close()
    model.shutdown()
    directory.cleanup()


def ask(method, path, body=None, by=None, **headers):
    """Status and answer; `body` is JSON unless it is bytes."""
    if body is not None and not isinstance(body, bytes):
        body, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
    connection = http.client.HTTPConnection(address, timeout=20)
    connection.request(method, path, body, {"Authorization": f"Bearer {by or key}", **headers})
    response = connection.getresponse()
    text = response.read()
    connection.close()
    if response.getheader("Content-Type") == "application/octet-stream":
        return response.status, text
    return response.status, json.loads(text)


def form(part, data, filename="part.bin"):
    """A multipart body with one file, and its header."""
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{part}"; filename="{filename}"\r\n\r\n'
    return head.encode() + data + f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def upload_file(name, data):
    return client.files.create(file=(name, io.BytesIO(data)), purpose="assistants")


def admin(method, path):
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(directory.name + "/admin.sock")
    connection.request(method, path)
    return json.loads(connection.getresponse().read())


class Containers(unittest.TestCase):
    def test_a_containers_life(self):
        file = upload_file("table.csv", b"1,2")
        made = client.containers.create(name="c", file_ids=[file.id],
                                        expires_after={"anchor": "last_active_at", "minutes": 5})
        self.assertRegex(made.id, "^cntr_[0-9a-f]{32}$")
        self.assertEqual((made.object, made.status, made.name, made.expires_after.minutes),
                         ("container", "running", "c", 5))
        self.assertEqual(client.containers.retrieve(made.id).id, made.id)
        self.assertIn(made.id, [c.id for c in client.containers.list()])
        files = client.containers.files.list(made.id).data
        self.assertEqual([(f.path, f.bytes, f.source) for f in files],
                         [(f"/mnt/data/{file.id}-table.csv", 3, "user")])
        client.containers.delete(made.id)
        with self.assertRaises(openai.NotFoundError) as caught:
            client.containers.retrieve(made.id)
        self.assertIn(f"No container found with id '{made.id}'.", str(caught.exception))

    def test_files_go_in_and_out(self):
        container = client.containers.create(name="files").id
        data = os.urandom(300_000)
        sent = client.containers.files.create(container, file=("na\u00efve name.bin", io.BytesIO(data)))
        self.assertRegex(sent.path, "^/mnt/data/[0-9a-f]{32}-na\u00efve name.bin$")
        self.assertEqual((sent.bytes, sent.container_id, sent.source), (len(data), container, "user"))
        self.assertEqual(client.containers.files.content.retrieve(sent.id, container_id=container).read(), data)
        named = client.containers.files.create(container, file_id=upload_file("b.txt", b"b").id)
        self.assertEqual(client.containers.files.retrieve(named.id, container_id=container).path, named.path)
        listed = client.containers.files.list(container, limit=1, order="asc")
        self.assertEqual(len(list(listed)), 2, "pages are followed")
        client.containers.files.delete(sent.id, container_id=container)
        with self.assertRaises(openai.NotFoundError):
            client.containers.files.retrieve(sent.id, container_id=container)

    def test_what_a_container_cannot_be(self):
        for body, param in (
            ({}, "name"),
            ({"name": "x" * 257}, "name"),
            ({"name": "c", "memory_limit": "64g"}, "memory_limit"),
            ({"name": "c", "network_policy": {"type": "allowlist", "allowed_domains": ["a.b"]}}, None),
            ({"name": "c", "skills": [{"type": "skill_reference", "skill_id": "s"}]}, "skills"),
            ({"name": "c", "expires_after": {"anchor": "created_at", "minutes": 5}}, "expires_after.anchor"),
            ({"name": "c", "unknown": 1}, "unknown"),
        ):
            status, answer = ask("POST", "/v1/containers", body)
            self.assertEqual((status, answer["error"]["type"]), (400, "invalid_request_error"), body)
            if param:
                self.assertEqual(answer["error"]["param"], param, body)
        self.assertEqual(ask("POST", "/v1/containers", {"name": "c", "file_ids": ["file-none"]})[0], 404)
        container = client.containers.create(name="c").id
        self.assertEqual(ask("POST", f"/v1/containers/{container}/files", {"file_id": "file-none"})[0], 404)
        body, kind = form("other", b"x")
        self.assertEqual(ask("POST", f"/v1/containers/{container}/files", body, **{"Content-Type": kind})[0], 400)

    def test_containers_are_found_by_name(self):
        one = client.containers.create(name="one of a kind").id
        self.assertEqual([c["id"] for c in ask("GET", "/v1/containers?name=one+of+a+kind")[1]["data"]], [one])


class Uploads(unittest.TestCase):
    def begin(self, data, **more):
        return ask("POST", "/v1/uploads", {"filename": "u.txt", "purpose": "assistants", "bytes": len(data),
                                           "mime_type": "text/plain", **more})[1]

    def part(self, upload, data, by=None):
        body, kind = form("data", data)
        return ask("POST", f"/v1/uploads/{upload}/parts", body, by, **{"Content-Type": kind})

    def test_parts_become_a_file(self):
        data = os.urandom(5_000_000)
        done = client.uploads.upload_file_chunked(
            file=data, filename="u.txt", bytes=len(data), mime_type="text/plain", purpose="assistants",
            part_size=2_000_000, md5=hashlib.md5(data).hexdigest())
        self.assertEqual((done.status, done.file.bytes, done.file.filename, done.file.purpose),
                         ("completed", len(data), "u.txt", "assistants"))
        self.assertEqual(client.files.content(done.file.id).read(), data)

    def test_the_order_is_the_clients(self):
        upload = self.begin(b"hello world")
        self.assertEqual((upload["object"], upload["status"], upload["file"]), ("upload", "pending", None))
        self.assertEqual(upload["expires_at"] - upload["created_at"], 3600)
        second, first = [self.part(upload["id"], data)[1] for data in (b" world", b"hello")]
        self.assertEqual((first["object"], first["upload_id"]), ("upload.part", upload["id"]))
        status, done = ask("POST", f"/v1/uploads/{upload['id']}/complete", {"part_ids": [first["id"], second["id"]]})
        self.assertEqual(status, 200, done)
        self.assertEqual(ask("GET", f"/v1/files/{done['file']['id']}/content")[1], b"hello world")
        for path, body in (("complete", {"part_ids": [first["id"]]}), ("cancel", {})):
            status, answer = ask("POST", f"/v1/uploads/{upload['id']}/{path}", body)
            self.assertEqual(status, 400)
            self.assertIn("is completed, not pending", answer["error"]["message"])
        self.assertEqual(self.part(upload["id"], b"late")[0], 400)

    def test_what_does_not_fit_is_refused(self):
        upload = self.begin(b"12345")["id"]
        part = self.part(upload, b"1234")[1]["id"]
        for body, words in (
            ({"part_ids": [part]}, "4 bytes together, but the upload was begun for 5"),
            ({"part_ids": []}, "array too short"),
            ({"part_ids": ["part_none"]}, "No upload part found"),
            ({}, "Missing required parameter: 'part_ids'"),
        ):
            status, answer = ask("POST", f"/v1/uploads/{upload}/complete", body)
            self.assertIn(status, (400, 404))
            self.assertIn(words, answer["error"]["message"])
        rest = self.part(upload, b"5")[1]["id"]
        status, answer = ask("POST", f"/v1/uploads/{upload}/complete", {"part_ids": [part, rest], "md5": "0" * 32})
        self.assertEqual((status, answer["error"]["param"]), (400, "md5"))
        for more, param in (({"bytes": 9 << 30}, "bytes"), ({"purpose": "world_domination"}, "purpose"),
                            ({"expires_after": {"anchor": "created_at", "seconds": 1}}, "expires_after.seconds")):
            self.assertEqual(self.begin(b"x", **more)["error"]["param"], param)
        self.assertEqual(ask("POST", "/v1/uploads/upload_none/cancel", {})[0], 404)
        body, kind = form("file", b"x")
        self.assertEqual(ask("POST", f"/v1/uploads/{upload}/parts", body, **{"Content-Type": kind})[1]["error"]["param"],
                         "data")

    def test_parts_without_end_are_refused(self):
        """Attack: parts fill the disk, one too large or too many of them."""
        upload = self.begin(b"1")["id"]
        connection = http.client.HTTPConnection(address, timeout=20)
        connection.putrequest("POST", f"/v1/uploads/{upload}/parts")
        for name, value in (("Authorization", f"Bearer {key}"), ("Content-Length", str(100 << 20)),
                            ("Content-Type", "multipart/form-data; boundary=q")):
            connection.putheader(name, value)
        connection.endheaders()
        connection.sock.shutdown(socket.SHUT_WR)
        self.assertEqual(connection.getresponse().status, 413)
        connection.close()
        self.assertEqual(self.part(upload, b"\0" * (33 << 20))[0], 200)
        status, answer = self.part(upload, b"\0" * (33 << 20))
        self.assertEqual(status, 400, answer)
        self.assertIn("takes 1 bytes", answer["error"]["message"])

    def test_cancelled_parts_are_gone(self):
        upload = self.begin(b"12")["id"]
        data = os.urandom(2)
        self.part(upload, data)
        blobs = lambda: {p.name for p in pathlib.Path(directory.name, "files").rglob("*") if p.is_file()}  # noqa: E731
        name = hashlib.sha256(data).hexdigest()
        self.assertTrue(any(name in blob or name.endswith(blob) for blob in blobs()))
        self.assertEqual(ask("POST", f"/v1/uploads/{upload}/cancel", {})[1]["status"], "cancelled")
        self.assertFalse(any(name in blob or name.endswith(blob) for blob in blobs()))


class More(unittest.TestCase):
    def store_with(self, text):
        file = upload_file("manual.txt", text.encode())
        store = ask("POST", "/v1/vector_stores", {"file_ids": [file.id]})[1]["id"]
        until = time.monotonic() + 20
        while ask("GET", f"/v1/vector_stores/{store}")[1]["status"] != "completed":
            self.assertLess(time.monotonic(), until)
            time.sleep(0.05)
        return store, file.id

    def test_more_is_said_to_those_who_ask(self):
        store, file = self.store_with("The pump is noisy.")
        plain = ask("POST", f"/v1/vector_stores/{store}/search", {"query": "noisy pump"})[1]
        more = ask("POST", f"/v1/vector_stores/{store}/search", {"query": "noisy pump"}, **{"X-Carrel": "1"})[1]
        self.assertNotIn("x_carrel", plain["data"][0])
        hit = more["data"][0].pop("x_carrel")
        self.assertIn("elapsed_us", more.pop("x_carrel"))
        self.assertEqual(plain, more)
        self.assertEqual(hit["citations"][0]["quote"], "The pump is noisy.")
        for headers, found in (({}, False), ({"X-Carrel": "0"}, False), ({"X-Carrel": "1"}, True)):
            self.assertEqual("x_carrel" in ask("GET", f"/v1/vector_stores/{store}/files/{file}", **headers)[1], found)

    def test_a_file_that_is_deleted_is_not_found_any_more(self):
        store, file = self.store_with("The lamp blinks red.")
        found = lambda: ask("POST", f"/v1/vector_stores/{store}/search", {"query": "lamp blinks"})[1]["data"]  # noqa: E731
        self.assertEqual([hit["file_id"] for hit in found()], [file])
        self.assertEqual(ask("DELETE", f"/v1/files/{file}")[0], 200)
        self.assertEqual(found(), [])

    def test_spans_are_cited_and_what_cannot_be_is_named(self):
        store, file = self.store_with("The pump is noisy.")
        base = f"/carrel/vector_stores/{store}/files/{file}"
        status, citation = ask("GET", f"{base}/citation?span=4:8")
        self.assertEqual((status, citation["quote"], citation["span"]), (200, "pump", {"begin": 4, "end": 8}))
        self.assertEqual(sorted(citation), ["boxes", "first_page", "first_page_label", "last_page", "last_page_label",
                                            "quote", "recognised", "span"])
        for path, param in ((f"{base}/citation", "span"), (f"{base}/citation?span=8:4", "span"),
                            (f"{base}/citation?span=4-8", "span"), (f"{base}/citation?span=4:999", "span"),
                            (f"{base}/citation?span=-1:8", "span"), (f"{base}/pages/0.png", "page"),
                            (f"{base}/pages/x.png", "page"), (f"{base}/pages/1.png?span=a:b", "span"),
                            (f"{base}/pages/1.png?dpi=many", "dpi")):
            status, answer = ask("GET", path)
            self.assertEqual((status, answer["error"]["param"]), (400, param), path)
        status, answer = ask("GET", f"{base}/pages/1.png")
        self.assertEqual((status, answer["error"]["message"]), (400, "text has no layout that could be drawn"))
        self.assertEqual(ask("GET", f"{base}/pages/1.jpg")[0], 404)
        other = admin("POST", "/carrel/keys?project=cited")["secret"]
        self.assertEqual(ask("GET", f"{base}/citation?span=4:8", by=other)[0], 404)
        self.assertEqual(ask("GET", f"{base}/pages/1.png", by=other)[0], 404)

    def test_the_server_says_what_it_is(self):
        status, facts = ask("GET", "/carrel/server")
        self.assertEqual((status, facts["object"]), (200, "carrel.server"))
        self.assertEqual(sorted(facts), ["grpc", "model", "object", "version"])
        self.assertEqual(ask("GET", "/carrel/server", by="sk-wrong-1234567890")[0], 401)

    def test_another_projects_objects_are_not_found(self):
        other = admin("POST", "/carrel/keys?project=other")["secret"]
        container = client.containers.create(name="mine").id
        inside = client.containers.files.create(container, file=("a.txt", b"a")).id
        upload = ask("POST", "/v1/uploads", {"filename": "u", "purpose": "assistants", "bytes": 1,
                                             "mime_type": "text/plain"})[1]["id"]
        body, kind = form("data", b"1")
        part = ask("POST", f"/v1/uploads/{upload}/parts", body, **{"Content-Type": kind})[1]["id"]
        mine = f"/v1/containers/{container}"
        for method, path, json_body in (
            ("GET", mine, None),
            ("DELETE", mine, None),
            ("GET", f"{mine}/files", None),
            ("POST", f"{mine}/files", {"file_id": upload_file("x.txt", b"x").id}),
            ("GET", f"{mine}/files/{inside}", None),
            ("GET", f"{mine}/files/{inside}/content", None),
            ("DELETE", f"{mine}/files/{inside}", None),
            ("POST", f"/v1/uploads/{upload}/complete", {"part_ids": [part]}),
            ("POST", f"/v1/uploads/{upload}/cancel", {}),
        ):
            self.assertEqual(ask(method, path, json_body, by=other)[0], 404, (method, path))
        body, kind = form("data", b"1")
        self.assertEqual(ask("POST", f"/v1/uploads/{upload}/parts", body, other, **{"Content-Type": kind})[0], 404)
        self.assertEqual(ask("GET", "/v1/containers", by=other)[1]["data"], [])
        # A file of one project cannot be put into a container of another.
        theirs = ask("POST", "/v1/containers", {"name": "theirs"}, by=other)[1]["id"]
        file = upload_file("secret.txt", b"s").id
        self.assertEqual(ask("POST", f"/v1/containers/{theirs}/files", {"file_id": file}, by=other)[0], 404)
        self.assertEqual(ask("POST", "/v1/containers", {"name": "x", "file_ids": [file]}, by=other)[0], 404)
        self.assertEqual(ask("GET", mine)[0], 200)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
