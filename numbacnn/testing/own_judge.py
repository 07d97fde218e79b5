"""The judgement of a user's kernel by the laws, before it may stand in for a built-in one."""

from __future__ import annotations

import functools
import itertools
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

from .. import backends, reference
from ..backends.choice import in_front
from ..backends.own import Kernel, KernelError
from ..errors import message
from ..extras import import_extra
from ..geometry import Axis
from .adapters._passes import from_passes
from .cases import Case, PoolCase
from .finding import Finding
from .judge import hold, offered_axes
from .laws import LAWS, Law, every, sizes
from .trial import LawBroken, Trial

__all__ = ["judge_kernel"]

EXAMPLES = {"compiled": 25, "Python": 10, "simulated": 3}
"""Cases of each law, by how quick kernels are."""

SHRINKING = 5.0
"""Seconds for which a broken case is made smaller: somebody waits."""

SMALL: dict[str, Any] = {"size": 6, "batch": 2, "channels": (1, 2)}

AROUND = {
    "conv_counts_windows",
    "pool_counts_windows",
    *(law.name for law in LAWS if hasattr(sizes, law.name)),
    "bias_is_added_to_each_place",
    "bias_gradient_is_the_sum",
    "the_order_of_memory_does_not_matter",
    "an_empty_batch_gives_an_empty_batch",
    "float16_gives_what_float32_gives",
    "averages_do_not_overflow",
    "a_window_in_padding_is_minus_infinity",
}
"""Laws of what the library does around a kernel, which gets its sizes, contiguous float32 or float64, and at least one example."""


@functools.lru_cache(maxsize=256)
def judge_kernel(kernel: Kernel, device: str, rounding: str = "exact") -> None:
    """Hold a kernel to every law that looks at the passes that it takes over, with the built-in ones beside it; once in a process.

    Args:
        kernel: what is to be judged; it runs ``guarded``.
        device: where.
        rounding: a row of ``trial.ROUNDING``.

    Raises:
        LawBroken: the first law that it breaks, with the smallest case that was found; or a pass was never judged.
        ImportError: Hypothesis, which draws the cases, is not installed.
    """
    import_extra("use_kernel", "hypothesis", "hypothesis", "or pass check=False")
    xp = backends.get(device, "use_kernel")
    compiled = all(hasattr(function, "py_func") for function in kernel.functions().values())
    examples = EXAMPLES["simulated" if xp.simulated else "compiled" if compiled else "Python"]
    watched = _Watched(**vars(kernel) | {"guarded": True})
    implementation = _implementation(xp, watched, rounding)
    prepare = functools.partial(_taken, functools.lru_cache(maxsize=4096)(functools.partial(_admitted, watched)))
    with in_front(device, kernel.op, xp.own(watched)):
        for seed, law in enumerate(_laws(watched, implementation)):
            verdict = hold(law, implementation, (2,), examples, seed, prepare, shrinking=SHRINKING)
            if verdict.finding:
                raise _refusal(kernel, verdict.finding)
            if not (verdict.cases or watched.seen):
                break  # it takes none
    if unseen := kernel.functions().keys() - watched.seen:
        expected = "takes() to admit one of the cases that were drawn: up to 6 pixels a side, kernels up to 3, few channels"
        received = f"none for {' and '.join(sorted(unseen))}"
        raise LawBroken(
            message(
                f"use_kernel {kernel.op}",
                expected,
                received,
                "g has tuples there, as g.kernel == (3, 3); pass check=False to take it unjudged",
            )
        )


@dataclass(frozen=True)
class _Watched(Kernel):
    """Remembers which passes ran."""

    seen: set[str] = field(default_factory=set, compare=False)

    def run(self, which: str, *rest: Any) -> None:
        super().run(which, *rest)
        self.seen.add(which)

    def admits(self, g: Any) -> bool:
        """What layers refuse no kernel is asked for."""
        return not getattr(g, "blind", False) and super().admits(g)


def _family(kernel: Kernel) -> str:
    return kernel.op.removesuffix("2d")


def _implementation(xp: Any, kernel: Kernel, rounding: str) -> Any:
    """Images by the device, volumes by the reference: so the law that a unit axis changes nothing holds a kernel to the definition.

    Without gradients where none depends on the kernel; the indices of maxima decide theirs.
    """
    images, volumes = vars(from_passes(xp, kernel.name)), vars(from_passes(reference, kernel.name))
    made = {name: _strict(call) for name, call in images.items() if name.startswith(kernel.op)}
    made |= {name: call for name, call in volumes.items() if name.startswith(kernel.op.replace("2d", "3d"))}
    if kernel.op != "max_pool2d" and not (kernel.grad_input or kernel.grad_weight):
        del made[f"{kernel.op}_grad"]
    return SimpleNamespace(name=kernel.name, rounding=rounding, first_of_equals=True, ranges={_family(kernel): SMALL}, **made)


def _strict(call: Callable[..., Any]) -> Callable[..., Any]:
    """A failure of the kernel breaks a law: it is no refusal of the case."""

    @functools.wraps(call)
    def strict(*args: Any, **options: Any) -> Any:
        try:
            return call(*args, **options)
        except KernelError as error:
            raise LawBroken(str(error)) from error

    return strict


def _laws(kernel: Kernel, implementation: Any) -> list[Law]:
    """Those that look at a pass of the kernel's; at last those that hold for every operation, since they name a fault less well."""
    family = _family(kernel)
    looks = lambda law: kernel.forward or f"{family}_grad" in law.needs or hasattr(every, law.name)  # noqa: E731
    found = [law for law in LAWS if law.family == family and law.name not in AROUND and 2 in offered_axes(law, implementation)]
    return [*sorted(filter(looks, found), key=lambda law: hasattr(every, law.name)), _large_images(family)]


def _large_images(family: str) -> Law:
    """A law beside the others, whose images are small or low: kernels work in blocks, and may forget what is left behind the last one."""

    def holds(trial: Trial, case: Case) -> None:
        """An image of 17 to 70 rows of outputs, and of few columns or 17 to 32, gives what the definition gives."""
        g, seed = case.geometry, case.inputs[0].seed
        rows, columns = g.axes
        columns = _with_outputs(columns, 17 + seed // 128 % 16) if seed % 2 else columns
        every.holds_lifted(trial, case.on(replace(g, n=1, axes=(_with_outputs(rows, 17 + seed % 54), columns))), family)

    return Law("large_images_are_as_defined", family, holds, (family,))


def _with_outputs(axis: Axis, outputs: int) -> Axis:
    """The same windows on as many pixels as give so many outputs."""
    return replace(axis, size=max(1, axis.extent - axis.before - axis.after + (outputs - 1) * axis.stride))


_OR_NOT: list[tuple[dict[str, Any], ...]] = [
    ({}, {"stride": 1}),
    ({}, {"before": 0, "after": 0}),
    ({}, {"dilation": 1}),
    ({}, {"ceil": False}),
]


USUAL: tuple[dict[str, Any], ...] = tuple(
    {"kernel": k, "stride": s, "before": pad, "after": pad, "dilation": 1, "ceil": False}
    for k in (3, 2, 1, 4)
    for pad in dict.fromkeys((0, k // 2))
    for s in dict.fromkeys((1, 2, k))
)
"""Windows for which kernels are written. Few of those that are drawn are among them, and a kernel may take no other."""


def _taken(admitted: Callable[[Any], Any], case: Case) -> Case | None:
    """The case, or the first plainer one that the kernel takes; a divisor of one's own is no kernel's."""
    plain, g = replace(case, divisor=None) if isinstance(case, PoolCase) else case, admitted(case.geometry)
    return None if g is None else plain.on(g)


def _admitted(kernel: Kernel, g: Any) -> Any:
    """The geometry, or the first plainer one that the kernel takes, or None."""
    return next(filter(kernel.admits, _plainer(g)), None)


def _plainer(g: Any) -> Iterator[Any]:
    """The geometry, and it without some of its groups, strides, padding and dilation, without all of them, and with usual windows."""
    bare = dict.fromkeys((g, replace(g, groups=1) if hasattr(g, "groups") else g))
    some = ({name: value for change in changes for name, value in change.items()} for changes in itertools.product(*_OR_NOT))
    for changed, plain in itertools.product((*some, *USUAL), bare):
        found = plain.along(**changed)
        yield found.along(size=tuple(max(axis.size, axis.extent - axis.before - axis.after) for axis in found.axes))


def _refusal(kernel: Kernel, finding: Finding) -> LawBroken:
    obeys = f"to obey '{finding.sentence.rstrip('.')}'" if not finding.difference.startswith("[") else "to do what a kernel may"
    case = textwrap.indent(finding.code, "    ")
    hint = f"its smallest case:\n{case}\npass takes= if it is not meant for such sizes, or check=False to take it all the same"
    return LawBroken(message(f"use_kernel {kernel.op}", f"{kernel.name} {obeys}", finding.difference.rstrip("."), hint))
