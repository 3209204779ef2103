"""The effective receptive field at initialisation, after Luo et al. 2016; `bench.structure.effective` defines it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bench.metrics.receptive_field import receptive_field
from bench.registry import metric
from bench.results.measurement import Reading
from bench.structure.effective import Box, EffectiveFieldError, effective_field
from bench.structure.modes import in_eval, in_precision
from bench.structure.tape import StructureError

if TYPE_CHECKING:
    import torch

    from bench.hardware.subject import Subject

RUNS = 4
"""Number of networks, each with its own seed and input."""


@metric(unit="px", better=None, kind="static", display_name="effective receptive field", bounds=(0, None))
def effective_receptive_field(subject: Subject) -> Reading:
    """Radius that contains 95 % of the centre output's squared gradient around its centre of mass, at initialisation.

    From the mean map of four networks with different seeds, in eval mode, each with one unit-normal input. Detail:
    `radii` of the single runs; `share_of_box`, the fraction of the theoretical receptive field's box inside the
    radius; `size`, the paper's own measure.
    """
    box, why = theoretical_box(subject.structure, subject.shape)
    try:
        field = effective_field(_fresh(subject), subject.seed, subject.device)
    except EffectiveFieldError as error:
        return Reading(None, {"box": box, "why": str(error)}, exact=False)
    setting = {"networks": "at initialisation", "inputs": "unit normal", "why": why}
    return Reading(field.radius, {**field.facts(box), **setting}, exact=False)


def _fresh(subject: Subject) -> Iterator[tuple[torch.nn.Module, torch.Tensor]]:
    """Networks and inputs, one after the other, so that only one network is in memory."""
    import torch

    dtype = getattr(torch, subject.dtype)
    for seed in range(subject.seed, subject.seed + RUNS):
        torch.manual_seed(seed)
        model = in_precision(in_eval(subject.build()), dtype, subject.device)
        yield model, torch.randn(1, *subject.shape).to(subject.device, dtype)


def theoretical_box(model: torch.nn.Module, shape: Sequence[int]) -> tuple[Box | None, str]:
    """The box of the structural receptive field at the output's centre, or None and the reason."""
    try:
        return receptive_field(model, shape).box, ""
    except StructureError as error:
        return None, str(error)


def trained_field(model: torch.nn.Module, images: torch.Tensor, device: str) -> dict[str, Any]:
    """Facts of a trained network's effective receptive field, one run per image of `images` (N, C, H, W), on `device`.

    The model is not changed. Raises EffectiveFieldError if there is no gradient.
    """
    field = effective_field(((model, image[None]) for image in images), device=device)
    box, why = theoretical_box(model, tuple(images.shape[1:]))
    setting = {"networks": "after training", "inputs": "images of the evaluation split", "why": why}
    return {**field.facts(box), **setting}
