"""Random cases of properties: the same on every run, kept nowhere, and without a limit of time for one of them."""

from hypothesis import settings

settings.register_profile("fovbench", derandomize=True, database=None, deadline=None)
settings.load_profile("fovbench")
