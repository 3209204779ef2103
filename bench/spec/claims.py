"""The grammar of claims: what a paper says, as an expression over the table. `bench.analysis.findings` evaluates it.

    miou[stride=8,skips=true] > miou[stride=32]            one metric, two variants
    miou[skip=sum] >= miou[skip=concat] - 0.01             no worse by more than 0.01
    miou[rates=[4]] == miou[rates=[2]] within 0.01         equivalent
    miou[a=1] > miou[a=2] > miou                           a chain; without brackets, the baseline
    macs[kernel=3] < 0.5 * macs[kernel=7]                  a multiple; one side may be a number
    miou[unet(skip=sum)] > miou[fcn]                       variants of several architectures
    latency[rates=[4]] > 10 * latency                      a ratio; speeds are compared on the log scale
    monotone(miou, width)                                  rises with every step of a numeric axis; `-width`: falls
    knee(elbo_nats, latent) == 2                           a gain into 2, and none half as large after it
    kendall(miou, {baseline: 59.4, stride=8: 62.7, stride=16: 62.4}) > 0.5
                                                           the order of a published table: Kendall's rank correlation

`bench.spec.references` says which variant stands in the brackets.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.registry import suggestion
from bench.spec.references import Scope, VariantError, find_variant

__all__ = ["ClaimError", "Comparison", "Operator", "Ranking", "Reference", "Scope", "Statement", "Sum", "parse"]

Operator = Literal["<", "<=", ">", ">=", "=="]


class ClaimError(ValueError):
    """A claim that this ablation's table cannot decide; the text says what would have worked."""


@dataclass(frozen=True)
class Reference:
    """One entry of the table: a metric of a variant, by the variant's canonical name."""

    metric: str
    variant: str


@dataclass(frozen=True)
class Sum:
    """`constant` plus weighted entries of the table."""

    terms: tuple[tuple[float, Reference], ...]
    constant: float = 0.0


@dataclass(frozen=True)
class Comparison:
    """`left operator right`; `margin` belongs to `==`."""

    left: Sum
    operator: Operator
    right: Sum
    margin: float = 0.0

    def answer(self, interval: tuple[float, float]) -> bool | None:
        """True if the comparison holds for every difference left - right in the interval, False if for none, else None.

        Both ends belong to the interval.
        """
        return _holds(self.operator, self.margin, interval)

    def range(self, low: float, high: float) -> tuple[float, float]:
        """The least and the largest left - right where each entry of the table is from `low` to `high`."""
        weights, constant = self.weights().values(), self.left.constant - self.right.constant
        least = sum(weight * (low if weight > 0 else high) for weight in weights)
        return constant + least, constant + sum(weight * (high if weight > 0 else low) for weight in weights)

    def references(self) -> tuple[Reference, ...]:
        """The entries of the table that make a difference."""
        return tuple(self.weights())

    def weights(self) -> dict[Reference, float]:
        """The weight of each entry of the table in left - right; entries that cancel are left out."""
        parts: dict[Reference, list[float]] = {}
        for sign, side in ((1.0, self.left), (-1.0, self.right)):
            for weight, reference in side.terms:
                parts.setdefault(reference, []).append(sign * weight)
        return {reference: sum(each) for reference, each in parts.items() if not _cancels(each)}


@dataclass(frozen=True)
class Ranking:
    """Kendall's rank correlation (tau-b) of a metric with published numbers, `operator threshold`."""

    metric: str
    published: tuple[tuple[Reference, float], ...]
    operator: Operator
    threshold: float
    margin: float = 0.0

    def answer(self, interval: tuple[float, float]) -> bool | None:
        """As that of `Comparison`, for the correlation less the threshold."""
        return _holds(self.operator, self.margin, interval)

    def references(self) -> tuple[Reference, ...]:
        """The entries of the table that are ranked."""
        return tuple(reference for reference, _ in self.published)


def _holds(operator: Operator, margin: float, interval: tuple[float, float]) -> bool | None:
    low, high = interval
    if operator in ("<", "<="):
        low, high = -high, -low
    match operator:
        case "==":
            always = -margin <= low and high <= margin
            never = low > margin or high < -margin
        case "<" | ">":
            always, never = low > 0, high <= 0
        case "<=" | ">=":
            always, never = low >= 0, high < 0
    return True if always else False if never else None


@dataclass(frozen=True)
class Statement:
    """A claim as it is written, its place in the source, and its comparisons.

    `problem` says why it has no comparisons: an overridden ablation may have no such variant.
    """

    says: str
    source: str
    comparisons: tuple[Comparison | Ranking, ...] = ()
    problem: str = ""


NUMBER = r"\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?"
TOKEN = re.compile(rf"\s*(?:(?P<number>{NUMBER})|(?P<name>[A-Za-z_]\w*)|(?P<sign><=|>=|==|[-+*<>\[]))")
OPERATORS = ("<", "<=", ">", ">=", "==")
FORM = "metric[axis=value,...] > metric[axis=value,...]"
SHAPE = re.compile(
    r"\s*(?P<shape>monotone|knee)\s*\(\s*(?P<metric>\w+)\s*,\s*(?P<sign>-?)(?P<axis>[\w.]+)\s*\)(?P<rest>.*)"
)
SHAPES = "monotone(metric, axis), or knee(metric, axis) == value"

RANKING = re.compile(
    rf"\s*kendall\s*\(\s*(?P<metric>\w+)\s*,\s*\{{(?P<published>.*)\}}\s*\)"
    rf"\s*(?P<operator><=|>=|==|<|>)\s*(?P<threshold>-?(?:{NUMBER}))(?:\s*within\s+(?P<margin>{NUMBER}))?\s*"
)
PUBLISHED = re.compile(rf"\s*(?P<reference>(?:(?!:\s).)+?)\s*:\s*(?P<number>[-+]?(?:{NUMBER}))\s*(?:,|$)")
RANKINGS = "kendall(metric, {axis=value: number, ...}) > 0.5"

FEWEST_RANKED = 3
"""Two variants have one order or the other."""

DIMINISHED = 0.5
"""After a knee, no gain is half as large as the gain into it."""


def parse(says: str, source: str, scope: Scope) -> Statement:
    """A claim from its text. Raises ClaimError for a fault of grammar, a name outside `scope`, or a claim that no
    measurement can decide (`params == params`, `1 > 0`, an infinite number, `miou <= 1`)."""
    if re.match(r"\s*kendall\s*\(", says):
        return Statement(says, source, (_ranking(says, scope),))
    return Statement(says, source, tuple(_Parser(says, scope).comparisons()))


class _Parser:
    """Reads one claim from left to right; `position` is that of the next character to read."""

    def __init__(self, text: str, scope: Scope) -> None:
        self.text, self.scope, self.position = text, scope, 0

    def comparisons(self) -> Iterator[Comparison]:
        shape = SHAPE.match(self.text)
        if shape:
            yield from (_open(_checked(each), self.scope) for each in _of_shape(shape, self.scope))
            return
        left, sides = self.sum(), []
        while (operator := self.sign(OPERATORS)) is not None:
            right = self.sum()
            sides.append((left, operator, right))
            left = right
        margin = self.margin()
        if not sides or self.text[self.position :].strip():
            raise ClaimError(f"{self.rest()}: write it as {FORM}")
        for left, operator, right in sides:
            comparison = Comparison(left, operator, right, margin if operator == "==" else 0.0)  # type: ignore[arg-type]
            yield _open(_checked(comparison), self.scope)
        _check_chain(sides)
        if margin and all(operator != "==" for _, operator, _ in sides):
            raise ClaimError("'within' belongs to ==; to > and < add the margin: a > b + 0.01")

    def rest(self) -> str:
        rest = self.text[self.position :].strip()
        return f"nothing is compared in '{self.text}'" if not rest else f"cannot be read from '{rest[:40]}' on"

    def token(self, kind: str) -> str | None:
        """The next token if it is of this kind; moves past it."""
        match = TOKEN.match(self.text, self.position)
        if match is None or match[kind] is None:
            return None
        self.position = match.end()
        return match[kind]

    def sign(self, choices: Sequence[str]) -> str | None:
        start = self.position
        sign = self.token("sign")
        if sign is not None and sign in choices:
            return sign
        self.position = start
        return None

    def number(self) -> float | None:
        text = self.token("number")
        if text is not None and math.isinf(float(text)):
            raise ClaimError(f"the number {text[:20]} is infinite, so that nothing measured can change the answer")
        return None if text is None else float(text)

    def margin(self) -> float:
        start = self.position
        if self.token("name") != "within":
            self.position = start
            return 0.0
        number = self.number()
        if number is None:
            raise ClaimError("'within' needs a number: a == b within 0.01")
        return number

    def sum(self) -> Sum:
        terms: list[tuple[float, Reference]] = []
        constant, sign = 0.0, -1.0 if self.sign("-") else 1.0
        while True:
            number, reference = self.product()
            terms += [(sign * number, reference)] if reference else []
            constant += 0.0 if reference else sign * number
            following = self.sign("+-")
            if following is None:
                return Sum(tuple(terms), constant)
            sign = -1.0 if following == "-" else 1.0

    def product(self) -> tuple[float, Reference | None]:
        number = self.number()
        if number is not None:
            return number, self.reference() if self.sign("*") else None
        reference = self.reference()
        factor = self.number() if self.sign("*") else 1.0
        if factor is None:
            raise ClaimError(f"{self.rest()}: a metric is multiplied by a number")
        return factor, reference

    def reference(self) -> Reference:
        metric = self.token("name")
        if metric is None:
            raise ClaimError(f"{self.rest()}: write it as {FORM}")
        try:
            return Reference(_measured(metric, self.scope), find_variant(self.brackets(), self.scope).name)
        except VariantError as error:
            raise ClaimError(str(error)) from None

    def brackets(self) -> str:
        """The text within the brackets that follow; empty where none follow."""
        if self.sign("[") is None:
            return ""
        start, depth = self.position, 1
        while depth and self.position < len(self.text):
            depth += {"[": 1, "]": -1}.get(self.text[self.position], 0)
            self.position += 1
        if depth:
            raise ClaimError(f"a bracket is not closed in '{self.text}'")
        return self.text[start : self.position - 1]


def _ranking(text: str, scope: Scope) -> Ranking:
    """A claim about a rank correlation. Raises ClaimError."""
    match = RANKING.fullmatch(text)
    if match is None:
        raise ClaimError(f"'{text}' cannot be read: write it as {RANKINGS}")
    metric = _measured(match["metric"], scope)
    if match["margin"] and match["operator"] != "==":
        raise ClaimError("'within' belongs to ==; to > and < add the margin")
    published = tuple(_published(match["published"], metric, scope))
    operator: Operator = match["operator"]  # type: ignore[assignment]
    ranking = Ranking(metric, published, operator, float(match["threshold"]), float(match["margin"] or 0.0))
    _check_ranking(ranking)
    return ranking


def _published(text: str, metric: str, scope: Scope) -> Iterator[tuple[Reference, float]]:
    position = 0
    while text[position:].strip():
        match = PUBLISHED.match(text, position)
        if match is None:
            raise ClaimError(f"'{text[position:].strip()[:40]}' cannot be read: write it as {RANKINGS}")
        name = match["reference"]
        quoted = re.fullmatch(r"""\[(.*)\]|"(.*)"|'(.*)'""", name)
        try:
            variant = find_variant(name if quoted is None else next(filter(None, quoted.groups()), ""), scope)
        except VariantError as error:
            raise ClaimError(str(error)) from None
        yield Reference(metric, variant.name), float(match["number"])
        position = match.end()


def _check_ranking(ranking: Ranking) -> None:
    """Raises ClaimError for a ranking without an order, or one with the same answer whatever is measured."""
    numbers = [number for _, number in ranking.published]
    if len(numbers) < FEWEST_RANKED:
        raise ClaimError(f"a rank correlation needs {FEWEST_RANKED} variants or more, not {len(numbers)}")
    if twice := next((r.variant for i, (r, _) in enumerate(ranking.published) if r in ranking.references()[:i]), None):
        raise ClaimError(f"'{twice}' has two published numbers")
    if not all(map(math.isfinite, numbers)) or len(set(numbers)) == 1:
        raise ClaimError("the published numbers are equal or infinite, so that they have no order")
    if ranking.answer((-1 - ranking.threshold, 1 - ranking.threshold)) is not None:
        raise ClaimError(
            f"a rank correlation is from -1 to 1: '{ranking.operator} {ranking.threshold:g}' has the same answer "
            "whatever is measured"
        )


def _measured(metric: str, scope: Scope) -> str:
    """The metric. Raises ClaimError where the ablation does not measure it."""
    if metric not in scope.metrics:
        raise ClaimError(f"the ablation does not measure '{metric}'{suggestion(metric, scope.metrics)}")
    return metric


def _of_shape(shape: re.Match[str], scope: Scope) -> list[Comparison]:
    """The comparisons that a claim about the shape of a curve amounts to. Raises ClaimError."""
    metric, axis = _measured(shape["metric"], scope), shape["axis"]
    curve = _along(axis, scope)
    if len(curve) < 2:
        raise ClaimError(f"no variants differ from the baseline in numbers of '{axis}' alone: {SHAPES}")
    points = [(value, Sum(((1.0, Reference(metric, name)),))) for value, name in curve]
    if shape["shape"] == "monotone" and not shape["rest"].strip():
        operator: Operator = ">" if shape["sign"] else "<"
        return [Comparison(one, operator, other) for (_, one), (_, other) in itertools.pairwise(points)]
    knee = re.fullmatch(rf"\s*==\s*({NUMBER}|-(?:{NUMBER}))\s*", shape["rest"])
    if shape["shape"] != "knee" or knee is None or shape["sign"]:
        raise ClaimError(f"'{shape.string}' cannot be read: write it as {SHAPES}")
    return _knee(points, float(knee[1]), axis, scope.better.get(metric))


def _along(axis: str, scope: Scope) -> list[tuple[float, str]]:
    """(value, variant) of the variants that differ from the baseline in this axis alone, the smallest number first."""
    baseline = scope.variants[0]
    others = {name: text for name, text in baseline.texts.items() if name != axis}
    curve = []
    for variant in scope.variants:
        texts = variant.texts
        same = {name: text for name, text in texts.items() if name != axis} == others
        if (
            same
            and variant.architecture == baseline.architecture
            and re.fullmatch(f"-?(?:{NUMBER})", texts.get(axis, ""))
        ):
            curve.append((float(texts[axis]), variant.name))
    return sorted(curve)


def _knee(points: Sequence[tuple[float, Sum]], value: float, axis: str, better: str | None) -> list[Comparison]:
    """There is a gain into the knee, and no later value gains DIMINISHED of it; a gain is a fall where lower is better.

    Raises ClaimError for a value without others on both sides.
    """
    values = [each for each, _ in points]
    if value not in values[1:-1]:
        inner = ", ".join(f"{each:g}" for each in values[1:-1]) or "there are none"
        raise ClaimError(f"a knee is at a value of '{axis}' that has others on both sides: {inner}")
    place = values.index(value)
    knee, before = points[place][1], points[place - 1][1]
    more, less = (">", "<") if better != "lower" else ("<", ">")
    (at,), (reference,) = knee.terms, before.terms
    limit = Sum(((1 + DIMINISHED, at[1]), (-DIMINISHED, reference[1])))
    later = [Comparison(point, less, limit) for _, point in points[place + 1 :]]  # type: ignore[arg-type]
    return [Comparison(knee, more, before), *later]  # type: ignore[arg-type]


def _cancels(weights: Sequence[float]) -> bool:
    """Whether the sum is 0 up to rounding."""
    return abs(sum(weights)) <= 1e-12 * max(map(abs, weights))


def _check_chain(sides: Sequence[tuple[Sum, str, Sum]]) -> None:
    """Raises ClaimError for a chain in one direction that comes back to a side, which nothing measured can meet."""
    for start, (left, operator, _) in enumerate(sides):
        for _, following, right in sides[start + 1 :]:
            if following[0] != operator[0] or operator == "==":
                break
            _checked(Comparison(left, operator, right))  # type: ignore[arg-type]


def _checked(comparison: Comparison) -> Comparison:
    """The comparison. Raises ClaimError where it is not about one metric, or no measurement can change its answer."""
    metrics = {reference.metric for side in (comparison.left, comparison.right) for _, reference in side.terms}
    if len(metrics) != 1:
        names = " and ".join(sorted(metrics)) or "numbers only"
        raise ClaimError(f"a comparison is about one metric, not {names}")
    weights = comparison.weights()
    if not weights:
        raise ClaimError(
            f"'{comparison.operator}' compares {next(iter(metrics))} of a variant with itself: "
            "it has the same answer whatever is measured"
        )
    numbers = (*weights.values(), comparison.left.constant, comparison.right.constant)
    if not all(map(math.isfinite, numbers)):
        raise ClaimError("a sum of numbers is infinite, so that nothing measured can change the answer")
    return comparison


def _open(comparison: Comparison, scope: Scope) -> Comparison:
    """The comparison. Raises ClaimError where all values that its metric can have give the same answer."""
    metric = next(iter(comparison.weights())).metric
    low, high = scope.bounds.get(metric, (None, None))
    limits = (-math.inf if low is None else low, math.inf if high is None else high)
    if comparison.answer(comparison.range(*limits)) is None:
        return comparison
    texts = [f"at least {low:g}"] if low is not None else []
    texts += [f"at most {high:g}"] if high is not None else []
    raise ClaimError(
        f"{metric} is always {' and '.join(texts)}: '{comparison.operator}' has the same answer whatever is measured"
    )
