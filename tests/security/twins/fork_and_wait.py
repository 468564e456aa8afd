# fork, exec, wait and exit codes.
# verdict: COMPLETED
# state: kept
# prints: twin ok
import os
for code in (0, 3, 255):
    child = os.fork()
    if child == 0:
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == code
assert os.spawnlp(os.P_WAIT, "true", "true") == 0
assert os.system("exit 4") >> 8 == 4
print("twin ok")
