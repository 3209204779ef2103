"""Did an axis do anything, and what else did it move?

Two variants of an ablation whose graphs (in eval and in training mode), own losses, initial parameters and output
on one input are all the same differ in name only: whatever the table would say of the axis between them is noise.
Where they do differ, the *confound ledger* says by how much parameters, multiply-accumulates and receptive
field moved along with the axis that was meant.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from bench.measurement import Variant
from bench.objective import objective
from bench.registry import text_of

if TYPE_CHECKING:
    import torch

    from bench.structure.tape import Tape
    from bench.subject import Subject


class NoEffect(ValueError):  # noqa: N818 - what it says reads as one
    """An axis of an ablation did nothing."""


@dataclass(frozen=True)
class Signature:
    """What a network is. `graph` is empty where it could not be recorded, for the reason in `error`.

    `graph` holds the hashes of the graph in eval and in training mode, `objective` the digest of the network's own
    loss, empty where it has none. `values` is the digest of the
    initial parameters and of the output on one input, read only where two graphs are the same.
    `field` is the receptive field's size in px, None where it is global.
    """

    key: str
    graph: str = ""
    objective: str = ""
    values: str = ""
    params: int = 0
    macs: float = 0.0
    field: Any = None
    error: str | None = None

    def facts(self) -> dict[str, Any]:
        """As JSON, for the store."""
        return asdict(self)


def signature(key: str, subject: Subject) -> Signature:
    """Record the network of `subject`. What cannot be recorded is said, not guessed."""
    model = _built(subject)
    if not any(base.__module__.startswith("torch.nn.") for base in type(model).__mro__):
        return Signature(key, error=f"{type(model).__name__} is no network")

    from bench.metrics.receptive_field import receptive_field
    from bench.structure.costs import costs
    from bench.structure.tape import StructureError, record

    try:
        tape = record(model, (1, *subject.shape))
        graph = graphs(model, tape, subject.shape)
        field = receptive_field(model, subject.shape).size
    except (StructureError, RuntimeError, ValueError) as error:
        return Signature(key, error=(str(error).splitlines() or [type(error).__name__])[0])
    return Signature(
        key,
        graph=graph,
        objective=objective(model),
        params=sum(p.numel() for p in model.parameters()),
        macs=costs(tape).macs,
        field=field,
    )


def graphs(model: torch.nn.Module, tape: Tape, shape: tuple[int, ...]) -> str:
    """The hashes of the graph on `tape`, and in training mode on two inputs of `shape` (C, H, W)."""
    from bench.structure.graph import graph_hash
    from bench.structure.tape import record

    return f"{graph_hash(tape)}/{graph_hash(record(model, (2, *shape), training=True))}"


def _built(subject: Subject) -> Any:
    """The network as its structure is read; where not even torch is imported, what else the builder makes."""
    return subject.structure if "torch" in sys.modules else subject.build()


def values(subject: Subject) -> str:
    """Digest of the initial parameters and buffers, and of the output on one input."""
    import torch
    from torch.utils import _pytree as pytree

    digest = hashlib.sha256()
    with torch.inference_mode():
        output = subject.model(*subject.inputs)
    for tensor in (*subject.model.state_dict().values(), *pytree.tree_leaves(output)):
        if isinstance(tensor, torch.Tensor):
            digest.update(str((tensor.shape, tensor.dtype)).encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def alike(signatures: Mapping[Variant, Signature]) -> list[list[Variant]]:
    """Groups of variants whose recorded graphs, own losses, and values where they were read, are the same."""
    groups: dict[str, list[Variant]] = {}
    for variant, found in signatures.items():
        if found.graph:
            groups.setdefault(f"{found.graph}/{found.objective}/{found.values}", []).append(variant)
    return [group for group in groups.values() if len(group) > 1]


def told(groups: Iterable[Sequence[Variant]], path: str) -> str:
    """The refusal, in one line for each pair that differs in name only, and what would work."""
    lines = [f"{path}: {_difference(group[0], other)}" for group in groups for other in group[1:]]
    rest = f" (and {len(lines) - 1} more pairs)" if len(lines) > 1 else ""
    return f"{lines[0]}{rest}\nexclude one of the two with its reason, or allow it: --allow-noop REASON"


def _difference(one: Variant, other: Variant) -> str:
    axes = [k for k, v in one.axes if other.values.get(k) != v]
    named = " and ".join(f"'{axis}'" for axis in axes)
    moves = ", ".join(f"{k}={text_of(one.values[k])} or {text_of(other.values[k])}" for k in axes)
    return f"axis {named} had no effect: {one.name} is the same network with {moves}"


@dataclass(frozen=True)
class Moved:
    """A line of the confound ledger: a variant's size, and its distance from the baseline where both are known."""

    variant: str
    params: int
    macs: float
    field: Any
    params_change: float | None
    macs_change: float | None
    note: str = ""


def ledger(signatures: Mapping[Variant, Signature], baseline: Variant) -> Iterator[Moved]:
    """One line a variant, in order; changes are relative to the baseline."""
    base = signatures.get(baseline)
    for variant, found in signatures.items():
        yield Moved(
            variant.name,
            found.params,
            found.macs,
            found.field,
            _relative(found.params, base.params if base else 0, found.error),
            _relative(found.macs, base.macs if base else 0, found.error),
            f"not checked: {found.error}" if found.error else "",
        )


def _relative(value: float, base: float, error: str | None) -> float | None:
    return None if error or not base else value / base - 1
