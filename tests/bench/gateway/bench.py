"""What the gateway adds to the model's own time, and how it bears many runs at once.

usage: bench.py BINARIES [--rounds N] [--runs N] [--model-seconds S] [--json]

The real carrel-gateway over HTTP, with the real interpreter in its jail and a scripted model on this machine. Whatever is
measured through the gateway is measured in the same round with the model spoken to directly, so that load on the machine
meets both; overheads are differences of one round. Exits with 1 when a run did not complete.
"""

import argparse
import json
import os
import pathlib
import platform
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "support"))

import scripted_model  # noqa: E402
from gateway_process import Gateway, Interpreter, Peer, work_directory  # noqa: E402

CODE_TOOL = {"type": "function", "function": {"name": "code_interpreter", "parameters": {
    "type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]}}}
# Runs that share a thread: enough to keep its container warm, few enough that the history stays what people have.
RUNS_OF_A_THREAD = 10


class Series:
    """Milliseconds of one thing, measured many times."""

    def __init__(self, name, aim=None):
        self.name, self.aim, self.values = name, aim, []

    def add(self, seconds):
        self.values.append(seconds * 1000)

    def quantile(self, q):
        ordered = sorted(self.values)
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))]

    def facts(self):
        return {"name": self.name, "n": len(self.values), "p50_ms": round(self.quantile(0.5), 3),
                "p95_ms": round(self.quantile(0.95), 3), "p99_ms": round(self.quantile(0.99), 3),
                **({"aim_p50_ms": self.aim} if self.aim else {})}

    def line(self):
        aim = f"   aim p50 <= {self.aim} ms: {'held' if self.quantile(0.5) <= self.aim else 'MISSED'}" if self.aim else ""
        return (f"{self.name:<58} p50 {self.quantile(0.5):8.2f}   p95 {self.quantile(0.95):8.2f}   "
                f"p99 {self.quantile(0.99):8.2f} ms   n {len(self.values)}{aim}")


class Bench:
    def __init__(self, options, model, gateway):
        self.options, self.model, self.gateway = options, model, gateway
        self.series = []
        self.peer = Peer.of_gateway(gateway.port)
        self.direct = Peer(model.server_port, Content_Type="application/json")
        self.assistant = self.peer.ask("POST", "/v1/assistants", {"model": "scripted"})["id"]
        self.coder = self.peer.ask("POST", "/v1/assistants",
                                   {"model": "scripted", "tools": [{"type": "code_interpreter"}]})["id"]

    def measure(self, name, aim=None):
        self.series.append(Series(name, aim))
        return self.series[-1]

    # --- the two ways of asking ---

    def ask_model(self, messages, tools=None):
        """Streams one completion; gives the seconds, and the seconds from the model's clock word to here if there is one."""
        request = {"model": "scripted", "messages": messages, "stream": True, "stream_options": {"include_usage": True}}
        if tools:
            request["tools"] = tools
        begun, seen = time.monotonic(), None
        for _, data in self.direct.events("/v1/chat/completions", request):
            if seen is None and data != "[DONE]":
                choices = json.loads(data)["choices"]
                if choices and (text := choices[0]["delta"].get("content")):
                    seen = (time.monotonic(), text)
        return time.monotonic() - begun, seen

    def run(self, thread, assistant):
        """Streams one run; gives the seconds, and the moment and text of the first delta."""
        begun, seen, over = time.monotonic(), None, None
        for name, data in self.peer.events(f"/v1/threads/{thread}/runs", {"assistant_id": assistant, "stream": True}):
            if name == "thread.message.delta" and seen is None:
                now = time.monotonic()
                seen = (now, json.loads(data)["delta"]["content"][0]["text"]["value"])
            over = name if name.startswith("thread.run.") and ".step." not in name else over
        took = time.monotonic() - begun
        if over != "thread.run.completed":
            raise SystemExit(f"bench.py: a run ended with {over}: {data}")
        return took, seen

    def new_thread(self, text):
        return self.peer.ask("POST", "/v1/threads", {"messages": [{"role": "user", "content": text}]})["id"]

    def new_thread_with_a_run(self, messages=20):
        thread = self.new_thread("words 20")
        for _ in range(messages - 2):
            self.peer.ask("POST", f"/v1/threads/{thread}/messages", {"role": "user", "content": "words 20"})
        self.run(thread, self.assistant)
        return thread

    # --- what is measured ---

    def overheads(self):
        """(a), (b), (c): one run at a time."""
        plain = self.measure("(a) run, plain answer: over the model's own time", 10)
        code = self.measure("(b) run with a code call, live container: over the model's", 15)
        first = self.measure("(c) first streamed token: after the model's", 3)
        first_direct = self.measure("    first token, model spoken to directly")
        plain_direct = self.measure("    plain answer, model spoken to directly")
        code_direct = self.measure("    the two answers around a code call, directly")
        words, python = "clock\nwords 20", "python 1+1"
        for round_number in range(self.options.rounds):
            if round_number % RUNS_OF_A_THREAD == 0:
                thread, code_thread = self.new_thread(words), self.new_thread(python)
                self.run(code_thread, self.coder)  # makes the container
            took, (seen, text) = self.ask_model([{"role": "user", "content": words}])
            plain_direct.add(took)
            first_direct.add(seen - float(text))
            self.peer.ask("POST", f"/v1/threads/{thread}/messages", {"role": "user", "content": words})
            ran, (seen, text) = self.run(thread, self.assistant)
            plain.add(ran - took)
            first.add(seen - float(text))
            question = [{"role": "user", "content": python}]
            result = {"role": "tool", "tool_call_id": "call_1", "content": "2"}
            took = self.ask_model(question, [CODE_TOOL])[0] + self.ask_model([*question, result], [CODE_TOOL])[0]
            code_direct.add(took)
            self.peer.ask("POST", f"/v1/threads/{code_thread}/messages", {"role": "user", "content": python})
            code.add(self.run(code_thread, self.coder)[0] - took)

    def small_requests(self, when, thread):
        """(e): what people's polling loops ask."""
        run = self.peer.ask("GET", f"/v1/threads/{thread}/runs?limit=1")["data"][0]["id"]
        asked = [("GET /healthz (HTTP alone)", "GET", "/healthz", None),
                 ("GET run", "GET", f"/v1/threads/{thread}/runs/{run}", None),
                 ("GET run's steps", "GET", f"/v1/threads/{thread}/runs/{run}/steps", None),
                 ("GET messages (20 of a thread)", "GET", f"/v1/threads/{thread}/messages", None),
                 ("GET assistants", "GET", "/v1/assistants", None),
                 ("POST thread (durable)", "POST", "/v1/threads", {})]
        series = [self.measure(f"(e) {name}, {when}") for name, *_ in asked]
        for _ in range(self.options.rounds):
            for one, (_, method, path, value) in zip(series, asked):
                begun = time.monotonic()
                self.peer.ask(method, path, value)
                one.add(time.monotonic() - begun)

    def many(self, assistant, order):
        """(d): all at once, each streamed to a reader of its own."""
        count, seconds = self.options.runs, self.options.model_seconds
        orders = f"wait {seconds:g}\n{order}"
        threads = [self.new_thread(orders) for _ in range(count)]
        polled = self.new_thread_with_a_run()
        before = self.gateway.facts()
        direct = self.at_once(count, lambda _: Peer(self.model.server_port, Content_Type="application/json"),
                              lambda peer, _: list(peer.events("/v1/chat/completions", {
                                  "model": "scripted", "stream": True, "messages": [{"role": "user", "content": orders}]}))[-1])
        ran = self.at_once(count, lambda _: Peer.of_gateway(self.gateway.port),
                           lambda peer, i: list(peer.events(f"/v1/threads/{threads[i]}/runs", {
                               "assistant_id": assistant, "stream": True}))[-2],
                           meanwhile=lambda: self.small_requests(f"{count} runs in flight ({order})", polled))
        ends = [json.loads(end[1])["status"] if end[0] != "error" else "error" for end in ran["ends"]]
        after = self.gateway.facts()
        return {"runs": count, "order": order, "model_seconds": seconds, "completed": ends.count("completed"),
                "wall_s": round(ran["wall"], 2), "wall_direct_s": round(direct["wall"], 2),
                "rss_before_mib": before["VmRSS"] >> 10, "rss_mib": after["VmRSS"] >> 10,
                "rss_peak_mib": after["VmHWM"] >> 10, "threads": after["Threads"]}

    def at_once(self, count, connect, ask, meanwhile=None):
        peers, ends = [connect(i) for i in range(count)], [None] * count
        begun = time.monotonic()

        def one(i):
            ends[i] = ask(peers[i], i)

        threads = [threading.Thread(target=one, args=(i,)) for i in range(count)]
        for thread in threads:
            thread.start()
        if meanwhile:
            time.sleep(0.5)
            meanwhile()
        for thread in threads:
            thread.join()
        wall = time.monotonic() - begun
        for peer in peers:
            peer.close()
        return {"wall": wall, "ends": ends}


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    return {"cpus": os.cpu_count(), "cpu": model, "kernel": platform.release(), "load_1_min": os.getloadavg()[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("binaries")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--model-seconds", type=float, default=5.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    model = scripted_model.start()
    with (work_directory() as directory, Interpreter(options.binaries, directory) as interpreter,
          Gateway.real(options.binaries, directory, model.server_port, interpreter.address) as gateway):
        bench = Bench(options, model, gateway)
        bench.overheads()
        bench.small_requests("idle", bench.new_thread_with_a_run())
        many = [bench.many(bench.assistant, "words 20"), bench.many(bench.coder, "python 6*7")]
    if options.json:
        print(json.dumps({"machine": machine(), "series": [one.facts() for one in bench.series], "at_once": many}, indent=1))
    else:
        for one in sorted(bench.series, key=lambda s: s.name.startswith("(e)")):
            print(one.line())
        for one in many:
            print(f"(d) {one['completed']} of {one['runs']} runs at once ({one['order']}) completed, model "
                  f"{one['model_seconds']:g} s: wall {one['wall_s']} s (the model directly: {one['wall_direct_s']} s), gateway's "
                  f"memory {one['rss_before_mib']} -> {one['rss_mib']} MiB, {one['threads']} threads")
    sys.exit(0 if all(one["completed"] == one["runs"] for one in many) else 1)


if __name__ == "__main__":
    main()
