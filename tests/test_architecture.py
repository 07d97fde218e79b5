"""The house rules, read off the source: imports go strictly down, devices are complete, the library has no asserts."""

from __future__ import annotations

import ast
import functools
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from numbacnn import backends
from numbacnn.backends.base import Backend
from numbacnn.backends.cpu import CpuBackend
from numbacnn.backends.cuda import CudaBackend

PACKAGE = Path(__file__).parent.parent / "numbacnn"

DEVICES = ("cpu", "cuda")

# From the bottom up; rooms in one row are siblings and do not import each other.
LAYERS = [
    {"names", "errors", "config", "locks", "recording", "version"},
    {"arguments", "children", "dlpack", "extras", "files", "fingerprint", "pickles", "signatures"},
    {"geometry", "formulas", "layout", "chapter", "kernels", "dtypes", "indexing", "random"},
    {"reference", "kernels.cpu", "kernels.cuda"},
    {
        "backends.choice",
        "backends.cpu.buffers",
        "backends.cpu.packs",
        "backends.cpu.plan",
        "backends.cpu.plan.tiles",
        "backends.cpu.plan.tables",
    },
    {"backends.own", "backends.cpu.plan.shapes", "backends.cpu.plan.contract"},
    {"backends.base", "backends.cpu.plan.correlate", "backends.cpu.plan.depthwise", "backends.cpu.plan.column_sum"},
    {f"backends.cpu.plan.{family}" for family in ("conv", "few_pixels", "linear", "winograd")},
    {f"backends.{device}.arrays" for device in DEVICES},
    {"backends.cuda.fast.arrays"},
    {"backends.cpu.run", *(f"backends.{device}.pointwise" for device in DEVICES)},
    {f"backends.{device}.{family}" for device in DEVICES for family in ("index", "loss", "optim", "pool", "reduce")},
    {"backends.cpu.conv.algorithm"},
    {f"backends.cpu.conv.{algorithm}" for algorithm in ("column_sum", "depthwise", "direct", "few_pixels", "winograd")},
    {f"backends.{device}.{family}" for device in DEVICES for family in ("conv", "dense", "norm")},
    {"backends.cuda.verdict", *(f"backends.{device}.own" for device in DEVICES)},
    {f"backends.{device}" for device in DEVICES},
    {"backends"},
    {"ops", "cuda"},
    {"tensor.tape", "tensor.text"},
    {"tensor.core"},
    {"tensor.autograd", "tensor.exchange", "tensor.operands"},
    {"tensor.convert", "tensor.create", "tensor.index", "tensor.join", "tensor.shape"},
    {"tensor.einsum", "tensor.function", "tensor.parts", "tensor.pointwise"},
    {"tensor.draw", "tensor.elementary"},
    {"tensor.arithmetic"},
    {"tensor.logic"},
    {"tensor.dense", "tensor.gather", "tensor.reduce"},
    {"tensor.order"},
    {"tensor"},
    {"functions", "nn.functional.checks"},
    {"nn.functional.pool"},
    {"nn.init", "nn.functional", "nn.parameter", "nn.field", "nn.hooks"},
    {"nn.fusion"},
    {"nn.lazy"},
    {"nn.module"},
    {"nn.containers"},
    {"nn", "optim", "data"},
    {"vision"},
    {"plan", "ptfile"},
    {"models", "inspect", "testing"},
    {"checkpoint"},
    {"predictor", "plots"},
    {"training"},
    {"d2l", "compat"},
    {"cli"},
    {"__main__"},
]
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}


@functools.cache
def modules() -> list[tuple[str, Path]]:
    """Every module but the package's own ``__init__``, by its name below ``numbacnn``."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            found.append((name, path))
    return found


def room(module: str) -> str:
    """The longest name in the table that the module lies in."""
    parts = module.split(".")
    names = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
    return next((name for name in names if name in LEVEL), module)


def targets(node: ast.AST, package: list[str]) -> list[list[str]]:
    """What a statement imports of the library, as paths below ``numbacnn``; [] is the library's own ``__init__``."""
    if isinstance(node, ast.Import):
        return [alias.name.split(".")[1:] for alias in node.names if alias.name.split(".")[0] == "numbacnn"]
    if isinstance(node, ast.ImportFrom):
        stem = absolute("." * node.level + (node.module or ""), package)
        if stem is None:
            return []
        known = {module for module, _ in modules()}
        paths = [[*stem, alias.name] for alias in node.names]
        return [path if ".".join(path) in known else stem for path in paths]  # a name that is no module stands in the package's __init__
    if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__") and node.args:
        name = node.args[0]
        path = absolute(name.value, package) if isinstance(name, ast.Constant) and isinstance(name.value, str) else None
        return [] if path is None else [path]
    return []


def absolute(name: str, package: list[str]) -> list[str] | None:
    """The path below ``numbacnn`` of a module's name, which may be relative; None for other libraries."""
    level = len(name) - len(name.lstrip("."))
    parts = [part for part in name.split(".") if part]
    if level:
        return package[: len(package) - level + 1] + parts
    return parts[1:] if parts[:1] == ["numbacnn"] else None


@functools.cache
def imported(name: str, path: Path) -> set[str]:
    """Modules that this one imports, at its top or inside functions, and packages whose ``__init__`` that runs; "" is the library's.

    What only the type checker reads does not count.
    """
    own = name.split(".")
    package = own if path.name == "__init__.py" else own[:-1]
    tree = ast.parse(path.read_text())
    tree.body = [node for node in tree.body if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")]
    found = {tuple(target) for node in ast.walk(tree) for target in targets(node, package)}
    packages = {target[:n] for target in found for n in range(1, len(target))}
    return {".".join(target) for target in found | {outer for outer in packages if outer != tuple(own[: len(outer)])}}


def complaints(name: str, path: Path) -> list[str]:
    """The imports that do not go down."""
    own = room(name)
    if own not in LEVEL:
        return [f"{name} has no row in LAYERS"]
    others = sorted(imported(name, path) - {name})
    around = [other for other in others if not other or name.startswith(f"{other}.")]
    up = [other for other in others if other not in around and room(other) != own and LEVEL[room(other)] >= LEVEL[own]]
    return [f"{name} imports the package around it" for _ in around] + [f"{name} imports {other}, which is not below it" for other in up]


@pytest.mark.parametrize(("name", "path"), modules(), ids=[name for name, _ in modules()])
def test_imports_go_down(name, path):
    assert not complaints(name, path)


def test_imports_run_in_no_circles():
    """Inside a room too."""
    graph = {name: imported(name, path) - {name} for name, path in modules()}
    done: set[str] = set()

    def visit(name: str, way: list[str]) -> None:
        assert name not in way, " -> ".join([*way, name])
        if name not in done:
            for other in sorted(graph.get(name, ())):
                visit(other, [*way, name])
            done.add(name)

    for name in graph:
        visit(name, [])


@pytest.mark.parametrize(("name", "source", "wrong"), [
    ("geometry", "from .tensor import Tensor", {"tensor"}),
    ("geometry", "from . import nn, errors", {"nn"}),
    ("geometry", "from . import Tensor", {""}),
    ("geometry", "from .nn import functional", {"nn", "nn.functional"}),
    ("geometry", "import numbacnn", {""}),
    ("geometry", "import numbacnn as nc, numpy", {""}),
    ("geometry", "import numbacnn.tensor", {"tensor"}),
    ("geometry", "from numbacnn import tensor, Tensor", {"tensor", ""}),
    ("geometry", "from numbacnn.tensor import Tensor", {"tensor"}),
    ("geometry", "def late():\n    from .tensor import *", {"tensor"}),
    ("geometry", "import importlib\nimportlib.import_module('.tensor', __package__)", {"tensor"}),
    ("geometry", "__import__('numbacnn.tensor')", {"tensor"}),
    ("geometry", "from .dtypes import float32", {"dtypes"}),  # one floor's rooms do not import each other
    ("data.loader", "from ..nn.functional import relu", {"nn"}),  # which runs nn/__init__.py
    ("nn.conv", "from . import Linear", {"nn"}),
    ("nn.conv", "from .. import Tensor", {""}),
    ("nn.conv", "from ..training import fit", {"training", "training.fit"}),
    ("nobody", "", {"nobody"}),
])  # fmt: skip
def test_a_wrong_import_would_be_seen(name, source, wrong, tmp_path):
    path = tmp_path / f"{name.split('.')[-1]}.py"
    path.write_text(source)
    found = complaints(name, path)
    assert len(found) == len(wrong)
    assert all(any(f" {other}" in text or "around it" in text or "no row" in text for text in found) for other in wrong)


@pytest.mark.parametrize(("name", "source"), [
    ("nn.conv", "from .. import tensor\nfrom ..tensor import Tensor\nfrom . import functional as F\nfrom .module import Module"),
    ("geometry", "from .errors import message\nimport numbacnn.errors, importlib\nimportlib.import_module('numba')"),
])  # fmt: skip
def test_a_right_import_is_left_alone(name, source, tmp_path):
    path = tmp_path / f"{name.split('.')[-1]}.py"
    path.write_text(source)
    assert not complaints(name, path)


def device_names(source: str) -> list[str]:
    """Where a source compares with the name of a device, or lists it. To pass one on, as an argument or its default, is no decision."""
    devices = re.compile(rf"({'|'.join(backends.names())})(:.*)?")
    found = []
    body = [node for node in ast.parse(source).body if not ast.unparse(node).startswith("__all__")]  # names of objects
    for node in (inner for outer in body for inner in ast.walk(outer)):
        if isinstance(node, ast.Dict):
            parts = node.keys
        elif isinstance(node, (ast.Tuple, ast.List, ast.Set)):
            parts = node.elts
        elif isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            parts = [node.value]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("startswith", "removeprefix"):
            parts = node.args
        else:
            parts = []
        names = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        found += [f"line {node.lineno}: {name}" for name in names if devices.fullmatch(name)]
    return found


@pytest.mark.parametrize(("name", "path"), modules(), ids=[name for name, _ in modules()])
def test_a_devices_name_stands_in_one_place(name, path):
    if name not in ("backends", "extras"):  # in extras "cuda" is the name of what pip installs
        assert not device_names(path.read_text())


@pytest.mark.parametrize("source", [
    "x.device == 'cpu'", "if 'cuda' != device: pass", "target in ('cuda:0', name)", "NAMES = ['cuda']", "EVERY = {'cpu': 1}", "{'cpu'}",
    "match device:\n    case 'cuda': pass", "device.startswith('cuda')",
])  # fmt: skip
def test_a_devices_name_would_be_seen(source):
    assert len(device_names(source)) == 1


def test_to_pass_a_devices_name_on_is_no_decision():
    assert not device_names("__all__ = ['cuda']\ndef zeros(*size, device='cpu'): return x.to('cuda', device='cpu')")


def parameters(method) -> list[str]:
    return [name for name in inspect.signature(method).parameters if name != "self"]


@pytest.mark.parametrize("backend", [CpuBackend, CudaBackend])
def test_backends_are_complete(backend):
    wanted = {name: value for name, value in vars(Backend).items() if callable(value) and not name.startswith("_")}
    assert len(wanted) > 40
    assert [name for name in wanted if not hasattr(backend, name)] == []
    for name, method in wanted.items():
        assert parameters(getattr(backend, name)) == parameters(method), name


def test_a_family_of_operations_has_the_same_name_on_every_device():
    families = [[kind.__name__ for kind in backend.__mro__[1:-1]] for backend in (CpuBackend, CudaBackend)]
    assert set(families[0]) == set(families[1])
    for family in families[0]:
        for device in DEVICES:
            place = PACKAGE / "backends" / device / family.lower()
            assert place.is_dir() or place.with_suffix(".py").exists(), place


def writes(source: str) -> list[str]:
    """Where a source writes into an array by itself: by an index, or by a call of NumPy's that takes the memory to write to."""
    found = []
    tree = ast.parse(source)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "compute"]
    handed = {ast.unparse(call.args[0]) for call in calls}
    tree.body = [node for node in tree.body if not (isinstance(node, ast.FunctionDef) and node.name in handed)]
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
        found += [f"line {node.lineno}: {ast.unparse(t)}" for target in targets for t in ast.walk(target) if isinstance(t, ast.Subscript)]
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called.split(".")[-1] in ("fill", "copyto", "put", "put_along_axis", "place", "at") or "out" in [
                k.arg for k in node.keywords
            ]:
                found.append(f"line {node.lineno}: {called}")
    return found


WITHOUT_ARRAYS = ("backends.cpu.packs", "backends.cpu.buffers", "backends.cpu.plan", "backends.cuda.index", "backends.cuda.verdict")
"""Rooms that write into dicts and tables of their own, or into a copy on the host."""


@pytest.mark.parametrize(("name", "path"), [m for m in modules() if m[0].startswith(("backends.cpu", "backends.cuda"))], ids=str)
def test_memory_is_written_through_the_one_door(name, path):
    """A kernel by ``launch``, a call of NumPy's by ``compute``."""
    if not name.startswith(WITHOUT_ARRAYS):
        assert not writes(path.read_text())


@pytest.mark.parametrize("source", [
    "x[...] = 1", "x[0] += y", "a, x[i] = 1, 2", "x.fill(0)", "np.copyto(x, y)", "np.add.at(x, i, y)", "np.add(a, b, out=x)",
])  # fmt: skip
def test_a_write_beside_the_door_would_be_seen(source):
    assert len(writes(source)) == 1


def test_a_call_through_the_door_is_left_alone():
    assert not writes("compute(np.copyto, x, y)\nlaunch(kernel, x)\ny = x[0]")
    assert not writes("def into(x):\n    x[0] = 1\ncompute(into, x)")


def test_no_asserts_in_the_library():
    for name, path in modules():
        assert not [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Assert)], name


def test_one_module_imports_cuda():
    found = []
    for name, path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
            stem = node.module or "" if isinstance(node, ast.ImportFrom) and not node.level else ""
            if stem.startswith("numba.cuda") or (stem == "numba" and "cuda" in names) or any(n.startswith("numba.cuda") for n in names):
                found.append(name)
    assert sorted(set(found)) == ["kernels.cuda.driver"]


def test_importing_the_package_and_its_command_line_is_light():
    heavy = ["numba", "numba.cuda", "scipy", "matplotlib", "sklearn", "PIL", "torch", "tqdm", "safetensors"]
    code = f"import sys, numbacnn.cli; print([m for m in {heavy!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "[]"


def test_every_public_module_is_an_attribute():
    """In a new process, where no test has imported a module before."""
    public = sorted({name.split(".")[0] for name, _ in modules()} - {"__main__"})
    assert {"nn", "plots", "testing"} <= set(public)
    code = f"""
import numbacnn as nc
listed = dir(nc)
print([name for name in {public!r} if getattr(nc, name, None) is None or name not in listed])
print([name for name in {{*listed, *nc.__all__}} if not hasattr(nc, name)])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.split("\n")[:2] == ["[]", "[]"]


def test_locks_survive_a_fork() -> None:
    """All are made by ``locks.lock``, which opens them in a child."""
    found = [path for _, path in modules() if re.search(r"\bR?Lock\(", path.read_text())]
    assert found == [PACKAGE / "locks.py"]
