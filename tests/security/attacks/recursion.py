# Recurses in Python without end.
# verdict: RAISED RecursionError
# state: kept
def down():
    down()
down()
