"""Places where torch.compile cannot follow a network, so that Python runs between its graphs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from bench.hardware.subject import Subject
from bench.registry import metric
from bench.registry.errors import DoesNotApplyError
from bench.results.measurement import Reading


@metric(unit="breaks", better="lower", kind="static", display_name="graph breaks", bounds=(0, None))
def graph_breaks(subject: Subject) -> Reading:
    """Graph breaks of torch.compile in one forward pass: 0 for a network that is one graph. Measured on the CPU.

    Detail: the graphs, the operators in them, and why each break is one. A part that torch.compile leaves to Python as
    a whole, such as a loop with a break in it, counts as one. Nothing is compiled to machine code.
    """
    import torch
    from torch._dynamo.eval_frame import is_dynamo_supported

    if not is_dynamo_supported():
        raise DoesNotApplyError("torch.compile does not support this version of Python or this platform")
    own = replace(subject, device="cpu")
    with torch.no_grad():
        own.model(*own.inputs)  # what fails without torch.compile is the network's own error
        graphs, operators, reasons = _explained(own)
        reasons = reasons or _why_not_whole(own)
    torch._dynamo.reset()
    return Reading(len(reasons), {"graphs": graphs, "operators": operators, "reasons": "; ".join(reasons)})


def _explained(subject: Subject) -> tuple[int, int, list[str]]:
    """(graphs, operators in them, a text for each break).

    Of breaks torch counts those at what it does not support, and gives the place of those with a graph before them.
    """
    from torch._dynamo import explain
    from torch._dynamo.utils import counters

    counters["graph_break"].clear()
    result = explain(subject.model)(*subject.inputs)
    counted = {_first_line(text): number for text, number in counters["graph_break"].items()}
    placed = [(_first_line(each.reason), _place(each.user_stack)) for each in result.break_reasons]
    texts = [f"{reason}{place}" for reason, place in placed]
    for reason, number in counted.items():
        texts += [reason] * (number - sum(each == reason for each, _ in placed))
    return result.graph_count, result.op_count, sorted(texts)


def _why_not_whole(subject: Subject) -> list[str]:
    """Why a network without a break that torch counts is not one graph; empty for one that is."""
    import torch

    torch._dynamo.reset()
    try:
        torch.compile(subject.model, backend="eager", fullgraph=True)(*subject.inputs)
    except torch._dynamo.exc.TorchDynamoException as error:
        return [_first_line(str(error))]
    return []


def _place(stack: Any) -> str:
    """` in forward: if x.sum() > 0:`; without the number of the line, which other changes of the file move."""
    return next(_where(frame) for frame in reversed(stack)) if stack else ""


def _where(frame: Any) -> str:
    return f" in {frame.name}: {frame.line.strip()}" if frame.line else f" in {frame.name}"


def _first_line(text: str) -> str:
    return next(_lines(text), "no reason")


def _lines(text: str) -> Iterator[str]:
    yield from (line.strip() for line in text.splitlines() if line.strip())
