"""Sums of products by Einstein's convention, as matrix products."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from ..errors import ShapeError, message
from ..signatures import judged
from .operands import check_tensors

if TYPE_CHECKING:
    from . import Tensor

__all__ = ["einsum"]


@judged
def einsum(equation: str, *operands: Any) -> Tensor:
    """The sum of products that an equation names: a letter for each axis; those that the result lacks are summed over.

    ``...`` stands for any axes in front, which broadcast. Without ``->`` the result has the letters that stand once, in their order.

    Args:
        operands: Tensors, one for each group of letters.

    >>> import numbacnn as nc
    >>> einsum("bij,bjk->bik", nc.ones(2, 3, 4), nc.ones(2, 4, 5)).shape
    (2, 3, 5)
    >>> einsum("ii", nc.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(5.)
    """
    given: Any = operands[0] if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else operands
    check_tensors("einsum", given)
    parts, target = _labels(equation, given)
    sizes: dict[Any, int] = {}
    for labels, x in zip(parts, given):
        for label, size in zip(labels, x.shape):
            if sizes.get(label, size) not in (1, size) and size != 1:
                raise ShapeError(message("einsum", f"one size for each letter of {equation!r}", ", ".join(str(t.shape) for t in given)))
            sizes[label] = size if sizes.get(label, 1) == 1 else sizes[label]
    terms = [_diagonals(x, labels) for labels, x in zip(parts, given)]
    found, labels = terms[0]
    for i, (x, others) in enumerate(terms[1:], 2):
        wanted = {*target}.union(*(later for _, later in terms[i:]))
        found, labels = _product(found, labels, x, others, wanted, sizes)
    found, labels = _summed(found, labels, {*target})
    return found.permute([labels.index(label) for label in target]) if target else found


def _labels(equation: str, operands: Any) -> tuple[list[list[Any]], list[Any]]:
    """The labels of each operand's axes, and the result's; those of an ellipsis are numbers, counted from the back."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    groups = left.split(",")
    form = re.compile(r"[a-zA-Z]*(\.\.\.)?[a-zA-Z]*")
    if not all(form.fullmatch(group) for group in (*groups, right)) or len(groups) != len(operands):
        raise ShapeError(message("einsum", "an equation as 'ij,jk->ik', with a group for each operand", f"{equation!r}"))
    parts = [_spelt(group, x.ndim - len(group.replace("...", ""))) for group, x in zip(groups, operands)]
    if any(len(labels) != x.ndim for labels, x in zip(parts, operands)):
        shapes = ", ".join(str(x.shape) for x in operands)
        raise ShapeError(message("einsum", f"operands with an axis for each letter of {equation!r}", shapes))
    free = max((-label for labels in parts for label in labels if isinstance(label, int)), default=0)
    letters = [label for labels in parts for label in labels if isinstance(label, str)]
    target = _spelt(right if arrow else "..." + "".join(sorted(c for c in letters if letters.count(c) == 1)), free)
    if len({*target}) != len(target) or not {c for c in target if isinstance(c, str)} <= {*letters}:
        raise ShapeError(message("einsum", "a result of letters that the operands have, each once", f"{equation!r}"))
    return parts, target


def _spelt(group: str, free: int) -> list[Any]:
    front, dots, back = group.partition("...")
    return [*front, *(range(-free, 0) if dots else ()), *back]


def _diagonals(x: Any, labels: list[Any]) -> tuple[Any, list[Any]]:
    """With each label once: of a label that stands twice, the diagonal."""
    for label in [c for i, c in enumerate(labels) if c in labels[:i]]:
        first = labels.index(label)
        second = labels.index(label, first + 1)
        x = x.diagonal(0, first, second)
        labels = [*labels[:first], *labels[first + 1 : second], *labels[second + 1 :], label]
    return x, labels


def _summed(x: Any, labels: list[Any], wanted: set[Any]) -> tuple[Any, list[Any]]:
    axes = tuple(i for i, label in enumerate(labels) if label not in wanted)
    return (x.sum(axes) if axes else x), [label for label in labels if label in wanted]


def _product(a: Any, left: list[Any], b: Any, right: list[Any], wanted: set[Any], sizes: dict[Any, int]) -> tuple[Any, list[Any]]:
    """The product of two, summed over what nobody asks for later: a stack of matrix products."""
    a, left = _summed(a, left, wanted | {*right})
    b, right = _summed(b, right, wanted | {*left})
    both = [label for label in left if label in right]
    stacked, inner = [c for c in both if c in wanted], [c for c in both if c not in wanted]
    rows, columns = [c for c in left if c not in both], [c for c in right if c not in both]
    groups = [stacked, rows, inner, columns]
    batch, m, k, n = (math.prod(sizes[c] for c in group) for group in groups)
    one = _arranged(a, left, [*stacked, *rows, *inner], sizes).reshape(batch, m, k)
    other = _arranged(b, right, [*stacked, *inner, *columns], sizes).reshape(batch, k, n)
    out = [*stacked, *rows, *columns]
    return (one @ other).reshape([sizes[c] for c in out]), out


def _arranged(x: Any, labels: list[Any], order: list[Any], sizes: dict[Any, int]) -> Any:
    """With its axes in this order, those of size 1 repeated where the label's size is another."""
    return x.permute([labels.index(c) for c in order]).expand([sizes[c] for c in order]) if order else x
