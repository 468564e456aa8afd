"""kill -9 of the gateway in the midst of runs: what a restart makes of them.

usage: crash_test.py BINARY [--kills N] [--runs N] [--seed N] [--real]

BINARY is gateway_with_fakes, or with --real the directory of the executables (then code runs in the real interpreter). Each
round puts runs into every phase (queued, waiting for the model, streaming, in a code call, requires_action), half of them
with a stream attached, kills the gateway at a random moment, starts it again on the same data, and holds what it finds
against what must be true:

* whatever was acknowledged is there; a run and its events are whole or not there at all;
* every run ends completed, or failed with a reason that names the restart, or waits for its client and can be answered;
* no run, step or message of a run that is over is left open; what is complete says what the model said, once;
* the log is a life: numbers that rise, a beginning, one end which is the last, nothing closed that was not opened;
* no code ran twice (with the fakes, which write down what they run);
* every stream came to an end when the gateway died; every thread takes a new run, and completes it.
"""

import argparse
import contextlib
import itertools
import json
import pathlib
import random
import sqlite3
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "support"))

import scripted_model  # noqa: E402
from gateway_process import Gateway, Interpreter, Peer, Refused, work_directory  # noqa: E402

FINAL = ("completed", "failed", "cancelled", "expired", "incomplete")
SETTLE_SECONDS = 60
# What a question brings a run to, and what it answers in the end (None: whatever the client's output makes of it).
PHASES = {
    "done": ("say Quick.", "Quick."),
    "model": ("wait 1\nsay Thought.", "Thought."),
    "streaming": ("pace 0.02\nwords 50", "word " * 50),
    "code": ("python import time; time.sleep(1); print('ran')", "They said: ran"),
    "action": ("call f {}", None),
}
numbers = itertools.count(1)  # so that each piece of code is told from every other
# RunEventKind of gateway/types/run.h, in its order.
KINDS = ("thread.created", "run.created", "run.queued", "run.in_progress", "run.requires_action", "run.completed",
         "run.incomplete", "run.failed", "run.cancelling", "run.cancelled", "run.expired", "step.created",
         "step.in_progress", "step.delta", "step.completed", "step.failed", "step.cancelled", "step.expired",
         "message.created", "message.in_progress", "message.delta", "message.completed", "message.incomplete")


def check(truth, what):
    if not truth:
        raise AssertionError(what() if callable(what) else what)


class Round:
    """Runs, a kill, a restart, and the questions after it."""

    def __init__(self, gateway, threads, dice):
        self.gateway, self.threads, self.dice = gateway, threads, dice
        self.known = {}  # run id -> (thread, phase), of what the gateway acknowledged
        self.complaints = []
        self.phase_at_kill = {}

    def everything(self, assistant):
        orders = [self.dice.choice(list(PHASES)) for _ in self.threads]
        workers = [threading.Thread(target=self.one, args=(assistant, thread, phase, self.dice.random() < 0.5))
                   for thread, phase in zip(self.threads, orders)]
        for worker in workers:
            worker.start()
        moment = self.dice.uniform(0.02, self.dice.choice([0.3, 1.8]))
        time.sleep(moment)
        self.gateway.kill()
        for worker in workers:
            worker.join(20)
            check(not worker.is_alive(), "a client hangs after the gateway has died")
        check(not self.complaints, lambda: "; ".join(self.complaints))
        return moment

    def one(self, assistant, thread, phase, streamed):
        question = PHASES[phase][0] + (f"  # {next(numbers)}" if phase == "code" else "")
        wanted = {"assistant_id": assistant, "additional_messages": [{"role": "user", "content": question}]}
        try:
            with contextlib.closing(Peer.of_gateway(self.gateway.port, timeout=15)) as peer:
                if streamed:
                    for name, data in peer.events(f"/v1/threads/{thread}/runs", {**wanted, "stream": True}):
                        if name == "thread.run.created":
                            self.known[json.loads(data)["id"]] = (thread, phase)
                        self.phase_at_kill[thread] = name
                else:
                    run = peer.ask("POST", f"/v1/threads/{thread}/runs", wanted)
                    self.known[run["id"]] = (thread, phase)
                    while run["status"] not in (*FINAL, "requires_action"):
                        time.sleep(0.03)
                        run = peer.ask("GET", f"/v1/threads/{thread}/runs/{run['id']}")
                        self.phase_at_kill[thread] = run["status"]
        except TimeoutError:
            self.complaints.append(f"a {'stream' if streamed else 'question'} of {thread} ({phase}) did not end")
        except OSError:
            pass  # the gateway died: the connection says so at once
        except Refused as refused:
            self.complaints.append(f"{thread} ({phase}) was refused: {refused}")


class After:
    """What is found after the restart."""

    def __init__(self, gateway, threads, known):
        self.threads, self.known = threads, known
        self.peer = Peer.of_gateway(gateway.port)
        self.ends = {}

    def settle(self):
        """Every thread's runs come to an end, those that wait for their client with its help."""
        end = time.monotonic() + SETTLE_SECONDS
        for thread in self.threads:
            while run := next((run for run in self.runs(thread) if run["status"] not in FINAL), None):
                check(time.monotonic() < end, lambda: f"still not over after {SETTLE_SECONDS} s: {run}")
                if run["status"] == "requires_action":
                    calls = run["required_action"]["submit_tool_outputs"]["tool_calls"]
                    self.peer.ask("POST", f"/v1/threads/{thread}/runs/{run['id']}/submit_tool_outputs",
                                  {"tool_outputs": [{"tool_call_id": call["id"], "output": "seven"} for call in calls]})
                else:
                    time.sleep(0.02)

    def runs(self, thread):
        return self.peer.ask("GET", f"/v1/threads/{thread}/runs?limit=100")["data"]

    def judge(self, thread):
        runs = self.runs(thread)
        for run in runs:
            base = f"/v1/threads/{thread}"
            steps = self.peer.ask("GET", f"{base}/runs/{run['id']}/steps?limit=100&order=asc")["data"]
            messages = self.peer.ask("GET", f"{base}/messages?limit=100&order=asc&run_id={run['id']}")["data"]
            self.judge_run(run, steps, messages)
        for run, (where, _) in self.known.items():
            check(where != thread or any(found["id"] == run for found in runs), f"{run} was acknowledged and is gone")

    def judge_run(self, run, steps, messages):
        phase = self.known.get(run["id"], (None, None))[1]
        facts = lambda: json.dumps([phase, run, steps, messages])  # noqa: E731
        self.ends[run["id"]] = run["status"]
        check(all(step["status"] != "in_progress" for step in steps), facts)
        check(all(message["status"] != "in_progress" for message in messages), facts)
        if run["status"] == "failed":
            check(phase in (None, "code") and "restarted" in run["last_error"]["message"], facts)
        else:
            check(run["status"] == "completed", facts)
            answers = ["".join(part["text"]["value"] for part in message["content"]) for message in messages]
            check(len(answers) == 1, facts)
            expected = PHASES[phase][1] if phase else None
            check(expected is None or answers[0].strip() == expected.strip(), facts)

    def every_thread_can_be_used(self, assistant):
        for thread in self.threads:
            run = self.peer.ask("POST", f"/v1/threads/{thread}/runs", {
                "assistant_id": assistant, "additional_messages": [{"role": "user", "content": "say Quick."}]})
            self.known[run["id"]] = (thread, "done")
        self.settle()


def judge_log(database):
    """The stored log of every run, against the grammar of a life."""
    with contextlib.closing(sqlite3.connect(database)) as db:
        statuses = dict(db.execute("SELECT id, active FROM runs"))
        lives = {}
        for run, sequence, kind, thing in db.execute("SELECT run, sequence, kind, object FROM run_events ORDER BY run, sequence"):
            lives.setdefault(run, []).append((sequence, KINDS[kind], thing))
        check(set(lives) == set(statuses), "a run without a log, or a log without a run")
        check(not any(statuses.values()), "a run is still active")
        for run, events in lives.items():
            kinds = [kind for _, kind, _ in events]
            facts = lambda: f"{run}: {events}"  # noqa: E731
            numbers = [sequence for sequence, _, _ in events]
            check(numbers[0] == 1 and all(a < b for a, b in zip(numbers, numbers[1:])), facts)
            check(kinds[:2] == ["run.created", "run.queued"], facts)
            ends = [i for i, kind in enumerate(kinds) if kind in ("run.completed", "run.failed")]
            check(ends == [len(kinds) - 1], facts)
            opened = set()
            for _, kind, thing in events:
                what, how = kind.split(".")
                if what == "run":
                    continue
                if how == "created":
                    check(thing not in opened, facts)
                    opened.add(thing)
                check(thing in opened, facts)
                if how in ("completed", "failed", "cancelled", "expired", "incomplete"):
                    opened.remove(thing)
            check(not opened, facts)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--real", action="store_true")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    dice = random.Random(options.seed)
    model = scripted_model.start()
    in_flight = options.runs * 2 // 3  # the others wait in the queue
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(work_directory())
        if options.real:
            interpreter = stack.enter_context(Interpreter(options.binary, directory))
            gateway = Gateway.real(options.binary, directory, model.server_port, interpreter.address,
                                   gateway__runs_in_flight_max=in_flight)
            database = directory / "gateway/gateway.db"
        else:
            gateway = Gateway([options.binary, directory, f"http://127.0.0.1:{model.server_port}/v1", "127.0.0.1:0", in_flight],
                              directory)
            database = directory / "gateway.db"
        stack.enter_context(gateway)
        peer = Peer.of_gateway(gateway.port)
        function = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
        assistant = peer.ask("POST", "/v1/assistants",
                             {"model": "scripted", "tools": [{"type": "code_interpreter"}, function]})["id"]
        threads = [peer.ask("POST", "/v1/threads", {})["id"] for _ in range(options.runs)]
        known = {}
        for kill in range(1, options.kills + 1):
            this = Round(gateway, threads, dice)
            moment = this.everything(assistant)
            known |= this.known
            begun = time.monotonic()
            gateway.start()
            after = After(gateway, threads, known)
            after.settle()
            settled = time.monotonic() - begun
            if kill == options.kills:
                after.every_thread_can_be_used(assistant)
            for thread in threads:
                after.judge(thread)
            ends = [after.ends[run] for run in this.known]
            print(f"kill {kill} after {moment:.2f} s: {len(ends)} runs acknowledged, "
                  f"{sum(run not in known for run in after.ends)} more on record; {ends.count('completed')} completed, "
                  f"{ends.count('failed')} failed with the reason; settled {settled:.1f} s after the start", flush=True)
        check(gateway.stop() == 0, "the gateway does not end well")
        if not options.real:
            executed = (directory / "executed").read_text().splitlines()
            check(executed and len(set(executed)) == len(executed), lambda: f"code ran twice: {sorted(executed)}")
        judge_log(database)
    model.shutdown()


if __name__ == "__main__":
    main()
