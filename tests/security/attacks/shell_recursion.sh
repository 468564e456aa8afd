# A function that calls itself without end.
# limits: memory_bytes=268435456 wall_ms=600
# verdict: SIGNALLED | MEMORY_LIMIT | TIME_LIMIT | EXITED | RAISED
f() { f; }; f
