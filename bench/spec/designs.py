"""Designs: which variants are measured where `grid` would be too many, as lists of the axes that a variant changes.

leave_out   the baseline without one component at a time: [skips, norm], or {axis: value without it}
add_in      the baseline with one component more at a time: [skips], or {axis: value with it}
factorial   {over: {axis: [first, second]}, count: 8}: a regular two-level fraction (Box & Hunter 1961) of at most
            `count` variants, of minimum aberration (Fries & Hunter 1980) as far as the search goes
sample      {over: {axis: [values]}, count: 12, method: random | latin, seed: 0}: a part of the grid
path        {to: {axis: value}, order: [axes] | greedy}: from the baseline to another variant, one axis after the other,
            in this order, or in the one that the results choose (bench.spec.greedy)

Numbers of a fraction are bit masks: bit i stands for factor i, and a word is a product of factors that is constant.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from bench.spec.greedy import GREEDY
from bench.spec.schema import AblationFile, FactorialSection, SampleSection

Place = tuple[Any, ...]
"""The keys of a file that lead to a section."""

WITH_AXES: tuple[Place, ...] = (
    ("vary",),
    ("grid",),
    ("zip",),
    ("leave_out",),
    ("add_in",),
    ("factorial", "over"),
    ("sample", "over"),
    ("path", "to"),
)
"""The sections whose keys are axes that differ between variants."""

MOST_FACTORS = 16
EXHAUSTIVE = 5000
"""So many choices of generators are all compared; of more, the generators are chosen one after the other."""
SHUFFLES = 100
MOST_ALIASES = 12


def section_at(file: AblationFile, place: Place) -> Mapping[str, Any] | Sequence[str]:
    """What the file has at one of `WITH_AXES`; empty where it has nothing there."""
    section: Any = file
    for part in place:
        section = getattr(section, part) if section is not None else None
    return section or {}


def design_axes(file: AblationFile) -> list[str]:
    """The axes that differ between the variants of one architecture, in the order of the sections."""
    return list(dict.fromkeys(axis for place in WITH_AXES for axis in section_at(file, place)))


def factorial_points(section: FactorialSection) -> Iterator[dict[str, Any]]:
    """The variants of a fraction; the first one has every first level."""
    names, levels = list(section.over), list(section.over.values())
    basic = basic_factors(len(names), section.count)
    columns = [*(1 << number for number in range(basic)), *generators(len(names), basic)]
    for run in range(2**basic):
        yield {
            name: pair[(run & column).bit_count() % 2]
            for name, pair, column in zip(names, levels, columns, strict=True)
        }


def basic_factors(factors: int, count: int | None) -> int:
    """How many factors of a fraction are free: it has two to that power variants.

    Without a count the fewest that keep main effects apart from interactions of two factors (resolution IV).
    Raises ValueError for a count that is too small for the main effects.
    """
    if count is None:
        return next(basic for basic in range(1, factors + 1) if factors <= 2 ** (basic - 1) or basic == factors)
    least = next(basic for basic in range(1, factors + 1) if factors < 2**basic)
    basic = min(factors, count.bit_length() - 1)
    if basic < least:
        raise ValueError(f"the main effects of {factors} axes need at least {2**least} variants, not {count}")
    return basic


@lru_cache(maxsize=256)
def generators(factors: int, basic: int) -> tuple[int, ...]:
    """For each factor that is not free, the mask of those whose product it is: the design of least aberration."""
    added = factors - basic
    words = sorted((mask for mask in range(2**basic) if mask.bit_count() > 1), key=lambda mask: -mask.bit_count())
    if math.comb(len(words), added) <= EXHAUSTIVE:
        return min(itertools.combinations(words, added), key=lambda chosen: aberration(chosen, basic))
    odd = [mask for mask in words if mask.bit_count() % 2]
    choices = [_one_by_one(pool, added, basic) for pool in (words, odd) if len(pool) >= added]
    return min(choices, key=lambda chosen: aberration(chosen, basic))


def _one_by_one(words: Sequence[int], added: int, basic: int) -> tuple[int, ...]:
    chosen: tuple[int, ...] = ()
    for _ in range(added):
        left = (word for word in words if word not in chosen)
        chosen = min(((*chosen, word) for word in left), key=lambda some: aberration(some, basic))
    return chosen


def aberration(chosen: Sequence[int], basic: int) -> tuple[int, ...]:
    """How many words of each length from 1 on are constant; the smaller, in the order of words, the better."""
    counts = [0] * (basic + len(chosen))
    for word in constant_words(chosen, basic):
        counts[word.bit_count() - 1] += 1
    return tuple(counts)


def constant_words(chosen: Sequence[int], basic: int) -> list[int]:
    """Every product of factors that is constant in the fraction (its defining relation), without the empty one."""
    words = [0]
    for number, mask in enumerate(chosen):
        words += [word ^ mask ^ (1 << basic + number) for word in words]
    return words[1:]


def resolution(factors: int, basic: int) -> int | None:
    """The length of the shortest constant word; None for all combinations."""
    words = constant_words(generators(factors, basic), basic)
    return min((word.bit_count() for word in words), default=None)


def factorial_remark(section: FactorialSection, removed: int = 0) -> str:
    """How many variants a factorial design has, its resolution, and which effects it cannot tell apart.

    Where variants are `removed` it has no resolution: the effects on the page are those of what is still balanced.
    """
    names = list(section.over)
    basic = basic_factors(len(names), section.count)
    size = f"factorial: {2**basic} of {2 ** len(names)} combinations"
    length = resolution(len(names), basic)
    if removed:
        return f"{size}{_excluded(removed)}, so that the others are no balanced fraction and have no resolution"
    if length is None:
        return f"{size}, so that no two effects are aliases"
    aliases = _aliases(names, constant_words(generators(len(names), basic), basic))
    listed = "; ".join(aliases[:MOST_ALIASES]) + (f"; and {len(aliases) - MOST_ALIASES} more" * (len(aliases) > 12))
    text = listed or "none between main effects and interactions of two axes"
    return f"{size}, resolution {_roman(length)}; aliases, but for their sign: {text}"


def _excluded(count: int) -> str:
    return f"; {count} of them {'is' if count == 1 else 'are'} excluded" if count else ""


def _roman(number: int) -> str:
    numerals = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X")
    return numerals[number - 1] if number <= len(numerals) else str(number)


def _aliases(names: Sequence[str], words: Sequence[int]) -> list[str]:
    """`a = b x c` for each constant product of three axes, `a x b = c x d` for each of four."""
    lines = []
    for word in sorted(words, key=int.bit_count):
        inside = [name for number, name in enumerate(names) if word >> number & 1]
        if len(inside) == 3:
            lines += [f"{name} = {' x '.join(each for each in inside if each != name)}" for name in inside]
        if len(inside) == 4:
            first, *rest = inside
            pairs = [(other, [each for each in rest if each != other]) for other in rest]
            lines += [f"{first} x {other} = {' x '.join(others)}" for other, others in pairs]
    return lines


def sample_points(section: SampleSection) -> list[dict[str, Any]]:
    """The drawn combinations, each once, in the order of the draw; the same for the same seed."""
    draw = random.Random(section.seed)
    names, lists = list(section.over), list(section.over.values())
    rows = _latin(lists, section.count, draw) if section.method == "latin" else _random(lists, section.count, draw)
    return [{name: values[at] for name, values, at in zip(names, lists, row, strict=True)} for row in rows]


def _random(lists: Sequence[Sequence[Any]], count: int, draw: random.Random) -> list[tuple[int, ...]]:
    """Positions in the lists: combinations drawn without replacement."""
    total, rows = math.prod(map(len, lists)), []
    numbers: dict[int, None] = {}
    while len(numbers) < count:
        numbers[draw.randrange(total)] = None
    for number in numbers:
        row = []
        for values in lists:
            number, at = divmod(number, len(values))
            row.append(at)
        rows.append(tuple(row))
    return rows


def _latin(lists: Sequence[Sequence[Any]], count: int, draw: random.Random) -> list[tuple[int, ...]]:
    """Positions in the lists, every value of a list equally often (to within one): McKay, Beckman & Conover 1979.

    Of so many shuffles the one with the fewest repeated combinations.
    """
    best: list[tuple[int, ...]] = []
    for _ in range(SHUFFLES):
        columns = [_balanced(len(values), count, draw) for values in lists]
        rows = list(dict.fromkeys(zip(*columns, strict=True)))
        best = max(best, rows, key=len)
        if len(best) == count:
            break
    return best


def _balanced(values: int, count: int, draw: random.Random) -> list[int]:
    column = [*range(values)] * (count // values) + draw.sample(range(values), count % values)
    draw.shuffle(column)
    return column


def sample_remark(section: SampleSection) -> str:
    """How many of the combinations are drawn, and how."""
    total, drawn = math.prod(map(len, section.over.values())), len(sample_points(section))
    fewer = f" (of {section.count} asked for; more would repeat one)" if drawn < section.count else ""
    return f"sample: {drawn} of {total:,} combinations{fewer}, method {section.method}, seed {section.seed}"


def path_points(file: AblationFile) -> Iterator[dict[str, Any]]:
    """The variants between the baseline and the other end, and that end; of a greedy path those of its first step."""
    if file.path is None:
        return
    if is_greedy(file):
        yield from ({axis: value} for axis, value in file.path.to.items())
        return
    order = file.path.order or list(file.path.to)
    for length in range(1, len(order) + 1):
        yield {axis: file.path.to[axis] for axis in order[:length]}


def is_greedy(file: AblationFile) -> bool:
    """Whether the file has a path whose order the results choose."""
    return file.path is not None and file.path.order == GREEDY


def design_remarks(file: AblationFile, removed: Mapping[str, int]) -> Iterator[str]:
    """What the designs of a file can and cannot tell; `removed` are the combinations of each that are excluded."""
    if file.factorial:
        yield factorial_remark(file.factorial, removed.get("factorial", 0))
    if file.sample:
        yield sample_remark(file.sample) + _excluded(removed.get("sample", 0))
    if file.path and len(file.path.to) > 1 and not is_greedy(file):
        order = " > ".join(file.path.order or file.path.to)
        yield f"path: {order}; what a step gains depends on this order wherever axes interact"
