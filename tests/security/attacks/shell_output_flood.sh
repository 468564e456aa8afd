# Writes without end, to both outputs, from jobs in the background too.
# limits: output_bytes=65536 wall_ms=600
# verdict: COMPLETED | TIME_LIMIT | OUTPUT_LIMIT | EXITED | SIGNALLED
# stdout-max: 131072
yes flood & cat /dev/zero >&2 &
yes | tr 'y' '\377'
