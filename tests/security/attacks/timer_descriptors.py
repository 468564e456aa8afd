# Timers as descriptors that fire a million times a second, watched by chains of epolls.
# limits: wall_ms=5000
# verdict: COMPLETED | RAISED OSError
import ctypes, os, select, struct
libc = ctypes.CDLL(None, use_errno=True)
when = struct.pack("qqqq", 0, 1000, 0, 1000)
timers = []
for _ in range(200):
    fd = libc.timerfd_create(1, 0)
    if fd < 0:
        break
    libc.timerfd_settime(fd, 0, when, None)
    timers.append(fd)
poll = select.epoll()
for fd in timers:
    poll.register(fd, select.EPOLLIN)
for _ in range(2000):
    poll.poll(0.001, 100)
print("polled", len(timers))
