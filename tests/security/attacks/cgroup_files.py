# Looks for the control group's own files, to lift its limits.
# verdict: COMPLETED
# prints: found []
# prints: opened []
# confined-prints: opened []
import glob, os
found = [path for pattern in ("/sys/fs/cgroup/*", "/sys/*", "/cgroup/*") for path in glob.glob(pattern)]
for line in open("/proc/self/mountinfo"):
    if " - cgroup" in line:
        found.append(line)
print("found", found)
opened = []
for line in open("/proc/self/mountinfo"):
    if " - cgroup" not in line:
        continue
    place = line.split()[4]
    for name in ("tasks", "cgroup.procs", "notify_on_release", "release_agent", "memory.limit_in_bytes", "memory.max"):
        for flags in (os.O_RDONLY, os.O_WRONLY):
            try:
                os.close(os.open(f"{place}/{name}", flags))
                opened.append(f"{place}/{name}")
            except OSError:
                pass
    try:
        os.mkdir(f"{place}/own")
        opened.append(f"{place}/own")
    except OSError:
        pass
print("opened", opened)
