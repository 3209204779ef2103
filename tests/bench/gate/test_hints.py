"""The commands that a gate prints, and what it does where an ablation cannot be read, of small projects."""

import json
import subprocess

import pytest
from click.testing import CliRunner

from bench import gate_against
from bench.cli import bench
from bench.cli.gating import _readable
from bench.gate.expectations import Check
from bench.gate.hints import hints
from bench.registry.project import project as of_project
from bench.results.history import read
from bench.spec.ablation import AblationError

NETWORK = """
from torch import nn

from bench.registry import architecture


@architecture(task="segmentation", source="a test")
def net(*, width: int = 4) -> nn.Module:
    return nn.Conv2d(3, width, 3)
"""
ABLATION = """
question: Does it go?
source: a test
architecture: net
baseline: {width: 4}
metrics: [params]
workload: {shape: [3, 20, 24]}
"""


def git(*arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A repository whose project lies in a folder with a space and a letter that is no ASCII."""
    folder = tmp_path / "Größe A"
    (folder / "src").mkdir(parents=True)
    (folder / "ablations").mkdir()
    (folder / "fovbench.toml").write_text('plugins = ["src/my net.py"]\n')
    (folder / "src" / "my net.py").write_text(NETWORK)
    (folder / "ablations" / "one.yaml").write_text(ABLATION)
    (folder / ".gitignore").write_text("results/*.sqlite*\n")
    monkeypatch.chdir(folder)
    git("init", "-q")
    assert run("accept", "one").exit_code == 0
    git("add", "-A")
    git("commit", "-qm", "one")
    git("tag", "-a", "v1", "-m", "v1")
    return folder


def run(*arguments):
    return CliRunner().invoke(bench, list(arguments))


def check(verdict, ablation="one", variant="net(width=4)", metric="macs", error=None):
    return Check(ablation, variant, metric, verdict, "1", "2", error)


def shown(checks, *arguments, **options):
    return [str(hint) for hint in hints(checks, *arguments, **options)]


def test_the_command_that_accepts_is_short_and_has_the_options_that_were_given(project):
    assert shown([check("worse")], (), of_project().plugins) == ["to accept what is right: bench accept one"]
    assert shown([check("worse")], ("ablations/one.yaml",), ["other net.py"], ["width=8"]) == [
        "to accept what is right: bench accept ablations/one.yaml --plugin 'other net.py' --set width=8"
    ]
    assert "--plugin" not in run("gate", "one").stderr


def test_the_command_for_a_broken_network_has_the_input_of_the_ablation(project):
    assert shown([check("broken", error="failed: oops")], ()) == [
        "to see where: bench measure net width=4 --shape 3,20,24 --metrics macs --debug"
    ]


def test_an_ablation_without_expectations_is_named(project):
    (project / "ablations" / "two.yaml").write_text(ABLATION)
    done = run("gate")
    assert (done.exit_code, done.stdout) == (0, done.stdout.replace("two", ""))
    assert done.stderr.splitlines() == ["to check ablations without expectations too: bench accept two"]
    assert run("gate", "one").stderr == ""


def test_an_ablation_that_is_gone_is_said_and_the_rest_goes_into_the_history(project):
    assert run("accept", "one").exit_code == 0
    (project / "results" / "expected" / "old.csv").write_text("variant,metric,value\n")
    done = run("gate", "--history", "h.jsonl")
    assert (done.exit_code, "no such ablation any more" in done.stdout) == (4, True)
    assert "to accept that an ablation is gone: rm results/expected/old.csv" in done.stderr
    (entry,) = read([project / "h.jsonl"])
    assert {number.ablation for number in entry.numbers} == {"one"}


@pytest.mark.parametrize("options", [(), ("--against", "HEAD")])
def test_a_plugin_that_cannot_be_read_is_broken_with_a_history_too(project, options):
    (project / "src" / "my net.py").write_text("def (\n")
    done = run("gate", *options, "--history", "h.jsonl")
    assert (done.exit_code, "my net.py:1" in done.stdout) == (4, True), done.output
    assert "nothing is added" in done.stderr
    assert not (project / "h.jsonl").exists()


def test_an_ablation_with_a_claim_is_one_that_can_be_read():
    claim = check("worse", variant="", metric="claim a > b")
    gone = check("missing", "two", variant="", metric="")
    assert _readable([claim, gone], ("one", "ablations/two.yaml")) == ("one",)


DYNAMIC = """
from torch import nn

from bench.registry import architecture


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first = nn.Conv2d(3, width, 3)

    def forward(self, x):
        x = self.first(x)
        return x + 1 if x.mean() > 0 else x


@architecture(task="segmentation", source="a test")
def net(*, width: int = 4) -> nn.Module:
    return Net(width)
"""


def test_a_network_whose_structure_cannot_be_read_is_timed_all_the_same(project):
    (project / "src" / "my net.py").write_text(DYNAMIC)
    git("commit", "-qam", "dynamic")
    (project / "src" / "my net.py").write_text(DYNAMIC.replace("x + 1", "x + 2"))
    outcome = gate_against("HEAD", metrics=("latency",), budget=0.0)
    assert [each.verdict for each in outcome.comparisons] == ["inconclusive"]
    assert (outcome.untimed, outcome.exit_code) == ((), 3)


def test_networks_whose_structure_cannot_be_read_are_not_the_same_by_that(project):
    (project / "src" / "my net.py").write_text(DYNAMIC)
    git("commit", "-qam", "dynamic")
    (project / "ablations" / "one.yaml").write_text(ABLATION.replace("4}", "5}"))
    outcome = gate_against("HEAD", metrics=("latency",), budget=0.0)
    assert {check.verdict for check in outcome.checks} == {"missing", "new"}


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """A repository whose project has no ablations: those of fovbench do not stand in for them."""
    (tmp_path / "fovbench.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "empty")
    return tmp_path


@pytest.mark.parametrize(("command", "purpose"), [("accept --all", "accept"), ("history add", "record")])
def test_all_of_a_project_without_ablations_are_none(empty, command, purpose):
    done = run(*command.split())
    assert (done.exit_code, f"name the ablations to {purpose}" in done.stderr) == (2, True)
    assert not (empty / "results").exists()


def test_without_ablations_nothing_can_be_compared_with_a_revision(empty):
    with pytest.raises(AblationError, match="neither HEAD nor the working tree has a file"):
        gate_against("HEAD")


def test_the_first_ablation_is_new_against_a_revision_without_any(empty):
    (empty / "net.py").write_text(NETWORK)
    (empty / "fovbench.toml").write_text('plugins = ["net.py"]\n')
    (empty / "ablations").mkdir()
    (empty / "ablations" / "one.yaml").write_text(ABLATION)
    assert [(check.ablation, check.verdict) for check in gate_against("HEAD").checks] == [("one", "new")]


def test_a_tag_is_its_commit(project):
    done = run("gate", "--against", "v1", "--json")
    assert json.loads(done.stdout.splitlines()[-1])["against"] == git("rev-parse", "--short", "HEAD")


@pytest.mark.parametrize("metric", ["nosuch", "params"])
def test_a_metric_that_cannot_be_timed_is_refused_where_nothing_is_to_be_timed(project, metric):
    done = run("gate", "--against", "HEAD", "--metrics", metric)
    assert done.exit_code != 0
    assert metric in str(done.exception)


def test_a_file_that_the_revision_lacks_is_new_and_one_of_another_folder_is_found(project, monkeypatch):
    (project / "ablations" / "b c.yaml").write_text(ABLATION)
    (project / "below").mkdir()
    monkeypatch.chdir(project / "below")
    new = run("gate", "../ablations/b c.yaml", "--against", "HEAD", "--metrics", "latency")
    assert new.stdout.startswith("new      b c: 1 variant not in "), new.output
    same = run("gate", "../ablations/one.yaml", "--against", "HEAD", "--metrics", "latency")
    assert (same.exit_code, "not timed: 1 with the same code" in same.stdout) == (0, True), same.output
