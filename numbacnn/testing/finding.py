"""A law that does not hold: what is told, kept and run again."""

from __future__ import annotations

import base64
import itertools
import platform
import textwrap
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..errors import FormatError, message
from .cases import KINDS, Case, from_data, to_data
from .laws import LAWS, Law
from .trial import Call, LawBroken, NotOffered, Refused, Trial, name_of

__all__ = ["Finding", "environment"]

SHOWN = 40
"""Numbers of an array that are written out; a larger one is made by a line of Python, or shown in part."""
LARGE, PACKED = 1 << 16, 4000
"""Numbers of an array, and characters of such a line: beyond them an array is described."""
DRAWN = {
    "integers": "np.random.default_rng({seed}).integers(-4, 5, {shape})",
    "distinct": "np.random.default_rng({seed}).permutation({size}).reshape({shape}) - 5",
    "normal": "np.random.default_rng({seed}).standard_normal({shape})",
}
"""How ``cases.KINDS`` makes arrays, as Python."""


@dataclass(frozen=True)
class Finding:
    """A broken law with its smallest case.

    Attributes:
        law: as "family: name".
        sentence: what the law says.
        implementation, version: who broke it.
        difference: what was expected, what came, and where.
        code: the calls, as Python that can be pasted.
        found, wanted: the two results, as text.
        case: the case, as ``to_data`` gives it; ``replay`` runs it again.
        platform: versions, system and processor.
    """

    law: str
    sentence: str
    implementation: str
    version: str
    difference: str
    code: str
    found: str
    wanted: str
    case: Any
    platform: str

    @classmethod
    def of(cls, law: Law, trial: Trial, case: Case) -> Finding | None:
        """Judge a case; None where the law holds, or nothing can be said: ``trial.refused`` where the implementation refused it."""
        try:
            law(trial, case)
        except LawBroken as error:
            name, version = name_of(trial.implementation), str(getattr(trial.implementation, "version", ""))
            code, found, wanted = as_python(trial.calls, name, case), *_beside(error.found, error.wanted)
            return cls(str(law), law.sentence, name, version, str(error), code, found, wanted, to_data(case), environment())
        except Refused as error:
            trial.refused = str(error)
        except NotOffered:
            pass
        return None

    @property
    def text(self) -> str:
        """The finding as a report."""
        who = f"{self.implementation} {self.version}".strip()
        parts = [f"{who} breaks a law: {self.law}", f"  {self.sentence}", f"  {self.difference}", "", textwrap.indent(self.code, "    ")]
        parts += [f"  {title}\n{textwrap.indent(text, '    ')}" for title, text in (("found", self.found), ("wanted", self.wanted)) if text]
        return "\n".join([*parts, f"  {self.platform}"])

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> Finding:
        """Raises FormatError where ``data`` is no finding."""
        try:
            finding = cls(**data)
            from_data(finding.case)
        except (TypeError, ValueError) as error:
            raise FormatError(message("Finding", "a finding as selftest --json writes it", str(error))) from error
        return finding

    def replay(self, implementation: Any) -> Finding | None:
        """Run the case again; None where the law holds now.

        Raises:
            FormatError: where no law has that name.
        """
        law = next((law for law in LAWS if str(law) == self.law), None)
        if law is None:
            raise FormatError(message("replay", "a law of this version", repr(self.law)))
        return Finding.of(law, Trial(implementation), from_data(self.case))


def environment() -> str:
    """Versions, system and processor."""
    from ..version import __version__

    versions = f"numbacnn {__version__}, Python {platform.python_version()}, NumPy {np.__version__}"
    return f"{versions}; {platform.system()} {platform.machine()}, {processor()}"


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown processor"


def as_python(calls: list[Call], name: str, case: Case) -> str:
    """The calls as lines of Python; equal arrays have one name, and large ones are made from the seeds of the case where they can be."""
    lines = ["import numpy as np"]
    seeds = [values.seed for values in case.inputs]
    names: dict[Any, str] = {}
    for call in calls:
        for array in call.arrays:
            if array is not None and _key(array) not in names:
                names[_key(array)] = f"a{len(names)}"
                lines.append(f"{names[_key(array)]} = {_literal(array, seeds)}")
    for i, call in enumerate(calls):
        arrays = [names[_key(array)] if array is not None else "None" for array in call.arrays]
        rest = [repr(size) for size in call.sizes] + [f"{key}={value!r}" for key, value in call.options.items()]
        lines.append(f"y{i} = {call.name}({', '.join(arrays + rest)})  # {name}{_outcome(call.result)}")
    if any("b85decode" in line for line in lines):
        lines.insert(0, "import base64, zlib")
    return "\n".join(lines)


def _outcome(result: Any) -> str:
    if isinstance(result, Exception):
        return f": {result}"
    parts = result if isinstance(result, tuple) else (result,)
    sizes = [None if part is None else part.shape or part.item() for part in parts]
    return f" gives {', '.join(map(str, sizes))}"


def _key(array: np.ndarray) -> tuple[Any, ...]:
    return array.tobytes(), array.shape, array.strides, array.dtype.str


def _literal(array: np.ndarray, seeds: Sequence[int]) -> str:
    """An array as Python. Integers need no point, and the order of memory is told where it is not plain."""
    whole = bool(np.isfinite(array).all() and (array == np.round(array)).all())
    if array.size > SHOWN:
        text = "" if array.size > LARGE else _drawn(array, seeds) or _packed(array)
        if not 0 < len(text) <= PACKED:
            return f"...  # {array.dtype} of shape {array.shape}, from {array.min()} to {array.max()}"
    else:
        values = (array.astype(np.int64) if whole else array).ravel().tolist()
        text = f"np.array({values}, np.{array.dtype}).reshape{array.shape}".replace("nan", "np.nan").replace("inf", "np.inf")
    plain = np.empty(array.shape, array.dtype).strides  # that of an axis of one place tells libraries something, too
    notes = ([] if array.strides == plain else [f"strides {array.strides}"]) + ([] if array.flags.writeable else ["read-only"])
    return f"{text}  # {', '.join(notes)}" if notes else text


def _drawn(array: np.ndarray, seeds: Sequence[int]) -> str:
    """The line that draws an array from one of the seeds, perhaps with a number added; empty where none does."""
    for seed, kind in itertools.product(seeds, KINDS):
        drawn = KINDS[kind](np.random.default_rng(seed), array.shape)
        more = array.flat[0] - drawn.flat[0]
        for added in dict.fromkeys((0, int(more) if np.isfinite(more) else 0)):
            if np.array_equal((drawn + added).astype(array.dtype), array):
                line = DRAWN[kind].format(seed=seed, shape=array.shape, size=array.size)
                return f"({line}{f' + {added}' if added else ''}).astype(np.{array.dtype})"
    return ""


def _packed(array: np.ndarray) -> str:
    """The line that unpacks an array from text, from bytes where the numbers are small and whole."""
    with np.errstate(invalid="ignore"):
        small = array.astype(np.int8)
    plain = np.ascontiguousarray(small if np.array_equal(small, array) else array)
    text = base64.b85encode(zlib.compress(plain.tobytes(), 9)).decode()
    unpacked = f'np.frombuffer(zlib.decompress(base64.b85decode("{text}")), np.{plain.dtype}).reshape{array.shape}'
    return f"{unpacked}.astype(np.{array.dtype})"


def _beside(found: Any, wanted: Any) -> tuple[str, str]:
    """Two results as text: whole where they are small, else the row of the first place where they differ, around it."""
    if found is None or wanted is None:
        return _shown(found), _shown(wanted)
    a, b = np.asarray(found), np.asarray(wanted)
    if a.shape != b.shape or a.size <= SHOWN or not (different := np.argwhere((a != b) & ~((a != a) & (b != b)))).size:
        return _shown(a), _shown(b)
    *row, place = map(int, different[0])
    part = slice(max(0, place - 5), place + 6)
    where = ", ".join([*map(str, row), f"{part.start}:{min(part.stop, a.shape[-1])}"])
    near = [_shown(each[tuple(row)][part]) for each in (a, b)]
    return f"at [{where}]: {near[0]}", f"at [{where}]: {near[1]}"


def _shown(value: Any) -> str:
    if value is None:
        return ""
    array = np.asarray(value)
    with np.printoptions(threshold=SHOWN, linewidth=120):
        return f"{array}" if array.size else f"an array of shape {array.shape}"
