"""The no-op check: refuses an ablation with two variants that are the same network, measured alike.

Two variants are the same network if their graphs (in eval and in training mode), their own losses, their initial
parameters and their outputs for one input are all equal. They are measured alike if they agree in each setting
(`train.lr`, `workload.batch`) that any metric of the ablation depends on. A difference would be noise.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from bench.registry import text_of
from bench.results.freshness import changes
from bench.results.keyed import keyed
from bench.results.keys import Request, networks
from bench.results.loading import stored_signatures
from bench.results.signature import Signature
from bench.results.store import Store
from bench.spec.ablation import Ablation
from bench.spec.settings import NUMERIC
from bench.spec.variant import Variant, setting_names
from bench.sweep.executors import Executor, Exit, Progress
from bench.sweep.faults import Faults
from bench.sweep.plan import Plan, places_of
from bench.sweep.settings import BATCH, Options
from bench.sweep.watched import Stale, watched
from bench.sweep.worker import SignatureJob


class NoEffect(ValueError):  # noqa: N818 - the name says what was wrong
    """An axis of an ablation had no effect."""


def check_effects(plan: Plan, store: Store, executor: Executor, options: Options) -> None:
    """Refuse an ablation with two variants that are the same network. Raises NoEffect."""
    maker = _SignatureMaker(plan, store, executor, options)
    requests = {request.key: request for request in networks(plan.ablation)}
    stored = {key: Signature(**facts) for key, facts in store.signatures(requests).items()}
    where = places_of(plan.ablation, plan.data)
    signatures = {key: signature for key, signature in stored.items() if not changes(signature.files, where)}
    signatures |= maker.made([request for key, request in requests.items() if key not in signatures])
    without_values = {each.key: each for each in _equal(plan.ablation, signatures) if not each.values}
    if without_values:
        signatures |= maker.made([requests[key] for key in without_values], tuple(without_values.values()))
    twins = alike(_by_variant(plan.ablation, signatures), plan.ablation.effective_settings)
    if twins and not options.allow_noop:
        raise NoEffect(refusal(twins, plan.ablation.target))
    if twins:
        store.add_note(plan.ablation.name, f"variants that are the same network were allowed: {options.allow_noop}")


def stored_twins(plan: Plan, store: Store) -> str:
    """Why `run` would refuse the plan, by the signatures that earlier runs stored; empty where they show no reason."""
    signatures = stored_signatures(plan.ablation, store)
    with_values = {variant: signature for variant, signature in signatures.items() if signature.values}
    twins = alike(with_values, plan.ablation.effective_settings)
    return refusal(twins, plan.ablation.target) if twins else ""


def _by_variant(ablation: Ablation, signatures: Mapping[str, Signature]) -> dict[Variant, Signature]:
    """Variants that differ only in settings may have the signature of one network."""
    return {request.variant: signatures[request.key] for request in networks(ablation)}


def _equal(ablation: Ablation, signatures: Mapping[str, Signature]) -> list[Signature]:
    """The signatures that equal that of another variant."""
    by_variant = _by_variant(ablation, signatures)
    return [by_variant[variant] for group in alike(by_variant, ablation.effective_settings) for variant in group]


class _SignatureMaker:
    """Computes signatures of networks in worker processes, and stores them."""

    def __init__(self, plan: Plan, store: Store, executor: Executor, options: Options) -> None:
        self.ablation, self.store, self.executor, self.options = plan.ablation, store, executor, options
        self.faults = Faults()
        self.keyed = keyed(networks(plan.ablation), plan.ablation.plugins)
        self.where = places_of(plan.ablation, plan.data)

    def made(self, requests: Sequence[Request], without_values: tuple[Signature, ...] = ()) -> dict[str, Signature]:
        """Key -> signature. A network whose process dies gets a signature with the error, which is not stored."""
        signatures: dict[str, Signature] = {}
        died: dict[str, Signature] = {}
        size = max(1, min(BATCH, math.ceil(len(requests) / self.options.workers)))
        batches = [requests[start : start + size] for start in range(0, len(requests), size)]
        while batches:
            started = time.monotonic()
            futures = [self._submitted(batch, without_values, signatures, died) for batch in batches]
            for end, batch in zip([future.result() for future in futures], batches, strict=True):
                died |= self._death(end, batch, signatures.keys() | died.keys(), started)
            ended = signatures.keys() | died.keys()
            batches = [left for batch in batches if (left := [each for each in batch if each.key not in ended])]
        if signatures:
            self.store.add_signatures({key: signature.facts() for key, signature in signatures.items()})
        return signatures | died

    def _death(self, end: Exit, batch: Sequence[Request], ended: Set[str], started: float) -> dict[str, Signature]:
        """The signature of the network that ended its process, if one did. Raises WorkerError."""
        left = [request for request in batch if request.key not in ended]
        if len(left) < len(batch):
            self.faults.result()
        if not left or (end.fault and self.faults.again(left[0].key, left[0].variant.name, end, started)):
            return {}
        return {left[0].key: Signature(left[0].key, error=end.error or "no answer")}

    def _submitted(
        self,
        batch: Sequence[Request],
        without_values: tuple[Signature, ...],
        signatures: dict[str, Signature],
        stale: dict[str, Signature],
    ) -> Future[Exit]:
        """Compute the signatures of a batch in a process; each is added to `signatures` or `stale` when it arrives."""

        def receive(item: Any) -> None:
            if isinstance(item, Progress):
                self.options.notify(item)
            elif isinstance(item, Stale):
                stale[item.key] = Signature(item.key, error=f"{item.changed} changed while the run was going")
            elif isinstance(item, Signature):
                signatures[item.key] = item

        light = tuple(replace(request, shared={}) for request in batch)
        job = SignatureJob(light, self.ablation.plugins, without_values)
        return self.executor.submit(watched(job, self.keyed, self.where), receive, timeout=self.ablation.timeout)


def alike(
    signatures: Mapping[Variant, Signature], settings: Callable[[Variant], Mapping[str, Any]] = lambda variant: {}
) -> list[list[Variant]]:
    """Groups of variants with equal graphs, equal own losses, equal values where these were computed, and equal
    `settings`, those that a measurement depends on."""
    groups: dict[Any, list[Variant]] = {}
    for variant, signature in signatures.items():
        if signature.graph:
            network = (signature.graph, signature.objective, signature.values)
            groups.setdefault((network, tuple(settings(variant).items())), []).append(variant)
    return [group for group in groups.values() if len(group) > 1]


def refusal(groups: Iterable[Sequence[Variant]], path: str) -> str:
    """Two lines: the first pair of variants that are the same network with the number of pairs, and what would work."""
    lines = [f"{path}: {_difference(group[0], other)}" for group in groups for other in group[1:]]
    rest = f" (and {len(lines) - 1} more pairs)" if len(lines) > 1 else ""
    return f"{lines[0]}{rest}\nexclude one of the two and say why, or allow both: --allow-noop REASON"


def _difference(one: Variant, other: Variant) -> str:
    values = dict(other.axes)
    axes = {k: (v, values.get(k)) for k, v in one.axes if values.get(k) != v}
    named = " and ".join(f"'{axis}'" for axis in axes)
    pairs = ", ".join(f"{k}={text_of(first)} or {text_of(second)}" for k, (first, second) in axes.items())
    unused = " and no metric depends on it" if len(axes) == 1 and setting_names(axes) else ""
    unused += " on this device" if unused and set(axes) <= set(NUMERIC) else ""
    return f"axis {named} had no effect: {one.name} is the same network with {pairs}{unused}"
