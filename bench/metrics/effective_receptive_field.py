"""The effective receptive field at initialisation, after Luo et al. 2016; `bench.structure.effective` defines it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bench.metrics.receptive_field import receptive_field
from bench.registry import metric
from bench.results.measurement import Reading
from bench.structure.effective import Box, EffectiveFieldError, effective_field
from bench.structure.tape import StructureError

if TYPE_CHECKING:
    import torch

    from bench.hardware.subject import Subject

RUNS = 4
"""Networks, each initialised from its own seed, with an input of its own."""


@metric(unit="px", better=None, kind="static", display_name="effective receptive field")
def effective_receptive_field(subject: Subject) -> Reading:
    """Radius around its centre of mass that holds 95 % of the centre output's squared gradient, at initialisation.

    The mean map of four networks from seeds of their own, in eval mode, each with one unit-normal input. The
    radii of the single runs stand in `radii`; `share_of_box` is the part of the theoretical field's box inside
    the radius; `size` is the paper's own measure.
    """
    box, why = theoretical_box(subject.structure, subject.shape)
    try:
        found = effective_field(_fresh(subject), subject.seed, subject.device)
    except EffectiveFieldError as error:
        return Reading(None, {"box": box, "why": str(error)}, exact=False)
    told = {"networks": "at initialisation", "inputs": "unit normal", "why": why}
    return Reading(found.radius, {**found.facts(box), **told}, exact=False)


def _fresh(subject: Subject) -> Iterator[tuple[torch.nn.Module, torch.Tensor]]:
    """Networks and inputs, one after the other, so that only one of them is held."""
    import torch

    dtype = getattr(torch, subject.dtype)
    for seed in range(subject.seed, subject.seed + RUNS):
        torch.manual_seed(seed)
        model = subject.build().eval().to(subject.device, dtype)
        yield model, torch.randn(1, *subject.shape).to(subject.device, dtype)


def theoretical_box(model: torch.nn.Module, shape: Sequence[int]) -> tuple[Box | None, str]:
    """The box of the structural receptive field at the output's centre; None with the reason where there is none."""
    try:
        return receptive_field(model, shape).box, ""
    except StructureError as error:
        return None, str(error)


def trained_field(model: torch.nn.Module, images: torch.Tensor, device: str) -> dict[str, Any]:
    """The facts of a trained network's field, a run for each of `images` (N, C, H, W), prepared, on `device`.

    The model stays as it is. Raises EffectiveFieldError where there is no gradient.
    """
    found = effective_field(((model, image[None]) for image in images), device=device)
    box, why = theoretical_box(model, tuple(images.shape[1:]))
    told = {"networks": "after training", "inputs": "images of the evaluation split", "why": why}
    return {**found.facts(box), **told}
