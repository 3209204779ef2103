"""A training run, from its request to its evaluation. A change here makes all training runs due."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.registry.cache import cache_folder
from bench.registry.catalogue import declarations, live
from bench.registry.targets import runnable
from bench.results.encoding import plain, storable_evaluation
from bench.results.keys import Request
from bench.results.measurement import Evaluation
from bench.results.sources import file_digest
from bench.results.weights import DIGITS
from bench.spec.recipe import Recipe
from bench.spec.weights import weights_of
from bench.spec.workload import Workload
from bench.sweep.executors import Emit, Progress
from bench.sweep.executors.disk import refuse_disk_fault
from bench.sweep.executors.local import described
from bench.sweep.plugin_checks import check_network, check_output, load
from bench.sweep.process_state import seed_generators

if TYPE_CHECKING:
    from bench.training.loop import Trained


def trained(
    request: Request,
    recipe: Recipe,
    data: Path | None,
    emit: Emit,
    plugins: tuple[str, ...] = (),
    runs: int = 1,
    held_back: float = 0.0,
    keep: Path | None = None,
) -> Evaluation:
    """Train the variant by `recipe` from the requested seed and evaluate it on the validation split.

    `runs` are the trainings of this network that share an admission of precision modes. With `held_back`, this fraction
    of the training split is not trained on, and takes the place of the validation split, which is then not read. `keep`
    is the file that the weights are written to which are evaluated; None: they are not kept.
    """
    from bench.hardware.energy import account

    work, recipe = request.workload, _in_steps(request, recipe, plugins)
    task: Any = live(declarations(plugins).tasks.get(work.task), plugins).call
    train, held_out = _train_and_judge(request, data, plugins, held_back)
    network, recipe, initial = _network(request, recipe, task, train, plugins)
    energy = account(work.device) if recipe.trains else None
    result = _fitted(network, task, train, recipe, request, runs, _reporter(request, emit, energy))
    drawn = {} if energy is None else {"energy": energy.facts()}
    kept = {} if keep is None else {"kept_weights": _kept(result, keep)}
    evaluation: Evaluation = task.evaluate(result.model, held_out, work.device, result.mode)
    return _completed(evaluation, result, task, held_out, work, {**drawn, **initial, **kept})


def _network(
    request: Request, recipe: Recipe, task: Any, train: Any, plugins: tuple[str, ...]
) -> tuple[Any, Recipe, dict[str, Any]]:
    """The network from the requested seed, checked, with the weights that the recipe names: as `_with_weights`."""
    family = runnable(request.variant.architecture, plugins)
    seed_generators(request.seed or 0)
    network = family.build(**request.variant.values)
    check_network(network, request.variant.name)
    recipe, initial = _with_weights(network, request, recipe, task, train)
    check_output(network, task, train, request.variant.name)
    return network, recipe, initial


def _reporter(request: Request, emit: Emit, energy: Any) -> Callable[[int, int, float], None]:
    """Emits the progress of the training; a counter of energy, if there is one, is read in time."""
    label = f"{request.variant.name} seed {request.seed or 0}"

    def report(step: int, steps: int, loss: float) -> None:
        emit(Progress(label, step, steps, f"loss {loss:.4g}"))
        if energy is not None:
            energy.poll()

    return report


def _fitted(
    network: Any,
    task: Any,
    train: Any,
    recipe: Recipe,
    request: Request,
    runs: int,
    report: Callable[[int, int, float], None],
) -> Trained:
    from bench.training.chosen_loss import fit

    work = request.workload
    how = {"seed": request.seed or 0, "device": work.device, "threads": work.threads}
    result: Trained = fit(network, task, train, recipe, **how, progress=report, cache=cache_folder(), runs=runs)
    return result


def _kept(result: Trained, file: Path) -> dict[str, Any]:
    """Write the trained weights; what the file is, for the detail."""
    from bench.training.weights import save_weights

    save_weights(result.model, file, result.mode)
    return {"digest": (file_digest(file) or "")[:DIGITS], "bytes": file.stat().st_size}


def _completed(
    evaluation: Evaluation, result: Trained, task: Any, held_out: Any, work: Workload, facts: Mapping[str, Any]
) -> Evaluation:
    """The evaluation with what else is known of the training run, ready to be stored."""
    seen = _seen(result.model, held_out, task, work)
    units, errors = _offered(result.model, held_out, task, work)
    of_training = {
        "mode": result.mode,
        "execution": result.execution,
        "refused": dict(result.refused),
        "seconds": result.seconds,
        "cpu_seconds": result.cpu_seconds,
        "steps": result.steps,
        "effective_receptive_field": seen,
    }
    facts = {**evaluation.facts, **of_training, **errors, **facts}
    evaluation = replace(evaluation, units={**evaluation.units, **units}, curves=result.curves, facts=facts)
    summaries = task.summaries(evaluation) if hasattr(task, "summaries") else {}
    return storable_evaluation(replace(evaluation, summaries=summaries))


def _in_steps(request: Request, recipe: Recipe, plugins: tuple[str, ...]) -> Recipe:
    """The recipe with the steps that its budget of FLOPs pays for this network; another recipe as it is."""
    from bench.spec.budget import steps_for
    from bench.structure.costs import costs, per_input
    from bench.sweep.subjects import subject_of

    if recipe.flops is None:
        return recipe
    subject = subject_of(replace(request, kind="static"), plugins)
    macs = per_input(costs(subject.tape).macs, subject.batch)
    return recipe.model_copy(update={"steps": steps_for(recipe.flops, macs, recipe.batch), "budget": None})


def _with_weights(
    network: Any, request: Request, recipe: Recipe, task: Any, examples: Any
) -> tuple[Recipe, dict[str, Any]]:
    """Load what the recipe names, if it does: (the recipe, what the file was, for the detail).

    Where nothing is trained and the recipe chooses no precision mode, it is the one in which the weights were trained.
    """
    if recipe.weights is None:
        return recipe, {}
    from bench.structure.lazy import has_lazy_parts, materialise
    from bench.training.weights import load_weights

    if has_lazy_parts(network):
        materialise(network, [task.prepare(examples.images[:1])])
    weights = weights_of(recipe.weights)
    loaded = load_weights(network, Path(request.weights), weights, request.variant.name)
    if not recipe.trains and recipe.mode == "auto" and loaded.mode:
        recipe = recipe.model_copy(update={"mode": loaded.mode})
    return recipe, {"initial_weights": {"file": weights.file, **loaded.facts()}}


OFFERED = "evaluation_units"
"""A network's own function `(prepared images, targets) -> {name: array, an entry an image}`, for metrics of its own.

It is called after training, on the validation split, and is the only place where a network meets the truth.
"""


def _offered(model: Any, examples: Any, task: Any, work: Workload, batch: int = 16) -> tuple[dict[str, Any], Any]:
    """(what the network offers to be kept of every image, facts): nothing, and the error, where it fails."""
    if not hasattr(model, OFFERED):
        return {}, {}
    try:
        return _collected(model, examples, task, work, batch), {}
    except Exception as error:
        refuse_disk_fault(error)
        return {}, {OFFERED: {"error": described(error)}}


def _collected(model: Any, examples: Any, task: Any, work: Workload, batch: int) -> dict[str, Any]:
    import numpy as np
    import torch

    parts: list[dict[str, Any]] = []
    with torch.inference_mode():
        for start in range(0, len(examples), batch):
            chosen = slice(start, start + batch)
            images = task.prepare(examples.images[chosen].to(work.device))
            parts.append(getattr(model, OFFERED)(images, {n: t[chosen] for n, t in examples.targets.items()}))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


SEEN = 8
"""Images that the trained network is asked about, one forward and backward pass each."""


def _seen(model: Any, examples: Any, task: Any, work: Workload) -> dict[str, Any]:
    """The trained network's effective receptive field on a few images, or the error: never the training run's end."""
    from bench.hardware.stopwatch import thread_count
    from bench.metrics.effective_receptive_field import trained_field

    try:
        chosen = examples.images[:: -(-len(examples.images) // SEEN)].to(work.device)
        with thread_count(work.threads):
            facts: dict[str, Any] = plain(trained_field(model, task.prepare(chosen), work.device), "the field")
            return facts
    except Exception as error:
        refuse_disk_fault(error)
        return {"error": described(error)}


def _splits(request: Request, plugins: tuple[str, ...]) -> Sequence[str]:
    """The split to train on and the one to judge on: the first and the second that the dataset names."""
    return declarations(plugins).datasets.get(request.workload.dataset).splits[:2]


def _train_and_judge(request: Request, data: Path | None, plugins: tuple[str, ...], held_back: float) -> Sequence[Any]:
    """(the examples to train on, those to judge on)."""
    from bench.data.subset import held_back as without

    first, second = _splits(request, plugins)
    train = _examples(request, first, data, plugins)
    return without(train, held_back) if held_back else (train, _examples(request, second, data, plugins))


def _examples(request: Request, split: str, data: Path | None, plugins: tuple[str, ...]) -> Any:
    work = request.workload
    dataset = live(declarations(plugins).datasets.get(work.dataset), plugins)
    return load(dataset, data, split, shape=work.shape, **dict(work.dataset_axes))
