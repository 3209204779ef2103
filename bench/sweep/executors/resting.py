"""Nodes of a cluster on which jobs are ended by the machine, such as one whose disk is full: others get the jobs."""

from __future__ import annotations

from collections import Counter


class Resting:
    """A node on which a job was ended from outside rests while jobs end well on others: 2 of them, then 4, then 8.

    Else a node that ends every job at once would have room at once, and get one after the other.
    """

    def __init__(self) -> None:
        self._faults: Counter[str] = Counter()
        self._left: Counter[str] = Counter()

    def __contains__(self, node: str) -> bool:
        """Whether another node should have a job in its place, if one can."""
        return self._left[node] > 0

    def fault(self, node: str) -> None:
        """A job was ended from outside on this node."""
        self._faults[node] += 1
        self._left[node] = 2 ** self._faults[node]

    def success(self, node: str) -> None:
        """A job ended by itself on this node."""
        for each in list(self._left):
            self._left[each] = max(0, self._left[each] - 1)
        self._faults[node] = self._left[node] = 0
