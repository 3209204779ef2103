"""The committed texts that hold numbers: made from the results bundles by a command, and checked against them.

`reports/NAME/index.md`   the page of an ablation, with its first figures
`reports/README.md`       the index of all ablations
`README.md`               the block between the two markers below
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.report.index import IndexRow, markdown_index, row_of
from bench.report.page import page_of
from bench.report.render import markdown_of, render_markdown, with_few_figures, written
from bench.results.results import Results

REPORTS = Path("reports")
README = Path("README.md")
BEGIN = "<!-- results: written by `bench report --committed` -->"
END = "<!-- end of results -->"
FLAGSHIPS = (
    "fcn_skips", "unet_skips", "segmentation_frontier", "pretrained", "cpm_context", "vae_latent_dim", "pixelcnn_depth",
)  # fmt: skip
"""The ablations of the README's table."""

INDEX = """# Reference results

What each ablation of this repository measured, from the bundles under `results/reference/`. `bench report --committed`
writes this page; `bench report --all` builds the whole site with every figure.

"""

Read = Callable[[str], Results]


def write(names: Sequence[str], read: Read) -> Iterator[Path]:
    """Write the committed texts of these ablations, the index and the README's block; the paths."""
    all_results = [read(name) for name in names]
    for results in all_results:
        yield render_markdown(results, REPORTS)
    for path, text in _shared(all_results).items():
        yield written(path, text)


def differing(names: Sequence[str], read: Read) -> list[Path]:
    """The committed texts that differ from what the bundles say."""
    all_results = [read(name) for name in names]
    texts = {REPORTS / each.name / "index.md": markdown_of(with_few_figures(page_of(each))) for each in all_results}
    texts |= _shared(all_results)
    return [path for path, text in texts.items() if not path.is_file() or path.read_text("utf-8") != text]


def _shared(all_results: Sequence[Results]) -> dict[Path, str]:
    rows = [row_of(results) for results in all_results]
    texts = {REPORTS / "README.md": INDEX + markdown_index(rows)}
    if README.is_file():
        texts[README] = with_block(README.read_text("utf-8"), _block(rows))
    return texts


def _block(rows: Sequence[IndexRow]) -> str:
    chosen = {row.name: row for row in rows}
    return markdown_index([chosen[name] for name in FLAGSHIPS if name in chosen], "reports/")


def with_block(text: str, block: str) -> str:
    """The text with `block` between the markers. Raises ValueError where the markers are missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{README}: the markers '{BEGIN}' and '{END}' are missing")
    return f"{before}{BEGIN}\n{block}{END}{after}"
