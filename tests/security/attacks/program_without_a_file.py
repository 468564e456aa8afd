# Executes a program that lies in no file system: a memfd, which no mount option and no path rule covers. It may run, but with no more than its starter had.
# verdict: COMPLETED
# prints: no more
import os, subprocess, sys
script = """
import ctypes, os
print(*[ctypes.CDLL(None).prctl(option, 0, 0, 0, 0) for option in (21, 39, 27)], os.getuid() == os.geteuid())
try:
    print(open("/etc/shadow").read())
except OSError as error:
    print(error.__class__.__name__)
"""  # PR_GET_SECCOMP, PR_GET_NO_NEW_PRIVS, PR_GET_SECUREBITS (refused)
expected = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True).stdout
try:
    fd = os.memfd_create("program", 0)
    with open(sys.executable, "rb") as program:
        os.write(fd, program.read())
    os.fchmod(fd, 0o6755)
    ran = subprocess.run([f"/proc/self/fd/{fd}", "-I", "-c", script], capture_output=True, text=True, pass_fds=[fd])
    got = ran.stdout
except OSError as error:
    got = expected
    print(error)
print("no more" if got == expected and expected.startswith("2 1 ") else (expected, got))
