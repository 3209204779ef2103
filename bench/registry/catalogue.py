"""All registered entries: read from their source files without importing them, or imported in order to run.

`list`, `show` and the checks of an ablation must be instant, so they use *declarations*: each file
is parsed, the bodies of its registered functions are dropped, and the rest (decorators, keyword-only
parameters, docstrings, facts: the *skeleton*) is executed against a registry of its own. Compiled skeletons are cached
for the user, by the digest of their file. The live entry, the one that can
build or measure, comes from `live()`, which imports the module that defines it.
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
import re
import sys
import typing
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, TypeGuard, TypeVar

import bench.registry as registry
from bench.registry import LIVE, Entry, Registries, RegistryError, suggestion
from bench.registry.builtin import PACKAGE
from bench.registry.cache import read_table, write_table
from bench.registry.entries import check_parameters
from bench.registry.loading import ExactLoader, text_digest
from bench.registry.places import origin, place_of, shown
from bench.registry.project import FILE, located, make_importable, project

FOLDERS = ("architectures", "bench.metrics", "bench.tasks", "bench.data", "bench.plots")
KINDS = ("architecture", "metric", "task", "dataset", "plot")
ENTRY_POINTS = "fovbench.plugins"
PLUGIN_PREFIX = "fovbench_plugin_"

E = TypeVar("E", bound=Entry)


class CatalogueError(RegistryError):
    """A file of the catalogue, or a plug-in, that cannot be read."""

    kind = "failed"


@dataclass(frozen=True)
class Source:
    """A module that may register something: its import name, its file, whether a user named it as a plug-in."""

    module: str
    path: Path
    plugin: bool = False


def package_folder(package: str) -> Path:
    """The folder of one of our packages, without importing it. Raises CatalogueError if there is none.

    It lies beside the folder of `bench`, whatever else of that name could be imported; an editable installation may
    have it elsewhere.
    """
    top, *rest = package.split(".")
    beside = PACKAGE.with_name(top)
    if (beside / "__init__.py").is_file():
        return beside.joinpath(*rest)
    spec = importlib.util.find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        raise CatalogueError(f"package '{top}' is not installed; run: pip install -e .")
    return Path(next(iter(spec.submodule_search_locations))).joinpath(*rest)


def own_sources() -> Iterator[Source]:
    """Every module of our folders that may register something."""
    for package in FOLDERS:
        for path in sorted(package_folder(package).glob("*.py")):
            if path.stem != "__init__":
                yield Source(f"{package}.{path.stem}", path)


def plugin_sources(plugins: Sequence[str] = ()) -> Iterator[Source]:
    """Every other one: those of entry points, and the named plug-ins."""
    yield from map(plugin_source, (*_entry_points(), *plugins))


@functools.cache
def _entry_points() -> tuple[str, ...]:
    """The modules that installed packages name. They are looked for once: it takes 10 ms."""
    return tuple(point.value for point in importlib.metadata.entry_points(group=ENTRY_POINTS))


def is_named(file: str, plugins: Sequence[str]) -> bool:
    """Whether a file or module is one of the plug-ins, so that its code may run."""
    if file in plugins:
        return True
    if not file.endswith(".py"):
        return False
    return located(file).resolve() in [plugin_source(each).path for each in plugins if each.endswith(".py")]


def allow(file: str) -> str:
    """How the code of a file is allowed to run."""
    return f"allow it with --plugin {file}, or under plugins in the project's {FILE}"


def plugin_source(plugin: str) -> Source:
    """The module that `pkg.module` or `path/file.py` names. Raises CatalogueError if there is none."""
    if plugin.endswith(".py"):
        path = located(plugin).resolve()
        if not path.is_file():
            raise CatalogueError(f"plug-in '{plugin}': no such file{suggestion(path.name, _python_files(path.parent))}")
        digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
        return Source(f"{PLUGIN_PREFIX}{path.stem}_{digest}", path, plugin=True)
    place = located(plugin)
    if place.is_file() or (place.is_dir() and not (place / "__init__.py").is_file()):
        what = "a folder; name the files in it" if place.is_dir() else "no Python file; name one that ends in .py"
        raise CatalogueError(f"plug-in '{plugin}': is {what}")
    try:
        spec = importlib.util.find_spec(plugin)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.origin:
        raise CatalogueError(f"plug-in '{plugin}': no such module; name an importable module or a file.py")
    return Source(plugin, Path(spec.origin), plugin=True)


def _python_files(folder: Path) -> list[str]:
    return [file.name for file in sorted(folder.glob("*.py"))]


def unregistered(name: str, kind: str, plugins: Sequence[str] = ()) -> str:
    """`network.py:29 defines it, ...`: why a function of the project is not registered; empty where there is none."""
    loaded = {plugin_source(plugin).path for plugin in plugins if plugin.endswith(".py")}
    folder = project().folder.resolve()
    for path in (*sorted(loaded), *sorted({*folder.glob("*.py"), *folder.glob("*/*.py")} - loaded)):
        if line := _definition(path, name):
            without = f"without @{kind}(...) above it" if path in loaded else f"but is no plug-in: name it in {FILE}"
            return f"; {shown(path)}:{line} defines it, {without}"
    return ""


def _definition(path: Path, name: str) -> int:
    """The line of a file on which a function or class of this name begins; 0 where there is none."""
    lines = _read(path).decode("utf-8", "replace").splitlines()
    pattern = re.compile(rf"(def|class) {re.escape(name)}\b")
    return next((number for number, line in enumerate(lines, 1) if pattern.match(line)), 0)


@functools.cache
def declarations(plugins: tuple[str, ...] = ()) -> Registries:
    """All entries as declared in the sources. Raises RegistryError for a doubled name or an unreadable file."""
    declared = own_declarations().copy()
    _declare_all(list(plugin_sources(plugins)), declared)
    _check_entries(declared)
    return declared


@functools.cache
def own_declarations() -> Registries:
    """The entries of our own folders, which all plug-ins are added to."""
    _entry_points()  # a process that is forked from this one need not look for them either
    declared = Registries()
    _declare_all(list(own_sources()), declared)
    return declared


def _declare_all(sources: Sequence[Source], into: Registries) -> None:
    """Add the entries of all `sources`; their skeletons come from the cache, or go into it."""
    if not sources:
        return
    cached, used = read_table(_TABLE, _version()), {}
    for source in sources:
        content = _read(source.path)
        DECLARED[source.path] = text_digest(content)
        key = hashlib.sha256(b"%s\0%s" % (os.fsencode(source.path), content)).hexdigest()
        used[key] = cached[key] if key in cached else _skeleton(_parsed(content, source.path), source)
        declare(source, used[key], into)
    if used.keys() - cached.keys():
        write_table(_TABLE, _version(), dict(islice({**used, **cached}.items(), MOST_CACHED)))


def _check_entries(declared: Registries) -> None:
    """Raises CatalogueError where a plug-in's metric or dataset is for no task, or a function lacks a parameter."""
    for kind in KINDS:
        for entry in registry_of(declared, kind):
            if entry.module.startswith(("bench.", "architectures.")):
                continue
            try:
                check_parameters(kind, entry.call)
                _check_tasks(kind, entry, declared.tasks)
            except RegistryError as error:
                raise CatalogueError(f"{place_of(entry.call)}: {error}") from None


def _check_tasks(kind: str, entry: Any, tasks: registry.Registry[Any]) -> None:
    for task in entry.tasks if kind == "metric" else (entry.task,) if kind == "dataset" else ():
        if task not in tasks:
            hint = registry.suggestion(task, tasks.names())
            raise RegistryError(f"{kind} '{entry.name}' is for the task '{task}', which does not exist{hint}")


DECLARED: dict[Path, str] = {}
"""Digests of the texts that declarations were read from."""
MOST_CACHED = 1000
"""Most skeletons in the cache; the least recently used ones are dropped."""
_TABLE = "declarations"
Skeleton = tuple[dict[str, str], tuple[tuple[int, CodeType], ...]]
"""Local name -> name in bench.registry; (line, statement) in order. No statements: nothing is registered."""


@functools.cache
def _version() -> bytes:
    """What a compiled skeleton depends on besides its file: the code of this module, and the interpreter."""
    interpreter = f"{sys.implementation.cache_tag} {sys.flags.optimize}".encode()
    return importlib.util.MAGIC_NUMBER + interpreter + _read(Path(__file__))


def declare(source: Source, skeleton: Skeleton, into: Registries) -> None:
    """Add the entries of `source` to `into`, without importing it where that is possible."""
    imported, statements = skeleton
    namespace = _namespace(source, imported, into)
    for line, code in statements:
        _run(code, f"{shown(source.path)}:{line}", namespace)
    if source.plugin and not statements:
        _import_instead(source, into)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CatalogueError(f"{shown(path)}: cannot be read: {error}") from None


def parse(path: Path) -> ast.Module:
    """The syntax tree of a file. Raises CatalogueError with file and line where it is not valid Python."""
    return parse_text(path)[0]


def parse_text(path: Path) -> tuple[ast.Module, str]:
    """The syntax tree of a file, and the digest of the text that it was read from."""
    content = _read(path)
    return _parsed(content, path), text_digest(content)


def _parsed(content: bytes, path: Path) -> ast.Module:
    try:
        return ast.parse(content, filename=str(path))
    except (SyntaxError, ValueError) as error:
        raise CatalogueError(_unreadable(path, error)) from None


def _unreadable(path: Path, error: SyntaxError | ValueError) -> str:
    if not isinstance(error, SyntaxError):
        return f"{shown(path)}: cannot be read: {error}"
    return f"{shown(path)}:{error.lineno}: cannot be read: {error.msg}"


def _imported_names(tree: ast.Module) -> dict[str, str]:
    """Local name -> name in bench.registry, for what the module imports from there."""
    imports = (n for n in tree.body if isinstance(n, ast.ImportFrom) and n.module == "bench.registry")
    return {alias.asname or alias.name: alias.name for node in imports for alias in node.names}


def _registers(decorator: ast.expr, imported: Mapping[str, str]) -> bool:
    call = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(call, ast.Name) and imported.get(call.id) in KINDS


def _is_registered(node: ast.stmt, imported: Mapping[str, str]) -> TypeGuard[ast.FunctionDef | ast.ClassDef]:
    if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return False
    return any(_registers(decorator, imported) for decorator in node.decorator_list)


def _states_facts(node: ast.stmt, imported: Mapping[str, str]) -> bool:
    """Whether the statement is a call of `facts`."""
    call = node.value if isinstance(node, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and imported.get(call.func.id) == "facts"


def _skeleton(tree: ast.Module, source: Source) -> Skeleton:
    """The statements of a module that declare its entries, compiled one by one; none where it registers nothing."""
    imported = _imported_names(tree)
    _check_imports(tree, source)
    if not any(_is_registered(node, imported) for node in tree.body):
        return imported, ()
    return imported, tuple((n.lineno, _compiled(n, source)) for n in _declaring(tree.body, imported, source))


def _check_imports(tree: ast.Module, source: Source) -> None:
    """Raises CatalogueError for an import relative to a package, in a plug-in that is a file and thus in none."""
    if not source.module.startswith(PLUGIN_PREFIX):
        return
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.level:
            name, alias = node.module or "", node.names[0].name
            right = f"from {name} import {alias}" if name else f"import {alias}"
            where = f"{shown(source.path)}:{node.lineno}"
            raise CatalogueError(f"{where}: a relative import needs a package, and a plug-in is a file; write: {right}")


def _declaring(body: Sequence[ast.stmt], imported: Mapping[str, str], source: Source) -> Iterator[ast.stmt]:
    """Registered functions and classes without their bodies, calls of `facts`, and the constants that these use."""
    defined = {"__name__", "__builtins__", *_VOCABULARY, *imported}
    for node in body:
        if _is_registered(node, imported):
            defined.add(node.name)
            _check_decorators(node, imported, source)
            yield _bare(node, imported)
        elif _states_facts(node, imported):
            yield node
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and _is_constant(node, defined, imported):
            defined |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
            yield node


def _check_decorators(node: ast.FunctionDef | ast.ClassDef, imported: Mapping[str, str], source: Source) -> None:
    """Raises CatalogueError for a decorator without parentheses."""
    for decorator in node.decorator_list:
        if _registers(decorator, imported) and isinstance(decorator, ast.Name):
            where = f"{shown(source.path)}:{decorator.lineno}"
            raise CatalogueError(
                f"{where}: @{decorator.id} takes arguments: write @{decorator.id}(...) above {node.name}"
            )


_VOCABULARY = ("Literal", "Annotated", "Optional", "Union", "Any")


def _namespace(source: Source, imported: Mapping[str, str], into: Registries) -> dict[str, Any]:
    """The global names that the statements of a skeleton are executed with; what they register goes `into`."""
    vocabulary = {name: getattr(typing, name) for name in _VOCABULARY}
    registering = (*KINDS, "facts")
    own = {local: getattr(into if name in registering else registry, name) for local, name in imported.items()}
    return {"__name__": source.module, "__builtins__": builtins, **vocabulary, **own}


_TYPES = frozenset({"bool", "int", "float", "str", "tuple", "list", "dict", "range", "frozenset"})
_OUR_TYPES = frozenset({"Fact", "Published", "Constraint", "Bounds", "Examples"})
_OUR_METHODS = frozenset({"where", "at", "counted_as", "disputed_because"})
_NOT_CONSTANT = (ast.Lambda, ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp, ast.Await, ast.NamedExpr)


def _is_constant(node: ast.Assign | ast.AnnAssign, defined: Set[str], imported: Mapping[str, str]) -> bool:
    """Whether the assigned value consists of literals, other constants, and calls that only make a value."""
    if node.value is None:
        return False
    for part in ast.walk(node.value):
        if isinstance(part, _NOT_CONSTANT) or (isinstance(part, ast.Name) and part.id not in defined | _TYPES):
            return False
        if isinstance(part, ast.Call) and not _is_pure(part.func, imported):
            return False
    return True


def _is_pure(function: ast.expr, imported: Mapping[str, str]) -> bool:
    """Whether `function` only makes a value: a plain type, one of ours, or a method of `Published`."""
    if isinstance(function, ast.Name):
        return function.id in _TYPES or imported.get(function.id) in _OUR_TYPES
    return isinstance(function, ast.Attribute) and function.attr in _OUR_METHODS


def _bare(node: ast.FunctionDef | ast.ClassDef, imported: Mapping[str, str]) -> ast.stmt:
    """The function or class with its registering decorator, axes and docstring, and nothing to run."""
    node.decorator_list = [decorator for decorator in node.decorator_list if _registers(decorator, imported)]
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
    except SyntaxError as error:  # `return` outside a function: the parser accepts it
        raise CatalogueError(_unreadable(source.path, error)) from None


def _run(code: CodeType, where: str, namespace: dict[str, Any]) -> None:
    try:
        exec(code, namespace)
    except RegistryError as error:
        raise CatalogueError(f"{where}: {error}") from error
    except Exception as error:
        if "Registries." in str(error):  # a decorator was called with other arguments than it has
            raise CatalogueError(f"{where}: {_misused(str(error))}") from error
        hint = "decorator arguments, axis types and defaults must be literals or module constants"
        raise CatalogueError(f"{where}: {type(error).__name__}: {error} ({hint})") from error


def _misused(error: str) -> str:
    """What is wrong about the arguments of a decorator, by Python's message."""
    decorator = error.removeprefix("Registries.").partition("(")[0]
    if "positional argument" in error:
        return f"@{decorator} takes named arguments only (task=..., unit=...); the name is that of the function"
    return error.replace("Registries.", "@")


def _import_instead(source: Source, into: Registries) -> None:
    """Import a plug-in that registers without our decorators in sight, and copy its entries."""
    before = {id(entry) for kind in KINDS for entry in registry_of(LIVE, kind)}
    load(source)
    for kind in KINDS:
        for entry in registry_of(LIVE, kind):
            if id(entry) not in before:
                registry_of(into, kind).add(entry)


def registry_of(registries: Registries, kind: str) -> registry.Registry[Any]:
    """The registry of one of KINDS."""
    chosen: registry.Registry[Any] = getattr(registries, kind + "s")
    return chosen


def load(source: Source) -> ModuleType:
    """Import a module of the catalogue; what it prints goes to stderr. Raises CatalogueError for what that raises."""
    if source.module in sys.modules:
        return sys.modules[source.module]
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return _imported(source)
    except (Exception, SystemExit) as error:
        first = (str(error).splitlines() or [""])[0]
        place = origin(error) or shown(source.path)
        raise CatalogueError(f"{place}: cannot be imported: {type(error).__name__}: {first}") from error


def _imported(source: Source) -> ModuleType:
    if not source.module.startswith(PLUGIN_PREFIX):
        return import_module(source.module)
    make_importable(source.path.parent)
    loader = ExactLoader(source.module, str(source.path))
    spec = importlib.util.spec_from_file_location(source.module, source.path, loader=loader)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[source.module] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        forget(source.module)
        raise
    return module


def forget(module: str) -> None:
    """Drop an imported module and what it registered, so that the next use imports it anew."""
    sys.modules.pop(module, None)
    for kind in KINDS:
        registry_of(LIVE, kind).drop(module)


def import_module(name: str) -> ModuleType:
    """A module by its name; of our packages always ours. Raises ImportError, and what the module raises."""
    _import_own(name.partition(".")[0])
    return importlib.import_module(name)


def _import_own(top: str) -> None:
    """Import `architectures` from where it is installed, also where the current folder has something of that name.

    Raises ImportError where that was imported already.
    """
    if top not in {folder.partition(".")[0] for folder in FOLDERS}:
        return
    ours = package_folder(top) / "__init__.py"
    if top not in sys.modules:
        spec = importlib.util.spec_from_file_location(top, ours, submodule_search_locations=[str(ours.parent)])
        assert spec is not None
        assert spec.loader is not None
        sys.modules[top] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[top])
    origin = getattr(sys.modules[top], "__file__", None) or ""
    if os.path.realpath(origin) != os.path.realpath(ours):
        raise ImportError(f"'{top}' of {Path(origin).parent} hides the package of that name of fovbench; rename it")


def source_of(entry: Entry, plugins: Sequence[str] = ()) -> Source:
    """The module that registers `entry`."""
    for plugin in plugins:
        source = plugin_source(plugin)
        if source.module == entry.module:
            return source
    path = package_folder(entry.module.rpartition(".")[0]) / f"{entry.module.rpartition('.')[2]}.py"
    return Source(entry.module, path)


def live(entry: E, plugins: Sequence[str] = ()) -> E:
    """The entry that can run, with the real function as its `call`; imports its module."""
    load(source_of(entry, plugins))
    runnable: E = registry_of(LIVE, type(entry).__name__.lower()).get(entry.name)
    return runnable
