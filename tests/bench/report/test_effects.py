"""Main effects and interactions as text, in every format of a table."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from typing import Any

import pytest
from click.testing import CliRunner

from bench.analysis.factorial import EffectsError
from bench.cli.reading import table
from bench.report.effects import effects_text
from bench.results.results import Results

SCORES = {("1", "1"): 0.50, ("1", "2"): 0.60, ("2", "1"): 0.52, ("2", "2"): 0.70}
"""(a, b) -> mIoU; the effects are 0.06 of a, 0.14 of b, and the interaction is 0.18 - 0.10 = 0.08."""


@pytest.fixture
def crossed(results_of: Any) -> Results:
    noise = (-0.002, 0.0, 0.002)
    rows = {
        f"net(a={a},b={b})": {"params": 10, "miou": [score + each for each in noise]}
        for (a, b), score in SCORES.items()
    }
    return dataclasses.replace(results_of(rows), varied=("a", "b"))


def test_markdown_says_each_effect_with_its_interval(crossed: Results):
    lines = effects_text(crossed, "md").splitlines()
    assert lines[0] == "| effect | change | difference of miou | verdict |"
    found = [re.split(r" *\| *", line)[1:5] for line in lines[2:5]]
    assert [row[0] for row in found] == ["main effect", "main effect", "interaction"]
    assert [row[2].split()[0] for row in found] == ["+0.0600", "+0.1400", "+0.0800"]
    assert [row[3] for row in found] == ["better", "better", "changed"]


def test_exact_formats_have_every_digit(crossed: Results):
    rows = list(csv.DictReader(io.StringIO(effects_text(crossed, "csv"))))
    objects = [json.loads(line) for line in effects_text(crossed, "json").splitlines()]
    assert [float(row["value"]) for row in rows] == pytest.approx([0.06, 0.14, 0.08])
    assert [each["value"] for each in objects] == [float(row["value"]) for row in rows]
    assert objects[0]["metric"] == "miou"
    assert objects[0]["other_axis"] is None


def test_latex_needs_no_package_and_breaks_its_lines(crossed: Results):
    text = effects_text(crossed, "latex")
    widths = [float(width) for width in re.findall(r"p\{([\d.]+)\\textwidth\}", text)]
    assert len(widths) == 4
    assert sum(widths) + 36 / 345 <= 1  # three gaps of 12 pt; the text of an article is 345 pt wide
    assert r"a 1 $\rightarrow$ 2 $\times$ b 1 $\rightarrow$ 2" in text
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 1


def test_several_metrics_have_a_block_each(crossed: Results):
    assert effects_text(crossed, "md", ("miou", "params")).count("| effect |") == 2


def test_what_has_no_effects_says_why(results_of: Any, crossed: Results):
    with pytest.raises(EffectsError, match="no metric 'mio', did you mean 'miou'"):
        effects_text(crossed, "md", ("mio",))
    single = results_of({"net(a=0)": {"miou": [0.5, 0.51]}, "net(a=1)": {"miou": [0.6, 0.61]}})
    with pytest.raises(EffectsError, match="no two axes of 'small' are crossed"):
        effects_text(single, "md")


def test_the_command_takes_no_options_of_the_other_table():
    result = CliRunner().invoke(table, ["fcn_skips", "--effects", "--best"])
    assert result.exit_code == 2
    assert "--effects has columns of its own" in result.output
