"""What the trained networks say of a few images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bench.display.figure import labels, legend_below, new
from bench.registry import plot
from bench.results.measurement import Evaluation
from bench.results.results import Results

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Image = np.ndarray[Any, Any]

COUNT = 4
VOID = (128, 128, 128)


@plot(order=50)
def predictions(results: Results) -> Iterator[tuple[str, Figure]]:
    """Images, truth and the prediction of each variant; only of data whose pictures may be shown."""
    shown = {v: e for v in results.variants if (e := _first(results, v)) is not None}
    if not shown:
        return
    first = next(iter(shown.values()))
    samples = min(COUNT, len(first.samples["images"]))
    height, width = first.samples["truths"].shape[1:]
    names, palette = labels(results), _palette(first)
    rows = {"image": [_picture(image) for image in first.samples["images"]]}
    rows["truth"] = [_painted(truth, palette) for truth in first.samples["truths"]]
    rows |= {names[v]: [_painted(output, palette) for output in e.samples["outputs"]] for v, e in shown.items()}
    wide = 6.0 / samples
    high = wide * height / width + 0.06
    caption = "A few images of the evaluation split, their truth, and each variant's prediction (its first seed)"
    figure, grid = new(8.2, high * len(rows) + 0.25 * (1 + len(first.names) // 6), caption, len(rows), samples)
    for i, (name, pictures) in enumerate(rows.items()):
        _row(grid[i * samples : (i + 1) * samples], name, pictures)
    _legend(figure, first.names, palette)
    yield "predictions", figure


def _first(results: Results, variant: str) -> Evaluation | None:
    """The evaluation of the variant's first seed, where it has pictures that may be shown."""
    seeds = sorted(seed for name, seed in results.evaluations if name == variant)
    held = results.evaluations[variant, seeds[0]] if seeds else None
    parts = {"images", "truths", "outputs"}
    return held if held and held.facts.get("publishable") is True and parts <= held.samples.keys() else None


def _palette(evaluation: Evaluation) -> Image:
    """A colour per label (256, 3), void grey; the dataset's own colours where it has them."""
    import numpy as np
    import seaborn as sns

    classes = len(evaluation.names)
    own = evaluation.facts.get("palette") or [[round(255 * c) for c in rgb] for rgb in sns.husl_palette(classes)]
    palette = np.full((256, 3), VOID, dtype=np.uint8)
    palette[: len(own)] = own
    return palette


def _picture(image: Image) -> Image:
    """(H, W, C) bytes of one or three channels to (H, W, 3)."""
    return image.repeat(3 // image.shape[2], axis=2)


def _painted(labels: Image, palette: Image) -> Image:
    return palette[labels]


def _row(row: Sequence[Axes], name: str, pictures: Sequence[Image]) -> None:
    for axes, picture in zip(row, pictures, strict=False):
        axes.imshow(picture, interpolation="none")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    row[0].set_ylabel(name, rotation=0, ha="right", va="center", labelpad=8)


def _legend(figure: Figure, names: Sequence[str], palette: Image) -> None:
    from matplotlib.patches import Patch

    colours = ["#" + bytes(palette[i]).hex() for i in range(len(names))]
    patches = [Patch(facecolor=colour) for colour in [*colours, "#" + bytes(VOID).hex()]]
    legend_below(figure, patches, [*names, "void"], columns=6)
