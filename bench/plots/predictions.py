"""Predicted label maps of a few images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.display.figure import names
from bench.display.legend import legend_below
from bench.display.pictures import OTHER_IMAGES, by_samples, picture_rows, publishable, show_picture
from bench.registry import plot
from bench.results.measurement import Evaluation
from bench.results.results import Results

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    Image = np.ndarray[Any, Any]

COUNT = 3
FINE = 4
"""Pixels of a drawn picture for one of the image, in each direction: an outline is one of them wide."""
Colour = tuple[int, int, int]
OUTLINES: Mapping[str, Colour] = {
    "magenta": (255, 0, 255), "yellow": (255, 255, 0), "white": (255, 255, 255), "black": (0, 0, 0), "red": (255, 0, 0),
}  # fmt: skip
VOID = (128, 128, 128)
"""Colour of pixels without a class: they are not scored, so predictions are not drawn there either."""


@plot(order=50)
def predictions(results: Results) -> Iterator[tuple[str, Figure]]:
    """Images, ground truth and the prediction of each variant; only of datasets whose pictures may be shown."""
    evaluations = publishable(results, "images", "truths", "outputs")
    if not evaluations:
        return
    groups = by_samples(evaluations, "images", "truths")
    first = groups[0][next(iter(groups[0]))]
    samples = min(COUNT, *(len(evaluation.samples["images"]) for evaluation in evaluations.values()))
    texts, palette = names(results), _palette(first)
    word, outline = contour_colour(palette[: len(first.names)])
    rows = [row for group in groups for row in _rows(group, texts, palette, outline)]
    caption = (
        "Images of the evaluation split, their ground truth, and the prediction of each variant (its first seed); "
        f"errors are outlined in {word}; pixels without a class (void) are not scored, and grey in predictions too"
        f"{OTHER_IMAGES if len(groups) > 1 else ''}"
    )
    figure, grid = picture_rows([name for name, _ in rows], samples, first.samples["truths"].shape[1:], caption)
    for line, (_, pictures) in zip(grid, rows, strict=True):
        for axes, picture in zip(line, pictures, strict=False):
            show_picture(axes, picture)
    _legend(figure, first.names, palette)
    yield "predictions", figure


def _rows(
    group: Mapping[str, Evaluation], texts: Mapping[str, str], palette: Image, outline: Colour
) -> Iterator[tuple[str, Sequence[Image]]]:
    """Names and pictures of the rows of variants that have the same images, which stand above their predictions."""
    samples = next(iter(group.values())).samples
    yield "image", [*samples["images"]]
    yield "ground truth", [palette[truth] for truth in samples["truths"]]
    for variant, evaluation in group.items():
        yield texts[variant], _predicted(evaluation, palette, outline)


def _predicted(evaluation: Evaluation, palette: Image, outline: Colour) -> list[Image]:
    """The predictions in colours with their errors outlined, grey where the ground truth has no class."""
    import numpy as np

    truths, outputs = evaluation.samples["truths"], evaluation.samples["outputs"]
    void = truths >= len(evaluation.names)
    colours = palette[np.where(void, truths, outputs)]
    return [outlined(*pair, outline) for pair in zip(colours, (outputs != truths) & ~void, strict=True)]


def outlined(picture: Image, errors: Image, outline: Colour) -> Image:
    """The picture (H, W, 3), FINE times as fine, with the inner edge of `errors` (H, W) in a colour."""
    import numpy as np

    fine = picture.repeat(FINE, axis=0).repeat(FINE, axis=1)
    mask = np.pad(errors.repeat(FINE, axis=0).repeat(FINE, axis=1), 1)
    inner = mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    fine[mask[1:-1, 1:-1] & ~inner] = outline
    return fine


def contour_colour(palette: Image) -> tuple[str, Colour]:
    """The name and the colour, of OUTLINES, that is farthest from all colours of the classes (C, 3) and of void."""
    import numpy as np

    used = np.vstack([palette, [VOID]]).astype(int)
    nearest = {word: np.abs(used - colour).sum(axis=1).min() for word, colour in OUTLINES.items()}
    word = max(OUTLINES, key=lambda each: nearest[each])
    return word, OUTLINES[word]


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
