"""Memory freed by one step is there for the next, and goes back to the system when training is over."""

from __future__ import annotations

import resource
from dataclasses import replace

import pytest
import torch

from buttress.baseline import baseline
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.runtime import heap
from buttress.runtime.heap import kept
from buttress.training.callbacks import ProgressCallback
from buttress.training.fit import fit
from buttress.training.stop import Stop

PAGES = 48 * 2**20 // 4096
"""Pages of the tensor below, which is larger than what glibc keeps by itself."""

pytestmark = pytest.mark.skipif(heap._glibc() is None, reason="only glibc has the switches")


def faults() -> list[int]:
    """Page faults of making and freeing a large tensor, time after time."""
    found = []
    for _ in range(4):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.zeros(PAGES * 1024)
        found.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return found


class Recorder:
    """A C library that takes what an older glibc takes, and notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int | str, int]] = []

    def mallopt(self, name: int, value: int) -> int:
        self.asked.append((name, value))
        return int(name != heap.MMAP_THRESHOLD or value <= heap.USUAL)

    def malloc_trim(self, pad: int) -> None:
        self.asked.append(("trim", pad))


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    """Whoever runs the tests may have set malloc."""
    for name in ("GLIBC_TUNABLES", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_"):
        monkeypatch.delenv(name, raising=False)


def test_pages_stay_while_kept_and_go_back_afterwards():
    with kept():
        with kept():
            assert min(faults()) < PAGES / 10
        assert min(faults()) < PAGES / 10  # the end of the inner one changes nothing
    assert faults()[0] > PAGES / 2


def test_what_the_user_chose_stays(monkeypatch):
    libc = Recorder()
    monkeypatch.setattr(heap, "_glibc", lambda: libc)
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000")
    with kept():
        pass
    assert not libc.asked


def test_an_older_glibc_gets_the_most_it_takes(monkeypatch):
    libc = Recorder()
    monkeypatch.setattr(heap, "_glibc", lambda: libc)
    with kept():
        assert libc.asked[-2:] == [(heap.MMAP_THRESHOLD, heap.USUAL), (heap.TRIM_THRESHOLD, heap.ALL)]
    assert libc.asked[-1] == ("trim", 0)


def test_training_keeps_its_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(heap, "_glibc", Recorder)
    data, depth = LinearGaussianData(dim=4, n=50), []
    recipe = baseline(data, data.open().spec)
    recipe = replace(recipe, training=replace(recipe.training, steps=2, batch_size=8))
    look = ProgressCallback(lambda step, total: depth.append(heap._depth[0]), every=1)
    fit(recipe, data.open(), tmp_path, Stop(), progress=False, callbacks=[look], loggers=[])
    assert depth == [1, 1] and heap._depth == [0]
