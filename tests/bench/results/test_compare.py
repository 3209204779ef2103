from dataclasses import replace

import pytest

from bench.cli import main
from bench.results.compare import CompareError, Entry, compare, read
from bench.results.measurement import Measurement
from bench.results.store import Store
from bench.spec.variant import Variant
from bench.spec.workload import Workload

WORK = Workload("segmentation", "context", (), (3, 8, 8), 1)
ONE = Measurement("k", Variant("net", (("a", 1),), ("a",)), WORK, "miou", "", "higher", (0.5,), False, 0, 1.0, {})


def test_nothing_is_dropped():
    a = {
        ("x", "m"): Entry(1.0),
        ("y", "m"): Entry(2.0),
        ("z", "m"): Entry(None, error="oom: x"),
        ("w", "m"): Entry(None),
    }
    b = {
        ("x", "m"): Entry(1.0),
        ("y", "m"): Entry(2.5),
        ("z", "m"): Entry(1.0),
        ("w", "m"): Entry(None),
        ("v", "m"): Entry(1.0),
    }
    lines = {line.variant: (line.status, line.change) for line in compare(a, b)}
    assert lines == {
        "x": ("same", 0.0),
        "y": ("differs", 0.5),
        "z": ("error", None),
        "w": ("not measured", None),
        "v": ("only in B", None),
    }
    assert {line.variant: line.status for line in compare(b, a)}["v"] == "only in A"


def test_a_store_reads_as_means_over_seeds(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        cells = [
            ONE,
            replace(ONE, key="k2", seed=1, samples=(0.7,)),
            replace(ONE, key="k3", seed=2, samples=(), error="oom: x"),
        ]
        store.add([(m, "accuracy", {}) for m in cells])
    ((pair, entry),) = read(tmp_path / "s.sqlite").items()
    assert pair == ("net(a=1) @ context 3x8x8", "miou")
    assert (entry.value, entry.count, entry.error) == (pytest.approx(0.6), 2, "oom: x")


def test_a_table_reads_back(tmp_path):
    (tmp_path / "t.csv").write_text(
        "variant,params,params_unit,params_error\nnet,7,parameters,\nbig,,parameters,oom: x\n"
    )
    assert read(tmp_path / "t.csv") == {("net", "params"): Entry(7.0), ("big", "params"): Entry(None, 1, "oom: x")}


@pytest.mark.parametrize(
    ("name", "text", "told"), [("no.csv", None, "no such result set"), ("t.csv", "a,b\n1,2\n", "no table")]
)
def test_what_is_no_result_set_is_refused(tmp_path, name, text, told):
    if text:
        (tmp_path / name).write_text(text)
    with pytest.raises(CompareError, match=told):
        read(tmp_path / name)


def test_the_command_prints_every_line_and_a_count(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("variant,params,params_unit\nnet,7,\nold,1,\n")
    (tmp_path / "b.csv").write_text("variant,params,params_unit\nnet,8,\n")
    main(["compare", str(tmp_path / "a.csv"), str(tmp_path / "b.csv")])
    told = capsys.readouterr().out
    assert "differs   net  params  7 -> 8 (+1)" in told
    assert "only in A old" in told
    assert told.splitlines()[-1] == "1 differs, 1 only in A"
