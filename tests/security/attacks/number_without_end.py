# A number with a billion digits.
# limits: wall_ms=700 memory_bytes=268435456
# verdict: TIME_LIMIT | MEMORY_LIMIT | RAISED MemoryError
3 ** (3 ** 20)
