"""The probability of each commit to be the first that is changed."""

import random

import pytest

from bench.stats.bisection import Block, Posterior


def test_exact_judgements_find_the_commit_in_the_logarithm_of_their_number():
    for first in range(100):
        posterior, looked = Posterior.uniform(100), 0
        while (place := posterior.middle()) is not None:
            posterior, looked = posterior.judged(place, float(place >= first)), looked + 1
        assert posterior.likeliest() == Block(first, first, 1.0)
        assert looked <= 7


def test_a_judgement_shifts_the_probability_by_how_sure_it_is():
    posterior = Posterior.uniform(4).judged(1, 0.9)
    assert posterior.weights == pytest.approx((0.45, 0.45, 0.05, 0.05))
    assert posterior.up_to(1) == pytest.approx(0.9)
    assert posterior.judged(1, 0.5).weights == pytest.approx(posterior.weights)
    assert posterior.judged(1, 0.1).weights == pytest.approx((0.25,) * 4)


def test_commits_in_one_state_have_no_change_between_them():
    assert Posterior.uniform(4).alike(-1, 1).weights == (0, 0, 0.5, 0.5)
    assert Posterior.uniform(4).alike(1, 3).weights == (0.5, 0.5, 0, 0)


def test_commits_that_only_a_skipped_one_parts_are_one_block():
    posterior = Posterior.uniform(4).judged(0, 0.0).judged(2, 1.0)
    assert posterior.middle({1}) is None
    assert posterior.likeliest({1}) == Block(1, 2, 1.0)


def test_a_contradiction_is_an_error():
    with pytest.raises(ValueError, match="no commit is left"):
        Posterior.uniform(2).judged(0, 1.0).alike(-1, 0)


def test_how_sure_the_search_is_holds_for_noisy_judgements():
    """Of 400 searches with judgements that are wrong in 10 %, at least the stated fraction finds the commit."""
    noise, right, sure = random.Random(0), 0, 0.0
    for search in range(400):
        first, posterior = search % 20, Posterior.uniform(20)
        while posterior.likeliest().probability < 0.95:
            place = posterior.middle()
            changed = (place >= first) != (noise.random() < 0.1)
            posterior = posterior.judged(place, 0.9 if changed else 0.1)
        block = posterior.likeliest()
        right, sure = right + (block.first == first), sure + block.probability
    assert sure / 400 >= 0.95
    assert abs(right - sure) < 3 * (400 * 0.05 * 0.95) ** 0.5
