"""The project file: where it is found, what it says, and what of it is refused."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import bench
from bench.cli import main
from bench.registry import project as projects
from bench.registry.catalogue import declarations
from bench.registry.project import ProjectError, project, with_project

NETWORK = """
from neighbour import WIDTH

from bench.registry import architecture

@architecture(task="none", source="s")
def mine(*, width: int = 8):
    "A network that imports its neighbour."
    return WIDTH * width
"""
ABLATION = """
question: q
architecture: {architecture}
vary: {{width: [16]}}
metrics: [doubled]
"""
METRIC = """
from bench.registry import metric

@metric(unit="px", better="lower", kind="static")
def doubled(subject):
    "Twice what the network is."
    return 2 * subject.build()
"""
PLAIN = """
def net(*, width: int = 8):
    "A network of a file."
    return width
"""


@pytest.fixture
def folder(tmp_path, monkeypatch, plugins_of_test):
    """A project with plug-ins in a folder of their own, and a folder below; the path and modules are put back."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delenv("FOVBENCH_STORE", raising=False)
    monkeypatch.delenv("FOVBENCH_DATA", raising=False)
    files = {
        "fovbench.toml": 'plugins = ["plugins/*.py", "plain.py"]\n[defaults]\nworkers = 2\n',
        "plugins/network.py": NETWORK,
        "plugins/metric.py": METRIC,
        "neighbour.py": "WIDTH = 8\n",
        "plain.py": PLAIN,
        "other.py": PLAIN,
        "ablations/own.yaml": ABLATION.format(architecture="mine"),
        "ablations/file.yaml": ABLATION.format(architecture="plain.py:net"),
        "ablations/foreign.yaml": ABLATION.format(architecture="other.py:net"),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "below" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("neighbour", None)


def status(capsys, *words):
    code = 0
    try:
        main([str(word) for word in words])
    except SystemExit as end:
        code = end.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_file_is_found_upwards_and_its_paths_are_relative_to_its_folder(folder, monkeypatch):
    (folder / "fovbench.toml").write_text('plugins = ["plain.py"]\ndata = "d"\nstore = "s.sqlite"\nreports = "r"\n')
    monkeypatch.chdir(folder / "below" / "deep")
    its = project()
    places = (its.plugins[0], its.data, its.store, its.reports, its.place("ablations"))
    assert [os.path.normpath(os.path.abspath(place)) for place in places] == [
        str(folder / name) for name in ("plain.py", "d", "s.sqlite", "r", "ablations")
    ]


def test_without_a_file_the_current_folder_is_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    its = project()
    assert (its.file, its.plugins, its.data, its.workers, its.device) == (None, (), None, None, None)
    assert its.store.as_posix() == "results/store.sqlite"
    assert its.place("ablations").as_posix() == "ablations"


@pytest.mark.parametrize(
    ("text", "workers"),
    [("[tool.fovbench.defaults]\nworkers = 3\n", 3), ("[tool.other]\nfovbench = 1\n", 2), ("[tool.ruff]\n", 2)],
)
def test_a_pyproject_counts_where_it_has_our_table_and_the_nearest_file_wins(folder, monkeypatch, text, workers):
    (folder / "below" / "pyproject.toml").write_text(text)
    monkeypatch.chdir(folder / "below" / "deep")
    assert project().workers == workers


def test_fovbench_toml_wins_over_pyproject_in_one_folder(folder):
    (folder / "pyproject.toml").write_text("[tool.fovbench.defaults]\nworkers = 9\n")
    assert project().workers == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("plugin = []", r"fovbench\.toml: there is no key 'plugin', did you mean 'plugins'\?"),
        ("[defaults]\nworker = 2", r"fovbench\.toml: \[defaults\]: there is no key 'worker', did you mean 'workers'\?"),
        ("plugins = 'a.py'", r"fovbench\.toml: 'plugins' takes a list of files and modules, not 'a\.py'"),
        ("plugins = [1]", r"fovbench\.toml: 'plugins' takes a list"),
        ("data = 3", r"fovbench\.toml: 'data' takes a folder, not 3"),
        ("[defaults]\nworkers = 0", r"fovbench\.toml: \[defaults\]: 'workers' takes a number from 1, not 0"),
        ("[defaults]\nworkers = true", r"'workers' takes a number from 1, not True"),
        ("plugins = ['none.py']", r"fovbench\.toml: plug-in 'none\.py': there is no such file"),
        ("plugins = ['none/*.py']", r"fovbench\.toml: plug-in 'none/\*\.py': there is no such file"),
        ("plugins = [", r"fovbench\.toml: not valid TOML: Invalid value"),
    ],
)
def test_what_is_wrong_is_refused_with_the_file_and_what_would_work(folder, capsys, text, message):
    (folder / "fovbench.toml").write_text(text)
    with pytest.raises(ProjectError, match=message):
        project()
    code, out, err = status(capsys, "table", "own")
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_bytes_that_are_no_text_are_refused(folder):
    (folder / "fovbench.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ProjectError, match=r"fovbench\.toml: not UTF-8 text"):
        project()


def test_a_file_of_somebody_else_in_a_folder_above_is_refused(folder, monkeypatch):
    monkeypatch.chdir(folder / "below")
    monkeypatch.setattr(projects.os, "getuid", lambda: 4242, raising=False)
    real = projects.Path.stat
    owners = {folder / "fovbench.toml": 4243, folder / "below": 4242}

    def stat(self, **options):
        fields = list(real(self, **options))
        fields[4] = owners.get(self, fields[4])
        return os.stat_result(fields)

    monkeypatch.setattr(projects.Path, "stat", stat)
    with pytest.raises(ProjectError, match=r"belongs to another user.*\n.*empty fovbench\.toml in your own folder"):
        project()
    owners[folder / "fovbench.toml"] = 4242
    assert project().workers == 2


def test_plugins_of_the_project_come_first_and_once(folder):
    its = tuple(str(folder / name) for name in ("plugins/metric.py", "plugins/network.py", "plain.py"))
    assert with_project(["extra.py", "plain.py", "./plugins/../plain.py", "a.module"]) == (*its, "extra.py", "a.module")


def test_options_win_over_the_file_and_the_file_over_the_default(folder, capsys):
    (folder / "fovbench.toml").write_text('plugins = ["plugins/*.py"]\nstore = "mine.sqlite"\n')
    status(capsys, "run", "own", "--no-report")
    assert (folder / "mine.sqlite").is_file()
    status(capsys, "run", "own", "--no-report", "--store", "other.sqlite")
    assert (folder / "other.sqlite").is_file()
    assert not (folder / "results").exists()


def test_a_run_below_the_project_uses_its_plugins_store_and_reports(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder / "below" / "deep")
    code, out, err = status(capsys, "run", "own")
    assert code == 0, err
    assert out.splitlines()[0] == "q"
    assert "| mine(width=8) (baseline) | 8 | 128 |" in out
    assert out.splitlines()[-1] == "../../reports/site/own/index.html"
    assert (folder / "reports" / "site" / "own" / "index.html").is_file()
    monkeypatch.chdir(folder)
    assert bench.load("own").frame["value"].tolist() == [128, 256]
    assert status(capsys, "plan", "own")[1].splitlines()[-1] == "own: 0 due, 2 cached"
    assert declarations(project().plugins).architectures.get("mine").name == "mine"


def test_a_changed_neighbour_makes_due_what_used_it(folder, capsys):
    code, _, err = status(capsys, "run", "own", "--no-report")
    assert code == 0, err
    (folder / "neighbour.py").write_text("WIDTH = 4\n")
    code = "import sys; from bench.cli import main; main(['why', 'own'])"
    why = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert why.stdout.count("due ") == 2, why.stderr
    assert "neighbour" in why.stdout


def test_a_builder_in_a_plugin_that_the_file_names_may_run_and_no_other(folder, capsys):
    code, out, err = status(capsys, "table", "file", "--debug")
    assert (code, "| plain.py:net(width=8)" in out) == (0, True), err
    code, _, err = status(capsys, "table", "foreign")
    assert code == 2
    assert "'other.py:net' would run code from other.py; allow it with --plugin other.py, or under plugins" in err


def test_the_device_of_the_project_counts_where_the_ablation_names_none(folder):
    (folder / "fovbench.toml").write_text('plugins = ["plugins/*.py"]\n[defaults]\ndevice = "cuda:1"\n')
    from bench.spec.ablation import load

    assert load("own").workload.device == "cuda:1"
    assert load("own", ["workload.device=cpu"]).workload.device == "cpu"
    assert load("fcn_skips").workload.device == "cpu", "an ablation of fovbench has a bundle, measured on a CPU"


def test_ablations_of_fovbench_are_there_in_every_folder_and_own_ones_first(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FOVBENCH_STORE", raising=False)
    code, out, err = status(capsys, "table", "fcn_skips")
    assert code == 0
    assert out.startswith("| variant |")
    assert "FCN-8s" in out
    assert "missing" not in err
    (tmp_path / "ablations").mkdir()
    (tmp_path / "ablations" / "fcn_skips.yaml").write_text("question: mine\narchitecture: fcn\nmetrics: [params]\n")
    assert "| 1" not in status(capsys, "table", "fcn_skips")[1], "its bundle is not that of ours"
    assert "  fcn_skips" in status(capsys, "list", "ablations")[1]
    assert "question: mine" in status(capsys, "show", "fcn_skips")[1]
