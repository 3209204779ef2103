"""Sets of positions along one dimension, as integers: bit i is position i."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache


def full(n: int) -> int:
    """All of n positions."""
    return (1 << n) - 1


def members(bits: int) -> list[int]:
    """The positions in a set, ascending."""
    positions = []
    while bits:
        low = bits & -bits
        positions.append(low.bit_length() - 1)
        bits ^= low
    return positions


def of(positions: Iterable[int]) -> int:
    """The set of some positions."""
    bits = 0
    for p in positions:
        bits |= 1 << p
    return bits


def shifted(bits: int, by: int) -> int:
    """Every position plus `by`, which may be negative; positions below 0 are dropped."""
    return bits << by if by >= 0 else bits >> -by


def spread(bits: int, step: int) -> int:
    """Position i becomes i * step."""
    if step == 1 or not bits:
        return bits
    if bits & (bits - 1) == 0:
        return 1 << (bits.bit_length() - 1) * step
    return int(("0" * (step - 1)).join(bin(bits)[2:]), 2)


def gathered(bits: int, step: int) -> int:
    """Position i * step becomes i; positions that are not multiples of `step` are dropped."""
    if step == 1 or not bits:
        return bits
    return int(bin(bits)[:1:-1][::step][::-1] or "0", 2)


def folded(bits: int, size: int) -> int:
    """Position i becomes i modulo `size`."""
    if size == 0:
        return 0
    mask, out = full(size), 0
    while bits:
        out |= bits & mask
        bits >>= size
    return out


def reversed_within(bits: int, size: int) -> int:
    """Position i becomes size - 1 - i."""
    return int(bin(bits)[:1:-1].ljust(size, "0"), 2) if bits else 0


def interval(start: int, stop: int) -> int:
    """Positions start to stop - 1, without negative ones."""
    start = max(start, 0)
    return full(stop - start) << start if stop > start else 0


def bounds(bits: int) -> tuple[int, int]:
    """(first, last + 1) of a non-empty set."""
    return (bits & -bits).bit_length() - 1, bits.bit_length()


@lru_cache(maxsize=65536)
def windows(bits: int, size: int, taps: tuple[int, ...], stride: int) -> int:
    """Inputs that the outputs in `bits` read: o * stride + t for each tap t, within `size`."""
    starts, inputs = spread(bits, stride), 0
    for tap in taps:
        inputs |= shifted(starts, tap)
    return inputs & full(size)


@lru_cache(maxsize=65536)
def readers(bits: int, size: int, taps: tuple[int, ...], stride: int) -> int:
    """Windows i < `size` with i * stride + t in `bits` for some tap t: the inverse relation of `windows`."""
    outputs = 0
    for tap in taps:
        outputs |= gathered(shifted(bits, -tap) if tap >= 0 else bits << -tap, stride)
    return outputs & full(size)


def images(bits: int, rows: tuple[int, ...]) -> int:
    """The union of `rows[o]` over the positions o in `bits`."""
    inputs = 0
    for o in members(bits):
        inputs |= rows[o]
    return inputs
