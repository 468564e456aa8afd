"""SIGINT at the drivers at every moment between two calls: one that is meant for a call is never lost, one that was meant
for the call before never hits the next. The drivers of the runtimes, without a jail; this test is their engine.

usage: driver_interrupts_test.py RUNTIME_DIRECTORY SITE_PACKAGES
"""

import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest

RUNTIME, SITE = pathlib.Path(sys.argv[1]), sys.argv[2]
HELLO, RUN, READY, DONE = 0x01, 0x02, 0x81, 0x84
FORGET_INTERRUPTS = 2
COMPLETED, RAISED = 0, 1


class Engine:
    """One driver in a session of its own."""

    def __init__(self, driver):
        self.ours, theirs = socket.socketpair()
        self.ours.settimeout(60)
        environment = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "PYTHONPATH": SITE, "IPYTHONDIR": "/tmp",
                       "MPLCONFIGDIR": "/tmp"}
        control = theirs.detach()
        self.process = subprocess.Popen(
            [sys.executable, str(driver)], env=environment, stdout=subprocess.PIPE, start_new_session=True,
            preexec_fn=lambda: os.dup2(control, 3), pass_fds=(3, control))
        os.close(control)
        self.call = 0
        self.send(struct.pack("<BHI", HELLO, 2, 1))
        assert self.receive()[0] == READY

    def send(self, body):
        self.ours.sendall(struct.pack("<I", len(body)) + body)

    def receive(self):
        def read(count):
            data = b""
            while len(data) < count:
                part = self.ours.recv(count - len(data))
                if not part:
                    raise EOFError("the driver ended")
                data += part
            return data
        return read(struct.unpack("<I", read(4))[0])

    def begin(self, code, flags=0):
        self.call += 1
        data = code.encode()
        self.send(struct.pack("<BQQBI", RUN, self.call, 1 << 20, flags, len(data)) + data)

    def end(self):
        """(status, name of the exception)"""
        while True:
            frame = self.receive()
            if frame[0] == DONE:
                call, status, _, _, length = struct.unpack_from("<QBiiH", frame, 1)
                assert call == self.call
                return status, frame[20:20 + length].decode()

    def interrupt(self):
        os.kill(self.process.pid, signal.SIGINT)

    def await_rest(self):
        """Until the driver waits for the next frame, and has seen every signal."""
        while True:
            stat = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
            pending = any("Pnd:" in line and line.split()[1].strip("0")
                          for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines())
            if stat[0] == "S" and not pending:
                return
            time.sleep(0.002)

    def close(self):
        self.ours.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Interrupts:
    driver = None
    work = quick = None

    def setUp(self):
        self.engine = Engine(self.driver)
        self.addCleanup(self.engine.close)
        self.engine.begin(self.quick)
        self.assertEqual(self.engine.end()[0], COMPLETED)

    def test_before_the_call_is_read_it_is_not_lost(self):
        for _ in range(20):
            self.engine.await_rest()
            self.engine.interrupt()
            self.engine.await_rest()
            self.engine.begin(self.work)
            self.assertEqual(self.engine.end(), (RAISED, "KeyboardInterrupt"))
            self.engine.begin(self.quick, FORGET_INTERRUPTS)
            self.assertEqual(self.engine.end()[0], COMPLETED)

    def test_together_with_the_call_it_is_not_lost(self):
        for step in range(100):
            self.engine.begin(self.work)
            time.sleep(step * 20e-6)  # 0 to 2 ms: before, while and after it is read
            self.engine.interrupt()
            self.assertEqual(self.engine.end(), (RAISED, "KeyboardInterrupt"), f"{step * 20} us after it was sent")
            self.engine.begin(self.quick, FORGET_INTERRUPTS)
            self.assertEqual(self.engine.end()[0], COMPLETED)

    def test_that_comes_late_does_not_hit_the_next_call(self):
        for _ in range(20):
            self.engine.begin(self.quick)
            self.assertEqual(self.engine.end()[0], COMPLETED)
            self.engine.interrupt()
            self.engine.await_rest()
            self.engine.begin(self.quick, FORGET_INTERRUPTS)
            self.assertEqual(self.engine.end(), (COMPLETED, ""))


class Python(Interrupts, unittest.TestCase):
    driver = RUNTIME / "python/driver/driver.py"
    work, quick = "import time\nfor _ in range(3000): time.sleep(0.02)", "x = 1"


class Bash(Interrupts, unittest.TestCase):
    driver = RUNTIME / "bash/driver/bash_driver.py"
    work, quick = "i=0; while [ $i -lt 3000 ]; do sleep 0.02; i=$((i + 1)); done", "x=1"


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
