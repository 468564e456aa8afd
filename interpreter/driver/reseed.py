"""Chance after a fork: every child of a zygote would otherwise draw the same numbers.

`find_generators` runs once in the zygote, `reseed` in each child. uuid4 and secrets draw from the kernel and need
nothing; the hash seed is shared by all children of one zygote and cannot be changed (THREAT_MODEL.md).
"""

import ctypes
import os
import random
import struct
import sys

# numpy's mt19937_state: u32 key[624], int pos.
MT19937_WORDS = 624
MT19937_BYTES = 4 * MT19937_WORDS
MT19937_POSITION = struct.pack("i", MT19937_WORDS)  # the key is used up: the next draw makes a new one of it


def find_generators():
    """Every generator that is an attribute of a loaded module: for each a function that gives it fresh entropy.

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
    return [reseeder(generator) for generator in found.values()]


def reseeder(generator):
    """Returns a function that seeds `generator` from the kernel."""
    if isinstance(generator, random.Random):
        return generator.seed
    if isinstance(generator, sys.modules["numpy.random"].RandomState):
        return legacy_reseeder(generator)
    bits = generator.bit_generator
    return lambda: setattr(bits, "state", type(bits)().state)


def reseed(generators):
    """Calls each of `generators`, and gives OpenSSL and the modules with private state fresh entropy."""
    for give_entropy in generators:
        give_entropy()
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


def legacy_reseeder(generator):
    """Draws the whole state of a Mersenne twister from the kernel, into where numpy keeps it: in a forked child
    seed(None) costs 2 ms, set_state 0.3, this nothing."""
    state = generator.get_state(legacy=False)
    if state["bit_generator"] != "MT19937":
        return lambda: generator.seed(None)
    generator.set_state({**state, "has_gauss": 0, "gauss": 0.0})
    address = generator._bit_generator.ctypes.state_address
    memory = memoryview((ctypes.c_char * (MT19937_BYTES + len(MT19937_POSITION))).from_address(address)).cast("B")
    if bytes(memory) != state["state"]["key"].tobytes() + struct.pack("i", state["state"]["pos"]):
        return lambda: generator.seed(None)  # another numpy, which lays it out in another way

    def draw():
        assert generator is not None  # whose memory it is
        memory[:] = os.urandom(MT19937_BYTES) + MT19937_POSITION

    return draw
