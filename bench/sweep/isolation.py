"""Every metric of a job measures as if it were alone: what they share is read-only or checked, and put back.

Metrics of one variant share its network and recording, or the evaluation of its training. A metric that changes them,
or the process, fails with what it changed; the others get the network built anew, or the arrays as they were.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar
from zlib import crc32

from bench.hardware.subject import Subject
from bench.results.measurement import Evaluation
from bench.results.unreadable import CRASHED
from bench.sweep.network_state import changes, network_state, tape_state, tensors_state
from bench.sweep.process_state import ProcessState

V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)


NAMED = 3
"""Changes that a message names."""


class StateChangedError(RuntimeError):
    """A metric changed what others of its job read; the message says what."""

    kind = "failed"

    def __init__(self, texts: list[str]) -> None:
        more = f" and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
        super().__init__(f"{', '.join(texts[:NAMED])}{more}; a metric must leave the state as it was")


class Shared(Protocol[V_co]):
    """What the metrics of a job share."""

    @property
    def view(self) -> V_co:
        """What a metric gets."""

    def put_back(self) -> list[str]:
        """Make it as it was; a text for each change."""


class Isolation(Generic[V]):
    """Calls metrics one after the other, each as if it were alone."""

    def __init__(self, state: ProcessState, shared: Shared[V], seed: int = 0) -> None:
        self.state, self.shared, self.seed = state, shared, seed

    def __call__(self, metric: Callable[[V], Any]) -> Any:
        """What the metric returns. Raises what it raises, and StateChangedError where it changed what others read."""
        self.state.begin(self.seed)
        try:
            with warnings.catch_warnings():
                result = metric(self.shared.view)
        except BaseException:
            self._put_back()
            raise
        if texts := self._put_back():
            raise StateChangedError(texts)
        return result

    def _put_back(self) -> list[str]:
        return [*self.state.put_back(), *self.shared.put_back()]


@dataclass(frozen=True)
class CheckedSubject(Subject):
    """A subject that notes the state of each of its parts when it is built.

    Parts are built with the state of the process and the random generators of a new job, whichever metric asks first,
    and what their code changes is no metric's fault. `arguments` as in `bench.hardware.arguments.FedSubject`. Without
    `noting` nothing is noted.
    """

    process: ProcessState | None = field(default=None, compare=False, repr=False)
    arguments: Any = None
    noting: bool = True
    states: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    @cached_property
    def model(self) -> Any:
        return self._noted("model", lambda: Subject.model.func(self))  # type: ignore[attr-defined]

    @cached_property
    def structure(self) -> Any:
        return self._noted("structure", lambda: Subject.structure.func(self))  # type: ignore[attr-defined]

    @cached_property
    def inputs(self) -> Any:
        from bench.hardware.arguments import inputs_of

        return self._noted("inputs", lambda: inputs_of(self, self.arguments))

    @cached_property
    def tape(self) -> Any:
        from bench.hardware.arguments import tape_of
        from bench.structure.nodes import StructureError

        try:
            return self._noted("tape", lambda: tape_of(self, self.arguments))
        except StructureError as error:
            if CRASHED not in str(error) and self.crash:
                raise self.crash from None
            raise

    @cached_property
    def crash(self) -> Exception | None:
        """What the network raises when it runs; None for nothing, and where it was not run since it needs a device."""
        import torch

        assert self.process is not None
        if self.device != "cpu":
            return None
        other = replace(self, compile=False, graph=False, noting=False)
        with self.process.kept(self.seed), torch.no_grad():
            try:
                other.forward()
            except Exception as error:
                return error
        return None

    def _noted(self, name: str, build: Callable[[], V]) -> V:
        assert self.process is not None
        with self.process.kept(self.seed):
            part = build()
        if self.noting:
            self.states[name] = STATES[name](part)
        return part

    def changes(self) -> list[str]:
        """A text for each part that is not as it was built."""
        return [text for name, before in self.states.items() for text in self._changes(name, before)]

    def _changes(self, name: str, before: Any) -> Iterator[str]:
        part = self.__dict__[name]
        if name == "structure" and part is self.__dict__.get("model"):
            return
        yield from changes(before, STATES[name](part))


STATES: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "model": network_state,
    "structure": network_state,
    "inputs": lambda inputs: tensors_state({f"input {place}": tensor for place, tensor in enumerate(inputs)}),
    "tape": tape_state,
}
"""What the state of each part of a subject is: name of a piece -> what is compared."""


class SharedSubject:
    """The subject that the metrics of a variant share, built anew after a metric changed it.

    Not `checked`, it is that of a single timing, which moves its weights and may train them.
    """

    def __init__(self, subject: Subject, process: ProcessState, checked: bool = True) -> None:
        own = {each.name: getattr(subject, each.name) for each in fields(Subject)}
        own["arguments"] = getattr(subject, "arguments", None)
        self._new: Callable[[], CheckedSubject] = lambda: CheckedSubject(**own, process=process, noting=checked)
        self._process = process
        self.view = self._new()

    def put_back(self) -> list[str]:
        """Build the subject anew if it was changed; a text for each change that is not the network's own doing."""
        texts = self.view.changes()
        if not texts:
            return []
        self.view = self._new()
        own = self._own_changes()
        return [text for text in texts if text not in own]

    def _own_changes(self) -> list[str]:
        """What a forward pass changes by itself: a counter, a table filled when first used, marks of a compiler."""
        import torch

        subject = self._new()
        with self._process.kept(), torch.no_grad():
            try:
                subject.forward()
            except Exception:  # then a forward pass is not what changed the network
                return []
        return subject.changes()


class ReadOnly(dict[Any, Any]):
    """A dictionary that refuses to be written. A copy of it (`dict(...)`, `copy.deepcopy`) is a plain one."""

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError("what a metric reads is read-only, since other metrics read it too; copy it first")

    __setitem__ = __delitem__ = __ior__ = update = setdefault = pop = popitem = clear = _refuse

    def __reduce__(self) -> tuple[type[dict[Any, Any]], tuple[dict[Any, Any]]]:
        return dict, (dict(self),)


def read_only(value: Any) -> Any:
    """The value with every mapping in it as ReadOnly, every list as a tuple, every array as a view of it."""
    if isinstance(value, Mapping):
        return ReadOnly({key: read_only(each) for key, each in value.items()})
    if isinstance(value, (list, tuple)):
        return tuple(read_only(each) for each in value)
    if hasattr(value, "setflags"):
        view = value.view()
        view.setflags(write=False)
        return view
    return value


GROUPS = ("units", "curves", "samples", "summaries")


class SharedEvaluation:
    """The evaluation that the metrics of a training run share: read-only views, and a copy of the arrays.

    numpy refuses to write into the views; a tensor that shares their memory does not know that it must not.
    """

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation = evaluation
        self._copies = {place: array.copy() for place, array in self._arrays()}
        self._sums = {place: _checksum(array) for place, array in self._arrays()}

    @property
    def view(self) -> Evaluation:
        """A new view for each metric."""
        names = (*GROUPS, "facts")
        return replace(self.evaluation, **{name: read_only(getattr(self.evaluation, name)) for name in names})

    def put_back(self) -> list[str]:
        """Copy back the arrays that were changed; a text for each."""
        changed = [(place, array) for place, array in self._arrays() if _checksum(array) != self._sums[place]]
        for place, array in changed:
            array.setflags(write=True) if not array.flags.writeable else None
            array[...] = self._copies[place]
        return [f"changed the evaluation's {group} '{name}'" for (group, name), _ in changed]

    def _arrays(self) -> Iterator[tuple[tuple[str, str], Any]]:
        for group in GROUPS:
            for name, array in getattr(self.evaluation, group).items():
                yield (group, name), array


def _checksum(array: Any) -> int:
    import numpy as np

    return crc32(np.ascontiguousarray(array).view(np.uint8).data) if array.size else 0
