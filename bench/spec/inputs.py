"""What a network is called with, where that is not one image: the text of `--inputs`, and the workload that has it.

    ids:int64[N,16]<1000, mask:bool[N,16]      two arguments by name: token ids from 0 to 999, and a mask
    float32[N,3,64,64], float32[N,3,64,64]     two arguments by place
    {image:float32[N,3,64,64], size:float32[N,2]}   one argument, a dict of two tensors

N is the batch size. A text without brackets names what gives the inputs: `file.py:example_inputs`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from bench.registry import RegistryError
from bench.spec.dtypes import OF_INPUTS, dtype_named
from bench.spec.workload import Workload

BATCH = "N"
"""The size of a tensor that the batch size stands for."""

TENSOR = re.compile(r"(?P<dtype>[\w.]+)\[(?P<sizes>[^\[\]]*)\](?:<(?P<limit>\d+))?")
NAME = re.compile(r"(?P<name>[A-Za-z_]\w*)\s*:(?P<rest>.*)", re.DOTALL)
EXAMPLE = "ids:int64[N,16]<1000, mask:bool[N,16]"


@dataclass(frozen=True)
class TensorSpec:
    """A tensor of random values. `sizes`: None stands for the batch size. `limit`: integers are below it."""

    dtype: str
    sizes: tuple[int | None, ...]
    limit: int = 2

    def shape(self, batch: int) -> tuple[int, ...]:
        """The sizes at a batch size."""
        return tuple(batch if size is None else size for size in self.sizes)


Spec = TensorSpec | dict[str, Any]
"""A tensor, or a dict of them by name."""


@dataclass(frozen=True)
class Call:
    """The arguments of a network by place and by name."""

    args: tuple[Spec, ...]
    kwargs: dict[str, Spec]


@dataclass(frozen=True)
class WorkloadWithInputs(Workload):
    """A workload whose networks are called with `inputs`, a text of this module, in place of an image of `shape`."""

    inputs: str = ""


def workload_from(values: Mapping[str, Any]) -> Workload:
    """The workload with these fields, with inputs where they are among them."""
    return WorkloadWithInputs(**values) if "inputs" in values else Workload(**values)


def inputs_of(workload: Workload) -> str:
    """The text of the workload's inputs; empty where it has an image of `shape`."""
    return workload.inputs if isinstance(workload, WorkloadWithInputs) else ""


def with_inputs(workload: Workload, inputs: str) -> Workload:
    """The workload with these inputs in place of its shape; the same one where they are empty."""
    values = {each.name: getattr(workload, each.name) for each in fields(Workload)}
    return WorkloadWithInputs(**values, inputs=inputs) if inputs else workload


def is_reference(inputs: str) -> bool:
    """Whether the text names what gives the inputs (`file.py:NAME`), and does not describe them."""
    return "[" not in inputs and "{" not in inputs


def parsed(inputs: str) -> Call:
    """The arguments that a text describes. Raises RegistryError with what would have worked."""
    args: list[Spec] = []
    kwargs: dict[str, Spec] = {}
    for name, spec in _entries(inputs, inputs):
        if not name and kwargs:
            raise _refused(inputs, "an argument without name cannot follow one with a name")
        if name in kwargs:
            raise _refused(inputs, f"'{name}' occurs twice")
        if name:
            kwargs[name] = spec
        else:
            args.append(spec)
    if not args and not kwargs:
        raise _refused(inputs, "there is no tensor")
    return Call(tuple(args), kwargs)


def has_batch(inputs: str) -> bool:
    """Whether a text has a size N, for which the batch size is put in."""
    return bool(re.search(rf"[\[,]\s*{BATCH}\s*[\],]", inputs))


def _entries(text: str, whole: str) -> Iterator[tuple[str, Spec]]:
    for part in _parts(text, whole):
        match = NAME.fullmatch(part)
        name, rest = (match["name"], match["rest"].strip()) if match else ("", part)
        yield name, _spec(rest, whole)


def _spec(text: str, whole: str) -> Spec:
    if text.startswith("{") and text.endswith("}"):
        entries = list(_entries(text[1:-1], whole))
        if not entries or not all(name for name, _ in entries):
            raise _refused(whole, "each tensor in {} needs a name")
        return dict(entries)
    match = TENSOR.fullmatch(text.replace(" ", ""))
    if match is None:
        raise _refused(whole, f"'{text}' is no tensor")
    try:
        dtype = dtype_named(match["dtype"], OF_INPUTS)
    except ValueError as error:
        raise RegistryError(f"--inputs: {error}") from None
    return TensorSpec(dtype, _sizes(match["sizes"], whole), _limit(match["limit"], dtype, whole))


def _sizes(text: str, whole: str) -> tuple[int | None, ...]:
    sizes = [each for each in text.split(",") if text]
    for size in sizes:
        if size != BATCH and not re.fullmatch(r"[1-9]\d{0,8}", size):
            raise _refused(whole, f"'{size}' is no size; write a number from 1, or {BATCH} for the batch size")
    return tuple(None if size == BATCH else int(size) for size in sizes)


def _limit(text: str | None, dtype: str, whole: str) -> int:
    if text is None:
        return 2
    if "int" not in dtype or int(text) < 1:
        raise _refused(whole, f"<{text} is for integers, and 1 or more")
    return int(text)


def _parts(text: str, whole: str) -> Iterator[str]:
    """The parts between commas that stand in no bracket."""
    depth, start = 0, 0
    for place, sign in enumerate(text):
        depth += (sign in "[{") - (sign in "]}")
        if depth < 0:
            raise _refused(whole, f"'{sign}' closes nothing")
        if sign == "," and not depth:
            yield text[start:place].strip()
            start = place + 1
    if depth:
        raise _refused(whole, "a bracket is not closed")
    if text[start:].strip():
        yield text[start:].strip()


def _refused(inputs: str, why: str) -> RegistryError:
    return RegistryError(f"--inputs '{inputs}': {why}; write {EXAMPLE}, or file.py:example_inputs")
