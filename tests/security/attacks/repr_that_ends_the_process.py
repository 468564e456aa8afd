# Shows an object whose description ends the process.
# verdict: EXITED 5
# state: dead
import os
class Deadly:
    def __repr__(self):
        os._exit(5)
Deadly()
