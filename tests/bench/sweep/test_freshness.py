"""A stored value counts while its code and the files that it was made of are the same; code that ran is code that was
keyed. The plug-ins need no torch: their networks are numbers."""

from __future__ import annotations

import hashlib
import os
import textwrap
from pathlib import Path

import pytest

from bench.registry import RegistryError
from bench.results.bundle import write as write_bundle
from bench.results.frame import load as load_frame
from bench.results.freshness import DIGITS, state
from bench.results.store import Store
from bench.spec import ablation as ablations
from bench.sweep import plan as planning
from bench.sweep.exporting import bundle_of
from bench.sweep.reading import read_results
from bench.sweep.running import measure_static

HEAD = """
import functools, importlib, json, os, pkgutil, sys
from pathlib import Path
from bench.registry import File, architecture, metric

HERE = Path(__file__).parent
"""
NET = """
@architecture(task="none", source="nobody")
def net(*, a: int = 1):
    "A number."
    return a
"""
METRIC = """
@metric(unit="", better=None, kind="static")
def number(subject):
    "A number."
    return {}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder of the run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


@pytest.fixture
def ablation(folder):
    """An ablation of `net`, measured by `number`, of a plug-in with the given text."""

    def ablation(text: str, more: str = "", plugin: str = "plugin.py", metrics: str = "number"):
        write(folder / plugin, HEAD + text)
        lines = f"question: q\narchitecture: net\nmetrics: [{metrics}]\n{more}"
        return ablations.load(write(folder / "q.yaml", lines), (), [str(folder / plugin)])

    return ablation


def values(store) -> list[float]:
    return load_frame(store.path)["value"].tolist()


def statuses(ablation, store) -> list[str]:
    return [planned.status for planned in planning.plan(ablation, store).planned]


def outdated(ablation, store) -> list[str]:
    return [line for planned in planning.plan(ablation, store).planned for line in planned.outdated]


BUILDER = """
@architecture(task="none", source="nobody")
def net(*, weights: str = "w.txt"):
    "A number in a file."
    return int(Path(weights).read_text())
"""
BUILT = METRIC.format("subject.build()")


def test_a_checkpoint_that_changes_makes_its_measurements_due_and_they_are_replaced(folder, ablation, run, store):
    write(folder / "w.txt", "2")
    asked = ablation(BUILDER + BUILT)
    run(asked)
    assert (values(store), statuses(asked, store)) == ([2], ["cached"])
    write(folder / "w.txt", "3")
    assert outdated(asked, store) == ["w.txt: content changed since"]
    run(asked)
    assert (values(store), statuses(asked, store)) == ([3], ["cached"])
    assert len(list(store.parts("net", "number"))) == 2


def test_a_file_that_is_gone_a_link_and_the_same_content_again(folder, ablation, run, store):
    file = write(folder / "w.txt", "2")
    asked = ablation(BUILDER + BUILT)
    run(asked)
    file.unlink()
    assert outdated(asked, store) == ["w.txt: no longer there"]
    write(file, "2")
    os.utime(file, (1, 1))
    assert statuses(asked, store) == ["cached"]
    file.unlink()
    file.symlink_to(write(folder / "other.txt", "4"))
    assert outdated(asked, store) == ["w.txt: content changed since"]
    run(asked)
    assert values(store) == [4]
    write(folder / "other.txt", "5")
    assert statuses(asked, store) == ["due"]


def test_a_missing_file_is_part_of_a_failure(folder, ablation, run, store):
    asked = ablation(BUILDER + BUILT)
    _, outcome = run(asked)
    assert (outcome.failed, statuses(asked, store)) == (1, ["failed"])
    write(folder / "w.txt", "2")
    assert outdated(asked, store) == ["w.txt: was not there"]
    run(asked)
    assert values(store) == [2]


def test_an_absolute_path_outside_the_project(folder, ablation, run, store, tmp_path_factory):
    file = write(tmp_path_factory.mktemp("elsewhere") / "w.txt", "2")
    asked = ablation(BUILDER + BUILT, f"baseline: {{weights: {file}}}\n")
    run(asked)
    write(file, "3")
    assert statuses(asked, store) == ["due"]
    run(asked)
    assert values(store)[-1] == 3


def test_a_file_that_no_python_code_opens_but_an_axis_names(folder, ablation, run, store):
    text = BUILDER.replace("int(Path(weights).read_text())", "os.stat(weights).st_size") + BUILT
    write(folder / "w.txt", "22")
    asked = ablation(text)
    run(asked)
    write(folder / "w.txt", "333")
    assert outdated(asked, store) == ["w.txt: content changed since"]


def test_a_file_that_the_job_writes_is_none_of_its_inputs(folder, ablation, run, store):
    text = BUILDER.replace("return int(Path(weights).read_text())", "Path(weights).write_text('x'); return 1") + BUILT
    asked = ablation(text)
    run(asked)
    write(folder / "w.txt", "y")
    assert statuses(asked, store) == ["cached"]


def test_an_axis_of_the_type_file_is_part_of_the_key(folder, ablation, run, store):
    text = BUILDER.replace("weights: str", "weights: File") + BUILT
    write(folder / "w.txt", "2")
    first = planning.plan(ablation(text), store).keys
    write(folder / "w.txt", "3")
    assert planning.plan(ablation(text), store).keys != first
    run(ablation(text))
    write(folder / "w.txt", "2")
    run(ablation(text))
    assert sorted(values(store)) == [2, 3]
    write(folder / "w.txt", "3")
    assert statuses(ablation(text), store) == ["cached"]
    (folder / "w.txt").unlink()
    with pytest.raises(RegistryError, match=r"axis 'weights' of 'net' names w\.txt: no such file"):
        planning.plan(ablation(text), store)


def test_a_bundle_s_numbers_count_for_the_gate_only_while_their_files_are_the_same(folder, ablation, run, store):
    write(folder / "w.txt", "2")
    asked = ablation(BUILDER + BUILT)
    run(asked)
    bundle, missing = bundle_of(asked, store, None)
    write_bundle(bundle, folder / "results" / "reference" / "q")
    assert (missing, dict(bundle.records[0].measurement.files).keys()) == (0, {"w.txt"})
    with Store(folder / "same.sqlite") as same:
        measure_static([asked], same, workers=1)
        assert [record.created for record in same.records()] == [record.created for record in store.records()]
    write(folder / "w.txt", "3")
    with Store(folder / "other.sqlite") as other:
        measure_static([asked], other, workers=1)
        assert values(other) == [3]
    notes = read_results(asked, store).notes
    assert notes == (
        "1 measurement was made of other files (w.txt: content changed since); measure again: bench run q",
    )


READ = {
    "a metric's data": "json.loads((HERE / 'extra.json').read_text())",
    "executed text": "eval(compile(open('extra.json').read(), 'x', 'eval'))",
    "cached": "table()",
}


@pytest.mark.parametrize("how", READ)
def test_what_a_metric_reads(how, folder, ablation, run, store):
    helper = "@functools.cache\ndef table():\n    return json.loads((HERE / 'extra.json').read_text())\n"
    write(folder / "extra.json", "1")
    asked = ablation(helper + NET + METRIC.format(READ[how]), "vary: {a: [2, 3]}\n")
    run(asked, check_noop=False)
    write(folder / "extra.json", "7")
    assert statuses(asked, store) == ["due"] * 3
    run(asked, check_noop=False)
    assert values(store) == [7] * 3


IMPORTED = {
    "import_module": "importlib.import_module('neighbour').VALUE",
    "__import__": "__import__('neighbour').VALUE",
    "walk": "sum(m.VALUE for m in walked())",
    "package data": "json.loads(importlib.resources.files('pack').joinpath('data.json').read_text())",
}
WALK = """
import importlib.resources
sys.path.insert(0, str(HERE))
def walked():
    return [importlib.import_module(m.name) for m in pkgutil.iter_modules([str(HERE)]) if m.name == "neighbour"]
"""


@pytest.mark.parametrize("how", IMPORTED)
def test_modules_that_are_imported_by_name_and_the_data_of_packages(how, folder, ablation, run, store):
    write(folder / "sub" / "neighbour.py", "VALUE = 1\n")
    write(folder / "sub" / "pack" / "__init__.py", "")
    write(folder / "sub" / "pack" / "data.json", "1")
    asked = ablation(WALK + NET + METRIC.format(IMPORTED[how]), plugin="sub/plugin.py")
    run(asked)
    assert values(store) == [1]
    write(folder / "sub" / "neighbour.py", "VALUE = 7\n")
    write(folder / "sub" / "pack" / "data.json", "7")
    (line,) = outdated(asked, store)
    assert line == f"sub/{'pack/data.json' if 'data' in how else 'neighbour.py'}: content changed since"
    run(asked)
    assert values(store) == [7]


def test_a_module_that_is_imported_within_a_function_is_in_the_key(folder, ablation, store):
    write(folder / "neighbour.py", "VALUE = 1\n")
    text = NET + "def value():\n    import neighbour\n    return neighbour.VALUE\n" + METRIC.format("value()")
    (request,) = planning.plan(ablation(text), store).requests
    assert "neighbour" in request.parts["code"]["metric"]


def test_a_plug_in_in_another_folder_moves_with_its_files(folder, run, store, tmp_path_factory):
    def asked(place: Path):
        write(place / "plugin.py", HEAD + NET + METRIC.format("int((HERE / 'extra').read_text())"))
        lines = "question: q\narchitecture: net\nmetrics: [number]\n"
        return ablations.load(write(folder / "q.yaml", lines), (), [str(place / "plugin.py")])

    one, other = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("other")
    write(one / "extra", "1")
    write(other / "extra", "1")
    run(asked(one))
    (record,) = store.records()
    assert list(record.measurement.files) == ["plugin plugin:extra"]
    assert statuses(asked(other), store) == ["cached"]
    write(other / "extra", "2")
    assert statuses(asked(other), store) == ["due"]


EDIT = """
def edited():
    here = Path(__file__)
    here.write_text(here.read_text().replace("VALUE = 1", "VALUE = 2"))
    return VALUE
"""


def test_a_plug_in_that_is_edited_after_it_was_loaded_is_measured_as_it_was_loaded(folder, ablation, run, store):
    text = "VALUE = 1\n" + EDIT + NET + METRIC.format("edited()")
    asked = ablation(text)
    _, outcome = run(asked)
    assert (outcome.measured, dict(outcome.stale), values(store)) == (1, {}, [1]), "all that ran was the keyed text"
    assert "VALUE = 2" in (folder / "plugin.py").read_text()


def test_code_that_is_edited_between_planning_and_running_is_not_kept_under_the_old_key(folder, ablation, run, store):
    asked = ablation("VALUE = 1\n" + NET + METRIC.format("VALUE"))
    plan = planning.plan(asked, store)
    original = (folder / "plugin.py").read_text()
    write(folder / "plugin.py", original.replace("VALUE = 1", "VALUE = 9"))
    _, outcome = run(asked)
    assert dict(outcome.stale) == {"plugin.py": 1}
    assert (outcome.measured, outcome.left) == (0, 0)
    write(folder / "plugin.py", original.replace("VALUE = 1", "VALUE = ("))
    _, outcome = run(asked)
    assert dict(outcome.stale) == {"plugin.py": 1}
    write(folder / "plugin.py", original)
    assert planning.plan(asked, store).keys == plan.keys
    run(asked)
    assert values(store) == [1]


def test_errors_in_a_bundle_name_no_folder_of_the_machine(ablation, run, store):
    asked = ablation(NET + METRIC.format("open('/somebody/elses/list.txt')"))
    run(asked)
    assert "'/somebody/elses/list.txt'" in store.records()[0].measurement.error
    bundle, _ = bundle_of(asked, store, None)
    assert bundle.records[0].measurement.error.endswith(": '.../list.txt' (plugin.py:16)")


def test_a_process_without_file_descriptors_says_so_and_not_that_the_file_changed(tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "w.pt"
    path.write_text("weights")
    most, highest = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, highest))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            state(path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, highest))
    assert state(path) == hashlib.sha256(b"weights").hexdigest()[:DIGITS]
