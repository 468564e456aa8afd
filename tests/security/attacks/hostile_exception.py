# Raises an exception that cannot be printed, with a name and a text of megabytes.
# verdict: RAISED
# state: kept
class Hostile(Exception):
    def __str__(self):
        raise self
    __repr__ = __str__
Hostile.__name__ = "H" * (1 << 20)
raise Hostile("y" * (1 << 24))
