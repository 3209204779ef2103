"""What a network is, so far as two variants can be told apart: kept by the no-op check."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Signature:
    """What a network is. `graph` is empty where it could not be recorded, for the reason in `error`.

    `graph` holds the hashes of the graph in eval and in training mode, `objective` the digest of the network's own
    loss, empty where it has none. `values` is the digest of the
    initial parameters and of the output on one input, read only where two graphs are the same.
    `field` is the receptive field's size in px, None where it is global. `files` are those of a `Measurement`.
    """

    key: str
    graph: str = ""
    objective: str = ""
    values: str = ""
    params: int = 0
    macs: float = 0.0
    field: Any = None
    error: str | None = None
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """As JSON, for the store and bundles; `files` only where there are any."""
        facts = asdict(self)
        return facts if self.files else {name: value for name, value in facts.items() if name != "files"}
