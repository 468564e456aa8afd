# Exceptions that cause each other, and a chain of five thousand.
# verdict: RAISED ValueError
# state: kept
first, second = ValueError("first"), KeyError("second")
first.__cause__, second.__cause__ = second, first
last = first
for number in range(5000):
    following = ValueError(number)
    following.__context__ = last
    last = following
raise last
