"""`carrel serve` with a chat model, as a user's program and the command line use it: real jails, real documents, the
official OpenAI client, and a model of ours (tests/support/scripted_model.py) that does what the last message says.

usage: gateway_test.py BIN CLIENT     (CLIENT: the directory of an installed openai package)
"""

import json
import os
import pathlib
import pty
import signal
import subprocess
import sys
import unittest

BIN, CLIENT = sys.argv.pop(1), sys.argv.pop(1)
sys.path[:0] = [CLIENT, str(pathlib.Path(__file__).resolve().parent.parent / "support")]

import openai
import scripted_model
from carrel_serve import Serve, alive, descendants, wait_until
from pdf import make_pdf

RECOVER_SECONDS = 60
HANDBOOK = make_pdf(["The reservoir holds two litres.\nUse cold water only.",
                     "If the lamp blinks red, the reservoir is empty.\nFill it up to the mark."])
PLOT = ("import matplotlib.pyplot as plt; plt.plot([4, 6, 5]); plt.savefig('/mnt/data/cups.png'); print(4 + 6 + 5, 'cups')")


class WithModel(unittest.TestCase):
    """One server for all of these; none of them breaks it."""

    @classmethod
    def setUpClass(cls):
        cls.model = scripted_model.start()
        cls.addClassCleanup(cls.model.shutdown)
        cls.serve = Serve(BIN, CARREL_MODEL_BASE_URL=f"http://127.0.0.1:{cls.model.server_port}/v1",
                          CARREL_MODEL_API_KEY="sk-of-the-model")
        cls.addClassCleanup(cls.serve.__exit__)
        cls.serve.start()
        cls.client = openai.OpenAI(base_url=cls.serve.base_url, api_key=cls.serve.key)

    def ask(self, thread, assistant, text):
        self.client.beta.threads.messages.create(thread.id, role="user", content=text)
        run = self.client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)
        self.assertEqual(run.status, "completed", run)
        return self.client.beta.threads.messages.list(thread.id, run_id=run.id).data[0]

    def test_a_store_is_embedded_anew(self):
        """`carrel store reembed`: another model, asked for by its alias; files that come later have it too."""
        path = self.serve.work / "lamp.pdf"
        path.write_bytes(HANDBOOK)
        path.chmod(0o644)
        self.serve.run("store", "add", "anew", str(path), check=0)
        before = json.loads(self.serve.run("search", "--json", "anew", "red lamp", check=0).stdout)["hits"]
        done = json.loads(self.serve.run("store", "reembed", "anew", "--model", "fast", "--json", check=0).stdout)
        self.assertEqual(done["x_carrel"], {"model": "all-MiniLM-L6-v2", "reembedding": None})
        after = json.loads(self.serve.run("search", "--json", "anew", "red lamp", check=0).stdout)["hits"]
        self.assertEqual([hit["citations"][0]["quote"] for hit in after], [hit["citations"][0]["quote"] for hit in before])
        self.assertNotEqual(after[0]["vector_score"], before[0]["vector_score"])
        path.write_text("The filter is behind the grey door.")
        note = path.rename(path.with_name("note.txt"))
        self.serve.run("store", "add", "anew", str(note), check=0)
        found = json.loads(self.serve.run("search", "--json", "anew", "where is the filter", check=0).stdout)["hits"]
        self.assertEqual(found[0]["file_name"], "note.txt")
        refused = self.serve.run("store", "reembed", "anew", "--model", "none", check=2)
        self.assertIn("all-MiniLM-L6-v2", refused.stderr)

    def test_the_client_with_another_base_url(self):
        """Upload, assistant with both tools, streamed run, cited answer, downloaded plot."""
        file = self.client.files.create(file=("handbook.pdf", HANDBOOK), purpose="assistants")
        store = self.client.vector_stores.create(name="manuals")
        self.client.vector_stores.files.create_and_poll(file.id, vector_store_id=store.id)
        assistant = self.client.beta.assistants.create(
            model="scripted", tools=[{"type": "code_interpreter"}, {"type": "file_search"}],
            tool_resources={"file_search": {"vector_store_ids": [store.id]}})
        thread = self.client.beta.threads.create(messages=[
            {"role": "user", "content": "find What does a red blinking lamp mean?\npython " + PLOT}])
        events, text = [], ""
        with self.client.beta.threads.runs.stream(thread_id=thread.id, assistant_id=assistant.id) as stream:
            for event in stream:
                events.append(event.event)
            message = stream.get_final_messages()[-1]
        self.assertIn("thread.message.delta", events)
        self.assertEqual(events[-1], "thread.run.completed")
        parts = {part.type: part for part in message.content}
        text = parts["text"].text
        self.assertIn("15 cups", text.value)
        citations = [a for a in text.annotations if a.type == "file_citation"]
        paths = [a for a in text.annotations if a.type == "file_path"]
        self.assertEqual({a.file_citation.file_id for a in citations}, {file.id})
        for annotation in text.annotations:
            self.assertEqual(text.value[annotation.start_index:annotation.end_index], annotation.text)
        plot = self.client.files.content(paths[0].file_path.file_id).read()
        self.assertEqual(plot[:8], b"\x89PNG\r\n\x1a\n")

    def test_a_thread_keeps_its_variables(self):
        assistant = self.client.beta.assistants.create(model="scripted", tools=[{"type": "code_interpreter"}])
        thread = self.client.beta.threads.create()
        self.ask(thread, assistant, "python kept = 41")
        answer = self.ask(thread, assistant, "python print(kept + 1)")
        self.assertIn("42", answer.content[0].text.value)

    def test_keys_of_one_project_do_not_reach_another(self):
        secret = self.serve.run("keys", "create", "--project", "other", "--name", "test", check=0).stdout.strip()
        other = openai.OpenAI(base_url=self.serve.base_url, api_key=secret)
        store = self.client.vector_stores.create(name="ours")
        file = self.client.files.create(file=("ours.txt", b"The door is blue."), purpose="assistants")
        thread = self.client.beta.threads.create()
        assistant = self.client.beta.assistants.create(model="scripted")
        for call in [lambda: other.vector_stores.retrieve(store.id), lambda: other.files.content(file.id),
                     lambda: other.vector_stores.search(store.id, query="door"), lambda: other.files.delete(file.id),
                     lambda: other.beta.threads.messages.list(thread.id), lambda: other.beta.assistants.delete(assistant.id),
                     lambda: other.vector_stores.files.create(file_id=file.id, vector_store_id=store.id)]:
            with self.assertRaises(openai.NotFoundError):
                call()
        self.assertEqual(other.vector_stores.list().data, [])
        self.assertEqual(other.files.list().data, [])
        environment = {**self.serve.environment, "CARREL_API_KEY": secret}
        done = subprocess.run([self.serve.carrel, "store", "show", "ours"], env=environment, capture_output=True, text=True)
        self.assertEqual(done.returncode, 2, done.stderr)
        keys = [json.loads(line) for line in self.serve.run("keys", "list", "--json", check=0).stdout.splitlines()]
        mine = next(key for key in keys if key["name"] == "test")
        self.assertNotIn(secret, json.dumps(keys))
        self.serve.run("keys", "revoke", mine["id"], check=0)
        with self.assertRaises(openai.AuthenticationError):
            other.files.list()

    def test_the_cli_chats_cites_and_saves(self):
        manual = self.serve.work / "handbook.pdf"
        manual.write_bytes(HANDBOOK)
        self.serve.run("store", "add", "chat manual", str(manual), check=0)
        out = self.serve.work / "chat-out"
        done = self.serve.run("assistants", "chat", "--model", "scripted", "--store", "chat manual", "--tool",
                              "code_interpreter", "--out", str(out),
                              "find What does a red blinking lamp mean?\npython " + PLOT, check=0)
        self.assertIn("15 cups", done.stdout)
        self.assertRegex(done.stdout, r"\[1\] handbook\.pdf, pages? \d.*: \"The")
        self.assertNotIn("【", done.stdout)
        self.assertIn("plt.savefig", done.stderr)
        self.assertEqual((out / "cups.png").read_bytes()[:8], b"\x89PNG\r\n\x1a\n")
        self.assertEqual([a for a in self.client.beta.assistants.list().data if a.name == "carrel assistants chat"], [])

    def test_on_a_terminal_the_conversation_goes_on(self):
        terminal, theirs = pty.openpty()
        with subprocess.Popen([self.serve.carrel, "assistants", "chat", "--model", "scripted", "--tool", "code_interpreter"],
                              env=self.serve.environment, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE, text=True) as chat:
            os.close(theirs)
            os.write(terminal, b"python kept = 20\n")
            self.assertIn("They said", chat.stdout.readline())
            os.write(terminal, b"python print(kept + 1)\n")
            self.assertIn("21", chat.stdout.readline())
            os.write(terminal, b"\x04")
            self.assertEqual(chat.wait(30), 0)
        shown = b""
        try:
            while piece := os.read(terminal, 65536):
                shown += piece
        except OSError:
            pass  # what a terminal says when nobody is left at its other end
        os.close(terminal)
        self.assertIn(b"\x1b[2m", shown)  # faint
        self.assertIn(b"print(kept + 1)", shown.replace(b"\x1b[2m", b"").replace(b"\x1b[0m", b""))
        self.assertIn(b"--thread thread_", shown)

    def test_the_cli_makes_lists_and_deletes_assistants(self):
        made = self.serve.run("assistants", "create", "--name", "Tutor", "--model", "scripted", "--tool",
                              "code_interpreter", "--instructions", "Be kind.", check=0).stdout.strip()
        self.assertIn("Tutor  scripted  code_interpreter", self.serve.run("assistants", "list", check=0).stdout)
        self.assertIn("Be kind.", self.serve.run("assistants", "show", "Tutor", check=0).stdout)
        done = self.serve.run("assistants", "chat", "--assistant", "Tutor", "say hello there", check=0)
        self.assertEqual(done.stdout, "hello there\n")
        self.serve.run("assistants", "delete", made, check=0)
        self.serve.run("assistants", "show", "Tutor", check=2)

    def test_secrets_are_known_to_the_gateway_alone(self):
        family = descendants(self.serve.process.pid)
        gateways = [pid for pid, (name, _) in family.items() if name == "carrel-gateway"]
        self.assertEqual(len(gateways), 1)
        seen = 0
        for pid in [self.serve.process.pid, *family]:
            try:
                argv = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
                environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
            except OSError:
                continue  # a process of a jail, or one that has ended
            seen += 1
            self.assertNotIn(b"sk-", argv)
            if pid not in (self.serve.process.pid, gateways[0]):
                self.assertNotIn(b"sk-", environment, pid)
        self.assertGreaterEqual(seen, 5)
        self.assertIn(b"CARREL_BOOTSTRAP_KEY=", pathlib.Path(f"/proc/{gateways[0]}/environ").read_bytes())
        self.assertNotIn(self.serve.key, self.serve.log_text())
        self.assertNotIn("sk-of-the-model", self.serve.log_text())

    def test_the_gateway_is_nobody(self):
        gateway = next(pid for pid, (name, _) in descendants(self.serve.process.pid).items() if name == "carrel-gateway")
        status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{gateway}/status").read_text().splitlines()
                      if ":\t" in line)
        self.assertEqual(int(status["CapEff"], 16), 0)
        if os.geteuid() == 0:
            uid = status["Uid"].split()[0]
            self.assertNotIn(uid, ["0"])
            self.assertEqual(status["Groups"].split(), [])
            self.assertEqual(status["NoNewPrivs"], "1")
            data = self.serve.data
            self.assertEqual(str((data / "gateway").stat().st_uid), uid)
            self.assertEqual((data / "gateway").stat().st_mode & 0o777, 0o700)
            self.assertEqual((data / "root.key").stat().st_uid, 0)
        self.assertEqual((self.serve.data / "root.key").stat().st_mode & 0o777, 0o600)


class Gateway(unittest.TestCase):
    def test_kill_9_of_the_gateway_and_recovery(self):
        model = scripted_model.start()
        self.addCleanup(model.shutdown)
        with Serve(BIN, CARREL_MODEL_BASE_URL=f"http://127.0.0.1:{model.server_port}/v1") as serve:
            client = openai.OpenAI(base_url=serve.base_url, api_key=serve.key, max_retries=0)
            assistant = client.beta.assistants.create(model="scripted", tools=[{"type": "code_interpreter"}])
            thread = client.beta.threads.create()
            client.beta.threads.messages.create(thread.id, role="user", content="wait 3\nsay after all")
            run = client.beta.threads.runs.create(thread_id=thread.id, assistant_id=assistant.id)
            gateway = next(pid for pid, (name, _) in descendants(serve.process.pid).items() if name == "carrel-gateway")
            os.kill(gateway, signal.SIGKILL)
            serve.wait_for("died", 20, program="gateway")
            serve.wait_for("ready", RECOVER_SECONDS, program="gateway")
            # The same address and key; the run that was on its way ends, and the thread can be used.
            ended = wait_until(lambda: (now := client.beta.threads.runs.retrieve(run.id, thread_id=thread.id)).status
                               not in ("queued", "in_progress") and now, 30, "the run has ended")
            self.assertIn(ended.status, ("completed", "failed"))
            again = client.beta.threads.runs.create_and_poll(
                thread_id=thread.id, assistant_id=assistant.id,
                additional_messages=[{"role": "user", "content": "python print('alive')"}])
            self.assertEqual(again.status, "completed", again)
            self.assertEqual(serve.stop(), 0)

    def test_without_a_model_everything_else_works_and_a_run_says_what_to_configure(self):
        with Serve(BIN) as serve:
            self.assertEqual(serve.facts["model"], "")
            client = openai.OpenAI(base_url=serve.base_url, api_key=serve.key)
            assistant = client.beta.assistants.create(model="any")
            run = client.beta.threads.create_and_run_poll(
                assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "hello"}]})
            self.assertEqual(run.status, "failed")
            self.assertIn("CARREL_MODEL_BASE_URL", run.last_error.message)
            self.assertEqual(serve.stop(), 0)

    def test_an_ordinary_user_has_all_of_it_as_himself(self):
        user = 54321 if os.geteuid() == 0 else None
        with Serve(BIN, user=user) as serve:
            note = serve.work / "note.txt"
            note.write_text("The spare key hangs behind the blue door.\n")
            serve.run("store", "add", "notes", str(note), check=0)
            self.assertIn("blue door", serve.run("search", "notes", "Where is the spare key?", check=0).stdout)
            self.assertEqual(serve.run("run", "-c", "print(6 * 7)", check=0).stdout, "42\n")
            self.assertIn("bootstrap", serve.run("keys", "list", check=0).stdout)
            gateway = next(pid for pid, (name, _) in descendants(serve.process.pid).items() if name == "carrel-gateway")
            self.assertEqual(os.stat(f"/proc/{gateway}").st_uid, user or os.geteuid())
            self.assertEqual(serve.stop(), 0)

    def test_a_model_that_is_no_url_is_a_usage_error(self):
        serve = Serve(BIN, CARREL_MODEL_BASE_URL="localhost")
        self.addCleanup(serve.__exit__)
        done = serve.run("serve", *serve.flags, check=2, timeout=60)
        self.assertIn("the model's base URL is not a usable URL", done.stderr)
        self.assertIn("gateway refuses its configuration", done.stderr)

    def test_a_proxy_s_password_is_in_no_argument_list(self):
        with Serve(BIN, CARREL_MODEL_BASE_URL="http://192.0.2.1/v1", CARREL_MODEL_PROXY_URL="http://me:pass-word@127.0.0.1:9") as serve:
            family = {serve.process.pid, *descendants(serve.process.pid)}
            arguments = b"".join(path.read_bytes() for path in (pathlib.Path(f"/proc/{pid}/cmdline") for pid in family) if path.exists())
            self.assertIn(b"carrel-gateway", arguments)
            self.assertNotIn(b"pass-word", arguments)
            self.assertNotIn("pass-word", serve.run("serve", "--print-config", check=0).stdout)
            self.assertEqual(serve.stop(), 0)

    def test_a_bootstrap_key_is_used_and_not_shown_and_a_stop_leaves_nothing(self):
        with Serve(BIN, CARREL_BOOTSTRAP_KEY="sk-chosen-by-the-operator") as serve:
            client = openai.OpenAI(base_url=serve.base_url, api_key="sk-chosen-by-the-operator")
            client.files.create(file=("note.txt", b"kept"), purpose="assistants")
            self.assertEqual(serve.key, "sk-chosen-by-the-operator")
            family = descendants(serve.process.pid)
            self.assertIn("carrel-gateway", {name for name, _ in family.values()})
            self.assertEqual(serve.stop(), 0)
            wait_until(lambda: not alive(family), 5, f"all processes are gone: {alive(family)}")
            self.assertFalse((serve.data / "run" / "gateway.json").exists())
            self.assertNotIn("sk-chosen", serve.log_text())
            # The second start knows the key without being told.
            del serve.environment["CARREL_BOOTSTRAP_KEY"]
            serve.start()
            client = openai.OpenAI(base_url=serve.base_url, api_key="sk-chosen-by-the-operator")
            self.assertEqual([file.filename for file in client.files.list().data], ["note.txt"])
            self.assertEqual(serve.stop(), 0)

    def test_a_run_that_streams_is_let_end(self):
        model = scripted_model.start()
        self.addCleanup(model.shutdown)
        with Serve(BIN, CARREL_MODEL_BASE_URL=f"http://127.0.0.1:{model.server_port}/v1") as serve:
            with subprocess.Popen([serve.carrel, "assistants", "chat", "--json", "--model", "scripted",
                                   "wait 1.5\nsay to its end"], env=serve.environment, stdout=subprocess.PIPE,
                                  text=True) as chat:
                lines = [chat.stdout.readline()]
                serve.process.terminate()
                lines += chat.stdout.read().splitlines()
            self.assertIn("thread.run.completed", [json.loads(line).get("event") for line in lines if line.strip()])
            self.assertEqual(serve.process.wait(60), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
