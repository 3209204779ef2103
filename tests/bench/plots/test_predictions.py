from __future__ import annotations

import numpy as np
from figure_checks import drawn, with_facts, with_other_images

from bench.display.figure import in_order, names
from bench.plots.predictions import COUNT, FINE, VOID, contour_colour, outlined
from bench.results.results import Results


def test_pictures_that_may_not_be_shown_are_not(synthetic: Results):
    assert drawn("predictions", with_facts(synthetic, publishable=False)) == {}


def test_labels_have_the_colours_of_the_palette(synthetic: Results):
    (figure,) = drawn("predictions", synthetic).values()
    evaluation = synthetic.evaluations[synthetic.baseline, 0]
    truth = np.asarray(figure.axes[3].images[0].get_array())
    label = evaluation.samples["truths"][0, 10, 10]
    assert truth[10, 10].tolist() == evaluation.facts["palette"][label]


def test_unscored_pixels_are_no_errors(synthetic: Results):
    """The made-up truth has no class in the first four rows; the networks predict some class there."""
    evaluation = synthetic.evaluations[in_order(synthetic)[0], 0]
    predicted = first_prediction(synthetic)
    assert (evaluation.samples["outputs"][0, :4] < 255).all()
    assert (predicted[: 4 * FINE] == VOID).all()
    label = evaluation.samples["outputs"][0, 10, 10]
    inner = 10 * FINE + FINE // 2
    assert predicted[inner, inner].tolist() == evaluation.facts["palette"][label]


def first_prediction(results: Results) -> np.ndarray:
    """The first picture below the images and the ground truth."""
    (figure,) = drawn("predictions", results).values()
    count = min(COUNT, len(results.evaluations[results.baseline, 0].samples["images"]))
    return np.asarray(figure.axes[2 * count].images[0].get_array())


def test_errors_have_an_outline_of_one_fine_pixel_and_nothing_else_has():
    picture, errors = np.zeros((3, 4, 3), dtype=np.uint8), np.zeros((3, 4), dtype=bool)
    errors[1, 1:3] = True
    shown = (outlined(picture, errors, (255, 0, 255)) == (255, 0, 255)).all(axis=2)
    block = shown[FINE : 2 * FINE, FINE : 3 * FINE]
    assert shown.sum() == block.sum() == 2 * (FINE + 2 * FINE) - 4
    assert not block[1:-1, 1:-1].any()


def test_the_outline_is_far_from_every_colour_of_the_classes():
    assert contour_colour(np.array([[255, 0, 255], [250, 250, 0]], dtype=np.uint8))[0] not in ("magenta", "yellow")
    assert contour_colour(np.array([[48, 80, 120], [220, 180, 110]], dtype=np.uint8)) == ("magenta", (255, 0, 255))


def test_every_variant_stands_below_its_own_images_and_truth(synthetic: Results):
    """A variant of another input size is evaluated on other images."""
    variant = in_order(synthetic)[1]
    (figure,) = drawn("predictions", with_other_images(synthetic, variant, "images", "truths")).values()
    rows = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert rows[-3:] == ["image", "ground truth", names(synthetic)[variant]]
    assert rows.count("image") == rows.count("ground truth") == 2
    evaluation = synthetic.evaluations[variant, 0]
    image, truth = (
        np.asarray(figure.axes[COUNT * row].images[0].get_array()) for row in (len(rows) - 3, len(rows) - 2)
    )
    assert (image == evaluation.samples["images"][0, ::-1]).all()
    assert truth[10, 10].tolist() == evaluation.facts["palette"][evaluation.samples["truths"][0, -11, 10]]
    assert "their own images" in str(figure.get_label())


def test_variants_with_the_same_images_have_them_once(synthetic: Results):
    (figure,) = drawn("predictions", synthetic).values()
    assert [axes.get_title(loc="left") for axes in figure.axes].count("image") == 1
    assert "their own images" not in str(figure.get_label())
