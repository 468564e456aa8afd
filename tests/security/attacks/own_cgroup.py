# Reads where it lies in the machine's control groups.
# verdict: COMPLETED
# prints: paths ['/']
# confined-prints: paths
with open("/proc/self/cgroup") as table:
    print("paths", sorted({line.strip().split(":", 2)[2] for line in table} or {"/"}))
