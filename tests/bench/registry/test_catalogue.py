import os
import textwrap
from dataclasses import replace

import pytest

from bench.registry import Fact, RegistryError, catalogue
from bench.registry.catalogue import KINDS, CatalogueError, declarations, live, registry_of

ALL = [(kind, entry.name) for kind in KINDS for entry in registry_of(declarations(), kind)]


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_a_declaration_read_from_the_source_equals_the_live_entry(kind, name):
    declared = registry_of(declarations(), kind).get(name)
    real = live(declared)
    assert replace(real, call=declared.call) == declared
    assert real.summary == declared.summary
    assert real.summary, f"{name} has no docstring"


def written(tmp_path, text, name="plug.py"):
    path = tmp_path / name
    path.write_text(textwrap.dedent(text))
    return str(path)


def test_reading_a_declaration_runs_nothing_of_the_module(tmp_path):
    path = written(
        tmp_path,
        """
        from bench.registry import metric
        raise RuntimeError("this module was imported")
        @metric(unit="px", better=None, kind="static")
        def broken(subject): "Never."
        """,
    )
    declared = declarations((path,)).metrics.get("broken")
    with pytest.raises(CatalogueError, match="cannot be imported: RuntimeError: this module was imported"):
        live(declared, (path,))


def test_a_plugin_that_failed_halfway_is_imported_once_it_works(tmp_path, monkeypatch):
    path = written(
        tmp_path,
        """
        import os
        from bench.registry import metric
        @metric(unit="px", better=None, kind="static")
        def halfway(subject): "Half of a plug-in."
        os.environ["HALFWAY"]
        """,
        "halfway.py",
    )
    declared = declarations((path,)).metrics.get("halfway")
    with pytest.raises(CatalogueError, match="cannot be imported: KeyError"):
        live(declared, (path,))
    monkeypatch.setenv("HALFWAY", "gone")
    assert live(declared, (path,)).name == "halfway"


def test_a_plugin_that_registers_in_its_own_way_is_imported(tmp_path):
    path = written(
        tmp_path,
        """
        import bench.registry as r
        def own(*, k: int = 1): "Own."
        r.LIVE.architecture(task="t", source="s")(own)
        """,
        "own_way.py",
    )
    assert declarations((path,)).architectures.get("own").axes[0].name == "k"


FACTS = """
from bench.registry import Published, architecture, facts as published_facts
PAPER = "Nobody 1959"
@architecture(task="t", source=PAPER, small={"width": 1})
def plain(*, width: int = 4, norm: str = "none"): "Plain."
@architecture(task="t", source=PAPER)
def other(*, width: int = 4): "Another."
paper = Published(PAPER, when={"norm": "none"}, note="counted")
batch = paper.where(norm="batch").at(1, 8, 8)
published_facts(plain, paper("params", 84), paper("depth", "2.50 k", "measured", width=2))
published_facts(plain, batch.counted_as("mmcv_gflops").disputed_because("rounded")("flops", "0.167 G"))
"""


def test_facts_below_a_builder_are_those_of_its_declaration_and_of_its_live_entry(tmp_path):
    path = written(tmp_path, FACTS)
    declared = declarations((path,)).architectures
    expected = (
        Fact("params", 84, "Nobody 1959", {"norm": "none"}, note="counted"),
        Fact("depth", 2.5, "Nobody 1959", {"norm": "none", "width": 2}, digits=2, scale=1e3, note="measured"),
        Fact("flops", 0.167, "Nobody 1959", {"norm": "batch"}, (1, 8, 8), 3, 1e9, "mmcv_gflops", True, "counted"),
    )
    assert declared.get("plain").facts == expected == live(declared.get("plain"), (path,)).facts
    assert declared.get("other").facts == () == live(declared.get("other"), (path,)).facts
    assert declared.get("plain").small == {"width": 1}


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("facts(helper, Fact('params', 1, 's'))", r"facts are stated for 'helper', which is not a registered"),
        ("facts(net, TABLE('params', 'about 5'))", "'about 5' is not a number with an optional unit"),
        ("facts(net, unknown('params', 5))", r"bad.py:6: NameError: name 'unknown' is not defined"),
    ],
)
def test_a_wrong_statement_of_facts_is_an_error(tmp_path, statement, message):
    text = f"""
from bench.registry import Fact, Published, architecture, facts, plot as helper
@architecture(task="t", source="s")
def net(*, k: int = 1): "N."
TABLE = Published("s")
{statement}
"""
    if "helper" in statement:
        text = text.replace(statement, "@helper()\ndef helper(r): 'H.'\n" + statement)
    with pytest.raises(RegistryError, match=message):
        declarations((written(tmp_path, text, "bad.py"),))


def test_a_name_taken_twice_is_refused_with_both_places(tmp_path):
    text = """
        from bench.registry import metric
        @metric(unit="", better=None, kind="static")
        def miou(subject): "Mine."
        """
    path = written(tmp_path, text, "doubled.py")
    with pytest.raises(
        RegistryError, match=r"metric 'miou' is registered twice: bench/metrics/miou.py:10 and .*doubled.py:3; choose"
    ):
        declarations((path,))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(:", r"bad.py:1: cannot be read"),
        (
            "from bench.registry import metric\n@metric(unit=UNIT(), better=None, kind='static')\ndef f(s): 'F.'\n",
            r"bad.py:\d+: NameError.*must be literals or module constants",
        ),
    ],
)
def test_a_file_that_cannot_be_read_fails_loudly(tmp_path, text, message):
    with pytest.raises(CatalogueError, match=message):
        declarations((written(tmp_path, text, "bad.py"),))


def test_a_missing_plugin_is_an_error():
    with pytest.raises(CatalogueError, match="no such file"):
        declarations(("nowhere.py",))
    with pytest.raises(CatalogueError, match="no such module"):
        declarations(("no.such.module",))


@pytest.fixture
def cold(tmp_path, monkeypatch):
    """Reads declarations as a new process would, with a cache of its own that is empty at first."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def read(plugins=()):
        catalogue.own_declarations.cache_clear()
        return declarations.__wrapped__(plugins)

    yield read
    catalogue.own_declarations.cache_clear()


def facts(registries):
    """All that is declared; the functions themselves are made anew each time."""
    entries = [e for kind in KINDS for e in registry_of(registries, kind)]
    return [(replace(e, call=print), e.summary, getattr(e, "facts", ())) for e in entries]


def unreadable(*_):
    raise AssertionError("a file was parsed although its skeleton is cached")


def test_declarations_from_the_cache_are_those_from_the_sources(cold, monkeypatch):
    fresh = facts(cold())
    monkeypatch.setattr(catalogue, "_parsed", unreadable)
    assert facts(cold()) == fresh == facts(declarations())


PLUG = """
from bench.registry import metric
UNIT = "{unit}"
@metric(unit=UNIT, better=None, kind="static")
def plugged(subject):
    "{words}."
"""


def test_a_file_that_has_changed_is_read_again_though_size_and_time_are_the_same(cold, tmp_path):
    path = tmp_path / "plug.py"
    path.write_text(PLUG.format(unit="px", words="Old"))
    times = path.stat()
    assert cold((str(path),)).metrics.get("plugged").unit == "px"
    path.write_text(PLUG.format(unit="um", words="New"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    changed = cold((str(path),)).metrics.get("plugged")
    assert (changed.unit, changed.summary) == ("um", "New.")


def test_a_damaged_cache_is_written_anew(cold, tmp_path, monkeypatch):
    fresh = facts(cold())
    (file,) = (tmp_path / "cache" / "fovbench").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    assert facts(cold()) == fresh
    assert file.read_bytes() == whole


def test_an_error_is_raised_again_from_the_cache(cold, tmp_path):
    text = PLUG.format(unit="px", words="Mine").replace("plugged", "miou")
    path = written(tmp_path, text, "doubled.py")
    for _ in range(2):
        with pytest.raises(RegistryError, match=r"metric 'miou' is registered twice"):
            cold((path,))


def test_an_error_of_the_compiler_alone_is_reported_with_its_line(cold, tmp_path):
    text = "from bench.registry import metric\nx = [1 for x.y in ()]\n@metric(unit=(yield), better=None, kind='static')\ndef f(s): 'F.'\n"
    with pytest.raises(CatalogueError, match=r"odd\.py:3: cannot be read: 'yield' outside function"):
        cold((written(tmp_path, text, "odd.py"),))


def test_the_cache_holds_a_limited_number_and_drops_the_least_recently_used(cold, tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "own_sources", lambda: ())
    monkeypatch.setattr(catalogue, "MOST_CACHED", 2)
    paths = [written(tmp_path, PLUG.format(unit=str(n), words="P"), f"p{n}.py") for n in range(3)]
    for path in paths:
        cold((path,))
    (table,) = [catalogue.read_table("declarations", catalogue._version())]
    assert len(table) == 2
    monkeypatch.setattr(catalogue, "_parsed", unreadable)
    assert [cold((path,)).metrics.get("plugged").unit for path in paths[1:]] == ["1", "2"]
    with pytest.raises(AssertionError, match="a file was parsed"):
        cold((paths[0],))
