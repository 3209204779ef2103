"""From a request to the network that is measured. A change here makes static and speed measurements due."""

from __future__ import annotations

from typing import Any

from bench.hardware.subject import Subject
from bench.registry.targets import runnable
from bench.results.keys import Request


def subject_of(request: Request, plugins: tuple[str, ...]) -> Subject:
    """The network of a request as its metrics read it. Raises RegistryError for a name that the zoo does not have."""
    family = runnable(request.variant.architecture, plugins)
    work = request.workload
    shared: dict[str, Any] = {"build": lambda: family.build(**request.variant.values), "shape": work.shape}
    if request.kind == "static":
        return Subject(**shared)
    where: dict[str, Any] = {"batch": work.batch, "device": work.device, "dtype": work.dtype, "threads": work.threads}
    return Subject(**shared, **where, layout=work.layout, compile=work.compile, graph=work.graph)
