"""Where in a sequence of commits a change came in: a probability for each, from noisy judgements of some (a search with
noisy answers, Horstein 1963).

A commit is *changed* once the change is in it; so are all after it. The last commit of the sequence is changed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """Commits `first` to `last`, by place, that no judgement can tell apart, and the probability that it is one of
    them."""

    first: int
    last: int
    probability: float


@dataclass(frozen=True)
class Posterior:
    """The probability of each commit to be the first that is changed; `weights` sum to 1."""

    weights: tuple[float, ...]

    @classmethod
    def uniform(cls, number: int) -> Posterior:
        """Of so many commits, before any was judged. Raises ValueError for none."""
        return _normed([1.0] * number)

    def judged(self, place: int, changed: float) -> Posterior:
        """Once the commit at a place was judged: it is changed with the probability `changed`.

        Raises ValueError where no commit is left.
        """
        return _normed(w * (changed if at <= place else 1 - changed) for at, w in enumerate(self.weights))

    def alike(self, first: int, last: int) -> Posterior:
        """Once it is certain that the commits at two places are both changed or both not; -1 is before the sequence.

        Raises ValueError where no commit is left.
        """
        return _normed(0.0 if first < at <= last else w for at, w in enumerate(self.weights))

    def up_to(self, place: int) -> float:
        """The probability that the commit at a place is changed."""
        return sum(self.weights[: place + 1])

    def middle(self, skipped: Collection[int] = ()) -> int | None:
        """The commit to judge next: it splits the probability most evenly. None where nothing can be told apart."""
        open_ones = [p for p in range(len(self.weights) - 1) if p not in skipped and self._smaller(p) > 0]
        return max(open_ones, key=self._smaller, default=None)

    def _smaller(self, place: int) -> float:
        """The smaller of the two parts that a commit splits the probability into."""
        return min(self.up_to(place), sum(self.weights[place + 1 :]))

    def likeliest(self, skipped: Collection[int] = ()) -> Block:
        """The block of the highest probability, without what is ruled out at its ends; blocks are parted by each commit
        that is not skipped."""
        block = max(self._blocks(skipped), key=lambda each: each.probability)
        possible = [at for at in range(block.first, block.last + 1) if self.weights[at] > 0]
        return Block(possible[0], possible[-1], block.probability)

    def _blocks(self, skipped: Collection[int]) -> Iterator[Block]:
        first = 0
        for place in range(len(self.weights)):
            if place not in skipped or place == len(self.weights) - 1:
                yield Block(first, place, sum(self.weights[first : place + 1]))
                first = place + 1


def _normed(weights: Iterable[float]) -> Posterior:
    values = tuple(weights)
    total = sum(values)
    if not total:
        raise ValueError("no commit is left that can be the first with the change")
    return Posterior(tuple(value / total for value in values))
