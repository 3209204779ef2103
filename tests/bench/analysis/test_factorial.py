"""Main effects and interactions: known values, other libraries, designs, and what is missing."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

import bench
from bench.analysis.factorial import EffectsError, design_of, effects
from bench.analysis.summary import summarise
from bench.display.factorial import effects_table
from bench.report.page import page_of
from bench.report.render import markdown_of, templates

GRID = {"a": ("0", "1", "2"), "b": ("0", "1")}
TWO = dict.fromkeys("abc", ("0", "1"))
SEEDS = 3


def name_of(point: dict[str, str]) -> str:
    return f"net({','.join(f'{axis}={value}' for axis, value in point.items())})"


def points_of(values: dict[str, tuple[str, ...]]) -> list[dict[str, str]]:
    return [dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())]


def table_of(points, mean, noise=0.01, seed=0) -> dict[str, dict[str, list]]:
    random = np.random.default_rng(seed)
    return {name_of(p): {"miou": list(mean(p) + noise * random.normal(size=SEEDS))} for p in points}


@pytest.fixture
def results_over(results_of):
    def make(table, **more):
        axes = dict.fromkeys(part.partition("=")[0] for name in table for part in name[4:-1].split(","))
        return replace(results_of(table), varied=tuple(axes), main="miou", **more)

    return make


def of(results, metric="miou"):
    summary = summarise(results)
    estimated = effects(summary, summary.column(metric))
    return {tuple((c.axis, c.first, c.second) for c in effect.changes): effect for effect in estimated}


def additive(point) -> float:
    return 0.4 + {"0": 0.0, "1": 0.1, "2": 0.2}[point["a"]] + {"0": 0.0, "1": 0.05}[point["b"]]


def with_interaction(point) -> float:
    return additive(point) + 0.3 * (point == {"a": "2", "b": "1"})


def test_effects_of_known_means(results_over):
    by_changes = of(results_over(table_of(points_of(GRID), with_interaction, noise=1e-4)))
    values = {key: effect.value for key, effect in by_changes.items()}
    one, two, yes = ("a", "0", "1"), ("a", "0", "2"), ("b", "0", "1")
    assert values == pytest.approx(
        {(one,): 0.1, (two,): 0.35, (yes,): 0.15, (one, yes): 0.0, (two, yes): 0.3}, abs=5e-4
    )
    verdicts = {key: effect.verdict for key, effect in by_changes.items()}
    assert verdicts == {
        **dict.fromkeys([(one,), (two,), (yes,)], "better"),
        (one, yes): "equivalent",
        (two, yes): "changed",
    }


@pytest.mark.parametrize("values", [GRID, TWO, {**TWO, "d": ("0", "1", "2")}], ids=["3x2", "2x2x2", "2x2x2x3"])
def test_point_estimates_are_those_of_least_squares(results_over, values):
    """statsmodels: the axes of an effect coded by their reference, all others by deviations, which average over them."""
    smf = pytest.importorskip("statsmodels.formula.api")
    import pandas as pd

    table = table_of(points_of(values), lambda point: 0.5, noise=0.1)
    frame = pd.DataFrame(
        [{**p, "y": y} for p, row in zip(points_of(values), table.values(), strict=True) for y in row["miou"]]
    )
    by_changes = of(results_over(table))
    assert len(by_changes) > 4
    for changes, effect in by_changes.items():
        own = {axis for axis, _, _ in changes}
        terms = [f"C({axis}{'' if axis in own else ', Sum'})" for axis in values]
        fitted = smf.ols(f"y ~ {' * '.join(terms)}", frame).fit()
        name = ":".join(f"C({axis})[T.{second}]" for axis, _, second in changes)
        assert effect.value == pytest.approx(fitted.params[name], abs=1e-12)


def test_intervals_are_those_of_the_analysis_of_variance_where_spreads_are_equal(results_over):
    """With one spread over seeds in all variants, the standard error is that of ordinary least squares."""
    smf = pytest.importorskip("statsmodels.formula.api")
    import pandas as pd

    random, shift = np.random.default_rng(2), np.array([-0.01, 0.0, 0.01])
    means = dict(zip(map(name_of, points_of(TWO)), random.uniform(0.3, 0.7, 8), strict=True))
    table = {name: {"miou": list(mean + shift)} for name, mean in means.items()}
    frame = pd.DataFrame([{**p, "y": y} for p in points_of(TWO) for y in table[name_of(p)]["miou"]])
    fitted = smf.ols("y ~ C(a, Sum) * C(b, Sum) * C(c)", frame).fit()
    estimate = of(results_over(table))[(("c", "0", "1"),)].contrast.estimate
    assert estimate.error == pytest.approx(fitted.bse["C(c)[T.1]"], rel=1e-6)
    assert estimate.freedom == pytest.approx(fitted.df_resid)


def test_verdicts_are_corrected_together(results_over):
    effect = next(iter(of(results_over(table_of(points_of(GRID), lambda point: 0.5))).values()))
    assert effect.level == pytest.approx(1 - 0.05 / 5)
    assert effect.interval == effect.contrast.estimate.interval(effect.level)


def test_few_false_verdicts_on_tables_without_effects(results_over):
    tables = [results_over(table_of(points_of(TWO), lambda point: 0.5, 0.02, seed)) for seed in range(60)]
    wrong = [any(effect.verdict in ("better", "worse", "changed") for effect in of(each).values()) for each in tables]
    assert sum(wrong) <= 0.05 * 60 + 3 * (0.05 * 0.95 * 60) ** 0.5


def test_a_failed_variant_leaves_out_the_effects_that_need_it(results_over):
    table = table_of(points_of(GRID), additive)
    table["net(a=2,b=1)"]["miou"][1] = "diverged: loss is nan"
    by_changes = of(results_over(table))
    assert by_changes[("a", "0", "1"),].value == pytest.approx(0.1, abs=0.02)
    assert by_changes[("a", "0", "1"), ("b", "0", "1")].value is not None
    for key in [(("a", "0", "2"),), (("b", "0", "1"),), (("a", "0", "2"), ("b", "0", "1"))]:
        assert by_changes[key].value is None
        assert by_changes[key].verdict == "broken"
        assert "net(a=2,b=1) (seed 1) failed: diverged" in by_changes[key].reason


def test_nothing_is_inferred_from_an_incomplete_grid(results_over):
    table = table_of(points_of(GRID), additive)
    table["net(a=1,b=1)"]["miou"][2] = None
    assert {(effect.verdict, effect.value) for effect in of(results_over(table)).values()} == {("missing", None)}


def test_values_that_are_not_crossed_are_left_out(results_over):
    """Those of an excluded variant, and those that vary one at a time."""
    points = [p for p in points_of(GRID) if p != {"a": "0", "b": "1"}]
    results = results_over(table_of([*points, {"a": "3", "b": "0"}], lambda p: 0.5))
    design = design_of(summarise(results))
    assert design.values == {"a": ("1", "2"), "b": ("0", "1")}
    assert sorted(design.left_out) == [("a", "0"), ("a", "3")]
    assert "a=0" in " ".join(effects_table(summarise(results)).notes)


def test_variants_of_other_architectures_are_no_part_of_the_design(results_over):
    table = table_of(points_of(GRID), additive)
    results = results_over(table | {"unet(w=1)": {"miou": [0.5, 0.5, 0.6]}})
    assert design_of(summarise(replace(results, varied=("architecture", "a", "b", "w")))).complete


@pytest.mark.parametrize(
    "points", [[{"a": "0"}, {"a": "1"}], [{"a": "0", "b": "0"}, {"a": "1", "b": "0"}, {"a": "0", "b": "1"}]]
)
def test_axes_that_are_not_crossed_have_no_effects(results_over, points):
    results = results_over(table_of(points, lambda point: 0.5))
    assert of(results) == {}
    assert page_of(results, most=0).effects is None
    with pytest.raises(EffectsError, match="no two axes of 'small' are crossed"):
        bench.AblationResults(results).effects()


def test_effects_that_a_fraction_cannot_tell_apart_are_named_together(results_over):
    """Half of 2x2x2, c = a xor b: each main effect is an alias of the interaction of the other two."""
    points = [p for p in points_of(TWO) if p["c"] == str(int(p["a"] != p["b"]))]
    results = results_over(table_of(points, lambda p: 0.4 + 0.1 * (p["a"] == "1"), noise=1e-3))
    by_changes = of(results)
    assert list(by_changes) == [(("a", "0", "1"),), (("b", "0", "1"),), (("c", "0", "1"),)]
    a = by_changes[("a", "0", "1"),]
    assert a.value == pytest.approx(0.1, abs=5e-3)
    assert [[change.axis for change in alias] for alias in a.aliases] == [["b", "c"]]
    assert "a 0 \N{RIGHTWARDS ARROW} 1 or b 0" in effects_table(summarise(results)).rows[0].change


def test_exact_numbers_have_effects_without_noise(results_over):
    table = {name_of(p): {"macs": 100.0 + 10 * int(p["a"]) + (p["b"] == "1")} for p in points_of(GRID)}
    by_changes = of(results_over(table), "macs")
    assert by_changes[("a", "0", "2"),].value == 20
    assert (by_changes[("b", "0", "1"),].interval, by_changes[("b", "0", "1"),].verdict) == (None, "worse")
    assert by_changes[("a", "0", "1"), ("b", "0", "1")].verdict == "same"


def test_a_large_grid_has_main_effects_only(results_over):
    values = {"a": tuple("0123456789"), "b": tuple("0123456789")}
    results = results_over(table_of(points_of(values), lambda point: 0.5))
    assert len(of(results)) == 18
    assert "no interactions" in " ".join(effects_table(summarise(results)).notes)


def test_a_frame_has_a_row_for_each_effect(results_over):
    table = table_of(points_of(GRID), with_interaction, noise=1e-3)
    table["net(a=1,b=1)"]["miou"][1] = "out of memory"
    frame = bench.AblationResults(results_over(table)).effects()
    assert list(frame["effect"]) == ["main effect"] * 3 + ["interaction"] * 2
    row = frame[(frame["effect"] == "interaction") & (frame["second"] == "2")].iloc[0]
    assert row["value"] == pytest.approx(0.3, abs=0.01)
    assert row["low"] < row["value"] < row["high"]
    failed = frame[frame["reason"] != ""]
    assert list(failed["second"]) == ["1", "1", "1"]
    assert failed["value"].isna().all()
    with pytest.raises(EffectsError, match="no metric 'mIoU'"):
        bench.AblationResults(results_over(table)).effects("mIoU")


def test_pages_have_a_section(results_over):
    table = table_of(points_of(GRID), with_interaction, noise=1e-3)
    table["net(a=1,b=1)"]["miou"][1] = "out of memory"
    page = page_of(results_over(table), most=0)
    html, text = templates().get_template("index.html.j2").render(page=page), markdown_of(page)
    for each in (html, text):
        assert "Main effects" in each
        assert "not estimated: miou of net(a=1,b=1) (seed 1) failed: out of memory" in each.replace("<wbr>", "")
        assert "a 0 \N{RIGHTWARDS ARROW} 2 \N{MULTIPLICATION SIGN} b 0 \N{RIGHTWARDS ARROW} 1" in each
