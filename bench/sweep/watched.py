"""A job that checks what it ran: the code that its keys name, and the files that were read for each value.

A value whose code or files changed while it was made is no measurement of its key: it is reported, and not kept.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.data.locate import files_of
from bench.data.subset import own_axes
from bench.registry import loading
from bench.registry.catalogue import declarations, live
from bench.results.freshness import DIGITS, MODULE, Places, state
from bench.results.keyed import Keyed
from bench.results.keys import Request
from bench.results.measurement import Measurement
from bench.results.signature import Signature
from bench.sweep import opened
from bench.sweep.executors import Emit
from bench.sweep.imported_files import is_imported
from bench.sweep.worker import Evaluated, Imported, SharedJob, TrainJob, TrainJobs


@dataclass(frozen=True)
class Stale:
    """No measurement: the file `changed` was another one when it was read than when the run was planned."""

    key: str
    changed: str


@dataclass(frozen=True)
class Unfinished:
    """The files that were read for the measurements that a job did not make."""

    files: Mapping[str, Mapping[str, str]]


class CodeChanged(BaseException):
    """The code of a training run changed meanwhile; its measurements are reported already. No code handles it."""


@dataclass(frozen=True)
class Watched:
    """A job, the code behind the keys of its requests, and the folders below which files are recorded."""

    job: Any
    keyed: Keyed
    where: Places

    def __call__(self, emit: Emit) -> None:
        opened.start()
        for job in self.job.jobs if isinstance(self.job, TrainJobs) else (self.job,):
            replace(self, job=job)._alone(emit)

    def _alone(self, emit: Emit) -> None:
        left = {request.key: request for request in self.job.requests}
        evaluation = self.job.evaluation if isinstance(self.job, TrainJob) else None
        watch = _Watch(self.keyed, self.where, evaluation, dict(_named_by_axes(self.job.requests)))
        opened.RECORD.ignored = frozenset(_declared(self.job))

        def checked(item: Any) -> None:
            for each in self._checked(item, watch):
                left.pop(getattr(each, "key", ""), None)
                emit(each)
            if isinstance(item, (Imported, Evaluated)) and not left:
                raise CodeChanged

        try:
            self.job(checked)
        except CodeChanged:
            return
        except Exception:
            stale = list(watch.stale_of(left))
            for each in stale:
                emit(each)
            emit(Unfinished({key: watch.files(key) for key in left}))
            if len(stale) < len(left):
                raise

    def _checked(self, item: Any, watch: _Watch) -> Iterator[Any]:
        if isinstance(item, (Imported, Evaluated)):
            changed = watch.changed(item.training_run, failed=False)
            if changed:
                yield from (Stale(request.key, changed) for request in self.job.requests)
            elif isinstance(item, Evaluated):
                yield replace(item, evaluation=_with_files(item.evaluation, watch.files(item.training_run)))
        elif isinstance(item, (Measurement, Signature)):
            changed = self._changed(item, watch)
            files = {**item.files, **watch.files(item.key)}
            yield Stale(item.key, changed) if changed else replace(item, files=files)
        else:
            yield item

    def _changed(self, item: Measurement | Signature, watch: _Watch) -> str:
        """The first file behind a value that changed; a shared timing is made of the variant that was timed, too."""
        timed = [self.job.requests[0].key] if isinstance(self.job, SharedJob) else []
        changes = (watch.changed(key, failed=item.error is not None) for key in dict.fromkeys([*timed, item.key]))
        return next(filter(None, changes), "")


def _with_files(evaluation: Any, files: Mapping[str, str]) -> Any:
    return replace(evaluation, facts={**evaluation.facts, "files": dict(files)}) if files else evaluation


def _declared(job: Any) -> Iterator[str]:
    """The files that the dataset of a training run declares: they are part of its key by their fingerprint."""
    if not isinstance(job, TrainJob) or job.evaluation is not None:
        return
    work = job.requests[0].workload
    entry = declarations(job.plugins).datasets.get(work.dataset)
    with opened.quiet(), contextlib.suppress(Exception):  # what is wrong with the files is an error of the job itself
        for split in () if entry.embedded else entry.splits[: 1 if job.held_back else 2]:
            files = files_of(live(entry, job.plugins), job.data, split, own_axes(dict(work.dataset_axes)))
            for path in (*files.lists, *files.images, *files.labels):
                yield os.path.abspath(path)


def _named_by_axes(requests: Sequence[Request]) -> Iterator[tuple[str, dict[str, str]]]:
    """Key -> (text that names a file, digest of the file now), for the values of axes that happen to name a file.

    Libraries in other languages open files unseen; most often an axis names them.
    """
    for request in requests:
        texts = [value for value in request.variant.values.values() if isinstance(value, str) and os.path.isfile(value)]
        for key in (request.key, request.training_run) if texts else ():
            yield key, {text: state(text) for text in texts}


@dataclass
class _Watch:
    """What this process read, seen from the keys of a job; what is read off a stored evaluation has its files too."""

    keyed: Keyed
    where: Places
    evaluation: Any
    named: Mapping[str, Mapping[str, str]]
    texts: dict[str, bytes] = field(default_factory=dict)

    def files(self, key: str) -> dict[str, str]:
        """Files behind the value of `key` that it does not name, as they are stored."""
        inherited = self.evaluation.facts.get("files", {}) if self.evaluation is not None else {}
        read = {self._written(path): min(digests) for path, digests in self._reached(key).items()}
        named = {self.where.written(path) or text: digest for text, path, digest in self._named(key)}
        return {**inherited, **{name: digest for name, digest in sorted({**read, **named}.items()) if name}}

    def _named(self, key: str) -> Iterator[tuple[str, str, str]]:
        """(text, path, digest at the start of the job) of the files that axes name, the key does not, no job wrote."""
        for text, digest in self.named.get(key, {}).items():
            path = os.path.abspath(text)
            if path not in self.keyed.files.get(key, {}) and path not in opened.RECORD.written:
                yield text, path, digest

    def _written(self, path: str) -> str:
        return self.where.written(path) or (_module_name(path) if opened.RECORD.readings[path].is_module else "")

    def _reached(self, key: str) -> dict[str, set[str]]:
        """Path -> digests, of what the code behind `key` read, and the modules that it imported, and so on."""
        keyed = set(self.keyed.closures[key])
        files: dict[str, set[str]] = {}
        reached = set(keyed)
        waiting = {p: r for p, r in opened.RECORD.readings.items() if p not in opened.RECORD.written}
        while chosen := [p for p, reading in waiting.items() if self._reads(reached, p, reading)]:
            files |= {path: waiting.pop(path).digests for path in chosen}
            reached |= set(chosen)
        covered = keyed | self.keyed.files.get(key, {}).keys()
        return {path: digests for path, digests in files.items() if not {path, os.path.realpath(path)} & covered}

    def _reads(self, reached: set[str], path: str, reading: opened.Reading) -> bool:
        if reading.anyone or reading.by & reached:
            return True
        return reading.is_module and not _is_ours(path) and any(self._is_dynamic(each) for each in reached)

    def _is_dynamic(self, path: str) -> bool:
        """Whether a module of the user's imports by name, so that the import of a module may not be seen again."""
        if _is_ours(path) or not path.endswith(".py"):
            return False
        if path not in self.texts:
            with opened.quiet():
                self.texts[path] = Path(path).read_bytes() if os.path.isfile(path) else b""
        return any(word in self.texts[path] for word in (b"import_module", b"__import__"))

    def changed(self, key: str, failed: bool) -> str:
        """The first file behind `key` that is not what it was; empty where there is none.

        Of a measurement that failed, all code that its key names is compared: what is gone cannot be imported.
        """
        with opened.quiet():
            code = (path for path in self.keyed.closures[key] if self._other_code(path, failed))
            read = (p for p, digests in self._reached(key).items() if digests != {state(p)})
            named = (p for _, p, digest in self._named(key) if state(p) != digest)
            files = (p for p, digest in self.keyed.files.get(key, {}).items() if self._other_file(p, digest))
            first = next((path for paths in (code, read, named, files) for path in paths), None)
        return "" if first is None else shown(first, self.where)

    def _other_file(self, path: str, digest: str) -> bool:
        read = opened.RECORD.readings.get(path)
        return state(path) != digest or (read is not None and read.digests != {digest})

    def _other_code(self, path: str, failed: bool) -> bool:
        text = self.keyed.texts[path]
        if path in loading.EXECUTED:
            return {digest[:DIGITS] for digest in loading.EXECUTED[path]} != {text} or (failed and state(path) != text)
        return (failed or is_imported(path)) and state(path) != text

    def stale_of(self, keys: Iterable[str]) -> Iterator[Stale]:
        for key in keys:
            changed = self.changed(key, failed=True)
            if changed:
                yield Stale(key, changed)


def shown(path: str, where: Places) -> str:
    """A file as a message names it."""
    return where.written(path) or Path(path).name


def _is_ours(path: str) -> bool:
    return path.startswith(opened.our_folder())


def _module_name(path: str) -> str:
    """The record of an imported module that lies below none of the folders; empty for one of ours."""
    names = [name for name, module in list(sys.modules.items()) if getattr(module, "__file__", None) == path]
    return f"{MODULE}{names[0]}" if names else ""


def watched(job: Any, keyed: Keyed, where: Places) -> Watched:
    """The job, watched; it gets what concerns its own keys."""
    keys = (key for request in job.requests for key in (request.key, request.training_run) if key)
    return Watched(job, keyed.of(keys), where)
