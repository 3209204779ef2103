"""What the fork server imports before the first job, so that jobs need not: the modules that a plan's jobs will need.

Plug-ins are never among them: a job imports a plug-in itself, as it is on disk at that moment. Of the libraries that a
plug-in imports, those of LIBRARIES are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.registry.catalogue import Source, declarations, package_folder, source_of
from bench.registry.targets import ZOOS, declared, source
from bench.results.keys import Request
from bench.results.sources import OURS, closure, imported_at_once
from bench.sweep.plan import Plan

LIBRARIES = ("numpy", "scipy", "pandas", "PIL", "skimage", "torch", "torchvision", "timm", "fvcore")
"""Libraries that start no thread and touch no device when they are imported, so that a process may fork after it."""

WORKER = "bench.sweep.worker"
OF_TRAINING = (
    "bench.training.loop", "bench.training.weights", "bench.hardware.energy", "bench.metrics.effective_receptive_field",
)  # fmt: skip
"""What every training run needs besides its architecture, task, dataset and metrics."""

OF_NETWORKS = ("bench.sweep.signature",)
"""What the no-op check needs of networks."""

OF_TORCH = "torch._dynamo"
"""torch imports it, with 900 others and in 1 s, for the first optimizer and the first recording of a process."""


IMPORTS_ITS_RULES = "bench.structure.supports"
"""It imports every file `rules_*.py` of its folder when the first network is recorded."""


def preload(plans: Sequence[Plan]) -> list[str]:
    """The modules that jobs of these plans will import, for the fork server to import once."""
    sources = {each.path: each for plan in plans for each in _sources(plan)}
    modules = [module for each in sources.values() for module in closure(each.module, each.path)]
    libraries = {name: None for module in modules for name in imported_at_once(module[1]) if name in LIBRARIES}
    libraries |= dict.fromkeys(name for plan in plans for request in plan.due for name in _zoos(request))
    if "torch" in libraries:
        modules += [module for name in OF_NETWORKS for module in closure(*_own(name))]
    several = sum(len(plan.due) for plan in plans) > 1
    deferred = [OF_TORCH] if "torch" in libraries and several else []  # a single job gains nothing
    ours = dict.fromkeys(name for name, _ in modules if name.split(".")[0] in OURS)
    return [WORKER, *libraries, *deferred, *ours, *_rules(dict(modules))]


def _rules(modules: Mapping[str, Path]) -> Iterator[str]:
    """The modules that no import statement names."""
    if IMPORTS_ITS_RULES in modules:
        folder, package = modules[IMPORTS_ITS_RULES].parent, IMPORTS_ITS_RULES.rpartition(".")[0]
        yield from (f"{package}.{path.stem}" for path in sorted(folder.glob("rules_*.py")))


def _sources(plan: Plan) -> Iterator[Source]:
    """Where the architectures, metrics, task and dataset of what is due are defined."""
    plugins, due = plan.ablation.plugins, plan.due
    registered = declarations(plugins)
    for name in dict.fromkeys(request.variant.architecture for request in due):
        family = source(declared(name, plugins), plugins)
        yield from [family] if family else []
    for name in dict.fromkeys(request.metric for request in due):
        yield source_of(registered.metrics.get(name), plugins)
    if any(request.kind == "accuracy" for request in due):
        work = plan.ablation.workload
        yield source_of(registered.tasks.get(work.task), plugins)
        yield source_of(registered.datasets.get(work.dataset), plugins)
        yield from (Source(*_own(name)) for name in OF_TRAINING)


def _own(module: str) -> tuple[str, Path]:
    return module, package_folder("bench").joinpath(*module.split(".")[1:]).with_suffix(".py")


def _zoos(request: Request) -> Iterator[str]:
    """The zoos that a variant names: as its architecture, or as the value of an axis (`backbone=timm:resnet18`)."""
    for value in (request.variant.architecture, *request.variant.values.values()):
        head = value.partition(":")[0] if isinstance(value, str) and ":" in value else ""
        yield from [{"smp": "timm"}.get(head, head)] if head in ZOOS else []
