"""Files of weights: those that an ablation names, and those that runs kept, `weights/DIGEST.safetensors` by the store.

Beside each kept file lies `DIGEST.json`, which says what it is of. The driver of a run alone writes here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bench.hardware.process import is_running
from bench.registry import RegistryError
from bench.registry.project import located
from bench.registry.writing import write_text
from bench.results.location import Location, local_file
from bench.results.sources import file_digest
from bench.spec.ablation import Ablation, load
from bench.spec.references import VariantError, find_variant
from bench.spec.weights import RUN, weights_of

FOLDER = "weights"
DIGITS = 20
"""Hexadecimal digits of a digest in the name of a kept file."""
NEW = ".new-"
"""Begins the name of the folder where the workers of a run write."""


@dataclass(frozen=True)
class KeptWeights:
    """A kept file: the training run whose scored weights it has, its size and date."""

    digest: str
    ablation: str
    variant: str
    seed: int
    training_run: str
    bytes: int
    created: str
    path: str = ""


@dataclass(frozen=True)
class Named:
    """What stands behind a text that names weights: a file, and the digest of its content; None where it is missing."""

    path: str
    digest: str | None


def weights_folder(store: Location) -> Path:
    """Where the weights lie that runs of this machine with this store kept."""
    return local_file(store).parent / FOLDER


def all_kept(folder: Path) -> list[KeptWeights]:
    """Every kept file, the oldest first; a description without its file, or that cannot be read, is left out."""
    described = (_described(path) for path in sorted(folder.glob("*.json")))
    present = (each for each in described if each is not None and Path(each.path).is_file())
    return sorted(present, key=lambda each: (each.created, each.ablation, each.variant, each.seed))


def _described(path: Path) -> KeptWeights | None:
    try:
        return replace(KeptWeights(**json.loads(path.read_text("utf-8"))), path=str(path.with_suffix(".safetensors")))
    except (OSError, ValueError, TypeError):
        return None


def keep(folder: Path, file: Path, of: Mapping[str, str | int]) -> KeptWeights:
    """Move a worker's file among the kept ones, under the digest of its content. `of`: the fields that say whose it is.

    A kill leaves the file without its description at worst, which `unfinished` finds.
    """
    digest = (file_digest(file) or "")[:DIGITS]
    path = folder / f"{digest}.safetensors"
    created = datetime.now(UTC).isoformat(timespec="seconds")
    entry = KeptWeights(digest, **of, bytes=file.stat().st_size, created=created, path=str(path))  # type: ignore[arg-type]
    folder.mkdir(parents=True, exist_ok=True)
    os.replace(file, path)
    write_text(path.with_suffix(".json"), json.dumps({k: v for k, v in asdict(entry).items() if k != "path"}, indent=1))
    return entry


def unfinished(folder: Path) -> list[Path]:
    """What runs left that were killed: files of weights without description, and folders of workers."""
    files = [path for path in sorted(folder.glob("*.safetensors")) if not path.with_suffix(".json").is_file()]
    return files + [path for path in sorted(folder.glob(f"{NEW}*")) if not is_running(path.name.removeprefix(NEW))]


def removable(folder: Path, evaluated: Set[str], digests: Sequence[str], everything: bool) -> list[Path]:
    """The files to remove: those of the digests that begin so, or all; else those that no training run stands behind.

    Raises RegistryError for a digest that is not there.
    """
    kept = all_kept(folder)
    for digest in digests:
        if not any(each.digest.startswith(digest) for each in kept):
            raise RegistryError(f"no kept weights have the digest {digest}; bench store info lists them")
    if digests:
        return [Path(each.path) for each in kept if each.digest.startswith(tuple(digests))]
    newest = {each.training_run: each.digest for each in kept}
    orphans = [e for e in kept if everything or e.training_run not in evaluated or newest[e.training_run] != e.digest]
    return [*(Path(each.path) for each in orphans), *unfinished(folder)]


def remove(path: Path) -> None:
    """Remove a kept file with its description, or the folder of a killed run."""
    if path.is_dir():
        shutil.rmtree(path)
        return
    path.with_suffix(".json").unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def named_weights(ablation: Ablation, store: Location) -> dict[str, Named]:
    """Text of `weights` -> the file behind it, for every variant that has any."""
    texts = {ablation.recipe_of(variant).weights: None for variant in ablation.variants} if ablation.trains else {}
    return {text: named(text, Path(ablation.path), weights_folder(store)) for text in texts if text is not None}


def named(text: str, ablation: Path, kept: Path) -> Named:
    """What stands behind one text: a kept file, or one relative to the ablation file or to the project."""
    file = weights_of(text).file
    if file.startswith(RUN):
        path = _of_run(file.removeprefix(RUN), all_kept(kept))
        return Named(str(path), file_digest(path)) if path else Named("", None)
    beside = ablation.parent / file
    path = beside if beside.is_file() else located(file)
    return Named(str(path), file_digest(path))


def _of_run(text: str, kept: Iterable[KeptWeights]) -> Path | None:
    """The newest kept file of `ABLATION[VARIANT]@seed=N`, or the one whose digest begins so; None where there is none.

    Without `[VARIANT]` it is the baseline, without seed the seed 0.

    Raises RegistryError for a variant that the ablation does not have, and for a digest of several files.
    """
    if re.fullmatch(f"[0-9a-f]{{4,{DIGITS}}}", text):
        matches = {each.path: None for each in kept if each.digest.startswith(text)}
        if len(matches) > 1:
            raise RegistryError(f"weights {RUN}{text}: {len(matches)} kept files begin so; write more digits")
        return Path(next(iter(matches))) if matches else None
    name, _, seed = text.rpartition("@") if "@" in text else (text, "", "")
    name, _, variant = name.removesuffix("]").partition("[")
    number = _seed(text, seed)
    ablation = load(name)
    try:
        wanted = find_variant(variant, ablation.scope).name
    except VariantError as error:
        raise RegistryError(f"weights {RUN}{text}: {error}") from None
    own = [e.path for e in kept if (e.ablation, e.variant, e.seed) == (ablation.name, wanted, number)]
    return Path(own[-1]) if own else None


def _seed(text: str, seed: str) -> int:
    """Raises RegistryError for what is no `seed=N`."""
    number = seed.removeprefix("seed=") if seed else "0"
    if not number.isdecimal() or (seed and not seed.startswith("seed=")):
        raise RegistryError(f"weights {RUN}{text}: name the seed at the end, as @seed=0")
    return int(number)


def refuse_missing_weights(ablation: Ablation, named: Mapping[str, Named]) -> None:
    """Raises RegistryError for the first weights that are not there."""
    for text, each in named.items():
        file = weights_of(text).file
        if each.digest is None and file.startswith(RUN):
            run = file.removeprefix(RUN).partition("[")[0].partition("@")[0]
            again = (
                f"bench run {run} --keep-weights" if run != file.removeprefix(RUN) else "bench store info lists them"
            )
            raise RegistryError(f"{ablation.path}: weights {file}: no run kept these; {again}")
        if each.digest is None:
            folders = f"{Path(ablation.path).parent.resolve()} and {Path.cwd()}"
            raise RegistryError(f"{ablation.path}: weights {file}: no such file; it is looked for in {folders}")
