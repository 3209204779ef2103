"""The training loop: any task, any network, one recipe, the same result for the same seed."""

from __future__ import annotations

import copy
import functools
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
from bench.training.execution import EXECUTIONS, Execution, compiled, recorded
from bench.training.feeding import ahead
from bench.training.freezing import by_factor, freeze
from bench.training.losses import Diverged, Losses, Progress
from bench.training.modes import MODES, Mode
from bench.training.pace import Clock, Pace, pace_of
from bench.training.precision import admit
from bench.training.processor import why_not
from bench.training.step_admission import Step, admit_execution

if TYPE_CHECKING:
    from bench.data.examples import Examples

Targets = dict[str, Tensor]
Loss = Callable[[Any, Mapping[str, Tensor]], Tensor]


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


@dataclass(frozen=True)
class Trained:
    """A trained network, and the record of its training.

    `curves`: `step`, `loss` (of the step's batch) and `lr`, each of shape (steps,). `mode` is the precision mode of
    the training, `execution` how its steps were executed; `refused` gives for each mode and execution that was
    requested but not admitted the reason.
    """

    model: nn.Module
    curves: Mapping[str, np.ndarray[Any, Any]]
    seconds: float
    cpu_seconds: float
    mode: str
    steps: int
    refused: Mapping[str, str] = field(default_factory=dict)
    execution: str = "eager"


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
    modes and executions; None: they are not saved. `runs` are the trainings of this network that share an admission.
    `clock` gives the seconds of a budget of time, which counts neither the admission nor the evaluation.
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
        loss = _loss(model, task, examples, recipe, device)
        batches_to_try = functools.partial(_tried_batches, task, examples, recipe, mode)
        step = Step(model, _sendable(loss, model), mode.name, device, batches_to_try)
        executed = admit_execution(step, recipe.execution, cache, served)
        wall, cpu = time.perf_counter(), time.process_time()
        descent = _descent(model, loss, recipe, device, mode, EXECUTIONS[executed.execution])
        batches = ahead(_batches(task, examples, recipe, device, mode, torch.Generator().manual_seed(seed)), device)
        curves = _descend(descent, batches, pace_of(recipe, clock), device, progress)
    return Trained(
        model=in_eval(descent.result),
        curves=curves,
        seconds=time.perf_counter() - wall,
        cpu_seconds=time.process_time() - cpu,
        mode=mode.name,
        steps=len(curves["step"]),
        refused={**admission.refused, **executed.refused},
        execution=executed.execution,
    )


def _untrained(model: nn.Module, recipe: Recipe, device: str) -> Trained:
    """The network as it is, in the precision mode that the recipe names, if the device has it, else in fp32."""
    mode = MODES["fp32" if recipe.mode == "auto" else recipe.mode]
    refused = {mode.name: why} if (why := why_not(mode, device)) else {}
    mode = MODES["fp32"] if refused else mode
    curves: dict[str, np.ndarray[Any, Any]] = {name: np.zeros(0) for name in ("step", "loss", "lr")}
    return Trained(in_eval(moved(model, device, mode.layout)), curves, 0.0, 0.0, mode.name, 0, refused)


@dataclass(frozen=True)
class _Work:
    """What a device does in an optimizer step; all of it may be recorded."""

    model: nn.Module
    objective: Loss
    optimizer: torch.optim.Optimizer
    clip: float

    def __call__(self, images: Tensor, targets: Targets) -> Tensor:
        """One step at the optimizer's learning rates. Returns the loss before the step, detached."""
        loss = self.objective(images, targets)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        return loss.detach()


@dataclass(frozen=True)
class _Descent:
    """Everything that an optimizer step reads and changes. `work` is the step, perhaps recorded."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    work: Callable[[Tensor, Targets], Tensor]
    average: _Average | None

    def step(self, images: Tensor, targets: Targets, rate: float) -> Tensor:
        """One step at learning rate `rate`. Returns the loss before the step, detached."""
        for group in self.optimizer.param_groups:
            _set_rate(group, rate * group["factor"])
        loss = self.work(images, targets)
        if self.average:
            self.average.update(self.model)
        return loss

    @property
    def result(self) -> nn.Module:
        """The trained network: the average of the weights where the recipe asks for one, else the model."""
        return self.average.model if self.average else self.model


def _set_rate(group: dict[str, Any], rate: float) -> None:
    """A recorded optimizer reads its rate from a tensor on the device."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


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
        """Move towards the weights of `model`. Tensors of integers or booleans (a count, a mask) are copied.

        All tensors at once, which is a few launches on a GPU.
        """
        self.updates += 1
        weight = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        pairs = list(zip(_tensors(self.model), _tensors(model), strict=True))
        averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        copied = [pair for pair in pairs if not pair[0].is_floating_point()]
        if averaged:
            torch._foreach_lerp_([average for average, _ in averaged], [current for _, current in averaged], weight)
        if copied:
            torch._foreach_copy_([average for average, _ in copied], [current for _, current in copied])


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


def _descent(
    model: nn.Module, loss: Loss, recipe: Recipe, device: str, mode: Mode, execution: Execution = EXECUTIONS["eager"]
) -> _Descent:
    model = in_training(moved(model, device, mode.layout))
    freeze(model, recipe.freeze)

    def objective(images: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        with mode.autocast(device):
            return loss(model(images), targets)

    optimizer = _optimizer(model, recipe, device if execution.captured else None)
    work = _Work(model, compiled(objective) if execution.compiled else objective, optimizer, recipe.clip)
    average = _Average(model, recipe.average) if recipe.average else None
    return _Descent(model, optimizer, recorded(work, execution, device), average)


def _sendable(loss: Loss, model: nn.Module) -> Loss | None:
    """The loss for another process; None for the network's own."""
    return None if loss == getattr(model, "loss", None) else loss


def _tried_batches(
    task: type[Task], examples: Examples, recipe: Recipe, mode: Mode, count: int = 2
) -> list[tuple[Tensor, Targets]]:
    """A few batches on the CPU, which an execution is tried on; torch's generators are left as they are."""
    with torch.random.fork_rng(devices=[]):
        batches = _batches(task, examples, recipe, "cpu", mode, torch.Generator().manual_seed(0))
        return [next(batches) for _ in range(count)]


def _by_decay(trainable: Sequence[Tensor], decay: float) -> tuple[tuple[float, list[Tensor]], ...]:
    return (decay, [p for p in trainable if p.ndim > 1]), (0.0, [p for p in trainable if p.ndim <= 1])


def _optimizer(model: nn.Module, recipe: Recipe, recorded_on: str | None = None) -> torch.optim.Optimizer:
    """AdamW, or SGD with momentum. Biases and weights of normalisation (one-dimensional) do not decay.

    `recorded_on` is the device where its steps are recorded: there it keeps its rates, and the count of its steps.
    """
    groups = [
        {"params": chosen, "weight_decay": decay, "factor": factor}
        for factor, trainable in by_factor(model, recipe.factors).items()
        for decay, chosen in _by_decay(trainable, recipe.weight_decay)
    ]
    if recorded_on is not None:
        groups = [{**group, "lr": torch.tensor(recipe.lr, device=recorded_on)} for group in groups]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, fused=True)
    betas, capturable = (recipe.momentum, 0.999), recorded_on is not None
    return torch.optim.AdamW(groups, lr=recipe.lr, betas=betas, fused=True, capturable=capturable)


def _descend(
    descent: _Descent,
    batches: Iterator[tuple[Tensor, Targets]],
    pace: Pace,
    device: str,
    progress: Progress | None,
) -> dict[str, np.ndarray[Any, Any]]:
    """Runs all steps and returns the curves. Raises Diverged."""
    losses = Losses(pace, device, progress)
    rates: list[float] = []
    for rate, (images, targets) in zip(pace.rates(), batches, strict=False):
        rates.append(rate)
        losses.add(descent.step(images, targets, rate))
    losses.finish()
    if not all(bool(t.isfinite().all()) for t in _tensors(descent.result) if t.is_floating_point()):
        raise Diverged(len(rates), losses.values[-1])
    return {"step": np.arange(1, len(rates) + 1), "loss": np.array(losses.values), "lr": np.array(rates)}


def _batches(
    task: type[Task], examples: Examples, recipe: Recipe, device: str, mode: Mode, generator: torch.Generator
) -> Iterator[tuple[Tensor, Targets]]:
    """Endless batches on the device: gathered as bytes, then prepared and augmented there.

    This runs in the training thread. It takes 4 to 7 % of a step on a CPU, and a second thread gained nothing (105
    against 103 ms for a step of the small FCN-8s, with an idle core); on a GPU the bytes are on the device already, and
    the batch is made while the device executes the step before (`ahead`).
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
