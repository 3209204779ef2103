"""TensorBoard's event files: scalars as records of protocol buffers, each with two checksums.

The formats are TensorFlow's TFRecord and `event.proto`: fields 1 wall time, 2 step, 3 version, 5 summary; of a
summary's value 1 tag, 2 number. Written here since TensorBoard's own writer needs TensorBoard.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable, Mapping

CASTAGNOLI = 0x82F63B78
MASK = 0xA282EAD8


def events(curves: Mapping[str, Iterable[tuple[int, float]]], numbers: Mapping[str, float], created: float) -> bytes:
    """A file of curves, name -> (step, value), under `training/`, and of numbers under `metrics/` at step 0.

    `created` is the wall time of all events, in seconds since 1970.
    """
    scalars = [(f"training/{name}", *point) for name, points in curves.items() for point in points]
    scalars += [(f"metrics/{name}", 0, value) for name, value in numbers.items()]
    wall = b"\x09" + struct.pack("<d", created)
    records = [wall + _bytes(3, b"brain.Event:2")]
    records += [wall + b"\x10" + _varint(step) + _bytes(5, _bytes(1, _value(tag, x))) for tag, step, x in scalars]
    return b"".join(map(_record, records))


def _value(tag: str, number: float) -> bytes:
    return _bytes(1, tag.encode()) + b"\x15" + _float(number)


def _float(number: float) -> bytes:
    """32 bits; what is beyond their range is infinite."""
    try:
        return struct.pack("<f", number)
    except OverflowError:
        return struct.pack("<f", float("inf") if number > 0 else float("-inf"))


def _bytes(field: int, content: bytes) -> bytes:
    """A field of protocol buffers with a length."""
    return bytes([field << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _record(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    return length + _masked(length) + content + _masked(content)


def _masked(content: bytes) -> bytes:
    check = crc32c(content)
    return struct.pack("<I", ((check >> 15 | check << 17) + MASK) & 0xFFFFFFFF)


def crc32c(content: bytes) -> int:
    """The cyclic redundancy check of RFC 3720, with Castagnoli's polynomial."""
    check, table = 0xFFFFFFFF, _table()
    for byte in content:
        check = table[(check ^ byte) & 0xFF] ^ check >> 8
    return check ^ 0xFFFFFFFF


@functools.cache
def _table() -> tuple[int, ...]:
    """What each byte adds to the check."""
    return tuple(functools.reduce(_shifted, range(8), byte) for byte in range(256))


def _shifted(check: int, _: int) -> int:
    return check >> 1 ^ CASTAGNOLI * (check & 1)
