"""Generators of random numbers."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from numbacnn import random


def test_a_generator_of_ones_own_is_a_stream_of_its_own() -> None:
    """Drawing from it leaves the library's generator alone; its state can be read and set; a bad one is refused and changes nothing."""
    before = random.get_rng_state()
    own = random.Generator().manual_seed(5)
    first = random.draw(lambda g: g.random(3), own)
    assert random.get_rng_state() == before and own.initial_seed() == 5
    state = own.get_state()
    second = own.numpy.random(3)
    with pytest.raises(ValueError, match=r"^\[Generator.set_state\] expected a state that get_rng_state gave"):
        own.set_state({"state": 1})
    assert (own.set_state(state).numpy.random(3) == second).all() and (own.manual_seed(5).numpy.random(3) == first).all()
    assert own.seed() == own.initial_seed() != random.Generator().initial_seed()


def test_a_thread_draws_from_another_stream_within_drawing_from() -> None:
    """Only that thread does, and only within, an exception included."""
    stream, before = np.random.default_rng(3), random.get_rng_state()
    with contextlib.suppress(KeyError), random.drawing_from(stream):
        assert random.generator() is stream
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(random.generator).result() is not stream
        random.draw(lambda g: g.random(3))
        raise KeyError
    assert random.generator() is not stream and random.get_rng_state() == before
