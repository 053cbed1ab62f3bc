"""The order of training examples: pure, complete, and of similar lengths where there are lengths."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from buttress.training.batch_sampler import BatchSampler


def lengths_of(n: int, longest: int = 30) -> torch.Tensor:
    return torch.randint(2, longest, (n,), generator=torch.Generator().manual_seed(n))


def epoch(order: BatchSampler, number: int = 0) -> torch.Tensor:
    steps = range(number * order.epoch_steps, (number + 1) * order.epoch_steps)
    return torch.stack([order.indices(step) for step in steps])


@pytest.mark.parametrize(("lengths", "same_length"), [(None, False), (lengths_of(103), False), (lengths_of(103), True)])
def test_a_batch_depends_on_seed_and_step_alone(lengths, same_length):
    forward, backward = (BatchSampler(103, 8, 5, lengths, same_length) for _ in range(2))
    straight = [forward.indices(step) for step in range(40)]
    for step in reversed(range(40)):
        assert torch.equal(backward.indices(step), straight[step])
    assert not torch.equal(BatchSampler(103, 8, 6, lengths, same_length).indices(0), straight[0])


@given(st.integers(1, 60), st.data())
def test_every_batch_is_full_and_an_epoch_repeats_nothing(n, data):
    size = data.draw(st.integers(1, n))
    lengths = data.draw(st.sampled_from([None, lengths_of(n)]))
    batches = epoch(BatchSampler(n, size, 0, lengths), number=3)
    assert batches.shape == (n // size, size)
    assert len(batches.unique()) == batches.numel()
    assert batches.min() >= 0 and batches.max() < n


@pytest.mark.parametrize("lengths", [None, lengths_of(50)])
def test_what_an_epoch_leaves_over_changes(lengths):
    order = BatchSampler(50, 16, 0, lengths)
    seen = torch.zeros(50)
    for number in range(200):
        seen += epoch(order, number).flatten().bincount(minlength=50)
    assert seen.min() > 0.9 * 200 * 48 / 50  # the longest are not always the ones left over


def test_similar_lengths_share_a_batch_and_batches_are_shuffled():
    lengths = lengths_of(2000)
    of_batch = lengths[epoch(BatchSampler(2000, 32, 0, lengths))]
    shuffled = lengths[epoch(BatchSampler(2000, 32, 0))]
    padding = 1 - of_batch.sum() / (of_batch.max(1).values * 32).sum()
    assert padding < 0.03 < 1 - shuffled.sum() / (shuffled.max(1).values * 32).sum()
    means = of_batch.float().mean(1)
    assert abs(torch.corrcoef(torch.stack([means, torch.arange(len(means)).float()]))[0, 1]) < 0.4


def test_batches_of_exactly_one_length():
    lengths = lengths_of(1000)
    order = BatchSampler(1000, 32, 0, lengths, same_length=True)
    seen = torch.zeros(1000)
    for number in range(100):
        batches = epoch(order, number)
        assert (lengths[batches] == lengths[batches][:, :1]).all()
        seen += batches.flatten().bincount(minlength=1000)
    seen /= 100 * order.epoch_steps * 32 / 1000
    assert (seen - 1).abs().max() < 0.3  # once an epoch on average, whatever the length


def test_a_length_of_fewer_sentences_than_a_batch_is_not_forgotten():
    lengths = torch.tensor([3] * 60 + [9] * 4)
    order = BatchSampler(64, 16, 0, lengths, same_length=True)
    batches = torch.cat([epoch(order, number) for number in range(60)])
    share = (lengths[batches[:, 0]] == 9).float().mean()
    assert 0.03 < share < 0.1  # its share is 1/16


@pytest.mark.parametrize(("n", "size"), [(3, 4), (0, 1), (5, 0)])
def test_less_than_a_batch_is_refused(n, size):
    with pytest.raises(ValueError, match=rf"batch_size is {size} and there are {n} training examples.*try"):
        BatchSampler(n, size, 0)


def test_one_length_needs_lengths():
    with pytest.raises(ValueError, match="only sentences"):
        BatchSampler(8, 2, 0, same_length=True)


def test_nothing_is_seen_twice_in_an_epoch_where_every_length_fills_its_batches():
    lengths = torch.tensor([3, 9]).repeat(64)
    assert len(epoch(BatchSampler(128, 16, 0, lengths, same_length=True)).unique()) == 128
