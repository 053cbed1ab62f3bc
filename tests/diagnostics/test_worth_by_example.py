"""A few examples that use z fully, and all that use it a little."""

import pytest
import torch
from closed_forms import normals, toy
from torch.distributions import Normal

from buttress.diagnostics.diagnose import diagnose
from buttress.diagnostics.estimators.worth import worth
from buttress.diagnostics.estimators.worth_by_example import concentration, share_used, top_worth
from buttress.diagnostics.reference import LinearGaussian

LOSS = 20.0


def few(n=2000, every=100, noise=0.3):
    """One example in a hundred has a bit of its own in z, whose loss costs 20 nats; the others have a default z.

    Reading the z of the few costs the others 20 nats too. All read noise of z, which tells them nothing.
    """
    x = torch.randn(n, 3)
    x[:, 2] = (torch.arange(n) % every == 0).float()

    def q(x):
        special = x[:, 2:]
        return normals(4 * special * x[:, :1].sign(), torch.where(special > 0, 0.1, 1.0))

    def log_likelihood(x, z):
        special, code = x[:, 2], 4 * x[:, 0].sign() * x[:, 2]
        wrong = (z[..., 0] - code).abs() > torch.where(special > 0, 1.5, 3.7)
        return noise * z[..., 0] * x[:, 1] * (1 - special) - LOSS * wrong

    return toy(q, log_likelihood=log_likelihood), list(x.split(700))


def test_the_few_that_use_z_are_seen_beside_a_small_mean():
    model, batches = few(noise=0.05)
    found = worth(model, batches)
    assert found.shuffled.value < 0.6
    share, top, third = (measure(found.losses) for measure in (share_used, top_worth, concentration))
    assert -0.05 < share.value < 0.1 and abs(top.value - LOSS) < max(3 * top.error, 2.0)
    assert third.value < 0.015 and third.error < 0.02


def test_where_all_use_z_the_share_is_near_1_and_nobody_carries_all():
    model = LinearGaussian.random(8, 3, 0.5)
    loss = worth(model.vae(), [model.sample(800)[0]]).losses
    assert share_used(loss).value > 0.98
    third = concentration(loss)
    assert 0.15 < third.value < 0.34 and third.error < 0.05
    assert top_worth(loss).value > loss.mean()


@pytest.mark.parametrize(("every", "share"), [(1, 1 - 0.5**4), (100, 0.02), (1000, 0.002)])
def test_the_share_is_that_of_those_who_use_z(every, share):
    """Of those that all use a bit, one in sixteen meets its own bit in all four rounds."""
    model, batches = few(every=every)
    found = share_used(worth(model, batches).losses)
    assert found.value == pytest.approx(share, abs=4 * found.error)


def test_noise_of_z_that_is_read_and_tells_nothing_is_no_use():
    """The decoder reads z, but q is the same for all x."""
    model = toy(
        lambda x: normals(torch.zeros(len(x), 1)), log_likelihood=lambda x, z: Normal(z, 0.5).log_prob(x).sum(-1)
    )
    loss = worth(model, [torch.randn(1000, 1)]).losses
    share, top, third = share_used(loss), top_worth(loss), concentration(loss)
    assert loss.abs().mean() > 1 and abs(share.value) < 4 * share.error and abs(top.value) < 4 * top.error
    assert third.value is None and "nothing beyond the noise" in third.note


def test_a_decoder_that_ignores_z_gives_exactly_nothing():
    loss = worth(toy(lambda x: normals(x), latents=3), [torch.randn(50, 3)]).losses
    assert [measure(loss).value for measure in (share_used, top_worth, concentration)] == [0.0, 0.0, None]


def test_a_single_round_ranks_nothing():
    found = diagnose(*few(n=300), nll_samples=0, gap_steps=0, samples=1).estimates
    assert found["share_used"].value is not None
    assert "raise samples" in found["worth_top_percent"].note and found["worth_concentration"].value is None


def test_errors_are_honest():
    loss = [torch.randn(4, 300) + torch.randn(300).abs() for _ in range(60)]
    for measure in (share_used, top_worth, concentration):
        found = [measure(one) for one in loss]
        spread = torch.tensor([f.value for f in found]).std().item()
        assert 0.6 < sum(f.error for f in found) / 60 / spread < 1.7, measure
