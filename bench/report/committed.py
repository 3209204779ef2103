"""The committed texts that hold numbers: made from the results bundles by a command, and checked against them.

`reports/NAME/index.md`   the page of an ablation, with its first figures
`reports/README.md`       the index of all ablations
`README.md`               the block between the two markers below
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.registry.writing import write_text
from bench.report.index import (
    IndexRow,
    is_trained,
    ledger,
    markdown_index,
    markdown_ledger,
    overview,
    row_of,
)
from bench.report.page import page_of
from bench.report.render import COMMITTED_FIGURES, markdown_of, render_markdown
from bench.report.tuning_effect import TuningEffect, markdown_effects, tuning_effects
from bench.results.results import Results

REPORTS = Path("reports")
README = Path("README.md")
BEGIN = "<!-- results: written by `bench report --committed` -->"
END = "<!-- end of results -->"
FLAGSHIPS = (
    "fcn_skips", "unet_skips", "segmentation_frontier", "pretrained", "cpm_context", "vae_latent_dim", "pixelcnn_depth",
)  # fmt: skip
"""The ablations of the README's table."""
COLUMNS = ("metric", "baseline", "best variant", "claims of the source")
"""The columns of the README's table."""
INDEX_COLUMNS = ("question", "answer", "difference", "claims of the source", "seeds", "training")
"""The columns of the index."""

INDEX = """# Reference results

What each ablation of this repository measured, from the bundles under `results/reference/`. `bench report --committed`
writes this page; `bench report --all` builds the whole site with every figure.

"""


def write(pages: Sequence[Results], all_results: Sequence[Results]) -> Iterator[Path]:
    """Write these pages, and the index and the README's block of all ablations; the paths.

    An ablation whose scores were never measured has no page, and the index says so.
    """
    for results in filter(is_trained, pages):
        yield render_markdown(results, REPORTS)
    for path, text in _shared(all_results).items():
        yield write_text(path, text)


def differing(pages: Sequence[Results], all_results: Sequence[Results]) -> list[Path]:
    """The committed texts that differ from the results: these pages, the index and the README's block."""
    texts = {
        REPORTS / each.name / "index.md": markdown_of(page_of(each, most=COMMITTED_FIGURES))
        for each in pages
        if is_trained(each)
    }
    texts |= _shared(all_results)
    return [path for path, text in texts.items() if not path.is_file() or path.read_text("utf-8") != text]


def _shared(all_results: Sequence[Results]) -> dict[Path, str]:
    rows = [row_of(results) for results in all_results if is_trained(results)]
    untrained = [results.name for results in all_results if not is_trained(results)]
    effects = tuning_effects(results for results in all_results if is_trained(results))
    texts = {REPORTS / "README.md": _index(rows, effects) + _remark(untrained)}
    if README.is_file():
        texts[README] = with_block(README.read_text("utf-8"), _block(rows))
    return texts


def _index(rows: Sequence[IndexRow], effects: Sequence[TuningEffect]) -> str:
    """One sentence over all, a row for each ablation, what equal tuning changes, and every claim."""
    parts = [INDEX + overview(rows), markdown_index(rows, columns=INDEX_COLUMNS)]
    if effects:
        parts += ["## What a recipe of its own changes", markdown_effects(effects)]
    if claims := ledger(rows):
        parts += ["## What the sources claimed", markdown_ledger(claims)]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _remark(untrained: Sequence[str]) -> str:
    if not untrained:
        return ""
    return f"\nNot trained here, so that only their structure is known: {', '.join(untrained)}.\n"


def _block(rows: Sequence[IndexRow]) -> str:
    chosen = {row.name: row for row in rows}
    return markdown_index([chosen[name] for name in FLAGSHIPS if name in chosen], "reports/", COLUMNS)


def with_block(text: str, block: str) -> str:
    """The text with `block` between the markers. Raises ValueError where the markers are missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{README}: the markers '{BEGIN}' and '{END}' are missing")
    return f"{before}{BEGIN}\n{block}{END}{after}"
