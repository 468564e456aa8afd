# Crashes with a limit on core files that it raised before.
# verdict: COMPLETED
# prints: cores []
import glob, os, resource
try:
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
except (ValueError, OSError):
    pass
if os.fork() == 0:
    os.abort()
os.wait()
print("cores", glob.glob("/mnt/data/*core*") + glob.glob("/tmp/*core*"))
