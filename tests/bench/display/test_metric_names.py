from __future__ import annotations

from bench.analysis.bounds import Bound
from bench.display.metric_names import best_possible


def test_the_best_score_is_of_any_network_where_nothing_is_known_of_these():
    assert best_possible([Bound(1.0), Bound(1.0)]) == "best of any network (known)"
    assert best_possible([Bound(0.98, "stride 8"), Bound(1.0)]) == "best possible (known)"
