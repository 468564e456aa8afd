# Shows an object whose description never ends.
# limits: wall_ms=400
# verdict: TIME_LIMIT
# state: kept
class Endless:
    def __repr__(self):
        while True:
            pass
Endless()
