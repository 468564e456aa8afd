# Registers callbacks of the shell that fail.
# verdict: COMPLETED
# state: kept
def fail(*_):
    raise RuntimeError("from an event")
for event in ("pre_execute", "pre_run_cell", "post_execute", "post_run_cell"):
    get_ipython().events.register(event, fail)
