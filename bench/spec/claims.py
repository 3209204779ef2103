"""A paper's claim as an expression over the table: its language. `findings` holds it against the numbers.

    miou[stride=8,skips=true] > miou[stride=32]            one metric, two variants
    miou[skip=sum] >= miou[skip=concat] - 0.01             no worse by more than a point
    miou[rates=[4]] == miou[rates=[2]] within 0.01         equivalent
    miou[a=1] > miou[a=2] > miou                           a chain; without brackets, the baseline
    macs[kernel=3] < 0.5 * macs[kernel=7]                  a multiple; a number may stand alone
    miou[unet(skip=sum)] > miou[fcn]                       variants of several architectures

An axis that is not mentioned stands at the baseline's value; where no variant is like that, the mentioned values
must fit a single one. Another architecture than the baseline's is measured against its own first variant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.registry import suggestion, text_of
from bench.spec.variant import Variant
from bench.spec.yamlfile import FileError, parse_value

Operator = Literal["<", "<=", ">", ">=", "=="]


class ClaimError(ValueError):
    """A claim that says nothing about this ablation's table; the text says what would have worked."""


@dataclass(frozen=True)
class Reference:
    """A cell of the table: a metric of a variant, by its canonical name."""

    metric: str
    variant: str


@dataclass(frozen=True)
class Sum:
    """`constant` plus weighted cells."""

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
        """Whether it holds for every difference left - right in the interval, for none (False), or for some (None)."""
        low, high = interval if self.operator in (">", ">=", "==") else (-interval[1], -interval[0])
        if self.operator == "==":
            inside = -self.margin <= low and high <= self.margin
            return True if inside else False if low > self.margin or high < -self.margin else None
        if self.operator in (">", "<"):
            return True if low > 0 else False if high <= 0 else None
        return True if low >= 0 else False if high < 0 else None


@dataclass(frozen=True)
class Statement:
    """A claim as it is written, where the source makes it, and the comparisons that it consists of.

    `problem` says why it has none: an overridden ablation may have no such variant.
    """

    says: str
    source: str
    comparisons: tuple[Comparison, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Scope:
    """What a claim may speak of: `metrics` by name, and variants, the baseline first."""

    metrics: tuple[str, ...]
    variants: tuple[Variant, ...]
    excluded: tuple[tuple[Variant, str], ...] = ()


NUMBER = r"\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?"
TOKEN = re.compile(rf"\s*(?:(?P<number>{NUMBER})|(?P<name>[A-Za-z_]\w*)|(?P<sign><=|>=|==|[-+*<>\[]))")
OPERATORS = ("<", "<=", ">", ">=", "==")
FORM = "metric[axis=value,...] > metric[axis=value,...]"


def parse(says: str, source: str, scope: Scope) -> Statement:
    """A claim's text, its variants resolved. Raises ClaimError for what is not grammar, or not in `scope`."""
    return Statement(says, source, tuple(_Parser(says, scope).comparisons()))


class _Parser:
    """Reads one claim from left to right."""

    def __init__(self, text: str, scope: Scope) -> None:
        self.text, self.scope, self.at = text, scope, 0

    def comparisons(self) -> Iterator[Comparison]:
        left, found = self.sum(), []
        while (operator := self.sign(OPERATORS)) is not None:
            right = self.sum()
            found.append((left, operator, right))
            left = right
        margin = self.margin()
        if not found or self.text[self.at :].strip():
            raise ClaimError(f"{self.rest()}: write it as {FORM}")
        for left, operator, right in found:
            yield self.checked(Comparison(left, operator, right, margin if operator == "==" else 0.0))  # type: ignore[arg-type]
        if margin and all(operator != "==" for _, operator, _ in found):
            raise ClaimError("'within' belongs to ==; to > and < add the margin: a > b + 0.01")

    def rest(self) -> str:
        rest = self.text[self.at :].strip()
        return f"nothing is compared in '{self.text}'" if not rest else f"cannot be read from '{rest[:40]}' on"

    def checked(self, comparison: Comparison) -> Comparison:
        metrics = {reference.metric for side in (comparison.left, comparison.right) for _, reference in side.terms}
        if len(metrics) != 1:
            told = " and ".join(sorted(metrics)) or "numbers only"
            raise ClaimError(f"a comparison is about one metric, not {told}")
        return comparison

    def token(self, kind: str) -> str | None:
        """The next token, if it is of this kind; reading goes on behind it."""
        match = TOKEN.match(self.text, self.at)
        if match is None or match[kind] is None:
            return None
        self.at = match.end()
        return match[kind]

    def sign(self, which: Sequence[str]) -> str | None:
        before = self.at
        sign = self.token("sign")
        if sign is not None and sign in which:
            return sign
        self.at = before
        return None

    def margin(self) -> float:
        before = self.at
        if self.token("name") != "within":
            self.at = before
            return 0.0
        number = self.token("number")
        if number is None:
            raise ClaimError("'within' needs a number: a == b within 0.01")
        return float(number)

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
        number = self.token("number")
        if number is None:
            reference = self.reference()
            factor = self.token("number") if self.sign("*") else "1"
            if factor is None:
                raise ClaimError(f"{self.rest()}: a metric is multiplied by a number")
            return float(factor), reference
        return float(number), self.reference() if self.sign("*") else None

    def reference(self) -> Reference:
        metric = self.token("name")
        if metric is None:
            raise ClaimError(f"{self.rest()}: write it as {FORM}")
        if metric not in self.scope.metrics:
            raise ClaimError(f"the ablation does not measure '{metric}'{suggestion(metric, self.scope.metrics)}")
        return Reference(metric, resolve(self.brackets(), self.scope).name)

    def brackets(self) -> str:
        """What stands within the brackets that follow, if any."""
        if self.sign("[") is None:
            return ""
        start, depth = self.at, 1
        while depth and self.at < len(self.text):
            depth += {"[": 1, "]": -1}.get(self.text[self.at], 0)
            self.at += 1
        if depth:
            raise ClaimError(f"a bracket is not closed in '{self.text}'")
        return self.text[start : self.at - 1]


def resolve(text: str, scope: Scope) -> Variant:
    """The variant that `stride=8,skips=true`, `unet(skip=sum)`, `architecture=unet` or nothing stands for.

    Raises ClaimError where there is none, or more than one.
    """
    architecture, mentioned = _mentioned(text, scope)
    family = [v for v in scope.variants if v.architecture == architecture]
    if not family:
        known = list(dict.fromkeys(v.architecture for v in scope.variants))
        raise ClaimError(f"no variant here is of architecture '{architecture}'{suggestion(architecture, known)}")
    _check_mentioned(architecture, mentioned, [*family, *(v for v, _ in scope.excluded)])
    base = _texts(family[0]) | mentioned
    exact = [v for v in family if _texts(v) == base]
    fitting = exact or [v for v in family if mentioned.items() <= _texts(v).items()]
    if len(fitting) == 1:
        return fitting[0]
    shown = f"{architecture}({','.join(f'{k}={v}' for k, v in mentioned.items())})"
    if fitting:
        told = ", ".join(v.name for v in fitting[:3])
        raise ClaimError(f"'{shown}' fits {len(fitting)} variants; mention more of their axes: {told}")
    for variant, because in scope.excluded:
        if variant.architecture == architecture and mentioned.items() <= _texts(variant).items():
            raise ClaimError(f"'{shown}' is excluded, because {because}")
    raise ClaimError(f"no variant here is {shown}{suggestion(shown, [v.name for v in family])}")


def _texts(variant: Variant) -> dict[str, str]:
    return {name: text_of(value) for name, value in variant.axes}


def _mentioned(text: str, scope: Scope) -> tuple[str, dict[str, str]]:
    """The architecture and the values that are mentioned, as they stand in variants' names."""
    head, inner = scope.variants[0].architecture, text.strip()
    if "=" not in inner.partition("(")[0] and inner not in ("", "baseline"):
        head, _, inner = inner.partition("(")
        inner = inner.removesuffix(")")
    axes: dict[str, str] = {}
    for item in _items("" if inner == "baseline" else inner):
        name, equals, value = (part.strip() for part in item.partition("="))
        if not (equals and name and value) or name in axes:
            raise ClaimError(f"'{item.strip()}' in '[{text}]': mention each axis once, as axis=value")
        axes[name] = _value(value)
    return axes.pop("architecture", head.strip()), axes


def _items(text: str) -> list[str]:
    """Split at the commas that stand in no bracket."""
    items, depth = [""], 0
    for sign in text:
        depth += (sign == "[") - (sign == "]")
        items[-1:] = [items[-1], ""] if sign == "," and not depth else [items[-1] + sign]
    return items if text.strip() else []


def _value(text: str) -> str:
    try:
        return text_of(parse_value(text))
    except FileError as error:
        raise ClaimError(str(error)) from None


def _check_mentioned(architecture: str, mentioned: Mapping[str, str], family: Sequence[Variant]) -> None:
    same = [_texts(variant) for variant in family if variant.architecture == architecture]
    for name, value in mentioned.items():
        if name not in same[0]:
            raise ClaimError(f"'{architecture}' has no axis '{name}'{suggestion(name, list(same[0]))}")
        known = list(dict.fromkeys(texts[name] for texts in same))
        if value not in known:
            raise ClaimError(f"no variant here has {name}={value}{suggestion(value, known)}")
