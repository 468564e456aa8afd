# Stops itself and its whole group.
# limits: wall_ms=400
# verdict: TIME_LIMIT
kill -STOP 0; kill -STOP $$; suspend -f
