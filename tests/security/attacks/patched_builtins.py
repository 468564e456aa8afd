# Replaces what the driver itself uses.
# limits: wall_ms=4000
# verdict: RAISED | COMPLETED
# state: kept
import builtins, json, os, sys
for name in ("open", "print", "len", "isinstance", "repr", "str", "getattr", "Exception"):
    setattr(builtins, name, None)
os.write = os.read = os.getpid = json.dumps = None
sys.stdout = sys.stderr = sys.excepthook = sys.displayhook = None
sys.modules.clear()
