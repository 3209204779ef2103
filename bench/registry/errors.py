"""The error of the registry, and the hint that it gives."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


class RegistryError(ValueError):
    """An unknown or doubled name, or an axis or value that an entry does not have."""


class AxisError(RegistryError, TypeError):
    """A parameter that no axis can be made of."""


class DoesNotApplyError(ValueError):
    """A metric has no meaning for a network, as a receptive field for token ids: no failure, the text says why."""


def suggestion(word: str, names: Sequence[str]) -> str:
    """`", did you mean 'x'?"` with the most similar name, or all names where none is similar."""
    similar = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    if similar:
        return f", did you mean '{similar[0]}'?"
    return f" (there is: {', '.join(names)})" if names else " (there is none)"
