"""`pytest --bench-gate=REV`: verdicts on the benchmark functions of pytest-benchmark, against a revision of git."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from bench.cli.live import Fraction
from bench.gate.benchmarks import Benchmarks, joined
from bench.gate.paired import Comparison, Task, compared
from bench.gate.paired_text import lines
from bench.registry import RegistryError
from bench.registry.project import project
from bench.results.turns import SideError
from bench.stats.paired import Rule
from bench.sweep.benchmark_side import listed, synchronise, uses_gpu
from bench.sweep.benchmarks import BenchmarkPair, Tree, benchmarks_of, tree_of
from bench.sweep.worktrees import checkout

MIB = 2**20


class Gate:
    """The plug-in: the session runs as ever; then each benchmark that passed is timed against the revision."""

    def __init__(self, config: pytest.Config) -> None:
        if config.getoption("--benchmark-only", None) is None:
            raise pytest.UsageError("--bench-gate needs pytest-benchmark: pip install pytest-benchmark")
        if config.getoption("numprocesses", None):
            raise pytest.UsageError("--bench-gate times in one process at a time; add -n0")
        self._tolerance = tolerance(config.getoption("--bench-gate-tolerance"))
        from pytest_benchmark.fixture import BenchmarkFixture

        self._config, self._fixture, self._original = config, BenchmarkFixture, BenchmarkFixture.__call__
        BenchmarkFixture.__call__ = described(BenchmarkFixture.__call__)  # type: ignore[method-assign]
        self._collected: dict[str, str] = {}
        self._passed: set[str] = set()
        self._lines: list[str] = []

    def pytest_unconfigure(self) -> None:
        self._fixture.__call__ = self._original  # type: ignore[method-assign]

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._collected = listed(session.items)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self._passed.add(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Decide; a regression, and what is missing or broken, makes pytest fail."""
        try:
            join, comparisons = self._decided()
        except (RegistryError, SideError) as error:
            self._lines, session.exitstatus = [f"no verdict: {error}"], pytest.ExitCode.USAGE_ERROR
            return
        self._lines = [*join.lines(self._passed), *(line for each in comparisons for line in _indented(each))]
        if join.fails(comparisons) and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.section(f"bench gate against {self._revision}")
        for line in self._lines or ["no benchmark in either revision"]:
            terminalreporter.line(line)

    @property
    def _revision(self) -> str:
        return str(self._config.getoption("--bench-gate"))

    def _decided(self) -> tuple[Benchmarks, list[Comparison]]:
        rule = Rule(tolerance=self._tolerance)
        root, here = self._config.rootpath, project().folder.resolve()
        path = tuple(os.path.abspath(entry) for entry in sys.path)
        with checkout(self._revision) as old:
            before = tree_of(old, here, os.path.relpath(root, here), self._options())
            now = Tree("now", str(root), path, self._options())
            selection = self._selection(Path(before.folder))
            join = joined({} if selection is None else benchmarks_of(before, selection), self._collected)
            pairs = [pair for pair in join.pairs if pair[1] in self._passed]
            tasks = [Task(pair[1], "latency", BenchmarkPair((before, now), pair).groups()) for pair in pairs]
            return join, compared(tasks, rule, self._config.getoption("--bench-gate-budget"))

    def _options(self) -> tuple[str, ...]:
        """Options of the processes: one test in one process, without a cache and a measurement of coverage."""
        further = {"xdist": "-n0", "_cov": "--no-cov"}
        return (
            "-p",
            "no:cacheprovider",
            "-q",
            *(o for p, o in further.items() if self._config.pluginmanager.hasplugin(p)),
        )

    def _selection(self, folder: Path) -> list[str] | None:
        """The -k, -m and paths of this session, as far as the revision has them; None where it has no path of them."""
        chosen = [text for name in ("-k", "-m") if (value := self._config.getoption(name)) for text in (name, value)]
        places = [_relative(each, self._config) for each in self._config.args]
        existing = [each for each in places if (folder / each.split("::")[0]).exists()]
        return [*chosen, *existing] if existing or not places else None


def tolerance(text: str) -> float:
    """`3%` or `0.03` as 0.03. Raises pytest.UsageError with what is one."""
    try:
        return float(Fraction().convert(text, None, None))
    except click.BadParameter as error:
        raise pytest.UsageError(f"--bench-gate-tolerance: {error.message}") from None


def _relative(argument: str, config: pytest.Config) -> str:
    """A path or node id of the command line, relative to the root folder."""
    file, mark, rest = argument.partition("::")
    return f"{os.path.relpath(Path(config.invocation_params.dir, file), config.rootpath)}{mark}{rest}"


def _indented(comparison: Comparison) -> Iterator[str]:
    first, *others = lines(comparison)
    yield first
    yield from (f"  {line}" for line in others)


def described(original: Callable[..., Any]) -> Callable[..., Any]:
    """`benchmark(function, ...)` that waits for the GPU, and says what a torch module in it costs, in `extra_info`."""

    @functools.wraps(original)
    def call(self: Any, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        @functools.wraps(function, updated=())
        def waited(*positional: Any, **named: Any) -> Any:
            result = function(*positional, **named)
            synchronise()
            return result

        result = original(self, waited, *args, **kwargs)
        if any(_is_module(each) for each in _parts(function, args, kwargs)):
            self.extra_info.update(costs(lambda: function(*args, **kwargs)))
        return result

    return call


def _parts(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Any]:
    """The function, what it is bound to or closes over, and its arguments."""
    yield from (function, getattr(function, "__self__", None), getattr(function, "func", None), *args, *kwargs.values())
    for place in getattr(function, "__closure__", None) or ():
        try:
            yield place.cell_contents
        except ValueError:  # a variable that has no value yet
            continue


def _is_module(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def costs(call: Callable[[], object]) -> dict[str, Any]:
    """Multiply-accumulates of convolutions and matrix products, and the memory that a call adds, in MiB."""
    from torch.utils.flop_counter import FlopCounterMode

    from bench.metrics.memory import added

    with FlopCounterMode(display=False) as counter:
        call()
    growth, method = added(call, "cuda" if uses_gpu() else "cpu")
    return {
        "macs": counter.get_total_flops() // 2,
        "memory_added_mib": sorted(growth)[len(growth) // 2] / MIB,
        "memory_method": method,
    }
