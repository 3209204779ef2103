"""The ablations that a gate checks; what can no longer be read is broken or missing, not a usage error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from bench.gate.accuracy import accuracy_checks
from bench.gate.expectations import Check, NoExpectationsError
from bench.registry import RegistryError
from bench.registry.catalogue import CatalogueError, plugin_source
from bench.results.bundle import folder_of, is_bundle
from bench.results.results import Results
from bench.spec.ablation import Ablation, find, load
from bench.spec.characters import printable
from bench.spec.schema import AblationError
from bench.spec.yamlfile import FileError


def loaded(
    names: Sequence[str | Path], listed: Sequence[str], settings: Sequence[str], plugins: Sequence[str]
) -> tuple[list[Ablation], list[Check]]:
    """(the ablations, a check for each that cannot be read).

    `names` are those that a person named, `listed` those that have expectations. A name without a file is missing where
    it is listed. Raises AblationError for a named one without a file or with faults in it, RegistryError for a plug-in
    without a file.
    """
    for plugin in plugins:
        plugin_source(plugin)
    for name in names:
        find(name)
    read = [_read(name, settings, plugins, name in listed) for name in (*names, *listed)]
    return [one for one in read if isinstance(one, Ablation)], [one for one in read if isinstance(one, Check)]


def _read(name: str | Path, settings: Sequence[str], plugins: Sequence[str], listed: bool) -> Ablation | Check:
    try:
        return load(name, settings, plugins)
    except (FileError, RegistryError) as error:
        unread = isinstance(error.__context__, CatalogueError)  # a file of code, not the ablation's
        if isinstance(error, FileError) and not listed and not unread:
            raise
        return _unread(str(name), printable(str(error)))


def _unread(name: str, error: str) -> Check:
    try:
        find(name)
    except AblationError:
        return Check(name, "", "", "missing", name, None)
    return Check(Path(name).stem, "", "", "broken", None, None, error)


def stored_accuracy(ablation: Ablation, reader: Callable[[Path | None], Results], margin: float | None) -> list[Check]:
    """The scores of the store against those of the committed bundle.

    `reader` gives the results of a bundle's folder, or of the store for None.

    Raises NoExpectationsError where there is no bundle or the ablation has no score, and where the store has no score.
    """
    folder = folder_of(ablation.name, ablation.builtin)
    if not is_bundle(folder):
        raise NoExpectationsError(f"{folder} does not exist; write it with: bench export {ablation.name}")
    now, committed = reader(None), reader(folder)
    if "accuracy" in now.bundled:
        raise NoExpectationsError(
            f"the store has no scores of {ablation.name}; measure them: bench run {ablation.target}"
        )
    if not (checks := accuracy_checks(now, committed, margin)):
        raise NoExpectationsError(f"{ablation.name} has no accuracy metric, so that there is nothing to compare")
    return checks
