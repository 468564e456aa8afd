# A child kills the interpreter that started it.
# verdict: SIGNALLED
# signal: 9
# state: dead
import os, signal, time
if os.fork() == 0:
    os.kill(os.getppid(), signal.SIGKILL)
    os._exit(0)
time.sleep(60)
