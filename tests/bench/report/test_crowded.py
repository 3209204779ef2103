"""Tables and pages of many variants: what belongs to a column is computed once, and figures no one can read are left out."""

from __future__ import annotations

import dataclasses
import functools
import re

import numpy as np
import pytest

from bench.analysis import front
from bench.analysis.front import MOST_TESTED, fronts
from bench.analysis.summary import summarise
from bench.registry import READABLE
from bench.report.figures import left_out
from bench.report.render import render, render_markdown
from bench.report.table import table
from bench.results.store import Store
from bench.stats.inference import bootstrap, bootstrap_of_mean, pareto
from bench.sweep.reading import read_results
from tests.bench.crowded import ablation_in, add_history, calls, fill


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Made-up results of so many variants, beside a history of so many rows."""
    folder = tmp_path_factory.mktemp("crowded")

    @functools.cache
    def results(variants, history=0):
        ablation = ablation_in(folder, variants, 2, ("params", "macs", "latency", "miou"), f"of{variants}_{history}")
        with Store(folder / f"{ablation.name}.sqlite") as store:
            fill(store, ablation)
            add_history(store, ablation, history)
            return read_results(ablation, store)

    return results


def fresh(results):
    """The same results, of which nothing is computed yet."""
    return dataclasses.replace(results)


@pytest.mark.parametrize("form", ["md", "csv", "json", "latex"])
def test_a_table_of_twice_the_variants_takes_twice_the_calls(results, form):
    small, large = (fresh(results(count)) for count in (50, 100))
    table(results(10), form)  # what is imported and computed once
    assert calls(lambda: table(large, form)) < 2.2 * calls(lambda: table(small, form))


def test_a_page_of_twice_the_variants_takes_twice_the_calls(results, tmp_path):
    small, large = (fresh(results(count)) for count in (60, 120))
    render(results(READABLE + 10), tmp_path)
    assert calls(lambda: render(large, tmp_path)) < 2.2 * calls(lambda: render(small, tmp_path))


def test_the_statements_of_a_reading_do_not_grow_with_the_history(results, monkeypatch):
    original, statements = Store._read, []
    monkeypatch.setattr(Store, "_read", lambda self, *arguments: statements.append(1) or original(self, *arguments))
    results(20, 0)
    without = len(statements)
    results(20, 500)
    assert len(statements) == 2 * without > 0


def test_a_page_of_many_variants_says_which_figures_it_leaves_out(results, tmp_path):
    many = results(READABLE + 10)
    page = render(many, tmp_path).read_text()
    assert re.findall(r'<figure id="figure-(\w+)"', page) == ["accuracy_against_cost"]
    note = f"Figures that show at most {READABLE} variants are left out, since there are {READABLE + 10}"
    assert note in page
    assert f"{note}.\n" in render_markdown(many, tmp_path).read_text()
    assert left_out(results(READABLE)) == ""


def test_of_many_variants_no_pairs_are_tested_and_the_page_lists_the_front(results, tmp_path, monkeypatch):
    monkeypatch.setattr(front, "_beaten", None)  # would fail if it were called
    many = results(MOST_TESTED + 10)
    (by_params, *_) = fronts(summarise(many))
    points = {v: (by_params.standings[v] == "front") for v in many.variants}
    summary = summarise(many)
    values = {v: [summary.aggregates[v, m].value for m in ("miou", "params")] for v in many.variants}
    assert [v for v, first in points.items() if first] == list(pareto(values, ("higher", "lower")))
    assert not by_params.tested
    page = render(many, tmp_path).read_text()
    assert "pairs are not tested" in page
    assert "otherwise it is inconclusive" not in page
    assert page.count('class="standing front"') >= sum(points.values())
    assert page.count("<tr><td><code>") < len(many.variants)


def test_a_mean_s_bootstrap_is_the_bootstrap_of_its_mean():
    for count in (2, 7, 23):
        values = np.random.default_rng(count).normal(size=count)
        one_by_one = bootstrap(lambda drawn, v=values: float(v[drawn].mean()), count, 0.9)
        assert bootstrap_of_mean(values, 0.9) == one_by_one


def test_a_front_with_nan_is_what_the_definition_says():
    points = {"a": (1.0, 2.0), "b": (float("nan"), 0.0), "c": (1.0, 1.0), "d": (0.5, float("nan")), "e": (1.0, 2.0)}
    assert pareto(points, ("higher", "higher")) == ("a", "b", "d", "e")
