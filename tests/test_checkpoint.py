"""Checkpoints: what is written comes back, whole or not at all."""

from __future__ import annotations

import json
import os
import pickle
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import numbacnn as nc
from numbacnn import checkpoint, files
from numbacnn.checkpoint import Checkpoint, Preprocessing
from numbacnn.data.ink import Ink
from numbacnn.errors import FormatError

READER = "Error while deserializing: "


def some_checkpoint() -> Checkpoint:
    rng = np.random.default_rng(0)
    moments = {"step": np.array(3), "exp_avg": rng.standard_normal((2, 3)).astype(np.float32)}
    return Checkpoint(
        weights={"0.weight": rng.standard_normal((2, 3)).astype(np.float32), "0.bias": np.zeros(2, np.float32), "count": np.array(7)},
        classes=("cat", "dog"),
        preprocessing=Preprocessing((1, 8, 8), (0.5,), (0.25,), "dark"),
        optimizer={"state": {0: moments}, "param_groups": [{"lr": 0.1, "params": [0, 1]}]},
        schedule={"last_epoch": 3},
        generators={"library": nc.get_rng_state(), "loader": {"seed": 1, "epoch": 2, "position": 3}},
        progress={"step": 3, "loss": 0.1 + 0.2},
        run={"notes": {"data": "digits"}},
    )


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, some_checkpoint())
    return path


def assert_equal(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    else:
        assert a == b


def refused(path: Path, text: str) -> None:
    with pytest.raises(FormatError, match=f"^{re.escape(text)}$"):
        checkpoint.load(path)


# -- what comes back -------------------------------------------------------------------------------------------------------------
@pytest.mark.smoke
def test_round_trip(saved: Path) -> None:
    assert_equal(vars(checkpoint.load(saved)), vars(some_checkpoint()))


def test_equal_states_give_equal_files() -> None:
    assert checkpoint.encode(some_checkpoint()) == checkpoint.encode(some_checkpoint())


def test_channels_last_arrays_keep_their_values(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4).transpose(0, 3, 1, 2)
    checkpoint.save(tmp_path / "a", Checkpoint({"w": array}))
    assert (checkpoint.load(tmp_path / "a").weights["w"] == array).all()


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i8", ">u2", "<f4", "?", "f2"])
def test_any_byte_order_keeps_its_values(tmp_path: Path, dtype: str) -> None:
    array = np.arange(3).astype(dtype)
    checkpoint.save(tmp_path / "a", Checkpoint({"w": array}))
    checkpoint.save_weights(tmp_path / "b", {"w": array})
    for found in (checkpoint.load(tmp_path / "a").weights["w"], checkpoint.load_weights(tmp_path / "b")["w"]):
        assert found.dtype == array.dtype.newbyteorder("=") and (found == array).all()


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([None]), np.zeros(2, "c16")], ids=lambda a: str(a.dtype))
def test_what_is_no_array_of_numbers_is_not_written(tmp_path: Path, array: np.ndarray) -> None:
    wanted = f"[checkpoint] expected arrays of numbers of at most 64 bits; received dtype {array.dtype}."
    for write in (
        lambda: checkpoint.save(tmp_path / "a", Checkpoint({"w": array})),
        lambda: checkpoint.save_weights(tmp_path / "a", {"w": array}),
    ):
        with pytest.raises(nc.DTypeError, match=f"^{re.escape(wanted)}$"):
            write()


def test_a_name_that_the_format_keeps(tmp_path: Path) -> None:
    wanted = "[save_weights] expected names of weights; received '__metadata__'; the format keeps it for itself."
    with pytest.raises(ValueError, match=f"^{re.escape(wanted)}$"):
        checkpoint.save_weights(tmp_path / "a", {"__metadata__": np.zeros(1)})
    assert not list(tmp_path.iterdir())
    checkpoint.save(tmp_path / "a", Checkpoint({"__metadata__": np.zeros(1)}))
    assert set(checkpoint.load(tmp_path / "a").weights) == {"__metadata__"}


def test_other_readers_can_read_it(saved: Path) -> None:
    from safetensors.numpy import load_file

    assert set(load_file(saved)) == {"model.0.weight", "model.0.bias", "model.count", "optim.0.step", "optim.0.exp_avg"}


def test_ink_comes_back_and_older_files_have_none(tmp_path: Path) -> None:
    seen = Preprocessing((1, 8, 8), (0.5,), (0.25,), "dark", Ink(0.9, (0.5, 0.4), 1.5))
    checkpoint.save(tmp_path / "a", Checkpoint({"w": np.zeros(1)}, preprocessing=seen))
    assert checkpoint.load(tmp_path / "a").preprocessing == seen
    _rewritten(tmp_path / "a", preprocessing={"input_shape": [1, 8, 8], "mean": [0.5], "std": [0.25], "background": "dark"})
    assert checkpoint.load(tmp_path / "a").preprocessing == Preprocessing((1, 8, 8), (0.5,), (0.25,), "dark")


def test_network_is_built_from_its_name() -> None:
    net = nc.models.lenet_modern(classes=3)
    made = Checkpoint({name: np.array(t) for name, t in net.state_dict().items()}, "lenet-modern", {"classes": 3, "in_channels": 1})
    before = nc.get_rng_state()
    built = made.network()
    assert nc.get_rng_state() == before
    assert not built.training
    assert_equal({k: np.array(v) for k, v in built.state_dict().items()}, {k: np.array(v) for k, v in net.state_dict().items()})


def test_network_of_the_users_own() -> None:
    wanted = "[checkpoint] expected a network of numbacnn.models; received a network of your own; "
    with pytest.raises(ValueError, match=f"^{re.escape(wanted)}make the network and call load_state_dict\\(checkpoint.weights\\).$"):
        Checkpoint({}).network()


def test_plain_weights(tmp_path: Path, saved: Path) -> None:
    net = nc.nn.Linear(2, 3)
    checkpoint.save_weights(tmp_path / "w", net.state_dict())
    loaded = checkpoint.load_weights(tmp_path / "w")
    assert_equal(loaded, {name: np.array(t) for name, t in net.state_dict().items()})
    assert set(checkpoint.load_weights(saved)) == {"0.weight", "0.bias", "count"}
    hint = "load_weights reads plain weights"
    refused(
        tmp_path / "w",
        f"[checkpoint] expected {tmp_path / 'w'} to be a checkpoint of numbacnn; received a safetensors file of another kind; {hint}.",
    )


# -- what does not ---------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", READER + "header too small"),
        (b"hello, this is some text and no checkpoint", READER + "header too large"),
        (pickle.dumps({"weights": [1, 2, 3]}), READER + "header too large"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), READER + "header too large"),
    ],
)
def test_foreign_files(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    refused(path, f"[checkpoint] expected {path} to be a whole safetensors file; received {why}.")


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "boom"),)

    (tmp_path / "a").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(FormatError):
        checkpoint.load(tmp_path / "a")
    assert not (tmp_path / "boom").exists()


def test_a_file_of_pytorch_s_is_for_load(tmp_path: Path) -> None:
    nc.save({"w": nc.ones(2)}, tmp_path / "net.pt")
    hint = "numbacnn.load reads a file of PyTorch's"
    text = f"[checkpoint] expected {tmp_path / 'net.pt'} to be a whole safetensors file; received {READER}header too large; {hint}."
    with pytest.raises(FormatError, match="^" + re.escape(text) + "$"):
        checkpoint.load_weights(tmp_path / "net.pt")


def test_every_truncation_is_refused(tmp_path: Path, saved: Path) -> None:
    data = saved.read_bytes()
    path = tmp_path / "cut"
    for length in [*range(0, len(data), 97), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(
            FormatError, match=f"^\\[checkpoint\\] expected {re.escape(str(path))} to be a whole safetensors file; received "
        ):
            checkpoint.load(path)


@given(st.data())
def test_every_flipped_bit_is_refused(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(checkpoint.encode(some_checkpoint()))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path / "flipped"
    path.write_bytes(content)
    try:
        read = checkpoint.load(path)
    except FormatError as error:
        assert str(path) in str(error)
    else:  # a blank of the header's padding, say
        assert_equal(vars(read), vars(some_checkpoint()))


def test_damaged_contents(tmp_path: Path, saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[-1] ^= 1
    saved.write_bytes(content)
    why = "as it was written; received contents that disagree with their checksum; take another copy of the file"
    refused(saved, f"[checkpoint] expected {saved} to be {why}.")


def _rewritten(path: Path, tensors: dict[str, np.ndarray] | None = None, **changes: Any) -> None:
    """A file whose checksum is right and whose contents are not."""
    from safetensors.numpy import save

    kept = {"model": None, "model_args": {}, "classes": [], "preprocessing": None, "param_groups": None}
    kept |= {"schedule": None, "generators": {}, "progress": {}, "run": {}, **changes}
    content = json.dumps({name: value for name, value in kept.items() if value != "left out"})
    tensors = tensors or {"model.w": np.zeros(1)}
    path.write_bytes(save(tensors, {checkpoint.FORMAT: f"1 {checkpoint._checksum(content, tensors)} {content}"}))


def _nested(levels: int) -> dict[str, Any]:
    found: Any = 0
    for _ in range(levels):
        found = {"a": found}
    return found


def _drawn(**changes: Any) -> dict[str, Any]:
    ink = {"extent": 0.9, "centre": [0.5, 0.5], "blur": 0.0} | changes
    return {"preprocessing": {"input_shape": [1, 8, 8], "mean": [0], "std": [1], "background": "dark", "ink": ink}}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"model": 7}, "model of type int"),
        ({"classes": {}}, "classes of type dict"),
        ({"run": "left out"}, "the entries classes, generators, model, model_args, param_groups, preprocessing, progress, schedule"),
        (
            {"preprocessing": {"input_shape": [1, 8, 8], "mean": [0], "std": [1, 1], "background": "dark"}},
            "preprocessing for 1 channels of pictures (1, 8, 8)",
        ),
        (
            {"preprocessing": {"input_shape": [8, 8], "mean": [0], "std": [1], "background": "x"}},
            "not enough values to unpack (expected 3, got 2)",
        ),
        (
            {"preprocessing": {"input_shape": [1, 1e999, 8], "mean": [0], "std": [1], "background": "x"}},
            "cannot convert float infinity to integer",
        ),
        (
            {"preprocessing": {"input_shape": [1, 10**6, 10**6], "mean": [0], "std": [1], "background": "x"}},
            "preprocessing for 1 channels of pictures (1, 1000000, 1000000)",
        ),
        (
            {"preprocessing": {"input_shape": [1, 8, 8], "mean": [10**400], "std": [1], "background": "x"}},
            "int too large to convert to float",
        ),
        (_drawn(extent=1e-9), "[Ink] expected extent as a number from 0.2 to 1; received 1e-09."),
        (_drawn(centre=[0.5]), "[Ink] expected centre as (y, x); received 1 numbers."),
        (_drawn(centre=[0.5, 1e999]), "[Ink] expected centre as a number from 0 to 1 along each axis; received inf."),
        (_drawn(blur="much"), "[Ink] expected blur as a number from 0 to 16.0; received 'much'."),
        ({"classes": ["a", 7]}, "a class of type int"),
        ({"run": {"notes": []}}, "run.notes of type list"),
        ({"run": {"options": "x"}}, "run.options of type str"),
        ({"run": _nested(101)}, "more than 100 levels of lists and dicts"),
        ({"tensors": {"optim.x.step": np.zeros(1)}}, "invalid literal for int() with base 10: 'x'"),
    ],
)
def test_unsound_metadata(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    path = tmp_path / "a"
    _rewritten(path, **changes)
    refused(path, f"[checkpoint] expected {path} to be a checkpoint with sound metadata; received {why}.")


def test_metadata_too_deep_for_the_reader(tmp_path: Path) -> None:
    from safetensors.numpy import save

    path, tensors, content = tmp_path / "a", {"model.w": np.zeros(1)}, "[" * 200_000
    path.write_bytes(save(tensors, {checkpoint.FORMAT: f"1 {checkpoint._checksum(content, tensors)} {content}"}))
    with pytest.raises(FormatError, match=f"^{re.escape(f'[checkpoint] expected {path} to be a checkpoint with sound metadata; ')}"):
        checkpoint.load(path)


@pytest.mark.parametrize(("run", "why"), [
    ({"notes": object()}, "that JSON can hold; received Object of type object is not JSON serializable"),
    ({"notes": _nested(100)}, "of at most 100 levels of lists and dicts; received more"),
    (_nested(10**5), "that JSON can hold; received maximum recursion depth exceeded while encoding a JSON object"),
], ids=["no JSON", "deep", "very deep"])  # fmt: skip
def test_what_could_not_be_read_is_not_written(tmp_path: Path, run: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(f'[checkpoint] expected values {why}')}"):
        checkpoint.save(tmp_path / "a", Checkpoint({}, run=run))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("args", "error", "why"), [
    ({"classes": 3, "colour": 1}, ValueError,
     r"\[checkpoint\] expected model_args that lenet takes; received .*unexpected keyword argument 'colour'\."),
    ({"classes": "3"}, (TypeError, ValueError), r"\[Linear\] expected "),
    ({"classes": 10**15}, ValueError, r"\[Linear\] expected sizes of arrays that fit in memory; "),
])  # fmt: skip
def test_arguments_that_its_network_does_not_take(args: dict[str, Any], error: Any, why: str) -> None:
    with pytest.raises(error, match=f"^{why}"):
        Checkpoint({}, "lenet", args).network()


FORGED = """
import resource, sys
import numpy as np
import numbacnn as nc
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

before = peak()
try:
    nc.checkpoint.Checkpoint({"0.weight": np.zeros((6, 1, 5, 5), np.float32)}, "lenet", {"classes": 3_000_000}).network()
except ValueError as error:
    print(str(error)[:61])
print(peak() - before < 100 << 20)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs the resource module, which Windows lacks")
def test_shapes_are_compared_before_memory_is_taken() -> None:
    done = subprocess.run([sys.executable, "-c", FORGED], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["[load_state_dict] expected the names and shapes of Sequential", "True"]


def test_a_file_that_is_cut_short_while_it_is_read(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mapped one would end the process with SIGBUS."""
    import safetensors

    def cut(*args: Any, **options: Any) -> Any:
        raise AssertionError("mapped")

    monkeypatch.setattr(safetensors, "safe_open", cut)
    assert_equal(vars(checkpoint.load(saved)), vars(some_checkpoint()))


@pytest.mark.skipif(sys.platform == "win32", reason="needs files with holes")
def test_a_large_foreign_file_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "film", "wb") as file:
        file.write(b"\xff" * 8)
        file.truncate(1 << 42)  # a hole: no disk, but no memory would hold it either
    refused(
        tmp_path / "film", f"[checkpoint] expected {tmp_path / 'film'} to be a whole safetensors file; received {READER}header too large."
    )


def test_a_newer_version(tmp_path: Path) -> None:
    from safetensors.numpy import save

    path = tmp_path / "a"
    path.write_bytes(save({"w": np.zeros(1)}, {checkpoint.FORMAT: "2 what comes then"}))
    refused(path, f"[checkpoint] expected {path} to be a checkpoint of version 1; received version 2; use the numbacnn that wrote it.")


@pytest.mark.parametrize("load", [checkpoint.load, checkpoint.load_weights])
def test_no_file(tmp_path: Path, load: Any) -> None:
    for path, file in ((tmp_path, tmp_path / "best.safetensors"), (tmp_path / "x", tmp_path / "x")):
        with pytest.raises(FileNotFoundError, match=f"^{re.escape(f'[checkpoint] expected a file {file}; received no such file.')}$"):
            load(path)


def test_the_folder_of_a_run(tmp_path: Path) -> None:
    """Its best weights, or else the last."""
    for name, value in ((checkpoint.LAST, 1), (checkpoint.BEST, 2)):
        checkpoint.save(tmp_path / name, Checkpoint({"w": np.full(1, value)}))
        assert checkpoint.load(tmp_path).weights["w"] == checkpoint.load_weights(str(tmp_path))["w"] == value


# -- writing ---------------------------------------------------------------------------------------------------------------------
def test_a_failed_write_leaves_the_old_file_and_nothing_else(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(saved, some_checkpoint())
    assert saved.read_bytes() == before
    assert [file.name for file in saved.parent.iterdir()] == [saved.name]


def test_folders_are_made_and_the_mode_is_the_users(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a"
    files.write_atomically(path, b"x")
    (tmp_path / "plain").write_bytes(b"x")
    assert path.read_bytes() == b"x"
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)
