"""`carrel bench sandbox` and `carrel bench search`: what they print and how they end, with a server of their own and
with one that is there. Nothing here is timed: one round of everything, and whether the numbers can be numbers.

usage: bench_test.py BIN
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

from carrel_serve import Serve, descendants

BIN = sys.argv.pop(1) if len(sys.argv) > 1 else "build/bin"
SHORT = ["--rounds", "1", "--concurrency", "1,2", "--seconds", "1", "--sessions", "2"]
SMALL = ["--sizes", "100,200", "--questions", "8", "--passing", "0.5", "--types", "txt,html", "--pages", "2"]
# Of a session's start and end, in the order in which they pass; "jail" is all of the jailer's.
JAIL_STEPS = ["jail_init", "jail_mounts", "jail_forked", "jail_let_go", "jail_entered"]


def carrel(*arguments, timeout=240):
    with tempfile.TemporaryDirectory(dir="/var/tmp") as data:
        cgroups = [] if os.geteuid() == 0 else ["--set", "jail.allow_no_cgroup=true"]
        return subprocess.run([f"{BIN}/carrel", *arguments, *cgroups], capture_output=True, text=True, timeout=timeout,
                              env={**os.environ, "CARREL_DATA": data})


class Numbers(unittest.TestCase):
    """What both programs' JSON has in common."""

    def assertSeries(self, series, n=None, in_one=lambda value: value):
        self.assertGreaterEqual(series["n"], 1)
        if n is not None:
            self.assertEqual(series["n"], n)
        quantiles = [in_one(series[name]) for name in ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms") if name in series]
        self.assertGreaterEqual(len(quantiles), 4)
        self.assertEqual(quantiles, sorted(quantiles), series)
        self.assertGreater(quantiles[0], 0, series)
        self.assertLess(quantiles[-1], 240_000, "milliseconds, not another unit")

    def assertSandbox(self, report):
        self.assertEqual(report["format"], 1)
        series = report["series"]
        for name in ("pooled_start", "pooled_first_result", "forked_start", "forked_first_result"):
            self.assertSeries(series[name], n=1)
        self.assertSeries(series["live_call"], n=10)
        self.assertSeries(series["figure_call"], n=1)
        self.assertSeries(series["end"], n=2)
        # A first result takes longer than the session that gives it.
        for start in ("pooled", "forked"):
            self.assertLess(series[f"{start}_start"]["p50_ms"], series[f"{start}_first_result"]["p50_ms"])
        self.assertEqual([entry["concurrency"] for entry in report["throughput"]], [1, 2])
        for entry in report["throughput"]:
            self.assertSeries(entry["execution"])
            # They all end in the measured time, or a little after it.
            self.assertLessEqual(entry["per_second"], entry["execution"]["n"] / 1.0)
            self.assertGreater(entry["per_second"], 0)
        self.assertEqual(report["memory"]["sessions"], 2)
        self.assertGreaterEqual(report["memory"]["bytes"], 0)

    def assertSteps(self, statistics):
        """The server's own: in microseconds, the jailer's counted from the request's coming."""
        steps = {step["step"]: step for step in statistics["steps"]}
        self.assertLessEqual({"jail", "greet", "warm", "start_pooled", "start_forked", "end", *JAIL_STEPS}, set(steps))
        for step in steps.values():
            quantiles = [int(step.get(name, 0)) for name in ("p50_us", "p95_us", "p99_us", "max_us")]
            self.assertEqual(quantiles, sorted(quantiles), step)
            self.assertGreater(int(step["count"]), 0)
        passed = [int(steps[name]["max_us"]) for name in JAIL_STEPS]
        self.assertEqual(passed[-1], max(passed), "it has entered last")
        self.assertGreater(passed[-1], 100, "microseconds, not another unit")
        self.assertGreaterEqual(int(statistics["events"]["started_forked"]), 1)
        self.assertGreaterEqual(int(statistics["events"]["started_pooled"]), 1)

    def assertSearch(self, report):
        self.assertEqual(report["format"], 1)
        self.assertEqual(len(report["sizes"]), 2)
        for size, at_least in zip(report["sizes"], (100, 200)):
            self.assertGreaterEqual(size["passages"], at_least)
            self.assertGreater(size["ingest_passages_per_second"], 0)
            for legs in ("both", "vectors", "keywords"):
                self.assertSeries(size[legs], n=8)
            self.assertSeries(size["both"]["embed"], n=8)
            self.assertLessEqual(size["both"]["embed"]["p50_ms"], size["both"]["max_ms"], "a part of the whole")
            self.assertNotIn("embed", size["keywords"], "no vector is asked for")
            self.assertEqual([entry["passing"] for entry in size["filters"]], [0.5])
            self.assertSeries(size["filters"][0], n=8)
            self.assertGreater(size["filters"][0]["times_unfiltered"], 0)
            self.assertTrue(0.9 <= size["vector_recall_at_10"] <= 1, size["vector_recall_at_10"])
        self.assertEqual([entry["type"] for entry in report["types"]], ["html", "txt"])
        for entry in report["types"]:
            self.assertEqual(entry["documents"], 1)
            for name in ("seconds", "bytes_per_second", "passages_per_second"):
                self.assertGreater(entry[name], 0)
            self.assertTrue(0 <= entry["share_beside_the_embedder"] <= 1, entry)
        self.assertSeries(report["during_ingest"])


class OfItsOwn(Numbers):
    """Each starts a server for the time of its run."""

    def test_the_sandbox_beside_what_else_there_is(self):
        done = carrel("bench", "sandbox", "--json", *SHORT)
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(done.stdout)
        self.assertSandbox(report)
        self.assertSteps(report["statistics"])
        self.assertGreater(report["cold_start_ms"], 0)
        self.assertSeries(report["series"]["bare_fork"], n=2)
        self.assertGreater(report["bare_forks_per_second"], 0)
        compared = {"first result from the zygote / bare fork": ("forked_first_result", "bare_fork")}
        if "bubblewrap_imports" in report["series"]:
            self.assertSeries(report["series"]["bubblewrap"], n=1)
            compared["bubblewrap with imports / first result from the pool"] = ("bubblewrap_imports", "pooled_first_result")
        else:
            self.assertIn("bwrap was not measured: ", done.stderr)
        for name, (above, below) in compared.items():
            ratio = report["series"][above]["p50_ms"] / report["series"][below]["p50_ms"]
            self.assertAlmostEqual(report["ratios"][name] / ratio, 1, delta=0.02, msg=name)
        self.assertIn("throw-away executions / bare forks, a second", report["ratios"])
        self.assertNotIn("jupyter_start", report["series"], "it was not asked for")

    def test_the_sandbox_compared_with_nothing_for_people(self):
        done = carrel("bench", "sandbox", "--no-baselines", "--rounds", "1", "--concurrency", "1", "--seconds", "1",
                      "--sessions", "0")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"(?m)^milliseconds +p50 +p95 +p99 +max +n$")
        self.assertRegex(done.stdout, r"(?m)^  a call in a live session \(1 \+ 1\)( +\d+\.\d\d){4}   10$")
        self.assertRegex(done.stdout, r"(?m)^steps of a session's start and end, in microseconds +p50 +p95 +max +n$")
        self.assertRegex(done.stdout, r"(?m)^   1 at once: +\d+\.\d a second, p50 ")
        self.assertNotIn("fork of the same process", done.stdout)
        self.assertNotIn(" / bare fork", done.stdout)
        self.assertNotIn("sessions at once", done.stdout)

    def test_search(self):
        done = carrel("bench", "search", "--json", *SMALL)
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(done.stdout)
        self.assertSearch(report)
        for size in report["sizes"]:
            self.assertGreater(size["memory_bytes"], 1 << 20)
            self.assertGreater(size["disk_bytes"], 1 << 10)


class OfSomebody(Numbers):
    """--server: `carrel serve`, which is as it was when they have gone."""

    @classmethod
    def setUpClass(cls):
        cls.serve = Serve(BIN)
        cls.addClassCleanup(cls.serve.__exit__)
        cls.serve.start()

    def socket(self, part):
        found = [path for path in self.serve.data.rglob("*.sock") if path.name.startswith(part)]
        self.assertEqual(len(found), 1, found)
        return f"unix:{found[0]}"

    def test_the_sandbox(self):
        before = set(descendants(self.serve.process.pid).values())
        done = self.serve.run("bench", "sandbox", "--json", "--server", self.socket("interpreter"), "--no-baselines", *SHORT)
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(done.stdout)
        self.assertSandbox(report)
        self.assertEqual(report["cold_start_ms"], -1, "nobody has seen it start")
        self.assertEqual(report["bare_forks_per_second"], 0)
        self.assertNotIn("bare_fork", report["series"])
        self.assertEqual(report["statistics"].get("sessions", "0"), "0", "its sessions are gone")
        servers = {name for name, _ in before if name.startswith(("carrel-", "python"))}
        now = {name for name, _ in descendants(self.serve.process.pid).values()}
        self.assertLessEqual(servers, now, "it still runs")

    def test_search_leaves_no_store(self):
        done = self.serve.run("bench", "search", "--json", "--server", self.socket("retrieval"), *SMALL)
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(done.stdout)
        self.assertSearch(report)
        for size in report["sizes"]:
            self.assertEqual((size["memory_bytes"], size["disk_bytes"]), (0, 0), "another's are not known")
        self.assertEqual(self.serve.run("store", "list", check=0).stdout, "")

    def test_the_wrong_server_is_no_server(self):
        done = self.serve.run("bench", "sandbox", "--server", self.socket("retrieval"), "--no-baselines", *SHORT)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("carrel: ", done.stderr)


class OfNobody(unittest.TestCase):
    def test_a_server_that_is_not_there_is_named(self):
        for bench in ("sandbox", "search"):
            for address in ("unix:/nowhere/carrel.sock", "127.0.0.1:1"):
                with self.subTest(bench=bench, address=address):
                    began = time.monotonic()
                    done = carrel("bench", bench, "--json", "--server", address)
                    self.assertEqual(done.returncode, 3, done.stderr)
                    self.assertIn(address, done.stderr)
                    self.assertRegex(done.stderr, r"^carrel: ")
                    self.assertEqual(json.loads(done.stdout)["error"]["code"], "UNAVAILABLE")
                    self.assertLess(time.monotonic() - began, 20)

    def test_what_is_no_address_is_wrong_usage(self):
        for bench in ("sandbox", "search"):
            with self.subTest(bench=bench):
                done = carrel("bench", bench, "--server", "wombat")
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn("wombat", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
