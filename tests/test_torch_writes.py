"""Programs that write in place, drawn and run beside PyTorch: the same values and gradients, or an error in the library's words."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import numbacnn as nc
from numbacnn.errors import in_form

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch==2.13.0")

SHAPES = [(3,), (2, 3), (3, 3), (1, 3), ()]
PLACES = ["0", "-1", "1:", ":1", ":, 0", "..., 1:", "...", "[0, 1]", "{x} > 0"]
VALUES = ["2", "-0.5", "{y}.clone()", "({y} * 2)", "{y}[{i}].clone()", "{y}.sum()"]
VIEWS = [
    "{x}[{i}]",
    "{x}[{i}][{j}]",
    "{x}.view(-1)",
    "{x}.transpose(0, -1)",
    "{x}.squeeze()",
    "{x}.unsqueeze(0)",
    "{x}.narrow(0, 0, 1)",
    "{x}.select(0, -1)",
]
VIEWS += ["{x}.diagonal()", "{x}.expand(2, -1)", "{x}.detach()", "({x} * 2).view(-1)", "({x} * 2)[{i}]", "{x}[{i}].detach()[{j}]"]
RESULTS = ["{x} * {y}", "{x} - {v}", "{x} @ {y}", "{x} * 1", "{x}.tanh()", "{x}.relu()", "{x}.sum(-1)", "torch.where({x} > 0, {x}, {v})"]
RESULTS += ["{x}.sigmoid()", "torch.cat([{x}, {y}])", "{x}.clone()", "1 / ({x} * {x} + 1)", "torch.zeros(2, 3, dtype=torch.float64)"]
WRITES = ["{x}[{i}] = {v}", "{x}[{i}] += {v}", "{x}[{i}] *= {v}", "{x}[{i}][{j}] = {v}", "{x}[{i}].mul_({v})", "{x}[{i}].zero_()"]
WRITES += [
    "{x} += {v}",
    "{x} /= 2",
    "{x} *= {x}",
    "{x}.mul_({v})",
    "{x}.copy_({y}.clone())",
    "{x}.zero_()",
    "{x}.fill_(0.5)",
    "{x}.tanh_()",
]
WRITES += ["{x}.masked_fill_({x} > 0, 0.5)", "{x}.relu_()", "{x}.clamp_(-0.5, 0.5)", "{x}.index_add_(0, torch.tensor([0, 0]), {v})"]
WRITES += ["{x}.squeeze_()", "{x}.unsqueeze_(0)", "{x}.lerp_({y}.clone(), 0.3)", "{x}.addcmul_({y}.clone(), {y}.clone())", "{x}.sigmoid_()"]
OTHERS = ["{x}.retain_grad()", "{x}.register_hook(lambda g: g * 2)", "del {x}"]


def _leaves(library: Any, seed: int) -> dict[str, Any]:
    """PyTorch's name for the library, and three leaves, of which the first one requires a gradient."""
    rng = np.random.default_rng(seed)
    arrays = [rng.uniform(-1.5, 1.5, SHAPES[rng.integers(len(SHAPES))]) for _ in "abc"]
    needs = [True, *(rng.random(2) < 0.5).tolist()]
    return {"torch": library, **{n: library.tensor(a, requires_grad=need) for n, a, need in zip("abc", arrays, needs)}}


def _tensors(names: dict[str, Any]) -> dict[str, Any]:
    return {n: t for n, t in names.items() if isinstance(t, (nc.Tensor, torch.Tensor))}


def _statement(draw: random.Random, names: dict[str, Any], new: str) -> str:
    x, y = (draw.choice(list(_tensors(names))) for _ in "xy")
    for _ in range(3):  # a leaf with a gradient is seldom written to
        if names[x].is_leaf and names[x].requires_grad:
            x = draw.choice(list(_tensors(names)))
    kinds = [["{n} = " + r for r in VIEWS], ["{n} = " + r for r in RESULTS], WRITES, ["with torch.no_grad(): " + w for w in WRITES], OTHERS]
    code = draw.choice(draw.choices(kinds, [5, 3, 8, 1, 1])[0])
    if "hook" in code and names[x]._base is not None:  # PyTorch loses that of a view that is written to
        code = "{n} = {x} * 1"
    if "retain" in code and names[x]._base is not None:
        code = "{n} = {x} * 2"
    code = code.replace("{n}", draw.choice([new, new, new, y]) if y not in "abc" else new).replace("{v}", draw.choice(VALUES))
    i, j = (draw.choice(PLACES) for _ in "ij")
    return code.replace("{i}", i.replace("{x}", x)).replace("{j}", "..." if ">" in j else j).format(x=x, y=y)


def _program(seed: int) -> list[str]:
    """Statements that PyTorch takes, of tensors with at most two axes: with more an activation lies channels-last, and view() copies it."""
    draw, names, program = random.Random(seed), _leaves(torch, seed), []
    for step in range(draw.randint(8, 24)):
        code = _statement(draw, names, f"t{step}")
        try:
            exec(code, names)
        except (RuntimeError, IndexError, TypeError):
            continue
        program.append(code)
        tensors = _tensors(names)
        if not tensors or any(t.ndim > 2 or t.numel() > 60 or (t.detach().abs() > 1e3).any() for t in tensors.values()):
            break
    ends = [n for n, t in _tensors(names).items() if t.requires_grad]
    chosen = draw.sample(ends, min(len(ends), 2))
    return [*program, "out = " + " + ".join(f"({n} * {n}).sum() + 0.5 * {n}.sum()" for n in chosen), "out.backward()"] if ends else []


def _run(library: Any, seed: int, program: list[str]) -> Any:
    """The values of all tensors and the gradients of the leaves, and of what retains one; or the error."""
    names = _leaves(library, seed)
    leaves = _tensors(names)
    try:
        for code in program:
            exec(code, names)
            if library is torch:  # it crashes where a hook comes to a view that it has not looked at since a write
                _ = [t.is_leaf for t in _tensors(names).values()]
    except Exception as error:
        return error
    tensors = leaves | _tensors(names)
    ends = [(n, t) for n, t in tensors.items() if library is nc or t.is_leaf or t.retains_grad]
    return {n: np.asarray(t.detach()) for n, t in tensors.items()}, {n: None if t.grad is None else np.asarray(t.grad) for n, t in ends}


@pytest.mark.long
def test_drawn_programs_that_write_in_place() -> None:
    equal = 0
    for seed in range(400):
        program = _program(seed)
        mine, other = _run(nc, seed, program), _run(torch, seed, program)
        where = "\n".join([str(seed), *program])
        if isinstance(mine, Exception):
            assert in_form(mine), (where, mine)
        elif isinstance(other, Exception):  # a saved value was overwritten, of which this library has a copy
            assert "modified by an inplace operation" in str(other), (where, other)
        else:
            for found, wanted in zip(mine, other):
                for name, array in wanted.items():  # no gradient is one of zeros: what is written to no elements has either
                    own, array = (0.0 if x is None else x for x in (found[name], array))
                    np.testing.assert_allclose(own, array, rtol=1e-6, atol=1e-8, err_msg=f"{name} of {where}")
            equal += bool(program)
    assert equal > 240
