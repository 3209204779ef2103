from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from figure_checks import check_labels, drawn, row_names, texts

from bench.analysis.summary import summarise
from bench.display.figure import in_order
from bench.results.results import Results
from bench.stats.descriptive import deviation, mean


def test_mean_spread_and_missing_scores_are_in_words(synthetic: Results):
    shown = texts(drawn("accuracy", synthetic)["accuracy"])
    values = [*summarise(synthetic).aggregates[synthetic.baseline, "miou"].by_seed.values()]
    assert any(text.startswith(f"{mean(values):.4f} ± ") for text in shown)
    assert sum("(2 of 3 seeds)" in text for text in shown) == 1


def test_mean_and_standard_deviation_are_drawn_in_the_row_of_their_variant(synthetic: Results):
    axes = drawn("accuracy", synthetic)["accuracy"].axes[0]
    row = in_order(synthetic).index(synthetic.baseline)
    values = [*summarise(synthetic).aggregates[synthetic.baseline, "miou"].by_seed.values()]
    lines = [np.asarray(line.get_xydata()) for line in axes.lines if line.get_linestyle() in ("None", "-")]
    drawn_points = np.concatenate([points[np.isfinite(points[:, 0])] for points in lines])
    own = sorted({round(x, 9) for x, y in drawn_points if abs(y - row) < 0.2})
    assert own == pytest.approx([mean(values) + sign * deviation(values) for sign in (-1, 0, 1)])


def test_the_rows_are_in_the_order_of_the_strides(synthetic: Results):
    labels = row_names(drawn("accuracy", synthetic)["accuracy"])
    assert [int(text.split(",")[0].removeprefix("stride=")) for text in labels] == [8, 8, 8, 8, 16, 16, 32]


def test_the_best_possible_score_is_drawn_for_each_variant(synthetic: Results):
    axes = drawn("accuracy", synthetic)["accuracy"].axes[0]
    dotted = [np.asarray(line.get_xydata()) for line in axes.lines if line.get_linestyle() == ":"]
    best = {round(float(points[:, 1].mean())): points[0, 0] for points in dotted}
    expected = [0.61 if "stride=8" in variant else 0.55 for variant in in_order(synthetic)]
    assert [best[row] for row in range(len(expected))] == expected


def test_without_a_known_optimum_there_is_no_such_line(synthetic: Results):
    plain = {key: dataclasses.replace(e, facts={}) for key, e in synthetic.evaluations.items()}
    figures = drawn("accuracy", dataclasses.replace(synthetic, evaluations=plain))
    assert not any("(known)" in text for text in texts(figures["accuracy"]))
    assert "best of any network" in texts(drawn("accuracy", synthetic)["accuracy"])


def test_the_legend_has_no_baseline_where_the_baseline_has_no_score(synthetic: Results):
    def legend(results: Results) -> set[str]:
        (each,) = drawn("accuracy", results)["accuracy"].legends
        return {text.get_text() for text in each.get_texts()}

    scored = (synthetic.frame["metric"] == "miou") & (synthetic.frame["variant"] == synthetic.baseline)
    without = dataclasses.replace(synthetic, frame=synthetic.frame[~scored])
    assert legend(synthetic) - legend(without) == {"baseline"}


def test_one_variant_alone_has_no_figure(results_of):
    assert drawn("accuracy", results_of({"net(a=1)": {"miou": [0.5, 0.6]}})) == {}
    assert drawn("accuracy", results_of({"net(a=1)": {"miou": [0.5, 0.6]}, "net(a=2)": {"miou": [0.4, 0.5]}}))


@pytest.mark.parametrize("step", [0.0001, 0.0002, 0.0003])
def test_scores_that_hardly_differ_can_be_read(results_of, step: float):
    """Long names leave a narrow axis, and close scores have long numbers."""
    scores = {f"net(a={10**42 + i})": {"miou": [0.2657 + step * i, 0.2657 + step * (i + 0.5)]} for i in range(3)}
    check_labels(drawn("accuracy", results_of(scores))["accuracy"])
