# Epolls that watch each other in wide and deep nets, which the kernel has to walk at every new edge.
# limits: wall_ms=8000
# verdict: COMPLETED | TIME_LIMIT
# prints-if-completed: nets
import select
layers = [[select.epoll() for _ in range(30)] for _ in range(8)]
refused = 0
for upper, lower in zip(layers, layers[1:]):
    for a in upper:
        for b in lower:
            try:
                a.register(b.fileno(), select.EPOLLIN)
            except OSError:
                refused += 1
try:
    layers[-1][0].register(layers[0][0].fileno(), select.EPOLLIN)
    print("a circle")
except OSError:
    pass
print("nets", refused > 0)
