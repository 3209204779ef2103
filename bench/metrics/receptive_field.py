"""The receptive field of an output position: which input pixels can change it, exactly.

Structural: a pixel belongs to the field when some channel of it can change some channel of the output
position for generic weights, in eval mode. Masks that the forward pass multiplies into weights count;
every position of a max-pool window counts; interpolation taps of weight exactly zero do not; reflect,
replicate and circular padding point at real pixels, zero padding at none; max-unpooling reads the value
and the whole pooling window that chose its index; normalisation over space and attention read all they
normalise over; batch norm in eval is pointwise. Attention masks count where they are minus infinity
or boolean, not where they are finite (Swin's -100). Nothing is run on real data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.registry import metric
from bench.results.measurement import Reading

if TYPE_CHECKING:
    import torch

    from bench.hardware.subject import Subject
    from bench.structure.fields import Phases, Size, Unbounded
    from bench.structure.question import Question


@dataclass(frozen=True)
class Field:
    """The receptive field of one output position.

    `box`: ((start, stop), ...) half-open per spatial axis, clipped to the input; None if it is empty. `mask`: boolean
    array over the input's spatial axes. `density`: the fraction of the box that belongs to the field. `inexact`:
    operators whose rule is an upper bound (data-dependent ones); the field is `exact` if there are none.
    """

    box: tuple[tuple[int, int], ...] | None
    mask: np.ndarray
    density: float
    inexact: tuple[str, ...]
    question: Question = field(repr=False, compare=False)

    @property
    def exact(self) -> bool:
        """Whether the mask is the receptive field, not an upper bound."""
        return not self.inexact

    @cached_property
    def unbounded(self) -> Unbounded:
        """The receptive field on an unbounded input, or the reason why there is none."""
        from bench.structure.fields import unbounded

        return unbounded(self.question)

    @property
    def phases(self) -> Phases | None:
        """Extents over all phases of this output on an unbounded input; None if the field is global."""
        return self.unbounded.phases

    @property
    def extent(self) -> tuple[Size, Size] | None:
        """(min, max) over the phases of this output, on an unbounded input; None if global."""
        return None if self.phases is None else (self.phases.minimum, self.phases.maximum)

    @cached_property
    def paths(self) -> Mapping[str, Size]:
        """The size at the output of each named skip: `model.receptive_field_taps = {name: module path}`."""
        from bench.structure.fields import unbounded

        question = self.question
        if question.source is not None or question.sink is not None:
            return {}
        sizes = {}
        for name, path in question.tape.taps.items():
            phases = unbounded(replace(question, sink=path, position=None, axes=None)).phases
            sizes[name] = None if phases is None else phases.maximum
        return sizes

    @cached_property
    def size(self) -> Size:
        """Extent per axis on an unbounded input: an int where all axes agree; None where global.

        The largest over all phases of the output. A network with named skips is reported as papers do:
        the largest field of its prediction grids, before they are upsampled (404 for every FCN-VGG16;
        `extent` has the field of its upsampled output).
        """
        if self.paths:
            sizes = list(self.paths.values())
            return None if None in sizes else max(sizes, key=lambda s: s if isinstance(s, tuple) else (s,))
        return None if self.phases is None else self.phases.maximum

    @cached_property
    def local(self) -> Field:
        """The same position with all global edges cut: normalisation, squeeze-and-excitation, attention."""
        from bench.structure.supports import CUTS

        return _answer(replace(self.question, cut=frozenset(CUTS)))


def receptive_field(
    model: torch.nn.Module,
    shape: Sequence[Any],
    output: int | str = 0,
    position: Sequence[int] | None = None,
    *,
    axes: Sequence[int] | None = None,
    input: int = 0,
    cut: Sequence[str] = (),
    source: str | None = None,
    sink: str | None = None,
    training: bool = False,
) -> Field:
    """The receptive field of `position` of an output of `model`.

    `shape`: the input's, (C, ...), without batch; or one for each input. `output`: the place of the
    output among the tensors of the network's result, or its name there. `position`: one number for
    each axis it indexes, None for the centre (n // 2). `axes`: the output's axes that it indexes, the
    batch being 0; by default the last ones, and the token axis of (N, L, C). `input`: which input.
    `cut`: global edges to leave out, of `normalisation`, `squeeze_excitation`, `attention`,
    `global_pooling`. `source`, `sink`: layers by name instead of the input and the output (`name#k`
    for the k-th run of a shared one). `training`: with batch statistics.

    Raises StructureError where the network can't be recorded, or an operator has no rule.
    """
    from bench.structure.network import network_of, shapes_of
    from bench.structure.question import Question, checked_cut

    return _answer(
        Question(
            model,
            network_of(model, training),
            shapes_of(shape),
            output,
            None if position is None else tuple(int(p) for p in position),
            None if axes is None else tuple(axes),
            input,
            checked_cut(cut),
            source,
            sink,
        )
    )


def _answer(question: Question) -> Field:
    support = question.support(question.place)
    box, mask = support.box(question.from_axes), support.mask(question.from_axes)
    spanned = 1
    for start, stop in box or ():
        spanned *= stop - start
    return Field(box, mask, float(mask.sum() / spanned) if box is not None else 0.0, support.inexact, question)


@metric(name="receptive_field", unit="px", better=None, kind="static", display_name="receptive field", bounds=(0, None))
def measured(subject: Subject) -> Reading:
    """Receptive field at the centre of the output, on an unbounded input, per axis.

    `receptive_field_layers = {name: module path}` of a network are inner maps whose receptive field its paper prints.
    """
    field = receptive_field(subject.structure, subject.shape)
    inner = getattr(subject.structure, "receptive_field_layers", {})
    layers = {name: receptive_field(subject.structure, subject.shape, sink=path).size for name, path in inner.items()}
    size = field.size
    detail = {
        "axes": list(size) if isinstance(size, tuple) else size,
        "global": size is None,
        "why": field.unbounded.reason,
        "box": field.box,
        "density": field.density,
        "exact": field.exact,
        "inexact": list(field.inexact),
        "extent": field.extent,
        "local": field.local.size if size is None else size,
        "paths": dict(field.paths),
        **field.paths,
        **layers,
    }
    return Reading(max(size) if isinstance(size, tuple) else size, detail)
