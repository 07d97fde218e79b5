"""The house rules, read off the source: imports go strictly down, devices are complete, the library has no asserts."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from numbacnn.backends.base import Backend
from numbacnn.backends.cpu import CpuBackend
from numbacnn.backends.cuda import CudaBackend

PACKAGE = Path(__file__).parent.parent / "numbacnn"

DEVICES = ("cpu", "cuda")

# From the bottom up; rooms in one row are siblings and do not import each other.
LAYERS = [
    {"names", "errors", "config", "results"},
    {"geometry", "layout", "dtypes", "indexing", "random"},
    {"reference", "kernels.cpu", "kernels.cuda"},
    {
        "backends.base",
        "backends.choice",
        "backends.cpu.buffers",
        "backends.cpu.packs",
        "backends.cpu.plan.tiles",
        "backends.cpu.plan.tables",
    },
    {"backends.cpu.plan.shapes", "backends.cpu.plan.contract"},
    {"backends.cpu.plan.correlate", "backends.cpu.plan.depthwise", "backends.cpu.plan.column_sum"},
    {"backends.cpu.plan.conv", "backends.cpu.plan.linear", "backends.cpu.plan.winograd"},
    {f"backends.{device}.arrays" for device in DEVICES},
    {"backends.cpu.run", *(f"backends.{device}.pointwise" for device in DEVICES)},
    {f"backends.{device}.{family}" for device in DEVICES for family in ("index", "loss", "optim", "pool", "reduce")},
    {"backends.cpu.conv.algorithm"},
    {f"backends.cpu.conv.{algorithm}" for algorithm in ("column_sum", "depthwise", "direct", "winograd")},
    {f"backends.{device}.{family}" for device in DEVICES for family in ("conv", "dense", "norm")},
    {f"backends.{device}" for device in DEVICES},
    {"backends"},
    {"ops", "cuda"},
    {"tensor"},
    {"nn.init", "nn.functional", "nn.module"},
    {"nn", "optim", "data", "testing"},
    {"models", "inspect"},
    {"checkpoint"},
    {"plots"},
    {"training"},
    {"doctor"},
    {"cli"},
    {"__main__"},
]
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}


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


def imported(name: str, path: Path) -> set[str]:
    """Modules of the package that this one imports, at its top or inside functions."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    known = {module for module, _ in modules()}
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                base = package[: len(package) - node.level + 1]
            elif node.module and node.module.split(".")[0] == "numbacnn":
                base = []
            else:
                continue
            stem = base + (node.module or "").removeprefix("numbacnn").strip(".").split(".")
            stem = [part for part in stem if part]
            for alias in node.names:
                full = ".".join([*stem, alias.name])
                found.add(full if full in known else ".".join(stem))
    return found - {""}


@pytest.mark.parametrize(("name", "path"), modules(), ids=[name for name, _ in modules()])
def test_imports_go_down(name, path):
    own = room(name)
    if own == "kernels":
        return
    assert own in LEVEL, f"{name} has no row in LAYERS"
    for other in imported(name, path):
        assert room(other) == own or LEVEL[room(other)] < LEVEL[own], f"{name} imports {other}, which is not below it"


def test_a_wrong_import_would_be_seen(tmp_path):
    wrong = tmp_path / "geometry.py"
    wrong.write_text("from .tensor import Tensor\nfrom . import nn\n")
    assert {room(other) for other in imported("geometry", wrong)} == {"tensor", "nn"}
    assert all(LEVEL[room(other)] > LEVEL["geometry"] for other in imported("geometry", wrong))


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


def test_importing_the_package_is_light():
    heavy = ["numba", "numba.cuda", "scipy", "matplotlib", "sklearn", "PIL", "torch", "tqdm", "safetensors"]
    code = f"import sys, numbacnn; print([m for m in {heavy!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "[]"
