"""Sets of elements of a tensor under a change of shape that keeps the row-major order."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from bench.structure import bits
from bench.structure.terms import Term, Terms, union

Group = tuple[tuple[int, ...], tuple[int, ...]]
"""Dimensions of both shapes, by index, that cover the same run of elements."""


@lru_cache(maxsize=4096)
def groups(old: tuple[int, ...], new: tuple[int, ...]) -> tuple[Group, ...]:
    """The finest split of two shapes of equal size into corresponding runs of dimensions."""
    runs: list[Group] = []
    i = j = 0
    while i < len(old) or j < len(new):
        mine, theirs = [], []
        a = b = 1
        if i < len(old):
            mine, a, i = [i], old[i], i + 1
        if j < len(new):
            theirs, b, j = [j], new[j], j + 1
        while a != b or (not mine and not theirs):
            if a < b or not mine:
                mine.append(i)
                a, i = a * old[i], i + 1
            else:
                theirs.append(j)
                b, j = b * new[j], j + 1
        runs.append((tuple(mine), tuple(theirs)))
    return tuple(runs)


def reshaped(terms: Terms, shape: tuple[int, ...], target: tuple[int, ...]) -> Terms:
    """Elements of a tensor of `shape` as elements of the same tensor viewed in `target`."""
    if shape == target:
        return terms
    every = _full(shape)
    if every in terms:
        return (_full(target),)
    parts = _sized(shape, target)
    return union(t for term in terms for t in _reshape_term(term, parts))


@lru_cache(maxsize=4096)
def _full(shape: tuple[int, ...]) -> Term:
    return tuple(bits.full(n) for n in shape)


@lru_cache(maxsize=4096)
def _sized(shape: tuple[int, ...], target: tuple[int, ...]) -> tuple[tuple[int, int, Any, Any], ...]:
    """Corresponding runs, as (first, last + 1) of `shape` and the sizes in both shapes."""
    runs = []
    first = 0
    for mine, theirs in groups(shape, target):
        sizes, targets = tuple(shape[d] for d in mine), tuple(target[d] for d in theirs)
        runs.append((first, first + len(mine), sizes, targets))
        first += len(mine)
    return tuple(runs)


def _reshape_term(term: Term, parts: tuple[tuple[int, int, Any, Any], ...]) -> list[Term]:
    results: list[Term] = [()]
    for first, last, sizes, targets in parts:
        own = term[first:last]
        if len(sizes) == len(targets) == 1:
            results = [m + own for m in results]
        else:
            results = [m + p for m in results for p in _convert(own, sizes, targets)]
    return results


@lru_cache(maxsize=16384)
def _convert(term: Term, sizes: tuple[int, ...], target: tuple[int, ...]) -> Terms:
    """One run of elements from some dimensions into others."""
    if len(sizes) == len(target) == 1:
        return (term,)
    if all(b == bits.full(n) for b, n in zip(term, sizes, strict=True)):
        return (tuple(bits.full(n) for n in target),)
    return unflattened(flattened(term, sizes), target)


def flattened(term: Term, sizes: Sequence[int]) -> int:
    """A product as one set of row-major places."""
    flat, inner = 1, 1
    for b, n in zip(reversed(term), reversed(sizes), strict=True):
        flat = bits.spread(b, inner) * flat
        inner *= n
    return flat


def unflattened(flat: int, sizes: tuple[int, ...]) -> Terms:
    """A set of row-major places as products: equal rows form one product."""
    if not sizes:
        return ((),)
    if len(sizes) == 1:
        return ((flat,),)
    inner = 1
    for n in sizes[1:]:
        inner *= n
    alike: dict[int, int] = {}
    for i, row in enumerate(_rows(flat, inner, sizes[0])):
        if row:
            alike[row] = alike.get(row, 0) | 1 << i
    return union((own, *rest) for row, own in alike.items() for rest in unflattened(row, sizes[1:]))


def _rows(flat: int, inner: int, count: int) -> list[int]:
    """A set cut into `count` runs of `inner` places, by halves (a shift of the whole set per run would be slow)."""
    if count == 1:
        return [flat]
    if not flat:
        return [0] * count
    half = count // 2
    low = flat & bits.full(half * inner)
    return _rows(low, inner, half) + _rows(flat >> half * inner, inner, count - half)
