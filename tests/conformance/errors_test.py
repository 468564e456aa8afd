"""What people's programs match on: every error that the routes can meet, word for word, over bare HTTP.

usage: errors_test.py GATEWAY [unittest arguments]      GATEWAY is gateway_with_fakes
"""

import http.client
import json
import socket
import sys
import time
import unittest

import harness

GATEWAY = sys.argv[1]
MISSING = {  # noun -> an id of that kind that nobody has
    "thread": "thread_abc123", "assistant": "asst_abc123", "run": "run_abc123", "message": "msg_abc123",
    "run step": "step_123", "vector store": "vs_abc123"}


def setUpModule():
    global server, known
    server = harness.Running(GATEWAY)
    known = Known()


def tearDownModule():
    server.stop()


def ask(method, path, body=None, key=None, headers=None, at=None):
    connection = http.client.HTTPConnection((at or server).address, timeout=60)
    data = body if isinstance(body, (bytes, type(None))) else json.dumps(body)
    connection.request(method, "/v1" + path, data, {
        "Authorization": f"Bearer {server.key if key is None else key}", "Content-Type": "application/json",
        "OpenAI-Beta": "assistants=v2", **(headers or {})})
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


def made(method, path, body=None):
    status, answer = ask(method, path, body)
    assert status == 200, answer
    return answer


def form(**fields):
    """(body, headers) of a form with the file a.EXTENSION and the given fields."""
    extension = fields.pop("extension", "txt")
    parts = [f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()]
    parts.append(f'--b\r\nContent-Disposition: form-data; name="file"; filename="a.{extension}"\r\n\r\nx\r\n--b--\r\n')
    return "".join(parts).encode(), {"Content-Type": "multipart/form-data; boundary=b"}


class Known:
    """Objects in the states that errors are about."""

    def __init__(self):
        self.assistant = made("POST", "/assistants", {"model": "scripted", "tools": [
            {"type": "function", "function": {"name": "f"}}, {"type": "function", "function": {"name": "g"}}]})["id"]
        self.empty = made("POST", "/threads")["id"]
        self.store = made("POST", "/vector_stores", {})["id"]
        self.file = self.upload()
        self.zip = self.upload(extension="zip")
        self.waiting, self.waiting_run = self.run("call f {}\ncall g {}", "requires_action")
        run = made("GET", f"/threads/{self.waiting}/runs/{self.waiting_run}")
        self.calls = [c["id"] for c in run["required_action"]["submit_tool_outputs"]["tool_calls"]]
        self.done, self.done_run = self.run("say done", "completed")
        self.working, self.working_run = self.run("hold\nsay one two", "in_progress")

    @staticmethod
    def upload(**fields):
        body, headers = form(purpose="assistants", **fields)
        return ask("POST", "/files", body, headers=headers)[1]["id"]

    def run(self, text, until):
        thread = made("POST", "/threads", {"messages": [{"role": "user", "content": text}]})["id"]
        run = made("POST", f"/threads/{thread}/runs", {"assistant_id": self.assistant})
        end = time.monotonic() + 30
        while run["status"] != until:
            assert time.monotonic() < end, run
            time.sleep(0.02)
            run = made("GET", f"/threads/{thread}/runs/{run['id']}")
        return thread, run["id"]


class Errors(unittest.TestCase):
    maxDiff = None

    def check(self, status, message, code=None, param=None, *asked, kind="invalid_request_error", **more):
        got, answer = ask(*asked, **more)
        self.assertEqual((got, answer), (status, {"error": {"message": message, "type": kind, "param": param, "code": code}}),
                         asked)

    def test_what_is_not_there(self):
        k, m = known, MISSING
        for noun, method, path, body in (
            ("thread", "GET", f"/threads/{m['thread']}", None),
            ("thread", "POST", f"/threads/{m['thread']}", {}),
            ("thread", "DELETE", f"/threads/{m['thread']}", None),
            ("thread", "GET", f"/threads/{m['thread']}/messages", None),
            ("thread", "POST", f"/threads/{m['thread']}/messages", {"role": "user", "content": "x"}),
            ("thread", "GET", f"/threads/{m['thread']}/runs", None),
            ("thread", "POST", f"/threads/{m['thread']}/runs", {"assistant_id": k.assistant}),
            ("assistant", "GET", f"/assistants/{m['assistant']}", None),
            ("assistant", "POST", f"/assistants/{m['assistant']}", {}),
            ("assistant", "DELETE", f"/assistants/{m['assistant']}", None),
            ("assistant", "POST", f"/threads/{k.empty}/runs", {"assistant_id": m["assistant"]}),
            ("assistant", "POST", "/threads/runs", {"assistant_id": m["assistant"]}),
            ("run", "GET", f"/threads/{k.empty}/runs/{m['run']}", None),
            ("run", "POST", f"/threads/{k.empty}/runs/{m['run']}/cancel", None),
            ("run", "POST", f"/threads/{k.empty}/runs/{m['run']}/submit_tool_outputs", {"tool_outputs": []}),
            ("run", "GET", f"/threads/{k.empty}/runs/{m['run']}/steps", None),
            ("message", "GET", f"/threads/{k.empty}/messages/{m['message']}", None),
            ("message", "POST", f"/threads/{k.empty}/messages/{m['message']}", {}),
            ("message", "DELETE", f"/threads/{k.empty}/messages/{m['message']}", None),
            ("run step", "GET", f"/threads/{k.done}/runs/{k.done_run}/steps/{m['run step']}", None),
            ("vector store", "GET", f"/vector_stores/{m['vector store']}", None),
            ("vector store", "GET", f"/vector_stores/{m['vector store']}/files", None),
            ("vector store", "POST", f"/vector_stores/{m['vector store']}/search", {"query": "x"}),
            ("vector store", "POST", f"/vector_stores/{m['vector store']}/files", {"file_id": k.file}),
        ):
            self.check(404, f"No {noun} found with id '{m[noun]}'.", None, None, method, path, body)
        self.check(404, f"No file found with id '{k.file}'.", None, None, "GET", f"/vector_stores/{k.store}/files/{k.file}")
        for method, path in (("GET", "/files/file-x"), ("DELETE", "/files/file-x"), ("GET", "/files/file-x/content")):
            self.check(404, "No such File object: file-x", None, "id", method, path)

    def test_ids_that_begin_otherwise(self):
        k = known
        for name, prefix, path in (
            ("thread_id", "thread", "/threads/undefined"),
            ("thread_id", "thread", "/threads/undefined/messages"),
            ("assistant_id", "asst", "/assistants/undefined"),
            ("run_id", "run", f"/threads/{k.empty}/runs/undefined"),
            ("message_id", "msg", f"/threads/{k.empty}/messages/undefined"),
        ):
            self.check(400, f"Invalid '{name}': 'undefined'. Expected an ID that begins with '{prefix}'.", "invalid_value",
                       name, "GET", path)

    def test_a_thread_in_use(self):
        for thread, run in ((known.waiting, known.waiting_run), (known.working, known.working_run)):
            self.check(400, f"Can't add messages to {thread} while a run {run} is active.", None, None,
                       "POST", f"/threads/{thread}/messages", {"role": "user", "content": "x"})
            for more in ({}, {"additional_messages": [{"role": "user", "content": "x"}]}):
                self.check(400, f"Thread {thread} already has an active run {run}.", None, None,
                           "POST", f"/threads/{thread}/runs", {"assistant_id": known.assistant, **more})

    def test_outputs_and_cancelling(self):
        k = known
        outputs = f"/threads/{k.waiting}/runs/{k.waiting_run}/submit_tool_outputs"
        both = ", ".join(f"'{call}'" for call in k.calls)
        for ids in ([], k.calls[:1], ["call_nobody"], [*k.calls, "call_nobody"]):
            listed = ", ".join(f"'{call}'" for call in ids)
            self.check(400, f"Expected tool outputs for call_ids [{both}], got [{listed}]", None, None, "POST", outputs,
                       {"tool_outputs": [{"tool_call_id": call, "output": "1"} for call in ids]})
        for status, thread, run in (("in_progress", k.working, k.working_run), ("completed", k.done, k.done_run)):
            self.check(400, f'Runs in status "{status}" do not accept tool outputs.', None, None, "POST",
                       f"/threads/{thread}/runs/{run}/submit_tool_outputs", {"tool_outputs": []})
        self.check(400, "Cannot cancel run with status 'completed'.", None, None, "POST",
                   f"/threads/{k.done}/runs/{k.done_run}/cancel")
        self.check(400, "Run creation requires a Thread with a user message or an assistant with instructions.",
                   "invalid_thread", None, "POST", f"/threads/{k.empty}/runs", {"assistant_id": k.assistant})

    def test_parameters(self):
        run = f"/threads/{known.empty}/runs"
        long, user = "x" * 600, {"role": "user", "content": "x"}
        functions = [{"type": "function", "function": {"name": "f"}}]
        ranges = "Invalid '{}': {} {} value. Expected a value {} {}, but got {} instead."
        for message, code, param, path, body in (
            ("Invalid type for 'metadata.modified': expected a string, but got a boolean instead.", "invalid_type",
             "metadata.modified", "/threads", {"metadata": {"modified": True}}),
            ("Missing required parameter: 'model'.", "missing_required_parameter", "model", "/assistants", {}),
            ("Missing required parameter: 'assistant_id'.", "missing_required_parameter", "assistant_id", run, {}),
            ("Missing required parameter: 'role'.", "missing_required_parameter", "role",
             f"/threads/{known.empty}/messages", {"content": "x"}),
            ("Missing required parameter: 'query'.", "missing_required_parameter", "query",
             f"/vector_stores/{known.store}/search", {}),
            ("Unknown parameter: 'messages[0].id'.", "unknown_parameter", "messages[0].id", "/threads",
             {"messages": [{**user, "id": "1"}]}),
            ("Unknown parameter: 'file_ids'.", "unknown_parameter", "file_ids", "/assistants",
             {"model": "m", "file_ids": []}),
            ("Invalid value: 'retrieval'. Supported values are: 'code_interpreter', 'function', and 'file_search'.",
             "invalid_value", "tools[0].type", "/assistants", {"model": "m", "tools": [{"type": "retrieval"}]}),
            ("Invalid value: 'system'. Supported values are: 'user' and 'assistant'.", "invalid_value", "messages[0].role",
             "/threads", {"messages": [{"role": "system", "content": "x"}]}),
            (ranges.format("temperature", "decimal", "above maximum", "<=", 2, 3), "decimal_above_max_value",
             "temperature", "/assistants", {"model": "m", "temperature": 3}),
            (ranges.format("top_p", "decimal", "below minimum", ">=", 0, -1), "decimal_below_min_value", "top_p",
             "/assistants", {"model": "m", "top_p": -1}),
            ("Invalid 'name': string too long. Expected a string with maximum length 256, but got a string with length 600 "
             "instead.", "string_above_max_length", "name", "/assistants", {"model": "m", "name": long}),
            ("Invalid 'tools': array too long. Expected an array with maximum length 128, but got an array with length 129 "
             "instead.", "array_above_max_length", "tools", "/assistants", {"model": "m", "tools": functions * 129}),
            (ranges.format("max_completion_tokens", "integer", "below minimum", ">=", 256, 16), "integer_below_min_value",
             "max_completion_tokens", run, {"assistant_id": known.assistant, "max_completion_tokens": 16}),
            ("Invalid 'tools': array too long. Expected an array with maximum length 20, but got an array with length 21 "
             "instead.", "array_above_max_length", "tools", run, {"assistant_id": known.assistant, "tools": functions * 21}),
            ("Missing required parameter: 'model'.", "missing_required_parameter", "model", "/assistants", {"model": ""}),
            ("Files with extensions [.zip] are not supported for retrieval. See "
             "https://platform.openai.com/docs/assistants/tools/file-search/supported-files", "unsupported_file", "file_ids",
             "/vector_stores", {"file_ids": [known.zip]}),
        ):
            self.check(400, message, code, param, "POST", path, body)
        for asked, words in (("101", ("above maximum", "<=", 100)), ("0", ("below minimum", ">=", 1))):
            what, sign, limit = words
            self.check(400, ranges.format("limit", "integer", what, sign, limit, asked),
                       f"integer_{what.split()[0]}_{what.split()[1][:3]}_value", "limit", "GET", f"/assistants?limit={asked}")

    def test_purposes(self):
        body, headers = form(purpose="world_domination")
        self.check(400, "'world_domination' is not one of ['fine-tune', 'assistants', 'batch', 'user_data', 'vision', "
                   "'evals'] - 'purpose'", None, "purpose", "POST", "/files", body, headers=headers)

    def test_keys(self):
        self.check(401, "You didn't provide an API key. You need to provide your API key in an Authorization header using "
                   "Bearer auth (i.e. Authorization: Bearer YOUR_KEY).", None, None, "GET", "/models", key="")
        status, answer = ask("GET", "/models", key="sk-" + "x" * 40)
        self.assertEqual((status, answer["error"]["code"]), (401, "invalid_api_key"))
        self.assertRegex(answer["error"]["message"], r"^Incorrect API key provided: sk-x+\*+x+\. ")

    def test_urls(self):
        self.check(404, "Invalid URL (POST /v1/foo)", "unknown_url", None, "POST", "/foo", {})
        for method, path in (("PUT", "/files"), ("DELETE", "/assistants"), ("PATCH", f"/threads/{known.empty}")):
            self.check(405, f"Not allowed to {method} on /v1{path}.", "method_not_supported", None, method, path)

    def test_the_servers_own_fault(self):
        """The model's endpoint cannot be reached: a 5xx that says so."""
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        lonely = harness.Running(GATEWAY, model_port=port)
        try:
            status, answer = ask("GET", "/models", at=lonely)
            self.assertEqual((status, answer["error"]["type"]), (503, "server_error"))
            self.assertIn("cannot be reached", answer["error"]["message"])
        finally:
            lonely.stop(answers_min=0)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
