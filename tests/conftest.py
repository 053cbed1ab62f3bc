"""What holds for every test: one thread a worker, no network, shapes checked by machine, seeded randomness."""

import os

# Before torch is imported anywhere: xdist runs one worker a core, so more threads would only get in each other's way,
# and one thread makes sums reproducible bit for bit. Child processes started by tests inherit all of this.
os.environ.update(
    OMP_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    OPENBLAS_NUM_THREADS="1",
    RAYON_NUM_THREADS="1",
    TOKENIZERS_PARALLELISM="false",
    HF_HUB_OFFLINE="1",
    MPLBACKEND="Agg",
)
# Bytecode is kept whatever the environment says: else each process that a test starts compiles all of buttress anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import gc
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

sys.dont_write_bytecode = False

import checks

if "buttress" in sys.modules:
    raise pytest.UsageError("buttress was imported before tests/conftest.py: its shapes would go unchecked")

checks.install()

import numpy as np
import torch

torch.set_num_threads(1)

# The same examples on every run, and no verdict that depends on how busy the machine is.
hypothesis.settings.register_profile(
    "buttress", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("buttress")

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_finish() -> None:
    """What is imported and collected by now stays: the search for garbage need not look at it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def seed() -> int:
    """Seed Python, numpy and torch before every test, so that no test depends on its neighbours; gives the seed."""
    value = 0
    random.seed(value)
    np.random.seed(value)
    torch.manual_seed(value)
    return value


@pytest.fixture(scope="session", autouse=True)
def quick_processes() -> Iterator[None]:
    """Let the processes of a comparison, and those that share a batch, begin at once (see tests/copies.py)."""
    import copies
    from buttress.experiments import pool
    from buttress.training import fit

    copies.CONTEXT.set_forkserver_preload(copies.PRELOADED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "multiprocessing", copies.of_a_pool())
        patch.setattr(fit, "start_processes", copies.start_processes)
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_disk() -> Iterator[None]:
    """Wait for no disk, as a run does twenty times: only a power cut would show it. That it is asked, others test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processes that share a batch begin as users' do."""
    from torch.multiprocessing.spawn import start_processes

    from buttress.training import fit

    monkeypatch.setattr(fit, "start_processes", start_processes)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets beside the repository (../shared/data); skips the test where there is none."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the data sets in ../shared/data (beside the repository), which are not there")
    return folder


@pytest.fixture
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, so that nothing decoded yesterday hides a fault of today."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("BUTTRESS_CACHE", str(folder))
    return folder
