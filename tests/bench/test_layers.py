"""The house rules that a machine can check: imports run one way, the light commands stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GROUND = {
    "registry",
    "measurement",
    "recipe",
    "store",
    "statistics",
    "inference",
    "structure",
    "executors",
    "environment",
    "yamlfile",
    "cache",
}
TOP = {"cli", "sweep", "report", "running", "adhoc", "worker", "gather", "progress", "verify"}
NO_TORCH = {"registry", "measurement", "recipe", "store", "statistics", "gate", "report", "plots", "table", "results"}
NO_TORCH |= {"inference", "estimate", "deltas", "claims", "findings", "front", "wording", "summary", "quantity"}


def modules():
    for package in ("bench", "architectures"):
        for path in sorted((ROOT / package).rglob("*.py")):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path


def imports(path):
    """(module, whether at module level) of every import statement that runs."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        for name in _names(node):
            yield name, node in tree.body


def _names(node):
    if isinstance(node, ast.Import):
        return [a.name for a in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
    return []


ALL = dict(modules())


def stage(name):
    return name.split(".")[1] if name.count(".") else ""


def edges():
    for name, path in ALL.items():
        for target, _ in imports(path):
            if target in ALL and target not in (name, "bench", "architectures"):
                yield name, target


def test_nobody_imports_architectures_by_a_statement():
    assert [e for e in edges() if e[0].startswith("bench") and e[1].startswith("architectures")] == []


def test_an_architecture_imports_the_registry_torch_and_shared_layers_only():
    """Shared layers are the files of that folder that register nothing."""
    shared = {
        n for n, path in ALL.items() if n.startswith("architectures.") and "@architecture(" not in path.read_text()
    }
    allowed = {"bench.registry", *shared}
    for name, target in edges():
        if name.startswith("architectures"):
            assert any(target == a or target.startswith(a + ".") for a in allowed), (name, target)


def test_what_is_below_never_imports_what_is_above():
    for name, target in edges():
        if name.startswith("bench") and stage(name) not in TOP:
            assert stage(target) not in TOP, (name, target)
        if stage(name) in GROUND:
            allowed = GROUND | {"quantity"}
            assert stage(target) in allowed, (name, target)


def test_imports_have_no_circle():
    graph = {}
    for name, path in ALL.items():
        graph[name] = {t for t, top in imports(path) if top and t in ALL and t != name and t != name.split(".")[0]}
    done, path = set(), []

    def visit(name):
        assert name not in path, " -> ".join([*path, name])
        if name not in done:
            path.append(name)
            for target in graph[name]:
                visit(target)
            done.add(path.pop())

    for name in graph:
        visit(name)


def test_what_only_reads_never_imports_torch():
    for name, path in ALL.items():
        if name.startswith("bench") and stage(name) in NO_TORCH:
            assert not [t for t, _ in imports(path) if t.split(".")[0] in ("torch", "torchvision", "timm")], name


COMMANDS = [
    ["--help"],
    ["list"],
    ["list", "--json"],
    ["show", "fcn"],
    ["run", "--help"],
    ["plan", "fcn_skips_static"],
    ["table", "fcn_skips_static"],
    ["gate", "fcn_skips_static"],
    ["why", "fcn_skips_static"],
    ["data", "list"],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_light_commands_import_no_torch(arguments, tmp_path):
    folder = tmp_path / "ablations"
    folder.mkdir()
    text = (
        "question: q\narchitecture: fcn\nvary: {stride: [16]}\nmetrics: [params, miou]\nworkload: {dataset: context}\n"
    )
    (folder / "fcn_skips_static.yaml").write_text(text)
    code = (
        "import sys\nfrom bench.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'torchvision', 'timm', 'fvcore'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_help_and_list_import_neither_pandas_nor_numpy():
    code = (
        "import sys\nfrom bench.cli import main\n"
        "for arguments in (['--help'], ['list']):\n"
        "    try: main(arguments)\n    except SystemExit: pass\n"
        "heavy = {'pandas', 'numpy', 'pydantic', 'seaborn', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_importing_a_module_of_ours_changes_no_global_state_of_torch():
    names = [n for n in ALL if not n.endswith("__main__")]
    code = (
        "import importlib, torch\n"
        "state = lambda: (torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(),\n"
        "    torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark,\n"
        "    torch.get_float32_matmul_precision(), torch.initial_seed())\n"
        "torch.manual_seed(7); before = state()\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "assert state() == before, (before, state())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
