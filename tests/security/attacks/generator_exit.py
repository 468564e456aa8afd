# Raises what the interpreter itself uses to end generators.
# verdict: RAISED GeneratorExit
# state: kept
raise GeneratorExit("out")
