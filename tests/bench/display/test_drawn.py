"""The numbers of a figure as CSV."""

from __future__ import annotations

import csv
import io

import numpy as np

from bench.display.drawn import HEAD, drawn_csv
from bench.display.figure import new, pdf, svg, theme


def drawn(draw) -> list[dict[str, str]]:
    with theme():
        figure, (axes,) = new(3, 2, "a figure")
        draw(axes)
        svg(figure, "a")
        return list(csv.DictReader(io.StringIO(drawn_csv(figure))))


def test_lines_points_and_bars_with_the_names_of_their_rows():
    def draw(axes):
        axes.set_yticks([0, 1], ["first", "=second"])
        axes.plot([1.5, 2.5], [0, 1], label="curve")
        axes.scatter([3], [1])
        axes.barh([0], [4.5])
        axes.set_xlabel("mIoU")

    rows = drawn(draw)
    assert tuple(rows[0]) == HEAD
    line = [(row["series"], row["x_label"], row["x"], row["y"]) for row in rows if row["drawn_as"] == "line"]
    assert line == [("curve", "mIoU", "1.5", "first"), ("curve", "mIoU", "2.5", "'=second")]
    assert [(row["x"], row["y"]) for row in rows if row["drawn_as"] == "points"] == [("3.0", "'=second")]
    assert [row["x"] for row in rows if row["drawn_as"] == "bar"] == ["4.5"]


def test_what_is_not_drawn_and_photographs_are_left_out():
    def draw(axes):
        axes.plot([1.0, np.nan], [2.0, 3.0])
        axes.imshow(np.zeros((4, 4, 3)))

    assert [(row["x"], row["y"]) for row in drawn(draw)] == [("1.0", "2.0")]


def test_a_map_has_a_row_for_each_pixel():
    rows = drawn(lambda axes: axes.imshow(np.arange(6.0).reshape(2, 3)))
    assert [(row["x"], row["y"], row["value"]) for row in rows][-1] == ("2", "1", "5.0")
    assert len(rows) == 6


def test_a_pdf_has_the_same_bytes_each_time():
    def made() -> bytes:
        with theme():
            figure, (axes,) = new(3, 2, "a figure")
            axes.plot([1, 2])
            svg(figure, "a")
            return pdf(figure)

    assert made() == made()
    assert made().startswith(b"%PDF")
