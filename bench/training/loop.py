"""The training loop: any task, any network, one recipe, the same result for the same seed."""

from __future__ import annotations

import copy
import functools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from bench.hardware.stopwatch import thread_count
from bench.spec.recipe import Recipe
from bench.structure.lazy import has_lazy_parts, materialise
from bench.structure.modes import in_eval, in_training, moved
from bench.training.budget import Served
from bench.training.freezing import by_factor, freeze
from bench.training.modes import MODES, Mode
from bench.training.pace import Clock, Pace, pace_of
from bench.training.precision import admit
from bench.training.processor import why_not

if TYPE_CHECKING:
    from bench.data.examples import Examples

Targets = dict[str, Tensor]
Loss = Callable[[Any, Mapping[str, Tensor]], Tensor]
Progress = Callable[[int, int, float], None]


class Task(Protocol):
    """What the loop needs of a task."""

    @staticmethod
    def prepare(images: Tensor) -> Tensor:
        """Images in bytes as the floats that a network takes."""

    @staticmethod
    def augment(images: Tensor, targets: Mapping[str, Tensor], generator: torch.Generator) -> tuple[Tensor, Targets]:
        """A random augmentation of prepared examples, drawn from `generator`."""

    @staticmethod
    def loss(outputs: Any, targets: Mapping[str, Tensor]) -> Tensor:
        """The number to minimise, unless the network has a `loss(outputs, targets)` of its own.

        A task whose classes can be balanced takes their weights as a third argument, and computes them in
        `class_weights(examples, balance)`.
        """


class Diverged(ArithmeticError):  # noqa: N818 - a name like StopIteration
    """A loss of the training, or a weight after it, is not finite."""

    kind = "diverged"

    def __init__(self, step: int, loss: float) -> None:
        super().__init__(f"diverged at step {step}: loss {loss}")
        self.step, self.loss = step, loss

    def __reduce__(self) -> tuple[type[Diverged], tuple[int, float]]:
        return Diverged, (self.step, self.loss)


@dataclass(frozen=True)
class Trained:
    """A trained network, and the record of its training.

    `curves`: `step`, `loss` (of the step's batch) and `lr`, each of shape (steps,). `mode` is the precision mode of
    the training; `refused` gives for each mode that was requested but not admitted the reason.
    """

    model: nn.Module
    curves: Mapping[str, np.ndarray[Any, Any]]
    seconds: float
    cpu_seconds: float
    mode: str
    steps: int
    refused: Mapping[str, str] = field(default_factory=dict)


def fit(
    model: nn.Module,
    task: type[Task],
    examples: Examples,
    recipe: Recipe,
    *,
    seed: int,
    device: str = "cpu",
    threads: int = 1,
    progress: Progress | None = None,
    cache: Path | None = None,
    runs: int = 1,
    clock: Clock = time.perf_counter,
) -> Trained:
    """Train `model` in place by `recipe`. The result has the model itself, or the average of its weights.

    A recipe without steps (`train: none`) leaves the weights as they are.

    The same seed, threads and mode give the same weights on a CPU. Lazy layers get their parameters from the seed.
    `progress(step, steps, loss)` is called about twice a second. `cache` is the folder of admissions of precision
    modes; None: they are not saved. `runs` are the trainings of this network that share an admission. `clock` gives the
    seconds of a budget of time, which counts neither the admission nor the evaluation.
    Raises Diverged where a loss or a weight is not finite.
    """
    with thread_count(threads), _seeded(seed, device):
        if has_lazy_parts(model):
            materialise(model, [task.prepare(examples.images[:1])])
        if not recipe.trains:
            return _untrained(model, recipe, device)
        model, served = moved(model, device), Served(recipe.steps, runs, recipe.seconds)
        admission = admit(model, examples.images.shape[1:], recipe.batch, device, recipe.mode, cache, served)
        mode = MODES[admission.mode]
        wall, cpu = time.perf_counter(), time.process_time()
        descent = _descent(model, _loss(model, task, examples, recipe, device), recipe, device, mode)
        batches = _batches(task, examples, recipe, device, mode, torch.Generator().manual_seed(seed))
        curves = _descend(descent, batches, pace_of(recipe, clock), device, progress)
    return Trained(
        model=in_eval(descent.result),
        curves=curves,
        seconds=time.perf_counter() - wall,
        cpu_seconds=time.process_time() - cpu,
        mode=mode.name,
        steps=len(curves["step"]),
        refused=admission.refused,
    )


def _untrained(model: nn.Module, recipe: Recipe, device: str) -> Trained:
    """The network as it is, in the precision mode that the recipe names, if the device has it, else in fp32."""
    mode = MODES["fp32" if recipe.mode == "auto" else recipe.mode]
    refused = {mode.name: why} if (why := why_not(mode, device)) else {}
    mode = MODES["fp32"] if refused else mode
    curves: dict[str, np.ndarray[Any, Any]] = {name: np.zeros(0) for name in ("step", "loss", "lr")}
    return Trained(in_eval(moved(model, device, mode.layout)), curves, 0.0, 0.0, mode.name, 0, refused)


@dataclass(frozen=True)
class _Descent:
    """Everything that an optimizer step reads and changes."""

    model: nn.Module
    loss: Loss
    optimizer: torch.optim.Optimizer
    mode: Mode
    device: str
    clip: float
    average: _Average | None

    def step(self, images: Tensor, targets: Targets, rate: float) -> Tensor:
        """One step at learning rate `rate`. Returns the loss before the step, detached."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        with self.mode.autocast(self.device):
            loss = self.loss(self.model(images), targets)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        if self.average:
            self.average.update(self.model)
        return loss.detach()

    @property
    def result(self) -> nn.Module:
        """The trained network: the average of the weights where the recipe asks for one, else the model."""
        return self.average.model if self.average else self.model


class _Average:
    """The exponential moving average of weights and floating-point buffers, such as batch norm's statistics.

    The decay of update n is at most (1 + n) / (10 + n), so that the initial weights have no lasting effect.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model)
        self.model.requires_grad_(False)
        self.decay, self.updates = decay, 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move towards the weights of `model`. Tensors of integers or booleans (a count, a mask) are copied."""
        self.updates += 1
        weight = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        for average, current in zip(_tensors(self.model), _tensors(model), strict=True):
            if average.is_floating_point():
                average.lerp_(current, weight)
            else:
                average.copy_(current)


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    yield from model.parameters()
    yield from model.buffers()


def _loss(model: nn.Module, task: type[Task], examples: Examples, recipe: Recipe, device: str) -> Loss:
    """The network's own loss if it has one, else the task's. Raises ValueError where its classes cannot be balanced."""
    own = getattr(model, "loss", None)
    if not recipe.balance:
        return own if callable(own) else task.loss
    class_weights = getattr(task, "class_weights", None)
    if callable(own) or class_weights is None:
        owner = type(model).__name__ if callable(own) else task.__name__
        raise ValueError(f"balance is {recipe.balance:g}, but the loss of {owner} has no classes to weight")
    weighted: Callable[..., Tensor] = task.loss
    return functools.partial(weighted, weights=class_weights(examples, recipe.balance).to(device))


def _descent(model: nn.Module, loss: Loss, recipe: Recipe, device: str, mode: Mode) -> _Descent:
    model = in_training(moved(model, device, mode.layout))
    freeze(model, recipe.freeze)
    return _Descent(
        model=model,
        loss=loss,
        optimizer=_optimizer(model, recipe),
        mode=mode,
        device=device,
        clip=recipe.clip,
        average=_Average(model, recipe.average) if recipe.average else None,
    )


def _by_decay(trainable: Sequence[Tensor], decay: float) -> tuple[tuple[float, list[Tensor]], ...]:
    return (decay, [p for p in trainable if p.ndim > 1]), (0.0, [p for p in trainable if p.ndim <= 1])


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW, or SGD with momentum. Biases and weights of normalisation (one-dimensional) do not decay."""
    groups = [
        {"params": chosen, "weight_decay": decay, "factor": factor}
        for factor, trainable in by_factor(model, recipe.factors).items()
        for decay, chosen in _by_decay(trainable, recipe.weight_decay)
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, fused=True)
    return torch.optim.AdamW(groups, lr=recipe.lr, betas=(recipe.momentum, 0.999), fused=True)


def _descend(
    descent: _Descent,
    batches: Iterator[tuple[Tensor, Targets]],
    pace: Pace,
    device: str,
    progress: Progress | None,
) -> dict[str, np.ndarray[Any, Any]]:
    """Runs all steps and returns the curves. Raises Diverged."""
    losses = _Losses(pace, every=1 if device == "cpu" else 20, progress=progress)
    rates: list[float] = []
    for rate, (images, targets) in zip(pace.rates(), batches, strict=False):
        rates.append(rate)
        losses.add(descent.step(images, targets, rate))
    losses.finish()
    if not all(bool(t.isfinite().all()) for t in _tensors(descent.result) if t.is_floating_point()):
        raise Diverged(len(rates), losses.values[-1])
    return {"step": np.arange(1, len(rates) + 1), "loss": np.array(losses.values), "lr": np.array(rates)}


class _Losses:
    """The loss of every step. It is fetched from the device every few steps, since each fetch waits for the device."""

    def __init__(self, pace: Pace, every: int, progress: Progress | None) -> None:
        self.values: list[float] = []
        self.pace, self.every, self.waiting = pace, every, list[Tensor]()
        self.progress, self.reported = progress, -math.inf

    def add(self, loss: Tensor) -> None:
        """Raises Diverged at the first loss that is not finite."""
        self.waiting.append(loss)
        if len(self.waiting) == self.every:
            self._fetch()
            self._report(last=False)

    def finish(self) -> None:
        """Fetch what is left when the training is over, and report its end. Raises Diverged."""
        if self.waiting:
            self._fetch()
        self._report(last=True)

    def _fetch(self) -> None:
        for value in torch.stack(self.waiting).tolist():
            self.values.append(value)
            if not math.isfinite(value):
                raise Diverged(len(self.values), value)
        self.waiting.clear()

    def _report(self, last: bool) -> None:
        now, made = time.monotonic(), len(self.values)
        total = made if last else self.pace.total(made)
        if self.progress and (last or (made < total and now - self.reported >= 0.5)):
            self.progress(made, total, self.values[-1])
            self.reported = now


def _batches(
    task: type[Task], examples: Examples, recipe: Recipe, device: str, mode: Mode, generator: torch.Generator
) -> Iterator[tuple[Tensor, Targets]]:
    """Endless batches on the device: gathered as bytes, then prepared and augmented there.

    This runs in the training thread. It takes 4 to 7 % of a step on a CPU, and a second thread gained nothing (105
    against 103 ms for a step of the small FCN-8s, with an idle core); on a GPU the bytes are on the device already.
    """
    images, targets = _near(examples, device)
    for index in shuffled(len(images), recipe.batch, generator):
        chosen = index.to(images.device)
        x = task.prepare(images[chosen].to(device, non_blocking=True))
        y = {name: values[chosen].to(device, non_blocking=True) for name, values in targets.items()}
        if recipe.augment:
            x, y = task.augment(x, y, generator)
        yield x.contiguous(memory_format=mode.layout if x.ndim == 4 else torch.contiguous_format), y


def shuffled(count: int, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Endless batches of indices, int64 (batch,). Each epoch visits every example once, in a new order."""
    order = torch.empty(0, dtype=torch.long)
    while True:
        while len(order) < batch:
            order = torch.cat([order, torch.randperm(count, generator=generator)])
        yield order[:batch]
        order = order[batch:]


def _near(examples: Examples, device: str) -> tuple[Tensor, Mapping[str, Tensor]]:
    """The bytes of all examples: on the GPU where they fit into a quarter of its free memory, else in host memory."""
    tensors = [examples.images, *examples.targets.values()]
    size = sum(t.numel() * t.element_size() for t in tensors)
    if torch.device(device).type != "cuda" or size > torch.cuda.mem_get_info(device)[0] / 4:
        return examples.images, examples.targets
    return examples.images.to(device), {name: t.to(device) for name, t in examples.targets.items()}


@contextmanager
def _seeded(seed: int, device: str) -> Iterator[None]:
    """Seeds torch's own generators, which dropout draws from, and resets them afterwards."""
    gpus = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        torch.manual_seed(seed)
        yield
