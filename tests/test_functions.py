"""Functions of tensors: what they refuse, and that names and methods are one. ``test_torch_functions.py`` holds their values."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import function_rows
import numpy as np
import pytest

import numbacnn as nc
from numbacnn import functions
from numbacnn.errors import in_form
from numbacnn.tensor.tape import watching

X, I, M = nc.ones(2, 3), nc.tensor([0, 1]), nc.ones(2, 3) > 0
V = nc.ones(3)

ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: X.half(), nc.DTypeError, "[half] expected float32 or float64, in which the library computes; received float16;"),
    (lambda: I.add(1, alpha=0.5), nc.DTypeError, "[add] expected an integer factor beside integers; received 0.5;"),
    (lambda: ~X, nc.DTypeError, "[bitwise_not] expected bools or integers; received float32."),
    (lambda: X & X, nc.DTypeError, "[bitwise_and] expected bools or integers; received float32."),
    (lambda: X.masked_fill(M, V), nc.ShapeError, "[masked_fill] expected a number, or a tensor without axes; received shape (3,)."),
    (lambda: X.masked_fill(X, 0), nc.DTypeError, "[masked_fill] expected a bool mask; received float32."),
    (lambda: X.masked_select([True]), nc.DTypeError, "[masked_select] expected a bool mask; received [True]."),
    (lambda: X.movedim((0, 1), 0), nc.ShapeError, "[movedim] expected as many places as axes, each once; received (0, 1) and 0."),
    (lambda: X.rot90(1, (1, 1)), nc.ShapeError, "[rot90] expected two different axes; received (1, 1)."),
    (lambda: V.mT, nc.ShapeError, "[mT] expected a tensor of at least two axes; received shape (3,)."),
    (lambda: nc.ones(2, 1, 1).bmm(nc.ones(3, 1, 1)), nc.ShapeError, "[bmm] expected (B, M, K) and (B, K, N); received (2, 1, 1) and"),
    (lambda: X.mm(V), nc.ShapeError, "[mm] expected a matrix and a matrix; received (2, 3) and (3,)."),
    (lambda: X.tensordot(X, 1), nc.ShapeError, "[tensordot] expected pairs of axes of one size; received 1 of (2, 3) and (2, 3)."),
    (lambda: nc.rand(2, generator=3), TypeError, "[rand] expected a numbacnn.Generator or None; received int."),
    (lambda: nc.normal(0.0, 1.0), ValueError, "[normal] expected numbers with a size, or Tensors without one; received size None."),
    (lambda: nc.normal(X, -1.0), ValueError, "[normal] expected std of at least 0; received -1.0."),
    (lambda: nc.bernoulli(X * 2), ValueError, "[bernoulli] expected floating-point probabilities from 0 to 1; received float32,"),
    (lambda: nc.multinomial(X[0] * 0, 1), ValueError, "[multinomial] expected at least 1 weights above 0 in a row; received 0."),
    (lambda: nc.multinomial(-X, 1), nc.ShapeError, "[multinomial] expected weights (K,) or (N, K), finite and of at least 0; received"),
    (lambda: nc.einsum("ij,ji", X, X), nc.ShapeError, "[einsum] expected one size for each letter of 'ij,ji'; received (2, 3), (2, 3)."),
    (lambda: nc.einsum("i;j", X), nc.ShapeError, "[einsum] expected an equation as 'ij,jk->ik', with a group for each operand; received"),
    (lambda: nc.einsum("i", X), nc.ShapeError, "[einsum] expected operands with an axis for each letter of 'i'; received (2, 3)."),
    (lambda: nc.einsum("ij->k", X), nc.ShapeError, "[einsum] expected a result of letters that the operands have, each once; received"),
    (lambda: nc.einsum("ij", 3), TypeError, "[einsum] expected Tensors, at least one; received (3,); make one with tensor()."),
    (lambda: V.split([1, 1]), nc.ShapeError, "[split] expected sizes of at least 0 that add up to 3, that of axis 0; received [1, 1]."),
    (lambda: nc.tensor(1.0).chunk(2), nc.ShapeError, "[chunk] expected a tensor with axes; received a 0-d tensor."),
    (lambda: X.repeat(2), nc.ShapeError, "[repeat] expected a number of at least 0 for each of 2 axes, or for more; received (2,)."),
    (lambda: X.tile(-1), nc.ShapeError, "[tile] expected numbers of at least 0; received (-1,)."),
    (
        lambda: V.repeat_interleave(I),
        nc.ShapeError,
        "[repeat_interleave] expected repeats as integers of at least 0, one for each of 3 places; received shape (2,) of int64.",
    ),
    (lambda: X.take_along_dim(I, 0), nc.ShapeError, "[take_along_dim] expected indices of 2 axes; received shape (2,)."),
    (lambda: nc.tensor(1.0)[0], IndexError, "[index] expected an index into shape (); received 0; the value of a scalar is x.item()."),
    (lambda: X.gather(0, nc.tensor(0)), nc.ShapeError, "[gather] expected a tensor with axes and an index of as many, no larger than"),
    (lambda: X.masked_scatter(M, V), nc.ShapeError, "[masked_scatter] expected source of at least 6 elements; received shape (3,)."),
    (lambda: V.tril(), nc.ShapeError, "[tril] expected matrices (..., M, N); received shape (3,)."),
    (lambda: X.diagonal(0, 1, 1), nc.ShapeError, "[diagonal] expected two axes of a tensor; received 1 and 1 of shape (2, 3)."),
    (lambda: V.clone().fill_diagonal_(0), nc.ShapeError, "[fill_diagonal_] expected a matrix; received shape (3,)."),
    (lambda: M.fill_(2), nc.DTypeError, "[write] expected values that fit bool; received int64; convert them with .to()."),
    (lambda: I.fill_(float("inf")), nc.DTypeError, "[write] expected values that fit int64; received float32; convert them with .to()."),
    (lambda: I.fill_(10**400), ValueError, "[write] expected numbers from"),
    (lambda: nc.ones(1, 1, 1).diag(), nc.ShapeError, "[diag] expected a vector or a matrix; received shape (1, 1, 1)."),
    (lambda: V.trace(), nc.ShapeError, "[trace] expected a matrix; received shape (3,)."),
    (lambda: X.index_select(0, M.long()), nc.ShapeError, "[index_select] expected a vector of places and a tensor with axes; received"),
    (lambda: X.gather(0, X), nc.DTypeError, "[gather] expected an index of integers; received float32."),
    (lambda: X.gather(1, I), nc.ShapeError, "[gather] expected a tensor with axes and an index of as many, no larger than (2, 3) but"),
    (lambda: X.gather(1, M.long() * 9), IndexError, "[index] expected an index into shape (2, 3); received ndarray, Tensor; index 9 is"),
    (lambda: X.scatter(0, M.long(), V), nc.ShapeError, "[scatter_] expected src of at least (2, 3), the shape of the index; received"),
    (lambda: X.index_add(0, I, V), nc.ShapeError, "[index_add] expected source (2, 3); received shape (3,)."),
    (lambda: X.norm("nuc"), ValueError, "[norm] expected p as a number, or 'fro'; received 'nuc'."),
    (lambda: X.bincount(), nc.ShapeError, "[bincount] expected a vector of integers of at least 0; received shape (2, 3) of float32."),
    (lambda: I.bincount(V), nc.ShapeError, "[bincount] expected weights (2,); received shape (3,)."),
    (lambda: nc.tensor(1.0).diff(), nc.ShapeError, "[diff] expected a tensor with axes; received a 0-d tensor."),
    (lambda: nc.ones(0, 2).median(), nc.ShapeError, "[median] expected a tensor with elements; received shape (0, 2)."),
    (lambda: nc.sin(3.0), TypeError, "[sin] expected input as a Tensor; received 3.0; make one with tensor() or from_array()."),
    (lambda: nc.from_numpy([1]), TypeError, "[from_numpy] expected a NumPy array; received list; make a Tensor of it with tensor()."),
    (lambda: nc.iinfo("float32"), nc.DTypeError, "[iinfo] expected an integer dtype; received float32."),
    (lambda: I.random_(5, 2), ValueError, "[random_] expected high as an integer from 6 to"),
    (lambda: I.normal_(), nc.DTypeError, "[normal_] expected a floating-point tensor; received int64."),
    (lambda: nc.set_grad_enabled(1), TypeError, "[set_grad_enabled] expected mode as True or False; received 1."),
]


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS, ids=[text for _, _, text in ERRORS])
def test_error(call: Callable[[], Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=re.escape(text)) as raised:
        call()
    assert type(raised.value) is kind and in_form(raised.value)


def _listed() -> list[str]:
    return [name for name, value in vars(functions).items() if callable(value) and hasattr(value, "__wrapped__")]


def test_a_function_is_a_method() -> None:
    from numbacnn import _METHODS

    assert sorted(_listed()) == sorted(_METHODS)
    for name in _METHODS:
        assert (getattr(nc, name).__wrapped__ is getattr(nc.Tensor, name)) is (name != "split")  # whose argument has another name
        assert getattr(nc, name) is getattr(functions, name)


def test_every_name_has_a_row() -> None:
    """Of what PyTorch knows too, but for what other files hold against it."""
    torch = pytest.importorskip("torch")
    text = "\n".join(function_rows.ROWS)
    elsewhere = """
        T argmax argmin backward bool clone detach_ erf_ expm1_ fill_diagonal_ frac_ log1p_ masked_scatter_ register_hook
        retain_grad contiguous copy_ cpu cuda data detach device dim double dtype erf exp expand fill_ flatten flip
        float grad half int is_leaf item itemsize log log1p log_softmax long matmul max mean min ndim numpy permute pin_memory relu
        requires_grad requires_grad_ reshape roll shape sigmoid size sqrt squeeze squeeze_ std sum t tan tanh to tolist transpose type
        unsqueeze unsqueeze_ var view zero_
    """.split()  # noqa: SIM905
    missing = []
    for name in sorted(set(dir(nc.Tensor)) & set(dir(torch.Tensor))):
        same = {
            n for n in dir(nc.Tensor) if getattr(nc.Tensor, n) is getattr(nc.Tensor, name) and inspect.isfunction(getattr(nc.Tensor, n))
        }
        called = any(re.search(rf"\b{n}\b", text) for n in same | {name})
        if not name.startswith("_") and name not in elsewhere and not called:
            missing.append(name)
    assert missing == []


def test_what_is_not_recorded_is_copied_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from numbacnn import backends

    copies: list[int] = []
    for xp in {type(backends.get("cpu"))}:
        copy, astype = xp.copy, xp.astype
        monkeypatch.setattr(xp, "copy", lambda self, x, copy=copy: copies.append(x.size) or copy(self, x))
        monkeypatch.setattr(xp, "astype", lambda self, x, dtype, astype=astype: copies.append(x.size) or astype(self, x, dtype))
    x = nc.ones(2, 3)
    x.repeat(2, 2), x.repeat_interleave(3, 1), x.masked_fill(M, 0.0), nc.where(M, x, 1.0)
    x.mul_(x)
    x *= 2
    assert copies == []


def test_a_condition_may_be_written_to_before_the_backward() -> None:
    x, condition = nc.ones(3, requires_grad=True), nc.tensor([True, False, True])
    y = nc.where(condition, x, 0.0)
    condition.zero_()
    y.sum().backward()
    assert x.grad.tolist() == [1, 0, 1]


def test_a_leaky_relu_is_one_kernel_for_some_slopes(monkeypatch: pytest.MonkeyPatch) -> None:
    from numbacnn import formulas
    from numbacnn.nn.functional import leaky_relu

    seen: list[str] = []
    x = nc.tensor([-2.0, 3.0], requires_grad=True)
    with watching(lambda op, inputs, result: seen.append(op.label)):
        leaky_relu(x, 0.25)
    assert seen == ["LeakyReLU"]
    monkeypatch.setattr(formulas, "LEAKY_SLOPES", 0)
    for slope in (0.375, 0.75):
        y = leaky_relu(x, slope)
        assert y.tolist() == [-2 * slope, 3] and nc.grad(y.sum(), x)[0].tolist() == [slope, 1]


def test_places_of_any_integer_type_are_no_mask() -> None:
    x, places = nc.arange(4).reshape(2, 2), nc.tensor([1, 0], dtype=nc.uint8)
    assert x.index_select(0, places).tolist() == [[2, 3], [0, 1]]
    assert x.index_fill(1, places, 7).tolist() == [[7, 7], [7, 7]]
    assert x.gather(1, places.reshape(2, 1)).tolist() == [[1], [2]]
    assert nc.zeros(2).scatter_(0, places, nc.tensor([3.0, 4.0])).tolist() == [4.0, 3.0]


def test_an_index_without_axes_is_one_place_of_a_vector() -> None:
    x, place = nc.tensor([1.0, 2.0, 3.0], requires_grad=True), nc.tensor(1)
    picked = x.gather(0, place)
    picked.backward()
    assert (picked.item(), picked.shape, x.grad.tolist()) == (2.0, (), [0.0, 1.0, 0.0])  # type: ignore[union-attr]
    assert x.scatter(0, place, 9.0).tolist() == [1.0, 9.0, 3.0]
    assert x.scatter(0, place, nc.tensor(9.0)).tolist() == [1.0, 9.0, 3.0]
    assert x.scatter(0, place, value=4.0, reduce="add").tolist() == [1.0, 6.0, 3.0]
    assert x.scatter_add(0, place, nc.tensor(4.0)).tolist() == [1.0, 6.0, 3.0]


def test_draws_come_from_the_generator_that_is_given() -> None:
    draws: list[Callable[[Any], nc.Tensor]] = [
        lambda g: nc.rand(9, generator=g),
        lambda g: nc.randn(9, generator=g),
        lambda g: nc.normal(1.0, 2.0, (9,), generator=g),
        lambda g: nc.randint(0, 99, (9,), generator=g),
        lambda g: nc.randperm(9, generator=g),
        lambda g: nc.bernoulli(nc.full((30,), 0.5), generator=g),
        lambda g: nc.multinomial(nc.arange(1.0, 9.0), 7, generator=g),
        lambda g: nc.multinomial(nc.arange(1.0, 9.0), 9, True, generator=g),
        lambda g: nc.zeros(9).normal_(generator=g),
        lambda g: nc.zeros(9).uniform_(generator=g),
        lambda g: nc.zeros(9).exponential_(generator=g),
        lambda g: nc.zeros(30).bernoulli_(generator=g),
        lambda g: nc.zeros(9).random_(generator=g),
        lambda g: nc.zeros(9, dtype="uint8").random_(generator=g),
    ]
    for draw in draws:
        before = nc.get_rng_state()
        one, same, other = (draw(nc.Generator().manual_seed(seed)).tolist() for seed in (1, 1, 2))
        assert one == same and one != other
        assert nc.get_rng_state() == before
        draw(None)
        assert nc.get_rng_state() != before


def test_what_is_drawn_has_the_distribution_that_is_asked_for() -> None:
    n = 20000
    nc.manual_seed(0)
    for found, mean, std in [
        (nc.empty(n).uniform_(-1, 3), 1, 16 / 12),
        (nc.empty(n, dtype="float64").normal_(2, 3), 2, 9),
        (nc.empty(n).exponential_(2.0), 0.5, 0.25),
        (nc.empty(n).bernoulli_(0.25), 0.25, 0.1875),
        (nc.randint(0, 4, (n,)).float(), 1.5, 1.25),
        (nc.normal(nc.full((n,), 5.0), 0.5), 5, 0.25),
        (nc.multinomial(nc.tensor([1.0, 0.0, 3.0]), n, True).float(), 1.5, 0.75),
        (nc.cat([nc.multinomial(nc.tensor([1.0, 1.0, 2.0]).expand(n // 2, 3), 1)]).float(), 1.25, 0.6875),
    ]:
        assert abs(float(found.mean()) - mean) < 6 * (std / n) ** 0.5 + 1e-3
        assert abs(float(found.var()) / std - 1) < 0.1


def test_the_mode_of_the_autograd() -> None:
    x = nc.ones(1, requires_grad=True)
    with nc.no_grad(), nc.enable_grad():
        assert (x * 2).requires_grad
    assert not nc.enable_grad()(nc.no_grad()(lambda: (x * 2).requires_grad))()
    with nc.set_grad_enabled(False):
        assert not (x * 2).requires_grad
        with nc.set_grad_enabled(True):
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert nc.is_grad_enabled()
    guarded = nc.set_grad_enabled(False)(lambda: (x * 2).requires_grad)
    assert nc.is_grad_enabled() and not guarded() and nc.is_grad_enabled()
    nc.set_grad_enabled(False)
    try:
        assert not nc.is_grad_enabled()
    finally:
        nc.set_grad_enabled(True)
    assert nc.is_grad_enabled()


def test_nan_as_an_integer_is_no_warning() -> None:
    assert nc.tensor(nc.tensor([float("nan"), 2.0]), dtype="int64")[1] == 2
    assert nc.ones(1, dtype="int64").new_tensor(np.array([np.inf])).shape == (1,)


def test_memory_is_shared_where_it_can_be() -> None:
    array = np.zeros(3, np.float32)
    x, same = nc.from_numpy(array), nc.tensor([1.0])
    array[0] = 5
    assert x[0] == 5 and nc.as_tensor(same) is same
    assert np.shares_memory(nc.as_tensor(array).numpy(), array) and not np.shares_memory(
        nc.as_tensor(array, dtype="float64").numpy(), array
    )
    parts = nc.zeros(4).split(2)
    parts[1].fill_(1.0)
    assert np.shares_memory(parts[0].numpy(), parts[1].numpy().base)
