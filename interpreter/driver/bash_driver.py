"""The driver of the runtime `bash`: cells go to one long-lived shell, so that variables, functions and the directory stay.

The shell (loop.bash) reads cells from a file and says how they ended over descriptor 9. A shell that ends by `exit`, `set
-e` or an interrupt writes down its state first, and the next one begins with it; one that ends otherwise takes the session
with it, with the same exit code or signal, for then the state is lost and nobody should believe otherwise.
"""

import os
import select
import signal
import subprocess
import sys
import time

import frames

CONTROL_FD = 3
SHELL_FD = 9  # to it; the next, from it
PLACE = "/tmp/.carrel"  # also in loop.bash
CELL = f"{PLACE}/cell"
STATE = f"{PLACE}/state"
STATE_END = b"# whole\n"
START = b"start"
# A bash that is interrupted while it reads `$(...)` loses its trap's command (it says "unexpected EOF"). A cell is read in
# milliseconds; who interrupts it within the first does so twice.
EARLY_SECONDS = 0.05
AGAIN_SECONDS = 0.1
HERE = os.path.dirname(os.path.abspath(__file__))
INTERRUPTED = {"status": frames.RAISED, "name": "KeyboardInterrupt", "value": "interrupted"}


class Shell:
    """One bash process, and our end of its descriptor 9."""

    def __init__(self):
        ours, theirs = os.pipe(), os.pipe()  # from it, to it
        self.answers, self.orders = ours[0], theirs[1]
        os.dup2(theirs[0], SHELL_FD)
        os.dup2(ours[1], SHELL_FD + 1)
        self.process = subprocess.Popen(
            ["/bin/bash", "--norc", "--noprofile", f"{HERE}/loop.bash"], stdin=subprocess.DEVNULL,
            pass_fds=(SHELL_FD, SHELL_FD + 1), process_group=0)
        for fd in (ours[1], theirs[0], SHELL_FD, SHELL_FD + 1):
            os.close(fd)
        self.ended = os.pidfd_open(self.process.pid)
        self._heard = b""
        if self._listen() is None:  # it has read the state of the one before
            self.close()
            leave_like(self.process.returncode)

    def has_ended(self):
        waiting = select.poll()
        waiting.register(self.ended, select.POLLIN)
        return bool(waiting.poll(0))

    def close(self):
        self.process.wait()
        for fd in (self.answers, self.orders, self.ended):
            os.close(fd)

    def interrupt(self):
        try:
            os.killpg(self.process.pid, signal.SIGINT)
        except ProcessLookupError:
            pass

    def run(self, started):
        """Has the cell run; calls `started` when an interrupt reaches it, just before. Returns its status, or None when
        the shell has ended."""
        try:
            os.write(self.orders, b"run\n")
        except BrokenPipeError:
            return None
        while (line := self._listen()) != START:
            if line is None:
                return None  # else somebody's whom an earlier cell left behind
        started()
        try:
            os.write(self.orders, b"go\n")
        except BrokenPipeError:
            return None
        line = self._listen()
        return None if line is None else status_of(line)

    def _listen(self):
        """The line that the shell says next, or None when it has ended."""
        # What the code starts inherits descriptor 9: only the process itself tells that it is gone.
        waiting = select.poll()
        waiting.register(self.answers, select.POLLIN)
        waiting.register(self.ended, select.POLLIN)
        while True:
            line, newline, rest = self._heard.partition(b"\n")
            if newline:
                self._heard = rest
                return line
            ready = [fd for fd, _ in waiting.poll()]
            if self.answers in ready:
                part = os.read(self.answers, 4096)
                self._heard = (self._heard + part)[-8192:]
                if not part:
                    waiting.unregister(self.answers)
            elif self.ended in ready:
                return None  # and all that it said is read


def status_of(line):
    """What loop.bash says of a cell's end; code can say it too, about its own session."""
    return int(line) & 0xFF if line.isdigit() and len(line) < 6 else 255


class Driver:
    def __init__(self):
        self._channel = frames.Channel(CONTROL_FD)
        self._shell = None
        self._interrupted = False
        self._running = False  # a cell, that an interrupt is to end
        self._started_at = 0.0

    def serve(self):
        os.makedirs(PLACE, mode=0o700, exist_ok=True)
        signal.signal(signal.SIGINT, self._on_interrupt)
        signal.signal(signal.SIGALRM, self._interrupt_again)
        kind, body = self._channel.receive()
        version, cpus = frames.parse_hello(body)
        if kind != frames.HELLO or version != frames.VERSION:
            sys.exit(70)
        for variable in frames.CPU_VARIABLES:
            os.environ[variable] = str(cpus)
        self._shell = Shell()
        self._channel.send_ready()
        while True:
            kind, body = self._channel.receive()
            if kind == frames.RUN:
                call, _, flags, code = frames.parse_run(body)
                if flags & frames.FORGET_INTERRUPTS:
                    self._interrupted = False
                report = self._run(code)
                self._interrupted = False  # what comes from here on, the engine says for which call
                self._channel.send_done(call, **report)
            elif kind != frames.ACK:
                self._channel.send_ready()  # an order to get ready: it is

    def _on_interrupt(self, signum, frame):
        self._interrupted = True
        if self._running:
            self._shell.interrupt()
            if time.monotonic() - self._started_at < EARLY_SECONDS:
                signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)

    def _interrupt_again(self, signum, frame):
        if self._running:
            self._shell.interrupt()

    def _started(self):
        self._started_at = time.monotonic()
        self._running = True
        if self._interrupted:
            self._shell.interrupt()  # it came before

    def _run(self, code):
        """The fields of the DONE frame."""
        if self._shell.has_ended():
            self._replace_shell()  # it ended between two calls: the code had closed descriptor 9, or killed it
        try:
            if os.path.lexists(STATE):
                os.unlink(STATE)
            os.makedirs(PLACE, mode=0o700, exist_ok=True)
            with open(CELL, "w", encoding="utf-8", errors="replace") as file:
                file.write(code + "\n")
        except OSError as error:
            return {"status": frames.RAISED, "errno": error.errno or 0, "name": "OSError",
                    "value": f"the cell could not be stored in {PLACE}: {error.strerror}"}
        status = self._shell.run(self._started)
        self._running = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        if status is not None:
            return {"status": frames.COMPLETED} if status == 0 else {"status": frames.EXITED, "exit_code": status}
        code = self._replace_shell()
        if self._interrupted:
            return INTERRUPTED
        return {"status": frames.EXITED, "exit_code": code}

    def _replace_shell(self):
        """Starts a shell with the state of the one that has ended, whose exit code is returned; or ends like it."""
        self._shell.close()
        code = self._shell.process.returncode
        if not state_is_whole():
            leave_like(code)
        self._shell = Shell()
        return code


def state_is_whole():
    try:
        with open(STATE, "rb") as file:
            file.seek(-len(STATE_END), os.SEEK_END)
            return file.read() == STATE_END
    except OSError:
        return False


def leave_like(code):
    """Ends this process as the shell ended."""
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    try:
        Driver().serve()
    except frames.Closed:
        os._exit(0)
