"""Which output of a network of a library or of a file is scored, in words, for the detail of its measurements."""

from __future__ import annotations

import functools
from typing import Any

from bench.hardware.subject import Subject
from bench.registry.foreign import FITTED, OUTPUT
from bench.registry.targets import runnable
from bench.spec.variant import Variant
from bench.spec.workload import Workload
from bench.sweep.executors.local import described


def scored_output(variant: Variant, work: Workload, plugins: tuple[str, ...]) -> dict[str, Any]:
    """`{"output": ...}` of a network that was fitted to a task; nothing of any other."""
    if variant.values.get(FITTED) is None:
        return {}
    return {OUTPUT: _in_words(variant, work.shape, plugins)}


@functools.lru_cache(maxsize=16)
def _in_words(variant: Variant, shape: tuple[int, ...], plugins: tuple[str, ...]) -> str:
    """The output of a network on the meta device for one image; why it cannot be said, where it cannot run there."""
    import torch

    from bench.registry.outputs import fit_of
    from bench.structure.modes import moved

    family = runnable(variant.architecture, plugins)
    try:
        network = moved(Subject(lambda: family.build(**variant.values), shape).structure, "meta")
        fit = fit_of(network)
        with torch.no_grad():
            return fit.described(network, (torch.empty(1, *shape, device="meta"),)) if fit else ""
    except Exception as error:
        return f"not known: {described(error)}"
