# Hooks every audited event of the interpreter, for good, with an error.
# limits: wall_ms=4000
# verdict: COMPLETED | RAISED | TIME_LIMIT
import sys
def hook(event, args):
    raise RuntimeError("audited")
sys.addaudithook(hook)
