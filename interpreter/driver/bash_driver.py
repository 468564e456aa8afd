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

import frames

CONTROL_FD = 3
SHELL_FD = 9  # to it; the next, from it
PLACE = "/tmp/.carrel"  # also in loop.bash
CELL = f"{PLACE}/cell"
STATE = f"{PLACE}/state"
STATE_END = b"# whole\n"
HERE = os.path.dirname(os.path.abspath(__file__))


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

    def run(self):
        """Has the cell run. Returns its status, or None when the shell has ended."""
        try:
            os.write(self.orders, b"run\n")
        except BrokenPipeError:
            return None
        return self._listen()

    def _listen(self):
        """The number that the shell says next, or None when it has ended."""
        # What the code starts inherits descriptor 9: only the process itself tells that it is gone.
        waiting = select.poll()
        waiting.register(self.answers, select.POLLIN)
        waiting.register(self.ended, select.POLLIN)
        while True:
            ready = [fd for fd, _ in waiting.poll()]
            if self.answers in ready:
                part = os.read(self.answers, 4096)
                self._heard = (self._heard + part)[-4096:]
                line, newline, rest = self._heard.partition(b"\n")
                if newline:
                    self._heard = b""
                    return status_of(line)
                if not part:
                    waiting.unregister(self.answers)
            if self.ended in ready:
                return None


def status_of(line):
    """What loop.bash says of a cell's end; code can say it too, about its own session."""
    return int(line) & 0xFF if line.isdigit() and len(line) < 6 else 255


class Driver:
    def __init__(self):
        self._channel = frames.Channel(CONTROL_FD)
        self._shell = None
        self._interrupted = False

    def serve(self):
        os.makedirs(PLACE, mode=0o700, exist_ok=True)
        signal.signal(signal.SIGINT, self._on_interrupt)
        kind, body = self._channel.receive()
        version, _ = frames.parse_hello(body)
        if kind != frames.HELLO or version != frames.VERSION:
            sys.exit(70)
        self._shell = Shell()
        self._channel.send_ready()
        while True:
            kind, body = self._channel.receive()
            if kind == frames.RUN:
                call, _, _, code = frames.parse_run(body)
                self._channel.send_done(call, **self._run(code))
            elif kind != frames.ACK:
                self._channel.send_ready()  # an order to get ready: it is

    def _on_interrupt(self, signum, frame):
        self._interrupted = True
        if self._shell:
            self._shell.interrupt()

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
        self._interrupted = False
        status = self._shell.run()
        if status is not None:
            return {"status": frames.COMPLETED} if status == 0 else {"status": frames.EXITED, "exit_code": status}
        code = self._replace_shell()
        if self._interrupted:
            return {"status": frames.RAISED, "name": "KeyboardInterrupt", "value": "interrupted"}
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
