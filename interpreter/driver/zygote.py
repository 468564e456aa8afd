"""The process that sessions are forked from: everything imported and warm, nothing of any user's seen.

Started by the jailer with capabilities that are good inside the outer user namespace only. The fork, and the child's
way into its jail, are C++ (the extension module `_carrel_zygote`); what is here never runs user code before that.
"""

import gc
import os
import sys

import _carrel_zygote
import driver as driver_module
import shell


def main():
    _carrel_zygote.connect()
    driver = driver_module.Driver()
    driver.prepare()
    left_open = [entry for entry in shell.open_files() if entry[0] != _carrel_zygote.fileno()]
    if not shell.single_threaded():
        sys.exit("zygote: a library started a thread; a forked child would have only half of it")
    if left_open:
        sys.stderr.write(f"zygote: open at the fork, closed in the session: {left_open}\n")
    gc.collect()
    gc.freeze()
    # Returns in each session's child, in its jail; in the zygote it returns None when the jailer is gone.
    if _carrel_zygote.serve():
        driver.serve()
    os._exit(0)


if __name__ == "__main__":
    main()
