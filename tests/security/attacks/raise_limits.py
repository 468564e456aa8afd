# Raises its own limits, and those of others.
# verdict: COMPLETED
# prints: refused 4
import os, resource
refused = 0
for name in ("RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_DATA"):
    try:
        soft, hard = resource.getrlimit(getattr(resource, name))
        resource.setrlimit(getattr(resource, name), (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (ValueError, OSError):
        refused += 1
try:
    resource.prlimit(1, resource.RLIMIT_NOFILE, (1, 1))
except OSError:
    refused += 1
print("refused", refused)
