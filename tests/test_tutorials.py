"""Tutorials, the extension guide and the notebook, executed as a reader would: in an empty folder, page by page."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

from bench.cli import main
from bench.results.session import read_changes

DOCS = Path(__file__).parents[1] / "docs"
FENCE = re.compile(r"^```(\w*) ?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder, without datasets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FOVBENCH_DATA", raising=False)
    monkeypatch.delenv("FOVBENCH_STORE", raising=False)
    return tmp_path


def follow(page: str, folder: Path) -> dict[str, int]:
    """Save the page's files and execute its `bench` commands in order; each command with its exit status."""
    blocks = FENCE.findall((DOCS / page).read_text(encoding="utf-8"))
    for _, info, code in blocks:
        if info.startswith("file="):
            file = folder / info.removeprefix("file=")
            file.parent.mkdir(exist_ok=True)
            file.write_text(code, encoding="utf-8")
    lines = [line for kind, info, code in blocks if kind == "sh" and info != "no-run" for line in code.splitlines()]
    return {line: carried_out(line) for line in lines if line.startswith(("bench ", "python "))}


def carried_out(line: str) -> int:
    program, *words = shlex.split(line)
    if program == "bench":
        return status(words)
    runpy.run_path(*words, run_name="__main__")
    return 0


def status(words: list[str]) -> int:
    try:
        main(words)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def table_rows(text: str, network: str = "mynet") -> dict[str, list[str]]:
    """The rows of Markdown tables by their first entry, the others without differences."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith(f"| {network}(")]
    return {row[0]: [re.sub(r" \(Δ.*", "", part) for part in row[1:]] for row in rows}


def test_your_network_and_its_gate(folder, capsys):
    outcomes = follow("tutorials/your_network.md", folder)
    printed = capsys.readouterr().out
    assert outcomes
    assert set(outcomes.values()) == {0}
    assert (folder / "reports" / "site" / "skip" / "index.html").is_file()
    page = (DOCS / "tutorials" / "your_network.md").read_text(encoding="utf-8")
    shown, measured = table_rows(page), table_rows(printed)
    assert len(shown) == 3
    assert shown.keys() == measured.keys()
    for variant, row in shown.items():
        assert row[:5] == measured[variant][:5], "axes, parameters, MACs and receptive field"

    outcomes = follow("tutorials/gate.md", folder)
    assert list(outcomes.values()) == [0, 0]
    expected, changed, details = shown_texts("tutorials/gate.md")
    assert shown_lines(expected) <= printed_lines(capsys)
    assert re.fullmatch(r"(\d+) of \1 numbers as expected", expected[0]), "all of them"
    source = (folder / "mynet.py").read_text(encoding="utf-8")
    (folder / "mynet.py").write_text(source.replace("3, padding=1)", "3, padding=1, bias=False)"), encoding="utf-8")
    read_changes()
    for lines, options in ((changed, []), (details, ["--details"])):
        assert status(["gate", "skip.yaml", "--plugin", "mynet.py", *options]) == 1
        assert shown_lines(lines) <= printed_lines(capsys)
    few, all_of_them = re.search(r"^(\d+) of (\d+) numbers", "\n".join(changed), re.MULTILINE).groups()
    assert int(few) < int(all_of_them) == int(expected[0].partition(" ")[0])


def shown_texts(page: str) -> list[list[str]]:
    """The lines of each output that a page shows."""
    blocks = FENCE.findall((DOCS / page).read_text(encoding="utf-8"))
    return [code.splitlines() for kind, _, code in blocks if kind == "text"]


def printed_lines(capsys: pytest.CaptureFixture[str]) -> set[str]:
    captured = capsys.readouterr()
    return shown_lines([*captured.out.splitlines(), *captured.err.splitlines()])


def shown_lines(lines: list[str]) -> set[str]:
    """Without what is left out, and without counts, which grow with each further deterministic number."""
    return {re.sub(r"\d+ of \d+ numbers", "N of M numbers", line) for line in lines if line != "..."}


MOST_LINES = 60
"""Of the user's code in the tutorial of an own project."""


def test_a_project_of_ones_own(folder, capsys):
    page = "tutorials/own_project.md"
    text = (DOCS / page).read_text(encoding="utf-8")
    code = [block for _, info, block in FENCE.findall(text) if info.startswith("file=")]
    assert sum(bool(line.strip()) for block in code for line in block.splitlines()) < MOST_LINES

    outcomes = follow(page, folder)
    printed = capsys.readouterr().out
    assert len(outcomes) == 4
    assert set(outcomes.values()) == {0}
    assert "train: 36 examples\nval: 12 examples\n" in printed
    assert "rings: 12 due, 4 cached, 6 trainings; " in printed
    shown, measured = table_rows(text, "ringnet"), table_rows(printed, "ringnet")
    assert len(shown) == 2
    assert shown.keys() == measured.keys()
    for variant, row in shown.items():
        assert row[:3] == measured[variant][:3], "axis, parameters and MACs"
    scores = {row[0]: [float(score.partition(" ")[0]) for score in row[3:]] for row in measured.values()}
    assert scores["false"][0] < 0.6 < 0.8 < scores["true"][0]
    assert scores["false"][1] > 0.5 > scores["true"][1]

    for file, due in {"metric.py": {"area_error"}, "rings/images/05.png": {"miou", "area_error"}}.items():
        before = (folder / file).read_bytes()
        (folder / file).write_bytes(changed(folder / file))
        read_changes()
        assert status(["plan", "rings"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert {line.split()[2] for line in lines if line.startswith("due ")} == due
        (folder / file).write_bytes(before)


def changed(file: Path) -> bytes:
    """Another metric, or another image."""
    if file.suffix == ".py":
        return file.read_bytes().replace(b" - 1)", b" - 2)")
    return (file.parent / "06.png").read_bytes()


def test_the_extension_guide(folder, capsys):
    outcomes = follow("extending.md", folder)
    assert list(outcomes.values()) == [0]
    plugins = [word for name in ("classifier", "classification", "stripes", "metrics", "spread")
               for word in ("--plugin", f"{name}.py")]  # fmt: skip
    assert status(["table", "pooling.yaml", *plugins, "--format", "json"]) == 0
    assert '"correct"' in capsys.readouterr().out
    assert "spread" in (folder / "reports" / "site" / "pooling" / "index.html").read_text(encoding="utf-8")
    assert status(["verify", "classifier", "--plugin", "classifier.py"]) == 0
    assert "3 facts: 3 reproduced" in capsys.readouterr().out


def test_your_own_data(folder, capsys):
    blocks = FENCE.findall((DOCS / "datasets.md").read_text(encoding="utf-8"))
    (made,) = (code for _, info, code in blocks if info == "file=make_scans.py")
    exec(compile(made, "make_scans.py", "exec"), {})
    outcomes = follow("datasets.md", folder)
    assert list(outcomes.values()) == [0, 0]
    assert "train: 6 examples\nval: 3 examples\n" in capsys.readouterr().out
    (folder / "scans" / "val").rename(folder / "scans" / "test")
    assert status(["data", "check", "scans", "--plugin", "scans.py", "--data", ".", "--shape", "1,32,32"]) == 2
    assert "scans (val): not found, looked for scans/val\n" in capsys.readouterr().err


def execute(notebook: str) -> dict[str, object]:
    """Execute the cells of a notebook, or write the file that `%%writefile` names; the names that they define."""
    content = json.loads((DOCS / notebook).read_text(encoding="utf-8"))
    assert content["nbformat"] == 4
    cells = ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]
    assert len(cells) > 4
    namespace: dict[str, object] = {"__name__": "__main__"}
    for number, cell in enumerate(cells):
        first, _, rest = cell.partition("\n")
        if first.startswith("%%writefile "):
            Path(first.removeprefix("%%writefile ")).write_text(rest, encoding="utf-8")
        else:
            exec(compile(cell, f"{notebook}, cell {number}", "exec"), namespace)
    return namespace


def test_the_notebook(tmp_path, monkeypatch):
    monkeypatch.chdir(DOCS)
    monkeypatch.setenv("FOVBENCH_STORE", str(tmp_path / "store.sqlite"))
    execute("api.ipynb")


def test_the_notebook_of_a_project_of_ones_own(folder, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    table = execute("own_project.ipynb")["table"]
    assert table["params"].tolist() == [842, 858]
    assert table["miou_verdict"].tolist()[1] == "better"
