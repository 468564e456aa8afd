# A million brackets for a parser.
# verdict: RAISED RecursionError
# state: kept
import json
json.loads("[" * 10**6)
