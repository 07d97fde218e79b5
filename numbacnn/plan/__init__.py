"""``nc.compile``: a whole step as one call. Recorded twice, compared, and then replayed as a table of kernels.

A step, forward, backward and optimiser, launches some dozens of kernels, between which Python takes as long as they do where batches are
small. :mod:`.tape` writes down what one call of a function does, memory by its owner, and :mod:`.back` the way back from what it returns;
:mod:`.ending` judges it. :mod:`.replay` makes a table of it (:mod:`.rows`), which :mod:`.native` runs without Python, and what is returned
(:mod:`.results`); :mod:`.compiled` decides when. On a device whose kernels Python launches a plan is a list of launches (:mod:`.listed`).
"""

from __future__ import annotations

from typing import Any

from ..arguments import flag, one_of
from ..errors import message
from ..nn import Module
from ..signatures import judged, shown
from .compiled import Compiled
from .inference import optimize_for_inference
from .profiling import Profile, profile

__all__ = ["Compiled", "Profile", "compile", "explain", "optimize_for_inference", "profile"]

BACKENDS = ("numbacnn", "inductor")
"""Names for what compiles: this library's, and the one that PyTorch has by default. They mean the same."""
MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")


@judged
def compile(
    model: Any = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: str = "numbacnn",
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    disable: bool = False,
) -> Any:
    """Replay a function, or a module's forward, as a plan: one call for all of its kernels, to the same bits.

    The best thing to compile is a whole step: a function that does forward, backward and optimiser in one call, and is given the batch.
    Its first call of a signature (shapes, dtypes, modes, values that are no tensors) runs as it did; two more are written down and
    compared; where they do the same, later ones are replayed without Python. Parameters, moments and gradients are read and written where
    they lie; rates, steps and random numbers are read anew in each call. What can't be proved to be the same in each call runs as it did,
    and :func:`explain` says why.

    Where what is returned has its backward still to come, as that of a network in training, the backward is replayed too: the result is
    one operation, which gives its gradient to parameters and inputs as eager ones do, to the same bits. The loss may be anything. Up to
    four results may wait for their backward at a time; further calls run as they did.

    Eight signatures of a function have plans, of each up to four between which it changes. All run in one piece of memory, as large as the
    largest takes: some 0.9 of what a training step takes by itself at its peak. Results and gradients that come and go take at most 256 MiB
    more. The plans themselves take 6 kB a kernel (a ResNet-18 step 2 MB) and at most 128 MiB: of more, those of the signatures that were
    called least recently are dropped.

    A plan knows what the function's code reaches by name: numbers, tensors and objects in globals, closures and attributes. It does not see
    what happens beside tensors: a print, a line in a log, a counter in an object that it can't reach by name happen while the function
    runs by itself only. Have it return what you want to know. After 10, 100, 1,000, ... replays a step is written down once more: where it
    does something else, a warning names the line, and the function runs as it did from then on.

    On CUDA a replay launches the recorded kernels one after the other, and all else that the step does in Python is gone. A step has a plan
    where all that it uses lies on one device, its arguments too; labels out of range raise where a result is read, as they do eagerly.

    Args:
        model: a function, or a Module, which is compiled in place, as ``model.compile()`` does. None: the decorator with these options.
        fullgraph: an error in place of a run without a plan, where there can be none.
        dynamic: taken for the sake of PyTorch's listings; each shape has a plan of its own.
        backend: "numbacnn", or PyTorch's name for its own, which means the same here.
        mode, options: taken for the sake of PyTorch's listings; they change nothing.
        disable: give the function back as it is.

    Raises:
        TypeError, ValueError: where an argument is none of these.
        RuntimeError: where both ``mode`` and ``options`` are given.

    >>> import numbacnn as nc
    >>> net = nc.nn.Linear(4, 2)
    >>> optimizer = nc.optim.SGD(net.parameters(), lr=0.1)
    >>> @nc.compile
    ... def step(x, y):
    ...     optimizer.zero_grad()
    ...     loss = nc.nn.functional.cross_entropy(net(x), y)
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> losses = [step(nc.ones(8, 4), nc.zeros(8, dtype=nc.int64)).item() for _ in range(5)]
    >>> losses == sorted(losses, reverse=True)
    True

    A network alone, in a loop that stays as it is:

    >>> net = nc.compile(nc.nn.Linear(4, 2))
    >>> for _ in range(5):
    ...     net(nc.ones(8, 4)).sum().backward()
    >>> net.bias.grad.tolist()
    [40.0, 40.0]
    """
    fullgraph, disable = flag("compile", "fullgraph", fullgraph), flag("compile", "disable", disable)
    one_of("compile", "backend", backend, BACKENDS)
    if mode is not None:
        one_of("compile", "mode", mode, MODES)
    if dynamic is not None:
        flag("compile", "dynamic", dynamic)
    if options is not None and not isinstance(options, dict):
        raise TypeError(message("compile", "options as a dict", shown(options)))
    if mode is not None and options is not None:
        raise RuntimeError(message("compile", "mode or options", "both"))
    if model is None:
        return lambda function: compile(function, fullgraph=fullgraph, disable=disable)
    if not callable(model):
        raise TypeError(message("compile", "a function or a Module", shown(model)))
    if disable:
        return model
    if isinstance(model, Module):
        object.__setattr__(model, "_compiled", Compiled(Module._run, fullgraph, name=type(model).__name__))
        return model
    return Compiled(model, fullgraph)


@judged
def explain(step: Any) -> str:
    """What is known of a function or module that went through :func:`compile`: its plans, or why there are none.

    >>> import numbacnn as nc
    >>> double = nc.compile(lambda x: x * 2)
    >>> for _ in range(4): y = double(nc.ones(2))
    >>> print(nc.explain(double).splitlines()[0])
    <lambda>: 1 signature
    """
    compiled = step.__dict__.get("_compiled") if isinstance(step, Module) else getattr(step, "__self__", step)
    if not isinstance(compiled, Compiled):
        raise TypeError(message("explain", "what nc.compile gave", shown(step)))
    return compiled.text()
