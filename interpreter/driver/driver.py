"""The Python half of a session: takes cells over descriptor 3, runs them, reports what became of them.

Started as a program it is a session by itself; the zygote imports it, warms it up and calls `serve` in each child.
The engine believes nothing of what it says about the process: exits, signals and limits it sees from outside.
"""

import builtins
import ctypes
import os
import signal
import sys
import threading
from _signal import signal as _signal  # signal.signal is Python, with the builtins of everybody

import frames
import repair
import reseed
import shell as shell_module

# What the functions of this file call is bound before any code of a user's runs, whatever that replaces later.
__builtins__ = dict(vars(builtins))
_exit, _getpid, _write = os._exit, os.getpid, os.write

CONTROL_FD = 3
FIGURES_MAX = 10_000
# More failures in a row than that, and an exception is reported without its description.
DESCRIBE_TRIES = 3
UNDESCRIBED = {"status": frames.RAISED, "name": "SystemError",
               "value": "the cell broke what its end is reported with"}


class Driver:
    """One session. `prepare` may run in the zygote, `serve` runs in the jailed child only."""

    def __init__(self):
        self._channel = None
        self._call = 0
        self._unanswered = False
        self._unacknowledged = 0  # displays that the engine has not said it took
        self._warming = False
        self._display_bytes_left = 0
        self._save_figures = False
        self._lock = threading.Lock()
        self._pid = 0
        self._prelude = False   # a call has begun, the user's code has not
        self._armed = False     # an interrupt may be raised: the user's code runs
        self._sending = False   # the main thread is inside a frame, which must not be torn
        self._pending = False   # an interrupt came meanwhile, or before the call that it is meant for had begun
        self._shell = None
        self._generators = []
        self._snapshot = None
        self._streams = ()
        self._flush_stdio = ctypes.CDLL(None).fflush

    def prepare(self):
        """Everything dear that does not depend on the session."""
        self._shell = shell_module.create_shell(self)
        shell_module.warm_up(self._shell)
        self._generators = reseed.find_generators()
        reseed.reseed(self._generators)  # what it sets up on its first use, it should set up here
        self._snapshot = repair.Snapshot()
        self._streams = shell_module.open_streams(self.settle)

    def reseed(self):
        """Once in each child, before it serves."""
        reseed.reseed(self._generators)

    def rehearse(self):
        """What a session does up to the end of its first cell. Runs in a child of the zygote that ends after it: which
        pages it wrote to is what every session will write to."""
        self._pid = _getpid()
        self.reseed()
        self._channel = frames.Channel(os.pipe()[1])  # nobody hears it, and a result waits for no answer
        self._run(1, 1 << 20, 0, shell_module.FIRST_CELL)

    def serve(self, prepare=lambda: None):
        """Runs cells until the engine is gone, then ends the process. `prepare()` is called once, before the first cell
        and after the engine was told that there is somebody: it has to answer its own client meanwhile."""
        self._pid = _getpid()
        self._channel = frames.Channel(CONTROL_FD)
        _signal(signal.SIGINT, self._on_interrupt)
        try:
            os.chdir(shell_module.WORKSPACE)
        except FileNotFoundError:
            pass  # a driver without a jail, in tests
        sys.path[0] = ""
        sys.argv = [""]
        kind, body = self._channel.receive()
        version, cpus = frames.parse_hello(body)
        if kind != frames.HELLO or version != frames.VERSION:
            _exit(70)
        use_cpus(cpus)
        self._channel.send_ready()
        prepare()
        while True:
            try:
                if self._unanswered:
                    self._snapshot.repair(self._streams, everything=True)
                    self._answer(UNDESCRIBED)
                kind, body = self._channel.receive()
                if kind == frames.RUN:
                    self._run(*frames.parse_run(body))
                elif kind == frames.WARM:
                    self._warm()
            except frames.Closed:
                _exit(0)
            except BaseException:
                # A signal handler that the code left behind raised between two calls, or the code broke what we use.
                # The session goes on; a frame that was torn by it makes the engine end the session.
                continue

    def _warm(self):
        """Runs cells that leave nothing behind, so that this process owns the pages that the first of a user's needs."""
        self._warming = True
        try:
            shell_module.touch(self._shell)
        finally:
            self._warming = False
        self._channel.send_ready()

    # The sink of the shell.
    def display(self, data, is_result):
        """Sends one MIME bundle and waits until the engine took it. Callable from any thread of the user's code. For a
        result nobody waits until something else is said (`settle`): mostly nothing is, and the call is over."""
        if _getpid() != self._pid:
            return  # a forked child of the code shares the channel, and has nobody at the other end
        bundle = shell_module.bundle_bytes(data)[:frames.BUNDLE_ENTRIES_MAX]
        if not self._channel or self._warming:
            return  # nobody's cell
        length = sum(len(value) for _, value in bundle)
        if self._save_figures:
            for media_type, value in bundle:
                if media_type == "image/png":
                    save_figure(value)
        with _Frame(self):
            self._await_acks()
            if length > self._display_bytes_left:
                self._channel.send_dropped(self._call, length)
                return
            self._display_bytes_left -= length
            self._channel.send_display(self._call, is_result, bundle)
            self._unacknowledged += 1
            if not is_result:
                self._await_acks()

    def settle(self):
        """Before anything is written to stdout or stderr: what was shown so far comes first."""
        if not self._unacknowledged or _getpid() != self._pid:
            return
        if self._sending and threading.current_thread() is threading.main_thread():
            return  # in a signal handler, inside a frame
        with _Frame(self):
            self._await_acks()

    def _await_acks(self):
        while self._unacknowledged:
            if self._channel.receive()[0] == frames.ACK:
                self._unacknowledged -= 1

    def _on_interrupt(self, signum, frame):
        if self._sending:
            self._pending = True
        elif self._armed or self._prelude and self._pending:  # asked twice: the code's own hooks hang before it
            raise KeyboardInterrupt
        else:
            self._pending = True

    def begin(self):
        """The shell's word that the user's code comes next."""
        if not self._prelude:
            return  # a cell within a cell, or nobody's
        self._armed, self._prelude = True, False
        if self._pending:
            self._pending = False
            raise KeyboardInterrupt

    def _run(self, call, display_bytes_max, flags, code):
        self._call = call
        self._unanswered = True
        self._unacknowledged = 0  # the engine took everything before it sent this
        self._display_bytes_left = display_bytes_max
        self._save_figures = bool(flags & frames.SAVE_FIGURES)
        if flags & frames.FORGET_INTERRUPTS:
            self._pending = False
        _signal(signal.SIGINT, self._on_interrupt)
        try:
            error = self._run_cell(code)
        except BaseException as escaped:  # an interrupt on the way in or out of the shell
            self._armed = self._prelude = False
            error = escaped
        self._snapshot.repair(self._streams, everything=is_of_the_shell(error))
        if _getpid() != self._pid:
            _exit(0)  # the code forked, and this is the child at the end of its cell
        _signal(signal.SIGINT, self._on_interrupt)  # the code may have put its own there
        report = UNDESCRIBED
        for _ in range(DESCRIBE_TRIES):
            try:
                report = summarise(error)
                break
            except BaseException as broken:  # a signal handler of the code's, or what it did to the library
                error = broken
        self._flush_stdio(None)
        self._answer(report)

    def _answer(self, report):
        self._unanswered = False  # before: half an answer must not be followed by another
        self._pending = False  # it came too late for this call; what comes from here on, the engine says for which
        self._channel.send_done(self._call, **report)

    def _run_cell(self, code):
        shell = self._shell
        shell.shown_exception = None
        try:
            self._prelude = True
            result = shell.run_cell(code, store_history=True)
        finally:
            self._armed = self._prelude = False
        error = result.error_before_exec or result.error_in_exec
        shown = shell.shown_exception
        if shown is not None and error is None:
            complain(shell_module.describe(shown)[2])  # of a callback after the cell
        result.result = None
        return error


def complain(text):
    """Writes to the code's stderr, whatever the code did to sys.stderr."""
    try:
        sys.stderr.write(text)
    except BaseException:
        _write(2, text.encode("utf-8", "replace"))


class _Frame:
    """Holds the channel, and holds interrupts off while the main thread does."""

    def __init__(self, driver):
        self._driver = driver
        self._main = threading.current_thread() is threading.main_thread()

    def __enter__(self):
        if self._main:
            self._driver._sending = True
        self._driver._lock.acquire()

    def __exit__(self, *exc):
        driver = self._driver
        driver._lock.release()
        if self._main:
            driver._sending = False
            if driver._pending and driver._armed:
                driver._pending = False
                raise KeyboardInterrupt
        if exc and isinstance(exc[1], frames.Closed):
            _exit(0)


def save_figure(png):
    """Writes a figure to the workspace under the next free name, figure-1.png and so on."""
    for number in range(1, FIGURES_MAX + 1):
        path = f"{shell_module.WORKSPACE}/figure-{number}.png"
        try:
            file = open(path, "xb", buffering=0)
        except FileExistsError:
            continue
        except OSError as error:
            return complain(f"{path} was not written: {error.strerror}\n")
        with file:
            try:
                rest = memoryview(png)
                while rest:
                    rest = rest[file.write(rest):]
                return None
            except BaseException as error:
                os.unlink(path)  # half a figure is none
                if not isinstance(error, OSError):
                    raise
                return complain(f"{path} was not written: {error.strerror}\n")
    return complain(f"a figure was not written: there are {FIGURES_MAX} already\n")


def is_of_the_shell(error):
    """True when IPython itself failed: it cannot run with what the code did, such as a `len` that raises."""
    if error is None or isinstance(error, (KeyboardInterrupt, SyntaxError, SystemExit)):
        return False
    trace = shell_module.trace_of_cell(error)
    return trace is None or trace.tb_frame.f_code.co_name != "<module>"


def summarise(error):
    """The fields of a DONE frame for the exception that ended the cell, or None."""
    if error is None:
        return {"status": frames.COMPLETED}
    if isinstance(error, SystemExit):
        code = error.code
        if code is None:
            code = 0
        elif not isinstance(code, int):
            complain(f"{code}\n")
            code = 1
        return {"status": frames.EXITED, "exit_code": max(-2**31, min(2**31 - 1, int(code)))}
    name, value, trace = shell_module.describe(error)
    number = error.errno if isinstance(error, OSError) and isinstance(error.errno, int) else 0
    return {"status": frames.RAISED, "errno": number & 0x7FFFFFFF, "name": name, "value": value, "traceback": trace}


def use_cpus(cpus):
    """Lets libraries see the CPUs that the session may use, instead of the machine's."""
    os.cpu_count = lambda: cpus
    for variable in frames.CPU_VARIABLES:
        os.environ[variable] = str(cpus)
    if cpus > 1:
        for library in loaded_openblas():
            for symbol in ("scipy_openblas_set_num_threads64_", "scipy_openblas_set_num_threads",
                           "openblas_set_num_threads64_", "openblas_set_num_threads"):
                function = getattr(library, symbol, None)
                if function:
                    function(ctypes.c_int(cpus))
                    break


def loaded_openblas():
    """The OpenBLAS libraries in this process: it was started with one thread, to be safe to fork."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
            paths = {line.split(maxsplit=5)[5].strip() for line in maps if "openblas" in line}
    except OSError:
        return []
    return [ctypes.CDLL(path, mode=os.RTLD_NOLOAD) for path in paths]


if __name__ == "__main__":
    driver = Driver()
    driver.prepare()
    driver.serve(driver.reseed)
