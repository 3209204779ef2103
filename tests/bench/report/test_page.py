from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bench.analysis.front import fronts
from bench.analysis.summary import summarise
from bench.display.figure import in_order
from bench.report.page import command, headline, provenance
from bench.report.render import COMMITTED_FIGURES, breakable, markdown_code, render, render_markdown
from bench.results.results import Results

VOID_TAGS = {"meta", "wbr", "br", "link", "img", "input"}


class Page(HTMLParser):
    """Tags in order, attributes, and the text of every measurement of the results table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.rows: list[list[str]] = []
        self.texts: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID_TAGS:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        if tag not in VOID_TAGS:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data if "small" not in self.open else f" {data} "


@pytest.fixture(scope="module")
def rendered(synthetic: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports")
    render_markdown(synthetic, folder)
    return render(synthetic, folder).parent


@pytest.fixture(scope="module")
def html(rendered: Path) -> str:
    return (rendered / "index.html").read_text(encoding="utf-8")


def test_the_same_bytes_from_another_process_without_torch(synthetic: Results, rendered: Path, tmp_path: Path):
    code = (
        "import runpy, sys; from bench.report.render import render, render_markdown;"
        f"results = runpy.run_path({str(Path(__file__).parents[1] / 'conftest.py')!r})['made_up']();"
        f"render(results, {str(tmp_path)!r}); render_markdown(results, {str(tmp_path)!r});"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONHASHSEED": "7"})
    again = contents(tmp_path / synthetic.name)
    assert {name.suffix for name in again} == {".html", ".md", ".svg", ".pdf", ".csv", ".tex"}
    assert again == contents(rendered)


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_importing_loads_neither_torch_nor_pyplot():
    code = "import sys, bench.report.render, bench.display.figure; sys.exit(bool({'torch', 'matplotlib.pyplot'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_page_needs_nothing_from_outside(html: str, rendered: Path):
    assert len(html) < 2e6
    assert not re.search(r"https?:|@import|<link|<iframe", html)
    for tag, name, value in Page(html).attributes:
        if name in ("src", "href", "xlink:href"):
            there = tag == "a" and (rendered / value).is_file()
            assert there or value.startswith(("#", "data:image/png;base64,")), (tag, value[:80])
    assert set(re.findall(r"url\((.)", html)) <= {"#"}


def test_page_is_balanced_and_its_ids_are_its_own(html: str):
    page = Page(html)
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    targets = re.findall(r'(?:href="#|url\(#)([^")]+)', html)
    assert set(targets) <= set(ids)


def test_page_is_accessible(html: str, rendered: Path):
    page = Page(html)
    named = [value for tag, name, value in page.attributes if (tag, name) == ("svg", "aria-label")]
    assert len(named) == html.count("<figure ") >= 7
    assert all(named)
    assert '<html lang="en">' in html
    assert html.count("<caption>") == 1
    assert html.count("<h1>") == 1


def test_every_expected_cell_is_in_the_page(synthetic: Results, html: str):
    rows = Page(html).rows
    head = [text.split()[0] for text in rows[0]]
    body = rows[1 : 1 + len(synthetic.variants)]
    shown = {v: dict(zip(head, row, strict=True)) for v, row in zip(in_order(synthetic), body, strict=True)}
    assert all(f'title="{variant}"' in html for variant in synthetic.variants)
    patterns = {"measured": r"\d", "partial": r"\d.*of 3 seeds", "error": "error: ", "not measured": "not measured"}
    for (variant, metric), aggregate in summarise(synthetic).aggregates.items():
        assert re.search(patterns[aggregate.status], shown[variant][metric]), (variant, metric)


def test_exact_values_are_in_the_titles_of_rounded_ones(synthetic: Results, html: str):
    titles = [value for tag, name, value in Page(html).attributes if (tag, name) == ("td", "title")]
    summary = summarise(synthetic)
    aggregates = [aggregate for aggregate in summary.aggregates.values() if aggregate.value is not None]
    differences = [delta for (_, metric), delta in summary.deltas.items() if metric == "miou"]
    assert len(titles) == len(aggregates) + len(differences)
    for aggregate in aggregates:
        assert any(title.startswith(repr(aggregate.value)) for title in titles)


def test_text_is_escaped(html: str):
    assert "<b>real</b>" not in html
    assert "&lt;b&gt;real&lt;/b&gt; &amp; more_" in html
    assert "Traceback <module>" not in html


@pytest.mark.parametrize("name", ["index.html", "index.md"])
def test_failures_gaps_exclusions_and_commands_are_on_the_page(rendered: Path, name: str):
    text = (rendered / name).read_text(encoding="utf-8").replace("<wbr>", "")
    for part in (
        "diverged: loss is nan at step 312",
        "bench run ablations/fcn_skips.yaml --rerun failed",
        "there is nothing to fuse at stride 32",
        "Mean intersection over union, over the dataset.",
        *(f"bench run ablations/fcn_skips.yaml --only {metric}" for metric in ("params", "macs", "latency", "miou")),
        "environment.device.cores",
        "Apache-2.0",
        "62 of 70 measurements done, 3 failed, 5 not measured; 1 variant excluded",
    ):
        assert part in text, part


def test_markdown_refers_to_the_figures_that_are_there(rendered: Path):
    text = (rendered / "index.md").read_text(encoding="utf-8")
    names = re.findall(r"\]\((\S+\.svg)\)", text)
    assert sorted(names) == sorted(path.name for path in rendered.glob("*.svg"))
    assert 1 <= len(names) <= COMMITTED_FIGURES


def test_figures_are_well_formed_and_follow_the_reader_s_mode(rendered: Path):
    for path in rendered.glob("*.svg"):
        text = path.read_text(encoding="utf-8")
        ElementTree.fromstring(text)
        assert "prefers-color-scheme:dark" in text
        assert "currentColor" in text
        assert "#010203" not in text
        assert not re.search(r"<dc:date|Matplotlib", text)


def test_figures_of_an_earlier_rendering_go_and_others_stay(synthetic: Results, rendered: Path, tmp_path: Path):
    folder = tmp_path / synthetic.name
    folder.mkdir()
    (folder / "old.svg").write_bytes(next(rendered.glob("*.svg")).read_bytes())
    (folder / "mine.svg").write_text("<svg/>")
    render_markdown(dataclasses.replace(synthetic, evaluations={}), tmp_path)
    assert not (folder / "old.svg").exists()
    assert (folder / "mine.svg").exists()
    assert not (folder / "predictions.svg").exists()


def test_nothing_measured_yet(synthetic: Results, tmp_path: Path):
    empty = dataclasses.replace(synthetic, frame=synthetic.frame.iloc[:0], evaluations={})
    html = render(empty, tmp_path).read_text(encoding="utf-8")
    assert "0 of 70 measurements done, 0 failed, 70 not measured" in html
    assert not [*(tmp_path / synthetic.name).glob("*.svg")]


@pytest.mark.parametrize("name", ["index.html", "index.md"])
def test_claims_are_answered(rendered: Path, name: str):
    text = (rendered / name).read_text(encoding="utf-8").replace("<wbr>", "")
    for part in (
        "Claims of the source: 1 contradicted, 1 not evaluated, 2 reproduced",
        "miou[stride=16,skips=true] &gt; miou[stride=32]" if name == "index.html" else "`miou[stride=16,skips=true] > ",
        "% confidence interval from 3 seeds, as in the table",
        "is not measured (seed 0)",
    ):
        assert part in text, part


def test_deltas_have_their_interval_and_verdict_in_the_page(synthetic: Results, html: str):
    delta = summarise(synthetic).deltas["fcn(stride=8,skips=true)", "miou"]
    assert delta.verdict == "better"
    low, high = (f"+{end:.4f}" for end in delta.interval or ())
    assert re.search(
        rf'{re.escape(f"[{low}, {high}]")}</span><span class="exact">[^<]+</span><small class="verdict better">better<',
        html,
    )
    assert "boundary_iou: no intervals and no verdicts, since 4 results are missing" in html.replace("B", "b")


@pytest.mark.parametrize("name", ["index.html", "index.md"])
def test_the_pareto_front_is_on_the_page(synthetic: Results, rendered: Path, name: str):
    text = (rendered / name).read_text(encoding="utf-8")
    text = text.partition("<summary>Pareto front")[2].partition("</details>")[0]
    expected = [standing for each in fronts(summarise(synthetic)) for standing in each.standings.values()]
    for standing in ("front", "inconclusive"):
        aggregates = re.findall(rf"(?:>|\| ){standing}(?=<| \|)", text)
        assert len(aggregates) == expected.count(standing) > 0


def test_headline_is_the_answer_the_claims_and_what_is_missing(synthetic: Results):
    answer, claims, complete = headline(summarise(synthetic))
    assert claims.startswith("Claims of the source: 1 contradicted")
    assert answer.startswith(
        "Yes. Miou is higher with stride=8, skips=true, backbone=timm:tf_efficientnetv2_b0.in1k than"
    )
    assert "62 of 70" in complete


def test_provenance_is_flat_and_sorted(synthetic: Results):
    facts = dict(provenance(synthetic))
    assert facts["recipe.augment"] == "true"
    assert facts["measured.mode"] == "bf16, fp32"
    recipe = [name for name in facts if name.startswith("recipe.")]
    assert recipe == sorted(recipe)


def test_command_without_a_record_names_the_file(synthetic: Results):
    assert command(dataclasses.replace(synthetic, provenance={"file": "a.yaml"})) == "bench run a.yaml"


def test_code_and_breaks():
    assert markdown_code("a|b") == "`a\\|b`"
    assert markdown_code("a`b") == "`` a`b ``"
    assert breakable("f(a=1,<b>) (better)") == "f(<wbr>a=1,<wbr>&lt;b&gt;) (better)"
