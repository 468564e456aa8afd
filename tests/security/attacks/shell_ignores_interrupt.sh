# Ignores the interrupt, traps every other signal, and spins.
# limits: wall_ms=300
# verdict: TIME_LIMIT
trap '' INT QUIT
for signal in $(seq 1 64); do trap ':' "$signal" 2>/dev/null; done
while :; do :; done
