"""Benchmark functions of pytest-benchmark in two trees: which there are, and processes of both that take turns."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.results.turns import Group, SideError, Turn
from bench.sweep.benchmark_side import FORBIDDEN, LISTS
from bench.sweep.roots import LIMIT
from bench.sweep.turns import group_of
from bench.sweep.worktrees import Checkout

PIPE = "FOVBENCH_BENCHMARK_PIPE"
"""As `SERVES` of the module fovbench, which is outside of this package."""

TURNS = 8
"""Turns of each process in a group. Its memory layout stays, so that more of them would tell little more."""


@dataclass(frozen=True)
class Tree:
    """Code that pytest runs: its root folder, where modules are looked for, and options of pytest.

    `forbidden` is the folder of the other side, which no module may come from.
    """

    label: str
    folder: str
    path: tuple[str, ...]
    options: tuple[str, ...] = ()
    forbidden: str = ""


def tree_of(checkout: Checkout, here: Path, below: str, options: tuple[str, ...]) -> Tree:
    """The tree of a checkout of the folder `here`; pytest's root lies `below` it."""
    moved = [_moved(entry, checkout.folder, here) for entry in sys.path]
    path = tuple(dict.fromkeys((*([checkout.root] if checkout.root else []), *moved)))
    return Tree("before", str(Path(checkout.folder, below)), path, options, str(here))


def _moved(entry: str, old: str, here: Path) -> str:
    """A folder of modules in the checkout, if it is one of ours; packages that are installed stay."""
    path = Path(os.path.realpath(entry or os.curdir))
    inside = path.is_relative_to(here) and not {"site-packages", "dist-packages"} & set(path.parts)
    return str(old / path.relative_to(here)) if inside else str(path)


def benchmarks_of(tree: Tree, arguments: Sequence[str]) -> dict[str, str]:
    """Node id -> digest of each benchmark function that pytest collects. Raises SideError."""
    with _Pytest(tree, ("--collect-only", *arguments), {LISTS: "1"}) as process:
        listing: dict[str, str] = process.answer()
    return listing


@dataclass(frozen=True)
class BenchmarkPair:
    """A benchmark function in two trees, by its node id in each."""

    trees: tuple[Tree, Tree]
    nodes: tuple[str, str]

    def groups(self) -> Iterator[Group]:
        """Groups without end. Raises SideError for a function that does not run."""
        while True:
            with contextlib.ExitStack() as stack:
                sides = [side for side in zip(self.trees, self.nodes, strict=True) for _ in range(2)]
                yield group_of([stack.enter_context(_Pytest(tree, (node,))) for tree, node in sides], TURNS)


class _Pytest:
    """A process of pytest; ended when the group ends."""

    def __init__(self, tree: Tree, arguments: Sequence[str], variables: dict[str, str] | None = None) -> None:
        ours, theirs = socket.socketpair()
        self._label, self._pipe = tree.label, Connection(ours.detach())
        self._output = tempfile.TemporaryFile()  # noqa: SIM115
        start = [sys.executable, "-P", "-m", "pytest", "-p", "fovbench", f"--rootdir={tree.folder}"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(tree.path), FORBIDDEN: tree.forbidden}
        with theirs:
            self._process = subprocess.Popen(
                [*start, *tree.options, *arguments],
                cwd=tree.folder,
                env={**environment, PIPE: str(theirs.fileno()), **(variables or {})},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> _Pytest:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5.0)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._output.close()

    def ready(self) -> None:
        self.answer()

    def turn(self) -> Turn:
        self._pipe.send(None)
        return Turn(**self.answer())

    def answer(self) -> Any:
        """The next message. Raises SideError."""
        if not self._pipe.poll(LIMIT):
            raise SideError(self._label, f"no answer within {LIMIT:g} s")
        try:
            tag, content = self._pipe.recv()
        except (EOFError, OSError):
            raise SideError(self._label, f"pytest ended without a call of benchmark: {self._last_line()}") from None
        if tag == "failed":
            raise SideError(self._label, content)
        return content

    def _last_line(self) -> str:
        self._process.wait()
        self._output.seek(0)
        lines = self._output.read().decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), f"status {self._process.returncode}")
