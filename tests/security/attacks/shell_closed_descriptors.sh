# Closes every descriptor, the driver's channel among them.
# limits: wall_ms=2000
# verdict: any
for fd in $(seq 0 255); do eval "exec $fd>&-" 2>/dev/null; done
