"""The channel between the engine and the driver: descriptor 3, a stream socket.

Numbers are little-endian. A frame is a u32 (the bytes that follow), a u8 (the type) and the body:

    engine -> driver
      HELLO 0x01  u16 version, u32 cpus            first, once: what the session may use
      RUN   0x02  u64 call, u64 display_bytes_max, u8 flags, u32 n, n bytes of UTF-8 code
      WARM  0x04                                   before the first RUN, perhaps: touch what a cell will touch; a READY
                                                   answers it
      ACK   0x03  u64 call                         one DISPLAY was taken (this keeps the order with stdout and stderr:
                                                   until then nothing else is said, but that the cell is done)
    driver -> engine
      READY   0x81  u16 version                    answers HELLO, and WARM
      DISPLAY 0x82  u64 call, u8 is_result, u16 n, n times (u16, media type, u32, data)
      DROPPED 0x83  u64 call, u64 bytes            a display that does not fit display_bytes_max
      DONE    0x84  u64 call, u8 status, i32 exit_code, i32 errno, u16 + name, u32 + value, u32 + traceback

The engine's half is interpreter/engine/frames.h. What the user's code prints goes through descriptors 1 and 2, never
through here.
"""

import builtins
from os import read, set_inheritable, write
from struct import pack, unpack, unpack_from

# What the functions of this file call is bound before any code of a user's runs, whatever that replaces later.
__builtins__ = dict(vars(builtins))

VERSION = 2

HELLO, RUN, ACK, WARM = 0x01, 0x02, 0x03, 0x04
READY, DISPLAY, DROPPED, DONE = 0x81, 0x82, 0x83, 0x84

# RUN.flags
SAVE_FIGURES = 1  # a PNG that is shown is also written to the workspace
FORGET_INTERRUPTS = 2  # a SIGINT since the last DONE was meant for the call before; without it, for this one

# DONE.status
COMPLETED, RAISED, EXITED = 0, 1, 2

NAME_BYTES_MAX = 256
VALUE_BYTES_MAX = 16 << 10
TRACEBACK_BYTES_MAX = 64 << 10
BUNDLE_ENTRIES_MAX = 64
# In the environment of what the code starts: how many threads libraries and `nproc` take for granted.
CPU_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_MAX_THREADS")
READ_BYTES_MIN = 4096  # asked for at once: most frames are shorter


class Closed(Exception):
    """The engine is gone."""


def utf8(text, bytes_max):
    """`text` as at most `bytes_max` bytes of valid UTF-8; the middle gives way, for both ends tell the most."""
    data = text.encode("utf-8", "replace")
    if len(data) <= bytes_max:
        return data
    mark = b"\n... cut ...\n"
    if bytes_max < 4 * len(mark):
        return data[:bytes_max].decode("utf-8", "ignore").encode()
    half = (bytes_max - len(mark)) // 2
    return data[:half].decode("utf-8", "ignore").encode() + mark + data[-half:].decode("utf-8", "ignore").encode()


class Channel:
    """Blocking frames over one descriptor. The caller sees to it that one thread at a time uses it."""

    def __init__(self, fd):
        self._fd = fd
        self._received = bytearray()  # survives an exception of a signal handler in the middle of a frame
        set_inheritable(fd, False)

    def receive(self):
        """Returns (type, body). Raises Closed."""
        self._fill(4)
        (length,) = unpack_from("<I", self._received)
        self._fill(4 + length)
        frame = bytes(self._received[4:4 + length])
        del self._received[:4 + length]
        return frame[0], frame[1:]

    def send_ready(self):
        self._send(READY, pack("<H", VERSION))

    def send_display(self, call, is_result, bundle):
        parts = [pack("<QBH", call, is_result, len(bundle))]
        for media_type, data in bundle:
            name = utf8(media_type, NAME_BYTES_MAX)
            parts += [pack("<H", len(name)), name, pack("<I", len(data)), data]
        self._send(DISPLAY, b"".join(parts))

    def send_dropped(self, call, length):
        self._send(DROPPED, pack("<QQ", call, length))

    def send_done(self, call, status, exit_code=0, errno=0, name="", value="", traceback=""):
        name = utf8(name, NAME_BYTES_MAX)
        value = utf8(value, VALUE_BYTES_MAX)
        traceback = utf8(traceback, TRACEBACK_BYTES_MAX)
        self._send(DONE, b"".join([
            pack("<QBii", call, status, exit_code, errno),
            pack("<H", len(name)), name,
            pack("<I", len(value)), value,
            pack("<I", len(traceback)), traceback,
        ]))

    def _fill(self, length):
        while len(self._received) < length:
            part = read(self._fd, min(max(length - len(self._received), READ_BYTES_MIN), 1 << 20))
            if not part:
                raise Closed()
            self._received += part

    def _send(self, kind, body):
        frame = memoryview(pack("<IB", len(body) + 1, kind) + body)
        try:
            while frame:
                frame = frame[write(self._fd, frame):]
        except (BrokenPipeError, ConnectionResetError):
            raise Closed() from None


def parse_hello(body):
    """Returns (version, cpus)."""
    return unpack("<HI", body)


def parse_run(body):
    """Returns (call, display_bytes_max, flags, code)."""
    call, display_bytes_max, flags, length = unpack_from("<QQBI", body)
    return call, display_bytes_max, flags, body[21:21 + length].decode("utf-8", "replace")
