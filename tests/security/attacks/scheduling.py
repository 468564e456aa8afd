# Asks for real-time scheduling and a better priority.
# verdict: COMPLETED
# prints: got []
import os
got = []
for name, ask in (("fifo", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))),
                  ("nice", lambda: os.nice(-5)), ("priority", lambda: os.setpriority(os.PRIO_PROCESS, 0, -10)),
                  ("keeper", lambda: os.setpriority(os.PRIO_PROCESS, 1, 19))):
    try:
        ask()
        got.append(name)
    except OSError:
        pass
print("got", got)
