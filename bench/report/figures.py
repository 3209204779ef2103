"""The figures of a report: every registered plot asked for what it has to show, as SVG."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import escape

from bench.display.figure import svg, theme
from bench.registry.catalogue import declarations, live
from bench.results.results import Results
from bench.spec.characters import printable

GENERATED = "fovbench-figure"
"""The class of the SVG element of every figure that we wrote, so that a later rendering may remove it."""

STANDALONE = (
    "<style>svg{color:#1f2328;color-scheme:light dark}@media(prefers-color-scheme:dark){svg{color:#e6edf3}}</style>"
)


@dataclass(frozen=True)
class Figure:
    """A figure of a report: its file's stem, what it shows, and its SVG element."""

    name: str
    caption: str
    element: str

    @property
    def inline(self) -> str:
        """For a page that sets the text's colour: as wide as there is room, named by its caption."""
        head, body = self._parts()
        look = f'style="--width:{head["width"]}" role="img" aria-label="{escape(printable(self.caption))}"'
        return f'<svg viewBox="{head["viewBox"]}" {look}>{body}'.replace("xlink:href", "href")

    @property
    def standalone(self) -> str:
        """For a file of its own, dark where the reader's system is."""
        head, body = self._parts()
        attributes = " ".join(f'{name}="{value}"' for name, value in head.items())
        return f'<?xml version="1.0" encoding="utf-8"?>\n<svg {attributes} class="{GENERATED}">{STANDALONE}{body}\n'

    def _parts(self) -> tuple[dict[str, str], str]:
        """The attributes of the SVG element, and all that follows its opening tag."""
        tag, _, body = self.element.partition(">")
        return dict(re.findall(r'([\w:]+)="([^"]*)"', tag)), body


def figures(results: Results, plugins: Sequence[str] = ()) -> Iterator[Figure]:
    """What every registered plot has to show, in the order of the plots. Raises ValueError for a doubled name."""
    names: set[str] = set()
    for entry in sorted(declarations(tuple(plugins)).plots, key=lambda entry: (entry.order, entry.name)):
        with theme():
            for name, figure in live(entry, plugins).call(results):
                if name in names:
                    raise ValueError(f"two plots yield a figure '{name}': the second is '{entry.name}'")
                names.add(name)
                yield Figure(name, str(figure.get_label()) or entry.summary, svg(figure, name))
