# Handlers, alarms, timers, and signals to itself and its children.
# verdict: COMPLETED
# state: kept
# prints: twin ok
import os, signal, subprocess, time
seen = []
signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
os.kill(os.getpid(), signal.SIGUSR1)
signal.raise_signal(signal.SIGUSR1)
signal.signal(signal.SIGALRM, lambda number, frame: seen.append(number))
signal.setitimer(signal.ITIMER_REAL, 0.05)
signal.pause()
assert len(seen) == 3, seen
child = subprocess.Popen(["sleep", "100"])
child.terminate()
assert child.wait() == -signal.SIGTERM
print("twin ok")
