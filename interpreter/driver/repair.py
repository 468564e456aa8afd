"""Puts back what a cell broke of the interpreter that it shares with the driver, so that its session goes on.

Code may replace a builtin, and often means it (`builtins.print = rich.print`); that is left alone. What no program can
run with is put back: a function that is none any more, a sys.modules without sys, a missing stdout.
"""

import builtins
import sys

# For the functions of this file, whatever becomes of the real ones; the other files of the driver do the same.
__builtins__ = dict(vars(builtins))


class Snapshot:
    """The interpreter as it was when this was made: in the zygote, before any code of a user's."""

    def __init__(self):
        self._builtins = dict(vars(builtins))
        self._modules = dict(sys.modules)

    def repair(self, streams, everything=False):
        """`streams` are the driver's own (stdout, stderr). `everything`: also replaced builtins that look usable."""
        now = vars(builtins)
        for name, value in self._builtins.items():
            if now.get(name) is not value and (everything or callable(value) and not callable(now.get(name))):
                now[name] = value
        if not isinstance(sys.modules, dict):
            sys.modules = {}
        if sys.modules.get("sys") is not sys or sys.modules.get("builtins") is not builtins:
            for name, module in self._modules.items():
                sys.modules.setdefault(name, module)
            sys.modules.update(sys=sys, builtins=builtins)
        for name, stream in zip(("stdout", "stderr"), streams):
            if getattr(sys, name, None) is None:
                setattr(sys, name, stream)
