# Linear algebra with several threads.
# limits: cpu_millis=2000
# verdict: COMPLETED
# state: kept
# prints: twin ok
import numpy
matrix = numpy.random.default_rng(1).random((600, 600))
inverse = numpy.linalg.inv(matrix)
assert numpy.allclose(matrix @ inverse, numpy.eye(600), atol=1e-6)
values = numpy.linalg.svd(matrix, compute_uv=False)
assert values[0] > values[-1]
print("twin ok")
