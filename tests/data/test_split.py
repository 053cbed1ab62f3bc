"""Held-out splits: stable when data grows, copies together, sizes as asked."""

import numpy as np
import pytest
import torch

from buttress.data.pairs import Pairs
from buttress.data.reading.split import Division
from buttress.data.reading.tokens import decode
from buttress.data.sentences import Sentences
from buttress.data.sounds import Sounds
from buttress.data.table import Table

pytestmark = pytest.mark.usefixtures("own_cache")


def rows_of(examples) -> set[tuple[float, ...]]:
    return set(map(tuple, examples.batch(torch.arange(len(examples))).tolist()))


def table(path, rows):
    np.save(path, rows)
    return str(path)


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(size=(400, 3))


def test_old_rows_keep_their_side_when_rows_are_added(tmp_path, values):
    before = Table(table(tmp_path / "a.npy", values[:300])).open()
    after = Table(table(tmp_path / "b.npy", values[::-1])).open()
    assert rows_of(before.held_out) < rows_of(after.held_out)
    assert rows_of(before.train) < rows_of(after.train)


def test_old_sentences_keep_their_side_when_sentences_are_added(tmp_path):
    text = [f"word{i} and word{i * i % 17}" for i in range(300)]
    sides = []
    for count in (200, 300):
        (tmp_path / f"{count}.txt").write_text("\n".join(text[:count]))
        splits = Sentences(str(tmp_path / f"{count}.txt"), held_out=0.3).open()
        sides.append({splits.held_out.where(i).rpartition(" ")[2] for i in range(len(splits.held_out))})
    assert sides[0] < sides[1]
    assert all(int(line) > 200 for line in sides[1] - sides[0])


def test_copies_stay_on_one_side(tmp_path, values):
    zeros = values[:100] * [1, 1, 0]
    copies = np.concatenate([values, values[:200], abs(zeros), -abs(zeros) * [-1, -1, 1]])  # 0 equals -0
    assert np.signbit(copies[-1, 2])
    splits = Table(table(tmp_path / "a.npy", copies), held_out=0.3).open()
    assert not rows_of(splits.train) & rows_of(splits.held_out)


def test_copies_of_sentences_stay_on_one_side_however_spaced(tmp_path):
    lines = [f"word{i} is here" for i in range(100)]
    (tmp_path / "a.txt").write_text("\n".join(lines + [f"  {line.replace(' ', '   ').upper()} " for line in lines]))
    splits = Sentences(str(tmp_path / "a.txt"), held_out=0.3, lower=True, tokenizer="bpe").open()
    sides = [set(decode(splits.spec, s.batch(torch.arange(len(s))))) for s in (splits.train, splits.held_out)]
    assert not sides[0] & sides[1]
    assert len(splits.held_out) % 2 == 0


def test_the_share_is_kept_and_the_seed_matters():
    digests = [Division(seed=seed).digest(str(i).encode() for i in range(20_000)) for seed in (0, 1)]
    held = [Division(held_out=0.2).hashed(d) for d in digests]
    assert abs(held[0].mean() - 0.2) < 4 * (0.2 * 0.8 / 20_000) ** 0.5
    assert (held[0] != held[1]).mean() > 0.2


def test_by_seed_the_number_is_exact(tmp_path, values):
    splits = Table(table(tmp_path / "a.npy", values), split="seed", held_out=0.25, split_seed=3).open()
    again = Table(table(tmp_path / "a.npy", values), split="seed", held_out=0.25, split_seed=3).open()
    other = Table(table(tmp_path / "a.npy", values), split="seed", held_out=0.25).open()
    assert (len(splits.held_out), len(splits.train)) == (100, 300)
    assert rows_of(splits.held_out) == rows_of(again.held_out) != rows_of(other.held_out)
    assert any("at random by position, seed 3" in note for note in splits.notes)


def test_mean_and_spread_are_those_of_the_training_rows(tmp_path, values):
    splits = Table(table(tmp_path / "a.npy", 1e3 + values), held_out=0.4).open()
    train = splits.train.batch(torch.arange(len(splits.train))).double()
    torch.testing.assert_close(splits.spec.mean, train.mean(0).float())
    torch.testing.assert_close(splits.spec.std, train.std(0, unbiased=False).float())


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_a_share_must_leave_both_sides(share):
    with pytest.raises(ValueError, match=r"wanted a share between 0 and 1"):
        Division(held_out=share)


def test_few_examples_have_one_on_each_side_with_its_copies(tmp_path, values):
    """The one with the smallest hash is held out where none is below the share, the largest trains where all are."""
    few = np.concatenate([values[:12], values[:12]]).astype("float32")
    path, digests = table(tmp_path / "a.npy", few), Division().digest_rows(few)
    splits = Table(path, held_out=1e-6).open()
    train = splits.train.batch(torch.arange(len(splits.train)))
    assert (len(splits.held_out), len(train)) == (2, 22)
    assert rows_of(splits.held_out) == {tuple(few[digests.argmin()].tolist())}
    torch.testing.assert_close(splits.spec.mean, train.mean(0))
    held = Division(held_out=1 - 1e-6).hashed(digests)
    assert (~held == (digests == digests.max())).all() and (~held).sum() == 2


def test_few_sentences_pairs_and_recordings_have_one_held_out(tmp_path):
    for name, word in (("a.txt", "word"), ("b.txt", "wort")):
        (tmp_path / name).write_text("\n".join(f"{word}{i} and another" for i in range(12)))
    text, other = (str(tmp_path / name) for name in ("a.txt", "b.txt"))
    noise = np.random.default_rng(0).integers(-9000, 9000, 12 * 100).astype(np.int16)
    np.savez(tmp_path / "a.npz", audio=noise, offsets=np.arange(0, 1201, 100))
    sound = Sounds(str(tmp_path / "a.npz"), "wave", crop=100, rate=8000, held_out=1e-6)
    for part in (Sentences(text, held_out=1e-6), Pairs(text, other, held_out=1e-6), sound):
        splits = part.open()
        assert (len(splits.train), len(splits.held_out)) == (11, 1)


@pytest.mark.parametrize("split", ["hash", "seed"])
def test_three_rows_are_too_few(tmp_path, values, split):
    with pytest.raises(ValueError, match=r"a\.npy: 3 examples, too few"):
        Table(table(tmp_path / "a.npy", values[:3]), split=split).open()
