# Replaces the import system.
# verdict: COMPLETED | RAISED
# state: kept
import builtins, sys
class Finder:
    @staticmethod
    def find_spec(*_):
        raise KeyboardInterrupt("import")
sys.meta_path.insert(0, Finder)
sys.path_hooks.clear()
builtins.__import__ = lambda *a, **k: None
