# Asks for uid 0 in every way, and starts set-id programs.
# verdict: COMPLETED
# prints: never
import ctypes, os, subprocess
libc = ctypes.CDLL(None, use_errno=True)
was = os.getresuid()
for way in (lambda: os.setuid(0), lambda: os.setresuid(0, 0, 0), lambda: os.setgid(0), lambda: os.setgroups([0])):
    try:
        way()
    except OSError:
        pass
status = open("/proc/self/status").read()
powers = [line for line in status.splitlines() if line.startswith("Cap")]
powerless = all(line.split()[1] == "0" * 16 for line in powers) and "NoNewPrivs:\t1" in status
helper = subprocess.run("su -c true || mount -t tmpfs none /tmp", shell=True, capture_output=True, stdin=subprocess.DEVNULL)
print("never" if powerless and helper.returncode != 0 else "powers: %s %s" % (powers, helper))
