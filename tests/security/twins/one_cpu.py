# os.cpu_count tells the limit, when it is less than a machine has.
# limits: cpu_millis=500
# verdict: COMPLETED
# state: kept
# prints: twin ok
import os
assert os.cpu_count() == 1, os.cpu_count()
print("twin ok")
