"""IPython's magics in a session: those that need a person, a screen or the network say so, the rest are IPython's own."""

import sys

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class

NOBODY = "nobody is there to answer it"
NO_SCREEN = "there is no screen; figures are shown inline"

# Name to why not. Registered over IPython's own, or where IPython has none but a notebook has.
REFUSED = {
    "edit": "there is no editor; write the file with %%writefile",
    "ed": "there is no editor; write the file with %%writefile",
    "debug": f"a debugger asks questions, and {NOBODY}; print what you want to know",
    "pdb": f"a debugger asks questions, and {NOBODY}; print what you want to know",
    "gui": NO_SCREEN,
    "pylab": "import numpy and matplotlib.pyplot instead",
    "recall": "no history is kept; send the code again",
    "rerun": "no history is kept; send the code again",
    "rep": "no history is kept; send the code again",
    "notebook": "no history is kept that could become a notebook",
    "pastebin": "there is no network",
    "connect_info": "no other front end can connect to this session",
    "qtconsole": "no other front end can connect to this session",
    "tensorboard": "there is no browser and no network",
    "logstart": "the session keeps no log; write to a file in /mnt/data",
    "logon": "the session keeps no log; write to a file in /mnt/data",
}
INLINE = ("", "inline", "agg", "-l", "--list")


@magics_class
class SessionMagics(Magics):
    """What has to be more than a refusal."""

    @line_magic
    def matplotlib(self, line):
        """Figures are always inline; asking for that is fine, asking for a window is not."""
        backend = line.split()[0] if line.split() else ""
        if backend not in INLINE:
            raise UsageError(f"%matplotlib {backend} is not available here: {NO_SCREEN}")
        if backend in ("-l", "--list"):
            print("inline")
        elif backend != "agg":
            self.shell.enable_matplotlib("inline")

    def _install(self, tool, line):
        self.shell.system(f"{tool} {line}")

    @line_magic
    def pip(self, line):
        """What pip can do here: see tools/pip.py."""
        self._install("pip", line)

    @line_magic
    def uv(self, line):
        """As %pip."""
        self._install("uv", line)

    @line_magic
    def conda(self, line):
        """As %pip."""
        self._install("conda", line)

    @line_magic
    def mamba(self, line):
        """As %pip."""
        self._install("mamba", line)


def _refusal(name, why):
    def refuse(line="", cell=None):
        raise UsageError(f"%{name} is not available here: {why}")

    refuse.__doc__ = f"Not available here: {why}."
    return refuse


def register(shell):
    """Gives `shell` the session's magics."""
    shell.register_magics(SessionMagics)
    for name, why in REFUSED.items():
        shell.register_magic_function(_refusal(name, why), magic_kind="line_cell", magic_name=name)


def no_debugger(*args, **kwargs):
    """sys.breakpointhook of a session."""
    raise RuntimeError(f"breakpoint() is not available here: {NOBODY}. Print what you want to know instead.")


def refuse_questions(no_input):
    """Everything that would wait for a person answers at once, and says so."""
    import getpass
    import pdb
    sys.breakpointhook = no_debugger
    pdb.Pdb.set_trace = no_debugger  # pdb.set_trace, and what derives from it
    getpass.getpass = getpass.unix_getpass = no_input
