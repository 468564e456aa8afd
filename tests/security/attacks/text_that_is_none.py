# A message of half characters.
# verdict: RAISED ValueError
# state: kept
raise ValueError("\ud800\udfff" * 1000)
