"""An evaluation as JSON facts and compressed arrays, and back."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bench.results.encoding import json_text
from bench.results.measurement import Evaluation

GROUPS = ("units", "curves", "samples", "summaries")


def packed(evaluation: Evaluation) -> tuple[str, bytes]:
    """(facts as JSON, arrays as a compressed .npz file)."""
    import numpy as np

    arrays: dict[str, Any] = {
        f"{group}.{name}": values for group in GROUPS for name, values in getattr(evaluation, group).items()
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    facts = {"task": evaluation.task, "names": list(evaluation.names), "facts": dict(evaluation.facts)}
    return json_text(facts, f"the evaluation of {evaluation.task}"), buffer.getvalue()


def unpacked(facts: str, arrays: bytes, eager: bool = False) -> Evaluation:
    """The evaluation that `packed` was given; its arrays are decompressed when the first of them is asked for.

    With `eager` they are decompressed now, so that what is wrong with them raises here.
    """
    values, archive = json.loads(facts), _Archive(arrays)
    if eager:
        archive.groups  # noqa: B018
    groups = {group: _Group(archive, group) for group in GROUPS}
    return Evaluation(task=values["task"], names=tuple(values["names"]), facts=values["facts"], **groups)


@dataclass(frozen=True)
class _Archive:
    """The arrays of an evaluation as a compressed .npz file."""

    content: bytes

    @cached_property
    def groups(self) -> dict[str, dict[str, Any]]:
        """Group -> name -> array."""
        import numpy as np

        groups: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
        with np.load(io.BytesIO(self.content), allow_pickle=False) as archive:
            for entry in archive.files:
                group, _, name = entry.partition(".")
                groups[group][name] = archive[entry]
        return groups


@dataclass(frozen=True, eq=False)
class _Group(Mapping[str, Any]):
    """The arrays of one group by name."""

    archive: _Archive
    group: str

    def __getitem__(self, name: str) -> Any:
        return self.archive.groups[self.group][name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.archive.groups[self.group])

    def __len__(self) -> int:
        return len(self.archive.groups[self.group])


def tuples(value: Any) -> Any:
    """JSON's lists as tuples, nested, so that the value can be hashed."""
    return tuple(tuples(item) for item in value) if isinstance(value, list) else value
