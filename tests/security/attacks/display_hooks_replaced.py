# Takes over what shows results: the display hook, the publisher, every formatter.
# verdict: COMPLETED | RAISED
import builtins, sys
from IPython import get_ipython
shell = get_ipython()
sys.displayhook = lambda value: sys.exit(7)
shell.displayhook = None
shell.display_pub.publish = lambda *a, **k: 1 / 0
for formatter in shell.display_formatter.formatters.values():
    formatter.for_type(object, lambda value: (_ for _ in ()).throw(SystemExit(8)))
builtins.repr = lambda value: 1 / 0
42
