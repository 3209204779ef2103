"""Commits of the project's git repository: which one is checked out, and which lie between two."""

from __future__ import annotations

from dataclasses import dataclass

from bench.registry.project import project
from bench.sweep.worktrees import SHALLOW, RevisionError, git

FORMAT = "%H%x00%cI%x00%s%x00%aI"


@dataclass(frozen=True)
class Commit:
    """A commit: its full name, its date (ISO 8601), the first line of its message, and when its author wrote it."""

    name: str
    date: str
    subject: str
    authored: str = ""

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
    """The commits after `good` up to `bad`, the oldest first, along first parents. All of them have `good` in them: of
    a branch that was merged later, the first is the merge.

    Raises RevisionError where `good` is no ancestor of `bad`, or both are the same commit.
    """
    first, last = commit_at(good), commit_at(bad)
    if first.name == last.name:
        raise RevisionError(f"{good} and {bad} are the same commit, {first}")
    if not _is_ancestor(first, last):
        raise RevisionError(_unrelated(good, bad, _is_ancestor(last, first)))
    span = f"{first.name}..{last.name}"
    after = set(_git("rev-list", "--ancestry-path", span).splitlines())
    lines = _git("log", "--first-parent", "--reverse", f"--format={FORMAT}", span).splitlines()
    return [commit for line in lines if (commit := Commit(*line.split("\0"))).name in after]


def _is_ancestor(older: Commit, newer: Commit) -> bool:
    bases = _git("merge-base", "--all", older.name, newer.name, none=1).splitlines()
    return older.name in bases


def _unrelated(good: str, bad: str, reversed_order: bool) -> str:
    if reversed_order:
        return f"{good} comes after {bad}; write the older commit first: {bad} {good}"
    shallow = _git("rev-parse", "--is-shallow-repository") == "true"
    hint = SHALLOW if shallow else ""
    return f"{good} is no ancestor of {bad}, so that no commit between them can be to blame{hint}"


def _git(*arguments: str, missing: str = "", none: int = 0) -> str:
    return git(project().folder.resolve(), *arguments, missing=missing, none=none)
