"""The shortcuts past IPython's steps come to what IPython comes to.

usage: driver_shortcuts_test.py RUNTIME_DIRECTORY SITE_PACKAGES
"""

import sys
import unittest

RUNTIME, SITE = sys.argv[1:]
del sys.argv[1:]
sys.path[:0] = [RUNTIME + "/python/driver", SITE]

from IPython.core.displayhook import DisplayHook  # noqa: E402
from IPython.core.formatters import DisplayFormatter  # noqa: E402
from IPython.core.history import HistoryManager  # noqa: E402
from IPython.core.inputtransformer2 import TransformerManager  # noqa: E402
from IPython.core.interactiveshell import InteractiveShell  # noqa: E402

import shell as shell_module  # noqa: E402
import shortcuts  # noqa: E402

PLAIN = ["1 + 1", "x = 1\ny = x\n", "a\n\nb", "def f():\n    return [1,\n            2]\n\nf()", "f'{x}'",
         "await g()", "'''text\n\nmore'''", "x = 'a\\\n b'", "# a comment", "import os; os.getcwd()",
         "(a\n .b\n .c())", "a ** b // c", "syntax error here", "print('unfinished", "if x:\n    pass",
         "\xe9 = '\u2028'", "a\r\nb\r\n"]
IPYTHONS = ["%matplotlib inline", "%%time\n1", "!ls", "x = !ls", "x = %time 1", "a?", "?a", "print??", "\n\n1/0",
            "  x = 1\n  y = 2", ">>> 1\n1", "x\n>>> 1", "In [1]: x", "In [1]: x\n   ...: y", "pass\n... \n", ",f a b",
            ";f a b", "/f 1 2", "'''a\n   \nb'''", "\t1", "if x:\n    !ls\n", "if x:\n    %time 1\n", "x = 5 % 3",
            "a != b", "'what?'", "", "   ", "\n"]


class TransformerTest(unittest.TestCase):
    def test_every_cell_becomes_what_ipython_makes_of_it(self):
        ours, theirs = shortcuts.Transformer(), TransformerManager()
        for cell in PLAIN + IPYTHONS:
            self.assertEqual(ours.transform_cell(cell), theirs.transform_cell(cell), repr(cell))

    def test_plain_cells_take_the_shortcut(self):
        for cell in PLAIN:
            self.assertTrue(shortcuts.is_plain_python(cell), repr(cell))

    def test_what_the_code_adds_is_asked(self):
        for name in ("cleanup_transforms", "line_transforms"):
            ours = shortcuts.Transformer()
            getattr(ours, name).append(lambda lines: [line.upper() for line in lines])
            self.assertEqual(ours.transform_cell("a = b"), "A = B\n")


class FormatterTest(unittest.TestCase):
    VALUES = [0, -1, 10**30, 1.5, float("nan"), 1 + 2j, "text\n'", b"bytes", [1, [2]], (), (1,), {}, {"a": [1]}, set(),
              {3}, frozenset({1}), True, None, ..., int, len, list(range(2000)), "x" * 3000]

    def test_every_value_is_shown_as_ipython_shows_it(self):
        ours, theirs = shortcuts.Formatter(), DisplayFormatter()
        for value in self.VALUES:
            self.assertEqual(ours.format(value), theirs.format(value), repr(value)[:50])
            for limits in ({"include": ["text/plain"]}, {"exclude": ["text/plain"]}):
                self.assertEqual(ours.format(value, **limits), theirs.format(value, **limits))

    def test_a_registered_printer_is_asked(self):
        for kind, value in ((int, 7), (list, [1]), (object, 7)):
            ours = shortcuts.Formatter()
            ours.formatters["text/html"].for_type(kind, lambda shown: "<b>")
            self.assertEqual(ours.format(value)[0].get("text/html"), "<b>", kind)
        ours = shortcuts.Formatter()
        ours.formatters["text/latex"].for_type_by_name("builtins", "int", lambda shown: "$7$")
        self.assertEqual(ours.format(7)[0].get("text/latex"), "$7$")
        ours = shortcuts.Formatter()
        ours.mimebundle_formatter.for_type(float, lambda shown, include=None, exclude=None: {"text/own": "f"})
        self.assertEqual(ours.format(1.5)[0].get("text/own"), "f")
        ours = shortcuts.Formatter()
        ours.formatters["text/plain"].for_type(float, lambda shown, printer, cycle: printer.text("1.50"))
        self.assertEqual(ours.format(1.5), ({"text/plain": "1.50"}, {}))

    def test_what_has_no_repr_is_ipythons(self):
        self.assertEqual(shortcuts.Formatter().format(10**5000), DisplayFormatter().format(10**5000))


class ShellTest(unittest.TestCase):
    """In a shell: the last inputs, and the semicolon."""

    @classmethod
    def setUpClass(cls):
        class Sink:
            shown = []

            def begin(self):
                pass

            def display(self, data, is_result):
                self.shown.append(data["text/plain"])

        cls.sink = Sink()
        cls.shell = shell_module.create_shell(cls.sink)

    def run_cells(self, *cells):
        self.sink.shown.clear()
        for cell in cells:
            self.shell.run_cell(cell, store_history=True)
        return self.sink.shown

    def test_a_semicolon_hides_the_result(self):
        self.assertEqual(self.run_cells("1;", "2", "3; # so", "'a;b'", "4;\n5"), ["2", "'a;b'", "5"])

    def test_the_last_inputs_are_known(self):
        self.assertEqual(self.run_cells("'first'", "'second'", "'third'", "_i, _ii, _iii"),
                         ["'first'", "'second'", "'third'", "(\"'third'\", \"'second'\", \"'first'\")"])
        self.run_cells("In[-1]")
        self.assertEqual(self.sink.shown, ["'In[-1]'"])

    def test_ours_are_in_use(self):
        self.assertIsInstance(self.shell.input_transformer_manager, shortcuts.Transformer)
        self.assertIsInstance(self.shell.display_formatter, shortcuts.Formatter)
        self.assertIsInstance(self.shell.history_manager, shortcuts.History)
        self.assertFalse(self.shell.history_manager.enabled)
        for ours, theirs in ((shortcuts.Results, DisplayHook), (shortcuts.History, HistoryManager),
                             (shell_module.CarrelShell, InteractiveShell)):
            self.assertTrue(issubclass(ours, theirs))


if __name__ == "__main__":
    unittest.main()
