"""The store of these tests: a file of SQLite, and a database of a PostgreSQL server where one can be started."""

import pytest

from bench.results.store import Store
from tests.bench import postgres_server


@pytest.fixture(scope="session")
def server():
    """A PostgreSQL server on loopback that ends with the tests."""
    if reason := postgres_server.why_not():
        pytest.skip(reason)
    with postgres_server.running() as server:
        yield server


@pytest.fixture
def url(server, tmp_path, monkeypatch):
    """The URL, with its password, of an empty database; what belongs to it on this machine lies in the test's folder."""
    monkeypatch.chdir(tmp_path)
    return server.emptied()


@pytest.fixture(params=["sqlite", "postgres"])
def place(request, tmp_path):
    """Where a store may be made."""
    return tmp_path / "store.sqlite" if request.param == "sqlite" else request.getfixturevalue("url")


@pytest.fixture
def store(place):
    with Store(place) as store:
        yield store


@pytest.fixture
def store_file(tmp_path):
    """A store in a file, for tests of what only a file has."""
    with Store(tmp_path / "store.sqlite") as store:
        yield store
