"""The code behind keys, file by file: what a worker compares with the code that it executed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.registry.catalogue import DECLARED, CatalogueError
from bench.results.freshness import ABSENT, DIGITS
from bench.results.keys import WEIGHTS, Request, files_behind
from bench.results.sources import text_of
from bench.spec.losses import AUTO

Paths = tuple[str, ...]


@dataclass(frozen=True)
class Keyed:
    """`closures`: key -> real paths of the files whose code it names. `texts`: real path -> digest of the keyed text.

    `files`: key -> digests of the other files that it names, by their absolute paths.
    """

    closures: Mapping[str, Paths]
    texts: Mapping[str, str]
    files: Mapping[str, Mapping[str, str]]

    def of(self, keys: Iterable[str]) -> Keyed:
        """What concerns these keys."""
        closures = {key: self.closures[key] for key in keys}
        texts = {path: self.texts[path] for closure in set(closures.values()) for path in closure}
        return Keyed(closures, texts, {key: self.files[key] for key in closures if key in self.files})


def keyed(requests: Sequence[Request], plugins: tuple[str, ...]) -> Keyed:
    """The code behind these requests, and behind their training runs.

    Raises CatalogueError where a file changed between the reading of its declarations and the making of its keys.
    """
    files: dict[tuple[Path, ...], Paths] = {}
    closures: dict[str, Paths] = {}
    for request in requests:
        for key, metric in ((request.key, request.metric), (request.training_run, "")):
            if key and key not in closures:
                behind = _behind(request, metric, plugins)
                if behind not in files:
                    files[behind] = tuple(os.path.realpath(path) for path in behind)
                closures[key] = files[behind]
    texts = {os.path.realpath(path): _text(path) for behind in files for path in behind}
    named = {key: dict(_named(request)) for request in requests for key in (request.key, request.training_run) if key}
    return Keyed(closures, texts, {key: paths for key, paths in named.items() if paths})


def _named(request: Request) -> Iterator[tuple[str, str]]:
    """The files that the parts of a key name: of `File` axes, of `file:PATH`, of weights, and of variables."""
    for name, digest in request.parts.get("file", {}).items():
        yield os.path.abspath(name), _short(digest)
    for name, digest in request.parts.get("weights", {}).items():
        if name.startswith("file:"):
            yield os.path.abspath(name.removeprefix("file:")), _short(digest)
    if request.weights:
        yield os.path.abspath(request.weights), _short(request.parts["weights"][WEIGHTS])
    for name, digest in request.parts.get("files", {}).items():
        yield os.path.abspath(os.environ[name]), _short(digest)


def _short(digest: str | None) -> str:
    return ABSENT if digest is None else digest[:DIGITS]


def _behind(request: Request, metric: str, plugins: tuple[str, ...]) -> tuple[Path, ...]:
    loss = request.parts.get("recipe", {}).get("loss", AUTO)
    trained = (request.workload.task, request.workload.dataset, loss) if request.training_run else None
    return files_behind(request.variant.architecture, metric, trained, plugins)


def _text(path: Path) -> str:
    text = text_of(path)
    if DECLARED.get(path, text) != text:
        raise CatalogueError(f"{path}: changed while it was read; run the same command again")
    return text[:DIGITS]
