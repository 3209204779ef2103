"""Sets of tensor elements: unions of products of per-dimension position sets.

A term is one bitset per dimension, and means their product; a set of elements is a tuple of terms.
Dimensions include batch and channels. The empty tuple is the empty set.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from bench.structure import bits

Term = tuple[int, ...]
Terms = tuple[Term, ...]


def whole(shape: Sequence[int]) -> Terms:
    """Every element of a tensor."""
    return (tuple(bits.full(n) for n in shape),) if all(shape) else ()


def union(terms: Iterable[Term]) -> Terms:
    """Non-empty terms; terms that differ in one dimension are merged, and terms inside another are dropped."""
    remaining = set(terms)
    if len(remaining) == 1:
        (only,) = remaining
        return (only,) if all(only) else ()
    remaining = {t for t in remaining if all(t)}
    if len(remaining) < 2:
        return tuple(remaining)
    merged = _merged(remaining)
    while len(merged) < len(remaining):
        remaining, merged = merged, _merged(merged)
    return tuple(_undominated(list(merged)) if len(merged) < 100 else merged)


def _merged(terms: set[Term]) -> set[Term]:
    for d in range(len(next(iter(terms)))):
        rest: dict[tuple[Term, Term], int] = {}
        for t in terms:
            key = (t[:d], t[d + 1 :])
            rest[key] = rest.get(key, 0) | t[d]
        if len(rest) < len(terms):
            terms = {(*low, middle, *high) for (low, high), middle in rest.items()}
        if len(terms) == 1:
            break
    return terms


def _undominated(terms: list[Term]) -> list[Term]:
    return [t for t in terms if not any(o is not t and _within(t, o) for o in terms)]


def _within(inner: Term, outer: Term) -> bool:
    return all(a | b == b for a, b in zip(inner, outer, strict=True))


def both(a: Terms, b: Terms) -> Terms:
    """The intersection."""
    return union(tuple(x & y for x, y in zip(s, t, strict=True)) for s in a for t in b)


def of_array(array: np.ndarray) -> Terms:
    """The true elements of a boolean array: equal slices along an axis form one term."""
    if not array.any():
        return ()
    if array.all():
        return whole(array.shape)
    if array.ndim == 1:
        return ((_packed(array),),)
    alike: dict[bytes, tuple[int, np.ndarray]] = {}
    for i, part in enumerate(array):
        key = part.tobytes()
        alike[key] = (alike[key][0] | 1 << i if key in alike else 1 << i, part)
    return union((own, *rest) for own, part in alike.values() for rest in of_array(part))


def _packed(row: np.ndarray) -> int:
    return int.from_bytes(np.packbits(row, bitorder="little").tobytes(), "little")


def unpacked(row: int, size: int) -> np.ndarray:
    """A position set as a boolean array of length `size`."""
    raw = np.frombuffer(row.to_bytes((size + 7) // 8, "little"), dtype=np.uint8)
    return np.unpackbits(raw, bitorder="little", count=size).astype(bool)


def to_array(terms: Terms, shape: Sequence[int]) -> np.ndarray:
    """A set of elements as a boolean array."""
    array = np.zeros(shape, dtype=bool)
    for term in terms:
        rows = [unpacked(b, n) for b, n in zip(term, shape, strict=True)]
        array[np.ix_(*rows)] = True
    return array
