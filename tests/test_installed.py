"""An installed fovbench, apart from the repository: a wheel is built, a project is made, run, changed and gated."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = (
    "pyproject.toml", "setup.py", "MANIFEST.in", "fovbench.py", "README.md", "LICENSE", "bench", "architectures",
    "ablations", "results/expected", "results/reference",
)  # fmt: skip
BUILD = "from setuptools.build_meta import build_wheel; print(build_wheel('dist'))"
WITHOUT_CACHES = shutil.ignore_patterns("__pycache__", ".*")


@pytest.fixture(scope="session")
def installed(tmp_path_factory) -> Path:
    """The folder of packages of an installation that shares torch and the others with this environment."""
    pytest.importorskip("setuptools", minversion="77", reason="building a wheel needs setuptools>=77")
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False).returncode:
        pytest.skip("installing a wheel needs pip")
    base = tmp_path_factory.mktemp("installed")
    source, packages = base / "source", base / "site-packages"
    for name in SOURCES:
        copy = (source / name).parent
        copy.mkdir(parents=True, exist_ok=True)
        whole = (ROOT / name).is_dir()
        (shutil.copytree if whole else shutil.copy)(
            ROOT / name, source / name, **({"ignore": WITHOUT_CACHES} if whole else {})
        )
    built = finished([sys.executable, "-c", BUILD], source)
    wheel = source / "dist" / built.stdout.splitlines()[-1]
    pip = ["-m", "pip", "install", "--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check"]
    finished([sys.executable, *pip, "--target", packages, wheel], base)
    shutil.rmtree(source)
    return packages


def environment(packages: Path, folder: Path) -> dict[str, str]:
    """That of this process, without anything of the repository and of datasets."""
    names = ("FOVBENCH_DATA", "FOVBENCH_STORE", "FOVBENCH_DEBUG", "PYTHONSAFEPATH")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    return {**kept, "PYTHONPATH": str(packages), "XDG_CACHE_HOME": str(folder.parent / "cache"), "OMP_NUM_THREADS": "1"}


def finished(command: list, folder: Path, **options) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(word) for word in command], cwd=folder, capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="session")
def bench(installed):
    """Runs the installed command in a folder, and gives what it printed."""

    def bench(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, installed / "bin" / "bench", *words]
        return finished(command, folder, env=environment(installed, folder))

    return bench


@pytest.fixture(scope="session")
def project(tmp_path_factory, bench):
    """A project that `bench init` made in an empty folder, after its first run."""
    folder, before = tmp_path_factory.mktemp("user") / "mine", ours()
    folder.mkdir()
    made = bench(folder, "init", "--ci", "github").stdout.splitlines()
    assert sorted(made) == sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    run = bench(folder, "run", "skip")
    assert run.stdout.splitlines()[0].startswith("Does a skip connection sharpen thin stripes")
    assert "| skip | true | 874 (" in run.stdout
    assert run.stdout.splitlines()[-1] == "reports/site/skip/index.html"
    assert (folder / "reports" / "site" / "skip" / "index.html").is_file()
    assert ours() == before, "nothing is written into the repository"
    return folder


def ours() -> dict[Path, int]:
    """The files of the repository where a run could write, with the time of their last change."""
    folders = (ROOT / name for name in ("ablations", "results", "reports"))
    return {path: path.stat().st_mtime_ns for folder in folders for path in folder.rglob("*") if path.is_file()}


def due(bench, folder: Path, ablation: str = "skip") -> set[str]:
    """The metrics of which a measurement is due."""
    lines = bench(folder, "plan", ablation).stdout.splitlines()
    return {line.split()[2] for line in lines if line.startswith("due ")}


STATIC, SCORES = {"params", "macs"}, {"miou", "stripe_recall"}
CHANGES = {
    "network": ("network.py", "nn.MaxPool2d(4)", "nn.AvgPool2d(4)", STATIC | SCORES),
    "neighbour": ("layers.py", "nn.BatchNorm2d(outputs)", "nn.InstanceNorm2d(outputs)", STATIC | SCORES),
    "data": ("stripes.py", "80.0 * labels", "90.0 * labels", SCORES),
    "metric": ("metric.py", "pixels[-1] / pixels.sum()", "1 - pixels[-1] / pixels.sum()", {"stripe_recall"}),
    "recipe": ("ablations/skip.yaml", "steps: 40", "steps: 41", SCORES),
    "comment": ("network.py", "class OwnNet", "# a remark\nclass OwnNet", set()),
}


@pytest.mark.parametrize("part", CHANGES)
def test_each_change_makes_due_what_depends_on_it_and_nothing_else(bench, project, part):
    name, old, new, expected = CHANGES[part]
    text = (project / name).read_text()
    assert text.count(old) == 1
    (project / name).write_text(text.replace(old, new))
    try:
        assert due(bench, project) == expected
    finally:
        (project / name).write_text(text)


CHECKPOINT = """
import sys

import torch
from network import OwnNet

torch.manual_seed(int(sys.argv[1]))
torch.save(OwnNet(True, 8, 2).state_dict(), "start.pt")
"""
SCORED = """
question: How good are these weights?
source: this project
architecture: ownnet
baseline: {skip: true}
metrics: [params, miou]
weights: start.pt
workload: {dataset: stripes, shape: [3, 32, 32]}
train: none
seeds: 1
"""


def test_a_changed_checkpoint_makes_due_what_reads_it_and_nothing_else(bench, project, installed):
    def save(seed: str) -> None:
        finished([sys.executable, "-c", CHECKPOINT, seed], project, env=environment(installed, project))

    save("0")
    (project / "ablations" / "scored.yaml").write_text(SCORED)
    assert due(bench, project, "scored") == {"miou"}, "the parameters were counted for skip"
    bench(project, "run", "scored", "--quiet", "--no-report")
    assert due(bench, project, "scored") == set()
    save("1")
    assert due(bench, project, "scored") == {"miou"}
    assert due(bench, project) == set()
    save("0")
    assert due(bench, project, "scored") == set()


def test_everything_is_stored_and_the_gate_passes_and_fails_where_a_number_changes(bench, project, installed):
    assert due(bench, project) == set()
    assert bench(project / "ablations", "gate").stdout.splitlines()[-1] == "24 of 24 numbers as expected"
    file = project / "results" / "expected" / "skip.csv"
    text = file.read_text()
    file.write_text(text.replace(",params,858", ",params,859"))
    command = [sys.executable, str(installed / "bin" / "bench"), "gate"]
    done = subprocess.run(command, cwd=project, env=environment(installed, project), capture_output=True, check=False)
    file.write_text(text)
    assert done.returncode in (1, 5)


def test_the_repository_is_not_used(bench, project, installed):
    shown = bench(project, "show", "ownnet").stdout
    (line,) = [line for line in shown.splitlines() if line.startswith("ablations: ")]
    assert "skip" in line.split(": ")[1].split(", ")
    code = "import bench, architectures; print(bench.__file__, architectures.__file__)"
    printed = finished([sys.executable, "-c", code], project, env=environment(installed, project)).stdout
    assert [str(installed) in path for path in printed.split()] == [True, True]


def test_ablations_bundles_and_expectations_of_fovbench_are_installed(bench, project):
    assert "  smoke " in bench(project.parent, "list", "ablations").stdout
    table = bench(project.parent, "table", "fcn_skips")
    assert "| FCN-8s |" in table.stdout
    assert "missing" not in table.stderr
    run = bench(project.parent, "run", "smoke", "--only", "params", "--no-report", "--quiet")
    assert "| stride 8 | 8 |" in run.stdout
    assert run.stderr == ""
    assert "numbers as expected" in bench(project.parent, "gate", "fcn_stride").stdout


def test_packages_of_the_user_with_our_names_hide_nothing(bench, project, installed):
    folder = project.parent / "shadowed"
    for name in ("bench", "architectures"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("raise SystemExit('this is the user's own')\n")
    (folder / "random.py").write_text("raise SystemExit('this is the user's own')\n")
    words = ("measure", "dilated_stack", "--metrics", "params", "--shape", "3,32,32")
    assert "parameters" in bench(folder, *words).stdout
    assert "  fcn " in bench(folder, "list", "architectures").stdout
    hiding = {**environment(installed, project), "PYTHONPATH": f"{folder}{os.pathsep}{installed}"}
    (folder / "random.py").unlink()
    command = [sys.executable, installed / "bin" / "bench", *words]
    assert "parameters" in finished(command, project, env=hiding).stdout


def test_a_package_that_was_imported_before_ours_is_named_in_one_line(project, installed):
    folder = project.parent / "before"
    (folder / "bench").mkdir(parents=True)
    (folder / "bench" / "__init__.py").write_text("")
    code = f"""import sys
sys.path.insert(0, {str(folder)!r})
sys.meta_path = [each for each in sys.meta_path if "editable" not in str(each).lower()]  # this environment's own
import bench, fovbench
fovbench.main()
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=project, env=environment(installed, project), capture_output=True, text=True, check=False
    )
    place = folder / "bench" / "__init__.py"
    assert (done.returncode, done.stderr) == (1, f"error: {place} hides fovbench's package 'bench'; rename it\n")
