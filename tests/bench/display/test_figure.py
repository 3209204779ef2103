from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from made_up import axes_of

from bench.display.figure import (
    DASHES,
    WIDTH,
    dashes,
    in_order,
    labels,
    log_ticks,
    names,
    new,
    seaborn,
    styles,
    titles,
    wrapped,
)
from bench.results.results import Results


def of_variants(results: Results, *variants: str, varied: tuple[str, ...]) -> Results:
    """Results of these variants, the baseline first, without measurements."""
    empty = results.frame.iloc[:0].drop(columns=["stride", "skips"])
    more = {"axes": axes_of(*variants), "varied": varied, "frame": empty}
    return dataclasses.replace(results, variants=variants, baseline=variants[0], **more)


def test_many_variants_have_different_looks(synthetic: Results):
    many = of_variants(synthetic, *(f"fcn(stride={i})" for i in range(30)), varied=("stride",))
    assert len({(look["color"], look["marker"]) for look in styles(many).values()}) == 30
    few = of_variants(synthetic, *(f"fcn(stride={i})" for i in range(len(DASHES))), varied=("stride",))
    assert len(set(dashes(few).values())) == len(DASHES)


def test_names_tell_variants_apart(synthetic: Results):
    assert len(set(names(synthetic).values())) == len(synthetic.variants)
    assert names(synthetic)[synthetic.baseline] == "stride=32, skips=false (baseline)"
    assert names(synthetic)["fcn(stride=8,skips=true)"] == "stride=8, skips=true"
    assert "backbone=timm:tf_efficientnetv2_b0.in1k" in labels(synthetic)[synthetic.variants[-1]].split("\n")


def test_an_architecture_is_named_without_its_axis_and_a_baseline_without_all_of_its_axes(synthetic: Results):
    both = "fcn(architecture=fcn,width=1,norm=batch)", "fcn(architecture=fcn,width=1,backbone=lite0)"
    results = of_variants(synthetic, *both, "unet(architecture=unet)", varied=("architecture",))
    assert [*names(results).values()] == ["fcn (baseline)", "fcn, backbone=lite0", "unet"]


def test_with_many_axes_a_name_states_what_differs_from_the_baseline(synthetic: Results):
    variants = "net(a=1,b=1,c=1)", "net(a=2,b=1,c=1)", "net(a=1,b=1,c=3)"
    results = of_variants(synthetic, *variants, varied=("a", "b", "c"))
    assert [*names(results).values()] == ["baseline", "a=2", "c=3"]


def test_variants_are_in_numeric_order(synthetic: Results):
    results = of_variants(synthetic, *(f"net(a={a})" for a in (8, 2, 16, 4)), "other(b=1)", varied=("a",))
    assert in_order(results) == ("net(a=2)", "net(a=4)", "net(a=8)", "net(a=16)", "other(b=1)")
    lists = of_variants(synthetic, *(f"net(a=[{a}])" for a in ("12,1", "2,30", "2,4")), varied=("a",))
    assert [name[7:-2] for name in in_order(lists)] == ["2,4", "2,30", "12,1"]


def test_variants_without_numbers_are_in_the_order_of_the_ablation(synthetic: Results):
    results = of_variants(synthetic, *(f"net(a={a})" for a in ("true", "none", "false")), varied=("a",))
    assert in_order(results) == results.variants


def test_no_line_of_a_title_is_longer_than_its_panel(synthetic: Results):
    assert max(len(line) for title in titles(synthetic, 20).values() for line in title.split("\n")) <= 20
    assert "".join(titles(synthetic, 20)[synthetic.variants[-1]].split()).endswith("tf_efficientnetv2_b0.in1k")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("width=1, norm=batch", ["width=1,", "norm=batch"]),
        ("backbone=timm:net_b0", ["backbone=", "timm:net_b0"]),
        ("a, " + "w" * 15, ["a,", "w" * 12, "w" * 3]),
        ("short", ["short"]),
    ],
)
def test_a_long_word_is_broken_after_a_separator(text: str, lines: list[str]):
    assert wrapped(text, 12, 12).split("\n") == lines


def test_drawing_with_seaborn_leaves_the_random_state_alone():
    np.random.seed(7)
    expected = np.random.uniform()
    np.random.seed(7)
    with seaborn():
        first = np.random.uniform()
    with seaborn():
        assert np.random.uniform() == first
    assert np.random.uniform() == expected


def test_numbers_of_a_logarithmic_axis_do_not_touch() -> None:
    for low, high in ((1, 8), (1, 60), (0.02, 40), (0.01, 9000), (0.07, 0.16), (5.1, 9.7), (40, 49)):
        figure, (axes,) = new(WIDTH, 2.0, "a cost")
        axes.plot([low, high], [1, 2])
        axes.set_xscale("log")
        log_ticks(axes.xaxis)
        figure.draw_without_rendering()
        left, right = axes.get_xlim()
        labels = [label for label in axes.get_xticklabels() if left <= float(label.get_text()) <= right]
        boxes = [label.get_window_extent() for label in labels]
        assert len(boxes) >= 2
        assert all(a.x1 + 3 < b.x0 for a, b in itertools.pairwise(boxes))
