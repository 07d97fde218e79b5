"""Calls of the whole public API with wrong arguments: each is accepted, or refused in the house's form.

``python -m tests.bad_calls --calls 20000 --seed 1`` draws new ones and counts what comes out raw, by function.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import functools
import inspect
import io
import itertools
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import function_rows
import numba
import numpy as np

import numbacnn as nc
from numbacnn import d2l, nn, optim
from numbacnn.errors import in_form

F = nn.functional
T = nc.vision.transforms
Call = tuple[Callable[..., Any], list[Any], dict[str, Any]]


def call(function: Callable[..., Any], *args: Any, **options: Any) -> Call:
    return function, list(args), options


def images(*shape: int) -> nc.Tensor:
    return nc.tensor(np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape))


def weight(*shape: int) -> nc.Tensor:
    return images(*shape).requires_grad_()


LEAF = weight(2, 3)
OUTPUT = LEAF * 2


def labels(*values: int) -> nc.Tensor:
    return nc.tensor(list(values))


def net() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))


def pair(n: int = 6) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((n, 1, 4, 4), np.float32), np.arange(n) % 3


def average(output: nc.Tensor, y: nc.Tensor) -> nc.Tensor:
    return output.mean()


def square(x: Any) -> Any:
    return x * x


def double(x: Any) -> Any:
    return 2 * x


@numba.njit
def doubles(x: Any, y: Any) -> None:
    for i in range(min(x.size, y.size)):
        y[i] = 2 * x[i]


def dataset() -> nc.data.ImageDataset:
    return nc.data.ImageDataset(np.zeros((6, 4, 4, 1), np.uint8), np.arange(6) % 3, ("a", "b", "c"))


def seen() -> nc.checkpoint.Preprocessing:
    return nc.checkpoint.Preprocessing((1, 4, 4), (0.0,), (1.0,))


def predictor() -> nc.Predictor:
    return nc.Predictor.of(net(), ("a", "b", "c"), seen())


def adam() -> optim.Adam:
    return optim.Adam([weight(2, 2)], lr=0.1)


def sgd() -> optim.SGD:
    return optim.SGD([weight(2, 2)], lr=0.1, momentum=0.9)


def moved(optimizer: optim.Optimizer) -> optim.Optimizer:
    for group in optimizer.param_groups:
        for p in group["params"]:
            p.grad = nc.ones(*p.shape)
    optimizer.step()
    return optimizer


def pt_file() -> io.BytesIO:
    file = io.BytesIO()
    nc.save({"weight": images(2, 3)}, file)
    file.seek(0)
    return file


def loader() -> nc.data.DataLoader:
    return nc.data.DataLoader(pair(), 2)


BATCH = np.zeros((2, 4, 4, 1), np.uint8)
FOLDER = Path(tempfile.gettempdir()) / "numbacnn-no-such-folder"


def _closing(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that draws, without matplotlib's warnings and with its figures closed."""

    def quiet(*args: Any, **options: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return function(*args, **options)
            finally:
                d2l.plt.close("all")

    return quiet


def _layer(make: Callable[[], nn.Module], *shape: int) -> Callable[[], Call]:
    return lambda: call(make(), images(*shape))


def _method(name: str, *args: Any, **options: Any) -> Callable[[], Call]:
    return lambda: call(getattr(images(2, 3), name), *args, **options)


def fills(x: np.ndarray, g: Any, out: np.ndarray) -> None:
    out[...] = 0


ROWS: dict[str, Callable[[], Call]] = {
    # -- kernels of one's own
    "use_kernel": lambda: call(
        nc.use_kernel, "avg_pool2d", fills, device="cpu", layout="nchw", takes=None, block=8, rounding="sums", check=False
    ),
    # -- making tensors
    "tensor": lambda: call(nc.tensor, [[1.0, 2.0], [3.0, 4.0]], dtype="float32", device="cpu", requires_grad=False),
    "from_array": lambda: call(nc.from_array, np.zeros(3), "cpu", False),
    "from_dlpack": lambda: call(nc.from_dlpack, np.zeros(3)),
    "empty": lambda: call(nc.empty, 2, 3, dtype="float32", device="cpu", layout="nhwc", requires_grad=False),
    "launch": lambda: call(nc.launch, doubles, np.ones(3), np.zeros(3)),
    "Tensor": lambda: call(nc.Tensor, np.zeros(3), "cpu", False),
    "zeros": lambda: call(nc.zeros, 2, 3, dtype="float32", device="cpu", requires_grad=False),
    "zeros(size)": lambda: call(nc.zeros, size=(2, 3)),
    "ones": lambda: call(nc.ones, (2, 3), dtype="float32", device="cpu", requires_grad=False),
    "full": lambda: call(nc.full, (2, 3), 1.0, dtype="float32", device="cpu", requires_grad=False),
    "zeros_like": lambda: call(nc.zeros_like, images(2)),
    "ones_like": lambda: call(nc.ones_like, images(2)),
    "arange": lambda: call(nc.arange, 0, 3, 1, dtype="float32", device="cpu", requires_grad=False),
    "eye": lambda: call(nc.eye, 2, 3, dtype="float32", device="cpu", requires_grad=False),
    "rand": lambda: call(nc.rand, 2, 3, dtype="float32", device="cpu", requires_grad=False),
    "randn": lambda: call(nc.randn, (2, 3), dtype="float32", device="cpu", requires_grad=False),
    "normal": lambda: call(nc.normal, 0.0, 1.0, (2, 3), device="cpu", requires_grad=False),
    "Generator": lambda: call(nc.Generator().manual_seed, 3),
    "empty_like": lambda: call(nc.empty_like, images(2), dtype="float64", device="cpu", requires_grad=False),
    "rand_like": lambda: call(nc.rand_like, images(2), dtype="float64", device="cpu", requires_grad=False),
    "randn_like": lambda: call(nc.randn_like, images(2), dtype="float64", device="cpu", requires_grad=False),
    "finfo": lambda: call(nc.finfo, "float32"),
    "iinfo": lambda: call(nc.iinfo, "int8"),
    "set_grad_enabled": lambda: call(nc.set_grad_enabled, True),
    "cat": lambda: call(nc.cat, [images(2, 3), images(1, 3)], 0),
    "stack": lambda: call(nc.stack, [images(2, 3), images(2, 3)], 0),
    "maximum": lambda: call(nc.maximum, images(2, 3), images(3)),
    "minimum": lambda: call(nc.minimum, images(2, 3), 1.0),
    "pointwise": lambda: call(nc.pointwise, square, double, "x"),
    "where": lambda: call(nc.where, images(2, 3) > 0, images(2, 3), 1.0),
    "device": lambda: call(nc.device, "cpu"),
    "manual_seed": lambda: call(nc.manual_seed, 0),
    "Generator.manual_seed": lambda: call(nc.Generator().manual_seed, 0),
    "Generator.set_state": lambda: call(nc.Generator().set_state, nc.get_rng_state()),
    "set_rng_state": lambda: call(nc.set_rng_state, nc.get_rng_state()),
    "set_num_threads": lambda: call(nc.set_num_threads, None),
    "corr2d": lambda: call(nc.corr2d, images(4, 4), images(2, 2)),
    "convolve2d": lambda: call(nc.convolve2d, images(4, 4), images(2, 2)),
    "corr2d_multi_in": lambda: call(nc.corr2d_multi_in, images(2, 4, 4), images(2, 2, 2)),
    "corr2d_multi_in_out": lambda: call(nc.corr2d_multi_in_out, images(2, 4, 4), images(3, 2, 2, 2)),
    "pool2d": lambda: call(nc.pool2d, images(4, 4), (2, 2), "max"),
    # -- methods of a tensor
    "Tensor.sum": _method("sum", 0, False),
    "Tensor.mean": _method("mean", (0, 1), True),
    "Tensor.var": _method("var", 0, True, False, correction=1),
    "Tensor.std": _method("std", 0, True, False, correction=1),
    "Tensor.max": _method("max", 1, False),
    "Tensor.min": _method("min", 1, False),
    "Tensor.argmax": _method("argmax", 1, False),
    "Tensor.argmin": _method("argmin", 1, False),
    "Tensor.softmax": _method("softmax", 1),
    "Tensor.log_softmax": _method("log_softmax", 1),
    "Tensor.clamp": _method("clamp", -0.5, 0.5),
    "Tensor.reshape": _method("reshape", 3, 2),
    "Tensor.view": _method("view", (3, 2)),
    "Tensor.flatten": _method("flatten", 0, 1),
    "Tensor.permute": _method("permute", 1, 0),
    "Tensor.transpose": _method("transpose", 0, 1),
    "Tensor.squeeze": _method("squeeze", 0),
    "Tensor.unsqueeze": _method("unsqueeze", 0),
    "Tensor.squeeze_": _method("squeeze_", 0),
    "Tensor.unsqueeze_": _method("unsqueeze_", 0),
    "Tensor.flip": _method("flip", 0, 1),
    "Tensor.roll": _method("roll", (1, 2), (0, 1)),
    "Tensor.expand": _method("expand", 4, 2, 3),
    "Tensor.size": _method("size", 0),
    "Tensor.to": _method("to", "float64"),
    "Tensor.to(device)": _method("to", device="cpu", dtype="float64"),
    "Tensor.type": _method("type", "float64"),
    "Tensor.matmul": lambda: call(images(2, 3).matmul, images(3, 2)),
    "Tensor.matmul(batch)": lambda: call(images(2, 2, 3).matmul, images(2, 3, 2)),
    "Tensor.numba": lambda: call(images(2, 3, 4).numba, "nhwc", None),
    "Tensor.add_": _method("add_", 1.0),
    "Tensor.mul_": lambda: call(images(2, 3).mul_, images(3)),
    "Tensor.div_": _method("div_", 2.0),
    "Tensor.fill_": _method("fill_", 1.0),
    "Tensor.copy_": lambda: call(images(2, 3).copy_, images(2, 3)),
    "Tensor.requires_grad_": _method("requires_grad_", True),
    "grad": lambda: call(lambda seed, retain, unused: nc.grad(OUTPUT, LEAF, seed, retain, unused), images(2, 3), True, False),
    "Tensor.register_hook": lambda: call((weight(2, 3) * 2).register_hook, print),
    "Tensor.fill_diagonal_": lambda: call(images(2, 3).fill_diagonal_, 1.0),
    "Tensor.backward": lambda: call((weight(2, 3) * 2).backward, images(2, 3), False),
    "Tensor.__add__": lambda: call(lambda other: images(2, 3) + other, images(3)),
    "Tensor.__rsub__": lambda: call(lambda other: other - images(2, 3), images(3)),
    "Tensor.__mul__": lambda: call(lambda other: labels(1, 2, 3) * other, 2),
    "Tensor.__truediv__": lambda: call(lambda other: images(2, 3) / other, images(3)),
    "Tensor.__floordiv__": lambda: call(lambda other: labels(1, 2, 3) // other, 2),
    "Tensor.__mod__": lambda: call(lambda other: images(2, 3) % other, images(3)),
    "Tensor.__pow__": lambda: call(lambda other: images(2, 3) ** other, 2),
    "Tensor.__matmul__": lambda: call(lambda other: images(2, 3) @ other, images(3)),
    "Tensor.__lt__": lambda: call(lambda other: images(2, 3) < other, images(3)),
    "Tensor.__eq__": lambda: call(lambda other: images(2, 3) == other, images(3)),
    "Tensor.__iadd__": lambda: call(images(2, 3).__iadd__, images(3)),
    "Tensor.__getitem__": lambda: call(images(2, 3).__getitem__, (0, slice(None))),
    "Tensor.__setitem__": lambda: call(images(2, 3).__setitem__, (0, slice(None)), images(3)),
    "Tensor.data": lambda: call(lambda value: setattr(images(2, 3), "data", value), images(2, 3)),
    # -- functions
    "conv2d": lambda: call(F.conv2d, images(2, 4, 5, 5), weight(4, 2, 3, 3), weight(4), stride=1, padding=1, dilation=1, groups=2),
    "max_pool2d": lambda: call(F.max_pool2d, images(2, 4, 5, 5), 2, 2, 1, 1, False),
    "avg_pool2d": lambda: call(F.avg_pool2d, images(2, 4, 5, 5), 2, 2, 1, False, True),
    "adaptive_avg_pool2d": lambda: call(F.adaptive_avg_pool2d, images(2, 4, 5, 5), (2, 2)),
    "adaptive_max_pool2d": lambda: call(F.adaptive_max_pool2d, images(2, 4, 5, 5), (2, 2)),
    "batch_norm": lambda: call(
        F.batch_norm, images(4, 3), nc.zeros(3), nc.ones(3), weight(3), weight(3), training=True, momentum=0.1, eps=1e-5
    ),
    "linear": lambda: call(F.linear, images(2, 3), weight(4, 3), weight(4)),
    "relu": lambda: call(F.relu, images(2, 3)),
    "gelu": lambda: call(F.gelu, images(2, 3), "tanh"),
    "relu6": lambda: call(F.relu6, images(2, 3)),
    "silu": lambda: call(F.silu, images(2, 3)),
    "hardswish": lambda: call(F.hardswish, images(2, 3)),
    "softplus": lambda: call(F.softplus, images(2, 3), 2.0, 10.0),
    "sigmoid": lambda: call(F.sigmoid, images(2, 3)),
    "tanh": lambda: call(F.tanh, images(2, 3)),
    "softmax": lambda: call(F.softmax, images(2, 3), 1),
    "log_softmax": lambda: call(F.log_softmax, images(2, 3), 1),
    "dropout": lambda: call(F.dropout, images(2, 3), 0.5, True),
    "cross_entropy": lambda: call(F.cross_entropy, images(2, 3), labels(0, 2), label_smoothing=0.1, reduction="mean"),
    "nll_loss": lambda: call(F.nll_loss, images(2, 3), labels(0, 2), reduction="sum"),
    "mse_loss": lambda: call(F.mse_loss, images(2, 3), images(2, 3), reduction="none"),
    "binary_cross_entropy_with_logits": lambda: call(F.binary_cross_entropy_with_logits, images(2, 3), images(2, 3), reduction="mean"),
    "leaky_relu": lambda: call(F.leaky_relu, images(2, 4), 0.1, False),
    "prelu": lambda: call(F.prelu, images(2, 4), weight(4)),
    "rrelu": lambda: call(F.rrelu, images(2, 4), 0.1, 0.3, True, False),
    "elu": lambda: call(F.elu, images(2, 4), 0.5, False),
    "selu": lambda: call(F.selu, images(2, 4), False),
    "celu": lambda: call(F.celu, images(2, 4), 0.5, False),
    "hardtanh": lambda: call(F.hardtanh, images(2, 4), -1.0, 1.0, False),
    "hardsigmoid": lambda: call(F.hardsigmoid, images(2, 4), False),
    "logsigmoid": lambda: call(F.logsigmoid, images(2, 4)),
    "mish": lambda: call(F.mish, images(2, 4), False),
    "softsign": lambda: call(F.softsign, images(2, 4)),
    "tanhshrink": lambda: call(F.tanhshrink, images(2, 4)),
    "threshold": lambda: call(F.threshold, images(2, 4), 0.1, 20.0, False),
    "hardshrink": lambda: call(F.hardshrink, images(2, 4), 0.5),
    "softshrink": lambda: call(F.softshrink, images(2, 4), 0.5),
    "glu": lambda: call(F.glu, images(2, 4), 1),
    "softmin": lambda: call(F.softmin, images(2, 4), 1),
    "normalize": lambda: call(F.normalize, images(2, 4), 2.0, 1, 1e-12),
    "l1_loss": lambda: call(F.l1_loss, images(2, 4), images(2, 4), reduction="mean"),
    "smooth_l1_loss": lambda: call(F.smooth_l1_loss, images(2, 4), images(2, 4), reduction="mean", beta=0.5),
    "huber_loss": lambda: call(F.huber_loss, images(2, 4), images(2, 4), reduction="mean", delta=0.5),
    "binary_cross_entropy": lambda: call(F.binary_cross_entropy, images(2, 4), images(2, 4), images(4), reduction="mean"),
    "kl_div": lambda: call(F.kl_div, images(2, 4), images(2, 4), reduction="batchmean", log_target=True),
    "poisson_nll_loss": lambda: call(F.poisson_nll_loss, images(2, 4), images(2, 4), True, full=True, eps=1e-8, reduction="mean"),
    "gaussian_nll_loss": lambda: call(F.gaussian_nll_loss, images(2, 4), images(2, 4), images(2, 4), full=True, eps=1e-6, reduction="mean"),
    "soft_margin_loss": lambda: call(F.soft_margin_loss, images(2, 4), images(2, 4), reduction="mean"),
    "multilabel_soft_margin_loss": lambda: call(F.multilabel_soft_margin_loss, images(2, 4), images(2, 4), images(4), reduction="mean"),
    "hinge_embedding_loss": lambda: call(F.hinge_embedding_loss, images(2, 4), images(2, 4), 1.0, reduction="mean"),
    "margin_ranking_loss": lambda: call(F.margin_ranking_loss, images(2, 4), images(2, 4), images(2, 4), 0.1, reduction="mean"),
    "cosine_embedding_loss": lambda: call(F.cosine_embedding_loss, images(2, 4), images(2, 4), images(2), 0.1, reduction="mean"),
    "triplet_margin_loss": lambda: call(
        F.triplet_margin_loss, images(2, 4), images(2, 4), images(2, 4), 1.0, 2.0, 1e-6, True, reduction="mean"
    ),
    "pairwise_distance": lambda: call(F.pairwise_distance, images(2, 4), images(2, 4), 2.0, 1e-6, True),
    "cosine_similarity": lambda: call(F.cosine_similarity, images(2, 4), images(2, 4), 1, 1e-8),
    "dropout1d": lambda: call(F.dropout1d, images(2, 2, 2), 0.5, True),
    "dropout2d": lambda: call(F.dropout2d, images(2, 2, 2, 2), 0.5, True),
    "dropout3d": lambda: call(F.dropout3d, images(2, 2, 2, 2, 2), 0.5, True),
    "one_hot": lambda: call(F.one_hot, labels(0, 2), 3),
    "cross_entropy(weight)": lambda: call(F.cross_entropy, images(2, 3), labels(0, 2), images(3), ignore_index=2, reduction="mean"),
    "cross_entropy(shares)": lambda: call(F.cross_entropy, images(2, 3), images(2, 3), images(3), label_smoothing=0.1),
    "nll_loss(weight)": lambda: call(F.nll_loss, images(2, 3), labels(0, 2), images(3), ignore_index=2, reduction="sum"),
    "logits(pos_weight)": lambda: call(
        F.binary_cross_entropy_with_logits, images(2, 3), images(2, 3), images(3), pos_weight=images(3), reduction="mean"
    ),
    "LeakyReLU": lambda: call(nn.LeakyReLU, 0.1, False),
    "PReLU": lambda: call(nn.PReLU, 3, 0.25),
    "RReLU": lambda: call(nn.RReLU, 0.1, 0.3, False),
    "ELU": lambda: call(nn.ELU, 0.5, False),
    "SELU": lambda: call(nn.SELU, False),
    "CELU": lambda: call(nn.CELU, 0.5, False),
    "Hardtanh": lambda: call(nn.Hardtanh, -1.0, 1.0, False),
    "Hardsigmoid": lambda: call(nn.Hardsigmoid, False),
    "Mish": lambda: call(nn.Mish, False),
    "Threshold": lambda: call(nn.Threshold, 0.1, 20.0, False),
    "Hardshrink": lambda: call(nn.Hardshrink, 0.5),
    "Softshrink": lambda: call(nn.Softshrink, 0.5),
    "GLU": lambda: call(nn.GLU, 1),
    "Softmin": lambda: call(nn.Softmin, 1),
    "HuberLoss": lambda: call(nn.HuberLoss, "mean", 0.5),
    "L1Loss": lambda: call(nn.L1Loss, reduction="mean"),
    "SmoothL1Loss": lambda: call(nn.SmoothL1Loss, reduction="mean", beta=0.5),
    "BCELoss": lambda: call(nn.BCELoss, images(3), reduction="mean"),
    "KLDivLoss": lambda: call(nn.KLDivLoss, reduction="batchmean", log_target=True),
    "PoissonNLLLoss": lambda: call(nn.PoissonNLLLoss, True, True, eps=1e-8, reduction="mean"),
    "GaussianNLLLoss": lambda: call(nn.GaussianNLLLoss, full=True, eps=1e-6, reduction="mean"),
    "SoftMarginLoss": lambda: call(nn.SoftMarginLoss, reduction="mean"),
    "MultiLabelSoftMarginLoss": lambda: call(nn.MultiLabelSoftMarginLoss, images(3), reduction="mean"),
    "HingeEmbeddingLoss": lambda: call(nn.HingeEmbeddingLoss, 1.0, reduction="mean"),
    "MarginRankingLoss": lambda: call(nn.MarginRankingLoss, 0.1, reduction="mean"),
    "CosineEmbeddingLoss": lambda: call(nn.CosineEmbeddingLoss, 0.1, reduction="mean"),
    "TripletMarginLoss": lambda: call(nn.TripletMarginLoss, 1.0, 2.0, 1e-6, True, reduction="mean"),
    "Dropout1d": lambda: call(nn.Dropout1d, 0.5, False),
    "Dropout2d": lambda: call(nn.Dropout2d, 0.5, False),
    "Dropout3d": lambda: call(nn.Dropout3d, 0.5, False),
    "Unflatten": lambda: call(nn.Unflatten, 1, (2, 2)),
    "ModuleDict": lambda: call(nn.ModuleDict, {"a": nn.ReLU()}),
    "ParameterDict": lambda: call(nn.ParameterDict, {"a": images(2)}),
    "ParameterList": lambda: call(nn.ParameterList, [images(2), images(3)]),
    "LogSigmoid()": _layer(nn.LogSigmoid, 2, 3, 4, 4),
    "Softsign()": _layer(nn.Softsign, 2, 3, 4, 4),
    "Tanhshrink()": _layer(nn.Tanhshrink, 2, 3, 4, 4),
    "Softmax2d()": _layer(nn.Softmax2d, 2, 3, 4, 4),
    "Unflatten()": lambda: call(nn.Unflatten(1, (2, -1)), images(2, 4)),
    "init.trunc_normal_": lambda: call(nn.init.trunc_normal_, weight(2, 3), 0.0, 1.0, -2.0, 2.0),
    "init.orthogonal_": lambda: call(nn.init.orthogonal_, weight(2, 3), 1.0),
    "init.sparse_": lambda: call(nn.init.sparse_, weight(2, 3), 0.5, 0.01),
    "init.eye_": lambda: call(nn.init.eye_, weight(2, 3)),
    "init.dirac_": lambda: call(nn.init.dirac_, weight(4, 2, 3, 3), 2),
    "clip_grad_norm_": lambda: call(nn.utils.clip_grad_norm_, [weight(2, 3)], 1.0, 2.0),
    "clip_grad_value_": lambda: call(nn.utils.clip_grad_value_, [weight(2, 3)], 1.0),
    "parameters_to_vector": lambda: call(nn.utils.parameters_to_vector, [weight(2, 3)]),
    "vector_to_parameters": lambda: call(nn.utils.vector_to_parameters, images(6), [weight(2, 3)]),
    "Module.get_submodule": lambda: call(net().get_submodule, "1"),
    "Module.get_parameter": lambda: call(nn.Linear(2, 3).get_parameter, "weight"),
    "Module.get_buffer": lambda: call(nn.BatchNorm2d(2).get_buffer, "running_mean"),
    "Module.state_dict": lambda: call(net().state_dict, prefix="a."),
    "CosineSimilarity": lambda: call(nn.CosineSimilarity, 1, 1e-8),
    "PairwiseDistance": lambda: call(nn.PairwiseDistance, 2.0, 1e-6, True),
    "Module.register_forward_pre_hook": lambda: call(net().register_forward_pre_hook, lambda module, args: None),
    "ModuleDict.__getitem__": lambda: call(nn.ModuleDict({"a": nn.ReLU()}).__getitem__, "a"),
    "ParameterList.__getitem__": lambda: call(nn.ParameterList([images(2)]).__getitem__, 0),
    # -- initialisers
    "init.uniform_": lambda: call(nn.init.uniform_, weight(2, 3), -1.0, 1.0),
    "init.normal_": lambda: call(nn.init.normal_, weight(2, 3), 0.0, 1.0),
    "init.constant_": lambda: call(nn.init.constant_, weight(2, 3), 1.0),
    "init.ones_": lambda: call(nn.init.ones_, weight(2, 3)),
    "init.zeros_": lambda: call(nn.init.zeros_, weight(2, 3)),
    "init.xavier_uniform_": lambda: call(nn.init.xavier_uniform_, weight(2, 3), 1.0),
    "init.xavier_normal_": lambda: call(nn.init.xavier_normal_, weight(2, 3), 1.0),
    "init.kaiming_uniform_": lambda: call(nn.init.kaiming_uniform_, weight(2, 3), 0.0, "fan_in", "leaky_relu"),
    "init.kaiming_normal_": lambda: call(nn.init.kaiming_normal_, weight(2, 3), 0.0, "fan_out", "relu"),
    "init.calculate_gain": lambda: call(nn.init.calculate_gain, "leaky_relu", 0.1),
    "init.fan_in_and_fan_out": lambda: call(nn.init.fan_in_and_fan_out, "kaiming_normal_", (2, 3)),
    # -- layers
    "Conv2d": lambda: call(nn.Conv2d, 4, 6, 3, stride=1, padding=1, dilation=1, groups=2, bias=True),
    "LazyConv2d": lambda: call(nn.LazyConv2d, 6, 3, stride=1, padding=1, dilation=1, groups=1, bias=True),
    "Linear": lambda: call(nn.Linear, 4, 6, bias=True),
    "LazyLinear": lambda: call(nn.LazyLinear, 6, bias=True),
    "MaxPool2d": lambda: call(nn.MaxPool2d, 2, 2, 1, 1, ceil_mode=False),
    "AvgPool2d": lambda: call(nn.AvgPool2d, 2, 2, 1, ceil_mode=False, count_include_pad=True),
    "AdaptiveAvgPool2d": lambda: call(nn.AdaptiveAvgPool2d, (2, None)),
    "AdaptiveMaxPool2d": lambda: call(nn.AdaptiveMaxPool2d, (2, None)),
    "LazyBatchNorm1d": lambda: call(nn.LazyBatchNorm1d, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True),
    "LazyBatchNorm2d": lambda: call(nn.LazyBatchNorm2d, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True),
    "BatchNorm1d": lambda: call(nn.BatchNorm1d, 4, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True),
    "BatchNorm2d": lambda: call(nn.BatchNorm2d, 4, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True),
    "Flatten": lambda: call(nn.Flatten, 1, -1),
    "Dropout": lambda: call(nn.Dropout, 0.5),
    "GELU": lambda: call(nn.GELU, "tanh"),
    "Pointwise": lambda: call(nn.Pointwise, nc.pointwise(square, double)),
    "Pointwise()": _layer(lambda: nn.Pointwise(nc.pointwise(square, double)), 2),
    "ReLU6": lambda: call(nn.ReLU6, False),
    "SiLU": lambda: call(nn.SiLU, False),
    "Hardswish": lambda: call(nn.Hardswish, False),
    "Softplus": lambda: call(nn.Softplus, 2.0, 10.0),
    "Softmax": lambda: call(nn.Softmax, 1),
    "LogSoftmax": lambda: call(nn.LogSoftmax, 1),
    "CrossEntropyLoss": lambda: call(nn.CrossEntropyLoss, label_smoothing=0.1, reduction="mean"),
    "NLLLoss": lambda: call(nn.NLLLoss, reduction="mean"),
    "MSELoss": lambda: call(nn.MSELoss, reduction="mean"),
    "BCEWithLogitsLoss": lambda: call(nn.BCEWithLogitsLoss, reduction="mean"),
    "Parameter": lambda: call(nn.Parameter, images(2), True),
    "Sequential": lambda: call(nn.Sequential, nn.ReLU(), nn.Tanh()),
    "ModuleList": lambda: call(nn.ModuleList, [nn.ReLU(), nn.Tanh()]),
    "Conv2d()": _layer(lambda: nn.Conv2d(1, 2, 3), 2, 1, 5, 5),
    "LazyConv2d()": _layer(lambda: nn.LazyConv2d(2, 3), 2, 1, 5, 5),
    "Linear()": _layer(lambda: nn.Linear(4, 2), 2, 4),
    "LazyLinear()": _layer(lambda: nn.LazyLinear(2), 2, 4),
    "MaxPool2d()": _layer(lambda: nn.MaxPool2d(2), 2, 1, 4, 4),
    "AvgPool2d()": _layer(lambda: nn.AvgPool2d(2), 2, 1, 4, 4),
    "AdaptiveAvgPool2d()": _layer(lambda: nn.AdaptiveAvgPool2d(2), 2, 1, 4, 4),
    "AdaptiveMaxPool2d()": _layer(lambda: nn.AdaptiveMaxPool2d(2), 2, 1, 4, 4),
    "LazyBatchNorm1d()": _layer(nn.LazyBatchNorm1d, 2, 3),
    "LazyBatchNorm2d()": _layer(nn.LazyBatchNorm2d, 2, 1, 4, 4),
    "BatchNorm1d()": _layer(lambda: nn.BatchNorm1d(3), 2, 3),
    "BatchNorm2d()": _layer(lambda: nn.BatchNorm2d(1), 2, 1, 4, 4),
    "Flatten()": _layer(nn.Flatten, 2, 1, 4, 4),
    "Identity()": _layer(nn.Identity, 2),
    "ReLU()": _layer(nn.ReLU, 2),
    "GELU()": _layer(nn.GELU, 2),
    "Sigmoid()": _layer(nn.Sigmoid, 2),
    "Tanh()": _layer(nn.Tanh, 2),
    "Softmax()": _layer(lambda: nn.Softmax(0), 2),
    "LogSoftmax()": _layer(lambda: nn.LogSoftmax(0), 2),
    "Dropout()": _layer(lambda: nn.Dropout(0.5), 2),
    "Sequential()": _layer(net, 2, 1, 4, 4),
    "CrossEntropyLoss()": lambda: call(nn.CrossEntropyLoss(), images(2, 3), labels(0, 2)),
    "NLLLoss()": lambda: call(nn.NLLLoss(), images(2, 3), labels(0, 2)),
    "MSELoss()": lambda: call(nn.MSELoss(), images(2, 3), images(2, 3)),
    "BCEWithLogitsLoss()": lambda: call(nn.BCEWithLogitsLoss(), images(2, 3), images(2, 3)),
    # -- modules
    "Module.load_state_dict": lambda: call(net().load_state_dict, dict(net().state_dict()), True),
    "Module.to": lambda: call(net().to, "float64"),
    "Module.to(device)": lambda: call(net().to, device="cpu", dtype="float64"),
    "Module.train": lambda: call(net().train, True),
    "Module.apply": lambda: call(net().apply, lambda module: None),
    "Module.requires_grad_": lambda: call(net().requires_grad_, True),
    "Module.zero_grad": lambda: call(net().zero_grad, True),
    "Module.add_module": lambda: call(net().add_module, "tail", nn.ReLU()),
    "Module.register_buffer": lambda: call(net().register_buffer, "scale", images(1), True),
    "Module.register_parameter": lambda: call(net().register_parameter, "scale", nn.Parameter(images(1))),
    "Module.register_forward_hook": lambda: call(net().register_forward_hook, lambda module, args, output: None),
    "Module.register_full_backward_hook": lambda: call(net().register_full_backward_hook, lambda module, inputs, outputs: None),
    "Module.register_full_backward_pre_hook": lambda: call(net().register_full_backward_pre_hook, lambda module, outputs: None),
    "Module.named_parameters": lambda: call(lambda *a: list(net().named_parameters(*a)), "net", True),
    "Module.named_modules": lambda: call(lambda *a: list(net().named_modules(*a)), "net"),
    "Sequential.append": lambda: call(net().append, nn.ReLU()),
    "Sequential.extend": lambda: call(net().extend, [nn.ReLU()]),
    "Sequential.__getitem__": lambda: call(net().__getitem__, 0),
    "Sequential.__setitem__": lambda: call(net().__setitem__, 0, nn.Flatten()),
    # -- optimisers and schedules
    "SGD": lambda: call(optim.SGD, [weight(2)], 0.1, momentum=0.9, dampening=0.0, weight_decay=0.1, nesterov=True),
    "Adam": lambda: call(optim.Adam, [weight(2)], 0.1, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1),
    "AdamW": lambda: call(optim.AdamW, [{"params": [weight(2)], "lr": 0.1}], 0.1, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1),
    "NAdam": lambda: call(optim.NAdam, [weight(2)], 0.1, (0.9, 0.99), 1e-8, 0.1, 0.004, True, maximize=True),
    "RMSprop": lambda: call(optim.RMSprop, [weight(2)], 0.1, 0.9, 1e-8, 0.1, 0.9, True, maximize=False),
    "Adagrad": lambda: call(optim.Adagrad, [weight(2)], 0.1, 0.1, 0.1, 0.1, 1e-8, maximize=False),
    "Adadelta": lambda: call(optim.Adadelta, [weight(2)], 0.1, 0.9, 1e-8, 0.1, maximize=False),
    "Optimizer.step": lambda: call(adam().step, lambda: 1.0),
    "Optimizer.add_param_group": lambda: call(adam().add_param_group, {"params": [weight(3)], "lr": 0.1}),
    "Optimizer.zero_grad": lambda: call(adam().zero_grad, True),
    "Adam.load_state_dict": lambda: call(adam().load_state_dict, moved(adam()).state_dict()),
    "SGD.load_state_dict": lambda: call(sgd().load_state_dict, moved(sgd()).state_dict()),
    "StepLR": lambda: call(optim.StepLR, adam(), 2, 0.1),
    "CosineAnnealingLR": lambda: call(optim.CosineAnnealingLR, adam(), 10, 0.0),
    "LinearLR": lambda: call(optim.LinearLR, adam(), 0.5, 1.0, 4),
    "MultiStepLR": lambda: call(optim.MultiStepLR, adam(), [2, 4], 0.1, -1),
    "ExponentialLR": lambda: call(optim.ExponentialLR, adam(), 0.1, -1),
    "ConstantLR": lambda: call(optim.ConstantLR, adam(), 0.1, 3, -1),
    "PolynomialLR": lambda: call(optim.PolynomialLR, adam(), 3, 2.0, -1),
    "LambdaLR": lambda: call(optim.LambdaLR, adam(), float, -1),
    "MultiplicativeLR": lambda: call(optim.MultiplicativeLR, adam(), [float], -1),
    "CosineAnnealingWarmRestarts": lambda: call(optim.CosineAnnealingWarmRestarts, adam(), 3, 2, 0.01, -1),
    "CosineAnnealingWarmRestarts.step": lambda: call(optim.CosineAnnealingWarmRestarts(adam(), 3).step, 1.5),
    "CyclicLR": lambda: call(
        optim.CyclicLR,
        adam(),
        0.1,
        [0.2],
        3,
        4,
        "triangular",
        1.0,
        float,
        "cycle",
        True,
        base_momentum=0.8,
        max_momentum=0.9,
        last_epoch=-1,
    ),
    "SequentialLR": lambda: call(lambda o, *a: optim.SequentialLR(o, [optim.StepLR(o, 2), optim.StepLR(o, 2)], *a), adam(), [2], -1),
    "ChainedScheduler": lambda: call(optim.ChainedScheduler, [optim.StepLR(adam(), 2)], None),
    "ReduceLROnPlateau": lambda: call(optim.ReduceLROnPlateau, adam(), "min", 0.1, 3, 0.1, "rel", 0, [0.1], 1e-8),
    "ReduceLROnPlateau.step": lambda: call(optim.ReduceLROnPlateau(adam()).step, 1.5, 3),
    "Schedule.step": lambda: call(optim.StepLR(adam(), 2).step, 3),
    "OneCycleLR": lambda: call(
        optim.OneCycleLR,
        adam(),
        0.1,
        total_steps=10,
        pct_start=0.3,
        anneal_strategy="cos",
        cycle_momentum=True,
        base_momentum=0.8,
        max_momentum=0.9,
        div_factor=25.0,
        final_div_factor=1e4,
    ),
    "WarmUp": lambda: call(optim.WarmUp, optim.StepLR(adam(), 2), 3, 0.1),
    "Schedule.load_state_dict": lambda: call(optim.StepLR(adam(), 2).load_state_dict, optim.StepLR(adam(), 2).state_dict()),
    # -- data
    "ImageDataset": lambda: call(
        nc.data.ImageDataset, BATCH, np.array([0, 1]), ("a", "b"), name="data", mean=(0.0,), std=(1.0,), files=("x", "y")
    ),
    "ImageDataset.__getitem__": lambda: call(dataset().__getitem__, slice(2)),
    "DataLoader": lambda: call(nc.data.DataLoader, pair(), 2, True, seed=0, drop_last=False, transform=None, prefetch=0, device="cpu"),
    "DataLoader()": lambda: call(
        lambda *a, **o: list(nc.data.DataLoader(*a, **o)), dataset(), 2, transform=nc.data.RandomFlip(), prefetch=0
    ),
    "DataLoader, examples": lambda: call(
        lambda *a, **o: list(itertools.islice(nc.data.DataLoader(*a, **o), 9)),
        nc.data.ConcatDataset([list(zip(*pair()))]),
        2,
        False,
        collate_fn=nc.data.default_collate,
        pin_memory=False,
        drop_last=False,
        generator=nc.Generator(),
        in_order=True,
    ),
    "TensorDataset": lambda: call(nc.data.TensorDataset, *pair()),
    "StackDataset": lambda: call(nc.data.StackDataset, range(3), "abc"),
    "ConcatDataset": lambda: call(nc.data.ConcatDataset, [range(3), "abc"]),
    "ConcatDataset()": lambda: call(nc.data.ConcatDataset([range(3), "abc"]).__getitem__, 4),
    "ChainDataset": lambda: call(nc.data.ChainDataset, [nc.data.ChainDataset([])]),
    "Subset": lambda: call(nc.data.Subset, range(6), [1, 2]),
    "random_split": lambda: call(nc.data.random_split, range(6), [4, 2], nc.Generator()),
    "RandomSampler": lambda: call(nc.data.RandomSampler, range(6), False, 4, nc.Generator()),
    "SequentialSampler": lambda: call(lambda *a: list(nc.data.SequentialSampler(*a)), range(6)),
    "SubsetRandomSampler": lambda: call(lambda *a: list(nc.data.SubsetRandomSampler(*a)), [4, 2], nc.Generator()),
    "WeightedRandomSampler": lambda: call(nc.data.WeightedRandomSampler, [0.5, 1.0], 3, True, nc.Generator()),
    "BatchSampler": lambda: call(lambda *a: list(itertools.islice(nc.data.BatchSampler(*a), 9)), [1, 2, 3], 2, False),
    "default_collate": lambda: call(nc.data.default_collate, [(np.zeros(2), 1), (np.zeros(2), 2)]),
    "default_convert": lambda: call(nc.data.default_convert, {"x": np.zeros(2)}),
    "DataLoader.load_state_dict": lambda: call(loader().load_state_dict, loader().state_dict()),
    "ColorJitter": lambda: call(nc.data.ColorJitter, 0.2, (0.5, 1.5)),
    "ColorJitter()": lambda: call(nc.data.ColorJitter(0.2, 0.2), BATCH, np.random.default_rng(0)),
    "Compose": lambda: call(nc.data.Compose, [nc.data.RandomFlip()]),
    "Normalise": lambda: call(nc.data.Normalise, 0.5, 0.5),
    "RandomCrop": lambda: call(nc.data.RandomCrop, (3, 3), 1, "edge"),
    "RandomErase": lambda: call(nc.data.RandomErase, 0.5, scale=(0.1, 0.2), ratio=(0.5, 2.0), value=0.0),
    "RandomFlip": lambda: call(nc.data.RandomFlip, 0.5),
    "RandomFlip()": lambda: call(nc.data.RandomFlip(0.5), BATCH, np.random.default_rng(0)),
    "RandomCrop()": lambda: call(nc.data.RandomCrop(3), BATCH, np.random.default_rng(0)),
    "RandomErase()": lambda: call(nc.data.RandomErase(0.5), BATCH, np.random.default_rng(0)),
    "digits": lambda: call(nc.data.digits, 8),
    "image_folder": lambda: call(
        nc.data.image_folder,
        FOLDER,
        size=8,
        channels=1,
        val_share=0.2,
        test_share=0.2,
        classes=("a", "b"),
        skip_bad=False,
        max_pixels=100,
        largest=64,
    ),
    "pictures": lambda: call(nc.data.pictures, FOLDER, 8, 1, classes=("a", "b"), skip_bad=False, max_pixels=100, largest=64),
    "read_idx": lambda: call(nc.data.read_idx, FOLDER, max_bytes=100),
    "read_image": lambda: call(nc.data.read_image, FOLDER, size=8, channels=1, max_pixels=100),
    "remarks": lambda: call(nc.data.remarks, dataset(), dataset(), dataset(), 2),
    "to_float": lambda: call(nc.data.to_float, BATCH, mean=0.5, std=0.5),
    # -- pictures one by one
    "VisionDataset": lambda: call(nc.vision.datasets.VisionDataset, FOLDER, None, len, len),
    "KMNIST": lambda: call(nc.vision.datasets.KMNIST, FOLDER, True, len, len),
    "EMNIST": lambda: call(nc.vision.datasets.EMNIST, FOLDER, "letters", train=True, transform=len, target_transform=len),
    "CIFAR10": lambda: call(nc.vision.datasets.CIFAR10, FOLDER, True, len, len),
    "CIFAR100": lambda: call(nc.vision.datasets.CIFAR100, FOLDER, train=False),
    "SVHN": lambda: call(nc.vision.datasets.SVHN, FOLDER, "train", len, len),
    "STL10": lambda: call(nc.vision.datasets.STL10, FOLDER, "train", 1, len, len),
    "FakeData": lambda: call(nc.vision.datasets.FakeData, 10, (3, 4, 4), 10, len, len, 0),
    "FakeData()": lambda: call(nc.vision.datasets.FakeData(5, (3, 4, 4)).__getitem__, 1),
    "DatasetFolder": lambda: call(nc.vision.datasets.DatasetFolder, FOLDER, len, ".png", len, len, None, False),
    "vision.ImageFolder": lambda: call(nc.vision.datasets.ImageFolder, FOLDER, len, len, len, None, False),
    "make_grid": lambda: call(nc.vision.utils.make_grid, [images(1, 4, 4), images(1, 4, 4)], 2, 1, True, (0.0, 1.0), False, 0.5),
    "save_image": lambda: call(
        lambda tensor, format, **options: nc.vision.utils.save_image(tensor, io.BytesIO(), format, **options),
        images(2, 3, 4, 4),
        "png",
        nrow=2,
        padding=1,
        normalize=True,
        value_range=(0.0, 1.0),
        scale_each=True,
        pad_value=0.5,
    ),
    # -- models
    "models.arguments": lambda: call(nc.models.arguments, "vgg11", 10, (3, 32, 32)),
    "models.canonical": lambda: call(nc.models.canonical, "vgg11_bn"),
    "models.check_input": lambda: call(nc.models.check_input, "vgg11", (3, 32, 32)),
    "models.small_resnet": lambda: call(nc.models.get("small-resnet"), 10, 1),
    "models.get": lambda: call(nc.models.get, "lenet"),
    "models.lenet": lambda: call(nc.models.get("lenet"), 10, 1),
    "models.lenet_modern": lambda: call(nc.models.get("lenet-modern"), 10, 1),
    # -- running and keeping
    "compile": lambda: call(
        nc.compile, nn.Flatten(), fullgraph=True, dynamic=False, backend="inductor", mode=None, options={}, disable=False
    ),
    "Module.compile": lambda: call(net().compile, fullgraph=True),
    "optimize_for_inference": lambda: call(nc.optimize_for_inference, nn.Flatten(), nc.ones(1, 2)),
    "fuse_conv_bn_eval": lambda: call(nn.utils.fuse_conv_bn_eval, nn.Conv2d(1, 2, 3).eval(), nn.BatchNorm2d(2).eval()),
    "profile": lambda: call(nc.profile, nc.compile(nn.ReLU().eval()), nc.ones(1, 2), repeat=1),
    "Profile.text": lambda: call(nc.Profile((), 1).text, "layer"),
    "explain": lambda: call(nc.explain, nc.compile(nn.Flatten())),
    "evaluate": lambda: call(nc.evaluate, net(), pair(), loss=F.cross_entropy, metrics={"mean": average}, batch_size=4, compile=True),
    "predict": lambda: call(nc.predict, net(), pair()[0], probabilities=True, batch_size=4, compile=True),
    "fit": lambda: call(
        nc.fit,
        net(),
        pair(),
        pair(),
        test=pair(),
        epochs=1,
        batch_size=4,
        lr=0.01,
        weight_decay=0.1,
        optimizer="adamw",
        schedule="one-cycle",
        loss=F.cross_entropy,
        label_smoothing=0.1,
        class_weight=[1.0, 2.0, 1.0],
        clip_grad=1.0,
        metrics={"mean": average},
        transform=None,
        drop_last=False,
        early_stopping=2,
        callbacks=[len],
        init=None,
        freeze=False,
        seed=0,
        resume=False,
        checkpoint_every=None,
        device="cpu",
        threads=None,
        progress=False,
        notes=None,
    ),
    "augmentation": lambda: call(nc.training.augmentation, 40, flip=True),
    "folder_recipe": lambda: call(nc.training.folder_recipe, 300, 40, False, "small-resnet"),
    "folder_size": lambda: call(nc.training.folder_size, "lenet"),
    "looks_drawn": lambda: call(nc.data.images.looks_drawn, BATCH),
    # -- the book's helpers
    "d2l.Accumulator": lambda: call(d2l.Accumulator, 2),
    "d2l.Accumulator.add": lambda: call(d2l.Accumulator(2).add, 1, 2.0),
    "d2l.Animator": lambda: call(_closing(d2l.Animator), "x", "y", ["a"], [0, 1], [0, 1], "linear", "log", ["-"], (3, 2)),
    "d2l.Animator.add": lambda: call(_closing(lambda *a: d2l.Animator().add(*a)), 1, (1.0, None)),
    "d2l.ProgressBoard": lambda: call(d2l.ProgressBoard, "x", "y", [0, 1], [0, 1], "linear", "log", ["-"], ["C0"], (3, 2), True),
    "d2l.ProgressBoard.draw": lambda: call(_closing(d2l.ProgressBoard().draw), 1.0, 2.0, "loss", 1),
    "d2l.plot": lambda: call(_closing(d2l.plot), [1.0, 2.0], [[1.0, 2.0]], "x", "y", ["a"], [0, 1], [1, 2], "linear", "log", ["-"], (3, 2)),
    "d2l.set_axes": lambda: call(_closing(d2l.set_axes), d2l.plt.gca(), "x", "y", [0, 1], [1, 2], "linear", "log", ["a"]),
    "d2l.set_figsize": lambda: call(_closing(d2l.set_figsize), (3, 2)),
    "d2l.show_images": lambda: call(_closing(d2l.show_images), np.zeros((2, 4, 4)), 1, 2, ["a", "b"], 1.0),
    "d2l.accuracy": lambda: call(d2l.accuracy, images(2, 3), labels(0, 2)),
    "d2l.evaluate_accuracy": lambda: call(d2l.evaluate_accuracy, net(), loader()),
    "d2l.evaluate_accuracy_gpu": lambda: call(d2l.evaluate_accuracy_gpu, net(), loader(), "cpu"),
    "d2l.train_epoch_ch3": lambda: call(d2l.train_epoch_ch3, net(), loader(), F.cross_entropy, sgd()),
    "d2l.train_ch6": lambda: call(_closing(d2l.train_ch6), net(), loader(), loader(), 1, 0.1, "cpu"),
    "d2l.try_gpu": lambda: call(d2l.try_gpu, 0),
    "d2l.get_fashion_mnist_labels": lambda: call(d2l.get_fashion_mnist_labels, [0, 1]),
    "d2l.load_data_digits": lambda: call(d2l.load_data_digits, 8, 14),
    "d2l.Digits": lambda: call(d2l.Digits, 8, (14, 14)),
    "d2l.Trainer": lambda: call(d2l.Trainer, 1, 0, 1.0),
    "d2l.Residual": lambda: call(d2l.Residual, 3, 4, use_1x1conv=True, strides=2),
    "d2l.ResNeXtBlock": lambda: call(d2l.ResNeXtBlock, 8, 2, 0.5, True, 2),
    "d2l.LeNet": lambda: call(d2l.LeNet, 0.1, 10),
    "d2l.init_cnn": lambda: call(d2l.init_cnn, nn.Linear(2, 3)),
    "recipe": lambda: call(nc.training.recipe, "digits", "lenet"),
    "Predictor": lambda: call(nc.Predictor, nc.checkpoint.Checkpoint({}, preprocessing=seen()), nn.Flatten(), device="cpu", max_pixels=100),
    "Predictor.of": lambda: call(nc.Predictor.of, net(), ("a", "b", "c"), seen(), device="cpu"),
    "Predictor.__call__": lambda: call(predictor(), np.zeros((4, 4), np.uint8)),
    "Predictor.prepared": lambda: call(predictor().prepared, np.zeros((4, 4), np.uint8)),
    "Predictor.answers": lambda: call(predictor().answers, [np.zeros((1, 4, 4), np.float32)]),
    "Predictor.warmup": lambda: call(nc.Predictor.of(net()).warmup, (1, 4, 4)),
    "Prediction.top": lambda: call(nc.Prediction(np.array([0.2, 0.8]), ("a", "b")).top, 1),
    "Preprocessing.of": lambda: call(nc.checkpoint.Preprocessing.of, dataset()),
    "Preprocessing.apply": lambda: call(seen().apply, np.zeros((4, 4)), max_pixels=100),
    "checkpoint.file_of": lambda: call(nc.checkpoint.file_of, FOLDER),
    "checkpoint.load": lambda: call(nc.checkpoint.load, FOLDER),
    "checkpoint.load_weights": lambda: call(nc.checkpoint.load_weights, FOLDER),
    "load": lambda: call(nc.load, FOLDER, map_location="cpu", weights_only=True),
    "load(file)": lambda: call(lambda *a, **o: nc.load(pt_file(), *a, **o), {"cuda:0": "cpu"}, weights_only=True),
    "save": lambda: call(lambda obj: nc.save(obj, io.BytesIO()), {"epoch": 1, "net": net().state_dict(), "optimizer": [images(2, 3), 1.5]}),
    "inspect.summary": lambda: call(nc.inspect.summary, net(), (1, 4, 4)),
    "inspect.receptive_field": lambda: call(nc.inspect.receptive_field, nn.Sequential(nn.Conv2d(1, 1, 3))),
    "gradcheck": lambda: call(nc.testing.gradcheck, lambda x: x * x, [weight(2).double().detach().requires_grad_()], eps=1e-6, seed=0),
    "adjoint_check": lambda: call(nc.testing.adjoint_check, lambda x: x * 2, [weight(2)], rtol=1e-4, seed=0),
}


def picture(dtype: Any = nc.float32) -> nc.Tensor:
    return T.ConvertImageDtype(dtype)(nc.from_array(np.linspace(0, 1, 126, dtype=np.float32).reshape(3, 6, 7)))


def drawing() -> Any:
    return T.ToPILImage()(picture())


def _transform(name: str, *args: Any) -> dict[str, Callable[[], Call]]:
    """The rows of a transform: made and then called with a picture; and called with a wrong one."""
    kind = getattr(T, name)
    image = drawing if name in ("RandomPosterize", "RandomEqualize", "ToTensor", "PILToTensor") else picture
    rows = {f"vision.{name}": lambda: call(lambda *a: kind(*a)(image()), *args)} if args else {}
    return {**rows, f"vision.{name}()": lambda: call(kind(*args), image())}


def _change(name: str, *args: Any, image: Callable[[], Any] = picture) -> dict[str, Callable[[], Call]]:
    """The rows of a function: of a Tensor, and of a Pillow picture."""
    function = getattr(T.functional, name)
    rows = {f"vision.{name}(picture)": lambda: call(lambda *a: function(drawing(), *a), *args)} if args else {}
    return {**rows, f"vision.{name}": lambda: call(function, image(), *args)}


def _only_tensor(name: str, *args: Any) -> dict[str, Callable[[], Call]]:
    return {key: row for key, row in _change(name, *args).items() if "picture" not in key}


BILINEAR = T.InterpolationMode.BILINEAR
CORNERS = [[0, 0], [6, 0], [6, 5], [0, 5]]
CENTER = T.CenterCrop(3)
ROWS |= (
    _transform("CenterCrop", (3, 4))
    | _transform("ColorJitter", 0.5, (0.5, 1.5), 0.2, (-0.1, 0.1))
    | _transform("Compose", [CENTER])
    | _transform("ConvertImageDtype", nc.uint8)
    | _transform("FiveCrop", 3)
    | _transform("GaussianBlur", (3, 5), (0.5, 1.5))
    | _transform("Grayscale", 3)
    | _transform("Lambda", str)
    | _transform("Normalize", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), False)
    | _transform("PILToTensor")
    | _transform("Pad", (1, 2), 0.5, "constant")
    | _transform("RandomAdjustSharpness", 2.0, 1.0)
    | _transform("RandomAffine", 10, (0.1, 0.1), (0.9, 1.1), (-5, 5), BILINEAR, 0.5, (2, 3))
    | _transform("RandomApply", [CENTER], 1.0)
    | _transform("RandomAutocontrast", 1.0)
    | _transform("RandomChoice", [CENTER, CENTER], [1, 2])
    | _transform("RandomCrop", (4, 5), (1, 2), True, 0.5, "constant")
    | _transform("RandomEqualize", 1.0)
    | _transform("RandomErasing", 1.0, (0.1, 0.2), (0.5, 2.0), (1, 2, 3), False)
    | _transform("RandomGrayscale", 1.0)
    | _transform("RandomHorizontalFlip", 1.0)
    | _transform("RandomInvert", 1.0)
    | _transform("RandomOrder", [CENTER])
    | _transform("RandomPerspective", 0.5, 1.0, BILINEAR, 0.5)
    | _transform("RandomPosterize", 2, 1.0)
    | _transform("RandomResizedCrop", (3, 4), (0.2, 1.0), (0.5, 2.0), BILINEAR, True)
    | _transform("RandomRotation", (-10, 10), BILINEAR, True, (2, 3), (0.1, 0.2, 0.3))
    | _transform("RandomSolarize", 0.5, 1.0)
    | _transform("RandomVerticalFlip", 1.0)
    | _transform("Resize", [4], BILINEAR, 9, True)
    | _transform("TenCrop", (3, 4), True)
    | _transform("ToPILImage", "RGB")
    | _transform("ToTensor")
    | _change("adjust_brightness", 0.5)
    | _change("adjust_contrast", 0.5)
    | _change("adjust_gamma", 0.5, 2.0)
    | _change("adjust_hue", 0.25)
    | _change("adjust_saturation", 0.5)
    | _change("adjust_sharpness", 0.5)
    | _change("affine", 10.0, (1, 2), 1.5, (3.0, 4.0), BILINEAR, (0, 0, 0), (2, 3))
    | _change("autocontrast")
    | _change("center_crop", (3, 9))
    | _only_tensor("convert_image_dtype", nc.uint8)
    | _change("crop", -1, 2, 4, 5)
    | _change("equalize", image=lambda: picture(nc.uint8))
    | _only_tensor("erase", 0, 1, 2, 3, 0.5, False)
    | _change("five_crop", (3, 4))
    | _change("gaussian_blur", (3, 5), (0.5, 1.5))
    | _change("get_dimensions")
    | _change("get_image_num_channels")
    | _change("get_image_size")
    | _change("hflip")
    | _change("invert")
    | _only_tensor("normalize", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), False)
    | _change("pad", (1, 2), 0, "edge")
    | _change("perspective", CORNERS, CORNERS, BILINEAR, (0, 0, 0))
    | _change("pil_to_tensor", image=drawing)
    | _change("posterize", 2, image=lambda: picture(nc.uint8))
    | _change("resize", [4], BILINEAR, 9, True)
    | _change("resized_crop", 0, 1, 3, 4, (5, 6), BILINEAR, True)
    | _change("rgb_to_grayscale", 3)
    | _change("rotate", 10.0, BILINEAR, True, (2, 3), (0, 0, 0))
    | _change("solarize", 0.5)
    | _change("ten_crop", (3, 4), True)
    | _change("to_grayscale", 3)
    | _only_tensor("to_pil_image", "RGB")
    | _change("to_tensor", image=drawing)
    | _change("vflip")
)

_spoilt = filter(None, map(function_rows.spoilt, function_rows.ROWS))
ROWS |= {name: functools.partial(make, nc) for name, make in dict(_spoilt).items() if name not in ROWS}

CALLBACKS = {
    ("vision.Lambda", 0),
    *((f"vision.{name}", 0) for name in ("Compose", "RandomApply", "RandomChoice", "RandomOrder")),
    ("Optimizer.step", 0),
    *((name, 1) for name in ("LambdaLR", "MultiplicativeLR")),
    ("CyclicLR", 7),
    ("load", "map_location"),
    ("load(file)", 0),
    ("Module.apply", 0),
    ("Module.register_forward_hook", 0),
    ("Module.register_full_backward_hook", 0),
    ("Module.register_full_backward_pre_hook", 0),
    ("DataLoader", "transform"),
    ("DataLoader()", "transform"),
    *(("launch", i) for i in (0, 1, 2)),
    ("gradcheck", 0),
    ("adjoint_check", 0),
    ("d2l.evaluate_accuracy", 0),
    ("d2l.evaluate_accuracy_gpu", 0),
    *(("d2l.train_epoch_ch3", i) for i in (0, 2, 3)),
    *(("evaluate", name) for name in ("loss", "mean")),
    *(("fit", name) for name in ("loss", "transform", "optimizer", "schedule", "mean", "callbacks")),
}
"""Arguments that the library calls: what a wrong function raises is the user's own error."""

ENDLESS = {("fit", "epochs"), ("digits", "size"), ("OneCycleLR", "total_steps")} | {
    *(("d2l." + name, i) for name, i in (("train_ch6", 3), ("Accumulator", 0), ("LeNet", 1), ("show_images", 1), ("show_images", 2))),
    *(("d2l.load_data_digits", i) for i in (0, 1)),
    ("adaptive_max_pool2d", 1),
    ("Schedule.step", 0),
    ("profile", "repeat"),
    *((name, i) for name, i in (("randperm", 0), ("randint", 2), ("linspace", 2), ("logspace", 2), ("multinomial", 1))),
    *((f"Tensor.{name}", 0) for name in ("tensor_split", "new_ones", "new_full", "multinomial", "repeat", "tile", "repeat_interleave")),
    ("Tensor.bincount", "minlength"),
}
"""Arguments for which a huge number is right, and takes for ever."""

HUGE = (2**31, 10**12, 2**62, 2**63, 10**30)

WRONG: tuple[Any, ...] = (
    None,
    True,
    "abc",
    "",
    b"bytes",
    0,
    -1,
    -7,
    5,
    1.5,
    -0.5,
    float("nan"),
    float("inf"),
    1j,
    *HUGE,
    (),
    [],
    {},
    {1, 2},
    (1,),
    (1, 2, 3),
    (0, 0),
    (-1, 2),
    (2, 1.5),
    ("a", "b"),
    [1, "a"],
    [[1], [2, 3]],
    (2**40, 2**40),
    object,
    object(),
    len,
    ...,
    slice(None),
    range(3),
    np.float32(0.5),
    np.int64(2),
    np.array(["a"]),
    np.array([None, 1]),
    np.zeros(3, "datetime64[s]"),
    np.zeros((2, 3), np.complex64),
    np.zeros(3, np.float16),
    np.zeros(0),
    np.zeros((2, 3)),
    np.array(1.0),
    Path("."),
)

TENSORS: tuple[Callable[[], Any], ...] = (
    lambda: images(2, 3),
    lambda: images(7),
    lambda: images(1, 2, 3, 4, 5),
    lambda: nc.tensor(1.0),
    lambda: nc.zeros(0, 3),
    lambda: nc.zeros(2, 4, 0, 0),
    lambda: nc.zeros(2, 3, dtype="float64"),
    lambda: nc.zeros(2, 3, dtype="bool"),
    lambda: nc.zeros(2, 3, dtype="uint8"),
    lambda: labels(0, 1),
    lambda: labels(-1, 9),
    lambda: images(2, 3) + float("nan"),
    lambda: weight(2, 3) * 1,
    lambda: [images(2, 3), images(3)],
    lambda: (images(2, 3), "labels"),
    lambda: {"weight": images(2, 3)},
    lambda: nn.ReLU(),
    lambda: nn.Linear(3, 2),
    lambda: nn.ReLU,
    lambda: nn.UninitializedParameter(),
    lambda: nn.LazyLinear(3),
    lambda: adam(),
    lambda: optim.SGD,
    lambda: pair(),
    lambda: dataset(),
    lambda: iter([images(2)]),
)


@dataclass
class Found:
    """What became of a call: "accepted", "refused" or "raw"."""

    outcome: str
    name: str
    said: str
    error: BaseException | None = None


def places(arguments: Call) -> Iterator[tuple[Any, Any]]:
    """(container, key) of each argument, and of each member of an argument that is a list, tuple or dict."""
    _, args, options = arguments
    for container in (args, options):
        for key in list(range(len(container)) if isinstance(container, list) else container):
            yield container, key
            if isinstance(container[key], (list, dict)) and container[key]:
                member = container[key] = container[key].copy()
                for inner in list(range(len(member)) if isinstance(member, list) else member):
                    yield member, inner


def shown(value: Any) -> str:
    if isinstance(value, nn.UninitializedParameter):
        return type(value).__name__
    text = f"{type(value).__name__}{value.shape}:{value.dtype}" if isinstance(value, (nc.Tensor, np.ndarray)) else repr(value)
    return text if len(text) < 60 else text[:57] + "..."


def bad_call(rng: np.random.Generator, name: str) -> Found:
    """Make a call of this row with one or two wrong arguments."""
    arguments = ROWS[name]()
    where = list(places(arguments))
    said = []
    for _ in range(1 + (rng.random() < 0.2)):
        container, key = where[rng.integers(len(where))]
        n = rng.integers(len(WRONG) + len(TENSORS))
        value = WRONG[n] if n < len(WRONG) else TENSORS[n - len(WRONG)]()
        if (name, key) in CALLBACKS and callable(value):
            value = None
        if (name, key) in ENDLESS and isinstance(value, int) and value in HUGE:
            value = None
        if (name, key) in CALLBACKS and callable(value):
            value = None
        container[key] = value
        said.append(f"{key} = {shown(value)}")
    function, args, options = arguments
    said_all = f"{name}: {', '.join(said)}"
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            function(*args, **options)
    except Exception as error:
        return Found("refused" if in_form(error) else "raw", name, said_all, error)
    return Found("accepted", name, said_all)


def draw(calls: int, seed: int) -> Iterator[Found]:
    """So many bad calls, the rows in turn."""
    rng = np.random.default_rng(seed)
    threads, state = nc.config.threads, nc.get_rng_state()
    for name in itertools.islice(itertools.cycle(ROWS), calls):
        yield bad_call(rng, name)
        nc.config.threads = threads
    nc.set_rng_state(state)


def public() -> set[str]:
    """The names of functions and classes that a user is offered, without exceptions and plain records."""
    found = set()
    vision = (nc.vision.datasets, nc.vision.utils, T, T.functional)
    for module in (nc, nn, F, nn.init, optim, nc.data, *vision, nc.models, nc.checkpoint, nc.inspect, d2l):
        for name in getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]:
            value = getattr(module, name)
            if callable(value) and not inspect.ismodule(value):
                found.add(name)
    return found


def main() -> None:
    """Draw calls and print what comes out raw."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    if options.only:
        for name in [n for n in ROWS if options.only not in n]:
            del ROWS[name]
    outcomes: collections.Counter[str] = collections.Counter()
    raw: dict[str, dict[str, list[str]]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for found in draw(options.calls, options.seed):
            outcomes[found.outcome] += 1
            if found.outcome == "raw":
                kind = f"{type(found.error).__name__}: {str(found.error)[:90]}"
                raw.setdefault(found.name, {}).setdefault(kind, []).append(found.said)
    for name, kinds in sorted(raw.items(), key=lambda item: -sum(map(len, item[1].values()))):
        print(f"{name}: {sum(map(len, kinds.values()))}")
        for kind, cases in sorted(kinds.items(), key=lambda item: -len(item[1])):
            print(f"    {len(cases)} x {kind}\n        {cases[0]}")
    print(dict(outcomes))


if __name__ == "__main__":
    main()
