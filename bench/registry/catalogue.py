"""What is registered: read from the sources without importing them, or imported when it is to run.

`list`, `show` and the checks of an ablation must be instant, so they see *declarations*: each file
is parsed, the bodies of its registered functions are dropped, and what is left (decorator, keyword-only
parameters, docstring: the *skeleton*) is executed against a registry of its own. Skeletons are kept compiled
in the user's cache, by the digest of the file that they are of. The live entry, the one that can
build or measure, comes from `live()`, which imports the one module it stands in.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import sys
import typing
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, TypeVar

import bench.registry as registry
from bench.registry import LIVE, Entry, Registries, RegistryError
from bench.registry.cache import read_table, write_table

FOLDERS = ("architectures", "bench.metrics", "bench.tasks", "bench.data", "bench.plots")
KINDS = ("architecture", "metric", "task", "dataset", "plot")
ENTRY_POINTS = "fovbench.plugins"
PLUGIN_PREFIX = "fovbench_plugin_"

E = TypeVar("E", bound=Entry)


class CatalogueError(RegistryError):
    """A file of the catalogue, or a plug-in, that cannot be read."""


@dataclass(frozen=True)
class Source:
    """A module that may register something: its import name, its file, whether a user named it."""

    module: str
    path: Path
    plugin: bool = False


def package_folder(package: str) -> Path:
    """The folder of one of our packages, without importing it. Raises CatalogueError if there is none."""
    top, *rest = package.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        raise CatalogueError(f"package '{top}' is not installed; run: pip install -e .")
    return Path(next(iter(spec.submodule_search_locations))).joinpath(*rest)


def sources(plugins: Sequence[str] = ()) -> Iterator[Source]:
    """Every module that is looked into: our folders, entry points, and the plug-ins that were named."""
    for package in FOLDERS:
        for path in sorted(package_folder(package).glob("*.py")):
            if path.stem != "__init__":
                yield Source(f"{package}.{path.stem}", path)
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        yield plugin_source(point.value)
    for plugin in plugins:
        yield plugin_source(plugin)


def plugin_source(plugin: str) -> Source:
    """The module that `pkg.module` or `path/file.py` names. Raises CatalogueError if there is none."""
    if plugin.endswith(".py"):
        path = Path(plugin).resolve()
        if not path.is_file():
            raise CatalogueError(f"plug-in '{plugin}': there is no such file")
        digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
        return Source(f"{PLUGIN_PREFIX}{path.stem}_{digest}", path, plugin=True)
    try:
        spec = importlib.util.find_spec(plugin)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.origin:
        raise CatalogueError(f"plug-in '{plugin}': no such module; name an importable module or a file.py")
    return Source(plugin, Path(spec.origin), plugin=True)


@functools.cache
def declarations(plugins: tuple[str, ...] = ()) -> Registries:
    """All entries as declared in the sources. Raises RegistryError for a doubled name or an unreadable file."""
    declared = Registries()
    known, used = read_table(_TABLE, _version()), {}
    for source in sources(plugins):
        content = _read(source.path)
        key = hashlib.sha256(b"%s\0%s" % (os.fsencode(source.path), content)).hexdigest()
        used[key] = known[key] if key in known else _skeleton(_parsed(content, source.path), source)
        declare(source, used[key], declared)
    if used.keys() - known.keys():
        write_table(_TABLE, _version(), dict(islice({**used, **known}.items(), MOST_KEPT)))
    return declared


MOST_KEPT = 1000
"""Skeletons in the cache; those that were used least lately are dropped."""
_TABLE = "declarations"
Skeleton = tuple[dict[str, str], tuple[tuple[int, CodeType], ...]]
"""Local name -> name in bench.registry; (line, statement) in order. No statements: nothing is registered."""


@functools.cache
def _version() -> bytes:
    """What a compiled skeleton depends on besides its file: how it is cut out, and the interpreter."""
    interpreter = f"{sys.implementation.cache_tag} {sys.flags.optimize}".encode()
    return importlib.util.MAGIC_NUMBER + interpreter + _read(Path(__file__))


def declare(source: Source, skeleton: Skeleton, into: Registries) -> None:
    """Add what `source` registers to `into`, without importing it where that is possible."""
    names, statements = skeleton
    namespace = _namespace(source, names, into)
    for line, code in statements:
        _run(code, f"{source.path}:{line}", namespace)
    if source.plugin and not statements:
        _import_instead(source, into)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CatalogueError(f"{path}: cannot be read: {error}") from None


def parse(path: Path) -> ast.Module:
    """Raises CatalogueError with file and line where the file is no Python."""
    return _parsed(_read(path), path)


def _parsed(content: bytes, path: Path) -> ast.Module:
    try:
        return ast.parse(content, filename=str(path))
    except (SyntaxError, ValueError) as error:
        where = f":{error.lineno}" if isinstance(error, SyntaxError) else ""
        raise CatalogueError(f"{path}{where}: cannot be read: {error}") from None


def _imported_names(tree: ast.Module) -> dict[str, str]:
    """Local name -> name in bench.registry, for what the module imports from there."""
    found = (n for n in tree.body if isinstance(n, ast.ImportFrom) and n.module == "bench.registry")
    return {alias.asname or alias.name: alias.name for node in found for alias in node.names}


def _registering(decorator: ast.expr, names: dict[str, str]) -> bool:
    call = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(call, ast.Name) and names.get(call.id) in KINDS


def _is_registered(node: ast.stmt, names: dict[str, str]) -> bool:
    if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return False
    return any(_registering(d, names) for d in node.decorator_list)


def _skeleton(tree: ast.Module, source: Source) -> Skeleton:
    """The registered functions and classes without bodies, and the constants that stand above them."""
    names = _imported_names(tree)
    if not any(_is_registered(node, names) for node in tree.body):
        return names, ()
    known = {"__name__", "__builtins__", *_VOCABULARY, *names}
    statements = []
    for node in tree.body:
        if _is_registered(node, names):
            node = _bare(node, names)
        elif not (isinstance(node, (ast.Assign, ast.AnnAssign)) and _known(node, known)):
            continue
        known |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        known |= {node.name} if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else set()
        statements.append((node.lineno, _compiled(node, source)))
    return names, tuple(statements)


_VOCABULARY = ("Literal", "Annotated", "Optional", "Union", "Any")


def _namespace(source: Source, names: dict[str, str], into: Registries) -> dict[str, Any]:
    vocabulary = {name: getattr(typing, name) for name in _VOCABULARY}
    imported = {local: getattr(into if name in KINDS else registry, name) for local, name in names.items()}
    return {"__name__": source.module, "__builtins__": builtins, **vocabulary, **imported}


_CONSTANT_CALLS = frozenset({"Fact", "Constraint", "Bounds", "tuple", "dict", "list", "range", "frozenset"})


def _known(node: ast.Assign | ast.AnnAssign, names: Set[str]) -> bool:
    """Whether the assignment is a constant made of literals and of names that are constants already."""
    if node.value is None:
        return False
    allowed = names | {"bool", "int", "float", "str", "tuple", "list", "dict", "range", "frozenset"}
    plain = (ast.Lambda, ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp, ast.Await, ast.NamedExpr)
    for part in ast.walk(node.value):
        if isinstance(part, plain) or (isinstance(part, ast.Name) and part.id not in allowed):
            return False
        if isinstance(part, ast.Call) and not (isinstance(part.func, ast.Name) and part.func.id in _CONSTANT_CALLS):
            return False
    return True


def _bare(node: ast.stmt, names: dict[str, str]) -> ast.stmt:
    """The function or class with its registering decorator, axes and docstring, and nothing to run."""
    assert isinstance(node, (ast.FunctionDef, ast.ClassDef))
    node.decorator_list = [d for d in node.decorator_list if _registering(d, names)]
    documented = ast.get_docstring(node, clean=False) is not None
    node.body = node.body[:1] if documented else [ast.Expr(ast.Constant(...))]
    if isinstance(node, ast.ClassDef):
        node.bases = []
        node.keywords = []
    else:
        node.returns = None
        for argument in (*node.args.posonlyargs, *node.args.args):
            argument.annotation = None
    return node


def _compiled(node: ast.stmt, source: Source) -> CodeType:
    module = ast.fix_missing_locations(ast.Module(body=[node], type_ignores=[]))
    try:
        return compile(module, str(source.path), "exec")
    except SyntaxError as error:  # what a parser lets pass: `return` outside a function
        raise CatalogueError(f"{source.path}:{error.lineno}: cannot be read: {error}") from None


def _run(code: CodeType, where: str, namespace: dict[str, Any]) -> None:
    try:
        exec(code, namespace)
    except RegistryError:
        raise
    except Exception as error:
        hint = "decorator arguments, axis types and defaults must be literals or module constants"
        raise CatalogueError(f"{where}: {type(error).__name__}: {error} ({hint})") from error


def _import_instead(source: Source, into: Registries) -> None:
    """A plug-in that registers in its own way can only be known by importing it."""
    before = {id(entry) for sort in KINDS for entry in _of(LIVE, sort)}
    load(source)
    for sort in KINDS:
        for entry in _of(LIVE, sort):
            if id(entry) not in before:
                _of(into, sort).add(entry)


def _of(registries: Registries, sort: str) -> registry.Registry[Any]:
    held: registry.Registry[Any] = getattr(registries, sort + "s")
    return held


def load(source: Source) -> ModuleType:
    """Import a module of the catalogue; what it prints goes to stderr. Raises CatalogueError for what that raises."""
    if source.module in sys.modules:
        return sys.modules[source.module]
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return _imported(source)
    except (Exception, SystemExit) as error:
        first = (str(error).splitlines() or [""])[0]
        raise CatalogueError(f"{source.path}: cannot be imported: {type(error).__name__}: {first}") from error


def _imported(source: Source) -> ModuleType:
    if not source.module.startswith(PLUGIN_PREFIX):
        return importlib.import_module(source.module)
    spec = importlib.util.spec_from_file_location(source.module, source.path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[source.module] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[source.module]
        raise
    return module


def source_of(entry: Entry, plugins: Sequence[str] = ()) -> Source:
    """The module that registers `entry`."""
    for plugin in plugins:
        source = plugin_source(plugin)
        if source.module == entry.module:
            return source
    path = package_folder(entry.module.rpartition(".")[0]) / f"{entry.module.rpartition('.')[2]}.py"
    return Source(entry.module, path)


def live(entry: E, plugins: Sequence[str] = ()) -> E:
    """The entry that can run: its module imported, its call the real one."""
    load(source_of(entry, plugins))
    found: E = _of(LIVE, type(entry).__name__.lower()).get(entry.name)
    return found
