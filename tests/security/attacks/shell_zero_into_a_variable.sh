# Reads a device without end into a variable.
# limits: memory_bytes=134217728 wall_ms=600
# verdict: MEMORY_LIMIT | TIME_LIMIT | EXITED | SIGNALLED | RAISED | COMPLETED
x=$(tr '\0' x </dev/zero)
