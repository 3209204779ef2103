"""`bench bisect` in a git repository of a user's project."""

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from bench.cli import bench
from bench.sweep.commits import between
from bench.sweep.worktrees import LOCK, PREFIX, TREE, RevisionError, checkout

NETWORK = """
from torch import nn

from bench.registry import architecture


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, x):
        return self.first(x)


@architecture(task="segmentation", source="a test")
def net() -> nn.Module:
    return Net()
"""
SLOW = "[x := x.clone() for _ in range(300)][-1]"


def git(*arguments, folder="."):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, text=True, cwd=folder)
    return done.stdout.strip()


def commit(text, file="README.md", content=None):
    with open(file, "w") as stream:
        stream.write(content or text)
    git("add", "-A")
    git("commit", "-qm", text)
    return git("rev-parse", "HEAD")


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fovbench.toml").write_text('plugins = ["net.py"]\n')
    (tmp_path / ".gitignore").write_text("results/\n__pycache__/\n")
    git("init", "-q", "-b", "main")
    commit("start", "net.py", NETWORK)
    git("tag", "good")
    return tmp_path


def rows(*arguments):
    """(exit code, objects of stdout) of a command in a process of its own."""
    done = subprocess.run([sys.executable, "-m", "bench.cli", *arguments, "--json"], capture_output=True, text=True)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_the_commit_is_found_by_value_and_by_time(project):
    commit("documentation")
    changed = commit("larger and slower", "net.py", NETWORK.replace("self.first(x)", f"self.first({SLOW})"))
    commit("more documentation")
    for metric, sure in (("op_counts", 1.0), ("latency", 0.95)):
        code, lines, errors = rows("bisect", "good", "HEAD", "net", "--metric", metric, "--shape", "3,8,8")
        assert code == 0, errors
        end = lines[-1]
        assert (end["kind"], end["commit"], end["subject"]) == ("summary", changed, "larger and slower")
        assert end["author_date"].startswith("20")
        assert end["sure"] >= sure
        assert [row["verdict"] for row in lines if row["kind"] == "step"] == ["unchanged", "changed"]
    assert end["own"]["ratio"] > 1.5
    assert end["own"]["interval"][0] > 1.03
    assert git("worktree", "list").count("\n") == 0


def test_commits_in_the_wrong_order_and_unrelated_ones_are_refused_with_what_would_work(project):
    git("checkout", "-qb", "side")
    commit("side")
    git("checkout", "-q", "main")
    commit("main")
    for good, bad, words in (
        ("HEAD", "good", "write the older commit first: good HEAD"),
        ("side", "main", "side is no ancestor of main"),
        ("good", "good~0", "are the same commit"),
        ("nowhere", "main", "there is no revision 'nowhere'"),
    ):
        done = CliRunner().invoke(bench, ["bisect", good, bad, "net"])
        assert isinstance(done.exception, RevisionError)
        assert words in str(done.exception)


def test_the_commits_are_those_along_first_parents_that_have_good(project):
    git("checkout", "-qb", "side")
    commit("side 1", "a")
    git("checkout", "-q", "main")
    commit("main 1")
    git("merge", "-q", "-m", "merge", "side")
    commit("main 2")
    assert [c.subject for c in between("good", "main")] == ["main 1", "merge", "main 2"]
    assert [c.subject for c in between("side", "main")] == ["merge", "main 2"]


def test_a_shallow_clone_says_how_to_fetch_its_history(project, tmp_path, monkeypatch):
    good = git("rev-parse", "good")
    commit("one"), commit("two")
    git("clone", "-q", "--depth", "1", f"file://{project}", str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")
    with pytest.raises(RevisionError):
        between(good, "HEAD")
    git("fetch", "-q", "--depth", "1", "origin", good)
    with pytest.raises(RevisionError, match="git fetch --unshallow"):
        between(good, "HEAD")


def worktrees():
    return git("worktree", "list", "--porcelain").count("worktree ")


def removed_before_an_error(folder):
    subprocess.run(["rm", "-rf", folder, ".git/worktrees"], check=True)
    raise ValueError("the first")


def test_a_worktree_is_removed_also_after_an_error_and_an_error_of_its_removal_does_not_hide_the_first(project):
    with pytest.raises(ValueError, match="the first"), checkout("HEAD"):
        raise ValueError("the first")
    assert worktrees() == 1
    with pytest.raises(ValueError, match="the first"), checkout("HEAD") as place:
        removed_before_an_error(place.folder)
    with pytest.raises(KeyboardInterrupt), checkout("HEAD"):
        raise KeyboardInterrupt
    assert worktrees() == 1


def test_what_a_killed_process_left_is_removed_at_the_next_start_and_what_a_living_one_uses_is_not(project, tmp_path):
    script = "import os, signal\nfrom bench.sweep.worktrees import checkout\nwith checkout('HEAD') as place:\n"
    killed = f"{script}    print(place.folder, flush=True)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    left = subprocess.run([sys.executable, "-c", killed], capture_output=True, text=True).stdout.strip()
    assert os.path.isdir(left)
    with checkout("HEAD") as mine:
        assert not os.path.exists(os.path.dirname(left))
        with checkout("HEAD") as other:
            assert os.path.isdir(mine.folder)
            assert mine.folder != other.folder
    assert worktrees() == 1
    own = tmp_path / f"{PREFIX}own" / TREE
    git("worktree", "add", "--detach", str(own))
    with checkout("HEAD"):
        assert own.is_dir(), f"a worktree without {LOCK} is not ours"


def test_a_submodule_is_checked_out_as_the_revision_names_it(project, tmp_path):
    layers = tmp_path / "layers"
    layers.mkdir()
    git("init", "-q", folder=layers)
    for number in (1, 2):
        (layers / "layer.py").write_text(f"NUMBER = {number}\n")
        git("add", "-A", folder=layers)
        git("commit", "-qm", "layer", folder=layers)
    allowed = ("-c", "protocol.file.allow=always")
    git(*allowed, "submodule", "--quiet", "add", f"{layers}/.git", "sub")
    git("checkout", "-q", "HEAD~1", folder="sub")
    commit("with the first layer")
    git("checkout", "-q", "-", folder="sub")
    commit("with the second layer")
    for revision, number in (("HEAD", 2), ("HEAD~1", 1)):
        with checkout(revision) as place, open(f"{place.folder}/sub/layer.py") as file:
            assert file.read() == f"NUMBER = {number}\n"
    assert worktrees() == 1
