"""Chance after a fork: every child of a zygote would otherwise draw the same numbers.

`find_generators` runs once in the zygote, `reseed` in each child. uuid4 and secrets draw from the kernel and need
nothing; the hash seed is shared by all children of one zygote and cannot be changed (THREAT_MODEL.md).
"""

import os
import random
import sys


def find_generators():
    """Every generator that is an attribute of a loaded module.

    One that only a class, an object or a container holds is not found. (scipy's distributions hold numpy's global one,
    which is.)
    """
    numpy_random = sys.modules.get("numpy.random")
    numpy_kinds = (numpy_random.RandomState, numpy_random.Generator) if numpy_random else ()
    found = {}
    for module in list(sys.modules.values()):
        for value in list(getattr(module, "__dict__", {}).values()):
            if isinstance(value, (random.Random,) + numpy_kinds) and not isinstance(value, random.SystemRandom):
                found[id(value)] = value
    return list(found.values())


def reseed(generators):
    """Gives each of `generators`, OpenSSL and the modules with private state fresh entropy."""
    numpy_random = sys.modules.get("numpy.random")
    for generator in generators:
        if isinstance(generator, random.Random):
            generator.seed()
        elif isinstance(generator, numpy_random.RandomState):
            reseed_legacy(generator)
        else:
            bits = generator.bit_generator
            bits.state = type(bits)().state
    ssl = sys.modules.get("ssl")
    if ssl:
        ssl.RAND_add(os.urandom(32), 32.0)
    tempfile = sys.modules.get("tempfile")
    if tempfile:
        tempfile._name_sequence = None
        tempfile.tempdir = None
    uuid = sys.modules.get("uuid")
    if uuid:
        uuid._last_timestamp = None
        uuid._node = None


def reseed_legacy(generator):
    """Draws the whole state of a Mersenne twister from the kernel: seed(None) costs 2 ms in a forked child, this 0.3."""
    import numpy
    state = generator.get_state(legacy=False)
    if state["bit_generator"] != "MT19937":
        generator.seed(None)
        return
    key = numpy.frombuffer(os.urandom(4 * 624), dtype=numpy.uint32)
    generator.set_state({**state, "state": {"key": key, "pos": 624}, "has_gauss": 0, "gauss": 0.0})
