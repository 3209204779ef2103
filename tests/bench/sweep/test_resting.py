"""A node on which the machine ends jobs has the next ones only when others have shown that jobs can end well."""

from bench.sweep.executors.resting import Resting


def rests_for(resting, node, other):
    """So many jobs end well on the other node until this one has a job again."""
    for number in range(100):
        if node not in resting:
            return number
        resting.success(other)
    raise AssertionError("it rests for ever")


def test_a_node_rests_longer_each_time_until_a_job_ends_well_on_it():
    resting = Resting()
    assert "a" not in resting
    rests = []
    for _ in range(4):
        resting.fault("a")
        rests.append(rests_for(resting, "a", "b"))
    assert rests == [2, 4, 8, 16]
    resting.success("a")
    resting.fault("a")
    assert rests_for(resting, "a", "b") == 2


def test_a_node_that_ends_a_job_well_has_jobs_at_once():
    resting = Resting()
    resting.fault("a")
    resting.success("a")
    assert "a" not in resting
