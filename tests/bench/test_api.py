"""The public Python API: what `import bench` offers, typed and documented."""

from __future__ import annotations

import inspect
import subprocess
import sys
import typing
from pathlib import Path

import pandas as pd
import pytest

import bench
from bench.gate.expectations import ExpectationError, exit_code
from bench.registry import catalogue
from bench.registry.catalogue import CatalogueError
from bench.results.bundle import write
from bench.spec.ablation import AblationError
from tests.bench.bundled import ablation_in, bundle_of

EASY = "question: q?\narchitecture: trivial\nvary: {a: [1, 2]}\nmetrics: [twice, slow]\n"
FUNCTIONS = ("load", "run", "measure", "table", "report", "compare", "gate")


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FOVBENCH_DATA", raising=False)
    (tmp_path / "ablations").mkdir()
    (tmp_path / "ablations" / "easy.yaml").write_text(EASY)
    return tmp_path


@pytest.fixture
def bundled(project):
    """An ablation whose data are absent, with its bundle."""
    write(bundle_of(ablation_in(project)), project / "results" / "reference" / "absent")
    return project


def test_what_load_reads(bundled):
    results = bench.load("absent")
    assert results.notes == (
        "static, speed and accuracy measurements read from results/reference/absent (measured 2026-01-02)",
    )
    assert set(results.frame["metric"]) == {"params", "output_stride", "latency", "miou", "pixel_accuracy"}
    assert len(results.evaluations) == 6
    assert not (bundled / "results" / "store.sqlite").exists()
    other = bench.load("absent", source=Path("results") / "reference" / "absent", settings=["train.steps=7"])
    assert "recipe.steps: 7, not 5" in other.notes[-1]


def test_a_table_is_a_frame_with_exact_numbers_or_text(bundled):
    results = bench.load("absent")
    table = results.table()
    assert isinstance(table, pd.DataFrame)
    scores = results.frame[results.frame["metric"] == "miou"].groupby("variant")["value"]
    for variant, value in table["miou"].items():
        assert value == pytest.approx(scores.mean()[variant], rel=1e-15)
    assert table.loc[table["baseline"], "output_stride"].tolist() == [32]
    assert bench.table("absent").equals(table)
    assert bench.table("absent", "md").startswith("| variant |")
    with pytest.raises(ValueError, match="'xml'"):
        results.table("xml")


def test_run_measures_what_is_missing_and_gate_checks_it(project, plugin):
    results = bench.run("easy", plugins=[plugin], workers=1)
    values = results.frame.set_index(["variant", "metric"])["value"]
    assert values.xs("twice", level="metric").to_dict() == {"trivial(a=0)": 0, "trivial(a=1)": 2, "trivial(a=2)": 4}
    assert values.xs("slow", level="metric").to_dict() == {"trivial(a=0)": 0, "trivial(a=1)": 3, "trivial(a=2)": 6}
    with pytest.raises(ExpectationError, match="bench accept easy"):
        bench.gate("easy", plugins=[plugin])
    folder = project / "expected"
    folder.mkdir()
    numbers = [("trivial(a=0)", 0, 0), ("trivial(a=1)", 3, 2), ("trivial(a=2)", 6, 4)]
    text = "".join(f"{name},slow,{slow}\n{name},twice,{twice}\n" for name, slow, twice in numbers)
    (folder / "easy.csv").write_text("variant,metric,value\n" + text)
    passed = bench.gate(plugins=[plugin], expected=folder)
    assert set(_numbers(passed)["verdict"]) == {"same"}
    assert (passed.exit_code, set(passed.frame["verdict"])) == (4, {"same", "broken"})  # a dict is no network
    (folder / "easy.csv").write_text("variant,metric,value\n" + text.replace("twice,4", "twice,3"))
    failed = bench.gate("easy", plugins=[plugin], expected=folder)
    assert exit_code(check for check in failed.checks if check.verdict != "broken") == 1
    assert _numbers(failed).set_index("verdict").loc["worse", ["expected", "measured"]].tolist() == ["3", "4"]


def _numbers(result):
    """The checks of what the ablation names: `trivial` builds a dict, which the gate calls broken besides."""
    return result.frame[result.frame["verdict"] != "broken"]


def test_gate_measures_what_is_missing(project, plugin):
    (project / "results" / "expected").mkdir(parents=True)
    (project / "results" / "expected" / "easy.csv").write_text("variant,metric,value\ntrivial(a=0),twice,0\n")
    result = bench.gate(plugins=[plugin], workers=1, settings=["metrics=[twice]"])
    assert {(check.variant, check.verdict) for check in result.checks if check.verdict != "broken"} == {
        ("trivial(a=0)", "same"),
        ("trivial(a=1)", "new"),
        ("trivial(a=2)", "new"),
    }
    assert result.exit_code == 4
    assert (project / "results" / "store.sqlite").exists()


def test_measure_gives_a_row_for_each_metric(plugin):
    frame = bench.measure("trivial", metrics=("twice", "deadly"), plugins=[plugin], a=4)
    assert frame.loc["twice", "value"] == 8
    assert frame.loc["deadly", "error"] == "failed: ValueError: four is right out (tests/bench/trivial.py:47)"


def test_compare_gives_a_row_for_every_number(bundled):
    place = bundled / "results" / "reference" / "absent"
    frame = bench.compare(place, place)
    assert set(frame["status"]) == {"same"}
    assert len(frame) == 10


def test_report_and_gate_stay_callable_once_the_packages_of_that_name_are_loaded(bundled):
    code = (
        "import bench; import bench.report.page, bench.gate.expectations, bench.report.table;"
        "print(bench.report('absent')); print(bench.load('absent').report('elsewhere'));"
        "assert bench.report.page.headline and callable(bench.gate);"
        "from bench import gate, report; assert callable(gate) and callable(report)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["reports/site/absent/index.html", "elsewhere/absent/index.html"], done.stderr
    assert (bundled / "elsewhere" / "absent" / "index.html").is_file()


def test_an_unknown_ablation_says_what_would_work(project):
    with pytest.raises(AblationError, match="easy"):
        bench.load("eazy")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_typed_and_documented(name: str):
    plain = bench._SHADOWED.get(name) or getattr(bench, name)
    assert inspect.getdoc(plain)
    hints = plain.__annotations__
    assert {*inspect.signature(plain).parameters, "return"} <= hints.keys()
    assert name in bench.__all__


def test_the_package_is_typed_for_its_users():
    assert (Path(bench.__file__).parent / "py.typed").is_file()
    assert typing.get_type_hints(bench.GateResult)["exit_code"] is int


def test_importing_the_package_is_cheap():
    code = "import sys, bench; sys.exit(bool({'torch', 'pandas', 'numpy', 'matplotlib'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


NOTEBOOK = """
from bench.registry import architecture, metric

@architecture(task="segmentation", source="-")
def sized(*, width: int = {width}):
    "A number of the plug-in's own."
    return width

@metric(unit="", better="lower", kind="static")
def size(subject):
    "What the builder gives."
    return subject.build()
"""


def sizes(plugin: Path) -> list[float]:
    text = "question: q?\narchitecture: sized\nmetrics: [size]\nworkload: {shape: [3, 8, 8]}\n"
    (plugin.parent / "sized.yaml").write_text(text)
    return bench.run("sized.yaml", plugins=[plugin.name], store="sized.sqlite").frame["value"].tolist()


def test_a_plugin_that_is_edited_within_a_session_is_read_anew(project):
    plugin = project / "sized.py"
    plugin.write_text(NOTEBOOK.format(width=4))
    assert sizes(plugin) == [4]
    plugin.write_text(NOTEBOOK.format(width=7))
    assert sizes(plugin) == [7]
    measured = bench.measure("sized", metrics=["size"], shape=(3, 8, 8), plugins=["sized.py"])
    assert measured["value"].tolist() == [7]
    plugin.write_text(NOTEBOOK.format(width=4))
    assert sizes(plugin) == [4]


def test_a_relative_plugin_is_that_of_the_current_folder(project, monkeypatch):
    for width in (4, 7):
        folder = project / str(width)
        folder.mkdir()
        (folder / "sized.py").write_text(NOTEBOOK.format(width=width))
        monkeypatch.chdir(folder)
        assert sizes(folder / "sized.py") == [width]


def test_a_module_of_fovbench_that_changed_within_a_session_is_refused(project, monkeypatch):
    (project / "ablations" / "fcn.yaml").write_text("question: q?\narchitecture: fcn\nmetrics: [params]\n")
    bench.load("fcn")
    path = next(path for path in catalogue.DECLARED if path.stem == "fcn")
    monkeypatch.setitem(catalogue.DECLARED, path, "0" * 64)
    with pytest.raises(CatalogueError, match=r"fcn\.py: changed since this Python session read it; restart Python"):
        bench.load("fcn")
