# inotify, eventfd, timerfd and epoll.
# verdict: COMPLETED
# confined-verdict: RAISED AssertionError
# state: kept
# prints: twin ok
# confined-prints: counted
import ctypes, os, select
libc = ctypes.CDLL(None)
event = os.eventfd(0)
os.eventfd_write(event, 5)
assert os.eventfd_read(event) == 5
print("counted")
watch = libc.inotify_init1(os.O_NONBLOCK)
assert libc.inotify_add_watch(watch, b"/mnt/data", 0x100) >= 0
open("/mnt/data/new", "w").close()
poll = select.epoll()
poll.register(watch, select.EPOLLIN)
assert poll.poll(2)
print("twin ok")
