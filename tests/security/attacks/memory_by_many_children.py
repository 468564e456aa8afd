# Spreads the memory over children, each of which stays small.
# limits: memory_bytes=268435456 processes=64
# verdict: COMPLETED | MEMORY_LIMIT
# prints-if-completed: killed
import os, time
children = []
for _ in range(20):
    child = os.fork()
    if child == 0:
        block = bytearray(b"x" * (40 << 20))
        time.sleep(30)
        os._exit(0)
    children.append(child)
killed = 0
for child in children:
    pid, status = os.waitpid(child, 0)
    killed += os.WIFSIGNALED(status)
    if killed:
        break
print("killed", killed)
