"""The reference page: what it says of each kind of thing, and that its Markdown stays Markdown."""

import pytest

from bench.report.reference import Command, reference

PLUGIN = '''
from typing import Annotated, Literal
from bench.registry import Bounds, Constraint, architecture, metric, task

@architecture(task="none", source="A | B 1999", constraints=(Constraint({"a": (7, 8), "b": True}, because="no * such"),))
def odd_one(*, a: Annotated[int, Bounds(0, 9)] = 3, b: bool = False, c: Literal["x", "y"]):
    """One line with a_b, `c|d` and <e>.

    - `a`: first
      and second line.
    """

@metric(unit="px", better="lower", kind="static", display_name="odd number")
def odd_number(subject):
    """A number."""

@task(unit="image", files=("ODD_FILE",))
class OddTask:
    """A task of a plug-in."""
'''


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "odd.py"
    path.write_text(PLUGIN, encoding="utf-8")
    command = Command("bench odd", "bench odd NAME", "Do it.", (("--kind A|B", "One | other."),))
    return reference([("first", "Is a * b?")], [command], [str(path)])


def test_an_architecture_has_axes_constraints_and_its_docstring(page):
    section = page.partition("### `odd_one`\n")[2].partition("\n### ")[0]
    assert r"One line with a_b, `c|d` and \<e\>." in section
    assert "- `a`: first\n  and second line." in section
    assert r"Task `none`. Source: A \| B 1999." in section
    assert "| `a` | int, 0 to 9 | `3` |" in section
    assert "| `b` | bool | `false` |" in section
    assert r"| `c` | x \| y | needed |" in section
    assert r"Not with `a=7 or 8, b=true`: no \* such." in section


def test_a_metric_has_name_unit_and_direction(page):
    assert "#### `odd_number`: odd number\n\nA number.\n\nUnit: px; lower is better; every task.\n" in page


def test_a_task_names_the_files_it_reads(page):
    assert (
        "### `oddtask`\n\nA task of a plug-in.\n\nOne unit of the evaluation is one image. Reads the files that `ODD_FILE`"
        in page
    )


def test_ablations_and_commands(page):
    assert r"| [first](../ablations/first.yaml) | Is a \* b? |" in page
    assert "### `bench odd`\n\n```text\nbench odd NAME\n\nDo it.\n```\n" in page
    assert r"| `--kind A\|B` | One \| other. |" in page


def test_sections_come_in_order(page):
    heads = [line for line in page.splitlines() if line.startswith("## ")]
    kinds = ("Architectures", "Metrics", "Tasks", "Datasets", "Figures", "Ablations", "Training", "Commands")
    assert heads == [f"## {kind}" for kind in kinds]
