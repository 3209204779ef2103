import itertools
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.hardware.environment import usable_cores
from bench.registry.catalogue import PLUGIN_PREFIX, forget
from bench.results.store import Store
from bench.spec import ablation as ablations
from bench.sweep import driver as sweep
from bench.sweep import plan as planning
from bench.sweep.executors.local import LocalExecutor
from bench.sweep.settings import Options

PROCESSES = 8
"""At most: each imports torch, which takes half a GB."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: as many processes as this one may use cores. By itself pytest-xdist counts cores without threads."""
    return min(PROCESSES, usable_cores())


PLUGIN = str(Path(__file__).parent / "bench" / "trivial.py")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """A folder of caches and locks for this process, so that tests and other runs do not wait for each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@contextmanager
def new_plugins_forgotten():
    """Forgets the plug-ins that are imported within: another file may register their names again."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith(PLUGIN_PREFIX):
            forget(name)


@pytest.fixture(scope="module", autouse=True)
def plugins_of_file():
    """Plug-ins of a test file end with it: pytest-xdist can bring a process back to it, which writes them elsewhere."""
    with new_plugins_forgotten():
        yield


@pytest.fixture
def plugins_of_test():
    """Plug-ins of a test end with it."""
    with new_plugins_forgotten():
        yield


@pytest.fixture
def write(tmp_path):
    """Writes an ablation file and returns its path."""
    numbers = itertools.count()

    def write(text, name=None):
        path = tmp_path / (name or f"ablation{next(numbers)}.yaml")
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return write


@pytest.fixture
def load(write):
    """Loads an ablation from its text, with the trivial plug-in."""
    return lambda text, *overrides: ablations.load(write(text), overrides, [PLUGIN])


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store.sqlite") as store:
        yield store


@pytest.fixture
def run(store):
    """Plans and runs an ablation on two local workers; gives (plan, summary)."""

    def run(ablation, *, rerun=(), force=False, **options):
        plan = planning.plan(ablation, store, rerun=rerun, force=force)
        executor = LocalExecutor(2)
        try:
            settings = Options(workers=2, force=force, replace=force or bool(rerun), **options)
            return plan, sweep.run(plan, store, executor, settings)
        finally:
            executor.stop()

    return run


@pytest.fixture
def plugin():
    """The path of the plug-in with trivial architectures and metrics."""
    return PLUGIN
