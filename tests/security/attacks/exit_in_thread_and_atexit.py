# Hides the end of the process in a handler that runs at exit.
# verdict: EXITED
# prints: asked
import atexit, os, sys
atexit.register(lambda: os._exit(99))
print("asked")
sys.exit(3)
