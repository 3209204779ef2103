"""The form of Matlab files of version 5 to 7: a walk over all elements, before a reader trusts the sizes they state.

scipy's reader is compiled code that can end the process on a malformed file; one that passes this walk is well-formed.
Source: MathWorks, "MAT-File Format", chapter 1, "MAT-File Level 5".
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

MOST_BYTES = 1 << 30
"""Bytes of a file, and of all its variables, decompressed, that are read."""
HEADER = 128
ORDERS = {b"IM": "<", b"MI": ">"}
"""The mark of the byte order at the end of the header."""
VERSION_5, VERSION_73 = 0x0100, 0x0200
INT32, UINT32, MATRIX, COMPRESSED = 5, 6, 14, 15
ITEM_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8, 16: 1, 17: 2, 18: 4}
"""Bytes of an item of each type of data."""
NAMES = (1, 2, 16)
"""The types of data that hold names."""
CELL, STRUCT, TEXT = 1, 2, 4
NUMBERS = range(6, 16)
"""Classes of arrays: cell arrays, structs, text, and the ten classes of numbers."""
COMPLEX = 0x0800
UNNAMED = 40
"""Bytes of flags, shape and name of an array in two dimensions without a name."""
MOST_DEPTH = 20
"""Levels of structs in structs."""


class Element(NamedTuple):
    """A piece of a file: the type of its data, and where these start and end."""

    kind: int
    start: int
    end: int


def check(content: bytes) -> None:
    """Raises ValueError where the bytes are not a well-formed file of version 5 to 7, or a variable is too large.

    Raises NotImplementedError for version 7.3.
    """
    order = ORDERS.get(content[HEADER - 2 : HEADER])
    version = struct.unpack_from(f"{order}H", content, HEADER - 4)[0] if order else 0
    if version == VERSION_73:
        raise NotImplementedError
    if order is None or version != VERSION_5:
        raise ValueError("it is empty" if not content else "it has no header of version 5 to 7")
    walk, left = _Walk(content, order), MOST_BYTES
    for element in walk.elements(HEADER, len(content)):
        if element.kind == COMPRESSED:
            inflated = _inflated(content[element.start : element.end], left)
            left -= len(inflated)
            inner = _Walk(inflated, order)
            inner.matrix(inner.element(0, len(inflated))[0])
        else:
            walk.matrix(element)


def _inflated(packed: bytes, most: int) -> bytes:
    """A variable, decompressed. Raises ValueError where it takes more than `most` bytes."""
    inflater = zlib.decompressobj()
    content = inflater.decompress(packed, most + 1)
    if len(content) > most:
        raise ValueError(f"a variable takes more than {MOST_BYTES >> 20} MiB, or all of them together do")
    return content


class _Walk:
    """The elements of some bytes in a byte order."""

    def __init__(self, content: bytes, order: str) -> None:
        self.content, self.order = content, order
        self.heads: dict[bytes, tuple[int, int]] = {}  # of small unnamed arrays, which a file holds by the million
        self.tag = struct.Struct(f"{order}II")
        self.whole = struct.Struct(f"{order}i")

    def elements(self, start: int, end: int) -> Iterator[Element]:
        """The elements between two places, one after the other."""
        while start < end:
            element, start = self.element(start, end)
            yield element

    def element(self, start: int, end: int) -> tuple[Element, int]:
        """The element at `start`, and where the next one begins; `end` is that of the element around it."""
        if start + 8 > end:
            raise ValueError("it ends within an element")
        kind, size = self.tag.unpack_from(self.content, start)
        if kind >> 16:  # a small element: type and size in four bytes, data in the next four
            if kind >> 16 > 4:
                raise ValueError("a small element states more than 4 bytes")
            return Element(kind & 0xFFFF, start + 4, start + 4 + (kind >> 16)), start + 8
        if start + 8 + size > end:
            raise ValueError("an element states more bytes than there are")
        padding = 0 if kind == COMPRESSED else -size % 8
        return Element(kind, start + 8, start + 8 + size), min(start + 8 + size + padding, end)

    def matrix(self, element: Element, depth: int = 0) -> None:
        """Raises ValueError where the element is not an array whose parts fit its shape."""
        if element.kind != MATRIX or depth > MOST_DEPTH:
            raise ValueError(f"there is an element of type {element.kind} where an array belongs")
        if element.start == element.end:
            return None
        beginning = self.content[element.start : min(element.start + UNNAMED, element.end)]
        if beginning not in self.heads:
            bits, count, start = self.head(element)
            if start != element.start + UNNAMED:
                return self.items(bits, count, self.elements(start, element.end), depth)
            self.heads[beginning] = bits, count
        bits, count = self.heads[beginning]
        return self.items(bits, count, self.elements(element.start + UNNAMED, element.end), depth)

    def head(self, element: Element) -> tuple[int, int, int]:
        """The flags of an array, its number of items, and where what follows its name begins."""
        flags, start = self.element(element.start, element.end)
        shape, start = self.element(start, element.end)
        name, start = self.element(start, element.end)
        if (flags.kind, flags.end - flags.start) != (UINT32, 8) or name.kind not in NAMES:
            raise ValueError("an array has no flags, or no name")
        return int(self.tag.unpack_from(self.content, flags.start)[0]), self.count(shape), start

    def count(self, shape: Element) -> int:
        """The number of items of an array of this shape."""
        kind, start, end = shape
        if kind != INT32 or (end - start) % 4 or not 8 <= end - start <= 128:
            raise ValueError("the shape of an array is not two or more numbers")
        lengths = struct.unpack_from(f"{self.order}{(end - start) // 4}i", self.content, start)
        count: int = math.prod(lengths)
        if min(lengths) < 0 or count > MOST_BYTES:
            raise ValueError(f"an array has the shape {' x '.join(map(str, lengths))}")
        return count

    def items(self, bits: int, count: int, parts: Iterator[Element], depth: int) -> None:
        """Raises ValueError where what follows the name of an array does not fit its class and number of items."""
        kind = bits & 0xFF
        if kind in NUMBERS:
            for _ in range(2 if bits & COMPLEX else 1):
                self.numbers(next(parts, None), count)
        elif kind == TEXT:
            self.numbers(next(parts, None), None)
        elif kind in (CELL, STRUCT):
            self.children(count if kind == CELL else count * self.fields(parts), parts, depth)
        else:
            raise ValueError(f"arrays of class {kind} are not read")
        if next(parts, None) is not None:
            raise ValueError("an array holds more than its class and shape state")

    def numbers(self, data: Element | None, count: int | None) -> None:
        size = ITEM_BYTES.get(data.kind) if data is not None else None
        if data is None or size is None or (data.end - data.start) % size:
            raise ValueError("the data of an array have no type of numbers")
        if count is not None and (data.end - data.start) // size != count:
            raise ValueError(f"an array of {count} items holds {(data.end - data.start) // size}")

    def fields(self, parts: Iterator[Element]) -> int:
        """The number of fields of a struct."""
        length, names = next(parts, None), next(parts, None)
        if length is None or names is None or (length.kind, length.end - length.start) != (INT32, 4):
            raise ValueError("a struct has no names of fields")
        each = int(self.whole.unpack_from(self.content, length.start)[0])
        size = names.end - names.start
        if names.kind not in NAMES or each < 1 or size % each:
            raise ValueError("the names of a struct's fields have no common length")
        return size // each

    def children(self, count: int, parts: Iterator[Element], depth: int) -> None:
        for _ in range(count):
            child = next(parts, None)
            if child is None:
                raise ValueError("a struct or cell array holds less than its shape states")
            self.matrix(child, depth + 1)
