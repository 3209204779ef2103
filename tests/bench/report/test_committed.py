"""The committed pages, the index and the README say what the committed bundles say."""

from __future__ import annotations

from pathlib import Path

import pytest

import bench
from bench.report import committed
from bench.report.committed import BEGIN, END, differing, with_block
from bench.results.bundle import FOLDER, bundled_names
from bench.results.results import Results

ROOT = Path(__file__).parents[3]
NAMES = bundled_names(ROOT / FOLDER)


@pytest.fixture
def results_of(monkeypatch: pytest.MonkeyPatch):
    """Reads a committed bundle, as `bench report --committed` does."""
    monkeypatch.chdir(ROOT)

    def read(name: str) -> Results:
        return bench.load(name, source=FOLDER / name).results

    return read


@pytest.mark.parametrize("name", NAMES)
def test_a_page_says_what_its_bundle_says(name: str, results_of) -> None:
    page = committed.REPORTS / name / "index.md"
    stale = differing([results_of(name)], [])
    assert page not in stale, "write it with: bench report --committed"


def test_index_and_readme_say_what_the_bundles_say(results_of) -> None:
    assert differing([], [results_of(name) for name in NAMES]) == [], "write them with: bench report --committed"


def test_every_ablation_has_a_bundle() -> None:
    ablations = {path.stem for path in (ROOT / "ablations").glob("*.yaml")}
    assert set(NAMES) == ablations - {"smoke"}


def test_only_the_text_between_the_markers_is_replaced() -> None:
    assert with_block(f"a\n{BEGIN}\nold\n{END}\nb\n", "new\n") == f"a\n{BEGIN}\nnew\n{END}\nb\n"
    with pytest.raises(ValueError, match="markers"):
        with_block("no markers", "new\n")
