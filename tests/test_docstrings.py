"""The examples in the docstrings of the library run and print what they say."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import inspect
from pathlib import Path

import pytest
from unadapted import unadapted

import numbacnn as nc

ROOT = Path(nc.__file__).parent
LEFT_OUT = ("kernels", "backends/cuda")  # kernels have tests of their own, and these two may need a GPU


def _modules() -> list[str]:
    """The modules with an example, found by their text: nothing is imported while tests are collected."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        lines = path.read_text(encoding="utf-8").splitlines()
        runs = any(">>> " in line and "+SKIP" not in line for line in lines)
        if runs and not "/".join(parts).startswith(LEFT_OUT):
            found.append(".".join(("numbacnn", *parts)).removesuffix(".__init__"))
    return found


@pytest.mark.parametrize("name", _modules())
def test_docstrings(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # what an example writes is gone afterwards
    state = nc.get_rng_state()
    try:
        with unadapted() if name.startswith("numbacnn.compat") else contextlib.nullcontext():
            results = doctest.testmod(importlib.import_module(name), report=True)
    finally:
        nc.set_rng_state(state)
    assert results.attempted > 0
    assert results.failed == 0, "see the captured output"


@pytest.mark.parametrize("kind", [nc.Tensor, nc.nn.Module, nc.nn.Sequential, nc.Function], ids=lambda kind: kind.__name__)
def test_public_members_are_described(kind: type) -> None:
    fields = {"array", "device", "grad"}  # described where TensorBase declares them
    public = {name: getattr(kind, name) for name in dir(kind) if not name.startswith("_") and name not in fields}
    members = {name: member for name, member in public.items() if callable(member) or isinstance(member, property)}
    assert [name for name, member in members.items() if not inspect.getdoc(member)] == []
