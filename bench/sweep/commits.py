"""Commits of the project's git repository: which one is checked out, and which lie between two."""

from __future__ import annotations

from dataclasses import dataclass

from bench.registry.project import project
from bench.sweep.revision import RevisionError, git

FORMAT = "%H%x00%cI%x00%s"


@dataclass(frozen=True)
class Commit:
    """A commit: its full name, its date (ISO 8601) and the first line of its message."""

    name: str
    date: str
    subject: str

    @property
    def short(self) -> str:
        return self.name[:10]

    def __str__(self) -> str:
        return f"{self.short} {self.subject}"


def commit_at(revision: str = "HEAD") -> Commit:
    """The commit of a revision. Raises RevisionError where there is no repository, or no such revision."""
    full = _git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", missing=revision)
    return Commit(*_git("show", "-s", f"--format={FORMAT}", full).split("\0"))


def is_changed() -> bool:
    """Whether tracked files of the working tree differ from the commit that is checked out."""
    return bool(_git("status", "--porcelain", "--untracked-files=no"))


def between(good: str, bad: str) -> list[Commit]:
    """The commits after `good` up to `bad`, the oldest first, along first parents.

    Raises RevisionError where `good` is no ancestor of `bad`, or both are the same commit.
    """
    first, last = commit_at(good), commit_at(bad)
    lines = _git("log", "--first-parent", "--reverse", f"--format={FORMAT}", f"{first.name}..{last.name}").splitlines()
    ancestor = _git("merge-base", first.name, last.name)
    if not lines or ancestor != first.name:
        shallow = _git("rev-parse", "--is-shallow-repository") == "true"
        hint = "; the clone is shallow, fetch its history: git fetch --unshallow" if shallow else ""
        raise RevisionError(f"{good} is no ancestor of {bad}, so that no commit between them can be to blame{hint}")
    return [Commit(*line.split("\0")) for line in lines]


def _git(*arguments: str, missing: str = "") -> str:
    return git(project().folder.resolve(), *arguments, missing=missing)
