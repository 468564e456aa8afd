# Sends every signal to every process it can reach, itself not counted.
# verdict: COMPLETED | EXITED | SIGNALLED
trap '' INT TERM HUP QUIT PIPE ALRM USR1 USR2
for signal in TERM HUP INT QUIT USR1 STOP CONT KILL; do kill -s "$signal" -- -1 2>/dev/null; done
kill -9 1 2>/dev/null
echo still here
