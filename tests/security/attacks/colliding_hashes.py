# A dictionary whose keys all have one hash.
# limits: wall_ms=500
# verdict: TIME_LIMIT
# state: kept
class Key:
    def __hash__(self):
        return 1
    def __eq__(self, other):
        return self is other
{Key(): n for n in range(10**6)}
