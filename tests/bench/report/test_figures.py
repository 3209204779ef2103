"""Figures of plug-ins: drawn wherever a page is written; one that fails is a row of the page."""

from __future__ import annotations

import dataclasses

import pytest

from bench.report.figures import FailedPlot, Figure, figures
from bench.report.render import render, render_markdown
from bench.report.site import pages

PLOTS = """
from bench.display.figure import new
from bench.registry import plot

@plot(order=-2)
def raising(results):
    "A plot that raises after its first figure."
    figure, _ = new(3, 2, "an early figure")
    yield "early", figure
    raise ZeroDivisionError("nothing <b>to</b> divide")

@plot(order=-3)
def nameless(results):
    "A plot that yields no pair."
    yield 3

@plot(order=-1)
def textual(results):
    "A plot whose figure is none."
    yield "text", "no figure"

@plot(order=1000)
def again(results):
    "A plot that takes a name."
    yield "early", new(3, 2, "twice")[0]

@plot(order=1001)
def own(results):
    "A plot of a plug-in."
    yield "own", new(3, 2, "what I drew")[0]
"""


@pytest.fixture
def plotted(tmp_path, synthetic, plugins_of_test):
    """Results of an ablation with a plug-in of plots."""
    (tmp_path / "plots.py").write_text(PLOTS)
    return dataclasses.replace(synthetic, plugins=(str(tmp_path / "plots.py"),))


def test_a_plot_that_fails_costs_its_own_figures_only(plotted):
    drawn = list(figures(plotted))
    names = [each.name for each in drawn if isinstance(each, Figure)]
    failed = {each.name: each for each in drawn if isinstance(each, FailedPlot)}
    assert names[0] == "early"
    assert names[-1] == "own"
    assert len(names) > 3, "ours are drawn too"
    assert {name: each.error.partition(": ")[2] for name, each in failed.items()} == {
        "raising": "plot 'raising' raised ZeroDivisionError: nothing <b>to</b> divide",
        "nameless": "plot 'nameless' gave a int; a plot yields pairs (name, figure), or nothing",
        "textual": "plot 'textual' gave a str as the figure 'text'; draw it with matplotlib",
        "again": "plot 'again' gave a second figure of the name 'early'",
    }
    assert all("plots.py:" in each.error for each in failed.values())
    assert "ZeroDivisionError" in failed["raising"].traceback


def test_pages_have_the_figures_and_a_row_for_each_failure(plotted, tmp_path):
    failed: list[FailedPlot] = []
    html = render(plotted, tmp_path / "a", failed=failed.append).read_text("utf-8")
    assert {each.name for each in failed} == {"raising", "nameless", "textual", "again"}
    assert "Figures that could not be drawn" in html
    assert "what I drew" in html
    assert "nothing &lt;b&gt;to&lt;/b&gt; divide" in html
    text = render_markdown(plotted, tmp_path / "b").read_text("utf-8")
    assert "| `nameless` | " in text
    assert [path.parent.parent.name for path in pages([plotted], tmp_path / "c")] == ["c"]
    assert "what I drew" in (tmp_path / "c" / plotted.name / "index.html").read_text("utf-8")


def test_a_plug_in_that_cannot_be_imported_is_a_row_too(plotted, tmp_path):
    (tmp_path / "plots.py").write_text(f"import no_such_module\n{PLOTS}")
    failed = [each for each in figures(plotted) if isinstance(each, FailedPlot)]
    assert {each.name for each in failed} == {"raising", "nameless", "textual", "again", "own"}
    assert "No module named 'no_such_module'" in failed[0].error


def test_a_page_without_failures_says_nothing_of_them(synthetic, tmp_path):
    assert "could not be drawn" not in render(synthetic, tmp_path).read_text("utf-8")
