# Forks and lets both go on: two processes answer for the driver, on one channel.
# verdict: any
# then: answers
import os
if os.fork() == 0:
    print("the child")
else:
    print("the parent")
