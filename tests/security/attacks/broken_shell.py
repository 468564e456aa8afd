# Takes the shell's own methods apart.
# limits: wall_ms=3000
# verdict: COMPLETED | RAISED
# state: kept
shell = get_ipython()
for name in ("run_cell", "showtraceback", "display_formatter", "displayhook", "display_pub", "events", "user_ns"):
    try:
        setattr(shell, name, None)
    except Exception:
        pass
