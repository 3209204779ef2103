"""Names of variants as text: what all variants share is left out."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from bench.registry import text_of
from bench.results.results import Results

ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


def axis_text(results: Results, variant: str, axis: str) -> str:
    """The variant's value on an axis, or what the search chose for it, as text; empty where it has none."""
    axes = results.axes.get(variant, {})
    chosen = results.tuning.text(variant, axis) if results.tuning else ""
    return axes[axis] if axis in axes else chosen or _measured_texts(results, axis).get(variant, "")


@functools.lru_cache(maxsize=64)
def _measured_texts(results: Results, axis: str) -> dict[str, str]:
    """Variant -> its value on an axis as text, of the variants whose measurements have one."""
    if axis not in results.frame:
        return {}
    rows = results.frame[["variant", axis]].dropna().drop_duplicates("variant")
    pairs = zip(rows["variant"].tolist(), rows[axis].tolist(), strict=True)
    return {variant: text_of(value) for variant, value in pairs}


@functools.lru_cache(maxsize=8)
def shared_axes(results: Results) -> dict[str, str]:
    """The axis values that all variants state alike; empty for a single variant."""
    first, *others = (results.axes.get(variant, {}) for variant in results.variants)
    return {axis: text for axis, text in first.items() if others and all(o.get(axis) == text for o in others)}


def short_name(results: Results, variant: str) -> str:
    """The variant's label; without one its name with `…` for what all variants share: `fcn(stride=8,…)`."""
    if variant in results.labels:
        return results.labels[variant]
    axes, shared = results.axes.get(variant, {}), shared_axes(results)
    own = [f"{axis}={text}" for axis, text in axes.items() if shared.get(axis) != text]
    parts = own + [ELLIPSIS] * any(axis in shared for axis in axes)
    return f"{variant.partition('(')[0]}({','.join(parts)})" if parts else variant


MOST_AXES = 2
"""With more axes that vary, only those on which a variant differs from the baseline are stated."""


def varied_words(results: Results, variant: str) -> str:
    """The variant's values on the axes that vary, `stride=8, skips=true`; of many axes only what is not the baseline's.

    Empty for the baseline of many axes.
    """
    return axis_words(stated_values(results, variant))


def axis_words(axes: Sequence[tuple[str, str]]) -> str:
    """`unet, width=0.25`: an architecture needs no name of its axis, and what is empty is left out."""
    return ", ".join(value if axis == "architecture" else f"{axis}={value}" for axis, value in axes if value)


def stated_values(results: Results, variant: str) -> list[tuple[str, str]]:
    """(axis, value) of the axes that a short name states."""
    own, baseline = (varied_values(results, each) for each in (variant, results.baseline))
    differing = [pair for pair in own if pair not in baseline]
    return differing if len(results.varied) > MOST_AXES and (differing or variant == results.baseline) else own


def varied_values(results: Results, variant: str) -> list[tuple[str, str]]:
    """(axis, value as text) of every axis that varies."""
    return [(axis, axis_text(results, variant, axis)) for axis in results.varied]


def shared_words(results: Results) -> str:
    """The axis values that short names leave out; empty where nothing is shared."""
    shared = ", ".join(f"{axis}={text}" for axis, text in shared_axes(results).items())
    labelled = set(results.variants) <= results.labels.keys()
    start = "all variants" if labelled else f"{ELLIPSIS} in a variant's name"
    return f"{start}: {shared}" if shared else ""
