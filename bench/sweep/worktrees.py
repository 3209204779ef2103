"""A revision of the project's git repository as files: a worktree that is removed afterwards."""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from bench.registry import RegistryError
from bench.registry.builtin import PACKAGE
from bench.registry.project import project
from bench.sweep.roots import OURS

PREFIX, TREE, LOCK = "fovbench-", "tree", "in_use"
"""A temporary folder PREFIX... has the worktree TREE; its process locks the file LOCK for as long as it lives."""

SHALLOW = "; the clone is shallow, fetch its history: git fetch --unshallow --tags (in CI: fetch-depth: 0)"
"""What helps where a clone has the latest commits alone."""

LINK = "160000"
"""The mode of a submodule in a tree of git."""


class RevisionError(RegistryError):
    """A revision that cannot be checked out or read."""


@dataclass(frozen=True)
class Checkout:
    """The files of one revision: the folder of the project in them, and the root of our packages (empty: as here)."""

    folder: str
    root: str = ""


def here() -> Checkout:
    """The project as it lies in its folder, changes that are not committed included."""
    return Checkout(str(project().folder.resolve()))


@contextlib.contextmanager
def checkout(revision: str) -> Iterator[Checkout]:
    """The project as it is in a revision of its git repository, in a worktree that is removed afterwards.

    Submodules are those of the revision, where this repository has their commits. What killed processes left behind is
    removed first. Raises RevisionError where there is no repository, or no such revision.
    """
    folder = project().folder.resolve()
    top = Path(git(folder, "rev-parse", "--show-toplevel"))
    commit = git(folder, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", missing=revision)
    remove_abandoned(folder)
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as place, _lock(Path(place)):
        tree = Path(place) / TREE
        try:
            git(folder, "worktree", "add", "--detach", "--quiet", str(tree), commit)
            _add_submodules(top, tree)
            below = tree / folder.relative_to(top)
            if not below.is_dir():
                raise RevisionError(f"{revision} has no folder {folder.relative_to(top)}; name a revision that has it")
            yield Checkout(str(below), _root(Path(place), tree, top))
        finally:
            _remove(folder, tree)


def _lock(place: Path) -> FileLock:
    return FileLock(place / LOCK, timeout=0)


def remove_abandoned(folder: Path) -> None:
    """Remove the worktrees of this repository whose process has ended without doing so."""
    lines = git(folder, "worktree", "list", "--porcelain").splitlines()
    for tree in (Path(line.removeprefix("worktree ")) for line in lines if line.startswith("worktree ")):
        if tree.name == TREE and tree.parent.name.startswith(PREFIX) and (tree.parent / LOCK).is_file():
            with contextlib.suppress(Timeout, OSError), _lock(tree.parent):
                _remove(folder, tree)
                shutil.rmtree(tree.parent, ignore_errors=True)


def _remove(folder: Path, tree: Path) -> None:
    """What cannot be removed now is left to the next start, and to git: it must not hide the error that led here."""
    with contextlib.suppress(RevisionError, OSError):
        git(folder, "worktree", "remove", "--force", "--force", str(tree))


def _add_submodules(top: Path, tree: Path) -> None:
    """The files of each submodule at the commit that the revision names; empty where the repository lacks it."""
    entries = [line.split("\t", 1) for line in git(tree, "ls-tree", "-r", "-z", "HEAD").split("\0") if "\t" in line]
    links = [(facts.split()[2], path) for facts, path in entries if facts.startswith(LINK)]
    for commit, path in links:
        if (top / path / ".git").exists():
            done = subprocess.run(["git", "-C", str(top / path), "archive", commit], capture_output=True, check=False)
            if done.returncode == 0:
                with tarfile.open(fileobj=io.BytesIO(done.stdout)) as files:
                    files.extractall(tree / path, filter="data")


def _root(folder: Path, tree: Path, top: Path) -> str:
    """Where the project is fovbench itself: our code of today with the architectures of the revision."""
    if PACKAGE.parent.resolve() != top or not (tree / "architectures").is_dir():
        return ""
    root = folder / "root"
    root.mkdir()
    (root / "bench").symlink_to(PACKAGE)
    for name in (*OURS[1:], "ablations", "results"):
        if (tree / name).exists():
            (root / name).symlink_to(tree / name)
    return str(root)


def commit_of(revision: str) -> str:
    """The short name of a revision's commit. Raises RevisionError."""
    commit = f"{revision}^{{commit}}"  # an annotated tag has a name of its own
    return git(project().folder.resolve(), "rev-parse", "--short", "--verify", "--quiet", commit, missing=revision)


def git(folder: Path, *arguments: str, missing: str = "", none: int = 0) -> str:
    """What a git command prints in a folder. Raises RevisionError; `missing` names the revision that it looks for.

    `none` is a further exit status that says that there is nothing to print.
    """
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise RevisionError("git is not installed, and a revision is read with git") from None
    if done.returncode not in (0, none):
        reason = (done.stderr.strip().splitlines() or [_missing(folder, missing)])[-1]
        raise RevisionError(f"git {arguments[0]}: {reason}")
    return done.stdout.strip()


def _missing(folder: Path, revision: str) -> str:
    shallow = git(folder, "rev-parse", "--is-shallow-repository") == "true"
    return f"there is no revision '{revision}'{SHALLOW if shallow else ''}"
