import textwrap

from bench.registry.catalogue import package_folder, plugin_source
from bench.results.sources import closure, code_digest, digest, libraries


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def test_comments_docstrings_and_layout_do_not_count(tmp_path):
    one = write(tmp_path / "one.py", "def f(x):\n    return x + 1\n")
    two = write(
        tmp_path / "two.py", '"""Doc."""\n\n\ndef f(x):\n    """Doc."""\n    # why\n    return (x\n            + 1)\n'
    )
    other = write(tmp_path / "other.py", "def f(x):\n    return x + 2\n")
    assert digest(one) == digest(two) != digest(other)


def test_the_closure_follows_imports_of_the_project_only(tmp_path):
    write(tmp_path / "pack/__init__.py", "")
    write(tmp_path / "pack/deep.py", "import torch\n")
    write(tmp_path / "pack/near.py", "def f():\n    from . import deep\n    return deep\n")
    write(tmp_path / "pack/unused.py", "")
    top = write(
        tmp_path / "pack/top.py",
        """
        from typing import TYPE_CHECKING
        import numpy
        from pack.near import f
        if TYPE_CHECKING:
            from pack import unused
        """,
    )
    assert [name for name, _ in closure("pack.top", top)] == ["pack", "pack.deep", "pack.near", "pack.top"]
    assert {name for name, _ in libraries((("pack.top", top),))} == {"numpy", "torch"}


def test_a_neighbour_called_like_an_installed_package_or_a_module_of_python_is_no_part_of_a_plug_in(tmp_path):
    for name in ("torch", "numpy", "json", "layers"):
        write(tmp_path / f"{name}.py", "X = 1\n")
    plug_in = write(tmp_path / "net.py", "import json\nimport layers\nimport numpy\nfrom torch import nn\n")
    name = plugin_source(str(plug_in)).module
    assert [module for module, _ in closure(name, plug_in)] == [name, "layers"]
    assert {library for library, _ in libraries(((name, plug_in),))} == {"numpy", "torch"}


def test_harness_modules_that_hold_no_arithmetic_are_no_part_of_a_metric():
    folder = package_folder("bench")
    code = code_digest([("bench.metrics.miou", folder / "metrics" / "miou.py")])
    assert "bench.metrics.miou" in code
    assert (
        not {"bench.registry", "bench.results.measurement", "bench.cli", "bench.sweep.driver", "bench.results.store"}
        & code.keys()
    )


def test_published_facts_are_no_part_of_the_code(tmp_path):
    network = "from bench.registry import Published, facts\ndef net(*, k=1):\n    return k\n"
    first = 'paper = Published("x")\nvalid = paper.at(1, 2)\nfacts(net, valid("params", 7))\n'
    plain = write(tmp_path / "plain.py", network)
    stated = write(tmp_path / "stated.py", network + first)
    other = write(tmp_path / "other.py", network + first.replace("7", "8"))
    more = write(tmp_path / "more.py", network + first + "LIMIT = scaled(7)\n")
    assert digest(plain) == digest(stated) == digest(other) != digest(more)


def test_a_package_outside_the_installed_ones_is_followed_and_its_changes_count(tmp_path, monkeypatch):
    package = write(tmp_path / "elsewhere" / "ownpackage" / "__init__.py", "from .deep import x\n")
    deep = write(package.parent / "deep.py", "x = 1\n")
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    top = write(tmp_path / "top.py", "def f():\n    from ownpackage import x\n    return x\n")
    assert [name for name, _ in closure("top", top)] == ["ownpackage", "ownpackage.deep", "top"]
    before = code_digest([("top", top)])
    digest.cache_clear()
    deep.write_text("x = 2\n")
    assert {name for name, value in code_digest([("top", top)]).items() if before[name] != value} == {"ownpackage.deep"}


def test_libraries_that_compute_for_an_imported_library_count(tmp_path):
    top = write(tmp_path / "top.py", "import timm\n")
    assert {name for name, _ in libraries((("top", top),))} == {"timm", "torch", "torchvision"}
    top = write(tmp_path / "other.py", "import torchvision\n")
    assert {name for name, _ in libraries((("other", top),))} == {"numpy", "pillow", "torch", "torchvision"}
