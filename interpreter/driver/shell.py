"""The interpreter that the user's code sees: IPython's shell, with its outputs turned into calls of a sink.

Everything dear (imports, the first figure, the first cell) happens in `warm_up`, once, in the zygote.
"""

import base64
import builtins
import io
import json
import os
import sys
import threading
import traceback
import warnings

from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.profiledir import ProfileDir
from traitlets.config import Config

import magics
import shortcuts

# What the functions of this file call is bound before any code of a user's runs, whatever that replaces later.
__builtins__ = dict(vars(builtins))
_write = os.write
_dumps = json.dumps

WORKSPACE = "/mnt/data"
# What most first cells do.
FIRST_CELL = ("import numpy as np, pandas as pd, scipy.stats, matplotlib.pyplot as plt\n"
              "print(end='')\n1 + 1")


class Stream(io.RawIOBase):
    """stdout or stderr without a buffer: what was written before a kill is never lost, and forks repeat nothing."""

    def __init__(self, fd, name, before_write=lambda: None):
        self._fd = fd
        self._before_write = before_write
        self.name = name
        self.mode = "wb"

    def fileno(self):
        return self._fd

    def writable(self):
        return True

    def isatty(self):
        return False

    def write(self, data):
        self._before_write()
        view = memoryview(data).cast("B")
        length = len(view)
        while view:
            view = view[_write(self._fd, view):]
        return length


_builtin_print = builtins.print


def _print(*values, sep=" ", end="\n", file=None, flush=False):
    # Under `print` in builtins. The built-in one hands each value, separator and end to the stream by itself: as many
    # system calls, between which the output of a child or a thread gets in.
    if file is None:
        file = sys.stdout
    if type(file) is not io.TextIOWrapper or sep is not None and type(sep) is not str \
            or end is not None and type(end) is not str:
        return _builtin_print(*values, sep=sep, end=end, file=file, flush=flush)
    sep = " " if sep is None else sep
    parts = []
    try:
        for value in values:
            parts.append(str(value))
    except BaseException:
        file.write(sep.join(parts + [""]))  # what came before is printed, as by the built-in one
        raise
    file.write(sep.join(parts) + ("\n" if end is None else end))
    if flush:
        file.flush()


_print.__doc__ = _builtin_print.__doc__
_print.__name__ = _print.__qualname__ = "print"
_print.__module__ = "builtins"  # as which it is pickled


def open_streams(before_write):
    """Gives sys the session's stdout and stderr, and returns them. `before_write()` is called before each write."""
    streams = []
    for fd, name in ((1, "stdout"), (2, "stderr")):
        stream = io.TextIOWrapper(Stream(fd, f"<{name}>", before_write), encoding="utf-8", errors="backslashreplace",
                                  write_through=True)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
        streams.append(stream)
    return streams


class _Results(shortcuts.Results):
    """The value of the last expression."""

    def write_output_prompt(self):
        pass

    def write_format_data(self, format_dict, md_dict=None):
        self.shell.sink.display(format_dict, is_result=True)

    def log_output(self, format_dict):
        pass  # IPython would keep every image of the session in memory

    def finish_displayhook(self):
        self._is_active = False


class _Displays(DisplayPublisher):
    """display(), figures, and everything else that is shown on the way."""

    def publish(self, data, metadata=None, source=None, *, transient=None, update=False, **kwargs):
        self.shell.sink.display(data, is_result=False)

    def clear_output(self, wait=False):
        pass


class CarrelShell(InteractiveShell):
    """IPython without a terminal, history or files of its own. `sink` takes the outputs."""

    sink = None
    shown_exception = None

    def init_profile_dir(self, profile_dir):
        # A profile nowhere on disk: there is nothing to read from it, and nothing may be written.
        self.profile_dir = ProfileDir(parent=self)

    def init_display_formatter(self):
        self.display_formatter = shortcuts.Formatter(parent=self)
        self.configurables.append(self.display_formatter)

    async def run_ast_nodes(self, *args, **kwargs):
        # Before here IPython's own steps run, some of which swallow an interrupt.
        self.sink.begin()
        return await super().run_ast_nodes(*args, **kwargs)

    def init_history(self):
        self.history_manager = shortcuts.History(shell=self, parent=self)
        self.configurables.append(self.history_manager)

    def _format_exception_for_storage(self, exception, filename=None, running_compiled_code=False):
        return {}  # IPython would call the user's __str__ outside of any guard, and keep all tracebacks

    def enable_gui(self, gui=None):
        pass

    def ask_exit(self):
        raise SystemExit(0)

    # The exception is formatted by the driver, from the result; here is only noted which one was meant to be shown.
    def showtraceback(self, exc_tuple=None, filename=None, tb_offset=None, exception_only=False,
                      running_compiled_code=False):
        shown = exc_tuple[1] if exc_tuple else sys.exc_info()[1] or getattr(sys, "last_value", None)
        self.shown_exception = shown
        if shown is not None:  # for %tb
            sys.last_type, sys.last_value, sys.last_traceback = type(shown), shown, shown.__traceback__

    def showsyntaxerror(self, filename=None, running_compiled_code=False):
        self.shown_exception = sys.exc_info()[1]

    # IPython's own run commands under a pseudo-terminal, which a jail has not.
    def system(self, cmd):
        import subprocess
        self.user_ns["_exit_code"] = subprocess.call(self.var_expand(cmd, depth=1), shell=True)

    system_piped = system_raw = system

    def getoutput(self, cmd, split=True, depth=0):
        import subprocess

        from IPython.utils.text import SList
        text = subprocess.run(self.var_expand(cmd, depth=depth + 1), shell=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False).stdout.decode("utf-8", "replace")
        return SList(text.splitlines()) if split else text


def create_shell(sink):
    """Makes the one shell of this process."""
    config = Config()
    config.HistoryManager.enabled = False
    config.HistoryManager.hist_file = ":memory:"
    config.InteractiveShell.colors = "nocolor"
    config.InteractiveShell.ast_node_interactivity = "last_expr"
    config.InteractiveShell.xmode = "Plain"
    shell = CarrelShell.instance(config=config, ipython_dir="/tmp/.ipython",
                                 displayhook_class=_Results, display_pub_class=_Displays,
                                 input_transformer_manager=shortcuts.Transformer())
    shell.sink = sink
    shell.compile.get_code_name = lambda raw, transformed, number: f"Cell In[{number}]"
    warnings.filterwarnings("ignore", message="To exit: use 'exit'")

    def leave(code=None):
        raise SystemExit(code)

    leave.__doc__ = "Ends the cell, as sys.exit does. The session is kept."
    for name in ("exit", "quit"):
        setattr(builtins, name, leave)
        shell.user_ns[name] = leave
        shell.user_ns_hidden[name] = leave
    builtins.input = _no_input
    builtins.print = _print
    magics.register(shell)
    magics.refuse_questions(_no_input)
    shell.user_ns.pop("open", None)  # IPython's wrapper, which adds a frame to every traceback of open()
    return shell


def _no_input(prompt="", stream=None):
    raise EOFError("input() is not available here: nobody can answer it. Put the value into the code instead.")


def warm_up(shell):
    """Imports the libraries that most code wants, draws a figure and runs a cell, so that a session need not."""
    import matplotlib
    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    import numpy
    import pandas
    import scipy.stats
    figure, axes = plt.subplots()
    axes.plot([0, 1], [0, 1], label="x")
    axes.set_title("$x^2$")
    axes.legend()
    figure.savefig(io.BytesIO(), format="png")
    plt.close(figure)
    shell.enable_matplotlib("inline")
    shell.run_cell("import numpy as np, pandas as pd, matplotlib.pyplot as plt\n"
                   "plt.plot([1, 2]); pd.DataFrame({'a': [1.5]}).describe()", store_history=False)
    shell.run_cell("await __import__('asyncio').sleep(0)", store_history=False)
    _forget_event_loop()
    failed = shell.run_cell("1/0", store_history=False)
    describe(failed.error_in_exec)
    for name in ("np", "pd", "plt"):
        shell.user_ns.pop(name, None)
    forget_cells(shell)
    _close_fonts()
    del numpy, pandas, scipy


def touch(shell):
    """What every first cell does, in a forked child: each page that it writes to is copied now instead of then. No more
    than that: what this costs is paid for each session of the pool."""
    shell.run_cell(FIRST_CELL, store_history=False)
    for name in ("np", "pd", "plt", "scipy"):
        shell.user_ns.pop(name, None)
    forget_cells(shell)


def forget_cells(shell):
    """Nothing of the cells that ran so far can be seen by the next."""
    shell.displayhook.flush()
    shell.user_ns.pop("_0", None)
    shell.execution_count = 1
    shell.shown_exception = None
    sys.last_type = sys.last_value = sys.last_traceback = None


def _close_fonts():
    """matplotlib keeps font files open in caches; a session starts with closed descriptors, so the caches must go."""
    import gc

    from matplotlib import _text_helpers, font_manager, mathtext
    font_manager._get_font.cache_clear()
    for holder in (mathtext, mathtext.MathTextParser, font_manager, _text_helpers):
        for value in list(vars(holder).values()):
            clear = getattr(getattr(value, "__func__", value), "cache_clear", None)
            if clear and value is not font_manager.findfont:
                clear()
    gc.collect()


def _forget_event_loop():
    """The loop of the zygote has an epoll descriptor that forked children would share."""
    import asyncio

    from IPython.core import async_helpers
    for holder in (async_helpers,):
        for name, value in list(vars(holder).items()):
            if isinstance(value, asyncio.AbstractEventLoop):
                value.close()
                setattr(holder, name, None)
    policy = asyncio.get_event_loop_policy()
    policy.set_event_loop(None)


def trace_of_cell(error):
    """The part of the exception's traceback that begins in a cell; None when no cell is in it."""
    trace = error.__traceback__
    while trace is not None and not trace.tb_frame.f_code.co_filename.startswith("Cell In["):
        trace = trace.tb_next
    return trace


def describe(error):
    """Returns (class name, str(), traceback) of an exception, whatever its own methods do."""
    name = type(error).__name__
    try:
        value = str(error)
    except BaseException as broken:  # the user's __str__
        value = f"<str() of the exception raised {type(broken).__name__}>"
    trace = trace_of_cell(error)
    if trace is None:
        trace = error.__traceback__ if not isinstance(error, SyntaxError) else None
    try:
        text = "".join(traceback.format_exception(type(error), error, trace))
    except BaseException as broken:
        text = f"{name}: {value}\n<the traceback could not be formatted: {type(broken).__name__}>\n"
    return name, value, text


def bundle_bytes(data):
    """A MIME bundle as a list of (media type, bytes): images decoded from base64, JSON encoded, text as UTF-8."""
    bundle = []
    for media_type, value in data.items():
        if isinstance(value, (bytes, bytearray, memoryview)):
            raw = bytes(value)
        elif media_type.startswith("image/") and not media_type.endswith("+xml") and isinstance(value, str):
            raw = base64.b64decode(value)
        elif isinstance(value, str):
            raw = value.encode("utf-8", "replace")
        else:
            raw = _dumps(value, default=str).encode("utf-8", "replace")
        bundle.append((str(media_type), raw))
    return bundle


def open_files():
    """The descriptors over 2 that this process has open, as (number, what)."""
    found = []
    if not os.path.isdir("/proc/self/fd"):  # by policy there is no /proc
        for number in range(3, 256):
            try:
                found.append((number, str(os.fstat(number).st_ino)))
            except OSError:
                pass  # not open
        return found
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append((int(name), os.readlink(f"/proc/self/fd/{name}")))
        except FileNotFoundError:
            pass  # the directory's own
    return sorted(entry for entry in found if entry[0] > 2)


def single_threaded():
    """True when this process has one thread, native ones counted: only then may it fork."""
    try:
        native = len(os.listdir("/proc/self/task"))
    except OSError:  # no /proc in the zygote's root
        native = 1
    return threading.active_count() == 1 and native == 1
