"""Settings that must be made before Numba is imported, Hypothesis profiles, and the implementations that tests run on."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import signal
import tempfile


def _cache_folder() -> str:
    """A fresh folder for compiled kernels, gone afterwards; or the one that NUMBACNN_TEST_CACHE names (for quick reruns)."""
    if "PYTEST_XDIST_WORKER" in os.environ:  # that of the process that started this one
        return os.environ["NUMBA_CACHE_DIR"]
    kept = os.environ.get("NUMBACNN_TEST_CACHE")
    if kept:
        return kept
    folder = tempfile.mkdtemp(prefix="numbacnn-test-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


gc.set_threshold(20_000, 20, 20)  # compilation leaves so many objects that looking for garbage takes a tenth of its time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start with Ctrl-C ignored, and so do their children
os.environ["NUMBA_CACHE_DIR"] = _cache_folder()
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("NUMBACNN_CUDA_CHECK", "0")  # on a GPU it is the fast path that is tested, and not first compared for minutes
# thousands of tiny launches: on a busy machine threads that spin while they wait for each other starve
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

LONG = bool(os.environ.get("NUMBACNN_LONG"))
"""More cases, and the tests marked ``long``: other processors, all kernels compiled anew. ``.ci/run`` asks for them."""

LONGEST = ("test_plan.py", "test_simulator.py")

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0")
if SIMULATED:
    import simulator
    from numba.cuda.simulator.kernel import BlockManager

    BlockManager.run = simulator.run

_common = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture], "print_blob": True}
settings.register_profile("default", max_examples=25, derandomize=True, database=None, **_common)
settings.register_profile("search", max_examples=2000, **_common)  # HYPOTHESIS_PROFILE=search pytest: new cases each time
settings.register_profile("simulator", max_examples=3, derandomize=True, database=None, **_common)
settings.load_profile("simulator" if SIMULATED else os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_configure(config: pytest.Config) -> None:
    """Not in pyproject.toml: pytest would import Numba for the class, and Numba would read its settings, before they are made here."""
    config.addinivalue_line("filterwarnings", "ignore::numba.core.errors.NumbaDebugInfoWarning")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two processes share the whole suite: most tests compile, or compute in one thread. Some chosen files run in this process."""
    return 2 if config.args_source is pytest.Config.ArgsSource.TESTPATHS else 0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that take long are run only where they are asked for. The files that take longest come first, so that one of two processes
    does not wait for the other at the end."""
    long = [item for item in items if item.get_closest_marker("long") and not LONG]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in set(long)]
    items.sort(key=lambda item: item.path.name not in LONGEST)


def _devices() -> list[str]:
    """The devices of this machine: ``cuda`` is one with a GPU or in the simulator."""
    from numbacnn import cuda

    return ["cpu"] + (["cuda"] if cuda.is_available() else [])


@pytest.fixture(scope="module", autouse=True)
def what_was_there_stays() -> None:
    """The collector of garbage, and what asks it who refers to an object, need not look through all that earlier files compiled."""
    gc.collect()
    gc.freeze()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "device" in metafunc.fixturenames:
        metafunc.parametrize("device", _devices())


@pytest.fixture
def backend(device: str):  # type: ignore[no-untyped-def]
    """The backend of each device."""
    from numbacnn import backends

    return backends.get(device)
