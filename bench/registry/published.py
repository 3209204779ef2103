"""Published numbers that a registered architecture must reproduce: `Fact`, and `Published`, a short way to write many.

They are stated at the end of a family's file, one a line:

    table_1 = Published("Nobody 1959, Table 1", when={"kernel": 3})
    facts(single, table_1("params", 588), table_1.at(3, 224, 224)("macs", "29.5 M", padding="same"))
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bench.registry.errors import RegistryError

PREFIXES = {1.0: "", 1e3: "k", 1e6: "M", 1e9: "G"}


@dataclass(frozen=True)
class Fact:
    """A published number that the entry must reproduce: `when` names the axis values it holds for.

    `quantity` is a metric's name, or `metric/part` for a named part of its detail
    (`receptive_field/pool4`). `value` is the exact integer, or the number as printed: with `digits`
    decimals, in units of `scale`. A `convention` of `bench.structure.conventions` counts in place of the
    metric, as the table did that printed the number. A `disputed` one does not agree with our count; `note` says why.
    """

    quantity: str
    value: float
    source: str
    when: Mapping[str, Any] = field(default_factory=dict, hash=False)
    shape: tuple[int, ...] | None = None
    digits: int | None = None
    scale: float = 1.0
    convention: str = ""
    disputed: bool = False
    note: str = ""

    def __post_init__(self) -> None:
        if self.scale not in PREFIXES:
            raise RegistryError(f"a fact's scale is one of {', '.join(map(str, PREFIXES))}, not {self.scale}")
        if self.disputed and not self.note:
            raise RegistryError(f"a disputed fact needs a note that says why: {self.quantity} of {self.source}")

    @property
    def printed(self) -> str:
        """The number as its source prints it: `134 M`, `181.37 G`, `404`."""
        number = f"{self.value:,}" if self.digits is None else f"{self.value:,.{self.digits}f}"
        return f"{number} {PREFIXES[self.scale]}".rstrip()


@dataclass(frozen=True)
class Published:
    """A source of published numbers, with what its facts have in common; calling it makes one `Fact`.

    `when`, `shape`, `convention` and `note` are as in `Fact` and hold for every number of this group; `disputed` says
    why its numbers do not agree with our count.
    """

    source: str
    when: Mapping[str, Any] = field(default_factory=dict, hash=False)
    shape: tuple[int, ...] | None = None
    convention: str = ""
    disputed: str = ""
    note: str = ""

    def __call__(self, quantity: str, number: int | str, note: str = "", /, **when: Any) -> Fact:
        """The fact that `quantity` is `number` where the axes have the values `when` (added to those of the group).

        `number` is an exact integer, or a text with the digits and the unit that the source prints ("57 M", "0.167",
        "181.37 G"). Raises RegistryError for any other text.
        """
        value, digits, scale = (number, None, 1.0) if isinstance(number, int) else parsed(number)
        disputed, notes = bool(self.disputed), note or self.note or self.disputed
        axes = {**self.when, **when}
        return Fact(quantity, value, self.source, axes, self.shape, digits, scale, self.convention, disputed, notes)

    def where(self, **when: Any) -> Published:
        """The same source, of numbers that hold where the axes have these values too."""
        return replace(self, when={**self.when, **when})

    def at(self, *shape: int) -> Published:
        """The same source, of numbers for one input of this shape (C, H, W)."""
        return replace(self, shape=shape)

    def counted_as(self, convention: str) -> Published:
        """The same source, of numbers that were counted by a convention of `bench.structure.conventions`."""
        return replace(self, convention=convention)

    def disputed_because(self, reason: str) -> Published:
        """The same source, of numbers that do not agree with our count, and why."""
        return replace(self, disputed=reason)


def parsed(number: str) -> tuple[float, int, float]:
    """(value, decimals, scale) of a printed number: "181.37 G" is (181.37, 2, 1e9). Raises RegistryError."""
    match = _NUMBER.fullmatch(number)
    if match is None:
        raise RegistryError(f"'{number}' is not a number with an optional unit k, M or G, such as '181.37 G'")
    digits, unit = len(match["decimals"] or ""), match["unit"] or ""
    scale = next(factor for factor, prefix in PREFIXES.items() if prefix == unit)
    return (float if digits else int)(match["value"]), digits, scale


_NUMBER = re.compile(r"(?P<value>\d+(\.(?P<decimals>\d+))?)( (?P<unit>[kMG]))?")
