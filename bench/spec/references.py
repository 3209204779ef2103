"""References to variants, as claims, labels and answers write them.

    stride=8,skips=true      the baseline with these values
    unet(skip=sum)           a variant of another architecture; also architecture=unet,skip=sum
    baseline                 the baseline; so is an empty reference

An axis that a reference leaves out has the baseline's value. Where no variant is like that, the values must fit exactly
one variant. For an architecture other than the baseline's, its first variant takes the place of the baseline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.registry import RegistryError, suggestion, text_of
from bench.spec.settings import Setting
from bench.spec.variant import Variant
from bench.spec.yamlfile import FileError, parse_value


class VariantError(ValueError):
    """A reference that is not exactly one variant of the ablation; the text says what would have worked."""


@dataclass(frozen=True)
class Scope:
    """What a claim may name: `metrics`, and variants, the baseline first. `excluded` holds (variant, reason).

    `bounds`: the least and the largest value of metrics that state them; `better`: `higher` or `lower`, where one is.
    """

    metrics: tuple[str, ...]
    variants: tuple[Variant, ...]
    excluded: tuple[tuple[Variant, str], ...] = ()
    bounds: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    better: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class _Reference:
    """A parsed reference: an architecture, and the text of the value of each axis that it names."""

    architecture: str
    values: dict[str, str]

    def __str__(self) -> str:
        return f"{self.architecture}({','.join(f'{axis}={value}' for axis, value in self.values.items())})"

    def fits(self, variant: Variant) -> bool:
        return variant.architecture == self.architecture and self.values.items() <= _value_texts(variant).items()


def find_variant(text: str, scope: Scope) -> Variant:
    """The variant that a reference names. Raises VariantError where it names none, or more than one."""
    reference = _parsed(text, scope)
    family = _family(reference.architecture, scope)
    reference = _written_out(reference, family)
    _check_values(reference, [*family, *(variant for variant, _ in scope.excluded)])
    matches = _matches(reference, family)
    if len(matches) == 1:
        return matches[0]
    if matches:
        names = ", ".join(variant.name for variant in matches[:3])
        raise VariantError(f"'{reference}' fits {len(matches)} variants; name more of their axes: {names}")
    raise VariantError(_reason_for_none(reference, family, scope))


def _written_out(reference: _Reference, family: Sequence[Variant]) -> _Reference:
    """The reference with `weights` as the setting, unless the network has an axis of that name, and `none` as steps."""
    has_axis = any(name == "weights" for name, _ in family[0].axes)
    names = {} if has_axis else {"weights": "train.weights"}
    values = {names.get(axis, axis): value for axis, value in reference.values.items()}
    if values.get("train.steps") == "none":
        values["train.steps"] = "0"
    return _Reference(reference.architecture, values)


def _family(architecture: str, scope: Scope) -> list[Variant]:
    """The variants of an architecture. Raises VariantError where there are none."""
    family = [variant for variant in scope.variants if variant.architecture == architecture]
    if not family:
        architectures = list(dict.fromkeys(variant.architecture for variant in scope.variants))
        hint = suggestion(architecture, architectures)
        raise VariantError(f"no variant here is of architecture '{architecture}'{hint}")
    return family


def _matches(reference: _Reference, family: Sequence[Variant]) -> list[Variant]:
    """The variant that differs from the family's first one in the named values only; else all that have them."""
    expected = _value_texts(family[0]) | reference.values
    exact = [variant for variant in family if _value_texts(variant) == expected]
    return exact or [variant for variant in family if reference.fits(variant)]


def _reason_for_none(reference: _Reference, family: Sequence[Variant], scope: Scope) -> str:
    for variant, because in scope.excluded:
        if reference.fits(variant):
            return f"'{reference}' is excluded, because {because}"
    return f"no variant here is {reference}{suggestion(str(reference), [variant.name for variant in family])}"


def _check_values(reference: _Reference, variants: Sequence[Variant]) -> None:
    """Raises VariantError for an axis that the family does not have, or a value that none of its variants has."""
    family = [_value_texts(variant) for variant in variants if variant.architecture == reference.architecture]
    for axis, value in reference.values.items():
        axes = list(dict.fromkeys(name for texts in family for name in texts))
        if axis not in axes:
            hint = suggestion(axis, axes)
            raise VariantError(f"'{reference.architecture}' has no axis '{axis}'{hint}")
        values = list(dict.fromkeys(texts[axis] for texts in family if axis in texts))
        if value not in values:
            raise VariantError(f"no variant here has {axis}={value}{suggestion(value, values)}")


def _value_texts(variant: Variant) -> dict[str, str]:
    return {name: text_of(value) for name, value in variant.axes}


def _parsed(text: str, scope: Scope) -> _Reference:
    """The architecture and the values that a reference names; values as variants' names print them."""
    architecture, inner = _split_architecture(text.strip(), scope)
    values: dict[str, str] = {}
    for item in items("" if inner == "baseline" else inner):
        axis, equals, value = (part.strip() for part in item.partition("="))
        if not (equals and axis and value) or axis in values:
            raise VariantError(f"'{item.strip()}' in '[{text}]': name each axis once, as axis=value")
        values[axis] = _canonical(axis, value)
    return _Reference(values.pop("architecture", architecture), values)


def _split_architecture(text: str, scope: Scope) -> tuple[str, str]:
    """(architecture, the rest) of `unet(skip=sum)`, `unet`, `skip=sum` or `baseline`."""
    first = text.partition("(")[0]
    if "=" in first or text in ("", "baseline"):
        return scope.variants[0].architecture, text
    return first.strip(), text.partition("(")[2].removesuffix(")")


def items(text: str) -> list[str]:
    """Split at the commas outside brackets."""
    items, depth = [""], 0
    for character in text:
        depth += (character == "[") - (character == "]")
        items[-1:] = [items[-1], ""] if character == "," and not depth else [items[-1] + character]
    return items if text.strip() else []


def _canonical(axis: str, text: str) -> str:
    """The value as names of variants print it; of a field of `train:` in the form of the field: `5m` as `300s`."""
    try:
        value = parse_value(text)
        return text_of(Setting(axis).parse(value) if axis.startswith("train.") else value)
    except FileError as error:
        raise VariantError(str(error)) from None
    except RegistryError:  # no such field or value: what there is, is said where the variants are compared
        return text_of(value)
