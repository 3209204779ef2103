"""What only a store on a PostgreSQL server has: its URL, whose password nobody sees, and a server that goes away."""

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bench.cli import main
from bench.results.location import LocationError, local_file, location_of
from bench.results.postgres import translated
from bench.results.store import Store
from bench.results.storefile import StoreError, StoreUnavailable
from tests.bench.postgres_server import PASSWORD
from tests.bench.results.test_store import ONE, keep

SECRET = "p@ss/w%rd"
QUOTED = "p%40ss%2Fw%25rd"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"postgresql://me:{QUOTED}@host:5433/db", "postgresql://me@host:5433/db"),
        (f"postgres://me:{QUOTED}@host/db?password={QUOTED}&sslmode=require", "postgresql://me@host/db"),
        (f"postgresql+psycopg://host/db?sslpassword={QUOTED}", "postgresql://host/db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
    ],
)
def test_no_text_of_a_server_has_its_password(url, shown):
    server = location_of(url)
    assert str(server) == f"{server}" == shown
    for text in (str(server), repr(server), repr([server]), str(local_file(server)), f"{server!r:s}"):
        assert SECRET not in text
        assert QUOTED not in text
    assert server.without_secrets(f"no {SECRET} and no {QUOTED}") == (
        "no *** and no ***" if QUOTED in url else f"no {SECRET} and no {QUOTED}"
    )
    assert pickle.loads(pickle.dumps(server)) == server


@pytest.mark.parametrize("url", ["postgresql://host", "postgresql://u:word1@host/", "postgresql://u:word1@host:x/db"])
def test_a_url_that_names_no_database_is_refused_without_its_password(url):
    with pytest.raises(LocationError, match="write postgresql://USER@HOST/DATABASE") as error:
        location_of(url)
    assert "word1" not in str(error.value)


@pytest.mark.parametrize("text", ["results/store.sqlite", "postgresql", "a:b.sqlite", "http://host/db"])
def test_other_texts_are_files(text):
    assert location_of(text) == Path(text)


def test_statements_are_translated_and_their_literals_stay():
    assert translated("SELECT a FROM t WHERE b = ? AND c = 1::bigint") == (
        "SELECT a FROM t WHERE b = %s AND c = 1::bigint", (),
    )  # fmt: skip
    assert translated("VALUES (:key, digest(CAST(:key AS BLOB)), '10 %')") == (
        "VALUES (%s, digest(CAST(%s AS BLOB)), '10 %%')", ("key", "key"),
    )  # fmt: skip


def test_a_wrong_password_and_a_missing_database_are_one_line_without_the_password(server, url, capsys):
    wrong = server.url("postgres", "wr0ng-w0rd")
    missing = server.url("no_such_database")
    for place, word in ((wrong, "password authentication failed"), (missing, "does not exist")):
        with Store(place) as store, pytest.raises(StoreError, match=word) as error:
            store.records()
        assert not isinstance(error.value, StoreUnavailable), "waiting does not help"
        for arguments in (["store", "info", "--store", place], ["--debug", "store", "check", place]):
            with pytest.raises(SystemExit) as end:
                main(arguments)
            assert end.value.code == 2
        printed = "".join(capsys.readouterr())
        for secret in ("wr0ng-w0rd", PASSWORD):
            assert secret not in printed + str(error.value)


def test_a_server_that_does_not_answer_is_away_for_now(server):
    """Nobody listens on port 1: what was measured is kept, and storing it is tried again."""
    store = Store(f"postgresql://u:{PASSWORD}@127.0.0.1:1/db")
    with pytest.raises(StoreUnavailable, match="cannot be used now") as error:
        keep(store, ONE)
    assert PASSWORD not in str(error.value)


def test_a_connection_that_the_server_ended_is_opened_again(server, url):
    with Store(url) as store, Store(url) as other:
        keep(store, ONE)
        store.claim(["a"], "1@1.00", lambda process: False)
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        other.query(f"{others} AND datname = current_database()")
        with pytest.raises(StoreUnavailable):
            keep(store, replace(ONE, key="k2"))
        assert keep(store, replace(ONE, key="k2")) == 1
        assert other.claim(["a"], "2@2.00", lambda process: False) == set(), "its claim is alive again"
        assert [record.measurement.key for record in other.records()] == ["k1", "k2"]


def test_a_driver_that_is_killed_gives_its_claims_back(url):
    """As on another machine: only the server can say that the process has ended."""
    script = (
        "import os, sys\n"
        "from bench.results.store import Store\n"
        "store = Store(os.environ['PLACE'])\n"
        "print(sorted(store.claim(['a', 'b'], '1@1.00', lambda process: False)), flush=True)\n"
        "sys.stdin.read()\n"
    )
    environment = {
        **os.environ,
        "PLACE": url,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), *sys.path]),
    }
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", script], env=environment, **pipes) as driver:
        assert driver.stdout.readline() == "['a', 'b']\n"
        with Store(url) as store:
            assert store.claim(["a", "c"], "2@2.00", lambda process: False) == {"c"}
            driver.kill()
            driver.wait()
            while not store.claim(["a"], "2@2.00", lambda process: False):  # until the server sees the end
                pass
            assert store.claim(["a", "b", "c"], "2@2.00", lambda process: False) == {"a", "b", "c"}


def test_results_have_dates_of_the_server_also_where_the_clock_of_a_machine_is_wrong(url, server, monkeypatch):
    """Two drivers whose clocks differ would else disagree on which of two results is the later one."""

    class Wrong(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(1990, 1, 1, tzinfo=tz)

    monkeypatch.setattr("bench.results.postgres.datetime", Wrong)
    with Store(url) as store:
        assert store.now() == "1990-01-01T00:00:00+00:00", "no server has answered yet"
        assert store.claim([ONE.key], "7@7.00", lambda process: False) == {ONE.key}
        keep(store, ONE)
        (record,) = store.records()
        ((seconds,),) = store.query("SELECT extract(epoch FROM clock_timestamp())::float8")
        store.database.close()
        away = datetime.fromisoformat(store.now())
    at_server = datetime.fromtimestamp(seconds, UTC)
    for date in (datetime.fromisoformat(record.created), away):
        assert abs(date - at_server) < timedelta(hours=1)


def test_text_with_nul_is_stored_readable(url):
    with Store(url) as store:
        keep(store, replace(ONE, error="failed: a\0b", samples=(), traceback="x\0"))
        assert "a\\0b" in store.records()[0].measurement.error or "a\0b" not in store.records()[0].measurement.error


def test_the_commands_on_a_store_work_with_a_server_and_print_no_password(url, capsys, tmp_path):
    with Store(tmp_path / "a.sqlite") as store:
        keep(store, ONE, replace(ONE, key="k2"))

    def bench(*arguments):
        status = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            status = int(end.code or 0)
        out, err = capsys.readouterr()
        assert PASSWORD not in out + err
        return status, out + err

    assert "there is no results store" in bench("store", "info", "--store", url)[1]
    assert (
        "2 results added to postgresql://fovbench@127.0.0.1:" in bench("store", "merge", "a.sqlite", "--store", url)[1]
    )
    assert "layout 3" in bench("store", "info", "--store", url)[1]
    assert bench("store", "check", url)[1].endswith(": no damage\n")
    assert "MB now" in bench("store", "vacuum", url)[1]
    assert bench("store", "prune", "--store", url)[0] == 0
    assert "2 results added to b.sqlite" in bench("store", "merge", url, "--store", "b.sqlite")[1]
    assert "this is the store itself" in bench("store", "merge", url, "--store", url)[1]
    with Store(tmp_path / "b.sqlite") as store, Store(tmp_path / "a.sqlite") as first:
        assert store.records() == first.records()
