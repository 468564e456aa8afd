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
    os.environ.pop("CARREL_ZYGOTE_FD", None)  # ours, and of no use inside a session
    before = shell.open_files()
    driver = driver_module.Driver()
    driver.prepare()
    opened = [entry for entry in shell.open_files() if entry not in before]
    if opened:
        # A session starts with descriptors 0 to 3 and no other: an object that holds one of these would be broken, or
        # would read from whatever took the number.
        sys.exit(f"zygote: a library keeps files open: {opened}")
    if not shell.single_threaded():
        sys.exit("zygote: a library started a thread; a forked child would have only half of it")
    gc.collect()
    gc.freeze()

    def become_a_session():
        _carrel_zygote.own_pages()
        driver.reseed()

    if _carrel_zygote.serve(driver.rehearse):
        driver.serve(become_a_session)
    os._exit(0)


if __name__ == "__main__":
    main()
