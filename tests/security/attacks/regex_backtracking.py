# A regular expression that takes longer than the universe.
# limits: wall_ms=400
# verdict: TIME_LIMIT
# state: kept
import re
re.match(r"(a*)*b", "a" * 40)
