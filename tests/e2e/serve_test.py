"""`carrel serve` and the command line, end to end: real jails, real documents, and kill -9 of everything.

usage: serve_test.py BIN
"""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
import unittest

from carrel_serve import Serve, alive, descendants, wait_until
from pdf import make_pdf

BIN = sys.argv.pop(1) if len(sys.argv) > 1 else "build/bin"
RECOVER_SECONDS = 90
# With a cgroup the kernel ends the code; without one (an ordinary user) RLIMIT_DATA makes it a MemoryError.
MEMORY_EXIT = 4 if os.geteuid() == 0 else 1

PLOT = """import pandas as pd, matplotlib.pyplot as plt
frame = pd.DataFrame({"a": [1, 2, 3]})
plt.plot(frame.a)
plt.savefig("plot.png")
print("drawn")
int(frame.a.sum())"""



def page(facts, number):
    """A page of prose around the facts: long enough that a passage does not cover all of the document."""
    filler = [f"Note {number}.{line} of this handbook repeats what every workshop knows about shelf {number * 31 + line}."
              for line in range(1, 41)]
    return "\n".join(filler[:20] + facts + filler[20:])


PAGES = [page(["The pump is primed before the first start.", "Turn the valve a quarter to the left."], 1),
         page(["The battery lasts four hours.", "A full charge takes ninety minutes with the supplied charger."], 2),
         page(["Clean the filter every week with warm water.", "Never use solvents."], 3)]


class Running(unittest.TestCase):
    """One server for all of these; none of them breaks it."""

    @classmethod
    def setUpClass(cls):
        cls.serve = Serve(BIN)
        cls.addClassCleanup(cls.serve.__exit__)
        cls.serve.start()

    def test_code_prints_and_shows_its_last_value(self):
        done = self.serve.run("run", "-c", "print('hello')\n6 * 7", check=0)
        self.assertEqual(done.stdout, "hello\n42\n")

    def test_a_session_keeps_variables_and_saves_a_plot_that_opens(self):
        out = self.serve.work / "out"
        done = self.serve.run("run", "--session", "s", "--out", str(out), "-c", PLOT, check=0)
        self.assertIn("drawn\n", done.stdout)
        self.assertIn("6\n", done.stdout)
        self.assertEqual((out / "plot.png").read_bytes()[:8], b"\x89PNG\r\n\x1a\n")
        self.assertEqual((out / "figure-1.png").read_bytes()[:8], b"\x89PNG\r\n\x1a\n")
        self.assertEqual(self.serve.run("run", "--session", "s", "-c", "len(frame)", check=0).stdout, "3\n")

    def test_a_file_goes_in_and_comes_out_changed(self):
        table = self.serve.work / "table.csv"
        table.write_text("x\n1\n2\n")
        out = self.serve.work / "out2"
        code = "import pandas as pd; f = pd.read_csv('table.csv'); f['y'] = f.x * 2; f.to_csv('deep.csv', index=False)"
        self.serve.run("run", "--file", str(table), "--out", str(out), "-c", code, check=0)
        self.assertEqual((out / "deep.csv").read_text(), "x,y\n1,2\n2,4\n")

    def test_exit_codes(self):
        for code, limits, expected in [("1 / 0", [], 1), ("import sys; sys.exit(3)", [], 1), ("import os; os.abort()", [], 1),
                                       ("while True: pass", ["wall_ms=500"], 4),
                                       ("b = bytearray(400 << 20)\nfor i in range(0, len(b), 4096): b[i] = 1",
                                        ["memory_bytes=134217728"], MEMORY_EXIT)]:
            with self.subTest(code=code):
                flags = [flag for limit in limits for flag in ("--limit", limit)]
                self.serve.run("run", *flags, "-c", code, check=expected)
        self.serve.run("run", "--limit", "wall_ms=999999999", "-c", "1", check=2)
        self.serve.run("run", "--session", "x" * 257, "-c", "1", check=2)

    def test_json_ends_with_the_outcome(self):
        lines = self.serve.run("run", "--json", "-c", "print(1)", check=0).stdout.splitlines()
        events = [json.loads(line) for line in lines]
        self.assertIn("started", events[0])
        self.assertEqual(events[-1]["finished"]["kind"], "COMPLETED")

    def test_hostile_file_names_stay_in_the_directory(self):
        out = self.serve.work / "out3"
        code = "import os\nfor n in ['a\\nb', 'c\\x1b[2J', '-rf', 'ok']: open(n, 'w').write('x')\nos.symlink('/etc/passwd', 'link')"
        done = self.serve.run("run", "--out", str(out), "-c", code)
        names = sorted(path.name for path in out.iterdir())
        self.assertIn("ok", names)
        self.assertIn("-rf", names)
        self.assertNotIn("link", names)
        self.assertTrue(all(name.isprintable() for name in names), names)
        self.assertNotIn("\x1b", done.stderr + done.stdout)

    def test_documents_are_read_found_and_cited(self):
        manual = self.serve.work / "manual.pdf"
        manual.write_bytes(make_pdf(PAGES))
        done = self.serve.run("store", "add", "manual", str(manual), check=0)
        question = "How long does charging the battery take?"
        self.assertIn("manual.pdf  completed, 3 pages", done.stdout)
        found = json.loads(self.serve.run("search", "--json", "manual", question, check=0).stdout)
        citation = found["hits"][0]["citations"][0]
        self.assertIn("ninety minutes", citation["quote"])
        self.assertEqual((citation["first_page"], citation["last_page"]), (2, 2), citation)
        self.assertIn("manual.pdf, page 2", self.serve.run("search", "manual", question, check=0).stdout)

    def test_a_damaged_document_has_its_own_verdict(self):
        broken = self.serve.work / "broken.pdf"
        broken.write_bytes(make_pdf(PAGES)[:200])
        done = self.serve.run("store", "add", "broken", str(broken), check=1)
        self.assertIn("broken.pdf  failed: ", done.stdout)
        self.assertIn("damaged", done.stdout)

    def test_a_second_serve_says_who_has_the_data(self):
        done = self.serve.run("serve", check=2, timeout=30)
        self.assertIn(f"pid {self.serve.process.pid}", done.stderr)


class KillNine(unittest.TestCase):
    def test_kill_9_of_each_process_and_recovery(self):
        with Serve(BIN, CARREL_SERVE_RESTART_MS_MAX="400") as serve:
            note = serve.work / "note.txt"
            note.write_text("The spare key hangs behind the blue door.\n")
            serve.run("store", "add", "notes", str(note), check=0)
            serve.run("run", "--session", "kept", "-c", "x = 1", check=0)
            victims = 0
            for part in ["interpreter", "retrieval"]:
                for which in ["server", "jailer"]:
                    with self.subTest(part=part, which=which):
                        jailer = self.jailer_of(serve, part)
                        below = descendants(jailer)
                        family = {jailer: ("carrel-jailer", self.start_of(jailer)), **below}
                        pid = jailer if which == "jailer" else next(
                            pid for pid, (name, _) in below.items() if name.startswith(f"carrel-{part}"[:15]))
                        os.kill(pid, signal.SIGKILL)
                        victims += 1
                        serve.wait_for("died", 20, program=part)
                        wait_until(lambda: not alive(family), 20, f"the family of {part} is gone: {alive(family)}")
                        serve.wait_for("ready", RECOVER_SECONDS, program=part)
                        self.assertEqual(serve.run("run", "-c", "print(1)", check=0).stdout, "1\n")
                        self.assertIn("blue door", serve.run("search", "notes", "Where is the spare key?", check=0).stdout)
            self.assertEqual(victims, 4)
            self.assertEqual(serve.stop(), 0)

    def test_kill_9_inside_the_jail_leaves_the_service_working(self):
        """The nursery, the zygote, a session's init: whatever of them goes, the next call is served."""
        with Serve(BIN, CARREL_SERVE_RESTART_MS_MAX="400") as serve:
            serve.run("run", "--session", "s", "-c", "x = 1", check=0)
            jailer = self.jailer_of(serve, "interpreter")
            inside = [pid for pid, (name, _) in descendants(jailer).items() if not name.startswith("carrel-interpr")]
            self.assertGreaterEqual(len(inside), 3)
            for pid in inside:
                with self.subTest(pid=pid):
                    if not pathlib.Path(f"/proc/{pid}").exists():
                        continue  # went with one killed before
                    os.kill(pid, signal.SIGKILL)
                    wait_until(lambda: serve.run("run", "-c", "print(2)").stdout == "2\n", RECOVER_SECONDS,
                               "a call is served again")
            self.assertEqual(serve.stop(), 0)

    def test_kill_9_of_serve_leaves_nothing_and_a_new_one_takes_over(self):
        with Serve(BIN, CARREL_SERVE_RESTART_MS_MAX="400") as serve:
            note = serve.work / "note.txt"
            note.write_text("The spare key hangs behind the blue door.\n")
            serve.run("store", "add", "notes", str(note), check=0)
            serve.run("run", "--session", "s", "-c", "x = 1", check=0)
            family = descendants(serve.process.pid)
            self.assertGreaterEqual(len(family), 6)
            serve.process.kill()
            serve.process.wait()
            wait_until(lambda: not alive(family), 20, f"everything is gone: {alive(family)}")
            serve.start()
            self.assertIn("blue door", serve.run("search", "notes", "Where is the spare key?", check=0).stdout)
            self.assertEqual(serve.stop(), 0)

    def jailer_of(self, serve, part):
        for pid, (name, _) in descendants(serve.process.pid).items():
            if name == "carrel-jailer" and f"/carrel-{part}\0" in pathlib.Path(f"/proc/{pid}/cmdline").read_text():
                parent = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
                if parent == serve.process.pid:
                    return pid
        raise AssertionError(f"no jailer of {part}")

    @staticmethod
    def start_of(pid):
        return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19])


class Family:
    """Who is who below a `carrel serve`."""

    def __init__(self, serve):
        self.serve = serve

    @staticmethod
    def parent_of(pid):
        return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])

    def part(self, part):
        """The jailer of a part, or the gateway; None while there is none."""
        for pid in descendants(self.serve.process.pid):
            try:
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")
                program = "/carrel-gateway" if part == "gateway" else "/carrel-jailer"
                serves = part == "gateway" or any(word.endswith(f"/carrel-{part}") for word in words)
                if words[0].endswith(program) and serves and self.parent_of(pid) == self.serve.process.pid:
                    return pid
            except (FileNotFoundError, ProcessLookupError):
                pass
        return None

    def wait_for(self, part):
        return wait_until(lambda: self.part(part), RECOVER_SECONDS, f"there is a {part}")

    def server(self, part):
        return next(pid for pid in self.children(self.wait_for(part)) if self.name(pid).startswith(f"carrel-{part}"[:15]))

    def nursery(self, part):
        return next(pid for pid in self.children(self.wait_for(part))
                    if not self.name(pid).startswith(f"carrel-{part}"[:15]))

    def zygotes(self, part):
        return [pid for pid in self.children(self.nursery(part)) if self.name(pid).startswith("python")]

    @staticmethod
    def children(pid):
        return [int(child) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
                for child in (task / "children").read_text().split()]

    @staticmethod
    def name(pid):
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()


def what_is_left(serve, jailers):
    """Control groups of dead jailers, and files of calls that have ended."""
    groups = [str(path) for path in pathlib.Path("/sys/fs/cgroup").glob("**/carrel-*")
              if any(path.name == f"carrel-{pid}" for pid in jailers)]
    # The ledger, the socket; anything else would be a spool file that its call left behind.
    files = [str(path) for path in (serve.data / "interpreter").rglob("*")
             if path.is_file() and path.name not in ("sessions.log", "sessions.log.next")]
    return groups + files


class RandomKills(unittest.TestCase):
    """kill -9 of server, jailer, nursery, zygote, an init, a session or the gateway at moments that nobody chose, while
    calls come. CARREL_TEST_KILLS: how many (default 24); CARREL_TEST_SEED: which."""

    # A call's own end, an answer that says that it was lost or that nobody is there, and nothing else; never silence.
    TRUE_ENDS = {0: "", 1: "carrel: ", 3: "carrel: ", 6: "carrel: "}

    def test_the_service_comes_back_and_nothing_stays(self):
        seed = int(os.environ.get("CARREL_TEST_SEED", random.randrange(1 << 30)))
        kills = int(os.environ.get("CARREL_TEST_KILLS", 24))
        chance = random.Random(seed)
        mounts = len(pathlib.Path("/proc/self/mounts").read_text().splitlines())
        with self.subTest(seed=seed), Serve(BIN, CARREL_SERVE_RESTART_MS_MAX="400") as serve:
            family = Family(serve)
            serve.run("run", "--session", "before", "-c", "x = 1", check=0)
            ended = threading.Event()
            ends = []
            callers = [threading.Thread(target=self.call_until, args=(serve, ended, ends)) for _ in range(3)]
            for caller in callers:
                caller.start()
            killed = []
            jailers = set()
            try:
                while len(killed) < kills:
                    time.sleep(chance.uniform(0, 0.6))
                    part = chance.choices(["interpreter", "gateway", "retrieval"], [8, 2, 1])[0]
                    top = family.wait_for(part)
                    below = {top: (part, 0), **descendants(top)}
                    if part != "gateway":
                        jailers.add(top)
                    victim = chance.choice(list(below))
                    try:
                        os.kill(victim, signal.SIGKILL)
                    except ProcessLookupError:
                        continue  # it ended meanwhile
                    killed.append((victim, below[victim][0], below))
            finally:
                ended.set()
                for caller in callers:
                    caller.join()
            what = f"after {[name for _, name, _ in killed]}"
            wait_until(lambda: serve.run("run", "-c", "print(2)").stdout == "2\n", RECOVER_SECONDS, f"a call, {what}")
            for code, out, err in ends:
                self.assertIn(code, self.TRUE_ENDS, (out, err))
                self.assertIn(self.TRUE_ENDS[code], err)
                self.assertTrue(out == "1\n" if code == 0 else out in ("", "1\n"), (code, out, err))
            self.assertIsNone(serve.process.poll(), "what has worked is not given up")
            living = {family.part("interpreter"), family.part("retrieval"), family.part("gateway")}
            left = {}
            for _, _, members in killed:
                if not living & set(members):
                    left.update({pid: facts for pid, facts in members.items() if facts[1]})
            wait_until(lambda: not alive(left), 20, f"nothing of a dead jailer's runs: {alive(left)}")
            if any(name in ("interpreter", "carrel-interpre") for _, name, _ in killed):
                gone = serve.run("run", "--session", "before", "-c", "x")
                self.assertNotEqual(gone.returncode, 0, "its variables went with the server")
            self.assertEqual(serve.stop(), 0)
            self.assertEqual(what_is_left(serve, jailers), [])
            self.assertLessEqual(len(pathlib.Path("/proc/self/mounts").read_text().splitlines()), mounts)

    @staticmethod
    def call_until(serve, ended, ends):
        while not ended.is_set():
            # Longer than any limit of the call's: silence is an error of this test.
            done = serve.run("run", "-c", "import time; time.sleep(0.05); print(1)", timeout=120)
            ends.append((done.returncode, done.stdout, done.stderr))


class Hangs(unittest.TestCase):
    """What lives and does not answer (SIGSTOP) is noticed and replaced, one after the other; meanwhile nobody waits for
    ever, and afterwards all is as before."""

    @classmethod
    def setUpClass(cls):
        # No pool: each call needs the zygote.
        cls.serve = Serve(BIN, CARREL_SERVE_HUNG_MS_MAX="4000", CARREL_SERVE_RESTART_MS_MAX="400",
                          CARREL_INTERPRETER_POOL_SIZE="0")
        cls.addClassCleanup(cls.serve.__exit__)
        cls.serve.start()
        cls.family = Family(cls.serve)

    def stop_and_recover(self, pid, part):
        family = {pid: (self.family.name(pid), KillNine.start_of(pid))}
        os.kill(pid, signal.SIGSTOP)
        meanwhile = self.serve.run("run", "-c", "print(1)", timeout=120)
        if meanwhile.returncode != 0:
            self.assertIn("carrel: ", meanwhile.stderr)
        wait_until(lambda: not alive(family), 60, f"the one of {part} that hung is gone")
        wait_until(lambda: self.serve.run("run", "-c", "print(2)").stdout == "2\n", RECOVER_SECONDS, "a call is served")

    def test_the_gateway(self):
        self.stop_and_recover(self.family.wait_for("gateway"), "gateway")
        self.assertIn("has not answered", self.serve.wait_for("died", 5, program="gateway")["detail"])

    def test_the_server_of_the_interpreter(self):
        self.stop_and_recover(self.family.server("interpreter"), "interpreter")

    def test_the_jailer_of_the_interpreter(self):
        self.stop_and_recover(self.family.wait_for("interpreter"), "interpreter")

    def test_the_nursery_of_the_interpreter(self):
        self.stop_and_recover(self.family.nursery("interpreter"), "interpreter")
        self.assertIn("the nursery has not answered", self.serve.log_text())

    def test_the_zygote(self):
        self.assertTrue(self.family.zygotes("interpreter"))
        pid = self.family.zygotes("interpreter")[0]
        jailer = self.family.wait_for("interpreter")
        hung = {pid: ("python3", KillNine.start_of(pid))}
        os.kill(pid, signal.SIGSTOP)
        # It waits for the next zygote, which is asked in the place of the first.
        self.assertEqual(self.serve.run("run", "-c", "print(1)", check=0, timeout=120).stdout, "1\n")
        self.assertEqual(alive(hung), {})
        self.assertEqual(self.family.wait_for("interpreter"), jailer, "nothing else was replaced")

    def test_a_session_that_stops_itself_is_ended_by_its_time(self):
        code = "import os, signal; print('on'); os.kill(os.getpid(), signal.SIGSTOP)"
        done = self.serve.run("run", "--limit", "wall_ms=1000", "-c", code, check=4, timeout=60)
        self.assertEqual(done.stdout, "on\n")
        self.assertIn("time limit", done.stderr)


class Ending(unittest.TestCase):
    def test_a_clean_end_leaves_nothing_behind(self):
        for how in [signal.SIGTERM, signal.SIGINT]:
            with self.subTest(how=how), Serve(BIN) as serve:
                serve.run("run", "--session", "s", "-c", "x = 1", check=0)
                family = descendants(serve.process.pid)
                jailers = [pid for pid, (name, _) in family.items() if name == "carrel-jailer"]
                serve.process.send_signal(how)
                self.assertEqual(serve.process.wait(40), 0)
                wait_until(lambda: not alive(family), 5, f"all processes are gone: {alive(family)}")
                self.assertEqual([str(path) for path in serve.data.rglob("*.sock") if path.exists()], [])
                left = [str(path) for path in pathlib.Path("/sys/fs/cgroup").glob("**/carrel-*")
                        if any(path.name == f"carrel-{pid}" for pid in jailers)]
                self.assertEqual(left, [])

    def test_a_running_call_is_let_end(self):
        with Serve(BIN) as serve:
            code = "import time\nprint('on', flush=True)\ntime.sleep(2)\nprint('done')"
            with subprocess.Popen([serve.carrel, "run", "-c", code], env=serve.environment, stdout=subprocess.PIPE,
                                  text=True) as run:
                self.assertEqual(run.stdout.readline(), "on\n")
                serve.process.terminate()
                self.assertEqual(run.stdout.readline(), "done\n")
                self.assertEqual(run.wait(20), 0)
            self.assertEqual(serve.process.wait(40), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
