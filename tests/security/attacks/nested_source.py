# Source code that is a million brackets deep.
# verdict: RAISED SyntaxError | RAISED MemoryError | RAISED RecursionError
# state: kept
compile("(" * 10**6, "x", "eval")
