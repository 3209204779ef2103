"""Exact strides of the maps of a network, from how they grow with its input.

A map of stride s (input pixels per position, a fraction) grows by exactly g / s positions on an input that is g pixels
larger, if g is a multiple of the numerator of s. So strides are estimated from recordings at two sizes, operator by
operator, and the larger input is chosen again until it is such a multiple for all maps and every estimate is exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from bench.structure.nodes import Node, StructureError, UnrolledError
from bench.structure.question import Question

STEP = 256 * 21
"""Pixels of the first enlargement: a multiple of usual strides and window sizes, which many networks demand."""
UNROLLED_STEPS = (48, 16, 4)
"""The same for a network that runs a loop over its input, whose recording is longer the larger the input is."""
UNROLLED_LIMIT = 16_000
"""Operators of a recording from which on a smaller enlargement is tried."""
ATTEMPTS = 6
LARGEST = 1 << 31
WIDEST = 256
"""Steps beyond which no first enlargement goes."""
FINEST = 64
"""Maps of more than this many positions per pixel do not grow linearly (scores of attention) and are left out."""

WINDOWS = ("convolution", "max_pool", "avg_pool")
Stride = Fraction | None


@dataclass(frozen=True)
class Growth:
    """The strides of a network's maps, and the two recordings that they were measured on.

    `strides`: by value of the recordings, one per axis from the third on; None along an axis that does not grow. `far`
    is the question on an input that is `step` pixels larger than that of `near`; all numerators divide `step`.
    `planned`: the enlargement that was tried first.
    """

    near: Question
    far: Question
    step: int
    strides: Mapping[int, tuple[Stride, ...]]
    planned: int = STEP

    def numerators(self, axis: int) -> int:
        """The least common multiple of the numerators of all strides along an axis, relative to the source's."""
        own = self.strides.get(self.near.from_value, (Fraction(1),) * axis)[axis - 2] or 1
        relative = (s[axis - 2] for value, s in self.strides.items() if value in self.near.live)
        return math.lcm(*((s / own).numerator for s in relative if s is not None))


def growth(question: Question, largest: int = STEP) -> Growth:
    """Exact strides of all maps with as many axes as the input; a network that loops over its input is enlarged less.

    No first enlargement is larger than `largest`. Raises StructureError if the network takes one size only, or if a
    stride is not a simple fraction; UnrolledError if its recording becomes too long at every larger size.
    """
    small = question.enlarged(0)
    operators = len(small.tape.nodes)
    unrolled = max(UNROLLED_LIMIT, 6 * operators)
    plans = [(STEP, 4 * operators + 2000), *((step, unrolled) for step in UNROLLED_STEPS)]
    for step, limit in (plan for plan in plans if plan[0] <= largest):
        try:
            return replace(_measured_at_a_size_that_fits(small, step, limit), planned=step)
        except UnrolledError:
            continue
    raise UnrolledError(f"it runs more than {unrolled} operators on an input that is a little larger")


def _measured_at_a_size_that_fits(small: Question, step: int, limit: int) -> Growth:
    """Strides from enlargements by `step`, or by a multiple of the input's own extents where the network needs one."""
    own = small.shapes[small.input][2:]
    steps = dict.fromkeys((step, math.lcm(step, math.gcd(*own)), math.lcm(step, *own)))
    for each in steps:
        try:
            return _measured(small, each, limit)
        except UnrolledError:
            raise
        except StructureError as error:
            refusal = error
            if each > WIDEST * step:
                break
    raise refusal


def _measured(small: Question, step: int, limit: int) -> Growth:
    """Strides from recordings that are `step` or a multiple of it apart.

    If they are not exact, the smaller recording is enlarged too: below some size a map may have a fixed one.
    """
    base = 0
    for _ in range(ATTEMPTS):
        near, far = small.enlarged(base, limit), small.enlarged(base + step, limit)
        strides = _estimates(near, far, step)
        common = math.lcm(*(s.numerator for each in strides.values() for s in each if s is not None))
        if step % common == 0 and _are_exact(strides, near, far, step):
            return Growth(near, far, step, strides)
        multiple = math.lcm(step, common)
        if step < multiple <= (LARGEST if base else WIDEST * step):
            step = multiple
        elif base == 0:
            base = step
        else:
            step = 16 * step
        if step > LARGEST:
            break
    raise StructureError("the strides of the network's maps are no simple fractions of its input")


def pairs(small: Question, large: Question) -> list[tuple[int, int]]:
    """Corresponding values of two recordings; only outputs of layers if the recordings differ in length."""
    ours, theirs = small.tape, large.tape
    if len(ours.values) == len(theirs.values):
        return [(v, v) for v in range(len(ours.values))]
    shared = [(calls, theirs.calls[path]) for path, calls in ours.calls.items() if path in theirs.calls]
    runs = [(a, b) for calls, others in shared for a, b in zip(calls, others)]
    ends = [(v, w) for (_, v), (_, w) in zip(ours.outputs, theirs.outputs)]
    return [*zip(ours.inputs, theirs.inputs), *((v, w) for a, b in runs for v, w in zip(a.outputs, b.outputs)), *ends]


def _estimates(small: Question, large: Question, step: int) -> dict[int, tuple[Stride, ...]]:
    """The estimated strides of the maps, each from those that its operator reads."""
    rank = len(small.tape.values[small.tape.inputs[small.input]].shape)
    estimates: dict[int, tuple[Stride, ...]] = {}
    grown: dict[int, tuple[int, ...]] = {}
    for one, other in pairs(small, large):
        a, b = small.tape.values[one].shape, large.tape.values[other].shape
        if len(a) == len(b) == rank:
            grown[one] = tuple(n - m for m, n in zip(a[2:], b[2:], strict=True))
            estimates[one] = tuple(_estimate(small, one, axis, grown, estimates, step) for axis in range(rank - 2))
    return estimates


def _estimate(
    small: Question,
    value: int,
    axis: int,
    grown: Mapping[int, tuple[int, ...]],
    estimates: Mapping[int, tuple[Stride, ...]],
    step: int,
) -> Stride:
    """The stride of a value along an axis: that of an operand times the simplest ratio that explains its growth."""
    more = grown[value][axis]
    if more <= 0 or more > FINEST * step:
        return None
    index = small.tape.values[value].node
    operands = _operands(small.tape.nodes[index], axis) if index >= 0 else ()
    candidates = [
        stride * (ratio or _simplest_ratio(grown[v][axis], more))
        for v, ratio in operands
        if v in estimates and (stride := estimates[v][axis]) is not None
    ]
    simplest = min(candidates, default=_simplest_ratio(step, more), key=lambda s: (s.denominator, s.numerator))
    return simplest if simplest.denominator <= FINEST else None


def _operands(node: Node, axis: int) -> Iterator[tuple[int, Fraction | None]]:
    """The operands of a node, each with the ratio of the result's stride to its own where the operator fixes it."""
    if node.role != "call" or not node.name.startswith(WINDOWS):
        yield from ((v, None) for v in node.inputs)
        return
    bound = node.bind()
    steps = list(bound.get("stride") or bound["kernel_size"])
    stride = Fraction(steps[axis] if len(steps) > 1 else steps[0])
    yield node.inputs[0], 1 / stride if bound.get("transposed") else stride


def _simplest_ratio(operand: int, result: int) -> Fraction:
    """The simplest r with |operand / r - result| < 1, for maps that grow by `operand` and `result` positions."""
    if result > 1:
        return _simplest_between(
            Fraction(operand, result + 1), Fraction(operand, result - 1), Fraction(operand, result)
        )
    return Fraction(operand)


def _simplest_between(low: Fraction, high: Fraction, near: Fraction) -> Fraction:
    """The fraction of smallest denominator strictly between two, by continued fractions; of several the nearest."""
    nearest = max(round(near), 1)
    if low < nearest < high:
        return Fraction(nearest)
    whole = math.floor(low)
    if whole + 1 < high:
        return Fraction(whole + 1)
    upper = 1 / (low - whole) if low > whole else 2 / (high - whole) + 1
    return whole + 1 / _simplest_between(1 / (high - whole), upper, 1 / (near - whole) if near > whole else upper)


def _are_exact(strides: Mapping[int, tuple[Stride, ...]], small: Question, large: Question, step: int) -> bool:
    """Whether every map grows by exactly `step` over its stride."""
    return all(
        stride is None or (large.size(other, axis) - small.size(one, axis)) * stride == step
        for one, other in pairs(small, large)
        if one in strides
        for axis, stride in enumerate(strides[one], 2)
    )
