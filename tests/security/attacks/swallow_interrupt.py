# Catches every exception, KeyboardInterrupt too, and goes on.
# limits: wall_ms=500
# verdict: TIME_LIMIT
# state: dead
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
