# Code that the collector calls: callbacks, weak references and finalizers that raise, resurrect and print.
# verdict: COMPLETED
# then: answers
import gc, sys, weakref
kept = []
class Undead:
    def __del__(self):
        kept.append(self)
        print("risen")
        raise SystemExit(3)
def callback(phase, info):
    if len(kept) < 1000:
        Undead()
    raise KeyboardInterrupt
gc.callbacks.append(callback)
sys.unraisablehook = lambda unraisable: 1 / 0
reference = weakref.ref(Undead(), lambda gone: sys.exit(4))
for _ in range(50):
    gc.collect()
print("collected", len(kept) > 0)
