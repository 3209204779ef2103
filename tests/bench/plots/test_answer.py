"""The figure that answers, by the design of the ablation; and that of every committed ablation."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from figure_checks import check_labels, drawn, row_names, texts, visible_texts, with_facts
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import bench
from bench.analysis.leading import main_column
from bench.analysis.summary import summarise
from bench.display.drawn import drawn_csv
from bench.display.figure import INK, SMALLEST, WIDTH
from bench.display.shape import shape_of
from bench.plots import answer_curve
from bench.plots.answer_grid import FRAME
from bench.results.bundle import FOLDER, bundled_names
from bench.results.results import Results

ROOT = Path(__file__).parents[3]


def answer(results: Results) -> Figure:
    return drawn("answer", results)["answer"]


def shape(results: Results) -> str:
    column = main_column(summarise(results))
    assert column
    return shape_of(summarise(results), column)


def with_axes(results: Results, *rows: dict[str, str]) -> Results:
    return dataclasses.replace(results, axes=dict(zip(results.variants, rows)), varied=tuple(rows[0]))


@pytest.fixture
def results(results_of) -> Results:
    """Six variants of which the second is better, the third worse, and the last about as good as the first."""
    means = dict(enumerate((0.5, 0.7, 0.3, 0.72, 0.31, 0.505)))
    scores = {f"net(a={n})": {"miou": [m, m + 0.02, m - 0.02], "params": 10.0 * m} for n, m in means.items()}
    return with_axes(results_of(scores), *({"kind": letter} for letter in "abcdef"))


def test_the_shape_follows_from_the_axes(results: Results):
    assert shape(results) == "differences"
    assert shape(with_axes(results, *({"depth": str(2**i)} for i in range(6)))) == "curve"
    grid = [{"depth": str(d), "norm": norm} for norm in ("none", "group") for d in (8, 2, 4)]
    assert shape(with_axes(results, *grid)) == "grid"
    assert shape(with_axes(results, *grid[:2], *({"depth": str(i), "norm": str(i)} for i in range(4)))) == "differences"
    # one variant in three may differ in something else
    near = [
        *({"depth": str(i), "norm": "none"} for i in range(4)),
        *({"depth": str(i), "norm": "group"} for i in (1, 3)),
    ]
    assert shape(with_axes(results, *near)) == "curve"


def test_a_forest_plot_has_the_interval_of_the_verdict(results: Results):
    """The ends of every bar are those of the difference in the table, none is computed again."""
    deltas = [delta for (_, metric), delta in summarise(results).deltas.items() if metric == "miou"]
    lines = [np.asarray(line.get_xydata()) for line in answer(results).axes[0].lines]
    bars = [tuple(points[:, 0]) for points in lines if len(points) == 2]
    assert bars == [delta.interval for delta in deltas]
    assert [points[0, 0] for points in lines if len(points) == 1] == [delta.difference.value for delta in deltas]
    shown = texts(answer(results))
    assert {"better", "worse", "inconclusive", "equivalent within ±0.01"} <= set(shown)


def test_a_forest_plot_of_many_rows_is_low(results_of):
    """Of more than five rows the interval is a bar alone; each has its difference and its verdict."""
    long = "a variant whose own name needs the line"
    scores = {f"net(a={n})": {"miou": [0.5 + n / 10, 0.52 + n / 10, 0.48 + n / 10]} for n in range(7)}
    many = dataclasses.replace(
        results_of(scores), labels={"net(a=1)": long, **{f"net(a={n})": f"v{n}" for n in (0, 2, 3, 4, 5, 6)}}
    )
    figure = answer(with_axes(many, *({"kind": letter} for letter in "abcdefg")))
    shown = texts(figure)
    assert {"v2", "+0.200 better", long, "+0.100 better"} <= set(shown)
    assert not any("[" in text for text in shown)
    assert sum(len(np.asarray(line.get_xydata())) == 2 for line in figure.axes[0].lines) == 6
    assert figure.get_figheight() < 4.5


def test_no_figure_answers_where_the_main_metric_was_not_measured(results_of):
    """Costs alone answer nothing; they do where a cost is what is asked for."""
    every = results_of({f"net(a={n})": {"params": 10.0 * n, "miou": [0.1 * n, 0.2 * n]} for n in (1, 2, 3)})
    numbered = dataclasses.replace(with_axes(every, *({"a": str(n)} for n in (1, 2, 3))), main="miou")
    assert "answer" in drawn("answer", numbered)
    asked = dataclasses.replace(numbered, frame=numbered.frame[numbered.frame["metric"] != "miou"])
    assert "answer" not in drawn("answer", asked)
    assert "answer" in drawn("answer", dataclasses.replace(asked, main="params"))


def test_a_forest_plot_has_the_planned_contrasts_of_the_answer(results: Results):
    pair = ("net(a=3)", "net(a=1)")
    planned = dataclasses.replace(results, answers=(pair,))
    stated = summarise(planned).answers("miou")[pair]
    rows = row_names(answer(planned))
    assert rows == [*(f"kind={letter} \N{MINUS SIGN} kind=a" for letter in "bcdef"), "kind=d \N{MINUS SIGN} kind=b"]
    axes = answer(planned).axes[0]
    assert axes.get_xlabel() == "Δ miou ↑: the first less the second"
    assert answer(results).axes[0].get_xlabel() == "Δ miou ↑ against kind=a"
    assert any(text.endswith(f" {stated.verdict}") for text in texts(answer(planned))), "the contrast has no verdict"
    last = np.asarray(answer(planned).axes[0].lines[-1].get_xydata())
    assert last.tolist() == [[stated.difference.value, len(rows) - 1]]


def test_the_data_of_a_forest_plot_name_the_difference_and_the_axis_on_one_line(results: Results):
    long = dataclasses.replace(results, labels={results.baseline: "a baseline whose label needs another line"})
    rows = list(csv.DictReader(io.StringIO(drawn_csv(answer(long)))))
    assert {row["y"] for row in rows} == {f"kind={letter}" for letter in "bcdef"}
    assert {row["x_label"] for row in rows} == {"Δ miou ↑ against a baseline whose label needs another line"}


def test_a_curve_is_in_numeric_order_with_the_known_optimum(results: Results, synthetic: Results):
    depths = ["8", "2", "4", "16", "1", "32"]
    axes = answer(with_axes(results, *({"depth": depth} for depth in depths))).axes[0]
    assert np.asarray(axes.lines[0].get_xdata()).tolist() == [1, 2, 4, 8, 16, 32]
    assert np.asarray(axes.lines[0].get_ydata()).tolist() == pytest.approx([0.31, 0.7, 0.3, 0.5, 0.72, 0.505])
    numbered = with_axes(synthetic, *({"depth": str(2**i)} for i in range(len(synthetic.variants))))
    (dotted,) = (line for line in answer(numbered).axes[0].lines if line.get_linestyle() == ":")
    best = [0.61 if "stride=8" in variant else 0.55 for variant in synthetic.variants]
    assert np.asarray(dotted.get_ydata()).tolist() == best
    assert not any("(known)" in text for text in texts(answer(with_facts(numbered, optimum={}))))
    assert "best of any network" in texts(answer(with_facts(numbered, optimum={"miou": 0.9})))


def test_the_best_score_of_a_single_variant_is_seen(synthetic: Results, monkeypatch: pytest.MonkeyPatch):
    numbered = with_axes(synthetic, *({"depth": str(2**i)} for i in range(len(synthetic.variants))))
    single = summarise(numbered).results.variants[1]
    known = answer_curve.bound
    monkeypatch.setattr(answer_curve, "bound", lambda s, v, m: known(s, v, m) if v == single else None)
    (best,) = (line for line in answer(numbered).axes[0].lines if line.get_linestyle() == ":")
    assert (len(np.asarray(best.get_xdata())), best.get_marker()) == (1, "_")


@pytest.mark.parametrize(("better", "sign"), [("higher", 1), ("lower", -1)])
def test_a_heat_map_is_blue_where_it_is_better_and_colourless_where_nothing_is_settled(
    results: Results, better: str, sign: int
):
    frame = results.frame.assign(better=results.frame["better"].where(results.frame["metric"] != "miou", better))
    axes = [{"depth": str(d), "norm": norm} for norm in ("none", "group") for d in (8, 2, 4)]
    grid = with_axes(dataclasses.replace(results, frame=frame), *axes)
    mesh = next(each for each in answer(grid).axes[0].collections if isinstance(each, QuadMesh))
    shown = np.asarray(mesh.get_array()).reshape(3, 2).tolist()
    assert shown[0] == pytest.approx([0.2, -0.19])  # depth 2
    assert shown[1] == pytest.approx([-0.2, 0.0])  # depth 4; the last is not settled
    red, _, blue, _ = mesh.to_rgba(0.2 * sign)
    assert blue > red
    assert row_names(answer(grid)) == ["2", "4", "8"]


def test_the_frame_of_the_baseline_is_seen_on_a_light_and_on_a_dark_page(results: Results):
    """A dark line on the light square, in a wider one in the colour of text; the axes do not cut it."""
    axes = [{"depth": str(d), "norm": norm} for norm in ("none", "group") for d in (8, 2, 4)]
    frames = [each for each in answer(with_axes(results, *axes)).axes[0].patches if isinstance(each, Rectangle)]
    outer, inner = frames
    assert (to_hex(outer.get_edgecolor()), to_hex(inner.get_edgecolor())) == (INK, FRAME)
    assert outer.get_linewidth() > inner.get_linewidth() + 1
    assert not outer.get_clip_on()
    assert outer.get_bbox().bounds == inner.get_bbox().bounds == (0, 2, 1, 1)  # depth 8, norm none


def test_a_heat_map_says_values_in_the_words_of_the_labels(results: Results):
    """What all labels of a row or column have between commas, and no others; else the value, without brackets."""
    values = [(factors, latent) for factors in (2, 3) for latent in (1, 2, 4)]
    grid = with_axes(results, *({"dataset.factors": str(f), "latent": str(n)} for f, n in values))
    words = [f"{f} factors, {n} latents" for f, n in values]
    labelled = dataclasses.replace(grid, labels=dict(zip(results.variants, words)))
    assert row_names(answer(labelled)) == ["1 latents", "2 latents", "4 latents"]
    assert [t.get_text() for t in answer(labelled).axes[0].get_xticklabels()] == ["2 factors", "3 factors"]
    assert row_names(answer(grid)) == ["1", "2", "4"]
    lists = [{"train.freeze": freeze, "depth": depth} for freeze in ("[]", "[encoder]") for depth in "124"]
    assert [t.get_text() for t in answer(with_axes(results, *lists)).axes[0].get_xticklabels()] == ["none", "encoder"]


def test_a_curve_says_places_in_the_words_of_the_labels_where_they_have_room(results: Results):
    sizes = [4, 16, 64, 256, 1024, 4096]
    numbered = with_axes(results, *({"dataset.fraction": str(n / 4096)} for n in sizes))

    def ticks(*labels: str) -> list[str]:
        figure = answer(dataclasses.replace(numbered, labels=dict(zip(results.variants, labels))))
        check_labels(figure)
        return [text.get_text() for text in figure.axes[0].get_xticklabels()]

    assert ticks(*(f"{n} pics" for n in sizes)) == [f"{n}\npics" for n in sizes]
    plain = ticks()
    assert ticks(*(f"{n} pics" for n in sizes[:-1])) == plain, "one has no label"
    assert ticks(*(f"unspeakably-long-{n}" for n in sizes)) == plain


def test_families_are_named_at_their_points(results: Results):
    families = with_axes(results, *({"architecture": name} for name in ("fcn", "unet", "segnet", "pspnet", "ief", "v")))
    figure = answer(families)
    assert {"fcn", "unet", "segnet", "pspnet", "ief", "v"} <= set(texts(figure))
    assert not figure.legends
    check_labels(figure)


def test_one_variant_has_no_answer(results_of):
    assert drawn("answer", results_of({"net(a=1)": {"miou": [0.5, 0.6]}})) == {}


@pytest.mark.parametrize("name", bundled_names(ROOT / FOLDER))
def test_the_answer_of_every_committed_ablation(name: str, monkeypatch: pytest.MonkeyPatch):
    """It fits a phone, its texts can be read there, and none is cut or lies on another."""
    monkeypatch.chdir(ROOT)
    for figure in drawn("answer", bench.load(name, source=FOLDER / name).results).values():
        assert figure.get_figwidth() == WIDTH
        assert min(text.get_fontsize() for text in visible_texts(figure)) >= SMALLEST
        check_labels(figure)
