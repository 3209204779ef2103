from __future__ import annotations

import dataclasses

import pandas as pd
import pytest
from figure_checks import drawn
from matplotlib.collections import PathCollection

from bench.plots.speed_samples import RASTERISED
from bench.results.results import Results


def points(figure) -> list[PathCollection]:
    return [each for each in figure.axes[0].collections if isinstance(each, PathCollection) and len(each.get_offsets())]


@pytest.mark.parametrize("each", [RASTERISED // 2, RASTERISED // 2 + 1])
def test_more_than_two_thousand_samples_are_a_picture(results_of, each: int):
    samples = [1.0 + i / each for i in range(each)]
    figure = drawn("speed_samples", results_of({f"net(a={i})": {"latency": samples} for i in range(2)}))[
        "latency_samples"
    ]
    assert sum(len(cloud.get_offsets()) for cloud in points(figure)) == 2 * each
    assert all(bool(cloud.get_rasterized()) == (2 * each > RASTERISED) for cloud in points(figure))


def test_throughput_is_drawn_only_without_latency(synthetic: Results):
    rows = synthetic.frame[synthetic.frame["metric"] == "latency"]
    rate = rows.assign(metric="throughput", value=1 / rows["value"], key=rows["key"] + "/t", unit="images/s")
    both = dataclasses.replace(synthetic, frame=pd.concat([synthetic.frame, rate], ignore_index=True))
    assert list(drawn("speed_samples", both)) == ["latency_samples"]
    frame, expected = both.frame, both.expected
    alone = dataclasses.replace(
        both, frame=frame[frame["metric"] != "latency"], expected=tuple(e for e in expected if e[1] != "latency")
    )
    assert list(drawn("speed_samples", alone)) == ["throughput_samples"]
