# Leaves jobs behind that are nobody's, ignore every signal and keep the outputs open.
# verdict: COMPLETED
# state: kept
# then: answers
for _ in 1 2 3 4 5 6; do
  (trap '' HUP INT TERM QUIT; setsid sleep 600 & disown -a; while :; do sleep 1; done) &
done
disown -a
