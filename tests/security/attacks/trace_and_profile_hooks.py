# Leaves hooks in the interpreter that run inside the driver.
# limits: wall_ms=4000
# verdict: EXITED | COMPLETED | RAISED | TIME_LIMIT
import gc, sys, threading
def hook(*_):
    raise SystemExit("hook")
gc.callbacks.append(hook)
threading.setprofile(hook)
sys.setprofile(hook)
