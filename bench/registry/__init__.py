"""The registry: the registration decorators, axes and their schema, published numbers, and the catalogue of entries.

A plug-in imports its decorators from here; the package itself imports neither torch nor pandas.
"""

from bench.registry.axes import (
    Axis,
    Bounds,
    Examples,
    File,
    axes_of,
    axis_of,
    resolve,
    text_of,
)
from bench.registry.entries import (
    LIVE,
    READABLE,
    Architecture,
    Better,
    Constraint,
    Dataset,
    Entry,
    Kind,
    Metric,
    Plot,
    Registries,
    Registry,
    Task,
    architecture,
    dataset,
    facts,
    metric,
    plot,
    task,
)
from bench.registry.errors import (
    RegistryError,
    suggestion,
)
from bench.registry.published import (
    PREFIXES,
    Fact,
    Published,
)

__all__ = [
    "LIVE",
    "PREFIXES",
    "READABLE",
    "Architecture",
    "Axis",
    "Better",
    "Bounds",
    "Constraint",
    "Dataset",
    "Entry",
    "Examples",
    "Fact",
    "File",
    "Kind",
    "Metric",
    "Plot",
    "Published",
    "Registries",
    "Registry",
    "RegistryError",
    "Task",
    "architecture",
    "axes_of",
    "axis_of",
    "dataset",
    "facts",
    "metric",
    "plot",
    "resolve",
    "suggestion",
    "task",
    "text_of",
]
