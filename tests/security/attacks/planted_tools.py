# Plants programs under the names that the session's own tools have.
# verdict: COMPLETED
# prints: refused
import os
try:
    open("/opt/carrel/driver/tools/pip", "w")
except OSError:
    print("refused")
