# Becomes another program, which knows nothing of the loop.
# limits: wall_ms=400
# verdict: TIME_LIMIT | EXITED | COMPLETED
exec sleep 60
