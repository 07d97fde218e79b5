"""Runs a kernel's PTX without a GPU: what NVVM made of it, types, addresses, vector loads, predicates and barriers.

A thread is a lane of NumPy's arrays: all threads of a launch run together, those that are behind first. What a device would leave open
raises: an access that is not aligned, or is outside of the memory that is given; shared memory that two warps use without a barrier
between, one of them to write to it. So does an instruction that this file doesn't know.

Arithmetic is IEEE's, float32's fused multiply-add included; instructions that are approximate on a device (``ex2.approx``) are better here.
"""

from __future__ import annotations

import ctypes
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from fake_driver import ILLEGAL_ADDRESS, LAUNCH_FAILED, Driver, Launch, parameters

Array = Any
U32, U64, F32, F64 = np.uint32, np.uint64, np.float32, np.float64
TYPES = {f"{letter}{8 * size}": np.dtype(f"{kind}{size}") for letter, kind in (("u", "u"), ("s", "i"), ("b", "u")) for size in (1, 2, 4, 8)}
TYPES |= {"f32": np.dtype(F32), "f64": np.dtype(F64), "pred": np.dtype(bool)}
REGISTERS = {"p": bool, "rs": np.uint16, "r": U32, "rd": U64, "f": F32, "fd": F64}
END = 1 << 40  # behind every instruction
WARP = 32
NOBODY, SEVERAL = -1, -2


class AccessError(Exception):
    """An access outside of memory, or one that is not aligned."""


class Memory:
    """Some blocks of this process's memory: nothing else may be touched."""

    def __init__(self, blocks: Sequence[tuple[int, int]]) -> None:
        """``blocks``: address and bytes of each, in order."""
        self.starts = np.array([at for at, _ in blocks], U64)
        self.ends = np.array([at + size for at, size in blocks], U64)
        self.first = int(self.starts[0]) & ~511
        self.bytes = np.frombuffer((ctypes.c_uint8 * ((int(self.ends[-1]) - self.first) | 511)).from_address(self.first), np.uint8)

    def places(self, address: Array, size: int) -> Array:
        """Indices of elements of that size."""
        block = np.searchsorted(self.starts, address, "right") - 1
        outside = (block < 0) | (address + U64(size) > self.ends[block])
        if outside.any():
            raise AccessError(f"outside of memory: {size} bytes at {hex(int(address[outside][0]))}")
        return address - U64(self.first)


class Shared:
    """The shared memory of all blocks; a lane sees its own block's."""

    def __init__(self, size: int, blocks: int, threads: int) -> None:
        self.size, self.step = size, -(-size // 16) * 16
        self.block = np.repeat(np.arange(blocks, dtype=U64), threads)
        self.warp = np.tile(np.arange(threads) // WARP, blocks)
        self.bytes = np.full(max(self.step * blocks, 16), 0xBD, np.uint8)
        self.meeting()

    def meeting(self) -> None:
        """All have met at a barrier: nobody has read or written since."""
        self.reader, self.writer = (np.full(len(self.bytes), NOBODY, np.int16) for _ in range(2))

    def places(self, address: Array, size: int, lanes: Array, writes: bool) -> Array:
        """Indices of elements of that size."""
        if len(address) and int(address.max()) + size > self.size:
            raise AccessError(f"outside of {self.size} bytes of shared memory: {size} at {int(address.max())}")
        first = address + self.block[lanes] * U64(self.step)
        for word in range(0, size, 4):
            self._judge(first + U64(word), self.warp[lanes], writes)
        return first

    def _judge(self, place: Array, warp: Array, writes: bool) -> None:
        writer, reader = self.writer[place], self.reader[place]
        if ((writer != NOBODY) & (writer != warp)).any() or (writes and ((reader != NOBODY) & (reader != warp)).any()):
            raise AccessError("no barrier between two warps that use the same shared memory")
        marks = self.writer if writes else self.reader
        marks[place] = warp if writes else np.where((reader == NOBODY) | (reader == warp), warp, SEVERAL)
        marks[place[marks[place] != warp]] = SEVERAL  # of several warps at once


# -- arithmetic ---------------------------------------------------------------------------------------------------------------
def odd(x: Array, y: Array) -> Array:
    """x + y of float64 numbers, with a last bit that is odd where the sum is not exact: a second rounding cannot go wrong then."""
    total = x + y
    there = total - x
    error = (x - (total - there)) + (y - there)
    wrong = np.isfinite(total) & (error != 0) & np.isfinite(error)
    if not wrong.any():
        return total
    bits = np.broadcast_to(total, np.shape(wrong)).copy().view(np.int64)
    away = (error > 0) == (total > 0)
    bits += np.where(wrong & (bits & 1 == 0), np.where(away, 1, -1), 0)
    return bits.view(F64)


def narrowed(x: Array, way: str) -> Array:
    """float64 as float32: rn to the nearest, rz toward zero, rm down, rp up."""
    near = np.asarray(x).astype(F32)
    if way == "rn":
        return near
    toward = {"rz": F32(0), "rm": F32(-np.inf), "rp": F32(np.inf)}[way]
    wide = near.astype(F64)
    over = {"rz": np.abs(wide) > np.abs(x), "rm": wide > x, "rp": wide < x}[way]
    return np.where(over, np.nextafter(near, toward), near)


def fused(x: Array, y: Array, z: Array, way: str = "rn") -> Array:
    if np.asarray(x).dtype == F64:
        return (np.asarray(x, np.longdouble) * y + z).astype(F64)  # not quite exact
    product, z = np.multiply(x, y, dtype=F64), np.asarray(z, F64)
    near = product + z
    if way == "rn" and not doubtful(near).any():
        return near.astype(F32)
    return narrowed(odd(product, z), way)


def doubtful(x: Array) -> Array:
    """Whether float64 numbers may lie in the middle between two of float32, where what they have lost decides."""
    return (np.asarray(x).view(np.int64) & 0x1FFFFFFF == 0x10000000) | ((x != 0) & (np.abs(x) < np.finfo(F32).tiny))


def signed_division(x: Array, y: Array) -> Array:
    y = np.where(y == 0, y.dtype.type(1), y)
    return (x - np.fmod(x, y)) // y


def shifted(x: Array, by: Array, left: bool) -> Array:
    bits = 8 * x.dtype.itemsize
    few = np.minimum(by, U32(bits - 1)).astype(x.dtype)
    out = np.left_shift(x, few) if left else np.right_shift(x, few)
    return np.where(by >= bits, x.dtype.type(0), out) if left or x.dtype.kind == "u" else out


def high_product(x: Array, y: Array) -> Array:
    wide = np.dtype(f"{x.dtype.kind}{2 * x.dtype.itemsize}")
    return (x.astype(wide) * y.astype(wide) >> wide.type(8 * x.dtype.itemsize)).astype(x.dtype)


def field(x: Array, at: Array, length: Array) -> Array:
    return (x >> at) & ((U64(1) << length.astype(U64)) - U64(1)).astype(U32)


def inserted(x: Array, y: Array, at: Array, length: Array) -> Array:
    mask = (((U64(1) << length.astype(U64)) - U64(1)) << at.astype(U64)).astype(U32)
    return (y & ~mask) | ((x << at) & mask)


def whole(x: Array, way: str) -> Array:
    return {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}[way](x)


def converted(x: Array, target: np.dtype, parts: list[str]) -> Array:
    """``cvt``: between integers by their low bits; a float that does not fit an integer becomes its nearest end, NaN becomes 0."""
    way = next((p for p in parts if p[0] == "r"), "rn")
    if x.dtype.kind == "f" and target.kind == "f":
        out = whole(x, way) if way.endswith("i") else x
        out = narrowed(out, way) if target == F32 and x.dtype == F64 and not way.endswith("i") else out.astype(target)
        return np.where(np.isnan(out), target.type(0), np.clip(out, 0, 1)) if "sat" in parts else out
    if x.dtype.kind == "f":
        limits, rounded = np.iinfo(target), whole(x, way).astype(F64)
        inside = np.where(np.isnan(rounded) | (rounded < limits.min) | (rounded >= 2.0 ** (limits.bits - (target.kind == "i"))), 0, rounded)
        over = np.where(rounded >= 2.0 ** (limits.bits - (target.kind == "i")), limits.max, np.where(rounded < limits.min, limits.min, 0))
        return inside.astype(target) + over.astype(target)
    return x.astype(target)


BINARY: dict[str, Callable[..., Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "not": np.invert,
    "neg": np.negative,
    "abs": np.abs,
    "min": np.fmin,
    "max": np.fmax,
    "bfe": field,
    "bfi": inserted,
    "copysign": lambda x, y: np.copysign(y, x),
    "fma": fused,
}
APPROXIMATE: dict[str, Callable[..., Array]] = {
    "rcp": lambda x: 1 / x,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "ex2": np.exp2,
    "lg2": np.log2,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "div": np.divide,
}
COMPARE: dict[str, Callable[..., Array]] = {
    "eq": np.equal,
    "ne": lambda x, y: (x != y) & (x == x) & (y == y),
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "equ": lambda x, y: ~((x < y) | (x > y)),
    "neu": np.not_equal,
    "ltu": lambda x, y: ~(x >= y),
    "leu": lambda x, y: ~(x > y),
    "gtu": lambda x, y: ~(x <= y),
    "geu": lambda x, y: ~(x < y),
    "num": lambda x, y: (x == x) & (y == y),
    "nan": lambda x, y: (x != x) | (y != y),
    "lo": np.less,
    "ls": np.less_equal,
    "hi": np.greater,
    "hs": np.greater_equal,
}


def flushed(x: Array) -> Array:
    return np.where(np.abs(x) < np.finfo(F32).tiny, np.copysign(F32(0), x), x) if np.asarray(x).dtype == F32 else x


def arithmetic(op: str, count: int) -> tuple[Callable[..., Array], list[np.dtype]]:
    """What an instruction computes, and of which types."""
    name, *parts = op.split(".")
    kind = TYPES.get(parts[-1]) if parts else None
    if kind is None:
        raise NotImplementedError(op)
    way = next((p for p in parts if p in ("rn", "rz", "rm", "rp")), "rn")
    function, kinds = None, [kind] * count
    if name in ("mov", "cvta"):
        function = lambda x: x
    elif name == "setp":
        compare = COMPARE[parts[0]]
        join = BINARY[parts[1]] if parts[1] in ("and", "or", "xor") else None
        function = (lambda x, y, p: join(compare(x, y), p)) if join else compare
        kinds = [kind, kind, TYPES["pred"]][:count]
    elif name == "selp":
        function, kinds = lambda x, y, p: np.where(p, x, y), [kind, kind, TYPES["pred"]]
    elif name == "cvt":
        target, kinds = TYPES[parts[-2]], [kind]
        function = lambda x: converted(np.asarray(x), target, parts[:-2])
    elif name in ("shl", "shr"):
        function, kinds = lambda x, by: shifted(np.asarray(x), np.asarray(by), name == "shl"), [kind, TYPES["u32"]]
    elif name in ("mul", "mad") and parts[0] in ("wide", "hi"):
        wide = np.dtype(f"{kind.kind}{2 * kind.itemsize}") if parts[0] == "wide" else kind
        product = (lambda x, y: np.multiply(x, y, dtype=wide)) if parts[0] == "wide" else high_product
        function = product if name == "mul" else lambda x, y, z: product(x, y) + z
        kinds = [kind, kind, wide][:count]
    elif name == "mad" and kind.kind != "f":
        function = lambda x, y, z: x * y + z
    elif name in ("div", "rem") and kind.kind in "ui":
        signed = signed_division if name == "div" else lambda x, y: np.fmod(x, np.where(y == 0, kind.type(1), y))
        function = lambda x, y: signed(np.asarray(x), np.asarray(y))
    elif name in ("mad", "fma") and kind == F32:
        function = lambda x, y, z: fused(x, y, z, way)
    elif way != "rn" and name in ("add", "sub", "mul") and kind == F32:
        exact = {"add": odd, "sub": lambda x, y: odd(x, -y), "mul": np.multiply}[name]
        function = lambda x, y: narrowed(exact(np.asarray(x, F64), np.asarray(y, F64)), way)
    elif "approx" in parts or "full" in parts:
        function = lambda *x: APPROXIMATE[name](*(np.asarray(v, F64) for v in x)).astype(kind)
    elif name in ("div", "rcp", "sqrt"):
        function = APPROXIMATE[name]
    elif name in BINARY and way == "rn":
        function = BINARY[name]
    if function is None or "NaN" in parts or ("sat" in parts and name != "cvt"):
        raise NotImplementedError(op)
    if "ftz" in parts and name != "setp":
        unflushed = function
        function = lambda *x: flushed(unflushed(*map(flushed, x)))
    return function, kinds


# -- the program --------------------------------------------------------------------------------------------------------------
class Kernel:
    """A kernel, from the text that holds it alone."""

    def __init__(self, ptx: str) -> None:
        text = re.sub(r"//[^\n]*", "", ptx)
        entry = re.search(r"\.entry\s+\w+\s*\(([^)]*)\)[^{]*\{", text)
        assert entry, "no kernel"
        names = re.findall(r"(\w+)(?:\[\d+\])?\s*(?:,|$)", entry[1].strip())
        self.layout = dict(zip(names, parameters(text)))
        self.shared: dict[str, int] = {}
        self.shared_size = 0
        for align, name, size in re.findall(r"\.shared \.align (\d+) \.b8 (\w+)\[(\d+)\]", text):
            self.shared[name] = -(-self.shared_size // int(align)) * int(align)
            self.shared_size = self.shared[name] + int(size)
        self.labels: dict[str, int] = {}
        self.code: list[tuple[str, bool, str, Any]] = []
        for statement in re.sub(r"(\$\w+):", r"\1:;", self._body(text[entry.end() :])).split(";"):
            line = re.sub(r"^[{}\s]+", "", statement).strip()
            if line.endswith(":"):
                self.labels[line[:-1]] = len(self.code)
            elif line and not line.startswith("."):
                self.code.append(self._decoded(line))

    @staticmethod
    def _body(text: str) -> str:
        depth = 1
        for found in re.finditer(r"[{}]", text):
            depth += 1 if found[0] == "{" else -1
            if not depth:
                return text[: found.start()]
        raise ValueError("a kernel without an end")

    def _decoded(self, line: str) -> tuple[str, bool, str, Any]:
        """(guard, whether it is negated, what it is, how to run it or where to go)"""
        guard, op, rest = re.match(r"(?:@(!?%\w+)\s+)?(\S+)\s*(.*)", line, re.S).groups()  # type: ignore[union-attr]
        args = [a.strip() for a in re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s]+", rest)]
        name = op.split(".")[0]
        told = (guard or "").lstrip("!"), bool(guard) and guard[0] == "!"
        if name == "bra":
            return *told, "bra", args[0]
        if name in ("ret", "exit"):
            return *told, "ret", None
        if op.startswith(("bar.sync", "barrier.sync")):
            return *told, "bar", None
        try:
            return *told, op, self._action(name, op, args)
        except NotImplementedError:
            return *told, op, unknown(f"{op} {', '.join(args)}")

    def _action(self, name: str, op: str, args: list[str]) -> Callable[[Run], None]:
        if name in ("ld", "st"):
            return self._transfer(name, op, args)
        if name in ("membar", "fence"):
            return lambda run: None
        if name == "mov" and "{" in args[0] + args[1]:
            return self._joined(args, TYPES[op.split(".")[-1]])
        function, kinds = arithmetic(op, len(args) - 1)
        target, sources = args[0], [self._value(a, k) for a, k in zip(args[1:], kinds)]
        if len(sources) == 1:
            one = sources[0]
            return lambda run: run.set(target, function(one(run)))
        if len(sources) == 2:
            one, two = sources
            return lambda run: run.set(target, function(one(run), two(run)))
        return lambda run: run.set(target, function(*[source(run) for source in sources]))

    def _value(self, text: str, kind: np.dtype) -> Callable[[Run], Array]:
        """How an operand is read."""
        if re.match(r"%(p|rs|r|rd|f|fd)\d+$", text):
            held = np.dtype(REGISTERS[re.match(r"%([a-z]+)", text)[1]])  # type: ignore[index]
            if held == kind:
                return lambda run: run.registers[text]
            if held.itemsize == kind.itemsize:
                return lambda run: run.registers[text].view(kind)
            return lambda run: run.registers[text].astype(kind)
        if text.startswith("%"):
            return lambda run: run.special[text].astype(kind)
        if text in self.shared:
            place = kind.type(self.shared[text])
            return lambda run: place
        if text[:2] in ("0f", "0d"):
            constant = np.array(int(text[2:], 16), U32 if text[1] == "f" else U64).view(F32 if text[1] == "f" else F64)[()].astype(kind)
        elif kind.kind == "b":
            constant = np.bool_(int(text))
        elif kind.kind == "f":
            constant = kind.type(int(text, 0))
        else:
            bits = 8 * kind.itemsize
            constant = np.array(int(text, 0) & ((1 << bits) - 1), f"u{kind.itemsize}").view(kind)[()]
        return lambda run: constant

    def _address(self, text: str) -> Callable[[Run], Array]:
        base, _, offset = text.strip("[] ").partition("+")
        value, more = self._value(base.strip(), TYPES["u64"]), U64(int(offset or 0) & 0xFFFFFFFFFFFFFFFF)
        return lambda run: run.spread(value(run) + more)

    def _joined(self, args: list[str], kind: np.dtype) -> Callable[[Run], None]:
        """``mov`` between a register and its parts."""
        parts = [p.strip() for p in max(args).strip("{}").split(",")]
        part = np.dtype(f"u{kind.itemsize // len(parts)}")
        if args[0].startswith("{"):
            source = self._value(args[1], kind)

            def split(run: Run) -> None:
                pieces = np.ascontiguousarray(run.spread(source(run))).view(part).reshape(-1, len(parts))
                for i, name in enumerate(parts):
                    run.set(name, pieces[:, i].copy())

            return split
        sources = [self._value(p, part) for p in parts]
        return lambda run: run.set(args[0], np.stack([run.spread(s(run)) for s in sources], 1).reshape(-1).view(kind))

    def _transfer(self, name: str, op: str, args: list[str]) -> Callable[[Run], None]:
        """Loads and stores, of parameters, shared and device memory."""
        parts = op.split(".")
        kind = TYPES[parts[-1]]
        size = kind.itemsize
        where, registers = (args[1], args[0]) if name == "ld" else (args[0], args[1])
        names = [r.strip() for r in registers.strip("{}").split(",")]
        if parts[1] == "param" and name == "ld":
            base, _, offset = where.strip("[]").partition("+")
            if base not in self.layout:  # of a function that is called
                raise NotImplementedError(op)
            first = self.layout[base][0] + int(offset or 0)

            def parameter(run: Run) -> None:
                for i, register in enumerate(names):
                    run.set(register, np.frombuffer(run.arguments, kind, 1, first + i * size)[0])

            return parameter
        if parts[1] not in ("global", "shared"):
            raise NotImplementedError(op)
        address, shared = self._address(where), parts[1] == "shared"
        values = [] if name == "ld" else [self._value(r, kind) for r in names]

        def transfer(run: Run) -> None:
            lanes = np.flatnonzero(run.active)
            at = address(run)[lanes]
            if (at % U64(size * len(names))).any():
                raise AccessError(f"{op} is not aligned: {hex(int(at[at % U64(size * len(names)) != 0][0]))}")
            memory: Any = run.shared if shared else run.memory
            first = memory.places(at, size * len(names), lanes, name == "st") if shared else memory.places(at, size * len(names))
            held = memory.bytes[: len(memory.bytes) // size * size].view(kind)
            for i, register in enumerate(names):
                places = first // U64(size) + U64(i)
                if name == "st":
                    held[places] = run.spread(values[i](run))[lanes]
                else:
                    out = np.zeros(run.count, kind)
                    out[lanes] = held[places]
                    run.set(register, out)

        return transfer

    def launch(self, grid: Sequence[int], block: int, arguments: bytes, memory: Memory) -> None:
        """Run all threads; ``arguments`` as the driver packs them."""
        with np.errstate(all="ignore"):
            Run(self, (*grid, 1, 1)[:3], block, arguments, memory).go()


class Device:
    """Runs what the driver of this process is asked to launch. The first error stops it; ``error`` says which."""

    def __init__(self, driver: Driver, change: Callable[[str], str] = lambda ptx: ptx) -> None:
        """``change``: what it runs in place of a kernel's text."""
        self.driver, self.error, self.change = driver, "", change
        self.kernels: dict[str, Kernel] = {}
        self.ran: Counter[str] = Counter()
        driver.run(self._launch)

    def _launch(self, launch: Launch) -> int:
        if self.error:
            return LAUNCH_FAILED
        try:
            kernel = self.kernels.get(launch.ptx) or self.kernels.setdefault(launch.ptx, Kernel(self.change(launch.ptx)))
            self.ran[launch.kernel] += 1
            kernel.launch(launch.grid, int(np.prod(launch.block)), launch.arguments, Memory(self.driver.blocks()))
        except Exception as error:
            self.error = f"{launch.kernel}{launch.grid}: {type(error).__name__}: {error}"
            return ILLEGAL_ADDRESS if isinstance(error, AccessError) else LAUNCH_FAILED
        return 0


def unknown(text: str) -> Callable[[Run], None]:
    """An instruction that is an error only where it is reached."""

    def action(run: Run) -> None:
        raise NotImplementedError(text)

    return action


class Run:
    """All threads of a launch, in lanes."""

    def __init__(self, kernel: Kernel, grid: Sequence[int], block: int, arguments: bytes, memory: Memory) -> None:
        self.kernel, self.arguments, self.memory = kernel, arguments, memory
        blocks = int(np.prod(grid))
        self.count = blocks * block
        self.shared = Shared(kernel.shared_size, blocks, block)
        number, thread = (part.astype(U32) for part in np.divmod(np.arange(self.count), block))
        gx, gy, gz = map(U32, grid)
        one, zero = np.ones(1, U32), np.zeros(1, U32)
        self.special = {"%tid.x": thread, "%tid.y": zero, "%tid.z": zero, "%ntid.x": one * U32(block), "%ntid.y": one, "%ntid.z": one}
        self.special |= {"%ctaid.x": number % gx, "%ctaid.y": number // gx % gy, "%ctaid.z": number // (gx * gy)}
        self.special |= {"%nctaid.x": one * gx, "%nctaid.y": one * gy, "%nctaid.z": one * gz, "%laneid": thread % U32(WARP)}
        self.at = np.zeros(self.count, np.int64)
        self.waiting = np.zeros(self.count, bool)
        self.active = self.waiting
        self.registers: dict[str, Array] = {}
        self.alone = True

    def spread(self, value: Array) -> Array:
        """A value a lane."""
        return np.broadcast_to(value, self.count)

    def set(self, name: str, value: Array) -> None:
        """Write a register, of the lanes that are active."""
        held = np.dtype(REGISTERS[name[1:].rstrip("0123456789")])
        value = np.asarray(value)
        if value.dtype != held:
            value = value.view(held) if value.dtype.itemsize == held.itemsize and held.kind != "b" else value.astype(held)
        if value.shape != (self.count,):
            value = np.broadcast_to(value, self.count)
        if not self.alone:
            old = self.registers.get(name)
            value = np.where(self.active, value, held.type(0) if old is None else old)
        self.registers[name] = value

    def go(self) -> None:
        """Run all lanes to their end: those that are least far first, together with those that they meet."""
        code, labels = self.kernel.code, self.kernel.labels
        while True:
            ready = ~self.waiting & (self.at < END)
            if not ready.any():
                if not self.waiting.any():
                    return
                self.waiting[:] = False
                self.shared.meeting()
                continue
            at = int(self.at[ready].min())
            self.active = active = ready & (self.at == at)
            others = (self.at < END) & ~active
            self.alone = not others.any()
            behind = self.at[ready & ~active]
            stop = int(behind.min()) if len(behind) else END
            while True:
                if at == stop or at >= len(code):
                    self.at[active] = at if at < len(code) else END
                    break
                guard, negated, what, action = code[at]
                at += 1
                if not guard:
                    if what == "bra":
                        at = labels[action]
                        if at > stop:
                            self.at[active] = at
                            break
                    elif what == "ret":
                        self.at[active] = END
                        break
                    elif what == "bar":
                        self.at[active] = at
                        self.waiting |= active
                        break
                    else:
                        action(self)
                    continue
                taken = active & (self.registers[guard] ^ negated)
                if what not in ("bra", "ret"):
                    self.active, alone, self.alone = taken, self.alone, False
                    action(self)
                    self.active, self.alone = active, alone
                    continue
                target = labels[action] if what == "bra" else END
                if not taken.any():
                    continue
                if target <= stop and target < END and taken.sum() == active.sum():
                    at = target
                    continue
                self.at[active] = at
                self.at[taken] = target
                break
