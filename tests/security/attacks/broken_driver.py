# Takes the driver's own functions apart.
# limits: wall_ms=1500
# verdict: EXITED 1
# state: dead
import sys
for name in ("frames", "repair", "shell", "driver"):
    module = sys.modules.get(name)
    for key, value in list(vars(module or object()).items() if module else ()):
        if callable(value):
            setattr(module, key, None)
sys.modules["frames"].Channel._send = None
