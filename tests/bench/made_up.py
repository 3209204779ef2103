"""Names of made-up variants, and the axes in them."""

from __future__ import annotations

import re


def stated_axes(variant: str) -> list[tuple[str, str]]:
    """The axes in one of the made-up names: `fcn(stride=8,rates=[1,2])` has two."""
    inner = variant.partition("(")[2].removesuffix(")")
    parts = re.findall(r"(\w+)=((?:\[[^]]*\]|[^,])*)", inner)
    return [(name, value) for name, value in parts]


def axes_of(*variants: str) -> dict[str, dict[str, str]]:
    """What `Results.axes` holds for variants of these names."""
    return {variant: dict(stated_axes(variant)) for variant in variants}
