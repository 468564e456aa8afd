"""The official Python client against the gateway: what people's programs do, flow by flow.

usage: python_client.py GATEWAY CLIENT_DIR [unittest arguments]

GATEWAY is gateway_with_fakes; CLIENT_DIR a directory with one version of `openai` and what it needs. Clients before 1.21
speak v1. Exits with 1 when CLIENT_DIR is not there.
"""

import http.client
import io
import json
import os
import re
import socket
import sys
import time
import unittest

GATEWAY, CLIENT_DIR = sys.argv[1:3]
if not os.path.isdir(CLIENT_DIR):
    sys.exit(f"{CLIENT_DIR} is not there; ./dev setup installs the clients")
sys.path.insert(0, CLIENT_DIR)

import harness  # noqa: E402
import openai  # noqa: E402

VERSION = tuple(int(part) for part in openai.__version__.split(".")[:2])
V1 = VERSION < (1, 21)
OVER = ("completed", "failed", "cancelled", "expired", "incomplete", "requires_action")


class Running(harness.Running):
    def client(self, key=None):
        return openai.OpenAI(base_url=f"http://{self.address}/v1", api_key=key or self.key, max_retries=0)


def setUpModule():
    global server, client
    server = Running(GATEWAY)
    client = server.client()


def tearDownModule():
    server.stop()


def finish(thread, run, stop=OVER):
    until = time.monotonic() + 30
    while run.status not in stop:
        assert time.monotonic() < until, run
        time.sleep(0.02)
        run = client.beta.threads.runs.retrieve(thread_id=thread.id, run_id=run.id)
    return run


def converse(text, **assistant):
    """A thread with one message, run to its end or to what it wants."""
    made = client.beta.assistants.create(model="scripted", **assistant)
    thread = client.beta.threads.create(messages=[{"role": "user", "content": text}])
    return thread, finish(thread, client.beta.threads.runs.create(thread_id=thread.id, assistant_id=made.id))


def answer(thread):
    return client.beta.threads.messages.list(thread_id=thread.id).data[0]


def function(name):
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}


def stores():
    return client.vector_stores if hasattr(client, "vector_stores") else client.beta.vector_stores


class Files(unittest.TestCase):
    def test_a_file_goes_up_and_comes_back(self):
        data = os.urandom(700_000) + b"\r\n--not a boundary\r\n"
        file = client.files.create(file=("na\u00efve \"x\".bin", io.BytesIO(data)), purpose="assistants")
        self.assertEqual((file.bytes, file.purpose, file.object, file.status), (len(data), "assistants", "file", "processed"))
        self.assertEqual(client.files.retrieve(file.id).filename, file.filename)
        self.assertIn(file.id, [f.id for f in client.files.list(purpose="assistants")])
        self.assertEqual(client.files.content(file.id).read(), data)
        self.assertTrue(client.files.delete(file.id).deleted)
        with self.assertRaises(openai.NotFoundError) as caught:
            client.files.retrieve(file.id)
        self.assertIn(f"No such File object: {file.id}", str(caught.exception))

    def test_a_purpose_that_is_none(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            client.files.create(file=("a.txt", b"x"), purpose="world_domination")
        self.assertIn("is not one of ['fine-tune', 'assistants'", str(caught.exception))


class Edges(unittest.TestCase):
    """What no client library sends, over bare HTTP."""

    def ask(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection(server.address, timeout=20)
        connection.request(method, path, body, {"Authorization": f"Bearer {server.key}", **headers})
        response = connection.getresponse()
        text = response.read()
        connection.close()
        return response.status, json.loads(text) if text else None

    def test_bodies_that_are_no_good(self):
        for path, body, headers, status in (
            ("/v1/files", b"x", {}, 400),
            ("/v1/files", b"x", {"Content-Type": "multipart/form-data; boundary=q"}, 400),
            ("/v1/threads", b'{"a"', {}, 400),
            ("/v1/threads", b"[" * 5000, {}, 400),
            ("/v1/threads", b" " * (11 << 20), {}, 413),
        ):
            got, answer = self.ask("POST", path, body, **headers)
            self.assertEqual((got, sorted(answer["error"])), (status, ["code", "message", "param", "type"]), body[:20])

    def test_urls_that_are_none(self):
        self.assertEqual(self.ask("GET", "/v1/nope")[1]["error"]["message"], "Invalid URL (GET /v1/nope)")
        self.assertEqual(self.ask("PATCH", "/v1/files")[0], 405)
        self.assertEqual(self.ask("GET", "/v1/carrel/keys")[0], 404)
        self.assertEqual(self.ask("GET", "/v1/threads/undefined")[1]["error"]["code"], "invalid_value")
        self.assertEqual(self.ask("GET", "/v1/files", **{"X-Long": "x" * 20_000})[0], 431)

    def test_a_body_that_is_not_there(self):
        for base in ("/v1", "/openai", "/openai/v1", ""):
            self.assertEqual(self.ask("POST", base + "/threads", **{"Content-Type": "application/json"})[0], 200)

    def test_a_client_that_goes_away(self):
        for raw in (b"GARBAGE\r\n\r\n", b"POST /v1/threads HTTP/1.1\r\nContent-Length: 50\r\n\r\nabc"):
            host, port = server.address.split(":")
            with socket.create_connection((host, int(port)), timeout=20) as connection:
                connection.sendall(raw)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass
        self.assertEqual(self.ask("GET", "/healthz")[0], 200)


class Objects(unittest.TestCase):
    def test_an_assistants_life(self):
        made = client.beta.assistants.create(model="scripted", name="A", instructions="i", metadata={"k": "v"},
                                             tools=[{"type": "code_interpreter"}, function("f")])
        changed = client.beta.assistants.update(made.id, name="B", metadata={"k": "w"})
        self.assertEqual((changed.name, changed.instructions, changed.metadata), ("B", "i", {"k": "w"}))
        self.assertEqual(client.beta.assistants.retrieve(made.id).tools[1].function.name, "f")
        self.assertTrue(client.beta.assistants.delete(made.id).deleted)
        with self.assertRaises(openai.NotFoundError) as caught:
            client.beta.assistants.retrieve(made.id)
        self.assertIn(f"No assistant found with id '{made.id}'.", str(caught.exception))

    def test_paging_ends_also_for_who_deletes_on_the_way(self):
        made = [client.beta.assistants.create(model="scripted", name=f"p{i}").id for i in range(7)]
        seen = []
        for assistant in client.beta.assistants.list(limit=2):
            if assistant.id in made:
                seen.append(assistant.id)
                client.beta.assistants.delete(assistant.id)
        self.assertEqual(seen, made[::-1])

    def test_a_threads_messages(self):
        thread = client.beta.threads.create(metadata={"a": "b"})
        for i in range(5):
            client.beta.threads.messages.create(thread_id=thread.id, role="user", content=f"m{i}")
        listed = client.beta.threads.messages.list(thread_id=thread.id, limit=2, order="asc")
        self.assertEqual([m.content[0].text.value for m in listed], [f"m{i}" for i in range(5)])
        message = listed.data[0]
        client.beta.threads.messages.update(thread_id=thread.id, message_id=message.id, metadata={"x": "y"})
        self.assertEqual(client.beta.threads.messages.retrieve(thread_id=thread.id, message_id=message.id).metadata, {"x": "y"})
        self.assertTrue(client.beta.threads.delete(thread.id).deleted)

    def test_keys_and_projects_are_walls(self):
        with self.assertRaises(openai.AuthenticationError) as caught:
            server.client("sk-nobody-has-this-one").models.list()
        self.assertEqual(caught.exception.code, "invalid_api_key")
        issued = server.admin("POST", "/carrel/keys?name=other&project=other")
        other = server.client(issued["secret"])
        thread = client.beta.threads.create()
        file = client.files.create(file=("a.txt", b"x"), purpose="assistants")
        with self.assertRaises(openai.NotFoundError):
            other.beta.threads.retrieve(thread.id)
        with self.assertRaises(openai.NotFoundError):
            other.files.content(file.id)
        self.assertEqual(other.files.list().data, [])
        server.admin("DELETE", f"/carrel/keys/{issued['id']}")
        with self.assertRaises(openai.AuthenticationError):
            other.files.list()

    def test_models_are_passed_through(self):
        self.assertIn("scripted", [m.id for m in client.models.list()])


class Runs(unittest.TestCase):
    def test_a_plain_answer(self):
        thread, run = converse("say hello there", instructions="be kind")
        self.assertEqual(run.status, "completed", run.last_error)
        self.assertEqual(answer(thread).content[0].text.value, "hello there")
        self.assertEqual(run.instructions, "be kind")
        steps = client.beta.threads.runs.steps.list(thread_id=thread.id, run_id=run.id).data
        self.assertEqual([(s.type, s.status) for s in steps], [("message_creation", "completed")])

    def test_functions_in_parallel_and_what_is_refused_meanwhile(self):
        thread, run = converse('call a {"x": 1}\ncall b {}', tools=[function("a"), function("b")])
        self.assertEqual(run.status, "requires_action")
        self.assertEqual(run.expires_at - run.created_at, 600)
        calls = run.required_action.submit_tool_outputs.tool_calls
        self.assertEqual([c.function.name for c in calls], ["a", "b"])
        for words, attempt in (
            (f"Can't add messages to {thread.id} while a run {run.id} is active.",
             lambda: client.beta.threads.messages.create(thread_id=thread.id, role="user", content="x")),
            (f"Thread {thread.id} already has an active run {run.id}.",
             lambda: client.beta.threads.runs.create(thread_id=thread.id, assistant_id=run.assistant_id)),
            ("Expected tool outputs for call_ids",
             lambda: client.beta.threads.runs.submit_tool_outputs(
                 thread_id=thread.id, run_id=run.id, tool_outputs=[{"tool_call_id": calls[0].id, "output": "1"}])),
        ):
            with self.assertRaises(openai.BadRequestError) as caught:
                attempt()
            self.assertIn(words, str(caught.exception))
        outputs = [{"tool_call_id": c.id, "output": f"{c.function.name}=1"} for c in calls]
        run = finish(thread, client.beta.threads.runs.submit_tool_outputs(
            thread_id=thread.id, run_id=run.id, tool_outputs=outputs), OVER[:-1])
        self.assertEqual(run.status, "completed", run.last_error)
        self.assertIn("a=1 b=1", answer(thread).content[0].text.value)
        with self.assertRaises(openai.BadRequestError) as caught:
            client.beta.threads.runs.cancel(thread_id=thread.id, run_id=run.id)
        self.assertIn("Cannot cancel run with status 'completed'.", str(caught.exception))

    def test_code_with_a_picture(self):
        thread, run = converse("python print('seen'); plt.savefig('/mnt/data/a.png')", tools=[{"type": "code_interpreter"}])
        self.assertEqual(run.status, "completed", run.last_error)
        message = answer(thread)
        image, text = message.content[0], message.content[-1].text
        self.assertEqual((image.type, message.content[-1].type), ("image_file", "text"))
        self.assertEqual(client.files.content(image.image_file.file_id).read()[:4], b"\x89PNG")
        step = next(s for s in client.beta.threads.runs.steps.list(thread_id=thread.id, run_id=run.id).data
                    if s.type == "tool_calls")
        self.assertIn("seen", [o.logs for o in step.step_details.tool_calls[0].code_interpreter.outputs
                               if o.type == "logs"][0])
        for annotation in text.annotations:
            self.assertEqual(text.value[annotation.start_index:annotation.end_index], annotation.text)

    def test_an_answer_is_cited(self):
        file = client.files.create(file=("leave.txt", "\u00c9t\u00e9: 27 days of leave.".encode()), purpose="assistants")
        if V1:
            thread, run = converse("find leave", tools=[{"type": "retrieval"}], file_ids=[file.id])
        else:
            store = stores().create(name="s", file_ids=[file.id])
            thread, run = converse("find leave", tools=[{"type": "file_search"}],
                                   tool_resources={"file_search": {"vector_store_ids": [store.id]}})
        self.assertEqual(run.status, "completed", run.last_error)
        text = answer(thread).content[0].text
        cited = [a for a in text.annotations if a.type == "file_citation"]
        self.assertEqual([a.file_citation.file_id for a in cited], [file.id])
        self.assertEqual(text.value[cited[0].start_index:cited[0].end_index], cited[0].text)
        if V1:
            self.assertIn("27 days", cited[0].file_citation.quote)

    def test_cancelled_in_the_midst(self):
        made = client.beta.assistants.create(model="scripted")
        thread = client.beta.threads.create(messages=[{"role": "user", "content": "hold\nsay one two"}])
        run = client.beta.threads.runs.create(thread_id=thread.id, assistant_id=made.id)
        time.sleep(0.2)
        run = finish(thread, client.beta.threads.runs.cancel(thread_id=thread.id, run_id=run.id))
        self.assertEqual(run.status, "cancelled")
        client.beta.threads.messages.create(thread_id=thread.id, role="user", content="say free")
        again = client.beta.threads.runs.create(thread_id=thread.id, assistant_id=made.id)
        self.assertEqual(finish(thread, again).status, "completed")

    def test_a_model_that_fails_is_named(self):
        _, run = converse("refuse 400")
        self.assertEqual(run.status, "failed")
        self.assertTrue(run.last_error.message)

    def test_a_thread_without_words(self):
        made = client.beta.assistants.create(model="scripted")
        with self.assertRaises(openai.BadRequestError) as caught:
            client.beta.threads.runs.create(thread_id=client.beta.threads.create().id, assistant_id=made.id)
        self.assertEqual(caught.exception.code, "invalid_thread")


class Documents(unittest.TestCase):
    """The programs of people's documents, as they stand there but for the model's orders in the messages."""

    def test_a_math_tutor_over_azure(self):
        azure = openai.AzureOpenAI(azure_endpoint=f"http://{server.address}", api_key=server.key,
                                   api_version="2024-02-15-preview" if V1 else "2024-05-01-preview")
        made = azure.beta.assistants.create(name="Math Tutor", instructions="Write and run code.",
                                            tools=[{"type": "code_interpreter"}], model="gpt-4")
        thread = azure.beta.threads.create()
        azure.beta.threads.messages.create(thread_id=thread.id, role="user",
                                           content="I need to solve `3x + 11 = 14`.\npython print('x = 1.0')")
        run = azure.beta.threads.runs.create(thread_id=thread.id, assistant_id=made.id, instructions="Call me Jane Doe.")
        self.assertEqual(run.status, "queued")
        self.assertEqual(finish(thread, run).status, "completed")
        messages = azure.beta.threads.messages.list(thread_id=thread.id)
        self.assertEqual([m.role for m in messages], ["assistant", "user"])
        self.assertIn("x = 1.0", messages.data[0].content[0].text.value)
        self.assertTrue(azure.beta.assistants.delete(made.id).deleted)
        self.assertTrue(azure.beta.threads.delete(thread.id).deleted)

    def test_a_function_whose_schema_is_not_one(self):
        sloppy = {"type": "object", "properties": {"prime_numbers": {
            "type": "array", "items": {"type": "integer"}}, "required": ["add_prime_numbers"]}}
        thread, run = converse('call add_prime_numbers {"prime_numbers": [2, 3, 5, 7]}', tools=[{
            "type": "function", "function": {"name": "add_prime_numbers", "description": "Add", "parameters": sloppy}}])
        self.assertEqual(run.status, "requires_action")
        outputs = []
        for action in run.required_action.submit_tool_outputs.model_dump()["tool_calls"]:
            total = sum(json.loads(action["function"]["arguments"])["prime_numbers"])
            outputs.append({"tool_call_id": action["id"], "output": f"The sum is {total}"})
        client.beta.threads.runs.submit_tool_outputs(thread_id=thread.id, run_id=run.id, tool_outputs=outputs)
        run = client.beta.threads.runs.retrieve(thread_id=thread.id, run_id=run.id)
        self.assertEqual(finish(thread, run, OVER[:-1]).status, "completed")
        self.assertIn("17", [m for m in client.beta.threads.messages.list(thread_id=thread.id)][0].content[0].text.value)

    def test_an_investing_bot(self):
        thread, run = converse("What return will I need?\npython print('3.53%')", name="Investing Bot",
                               tools=[{"type": "code_interpreter"}])
        self.assertEqual(run.status, "completed")
        texts = [m.content[0].text.value for m in client.beta.threads.messages.list(thread_id=thread.id).data[::-1]
                 if m.role == "assistant"]
        self.assertEqual(re.search(r"(\d+(\.\d+)?%)", texts[0]).group(1), "3.53%")
        mine = client.beta.assistants.list(order="desc", limit=20)
        self.assertEqual(mine.data[0].id, run.assistant_id)
        self.assertEqual(client.beta.assistants.delete(mine.data[0].id).object, "assistant.deleted")

    def test_a_second_turn(self):
        thread, run = converse("Solve `4x + 11 = 19`.\npython print('x = 2')", tools=[{"type": "code_interpreter"}])
        client.beta.threads.messages.create(thread_id=thread.id, role="user", content="The root of it?\npython print('1.414')")
        self.assertEqual(finish(thread, client.beta.threads.runs.create(
            thread_id=thread.id, assistant_id=run.assistant_id)).status, "completed")
        messages = client.beta.threads.messages.list(thread_id=thread.id)
        self.assertEqual(len(messages.data), 4)
        self.assertIn("1.414", messages.data[0].content[0].text.value)

    def test_bare_requests_with_v1s_header(self):
        def ask(path, method="POST", body=None):
            connection = http.client.HTTPConnection(server.address, timeout=20)
            connection.request(method, "/v1" + path, body and json.dumps(body), {
                "Authorization": f"Bearer {server.key}", "Content-Type": "application/json", "OpenAI-Beta": "assistants=v1"})
            response = connection.getresponse()
            self.assertEqual(response.status, 200)
            return json.loads(response.read())

        made = ask("/assistants", body={"instructions": "Tutor.", "name": "Math Tutor", "model": "gpt-4",
                                        "tools": [{"type": "code_interpreter"}]})
        thread = ask("/threads")
        run = ask(f"/threads/{thread['id']}/runs", body={"assistant_id": made["id"], "instructions": "Hello, how are you?"})
        self.assertEqual((made["file_ids"], run["status"], run["usage"], run["file_ids"]), ([], "queued", None, []))
        until = time.monotonic() + 30
        while run["status"] != "completed":
            self.assertLess(time.monotonic(), until, run)
            run = ask(f"/threads/{thread['id']}/runs/{run['id']}", "GET")
        self.assertIsNone(run["expires_at"])
        self.assertGreater(run["usage"]["total_tokens"], 0)


@unittest.skipUnless(V1, "v2 has them no more")
class First(unittest.TestCase):
    def test_files_of_assistants_and_messages(self):
        one, two = (client.files.create(file=(name, b"text"), purpose="assistants") for name in ("1.txt", "2.txt"))
        made = client.beta.assistants.create(model="scripted", tools=[{"type": "retrieval"}], file_ids=[one.id])
        files = client.beta.assistants.files
        self.assertEqual(files.create(assistant_id=made.id, file_id=two.id).object, "assistant.file")
        self.assertEqual([f.id for f in files.list(assistant_id=made.id, order="asc")], [one.id, two.id])
        self.assertEqual(files.retrieve(assistant_id=made.id, file_id=two.id).assistant_id, made.id)
        self.assertEqual(files.delete(assistant_id=made.id, file_id=two.id).object, "assistant.file.deleted")
        thread = client.beta.threads.create()
        message = client.beta.threads.messages.create(thread_id=thread.id, role="user", content="x", file_ids=[two.id])
        files = client.beta.threads.messages.files
        self.assertEqual([f.id for f in files.list(thread_id=thread.id, message_id=message.id)], [two.id])
        self.assertEqual(files.retrieve(thread_id=thread.id, message_id=message.id, file_id=two.id).message_id, message.id)


@unittest.skipIf(V1, "v1 has no stores")
class Second(unittest.TestCase):
    def test_a_stores_life(self):
        ids = [client.files.create(file=(f"{i}.txt", f"document number {i}".encode()), purpose="assistants").id for i in range(3)]
        store = stores().create(name="docs", expires_after={"anchor": "last_active_at", "days": 3})
        batch = stores().file_batches.create_and_poll(vector_store_id=store.id, file_ids=ids[:2])
        self.assertEqual((batch.status, batch.file_counts.completed), ("completed", 2))
        file = stores().files.create_and_poll(vector_store_id=store.id, file_id=ids[2])
        self.assertEqual(file.status, "completed")
        self.assertEqual(stores().retrieve(store.id).file_counts.total, 3)
        self.assertEqual(len(stores().files.list(vector_store_id=store.id, filter="completed").data), 3)
        if hasattr(stores(), "search"):
            self.assertEqual(len(stores().search(store.id, query="document").data), 3)
        client.files.delete(ids[0])
        self.assertEqual(stores().retrieve(store.id).file_counts.total, 2)
        self.assertTrue(stores().delete(store.id).deleted)

    def test_v1s_words_are_refused(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            client.beta.assistants.create(model="scripted", tools=[{"type": "retrieval"}])
        self.assertEqual((caught.exception.param, caught.exception.code), ("tools[0].type", "invalid_value"))
        with self.assertRaises(openai.BadRequestError) as caught:
            client.beta.threads.create(metadata={"modified": True})
        self.assertEqual(caught.exception.code, "invalid_type")


@unittest.skipIf(VERSION < (1, 14), "it came with 1.14")
class Streams(unittest.TestCase):
    def test_a_stream_in_its_order(self):
        made = client.beta.assistants.create(model="scripted", tools=[{"type": "code_interpreter"}])
        thread = client.beta.threads.create(messages=[{"role": "user", "content": "python print('42')"}])
        names, text = [], ""
        for event in client.beta.threads.runs.create(thread_id=thread.id, assistant_id=made.id, stream=True):
            names.append(event.event)
            if event.event == "thread.message.delta":
                text += "".join(part.text.value or "" for part in event.data.delta.content)
        self.assertEqual(names[:5], ["thread.run.created", "thread.run.queued", "thread.run.in_progress",
                                     "thread.run.step.created", "thread.run.step.in_progress"])
        self.assertEqual(names[-3:], ["thread.message.completed", "thread.run.step.completed", "thread.run.completed"])
        self.assertEqual(text, answer(thread).content[0].text.value)

    def test_the_streaming_helper_adds_up(self):
        made = client.beta.assistants.create(model="scripted", tools=[function("f")])
        with client.beta.threads.create_and_run_stream(
                assistant_id=made.id, thread={"messages": [{"role": "user", "content": 'call f {"x": "y"}'}]}) as stream:
            stream.until_done()
            run = stream.current_run
        self.assertEqual(run.status, "requires_action")
        call = run.required_action.submit_tool_outputs.tool_calls[0]
        with client.beta.threads.runs.submit_tool_outputs_stream(
                thread_id=run.thread_id, run_id=run.id,
                tool_outputs=[{"tool_call_id": call.id, "output": "seven"}]) as stream:
            stream.until_done()
            self.assertEqual(stream.get_final_run().status, "completed")
            self.assertIn("seven", stream.get_final_messages()[0].content[0].text.value)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
