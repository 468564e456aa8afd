# A figure of a billion pixels, shown.
# limits: memory_bytes=536870912 wall_ms=8000
# verdict: RAISED | COMPLETED | MEMORY_LIMIT | TIME_LIMIT
import matplotlib.pyplot as plt
figure = plt.figure(figsize=(320, 320), dpi=100)
figure.add_subplot().plot([1, 2])
plt.show()
