from __future__ import annotations

import numpy as np
import pytest
from figure_checks import drawn, with_facts

from bench.display.sides import LOOKS
from bench.plots.stage_heatmaps import GREY, around, painted
from bench.results.results import Results


def test_people_who_may_not_be_shown_are_not(posed: Results) -> None:
    assert drawn("stage_heatmaps", posed)
    assert drawn("stage_heatmaps", with_facts(posed, publishable=False)) == {}


def test_each_side_has_its_colour_at_its_place() -> None:
    maps = np.zeros((2, 4, 5), dtype=np.uint8)
    maps[0, 1, 2], maps[1, 3, 0] = 255, 255
    picture = painted(np.zeros((13, 17, 3), dtype=np.uint8), maps, ("left_wrist", "right_wrist"), "wrist")
    assert picture.shape == (13, 17, 3)
    left, right = picture[4:8, 8:12], picture[12:, 0:4]
    assert np.allclose(left, np.array(LOOKS["left"].rgb) / 255)
    assert np.allclose(right, np.array(LOOKS["right"].rgb) / 255)
    picture[4:8, 8:12], picture[12:, 0:4] = GREY[0], GREY[0]
    assert picture == pytest.approx(np.full_like(picture, GREY[0]))


def test_the_caption_names_the_colours_that_are_drawn(posed: Results) -> None:
    (figure,) = drawn("stage_heatmaps", posed).values()
    assert f"left ({LOOKS['left'].word}) and the right ({LOOKS['right'].word})" in str(figure.get_label())
    (red, _, blue), (other_red, _, other_blue) = LOOKS["left"].rgb, LOOKS["right"].rgb
    assert blue > red  # "blue"
    assert other_red > other_blue  # "orange"


def test_the_part_that_is_shown_is_a_square_around_the_maps_within_the_picture() -> None:
    lit = np.zeros((100, 80), dtype=bool)
    assert around(lit) == (slice(0, 100), slice(0, 80))
    lit[40, 30], lit[59, 35] = True, True  # 20 rows and 6 columns: a square of 26 px in their middle
    assert around(lit) == (slice(37, 63), slice(20, 46))
    lit[40, 30], lit[59, 35], lit[99, 0], lit[80, 2] = False, False, True, True
    assert around(lit) == (slice(74, 100), slice(0, 26))


def test_the_picture_is_grey_and_neither_black_nor_white() -> None:
    image = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0]]], dtype=np.uint8)
    picture = painted(image, np.zeros((2, 1, 3), dtype=np.uint8), ("left_wrist", "right_wrist"), "wrist")
    assert picture[0, :, 0] == pytest.approx([0.25, 0.6, 0.25 + 0.35 / 3])
    assert (picture == picture[..., :1]).all()


def test_where_both_sides_are_likely_the_colour_is_neither_of_theirs() -> None:
    maps = np.full((2, 1, 1), 255, dtype=np.uint8)
    picture = painted(np.zeros((4, 4, 3), dtype=np.uint8), maps, ("left_wrist", "right_wrist"), "wrist")
    both = (np.array(LOOKS["left"].rgb) + np.array(LOOKS["right"].rgb)) / 255
    assert picture[0, 0] == pytest.approx(np.clip(both, 0, 1))
    assert picture[0, 0].min() > 0.7
