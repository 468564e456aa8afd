# The classic.
# limits: processes=32 wall_ms=600
# verdict: COMPLETED | EXITED | RAISED | TIME_LIMIT | SIGNALLED
bomb() { bomb | bomb & }; bomb
