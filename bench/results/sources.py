"""A digest of the code that a value depends on: a module and the project modules that it imports.

Comments, docstrings, layout and the place of imported project modules do not count: the digest is taken of the syntax
tree, so that explaining a line or moving a file does not throw a week of training away.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bench.registry.catalogue import PLUGIN_PREFIX, package_folder, parse, parse_text
from bench.registry.loading import is_installed
from bench.registry.project import project
from bench.registry.versions import library_version

OURS = ("bench", "architectures")
# They hold names and values, no arithmetic; what they hold is part of the key by value.
VOCABULARY = frozenset(
    {"bench", "bench.registry", "bench.results.measurement"}
    | {f"bench.spec.{name}" for name in ("numeric", "recipe", "workload")}
    | {f"bench.registry.{name}" for name in ("axes", "entries", "errors", "published")}
)


@functools.cache
def digest(path: Path) -> str:
    """Hash of one file's syntax tree without docstrings, published facts, and the place of imported project modules."""
    names: set[str] = set()
    parsed, TEXTS[path] = parse_text(path)
    tree = _Content(names).visit(parsed)
    return hashlib.sha256("\n".join([ast.unparse(tree), *sorted(names)]).encode()).hexdigest()[:16]


TEXTS: dict[Path, str] = {}
"""Digests of the texts that digests of code were taken of."""


def text_of(path: Path) -> str:
    """Hash of the bytes of the file from which `digest` was taken."""
    digest(path)
    return TEXTS[path]


class _Content(ast.NodeTransformer):
    """Drops docstrings, published facts and imports of project modules; of these the imported names are collected."""

    def __init__(self, names: set[str]) -> None:
        self.names = names
        self.fact_makers = {"Published", "facts"}

    def visit_Module(self, node: ast.Module) -> ast.AST:
        node.body = [statement for statement in node.body if not self._states_facts(statement)]
        return self.generic_visit(node)

    def _states_facts(self, statement: ast.stmt) -> bool:
        """Whether it is `facts(...)`, or binds a group: `paper = Published(...)`, `counted = paper.at(...)`."""
        if not isinstance(statement, (ast.Expr, ast.Assign)) or _root(statement.value) not in self.fact_makers:
            return False
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        self.fact_makers |= {target.id for target in targets if isinstance(target, ast.Name)}
        return True

    def visit(self, node: ast.AST) -> Any:
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return super().visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom | None:
        if (node.module or "").split(".")[0] not in OURS:
            return node
        self.names |= {f"{alias.name} as {alias.asname or alias.name}" for alias in node.names}
        return None


def _root(value: ast.expr) -> str:
    """The name that a chain of calls starts with: `a` of `a(1).b(2)`; empty for what is no call."""
    if not isinstance(value, ast.Call):
        return ""
    while isinstance(value, (ast.Call, ast.Attribute)):
        value = value.func if isinstance(value, ast.Call) else value.value
    return value.id if isinstance(value, ast.Name) else ""


@functools.cache
def closure(module: str, path: Path) -> tuple[tuple[str, Path], ...]:
    """The module and all project modules that it imports, directly or not, sorted by name."""
    modules: dict[str, Path] = {}
    waiting = [(module, path)]
    while waiting:
        name, file = waiting.pop()
        if name not in modules and name not in VOCABULARY:
            modules[name] = file
            waiting += _project_imports(name, file)
    return tuple(sorted(modules.items()))


def code_digest(modules: Iterable[tuple[str, Path]]) -> dict[str, str]:
    """Module name -> digest, over the closures of all `modules`."""
    return {_movable(name): digest(path) for module in modules for name, path in closure(*module)}


def _movable(name: str) -> str:
    """A module's name in a key: a plug-in's without the mark of the folder that it lies in."""
    return name.rpartition("_")[0] if name.startswith(PLUGIN_PREFIX) else name


@functools.cache
def _project_imports(module: str, path: Path) -> tuple[tuple[str, Path], ...]:
    own = (*OURS, module.split(".")[0])
    modules: dict[str, Path] = {}
    for name in _imports(module, path):
        inside = name.split(".")[0] in own
        file = _file_of(name, module, path) if inside else _beside(name, module, path) or _editable(name)
        if file is not None:
            modules[name] = file
    return tuple(modules.items())


def _beside(name: str, importer: str, path: Path) -> Path | None:
    """A module of the user's own in the folder of a plug-in that imports it, or in the project's folder."""
    if importer.split(".")[0] in OURS or not name or _comes_first(name.partition(".")[0]):
        return None
    folders = (path.parent, Path(os.path.abspath(project().folder)))
    return next((file for folder in folders if (file := _existing(folder.joinpath(*name.split("."))))), None)


@functools.cache
def _comes_first(top: str) -> bool:
    """Whether the interpreter imports a module of its own or of an installed package, whatever lies by a plug-in."""
    if top in sys.stdlib_module_names:
        return True
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None and is_installed(os.path.realpath(spec.origin))


def _editable(name: str) -> Path | None:
    """A module outside the folders of installed packages: of a package that is installed from where it is edited."""
    top, _, rest = name.partition(".")
    place = _origin(top) if top and top not in sys.stdlib_module_names else None
    if place is None:
        return None
    if place.name != "__init__.py":
        return None if rest else place
    return _existing(place.parent.joinpath(*rest.split("."))) if rest else place


@functools.cache
def _origin(top: str) -> Path | None:
    """The source file of a module that is not installed, where the interpreter finds it; None for any other."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or not (spec.origin or "").endswith(".py") or is_installed(os.path.realpath(spec.origin or "")):
        return None
    return Path(spec.origin or "")


@functools.cache
def _imports(module: str, path: Path) -> tuple[str, ...]:
    """Every module that the file may import, in full; `from a import b` gives both a and a.b."""
    return tuple(dict.fromkeys(_import_statements(module, path)))


@functools.cache
def imported_at_once(path: Path) -> tuple[str, ...]:
    """The packages that importing the file imports: not those of imports inside functions. No relative ones."""
    statements = [node for node in parse(path).body if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = [alias.name for node in statements if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in statements if isinstance(node, ast.ImportFrom) and not node.level]
    return tuple(dict.fromkeys(name.split(".")[0] for name in names))


def _import_statements(module: str, path: Path) -> Iterator[str]:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in _runtime_nodes(parse(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*up, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from _runtime_nodes(node)


def _file_of(name: str, importer: str, path: Path) -> Path | None:
    top = name.split(".")[0]
    if top in OURS:
        base = package_folder(top).joinpath(*name.split(".")[1:])
    else:
        depth = len(importer.split(".")) - (path.name != "__init__.py")
        base = path.parents[depth].joinpath(*name.split("."))
    return _existing(base)


def _existing(base: Path) -> Path | None:
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


COMPUTING = frozenset({"numpy", "pillow", "scikit-image", "scipy", "torchvision"})
"""Distributions that compute for the libraries that require them; a name or a licence list never changes a number."""


@functools.cache
def libraries(modules: tuple[tuple[str, Path], ...], also: tuple[str, ...] = ()) -> tuple[tuple[str, str], ...]:
    """Versions of the third-party libraries that the closures of `modules` import, of torch, and of `also`.

    With those among COMPUTING that these require.
    """
    names = {"torch", *also}
    for module in modules:
        for name, path in closure(*module):
            names |= {imported.split(".")[0] for imported in _imports(name, path) if imported}
    foreign = names - set(sys.stdlib_module_names) - set(OURS) - {m.split(".")[0] for m, _ in modules}
    foreign |= {required for name in foreign for required in _computing(name)}
    return tuple((name, version) for name in sorted(foreign) if (version := library_version(name)) is not None)


@functools.cache
def _computing(library: str) -> tuple[str, ...]:
    """What a library requires of COMPUTING."""
    try:
        lines = importlib.metadata.requires(library) or []
    except importlib.metadata.PackageNotFoundError:
        return ()
    names = (re.split(r"[^\w.-]", line, maxsplit=1)[0].lower() for line in lines if "extra ==" not in line)
    return tuple(name for name in names if name in COMPUTING)


def file_digest(path: Path) -> str | None:
    """Hash of a file's bytes, remembered by its size and date; None where there is no such file."""
    if not path.is_file():
        return None
    stat = path.stat()
    return _content(path, stat.st_size, stat.st_mtime_ns)


@functools.cache
def _content(path: Path, size: int, date: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


CACHED = (digest, closure, _project_imports, _comes_first, _origin, _imports, imported_at_once, libraries)
"""What remembers the content of code."""
