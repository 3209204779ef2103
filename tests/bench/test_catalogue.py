import textwrap
from dataclasses import replace

import pytest

from bench.catalogue import SORTS, CatalogueError, declarations, live
from bench.registry import RegistryError

ALL = [(sort, e.name) for sort in SORTS for e in getattr(declarations(), sort + "s")]


@pytest.mark.parametrize(("sort", "name"), ALL)
def test_a_declaration_read_from_the_source_equals_the_live_entry(sort, name):
    declared = getattr(declarations(), sort + "s").get(name)
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


def test_a_name_taken_twice_is_refused_with_both_places(tmp_path):
    text = """
        from bench.registry import metric
        @metric(unit="", better=None, kind="static")
        def miou(subject): "Mine."
        """
    path = written(tmp_path, text, "doubled.py")
    with pytest.raises(RegistryError, match=r"metric 'miou' is registered twice: in bench.metrics.miou and in"):
        declarations((path,))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def f(:", r"bad.py:1: cannot be read"),
        (
            "from bench.registry import metric\n@metric(unit=UNIT(), better=None, kind='static')\ndef f(s): 'F.'\n",
            r"bad.py:\d+: NameError.*must be literals or module constants",
        ),
    ],
)
def test_a_file_that_cannot_be_read_fails_loudly(tmp_path, text, told):
    with pytest.raises(CatalogueError, match=told):
        declarations((written(tmp_path, text, "bad.py"),))


def test_a_plugin_that_is_not_there_is_an_error():
    with pytest.raises(CatalogueError, match="no such file"):
        declarations(("nowhere.py",))
    with pytest.raises(CatalogueError, match="no such module"):
        declarations(("no.such.module",))
