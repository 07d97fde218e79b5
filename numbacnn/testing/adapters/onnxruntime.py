"""onnxruntime: a model of one node for each call. It has no gradients."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from ...extras import import_extra

NODES = {"conv": "Conv", "conv_transpose": "ConvTranspose", "max_pool": "MaxPool", "avg_pool": "AveragePool"}
NAMES = {"stride": "strides", "dilation": "dilations", "groups": "group"}
MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def implementations(opset: int = 19) -> list[Any]:
    """onnxruntime on the CPU, twice: it has other kernels for weights that are constants, as when deployed, than for inputs.

    ``opset``: the version of ONNX's operators; onnxruntime has other kernels for average pooling before 19.
    """
    onnx, runtime = import_extra("implementations", "onnx", "onnx"), import_extra("implementations", "onnxruntime", "onnxruntime")
    helper, settings = onnx.helper, runtime.SessionOptions()
    settings.log_severity_level = 4

    def session(node, inputs, constants, outputs=1, **options):
        values = [helper.make_tensor_value_info(f"x{i}", helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for i, a in enumerate(inputs)]
        kept = [onnx.numpy_helper.from_array(np.ascontiguousarray(a), f"c{i}") for i, a in enumerate(constants)]
        results = [helper.make_empty_tensor_value_info(f"y{i}") for i in range(outputs)]
        body = helper.make_node(node, [v.name for v in (*values, *kept)], [r.name for r in results], **options)
        graph = helper.make_graph([body], node, values, results, kept)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
        return runtime.InferenceSession(model.SerializeToString(), settings, ["CPUExecutionProvider"])

    def described(stem, x, *rest, padding=(), **options):
        """The node, the arrays and ONNX's options of a call."""
        weights, sizes = (rest, ()) if "conv" in stem else ((), rest)
        found = {"kernel_shape": sizes[0], "strides": sizes[0]} if sizes else {}
        found |= {"count_include_pad": 1} if stem == "avg_pool" else {}
        found |= {NAMES.get(key, key): int(value) if isinstance(value, bool) else value for key, value in options.items()}
        pairs = [side if isinstance(side, tuple) else (side, side) for side in padding]
        return NODES[stem], [x, *weights], found | ({"pads": np.transpose(pairs).ravel().tolist()} if pairs else {})

    def run(constant, stem, *args, outputs=1, **options):
        node, arrays, found = described(stem, *args, **options)
        inputs, constants = (arrays[:1], arrays[1:]) if constant else (arrays, [])
        y = session(node, inputs, constants, outputs, **found).run(None, {f"x{i}": a for i, a in enumerate(inputs)})
        return y[0] if outputs == 1 else (y[0], y[1] % np.prod(arrays[0].shape[2:]))  # it counts places through all images

    def pad(x, pad, mode):
        sides = np.array([0, 0, *pad[-2::-2], 0, 0, *pad[::-2]])  # all befores, all afters
        return session("Pad", [x], [sides], mode=MODES[mode]).run(None, {"x0": x})[0]

    def output_shape(name, shapes, *sizes, **options):
        arrays = (SimpleNamespace(dtype=np.dtype("float32"), shape=shape) for shape in shapes)
        node, inputs, found = described(name[:-2], *arrays, *sizes, **options)
        return session(node, inputs, [], **found).get_outputs()[0].shape

    def made(title, constant):
        calls = {f"{stem}{n}d": partial(run, constant, stem) for stem in NODES for n in (1, 2, 3)}
        calls |= {f"max_pool{n}d_with_indices": partial(run, constant, "max_pool", outputs=2) for n in (1, 2, 3)}
        return SimpleNamespace(name=title, version=runtime.__version__, pad=pad, output_shape=output_shape, **calls)

    return [made("onnxruntime", True), made("onnxruntime, weights as inputs", False)]
