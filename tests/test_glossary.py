"""One thing has one word: words that the glossary replaces do not occur in what a user or a contributor reads.

The texts are string literals, docstrings and comments of the code, help, templates, pages and ablations. Words that are
also common English are tested as the phrases in which they were used.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

REPLACED = {
    r"data(-| )sets?": "dataset",
    r"phantoms?": "synthetic dataset",
    r"trials?": "training run",
    r"(cells? (failed|measured|of the store|is due|are due)|(accuracy|speed|static|finished|failed|due) cells?)": "measurement",
    r"networks? sees?": "receptive field",
    r"fast (training )?modes?": "precision mode",
    r"shares? of": "fraction",
    r"sorts? of (errors?|metrics?|measurements?|entry|entries|things?)": "kind",
    r"confound\w*": "side effects",
    r"what else (it |an axis |the change )?moved": "side effects",
    r"surely": "significant, significantly",
    r"may lie": "inconclusive",
    r"undecided": "inconclusive",
    r"blocks? of (evaluation )?units": "block of images",
    r"no finite number": "not finite",
    r"stands? (here )?for the (first|second) time": "repeated",
}
"""Pattern -> what to say. Case does not matter."""
STATISTICS = {"bench/data/chance.py": ("trial", "trials")}
"""Where a word is the standard term of another field: the independent trials of a binomial distribution."""
IN_PROSE = r"(?<![\w\[(/.-])(miou|pck|pckh|fid|macs)(?![\w\](/.-])"
"""Names of metrics in Markdown outside code: mIoU, PCK@0.2, FID, MACs."""
OLD_KEY = r"^\s*beside:"

CODE = [p for folder in ("bench", "architectures") for p in sorted((ROOT / folder).rglob("*.py"))]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = [*sorted((ROOT / "ablations").glob("*.yaml")), *sorted((ROOT / "bench" / "report" / "templates").iterdir())]

Finding = tuple[str, int, str, str]
"""File, line, the words, what to say."""


def violations(path: str, line: int, text: str) -> Iterator[Finding]:
    for pattern, right in REPLACED.items():
        spaced = pattern.replace(" ", r"[\s#]+")
        for match in re.finditer(rf"(?<![\w`]){spaced}(?![\w`])", text, re.IGNORECASE):
            words = " ".join(match[0].split())
            if words.lower() not in STATISTICS.get(path, ()):
                yield path, line + text[: match.start()].count("\n"), words, right


def of_code(path: str, source: str) -> Iterator[Finding]:
    """Of string literals, docstrings and comments; identifiers are not texts."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1), tokenize.COMMENT):
            yield from violations(path, token.start[0], token.string)


def of_page(path: str, text: str) -> Iterator[Finding]:
    """Of a Markdown page: all of it, and names of metrics in prose outside code and links."""
    yield from violations(path, 1, text)
    prose = re.sub(r"```.*?```|`[^`\n]*`", lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.DOTALL)
    for match in re.finditer(IN_PROSE, prose):
        yield path, prose[: match.start()].count("\n") + 1, match[0], "mIoU, PCK@0.2, FID, MACs"
    yield from of_keys(path, text)


def of_keys(path: str, text: str) -> Iterator[Finding]:
    for match in re.finditer(OLD_KEY, text, re.MULTILINE):
        yield path, text[: match.start()].count("\n") + 1, "beside:", "compare_with:"


def report(findings: Iterator[Finding]) -> list[str]:
    return [f"{path}:{line}: '{words}': say {right}" for path, line, words, right in findings]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("folder", sorted({relative(path.parent) for path in CODE}))
def test_code(folder):
    files = [path for path in CODE if relative(path.parent) == folder]
    assert [line for p in files for line in report(of_code(relative(p), p.read_text("utf-8")))] == []


@pytest.mark.parametrize("path", PAGES, ids=relative)
def test_pages(path):
    assert report(of_page(relative(path), path.read_text("utf-8"))) == []


def test_ablations_and_templates():
    assert len(TEXTS) > 40
    texts = [(relative(path), path.read_text("utf-8")) for path in TEXTS]
    assert [line for path, text in texts for line in report((*violations(path, 1, text), *of_keys(path, text)))] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a data set of roads", "data set"),
        ("Data-sets", "Data-sets"),
        ("two cells failed", "cells failed"),
        ("the share\n    of pixels", "share of"),
        ("what a network sees", "network sees"),
        ("What else moved", "What else moved"),
        ("not surely better", "surely"),
        ("the phantom `sprites`", "phantom"),
    ],
)
def test_a_replaced_word_is_noticed(text, words):
    assert [finding[2] for finding in violations("x.py", 1, text)] == [words]


def test_lines_are_those_of_the_word():
    assert list(of_code("x.py", 'a = 1\nb = """One.\n\nA trial."""\n')) == [("x.py", 4, "trial", "training run")]
    assert list(of_page("x.md", "`miou`\n\nThe miou of it.\n```yaml\nbeside:\n```\n")) == [
        ("x.md", 3, "miou", "mIoU, PCK@0.2, FID, MACs"),
        ("x.md", 5, "beside:", "compare_with:"),
    ]


@pytest.mark.parametrize(
    "text",
    ["a cell of the grid", "`data set`", "grid cells", "a field of the form", "shared of old", "trialled", "sort by name",
     "trial_run", "kind of error", "MACs and mIoU"],
)  # fmt: skip
def test_common_english_is_not(text):
    assert list(of_page("x.md", text)) == []
