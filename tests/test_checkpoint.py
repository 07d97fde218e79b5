"""Checkpoints: what is written comes back, whole or not at all."""

from __future__ import annotations

import json
import os
import pickle
import re
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import numbacnn as nc
from numbacnn import checkpoint, files
from numbacnn.checkpoint import Checkpoint, Preprocessing
from numbacnn.errors import FormatError

READER = "Error while deserializing header: "


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


def test_other_readers_can_read_it(saved: Path) -> None:
    from safetensors.numpy import load_file

    assert set(load_file(saved)) == {"model.0.weight", "model.0.bias", "model.count", "optim.0.step", "optim.0.exp_avg"}


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
        ({"tensors": {"optim.x.step": np.zeros(1)}}, "invalid literal for int() with base 10: 'x'"),
    ],
)
def test_unsound_metadata(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    path = tmp_path / "a"
    _rewritten(path, **changes)
    refused(path, f"[checkpoint] expected {path} to be a checkpoint with sound metadata; received {why}.")


def test_a_newer_version(tmp_path: Path) -> None:
    from safetensors.numpy import save

    path = tmp_path / "a"
    path.write_bytes(save({"w": np.zeros(1)}, {checkpoint.FORMAT: "2 what comes then"}))
    refused(path, f"[checkpoint] expected {path} to be a checkpoint of version 1; received version 2; use the numbacnn that wrote it.")


@pytest.mark.parametrize("load", [checkpoint.load, checkpoint.load_weights])
def test_no_file(tmp_path: Path, load: Any) -> None:
    for path, received in ((tmp_path, "a folder"), (tmp_path / "x", "no such file")):
        with pytest.raises(FileNotFoundError, match=f"^{re.escape(f'[checkpoint] expected a file {path}; received {received}.')}$"):
            load(path)


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
