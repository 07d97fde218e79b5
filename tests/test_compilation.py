"""Two compilations of one kernel give the same bits: a twin for forked children, another process, another order of first calls."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

CODE = """
    import hashlib
    import numpy as np
    import numbacnn as nc
    from numbacnn.kernels.cpu import launch

    F, rng = nc.nn.functional, np.random.default_rng(0)
    draw = lambda *shape: nc.tensor(rng.standard_normal(shape, dtype=np.float32), requires_grad=True)
    weight, labels, dense = draw(64, 64, 3, 3), nc.tensor(np.arange(9)), draw(21, 12544)
    calls = {
        "gelu": lambda x: F.gelu(x),
        "gelu_tanh": lambda x: F.gelu(x, "tanh"),
        "sigmoid": lambda x: x.sigmoid(),
        "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
        "winograd": lambda x: F.conv2d(x, weight),
        "thin": lambda x: F.linear(x[:3].flatten(1), dense, activation="tanh"),
        "softmax": lambda x: x.flatten(1).softmax(1),
        "loss": lambda x: F.cross_entropy(x.mean((2, 3)), labels, label_smoothing=0.1),
    }
    found = {}
    x = draw(9, 64, 14, 14)
    for name in ORDER(calls):
        x.grad = None
        y = calls[name](x)
        (y * y).sum().backward()
        found[name] = hashlib.sha256(np.ascontiguousarray(x.grad.numpy())).hexdigest()
    sgd = lambda p: nc.optim.SGD([p], lr=0.1, momentum=0.9, weight_decay=0.01)
    for name, make in {"sgd": sgd, "adam": lambda p: nc.optim.AdamW([p])}.items():
        p = nc.nn.Parameter(nc.ones(5000))
        optimiser = make(p)
        for step in range(3):
            p.grad = nc.tensor(np.random.default_rng(step).standard_normal(5000, dtype=np.float32))
            optimiser.step()
        found[name] = hashlib.sha256(p.detach().numpy()).hexdigest()
    print(sorted(found.items(), key=str))
"""


TWINS = """
    import sys
    nc.backends.get("cpu")
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("numbacnn.backends.cpu") and hasattr(module, "launch"):
            module.launch = lambda driver, *args: launch._serial(driver)(*args)
"""


def run(folder: Path, order: str, before: str = "") -> str:
    code = textwrap.dedent(CODE).replace("ORDER", order)
    code = code.replace("F, rng", f"{textwrap.dedent(before)}\nF, rng", 1)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder), "NUMBACNN_QUIET": "1"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, env=environment, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


def test_compilations_agree(tmp_path: Path) -> None:
    assert run(tmp_path / "parallel", "list") == run(tmp_path / "serial", "reversed", TWINS)
