"""Whether something got worse: expectations against what was measured."""
