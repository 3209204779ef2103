from __future__ import annotations

import dataclasses

from figure_checks import drawn, texts

from bench.analysis.summary import summarise
from bench.plots.receptive_field_paths import path_sizes
from bench.results.results import Results


def test_global_paths_are_named(synthetic: Results):
    detail = {"paths": {"pool4": None, "tall": [3, 9]}}
    aggregate = summarise(synthetic).aggregates[synthetic.baseline, "receptive_field"]
    sizes = path_sizes(dataclasses.replace(aggregate, details=(detail,)))
    assert sizes == {"whole network": 404.0, "pool4": None, "tall": 9.0}
    frame = synthetic.frame.copy()
    chosen = (frame["metric"] == "receptive_field") & frame["detail"].map(lambda d: bool(d.get("paths")))
    frame.loc[chosen, "detail"] = frame.loc[chosen, "detail"].map(lambda _: detail)
    (figure,) = drawn("receptive_field_paths", dataclasses.replace(synthetic, frame=frame)).values()
    assert "404 · global · 9" in texts(figure)


def test_where_all_are_the_same_there_is_no_figure(synthetic: Results):
    frame = synthetic.frame.assign(detail=[{}] * len(synthetic.frame))
    assert drawn("receptive_field_paths", dataclasses.replace(synthetic, frame=frame)) == {}
