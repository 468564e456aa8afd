"""Shortcuts past steps of IPython's that leave most cells as they are.

Each is taken only where IPython would come to the same, and costs a fraction: in a forked session a step's price is not
its instructions but the pages that it writes reference counts to, each of which has to be copied (50 to 150 for each of
these).
"""

import builtins
import re

from IPython.core.displayhook import DisplayHook
from IPython.core.formatters import DisplayFormatter
from IPython.core.history import HistoryManager
from IPython.core.inputtransformer2 import TransformerManager

# What the functions of this file call is bound before any code of a user's runs, whatever that replaces later.
__builtins__ = dict(vars(builtins))

# How a line begins that is IPython's to change: an escape (",f a"), a prompt that was copied along, blanks alone (which
# it removes, also from within a string).
_LINE_OF_IPYTHON = re.compile(r"^(?:[ \t\f]*(?:[,;/]|\.\.\.)|In \[|[ \t\f]+$)", re.MULTILINE)
# Of whose values the text is all there is, unless somebody registers more.
_TEXT_ONLY = (int, float, complex, str, bytes, list, tuple, dict, set, frozenset)
# Of these the text is repr().
_SHOWN_AS_REPR = (int, float, complex, bytes)


def is_plain_python(cell):
    """False when IPython's syntax (magics, shell escapes, help, prompts, an indented cell) may be in `cell`."""
    return not (cell[:1].isspace() or "%" in cell or "!" in cell or "?" in cell or ">>>" in cell
                or _LINE_OF_IPYTHON.search(cell))


class Transformer(TransformerManager):
    """Turns a cell into Python. One that is Python already is not tokenized again and again to find that out."""

    def __init__(self):
        super().__init__()
        self._usual = self._transforms()

    def _transforms(self):
        return [*self.cleanup_transforms, *self.line_transforms, *self.token_transformers]

    def transform_cell(self, cell):
        if not is_plain_python(cell) or self._transforms() != self._usual:  # the code may add its own
            return super().transform_cell(cell)
        return cell if cell.endswith("\n") else cell + "\n"


class Formatter(DisplayFormatter):
    """Turns a value into its MIME bundle. A number is not asked for its HTML, its PNG and eight more."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._is_usual = True  # no other formatters than IPython's
        self._plain = self.formatters["text/plain"]
        self._plain_printers = self._plain.type_printers
        self._usual_printers = {kind: self._plain_printers.get(kind) for kind in _SHOWN_AS_REPR}
        others = [self.ipython_display_formatter, self.mimebundle_formatter,
                  *(formatter for formatter in self.formatters.values() if formatter is not self._plain)]
        self._printers = [(formatter.singleton_printers, formatter.type_printers, formatter.deferred_printers)
                          for formatter in others]

    def register_formatter(self, formatter):
        self._is_usual = False
        super().register_formatter(formatter)

    def format(self, obj, include=None, exclude=None):
        if include or exclude or type(obj) not in _TEXT_ONLY or not self._is_usual or self._has_printer(obj):
            return super().format(obj, include, exclude)
        text = self._text(obj)
        return ({} if text is None else {"text/plain": text}), {}

    def _text(self, obj):
        kind = type(obj)
        # %precision registers a printer of its own; a number may have more digits than repr() writes.
        if kind in _SHOWN_AS_REPR and self._plain_printers.get(kind) is self._usual_printers[kind]:
            try:
                return repr(obj)
            except ValueError:
                pass
        return self._plain(obj)

    def _has_printer(self, obj):
        """Somebody has registered a function (sympy's init_printing does) that shows it as more than text."""
        kind = type(obj)
        name = kind.__module__, kind.__name__
        for by_id, by_type, by_name in self._printers:
            if by_id and id(obj) in by_id or by_type and (kind in by_type or object in by_type) \
                    or by_name and name in by_name:
                return True
        return False


class Results(DisplayHook):
    """Shows a cell's last value, unless a semicolon ends it: which only a cell can that has one."""

    def quiet(self):
        cells = self.shell.history_manager.input_hist_parsed
        return bool(cells) and ";" in cells[-1] and super().quiet()


class History(HistoryManager):
    """What In, _i, _ii and _iii show. Nothing is written to a database, and so nothing gathered for one."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.enabled = False
        self._last = ("", "", "")

    def store_inputs(self, line_num, source, source_raw=None):
        raw = (source if source_raw is None else source_raw).rstrip("\n")
        if self._exit_re.match(raw.strip()):
            return
        self.input_hist_parsed.append(source.rstrip("\n"))
        self.input_hist_raw.append(raw)
        last, before, before_that = self._last
        self._last = raw, last, before
        self.shell.push({"_i": last, "_ii": before, "_iii": before_that, f"_i{line_num}": raw}, interactive=False)
