# os.cpu_count tells the limit.
# limits: cpu_millis=2000
# verdict: COMPLETED
# state: kept
# prints: twin ok
import os
assert os.cpu_count() == 2, os.cpu_count()
print("twin ok")
