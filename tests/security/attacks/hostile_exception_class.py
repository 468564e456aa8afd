# An exception whose class lies about its name and its instances.
# verdict: RAISED
# state: kept
class Meta(type):
    @property
    def __name__(cls):
        raise RuntimeError("no name")
    def __instancecheck__(cls, other):
        raise RuntimeError("no instance")
class Hostile(Exception, metaclass=Meta):
    @property
    def __traceback__(self):
        raise RuntimeError("no traceback")
raise Hostile("x")
