# Forks in many threads at once while others hold every lock; the children use what was locked.
# limits: processes=64 wall_ms=8000
# verdict: COMPLETED | RAISED | TIME_LIMIT
import os, threading, time
until = time.monotonic() + 0.3
def busy():
    while time.monotonic() < until:
        print(end="")
        bytearray(1 << 16)
def forks():
    while time.monotonic() < until:
        try:
            child = os.fork()
        except OSError:
            continue
        if child == 0:
            print("child", flush=True)
            os._exit(0)
        os.waitpid(child, 0)
threads = [threading.Thread(target=target) for target in [busy] * 4 + [forks] * 6]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("joined")
