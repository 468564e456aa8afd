# Shows an object whose every method misbehaves.
# verdict: COMPLETED | RAISED | EXITED
# state: kept
class Hostile:
    def __repr__(self):
        raise SystemExit("from repr")
    _repr_html_ = _repr_png_ = property(lambda self: (_ for _ in ()).throw(BaseException("from repr")))
    def __getattribute__(self, name):
        raise KeyboardInterrupt(name)
Hostile()
