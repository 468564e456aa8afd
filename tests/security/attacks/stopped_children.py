# Leaves stopped children behind, which a polite end would wait for.
# limits: processes=32
# verdict: COMPLETED
# prints: stopped 5
import os, signal
children = []
for _ in range(5):
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    os.waitpid(child, os.WUNTRACED)
    children.append(child)
print("stopped", len(children))
