# Looks for the host's environment, name and processes.
# verdict: COMPLETED
# prints: leaks []
import os
known = {"PATH", "HOME", "LANG", "TZ", "USER", "LOGNAME", "SHELL", "PWD", "TERM", "TMPDIR", "COLUMNS", "LINES"}
prefixes = ("PYTHON", "MPL", "IPYTHON", "OPENBLAS", "OMP", "MKL", "NUMEXPR", "GLIBC", "LC_", "JUPYTER", "JE_ARROW")
leaks = [name for name in os.environ if name not in known and not name.startswith(prefixes)]
leaks += [name for name in os.environ if "SECRET" in name or "KEY" in name or "TOKEN" in name]
try:
    if len([entry for entry in os.listdir("/proc") if entry.isdigit()]) > 4:
        leaks.append("processes")
except PermissionError:
    pass
print("leaks", leaks)
