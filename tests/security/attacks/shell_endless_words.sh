# Words, numbers and here-documents without end: the shell's own memory.
# limits: memory_bytes=134217728 wall_ms=600
# verdict: MEMORY_LIMIT | TIME_LIMIT | EXITED | SIGNALLED | RAISED | COMPLETED
# userns-verdict: any
echo {1..1000000000}
