# Writes an end of the call into every descriptor that it has, with an exit code of its choice.
# limits: wall_ms=2000
# verdict: any
for fd in $(seq 3 255); do
  printf '\x20\x00\x00\x00{"type":"done","exit_code":99}  \n0 99 done\n' >&"$fd" 2>/dev/null
done
exit 5
