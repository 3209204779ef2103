"""Benchmark functions of two revisions: which came, went or have another name."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from bench.gate.paired import Comparison


@dataclass(frozen=True)
class Benchmarks:
    """The outcome. `pairs` are (node id before, node id now) of those that both revisions have."""

    pairs: tuple[tuple[str, str], ...]
    new: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def renamed(self) -> tuple[tuple[str, str], ...]:
        return tuple(pair for pair in self.pairs if pair[0] != pair[1])

    def lines(self, passed: Collection[str]) -> Iterator[str]:
        """One line for each that is not in both revisions by the same name, or did not pass and so is not timed."""
        yield from (f"{'renamed':13} {before} -> {now}" for before, now in self.renamed)
        yield from (f"{'missing':13} {node}" for node in self.missing)
        yield from (f"{'new':13} {node}" for node in self.new)
        yield from (f"{'not timed':13} {node}: skipped or failed" for _, node in self.pairs if node not in passed)

    def fails(self, comparisons: list[Comparison]) -> bool:
        """Whether something is missing, broken or slower; what is inconclusive or faster is said and does not fail."""
        return bool(self.missing) or any(each.exit_code in (1, 4) for each in comparisons)


def joined(before: Mapping[str, str], now: Mapping[str, str]) -> Benchmarks:
    """The outer join by node id, then by digest: the same function with another name is renamed."""
    gone = {node: digest for node, digest in before.items() if node not in now}
    pairs: list[tuple[str, str]] = []
    new: list[str] = []
    for node, digest in now.items():
        old = node if node in before else next((name for name, its in gone.items() if digest and its == digest), None)
        gone.pop(old or "", None)
        if old:
            pairs.append((old, node))
        else:
            new.append(node)
    return Benchmarks(tuple(pairs), tuple(new), tuple(gone))
