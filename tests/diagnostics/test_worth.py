import pytest
import torch
from closed_forms import close, data, normals, toy

from buttress.diagnostics.worth import derangement, worth


@pytest.mark.parametrize("progress", [0.3, 0.7, 1.0])
def test_worth_agrees_with_the_linear_vae(progress):
    model, batches = data(2000)
    vae = model.lagging(progress)
    found = worth(vae, batches)
    assert close(found.shuffled, vae.worth_shuffled()) and close(found.prior, vae.worth_prior())
    assert found.shuffled.error < 0.05 * vae.worth_shuffled()


def test_a_decoder_that_ignores_z_finds_it_worth_exactly_nothing():
    found = worth(toy(lambda x: normals(x), latents=3), [torch.randn(50, 3)])
    assert (found.shuffled.value, found.prior.value) == (0.0, 0.0)


@pytest.mark.parametrize("n", [2, 3, 10, 501])
def test_every_example_reads_the_z_of_another(n):
    orders = [derangement(n, seed=3, number=k) for k in range(5)]
    for order in orders:
        assert sorted(order.tolist()) == list(range(n)) and not (order == torch.arange(n)).any()
    assert n < 4 or any(not torch.equal(orders[0], order) for order in orders[1:])


def test_x_is_never_put_together_across_batches():
    """Sentences of different widths: only z is shuffled."""
    seen = set()

    def log_likelihood(x, z):
        seen.add(x.shape[1])
        return z.sum(-1) * 0 - x.sum(-1)

    batches = [torch.ones(5, 3, dtype=torch.int64), torch.ones(4, 7, dtype=torch.int64)]
    model = toy(lambda x: normals(x.sum(-1, keepdim=True).float()), log_likelihood=log_likelihood)
    assert worth(model, batches).shuffled.value == 0.0
    assert seen == {3, 7}


def test_the_errors_are_paired():
    """A huge constant of each example must not blur what z is worth."""
    x = torch.randn(300, 1)

    def log_likelihood(x, z):
        return -1e4 * x.abs().sum(-1) - 0.5 * (z - x).square().sum(-1)

    found = worth(toy(lambda x: normals(x, 0.1), log_likelihood=log_likelihood), [x]).shuffled
    assert found.error < 0.2 and close(found, x.var().item())


def test_its_standard_error_is_honest():
    model, _ = data()
    vae, values = model.lagging(0.5), []
    for seed in range(60):
        values.append(worth(vae, [model.sample(200, seed=seed)[0]], seed=seed).shuffled)
    spread = torch.tensor([v.value for v in values]).std().item()
    assert spread == pytest.approx(sum(v.error for v in values) / 60, rel=0.35)
