"""Real processes that take turns, and a project in a git repository of its own."""

import itertools
import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from bench.cli import bench
from bench.registry import RegistryError
from bench.results.turns import SideError
from bench.sweep.sides import side_of, speed_metric
from bench.sweep.turns import Pair

NETWORK = """
import torch
from torch import nn

from bench.registry import architecture


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.last = nn.Conv2d(width, 2, 1)

    def forward(self, x):
        x = self.first(x)  # first
        return self.last(x)


@architecture(task="segmentation", source="a test")
def tiny(*, width: int = 8) -> nn.Module:
    return Net(width)
"""
ABLATION = """
question: Does it go?
source: a test
architecture: tiny
vary: {width: [16]}
metrics: [params, macs]
workload: {shape: [3, 16, 16]}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "network.py").write_text(NETWORK)
    (tmp_path / "fovbench.toml").write_text('plugins = ["network.py"]\n')
    (tmp_path / "ablations").mkdir()
    (tmp_path / "ablations" / "go.yaml").write_text(ABLATION)
    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    commit()
    return tmp_path


def git(*arguments):
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments], check=True)


def commit():
    git("add", "-A")
    git("commit", "-qm", "a commit")


def change(project, old, new, file="network.py"):
    text = (project / file).read_text()
    assert old in text
    (project / file).write_text(text.replace(old, new))


def command(*arguments):
    """(exit code, objects of stdout) of a command in a process of its own."""
    done = subprocess.run([sys.executable, "-m", "bench.cli", *arguments, "--json"], capture_output=True, text=True)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_a_group_has_two_processes_of_each_side():
    side = side_of("fcn(width=0.125,fc_channels=16)", "A", {"shape": (3, 32, 32)})
    (group,) = itertools.islice(Pair(side, side).groups(), 1)
    assert [[len(twin) for twin in twins] for twins in group.turns] == [[16, 16], [16, 16]]
    assert all(t > 0 for twins in group.turns for twin in twins for turn in twin for t in (*turn.elapsed, *turn.cpu))


def test_a_side_that_cannot_run_is_named_with_its_error():
    side = side_of("fcn(width=0.125,fc_channels=16)", "A", {"shape": (3, 32, 32)})
    wrong = side_of("fcn(width=0.125,fc_channels=16)", "B", {"shape": (4, 32, 32)})
    with pytest.raises(SideError, match="B: failed: RuntimeError"):
        next(Pair(side, wrong).groups())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fcm", "fcn"),
        ("fcn(strid=8)", "stride"),
        ("fcn_skips[stride=9]", "stride"),
        ("fcn(stride=8", "write TARGET"),
    ],
)
def test_what_names_no_network_is_refused_with_what_would_have_worked(text, message):
    with pytest.raises(RegistryError, match=message):
        side_of(text, "A", {})


def test_a_variant_of_an_ablation_is_timed_on_its_workload():
    side = side_of("fcn_skips[stride=8,skips=true]", "A", {"batch": 2})
    assert side.workload.shape == (3, 120, 160)
    assert side.workload.batch == 2
    assert side.variant.values["stride"] == 8


def test_a_metric_that_is_no_speed_is_refused_with_those_that_are():
    with pytest.raises(RegistryError, match="latency"):
        speed_metric("miou", ())


def test_compare_live_ends_with_the_object_of_the_verdict(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(
        NETWORK
        + "\n\ndef one(*, calls: int = 1):\n    return nn.Sequential(*[nn.Conv2d(3, 3, 3, padding=1) for _ in range(calls)])\n"
    )
    monkeypatch.chdir(tmp_path)
    code, rows = command(
        "compare", "--live", "net.py:one", "net.py:one(calls=3)", "--shape", "3,32,32", "--budget", "5m"
    )
    assert code == 0
    assert rows[-1]["verdict"] == "regression"
    assert rows[-1]["ratio"] > 1.5
    assert {"interval", "rounds", "false_alarm_rate", "smallest_detectable"} <= rows[-1].keys()


def test_a_commit_is_judged_by_what_it_changed(project):
    (project / "README").write_text("documentation only")
    commit()
    code, rows = command("gate", "--against", "HEAD~1")
    assert (code, [row["kind"] for row in rows]) == (0, ["summary"])
    assert rows[-1]["unchanged"] == 2

    change(project, "return self.last(x)", "raise ValueError('oops')")
    code, rows = command("gate", "--against", "HEAD")
    assert code == 4
    assert {row["verdict"] for row in rows[:-1]} == {"broken"}
    assert "oops" in rows[0]["error"]
    git("checkout", "-q", ".")

    change(project, "width: [16]", "width: [16, 24]", "ablations/go.yaml")
    code, rows = command("gate", "--against", "HEAD")
    assert (code, rows[0]["verdict"], rows[0]["variant"]) == (0, "new", "tiny(width=24)")
    git("checkout", "-q", ".")

    change(project, "x = self.first(x)  # first", "x = self.first(x) + sum(0 * self.first(x) for _ in range(4))")
    code, rows = command("gate", "--against", "HEAD", "--metrics", "latency", "--budget", "5m")
    timed = [row for row in rows if row["kind"] == "timing"]
    assert code == 1
    assert {row["verdict"] for row in timed} == {"regression"}
    assert any(row["kind"] == "number" and row["metric"] == "macs" and row["verdict"] == "worse" for row in rows)


def test_without_a_repository_or_a_revision_the_message_says_so(tmp_path, monkeypatch, project):
    unknown = CliRunner().invoke(bench, ["gate", "--against", "nowhere"])
    assert unknown.exit_code != 0
    assert "nowhere" in f"{unknown.output}{unknown.exception}"
