"""Predicted label maps of a few images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bench.display.figure import labels
from bench.display.legend import legend_below
from bench.display.pictures import picture_rows, publishable, show_picture
from bench.registry import plot
from bench.results.measurement import Evaluation
from bench.results.results import Results

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    Image = np.ndarray[Any, Any]

COUNT = 4
VOID = (128, 128, 128)
"""Colour of pixels without a class: they are not scored, so predictions are not drawn there either."""


@plot(order=50)
def predictions(results: Results) -> Iterator[tuple[str, Figure]]:
    """Images, ground truth and the prediction of each variant; only of datasets whose pictures may be shown."""
    evaluations = publishable(results, "images", "truths", "outputs")
    if not evaluations:
        return
    first = next(iter(evaluations.values()))
    samples = min(COUNT, len(first.samples["images"]))
    texts, palette = labels(results), _palette(first)
    rows = {"image": [*first.samples["images"]], "ground truth": [palette[truth] for truth in first.samples["truths"]]}
    rows |= {texts[variant]: _predicted(evaluation, palette) for variant, evaluation in evaluations.items()}
    caption = (
        "Images of the evaluation split, their ground truth, and the prediction of each variant (its first seed); "
        "pixels without a class (void) are not scored, and grey in predictions too"
    )
    figure, grid = picture_rows([*rows], samples, first.samples["truths"].shape[1:], caption)
    for line, pictures in zip(grid, rows.values(), strict=True):
        for axes, picture in zip(line, pictures, strict=False):
            show_picture(axes, picture)
    _legend(figure, first.names, palette)
    yield "predictions", figure


def _predicted(evaluation: Evaluation, palette: Image) -> list[Image]:
    """The predictions in colours, grey where the ground truth has no class."""
    import numpy as np

    truths, outputs = evaluation.samples["truths"], evaluation.samples["outputs"]
    void = truths >= len(evaluation.names)
    return [*palette[np.where(void, truths, outputs)]]


def _palette(evaluation: Evaluation) -> Image:
    """A colour per label (256, 3), void grey; the dataset's own colours where it has them."""
    import numpy as np
    import seaborn as sns

    classes = len(evaluation.names)
    own = evaluation.facts.get("palette") or [[round(255 * c) for c in rgb] for rgb in sns.husl_palette(classes)]
    palette = np.full((256, 3), VOID, dtype=np.uint8)
    palette[: len(own)] = own
    return palette


def _legend(figure: Figure, names: Sequence[str], palette: Image) -> None:
    from matplotlib.patches import Patch

    colours = ["#" + bytes(palette[i]).hex() for i in range(len(names))]
    patches = [Patch(facecolor=colour) for colour in [*colours, "#" + bytes(VOID).hex()]]
    legend_below(figure, patches, [*(name.replace("_", " ") for name in names), "void"])
