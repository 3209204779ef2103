"""LaTeX tables fit the width of the text: by the widths of Computer Modern, and by pdflatex where it is installed."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import bench
from bench.report.choice import EVERYTHING, MAIN_TABLE, Choice
from bench.report.latex import breakable, latex_text
from bench.report.table import table
from bench.report.textwidth import TEXT_WIDTH, width_of
from bench.results.results import Results

BUNDLES = Path(__file__).parents[3] / "results" / "reference"
CMR10 = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (5.0, 5.56, 4.44, 5.56, 4.44, 3.06, 5.0, 5.56, 2.78, 3.06, 5.28, 2.78, 8.33, 5.56, 5.0, 5.56, 5.28, 3.92, 3.94,
         3.89, 5.56, 5.28, 7.22, 5.28, 5.28, 4.44, 7.5, 7.08, 7.22, 7.64, 6.81, 6.53, 7.85, 7.5, 3.61, 5.14, 7.78, 6.25,
         9.17, 7.5, 7.78, 6.81, 7.78, 7.36, 5.56, 7.22, 7.5, 7.5, 10.28, 7.5, 7.5, 6.11),
        strict=True,
    )
)  # fmt: skip
"""Widths of letters of Computer Modern Roman at 10 pt, in points (Knuth 1986, Computer Modern Typefaces)."""
CMR10 |= dict.fromkeys('0123456789/?*"$', 5.0) | dict.fromkeys(".,:;'`!|[]", 2.78) | dict.fromkeys("()", 3.89)
CMR10 |= {" ": 3.33, "-": 3.33, "+": 7.78, "=": 7.78, "@": 7.78, "&": 7.78, "%": 8.33, "#": 8.33, "<": 7.78, ">": 7.78}
COMMANDS = {r"\Delta": 8.33, r"\pm": 7.78, r"\times": 7.78, r"\mu": 6.03, r"\uparrow": 5.0, r"\downarrow": 5.0,
            r"\textbackslash": 5.0, r"\textasciitilde": 5.0, r"\textasciicircum": 5.0, r"\textless": 7.78,
            r"\textgreater": 7.78, r"\textbar": 2.78, r"\ldots": 11.7, r"\_": 3.6, r"\{": 5.0, r"\}": 5.0, r"\%": 8.33,
            r"\#": 8.33, r"\&": 7.78, r"\$": 5.0, r"\textbf": 0.0, r"\par": 0.0, r"\raggedright": 0.0}  # fmt: skip
SIZES = {r"\normalsize": 1.0, r"\small": 0.925, r"\footnotesize": 0.85}
"""Relative to 10 pt: digits of cmr9 are 4.63 pt wide, those of cmr8 4.25 pt."""


def set_width(tex: str) -> float:
    """Points at 10 pt of a line of LaTeX; bold text a fifth wider, as cmbx10 is at most."""
    tex = tex.replace("$-$", "\N{MINUS SIGN}").replace("--", "\N{EN DASH}")
    tokens = re.findall(r"\\[a-zA-Z]+|\\.|[^\\{}$^]", tex)
    widths = {"\N{MINUS SIGN}": 7.78, "\N{EN DASH}": 5.0, **CMR10, **COMMANDS}
    return sum(widths[token] for token in tokens) * (1.2 if r"\textbf" in tex else 1.0)


def lines_of(cell: str) -> list[str]:
    """The lines of a head in a tabular of its own, or the cell."""
    inner = re.fullmatch(r"\\begin\{tabular\}\[b\]\{@\{\}.@\{\}\}(.*)\\end\{tabular\}", cell)
    return inner[1].split(r" \\ ") if inner else [cell]


def unbreakable(cell: str) -> list[str]:
    return re.split(r"\\hspace\{0pt\}| ", cell.replace(r"\raggedright ", ""))


def tabulars(tex: str) -> list[tuple[float, list[str], list[list[str]]]]:
    """(size of the letters, column specifications, rows of cells) of each part."""
    parts = []
    for each in re.split(r"\\begin\{table\}", tex)[1:]:
        size = next(SIZES[line] for line in each.splitlines() if line in SIZES)
        for columns, body in re.findall(r"^\\begin\{tabular\}\{@\{\}([^\n]*)@\{\}\}\n(.*?)^\\end", each, re.M | re.S):
            rows = [line.removesuffix(r" \tabularnewline") for line in body.splitlines() if line != r"\hline"]
            cells = [re.split(r"(?<!\\) & ", row) for row in rows]
            parts.append((size, re.findall(r"[lr]|p\{\d+pt\}", columns), cells))
    return parts


def widths(tex: str) -> list[float]:
    """The width of each part in points; what p columns cannot break counts too."""
    totals = []
    for size, columns, rows in tabulars(tex):
        assert {len(row) for row in rows} == {len(columns)}
        total = 8.0 * (len(columns) - 1)
        for column, cells in zip(columns, zip(*rows, strict=True), strict=True):
            pieces = [piece for cell in cells for piece in (unbreakable(cell) if "p" in column else lines_of(cell))]
            widest = size * max(map(set_width, pieces))
            total += max(widest, float(column[2:-3]) if "p" in column else 0.0)
        totals.append(total)
    return totals


def bundled(name: str) -> Results:
    return bench.load(name, source=BUNDLES / name).results


@pytest.fixture(scope="module")
def committed() -> dict[str, Results]:
    return {folder.name: bundled(folder.name) for folder in sorted(BUNDLES.iterdir()) if folder.is_dir()}


def test_every_committed_table_fits_the_text(committed):
    sizes = {name: max(widths(table(results, "latex"))) for name, results in committed.items()}
    assert len(sizes) > 40
    assert {name: width for name, width in sizes.items() if width > TEXT_WIDTH} == {}


def test_the_made_up_table_with_its_long_names_fits(synthetic: Results):
    for choice in (Choice(), Choice(best=True), Choice(delta=False), Choice(columns=("miou", "variant"))):
        tex = table(synthetic, "latex", choice)
        assert max(widths(tex)) <= TEXT_WIDTH
        assert tex.isascii()


def test_a_name_of_any_length_is_broken(synthetic: Results):
    long = dataclasses.replace(synthetic, labels={synthetic.baseline: "W" * 300, synthetic.variants[1]: "W_" * 90})
    tex = table(long, "latex")
    assert max(widths(tex)) <= TEXT_WIDTH
    assert {columns[0] for _, columns, _ in tabulars(tex)} == {"p{130pt}"}


def test_a_narrow_table_is_one_part_in_the_usual_size(committed):
    choice = Choice(columns=("variant", "params", "miou"))
    tex = table(committed["fcn_skips"], "latex", choice)
    assert r"\normalsize" in tex
    assert [len(rows) for _, _, rows in tabulars(tex)] == [7]
    assert tex.count(r"\begin{table}") == 1


def test_the_font_gets_smaller_before_the_table_is_set_in_parts(committed):
    names = ["params", "miou", "macs", "latency", "boundary_iou", "memory", "throughput", "mean_accuracy"]
    parts = []
    for count in range(1, len(names) + 1):
        choice = Choice(metrics=tuple(names[:count]), delta=False)
        parts.append([size for size, _, _ in tabulars(table(committed["fcn_skips"], "latex", choice))])
    assert [sizes[0] for sizes in parts] == sorted((sizes[0] for sizes in parts), reverse=True)
    assert all(len(sizes) == 1 for sizes in parts if sizes[0] > SIZES[r"\footnotesize"])
    assert len(parts[-1]) > 1


def test_parts_begin_with_the_variant_and_keep_a_number_with_its_difference(committed):
    parts = tabulars(table(committed["fcn_skips"], "latex"))
    assert {rows[0][0] for _, _, rows in parts} == {"variant"}
    assert {rows[5][0] for _, _, rows in parts} == {"FCN-8s"}
    for _, _, rows in parts:
        assert rows[0][1] != r"$\Delta$"


def test_what_is_remarked_on_a_number_is_a_footnote(synthetic: Results):
    tex = table(synthetic, "latex")
    (letter,) = re.findall(r"\$\^\{(\w+)\}\$ 1 of 3 seeds: error: diverged", tex.replace(r"\hspace{0pt}", ""))
    assert f"$^{{{letter}}}$ &" in tex
    assert "out of memory" in tex.split(r"\end{tabular}")[-1]


def test_heads_are_short_and_the_notes_say_what_the_numbers_are(committed):
    tex = table(committed["fcn_skips"], "latex")
    assert "n=3" not in "".join(" ".join(rows[0]) for _, _, rows in tabulars(tex))
    assert r"mIoU, boundary IoU, pixel accuracy, mean accuracy, frequency-weighted IoU: mean $\pm$ sd, n=3" in tex
    assert tex.count("norm=batch") == 1


def test_the_best_number_is_bold(committed):
    tex = table(committed["fcn_skips"], "latex", Choice(metrics=("params", "miou"), best=True))
    assert re.findall(r"\\textbf\{(.*?)\}", tex) == ["1.7778", r"0.569 $\pm$ 0.014"]


@pytest.mark.parametrize(
    "sign", list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,:;()[]-+=/%#&_<>|{}")
)
def test_no_sign_is_wider_than_estimated(sign):
    assert width_of(sign) >= set_width(latex_text(f"x{sign}x")) - 2 * CMR10["x"] - 1e-9


def test_a_long_word_may_be_broken_and_a_short_one_is_not():
    assert breakable("plain words") == "plain words"
    assert breakable("fcn(stride=8,skips=[pool4])").split(r"\hspace{0pt}")[:3] == ["fcn(", "stride=", "8,"]
    assert "".join(breakable("W" * 40).split(r"\hspace{0pt}")) == "W" * 40


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed: widths are estimated alone")
@pytest.mark.parametrize("choice", [EVERYTHING, MAIN_TABLE], ids=["everything", "main"])
def test_pdflatex_sets_every_committed_table_within_the_text(committed, tmp_path, choice):
    """All tables are one document, in which each announces itself; no line is too wide and no float too high."""
    tables = "".join(
        f"\\typeout{{TABLE {name}}}\n{table(each, 'latex', choice)}\\clearpage\n" for name, each in committed.items()
    )
    (tmp_path / "all.tex").write_text(f"\\documentclass{{article}}\n\\begin{{document}}\n{tables}\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    logs = dict(part.partition("\n")[::2] for part in done.stdout.split("TABLE ")[1:])
    assert list(logs) == list(committed)
    faults = ("Overfull \\hbox", "Float too large")
    assert not {name: log[-500:] for name, log in logs.items() if any(fault in log for fault in faults)}
