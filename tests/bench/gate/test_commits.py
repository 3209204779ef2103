"""A user's project in a git repository: one commit that changes networks in different ways, and what each change gets.

Each network has a plug-in and an ablation of its own. Effects are large, so that the verdict does not depend on the
load of the machine.
"""

import subprocess
import xml.etree.ElementTree as ET

import pytest
from click.testing import CliRunner

from bench import gate_against
from bench.cli import bench

NETWORK = """
from torch import nn

from bench.registry import architecture


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 2, 1)

    def forward(self, x):
        x = self.first(x)
        {body}
        return self.last(x)


@architecture(task="segmentation", source="a test")
def {name}(*, {axis}: int = 8) -> nn.Module:
    return Net({axis}{more})
"""
ABLATION = """
question: Does it go?
source: a test
architecture: {name}
baseline: {{{axis}: 8}}
metrics: [params, macs]
workload: {{shape: [3, 96, 96]}}
"""
COPIES = "x = [x := x.clone() for _ in range(150)][-1]"
KEPT = "x = sum([x * number for number in range(30)])"
EVERY = {"name": "", "body": "pass", "axis": "width", "more": ""}
BEFORE = {"fast": {"body": COPIES}}
AFTER = {
    "larger": {"more": " * 4"},
    "slow": {"body": COPIES},
    "fast": {},
    "hungry": {"body": KEPT},
    "broken": {"body": "raise ValueError('oops')"},
    "renamed": {"axis": "channels"},
    "same": {},
}
EXPECTED = {
    "same": ("memory", 0, "pass", set()),
    "broken": ("memory", 4, "broken or missing", {("variant", "broken")}),
    "renamed": ("memory", 0, "pass", {("variant", "renamed"), ("memory", "pass")}),
    "larger": ("memory", 1, "regression", {("macs", "worse"), ("params", "worse")}),
    "hungry": ("memory", 1, "regression", {("memory", "regression")}),
    "slow": ("latency", 1, "regression", {("latency", "regression")}),
    "fast": ("latency", 5, "unexpected win", {("latency", "win")}),
}
"""Ablation -> the metric to time, the exit code, the words of the summary, and (metric, verdict) that there must be."""


def write(folder, changes):
    (folder / "ablations").mkdir(exist_ok=True)
    for name in AFTER:
        values = {**EVERY, "name": name, **changes.get(name, {})}
        (folder / f"{name}.py").write_text(NETWORK.format(**values))
        (folder / "ablations" / f"{name}.yaml").write_text(ABLATION.format(**values))


def commit(folder, text):
    for command in (["add", "-A"], ["commit", "-qm", text]):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *command], cwd=folder, check=True)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The repository of two commits. Its store has the static numbers of both: a test only times."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "fovbench.toml").write_text(f"plugins = {[f'{name}.py' for name in AFTER]}\n".replace("'", '"'))
    (folder / ".gitignore").write_text("results/\n__pycache__/\n")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    write(folder, BEFORE)
    commit(folder, "before")
    write(folder, AFTER)
    (folder / "README.md").write_text("documentation\n")
    commit(folder, "after")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        gate_against("HEAD~1", budget=0.0)
    return folder


@pytest.mark.parametrize("name", EXPECTED)
def test_each_change_gets_its_verdict_exit_code_and_summary(project, monkeypatch, tmp_path, name):
    metric, code, words, needed = EXPECTED[name]
    monkeypatch.chdir(project)
    files = ["--summary", str(tmp_path / "s.md"), "--junit", str(tmp_path / "j.xml"), "--annotations", "github"]
    done = CliRunner().invoke(
        bench, ["gate", name, "--against", "HEAD~1", "--metrics", metric, "--budget", "8m", *files]
    )
    assert done.exit_code == code, done.output
    summary = (tmp_path / "s.md").read_text()
    assert words in summary.splitlines()[0]
    cases = ET.parse(tmp_path / "j.xml").findall(".//testcase")
    failing = {case.get("name").rsplit(", ", 1)[1] for case in cases if case.find("failure") is not None}
    assert {m for m, verdict in needed if verdict in ("worse", "regression", "win")} <= failing
    for each, verdict in needed:
        assert f"| {verdict} | `{name}: {name}(" in summary, (each, verdict, summary)
    if name == "same":
        assert "with the same code in both revisions" in summary
    if name == "broken":
        assert "::error file=broken.py,line=14," in done.output
