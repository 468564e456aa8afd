# Groups of exceptions, two thousand deep.
# verdict: RAISED ExceptionGroup
# state: kept
group = ValueError("x")
for _ in range(2000):
    group = ExceptionGroup("g", [group])
raise group
