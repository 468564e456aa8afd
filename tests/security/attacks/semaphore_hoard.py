# Makes System V semaphores without end.
# limits: memory_bytes=268435456
# verdict: COMPLETED | MEMORY_LIMIT
# prints-if-completed: refused
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
made = 0
while libc.semget(0, 250, 0o1600) >= 0:
    made += 1
print("refused", made)
