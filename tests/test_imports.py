"""The house rules that a machine can check: where modules lie, which way imports run, what stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORDER = (
    ("cli",),
    ("sweep", "gate"),
    ("report",),
    ("plots",),
    ("display",),
    ("analysis",),
    ("training",),
    ("metrics",),
    ("tasks",),
    ("data",),
    ("results",),
    ("hardware",),
    ("spec",),
    ("structure", "stats"),
    ("registry",),
)
"""Rooms of `bench/`, from the one that imports most to the one that imports none; rooms of one level are strangers."""

LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
ARRAYS = ("numpy", "scipy", "skimage", "safetensors")
"""Not networks: algorithms on arrays (superpixels, distances), and files of weights."""
WITHOUT_TORCH = ("stats", "results", "analysis", "display", "report", "gate")
TORCH = {"torch", "torchvision", "timm"}
OF_AN_ARCHITECTURE = ("bench.registry", "architectures.layers", "torch", "timm", *ARRAYS, *sys.stdlib_module_names)

Edges = dict[str, dict[str, int]]
"""For each module the modules that it imports, with the line of the statement."""


def modules() -> dict[str, Path]:
    """Every module of `bench` and `architectures` by its dotted name."""
    paths = [path for package in ("bench", "architectures") for path in sorted((ROOT / package).rglob("*.py"))]
    return {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in paths}


def imported(text: str, module: str, existing: frozenset[str], package: bool = False) -> Iterator[tuple[str, int]]:
    """(module, line) of every import statement of a source text, wherever it stands: in functions, under
    TYPE_CHECKING, relative ones too. `from a import b` is `a.b` where that is in `existing`, else `a`."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module, package)
            names = (f"{base}.{alias.name}" for alias in node.names)
            yield from ((name if name in existing else base, node.lineno) for name in names)


def _absolute(node: ast.ImportFrom, module: str, package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    parent = parts[: len(parts) - node.level + package]
    return ".".join([*parent, *([node.module] if node.module else [])])


@cache
def edges() -> Edges:
    """All imports, those of other people's packages too."""
    paths = modules()
    names = frozenset(paths)
    return {
        name: {
            target: line
            for target, line in imported(path.read_text(), name, names, path.name == "__init__.py")
            if target != name
        }
        for name, path in paths.items()
    }


def room(module: str) -> str:
    """`bench.spec.claims` -> `spec`; empty outside of `bench`'s rooms."""
    package, _, rest = module.partition(".")
    return rest.partition(".")[0] if package == "bench" else ""


def circles(graph: Edges) -> list[list[str]]:
    """The strongly connected components of more than one module, each sorted (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    components: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for target in graph[module].keys() & graph.keys():
            if target not in index:
                visit(target)
            if target in stack:
                low[module] = min(low[module], low[target])
        if low[module] == index[module]:
            start = stack.index(module)
            components.append(sorted(stack[start:]))
            del stack[start:]

    for module in graph:
        if module not in index:
            visit(module)
    return [component for component in components if len(component) > 1]


def statements(source: str, targets: Edges) -> Iterator[tuple[str, str]]:
    for target, line in targets[source].items():
        yield f"{source}:{line}", target


def test_bench_holds_rooms_only() -> None:
    entries = {path.name for path in (ROOT / "bench").iterdir() if path.name != "__pycache__"}
    assert entries == {"__init__.py", "py.typed", *LEVEL}
    assert [name for name in LEVEL if not (ROOT / "bench" / name / "__init__.py").is_file()] == []


def test_a_room_imports_only_rooms_to_its_right() -> None:
    wrong = [
        f"{where} imports {target}"
        for source in edges()
        for where, target in statements(source, edges())
        if room(source) and room(target) not in ("", room(source)) and LEVEL[room(source)] >= LEVEL[room(target)]
    ]
    assert wrong == []


def test_only_the_command_line_imports_the_public_api() -> None:
    """`bench/__init__.py` lies between `cli` and the other rooms."""
    wrong = [
        f"{s}:{targets['bench']}" for s, targets in edges().items() if room(s) not in ("", "cli") and "bench" in targets
    ]
    assert wrong == []


def test_imports_have_no_circle() -> None:
    assert circles(edges()) == []


def test_nobody_imports_an_architecture_by_a_statement() -> None:
    wrong = [
        f"{where} imports {target}"
        for source in edges()
        for where, target in statements(source, edges())
        if target.partition(".")[0] == "architectures" and source.partition(".")[0] != "architectures"
    ]
    assert wrong == []


def test_an_architecture_imports_only_the_registry_and_shared_layers_of_ours() -> None:
    wrong = [
        f"{where} imports {target}"
        for source in edges()
        if source.partition(".")[0] == "architectures"
        for where, target in statements(source, edges())
        if not any(target == name or target.startswith(f"{name}.") for name in OF_AN_ARCHITECTURE)
    ]
    assert wrong == []


def test_what_only_reads_never_imports_torch() -> None:
    wrong = [
        f"{where} imports {target}"
        for source in edges()
        if room(source) in WITHOUT_TORCH
        for where, target in statements(source, edges())
        if target.partition(".")[0] in TORCH
    ]
    assert wrong == []


SOURCE = """
import os.path
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from bench.a import b
def f():
    from bench.a import name
    from . import sibling
    from ..c import d
"""


def test_every_statement_counts_wherever_it_stands() -> None:
    existing = frozenset({"bench.a", "bench.a.b", "bench.room.sibling", "bench.c.d"})
    targets = {target for target, _ in imported(SOURCE, "bench.room.mine", existing)}
    assert targets == {"os.path", "typing", "bench.a.b", "bench.a", "bench.room.sibling", "bench.c.d"}
    inside = {target for target, _ in imported("from . import sibling", "bench.room", existing, package=True)}
    assert inside == {"bench.room.sibling"}


def test_a_circle_of_three_is_reported_once_and_a_diamond_is_none() -> None:
    graph = {"a": {"b": 1}, "b": {"c": 1}, "c": {"a": 1}, "d": {"a": 1, "e": 2}, "e": {"a": 1, "torch": 2}}
    assert circles(graph) == [["a", "b", "c"]]


COMMANDS = [
    ["--help"],
    ["list"],
    ["list", "--json"],
    ["show", "fcn"],
    ["run", "--help"],
    ["plan", "fcn_skips_static"],
    ["table", "fcn_skips_static"],
    ["gate", "fcn_skips_static"],
    ["why", "fcn_skips_static"],
    ["data", "list"],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_light_commands_import_no_torch(arguments: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "ablations"
    folder.mkdir()
    text = (
        "question: q\narchitecture: fcn\nvary: {stride: [16]}\nmetrics: [params, miou]\nworkload: {dataset: context}\n"
    )
    (folder / "fcn_skips_static.yaml").write_text(text)
    code = (
        "import sys\nfrom bench.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'torchvision', 'timm', 'fvcore'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_help_and_list_import_neither_pandas_nor_numpy() -> None:
    code = (
        "import sys\nfrom bench.cli import main\n"
        "for arguments in (['--help'], ['list']):\n"
        "    try: main(arguments)\n    except SystemExit: pass\n"
        "heavy = {'pandas', 'numpy', 'pydantic', 'seaborn', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_importing_a_module_of_ours_changes_no_global_state_of_torch() -> None:
    names = [name for name in modules() if not name.endswith("__main__")]
    code = (
        "import importlib, torch\n"
        "state = lambda: (torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(),\n"
        "    torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark,\n"
        "    torch.get_float32_matmul_precision(), torch.initial_seed())\n"
        "torch.manual_seed(7); before = state()\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "assert state() == before, (before, state())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
