"""The elements of one value that can change elements of another, by propagating sets backwards over a tape.

An element belongs to the support if it can change the output for generic weights, in eval mode. Nothing is computed
with tensors: a rule for each operator maps a set of its outputs to the sets of inputs that they read, exactly or as an
upper bound (then the operator is named in `inexact`). An operator without a rule raises StructureError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib import import_module

import numpy as np
import torch

from bench.structure.bits import bounds
from bench.structure.constants import Zeros
from bench.structure.nodes import Node, StructureError, Tape, Value
from bench.structure.terms import Terms, both, of_array, to_array, union

Map = Callable[[Terms, int], Terms]
"""Maps (elements of an output, index of that output) to the elements of one input that they read."""

Rule = Callable[["Supports", Node], list[tuple[int, Map]]]
"""The inputs of a node that are read, each with its map."""

RULES: dict[str, Rule] = {}
RULE_FILES = ("pointwise", "windows", "resample", "views", "mixing", "indexing")
CUTS = ("normalisation", "squeeze_excitation", "attention", "global_pooling")
LIMIT = 4096
"""Number of terms above which a set is replaced by its bounding product, and marked inexact."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule for the operators with these names."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


@dataclass(frozen=True)
class Support:
    """The elements of one value that an output reads. `inexact`: operators whose rule is an upper bound."""

    terms: Terms
    shape: tuple[int, ...]
    inexact: tuple[str, ...] = ()

    def mask(self, axes: Sequence[int]) -> np.ndarray:
        """Boolean array over `axes`: whether some place along the other axes is read."""
        flat = union(tuple(t[a] for a in axes) for t in self.terms)
        return to_array(flat, [self.shape[a] for a in axes])

    def box(self, axes: Sequence[int]) -> tuple[tuple[int, int], ...] | None:
        """The bounding box ((start, stop), ...) over `axes`; None if nothing is read."""
        if not self.terms:
            return None
        ends = [[bounds(t[a]) for t in self.terms] for a in axes]
        return tuple((min(s for s, _ in e), max(s for _, s in e)) for e in ends)


@dataclass
class Supports:
    """The rules of one tape, compiled when first needed and reused for further positions.

    `source`: the value whose elements are read. `cut`: the global edges to leave out (see `CUTS`).
    """

    tape: Tape
    source: int
    cut: frozenset[str] = frozenset()
    _maps: dict[int, list[tuple[int, Map]]] = field(default_factory=dict)
    _structures: dict[int, np.ndarray | None] = field(default_factory=dict)
    _bounded: dict[int, str] = field(default_factory=dict)

    @cached_property
    def live(self) -> frozenset[int]:
        """The values that depend on the source."""
        values = {self.source}
        for node in self.tape.nodes:
            if not values.isdisjoint(node.inputs):
                values.update(node.outputs)
        return frozenset(values)

    def of(self, sink: int, terms: Terms) -> Support:
        """The elements of the source that the elements `terms` of `sink` read."""
        pending: dict[int, Terms] = {sink: terms} if sink in self.live else {}
        inexact: set[str] = set()
        read: Terms = pending.pop(sink, ()) if sink == self.source else ()
        for node in reversed(self.tape.nodes[: self.tape.values[sink].node + 1]):
            for slot, output in enumerate(node.outputs):
                elements = pending.pop(output, None)
                if elements:
                    self._through(node, slot, elements, pending, inexact)
        return Support(read or pending.get(self.source, ()), self.shape(self.source), tuple(sorted(inexact)))

    def _through(self, node: Node, slot: int, elements: Terms, pending: dict[int, Terms], inexact: set[str]) -> None:
        if self.source in node.outputs and node.outputs[slot] == self.source:
            pending[self.source] = elements
            return
        maps = self._maps.get(node.index)
        if maps is None:
            maps = self._maps[node.index] = self._compiled(node)
        for value, function in maps:
            read = function(elements, slot)
            if read and node.index in self._bounded:
                inexact.add(self._bounded[node.index])
            if not read:
                continue
            pending_terms = pending.get(value)
            pending[value] = self._limited(
                read if pending_terms is None else union((*pending_terms, *read)), node, inexact
            )

    def _limited(self, terms: Terms, node: Node, inexact: set[str]) -> Terms:
        if len(terms) <= LIMIT:
            return terms
        inexact.add(f"{node.where()} (a set of {len(terms)} products)")
        hull = list(terms[0])
        for term in terms[1:]:
            hull = [a | b for a, b in zip(hull, term, strict=True)]
        return (tuple(hull),)

    def _compiled(self, node: Node) -> list[tuple[int, Map]]:
        _load_rules()
        rule_of = RULES.get("scatter through a view" if node.role == "scatter" else node.name)
        if rule_of is None and torch.Tag.pointwise in node.op.tags:
            rule_of = RULES["pointwise"]
        if rule_of is None:
            raise StructureError(f"{node.where()} has no rule for its receptive field")
        return [(v, m) for v, m in rule_of(self, node) if v in self.live]

    # -- for rules -----------------------------------------------------------------------------------

    def shape(self, value: int) -> tuple[int, ...]:
        return self.tape.values[value].shape

    def value(self, value: int) -> Value:
        return self.tape.values[value]

    def bounded(self, node: Node) -> None:
        """Mark the rule of `node` as an upper bound."""
        self._bounded[node.index] = node.where()

    @cached_property
    def zeros(self) -> Zeros:
        """The structural zeros of the tape."""
        if "zeros" not in self.tape.scratch:
            self.tape.scratch["zeros"] = Zeros(self.tape)
        zeros: Zeros = self.tape.scratch["zeros"]
        return zeros

    def unknown(self, value: int) -> bool:
        """Whether a value is a constant without data, so that its zeros are unknown."""
        return value in self.zeros.unknown

    def constant(self, value: int) -> torch.Tensor | None:
        """The tensor of a value that depends on buffers only; None for other values."""
        return self.zeros.constant(value)

    def nonzero(self, value: int) -> np.ndarray | None:
        """Where a value is not structurally zero; None if that is everywhere."""
        if value not in self._structures:
            array = (self.zeros.generic(value) != 0).numpy() if self.zeros.has_zeros(value) else None
            self._structures[value] = None if array is None or array.all() else array
        return self._structures[value]

    def finite(self, value: int) -> np.ndarray | None:
        """Where a value is not structurally minus infinity; None if that is everywhere."""
        if not self.zeros.has_infinities(value):
            return None
        array = (self.zeros.generic(value) != -torch.inf).numpy()
        return None if array.all() else array

    def restricted(self, terms: Terms, array: np.ndarray | None) -> Terms:
        """The elements of `terms` where `array` is true."""
        return terms if array is None else both(terms, of_array(array))


@lru_cache(maxsize=1)
def _load_rules() -> None:
    for name in RULE_FILES:
        import_module(f"bench.structure.rules_{name}")
