"""Reading by the batch: what a naive loop would give, padded alike for every shard, from memory or from disk."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from buttress.core import EOS, PAD
from buttress.data.images import Images
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.data.reading import memory
from buttress.data.reading.arrays import ArrayExamples, RunningMoments, Source
from buttress.data.reading.memory import NpyWriter, Rows, cached
from buttress.data.reading.tokens import TokenExamples
from buttress.training.check import check_support

pytestmark = pytest.mark.usefixtures("own_cache")
SENTENCES = [[5, 6, EOS], [7, EOS], [8, 9, 10, 11, EOS], [EOS], [12, 13, EOS]]


def tokens(sentences):
    lengths = np.array([len(s) for s in sentences])
    flat = np.array([i for s in sentences for i in s], np.int32)
    return TokenExamples(Rows(flat), lengths.cumsum() - lengths, lengths, "line {}".format)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=9), st.integers(0, 9), st.integers(0, 9))
def test_sentences_are_padded_to_the_longest_of_the_whole_batch(index, start, stop):
    width = max(len(SENTENCES[i]) for i in index)
    padded = [SENTENCES[i] + [PAD] * (width - len(SENTENCES[i])) for i in index]
    batch = tokens(SENTENCES).batch(torch.tensor(index), slice(start, stop))
    assert batch.dtype == torch.int64
    assert batch.shape[1] == width
    assert batch.tolist() == padded[start:stop]


def test_lengths_count_eos():
    assert tokens(SENTENCES).lengths.tolist() == [3, 2, 5, 1, 3]


@pytest.mark.parametrize(
    ("shape", "layout", "axes"),
    [
        ((9, 4, 5), "auto", None),
        ((9, 4, 5, 3), "auto", (0, 3, 1, 2)),
        ((9, 3, 4, 5), "auto", (0, 1, 2, 3)),
        ((9, 4, 5, 2), "NHWC", (0, 3, 1, 2)),
        ((9, 1, 3, 3), "NCHW", (0, 1, 2, 3)),
    ],
)
@pytest.mark.parametrize("dtype", ["u1", "f2", "f8", "i8", "?"])
def test_images_of_any_layout_and_type_become_channels_first(tmp_path, shape, layout, axes, dtype):
    stored = np.random.default_rng(0).integers(0, 2 if dtype == "?" else 256, (3, *shape)).reshape(-1, *shape[1:])
    stored = stored.astype(dtype)
    np.save(tmp_path / "a.npy", stored)
    splits = Images(str(tmp_path / "a.npy"), layout=layout, split="seed", held_out=0.3).open()
    wanted = stored[:, None] if axes is None else stored.transpose(axes)
    wanted = wanted.astype("u1" if dtype in ("u1", "i8") else "f4")
    whole = np.concatenate([e.batch(torch.arange(len(e))).numpy() for e in (splits.train, splits.held_out)])
    assert whole.dtype == wanted.dtype
    assert sorted(map(bytes, whole)) == sorted(map(bytes, wanted))
    train = splits.train.batch(torch.arange(len(splits.train))).double()
    assert splits.spec.shape == wanted.shape[1:]
    torch.testing.assert_close(splits.spec.mean, train.mean(0).float())
    torch.testing.assert_close(splits.spec.std, train.std(0, unbiased=False).float())


def test_shards_make_up_the_batch():
    examples = LinearGaussianData(n=50).open().train
    index = torch.tensor([3, 1, 4, 1, 5, 9])
    whole = examples.batch(index)
    assert torch.equal(torch.cat([examples.batch(index, slice(0, 3)), examples.batch(index, slice(3, 6))]), whole)
    assert torch.equal(whole[1], examples.batch(torch.tensor([1]))[0])


@pytest.mark.parametrize("large", [0, 2**30])
def test_rows_of_a_file_are_those_of_the_array(tmp_path, monkeypatch, large):
    monkeypatch.setattr(memory, "LARGE", large)  # so pages are given back after every read, or never
    values = np.random.default_rng(0).integers(0, 256, (1000, 7), dtype="u1")
    np.save(tmp_path / "a.npy", values)
    rows = Rows(tmp_path / "a.npy")
    index = np.random.default_rng(1).integers(0, 1000, 500)
    assert (rows.take(index) == values[index]).all()
    monkeypatch.setattr(memory, "CHUNK", 300)
    assert (rows.take(index) == values[index]).all()
    assert (np.concatenate([chunk for _, chunk in rows.chunks(100)]) == values).all()
    assert [start for start, _ in rows.chunks(100)][:3] == [0, 14, 28]


def test_pages_of_a_large_file_are_given_back(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((10_000, 4096), "u1"))
    rows = Rows(tmp_path / "a.npy")
    before = resident_files()
    for index in np.random.default_rng(0).permutation(10_000).reshape(-1, 100):
        rows.take(index)
    assert all(chunk.all() for _, chunk in rows.chunks())
    assert resident_files() - before < 4 * 2**20  # of 40 million bytes read


def resident_files() -> int:
    """Bytes of mapped files in this process's memory; 0 where the system does not say."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssFile"))


def test_a_mapped_file_is_opened_again_rather_than_copied(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((1000, 100)))
    rows = Rows(tmp_path / "a.npy")
    rows.take(np.arange(3))
    copy = pickle.dumps(ArrayExamples(Source(rows, "ND", "a", str), np.arange(10)))
    assert len(copy) < 2000
    assert pickle.loads(copy).batch(torch.arange(2)).shape == (2, 100)


def test_without_the_advice_a_mapping_is_closed_instead(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "LARGE", 0)
    monkeypatch.delattr(memory.mmap, "MADV_DONTNEED", raising=False)
    np.save(tmp_path / "a.npy", np.arange(100))
    assert Rows(tmp_path / "a.npy").take(np.array([7, 70])).tolist() == [7, 70]


def test_a_file_written_row_by_row_is_an_ordinary_npy_file(tmp_path):
    with NpyWriter(tmp_path / "a.npy", (2,), np.float32) as writer:
        for count in (3, 0, 100_000):
            writer.append(np.full((count, 2), count))
    values = np.load(tmp_path / "a.npy")
    assert values.shape == (100_003, 2) and values.dtype == np.float32
    assert values[2:4].tolist() == [[3, 3], [100_000, 100_000]]


def test_the_cache_is_whole_or_not_there(tmp_path, own_cache):
    def fail(folder):
        (folder / "half").write_text("half")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        cached("key", fail)
    assert list(own_cache.iterdir()) == []
    folder = cached("key", lambda folder: (folder / "whole").write_text("whole"))
    assert cached("key", fail) == folder
    assert (folder / "whole").read_text() == "whole"


def test_a_cache_that_cannot_be_written_says_how_to_move_it(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BUTTRESS_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ValueError, match="BUTTRESS_CACHE"):
        cached("key", lambda folder: None)


@given(st.lists(st.integers(0, 5), max_size=6), st.sampled_from(["u1", "f4"]))
def test_moments_do_not_depend_on_the_chunks(sizes, dtype):
    random = np.random.default_rng(0)
    chunks = [random.integers(0, 256, (300 * size, 2, 3)).astype(dtype) for size in (*sizes, 1)]
    moments = RunningMoments()
    for chunk in chunks:
        moments.add(chunk)
    values = np.concatenate(chunks).astype(np.float64)
    np.testing.assert_allclose(moments.mean, values.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.std, values.std(0), rtol=1e-12)


def test_a_small_spread_around_a_large_mean_is_not_lost():
    moments = RunningMoments()
    values = 1e6 + np.random.default_rng(0).normal(size=(1000, 1))
    for chunk in np.split(values, 10):
        moments.add(chunk)
    np.testing.assert_allclose(moments.std, values.std(0), rtol=1e-6)


@pytest.mark.parametrize("side", ["train", "held_out"])
def test_a_value_outside_the_support_is_named_with_its_row(tmp_path, side):
    values = np.random.default_rng(0).random((300, 4, 4)).astype("f4")
    np.save(tmp_path / "a.npy", values)
    images = Images(str(tmp_path / "a.npy"), split="seed")
    row = int(getattr(images.open(), side).where(17).split()[-3])
    values[row, 1, 2] = 1.5
    np.save(tmp_path / "a.npy", values)

    def check(raw):
        if raw.max() > 1:
            raise ValueError(f"got {raw.max():.1f}, wanted [0, 1]; try dividing")

    with pytest.raises(ValueError, match=rf"a\.npy, row {row} \(from 0\): got 1\.5, wanted \[0, 1\]; try dividing"):
        check_support(images.open(), check, batch_size=64)
    values[row] /= 2
    np.save(tmp_path / "a.npy", values)
    check_support(images.open(), check)
