# A shell with pipes, and programs by name.
# verdict: COMPLETED
# state: kept
# prints: twin ok
import subprocess, sys
shown = subprocess.run("seq 1 1000 | grep 9 | sort -r | head -3; echo $((6 * 7)) >&2", shell=True, capture_output=True, text=True)
assert shown.stdout.split() == ["999", "998", "997"] and shown.stderr.strip() == "42", shown
assert subprocess.check_output([sys.executable, "-c", "print(1 + 1)"]).strip() == b"2"
process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
assert process.communicate(b"x" * 200000)[0] == b"x" * 200000
print("twin ok")
