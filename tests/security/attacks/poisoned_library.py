# Changes the code of loaded libraries in memory, which came from the zygote.
# verdict: COMPLETED
# prints: poisoned
import builtins, ctypes, json, mmap, os
json.dumps = lambda *a, **k: "PLANTED"
builtins.sum = lambda *a, **k: "PLANTED"
# Constants that are shared with the zygote by copy on write.
ctypes.memset(id(257) + 24, 0, 4)
small = ctypes.c_int.from_address(id(2) + 24)
small.value = 2
print("poisoned")
