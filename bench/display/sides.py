"""Left and right in figures of people: colours that colour-blind readers tell apart, with marker and line style."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.data.skeleton import side
from bench.display.figure import COLOURS


@dataclass(frozen=True)
class SideLook:
    """How joints and limbs of one side are drawn. `word` names the colour in captions."""

    colour: str
    word: str
    marker: str
    linestyle: Any

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The colour as three bytes."""
        red, green, blue = bytes.fromhex(self.colour[1:])
        return red, green, blue


LOOKS = {
    "left": SideLook(COLOURS[0], "blue", "o", "-"),
    "right": SideLook(COLOURS[1], "orange", "s", (0, (2, 1))),
    "": SideLook("#6f6f6f", "grey", "D", "-"),
}
NAMES = {"left": "left", "right": "right", "": "middle"}


def look_of(joint: str) -> SideLook:
    """The look of a joint such as `left_wrist` by its side."""
    return LOOKS[side(joint)]
