"""Peak memory by kind, estimated from when storages are allocated and freed, without running on data.

Every storage that the forward pass (and, in training, the backward pass) allocates on the meta device is followed
until its last reference is dropped. Autograd's references count: it keeps what the backward pass needs. An `Allocator`
says what a device adds: rounded sizes, and on CUDA the copies that cuDNN makes of a convolution's tensors in another
memory format. Other workspace of kernels (im2col) and memory that an allocator caches are not included. On a CPU,
workspace of convolutions can be a third of the peak in training (timm's convnext_atto, batch 4 at 96 px: 44 MiB without
the weights by torch's profiler, 30 by this estimate). Attention counts as on the meta device: with its L x L scores.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from bench.structure.allocation import EXACT, Allocator, workspace_of, workspace_of_call
from bench.structure.nodes import StructureError, Tape, base_name
from bench.structure.recorder import leaves
from bench.structure.twins import Parts, parameter_twins, standing_in, twin

OPTIMIZER_STATE: Mapping[str, int] = {"adamw": 2, "adam": 2, "sgd": 1, "plain": 0}
"""Tensors in an optimizer's state per parameter: two moments, one momentum, none."""

_NUMBER = "_fovbench_number"
Kind = Literal["forward", "backward", "gradient", "kernels"]


@dataclass(frozen=True)
class Memory:
    """Bytes by kind at the moment of the peak, weights and optimizer state included.

    `activations`: the input and what the forward pass allocates. `workspace`: what the backward pass allocates,
    except gradients of parameters. `kernels`: the copies that a convolution makes of its tensors.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    workspace: int
    kernels: int = 0

    @property
    def peak(self) -> int:
        """Sum of all kinds."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.workspace + self.kernels


def inference(tape: Tape, allocator: Allocator = EXACT) -> Memory:
    """The peak of the recorded forward pass."""
    storages = [s for s in tape.storages if s.kind in ("input", "activation")]
    kernels = _kernels(tape, allocator)
    sums = {m: sum(allocator.size(s.size) for s in storages if _alive(s, m)) for m in {s.born for s in storages}}
    peak = max(sums, key=lambda moment: sums[moment] + kernels.get(moment, 0), default=0)
    weights = sum(allocator.size(s.size) for s in tape.storages if s.kind in ("parameter", "constant"))
    return Memory(weights, 0, 0, sums.get(peak, 0), 0, kernels.get(peak, 0))


def _kernels(tape: Tape, allocator: Allocator) -> dict[int, int]:
    """Bytes of workspace at the moment at which the output of an operator is allocated."""
    spaces: dict[int, int] = {}
    for node in tape.executed:
        if space := workspace_of(tape, node, allocator):
            born = tape.storages[tape.values[node.outputs[0]].storage].born
            spaces[born] = max(space, spaces.get(born, 0))
    return spaces


def _alive(storage: Any, moment: int) -> bool:
    return storage.born <= moment and (storage.died is None or storage.died >= moment)


def training(
    model: torch.nn.Module, shape: Sequence[int], *, optimizer: str = "adamw", allocator: Allocator = EXACT
) -> Memory:
    """The peak of one training step on an input of `shape` (N, C, ...): forward, backward of the sum.

    The optimizer's state counts, as in every step after the first; its temporaries do not. Raises StructureError
    for an unknown optimizer, or if the network cannot run on the meta device.
    """
    if optimizer not in OPTIMIZER_STATE:
        raise StructureError(f"no optimizer '{optimizer}' (there is: {', '.join(OPTIMIZER_STATE)})")
    parts = Parts(model)
    twins = parameter_twins(parts)
    buffers = {b: twin(b) for b in parts.buffers}
    follower = Follower(allocator)
    for tensor in (*twins.values(), *buffers.values()):
        setattr(tensor.untyped_storage(), _NUMBER, -1)
    with standing_in(model, parts, twins, True, buffers):
        _step(model, shape, follower)
    weights = sum(allocator.size(_bytes(t)) for t in (*twins.values(), *buffers.values()))
    trained = sum(allocator.size(_bytes(p)) for p in twins.values() if p.requires_grad)
    follower.mark(p.grad for p in twins.values() if p.grad is not None)
    sums = follower.peak()
    state = OPTIMIZER_STATE[optimizer] * trained
    return Memory(weights, sums["gradient"], state, sums["forward"], sums["backward"], sums["kernels"])


def _step(model: torch.nn.Module, shape: Sequence[int], follower: Follower) -> None:
    floating = (p.dtype for p in model.parameters() if p.is_floating_point())
    x = torch.empty(tuple(shape), device="meta", dtype=next(floating, torch.float32))
    follower.follow(x)
    try:
        with torch.enable_grad(), follower:
            result = model(x)
            outputs = [t for _, t in leaves(result) if t.requires_grad]
            if not outputs:
                raise StructureError("no output of the network depends on a trained parameter")
            loss = outputs[0].sum()
            for t in outputs[1:]:
                loss = loss + t.sum()
            follower.kind = "backward"
            loss.backward()  # type: ignore[no-untyped-call]
    except StructureError:
        raise
    except Exception as error:
        raise StructureError(f"a training step cannot be followed: {type(error).__name__}: {error}") from error


def _bytes(t: torch.Tensor) -> int:
    return t.numel() * t.element_size()


class Follower(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records when storages are allocated and freed."""

    def __init__(self, allocator: Allocator) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kind: Kind = "forward"
        self.kinds: list[Kind] = []
        self.sizes: list[int] = []
        self.events: list[tuple[int, int]] = []
        self.allocator = allocator
        self.alive: list[weakref.ref[Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        reads = any(isinstance(t, torch.Tensor) for t in torch.utils._pytree.tree_leaves((args, kwargs)))
        if "device" in kwargs or not reads:
            kwargs["device"] = torch.device("meta")
            kwargs.pop("pin_memory", None)
        args, kwargs = torch.utils._pytree.tree_map_only(torch.Tensor, _on_meta, (args, kwargs))
        result = func(*args, **kwargs)
        for t in torch.utils._pytree.tree_leaves(result):
            if isinstance(t, torch.Tensor):
                self.follow(t)
        self.compute(workspace_of_call(base_name(func), args, result, self.allocator))
        return result

    def compute(self, space: int) -> None:
        """Record workspace that is freed at once."""
        if space:
            number = len(self.sizes)
            self.kinds.append("kernels")
            self.sizes.append(space)
            self.events += [(number, 1), (number, -1)]

    def follow(self, t: torch.Tensor) -> None:
        """Record the allocation of a new storage, and later its end."""
        storage = t.untyped_storage()
        if hasattr(storage, _NUMBER):
            return
        number = len(self.sizes)
        setattr(storage, _NUMBER, number)
        self.kinds.append(self.kind)
        self.sizes.append(self.allocator.size(storage.nbytes()))
        self.events.append((number, 1))
        self.alive.append(weakref.ref(storage, lambda _: self.events.append((number, -1))))

    def mark(self, gradients: Iterator[torch.Tensor]) -> None:
        """Mark storages as gradients of parameters."""
        for t in gradients:
            self.kinds[getattr(t.untyped_storage(), _NUMBER)] = "gradient"

    def peak(self) -> dict[Kind, int]:
        """Bytes by kind when their sum was largest."""
        now: dict[Kind, int] = {"forward": 0, "backward": 0, "gradient": 0, "kernels": 0}
        best = dict(now)
        for number, change in self.events:
            now[self.kinds[number]] += change * self.sizes[number]
            if sum(now.values()) > sum(best.values()):
                best = dict(now)
        return best


def _on_meta(t: torch.Tensor) -> torch.Tensor:
    return t if t.is_meta else twin(t)
