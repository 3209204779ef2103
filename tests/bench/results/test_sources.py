import textwrap

from bench.registry.catalogue import package_folder
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
