from __future__ import annotations

from bench.analysis.summary import summarise
from bench.display.figure import names
from bench.display.wording import front_table


def test_a_front_with_every_variant_on_it_ranks_nobody(results_of):
    scores = {"net(a=1)": (0.5, 10.0), "net(a=2)": (0.7, 20.0)}
    both = results_of({n: {"miou": [s, s + 0.01], "params": p} for n, (s, p) in scores.items()})
    assert front_table(summarise(both), names(both)) is None
    scores["net(a=3)"] = (0.4, 30.0)
    three = results_of({n: {"miou": [s, s + 0.01], "params": p} for n, (s, p) in scores.items()})
    table = front_table(summarise(three), names(three))
    assert table is not None
    assert [words[0] for _, words in table.rows][:2] == ["front", "front"]
    assert table.rows[2][1][0] != "front"
