"""Noise is a function of (seed, step) and does not depend on how many processes share the batch."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch

from buttress.runtime.randomness import draw, noise, seed_step, shard


@pytest.mark.parametrize("batch_dim", [0, 1])
def test_shards_together_are_the_whole_draw(batch_dim):
    shape = [2, 2, 3]
    whole_shape = list(shape)
    whole_shape[batch_dim] = 6
    torch.manual_seed(1)
    whole = draw(torch.randn, whole_shape, batch_dim)
    pieces = []
    for rank in range(3):
        torch.manual_seed(1)
        with shard(rank, 3):
            pieces.append(draw(torch.randn, shape, batch_dim))
    assert torch.equal(torch.cat(pieces, batch_dim), whole)


def test_a_step_can_be_drawn_again_and_steps_and_seeds_differ():
    def first(seed, step):
        seed_step(seed, step)
        return torch.rand(3).tolist()

    assert first(0, 5) == first(0, 5)
    seen = [tuple(first(seed, step)) for seed in range(5) for step in range(5)]
    assert len(set(seen)) == 25


def test_the_shard_ends_with_its_context():
    with pytest.raises(RuntimeError), shard(1, 2):
        raise RuntimeError
    assert draw(torch.ones, (4, 1)).shape == (4, 1)


def test_the_noise_of_an_example_is_that_of_a_generator_of_its_own():
    found = noise(torch.tensor([5, 0, 5, 2**40]), 2, (3,), seed=4, stream="mine")
    for row, number in enumerate([5, 0, 5, 2**40]):
        bits = np.random.Philox(key=[4, zlib.crc32(b"mine")], counter=[0, 0, 0, number])
        wanted = np.random.Generator(bits).standard_normal((2, 3), dtype=np.float32)
        assert torch.equal(found[:, row], torch.from_numpy(wanted))
