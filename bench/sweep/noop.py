"""The no-op check: refuses an ablation with two variants that are the same network.

Two variants whose graphs (in eval and in training mode), own losses, initial parameters and output on one input are
all the same differ in name only: whatever the table would say of the axis between them is noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from bench.registry import text_of
from bench.results.keys import Request, networks
from bench.results.loading import stored_signatures
from bench.results.signature import Signature
from bench.results.store import Store
from bench.spec.variant import Variant
from bench.sweep.executors import Executor, Progress
from bench.sweep.plan import Plan
from bench.sweep.settings import BATCH, Options
from bench.sweep.worker import SignatureJob


class NoEffect(ValueError):  # noqa: N818 - what it says reads as one
    """An axis of an ablation did nothing."""


def check_effects(plan: Plan, store: Store, executor: Executor, options: Options) -> None:
    """Refuse an ablation with two variants that differ in name only. Raises NoEffect."""
    ablation = plan.ablation
    requests = {request.key: request for request in networks(ablation)}
    known = {key: Signature(**facts) for key, facts in store.signatures(requests).items()}
    missing = [replace(request, parts={}) for key, request in requests.items() if key not in known]
    known |= _signatures(missing, (), plan, store, executor, options)
    by_variant = {request.variant: known[key] for key, request in requests.items()}
    unread = [s for group in alike(by_variant) for s in map(by_variant.__getitem__, group) if not s.values]
    if unread:
        asked = [replace(requests[s.key], parts={}) for s in unread]
        known |= _signatures(asked, tuple(unread), plan, store, executor, options)
    twins = alike({request.variant: known[key] for key, request in requests.items()})
    if twins and not options.allow_noop:
        raise NoEffect(told(twins, ablation.path))
    if twins:
        store.add_note(ablation.name, f"variants that are the same network were allowed: {options.allow_noop}")


def known_twins(plan: Plan, store: Store) -> str:
    """What `run` would refuse, as far as earlier runs looked at these networks; empty where nothing is known."""
    known = stored_signatures(plan.ablation, store)
    twins = alike({variant: found for variant, found in known.items() if found.values})
    return told(twins, plan.ablation.path) if twins else ""


def _signatures(
    requests: Sequence[Request],
    known: tuple[Signature, ...],
    plan: Plan,
    store: Store,
    executor: Executor,
    options: Options,
) -> dict[str, Signature]:
    """Look at networks in processes of their own; one that dies there is left unchecked, and the rest are not."""
    found: dict[str, Signature] = {}
    died: dict[str, Signature] = {}

    def take(item: Signature | Progress) -> None:
        if isinstance(item, Progress):
            options.notify(item)
        else:
            found[item.key] = item

    ablation, size = plan.ablation, max(1, min(BATCH, math.ceil(len(requests) / options.workers)))
    jobs = [requests[start : start + size] for start in range(0, len(requests), size)]
    while jobs:
        futures = [
            executor.submit(SignatureJob(tuple(job), ablation.plugins, known), take, timeout=ablation.timeout)
            for job in jobs
        ]
        ends = [future.result() for future in futures]
        left = [[request for request in job if request.key not in found] for job in jobs]
        for end, job in zip(ends, left, strict=True):
            died |= {request.key: Signature(request.key, error=end.error or "no answer") for request in job[:1]}
        jobs = [job[1:] for job in left if job[1:]]
    if found:
        store.add_signatures({key: signature.facts() for key, signature in found.items()})
    return found | died


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
