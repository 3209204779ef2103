"""Which earlier measurement has the key that is nearest to a request's: what `bench why` compares with.

Every earlier measurement is read once, and equal values of a part are kept once. A request is then compared with each
different value, not with each measurement.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bench.results.keys import Request, difference
from bench.results.store import Store

if TYPE_CHECKING:
    import numpy as np

    Counts = np.ndarray[Any, np.dtype[np.intp]]


class History:
    """The parts of the keys of what a store has, read when the first request of a metric and architecture asks."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.tables: dict[tuple[str, str], Table] = {}

    def differences(self, request: Request) -> list[str]:
        """The lines of `keys.difference` from the nearest earlier measurement of the request's metric and architecture.

        The nearest is the one with the fewest lines, of several the newest. `never measured` where there is none.
        """
        place = (request.variant.architecture, request.metric)
        if place not in self.tables:
            self.tables[place] = Table(self.store.parts(*place))
        table = self.tables[place]
        if not table.size:
            return ["never measured"]
        return list(difference(request.parts, table.row(int(table.lines(request.parts).argmin()))))


class Table:
    """Mappings as rows, their names as columns."""

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        columns: dict[str, _Values] = defaultdict(_Values)
        self.size = 0
        for row in rows:
            for name, value in row.items():
                columns[name].add(self.size, value)
            self.size += 1
        self.columns = {name: _Column(values, self.size) for name, values in columns.items()}

    def row(self, place: int) -> dict[str, Any]:
        """The names of a row with their values."""
        values = {name: column.value(place) for name, column in self.columns.items()}
        return {name: value for name, value in values.items() if value is not None}

    def lines(self, new: Mapping[str, Any]) -> Counts:
        """How many lines `keys.difference` has for `new` and each row."""
        import numpy as np

        counts = np.zeros(self.size, dtype=np.intp)
        for name in {*self.columns, *new}:
            value, column = new.get(name), self.columns.get(name)
            counts += column.lines(value) if column else int(value is not None)
        return counts


class _Values:
    """The values of one name, row by row; a row without the name has None. Equal values are kept once."""

    def __init__(self) -> None:
        self.values: list[Any] = [None]
        self.numbers: dict[Any, int] = {None: 0}
        self.rows = array("q")

    def add(self, row: int, value: Any) -> None:
        """Add the value of a row that comes after all rows added before."""
        self.rows.extend([0] * (row - len(self.rows)))
        last = self.rows[-1] if self.rows else 0
        self.rows.append(last if self.values[last] == value else self._number(value))

    def _number(self, value: Any) -> int:
        number = self.numbers.setdefault(_hashable(value), len(self.values))
        if number == len(self.values):
            self.values.append(value)
        return number


class _Column:
    """The values of a name in all rows, once they are read."""

    def __init__(self, of: _Values, size: int) -> None:
        import numpy as np

        self.of, self.size = of, size
        rows = np.pad(np.frombuffer(of.rows, dtype=np.int64), (0, size - len(of.rows)))
        self.rows = rows[:1] if (rows == rows[0]).all() else rows
        self.compared: tuple[Any, Any] = (None, None)

    def value(self, row: int) -> Any:
        """The value of a row."""
        return self.of.values[self.rows[row if len(self.rows) > 1 else 0]]

    def lines(self, new: Any) -> Counts:
        """How many lines `keys.difference` has for `new` and each row; a single number where all rows are the same."""
        if self.compared[1] is None or self.compared[0] != new:
            self.compared = (new, self._lines_of_values(new))
        counts: Counts = self.compared[1][self.rows]
        return counts

    def _lines_of_values(self, new: Any) -> Counts:
        import numpy as np

        if isinstance(new, Mapping):
            return np.where(self.nested, self.inner.lines(new), 1)
        counts = np.ones(len(self.of.values), dtype=np.intp)
        counts[self.of.numbers.get(_hashable(new), [])] = 0
        return counts

    @cached_property
    def nested(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which of the values are mappings themselves."""
        import numpy as np

        return np.array([isinstance(value, Mapping) for value in self.of.values])

    @cached_property
    def inner(self) -> Table:
        """Those mappings as a table, with an empty row for every other value."""
        return Table(value if isinstance(value, Mapping) else {} for value in self.of.values)


def _hashable(value: Any) -> Any:
    """Equal for values that JSON writes alike."""
    if isinstance(value, Mapping):
        return "{", tuple((name, _hashable(value[name])) for name in sorted(value))
    if value is None or isinstance(value, (str, int, float)):
        return value
    return "[", tuple(map(_hashable, value))
