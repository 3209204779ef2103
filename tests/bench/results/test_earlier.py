from __future__ import annotations

from pathlib import Path

import pytest

from bench.results.earlier import earlier_scores

ROWS = """variant,metric,kind,seed,value
net(a=1),miou,accuracy,0,0.5
net(a=1),miou,accuracy,1,0.6
net(a=1),params,static,,7
net(a=2),miou,accuracy,0,
"net(a=1,train.lr=0.1)",miou,accuracy,1000000,0.4
other(a=1),miou,accuracy,0,0.1
"""


def test_scores_of_an_architecture_are_read_from_every_bundle_where_they_show_a_spread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    for name in ("first", "second"):
        folder = tmp_path / "results" / "reference" / name
        folder.mkdir(parents=True)
        (folder / "meta.json").write_text("{}", encoding="utf-8")
        (folder / "measurements.csv").write_text(ROWS, encoding="utf-8")
    scores = earlier_scores("net", "miou")
    assert {key: scores[key] for key in scores if key[0] in ("first", "second")} == {
        ("first", "net(a=1)"): [0.5, 0.6],
        ("second", "net(a=1)"): [0.5, 0.6],
    }
    assert earlier_scores("nothing", "miou") == {}
