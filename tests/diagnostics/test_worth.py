import pytest
import torch
from closed_forms import close, data, normals, toy
from torch.distributions import Normal

from buttress.diagnostics.estimators.worth import derangement, paired_error, worth


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


@pytest.mark.parametrize("samples", [4, 32])
def test_its_standard_error_counts_what_an_example_costs_others(samples):
    """Every z is read by as many others as its own example reads: half of the error comes from there."""
    model = toy(lambda x: normals(x, 0.1), log_likelihood=lambda x, z: Normal(z, 0.5).log_prob(x).sum(-1))
    found = [worth(model, [torch.randn(60, 1)], samples=samples, seed=k).shuffled for k in range(300)]
    spread = torch.tensor([f.value for f in found]).std().item()
    assert 0.85 < sum(f.error for f in found) / 300 / spread < 1.2


def test_its_standard_error_is_that_of_all_pairs_of_related_losses():
    loss, other = torch.randn(3, 9).double(), torch.stack([derangement(9, seed=1, number=k) for k in range(3)])
    edges = [({n, int(other[s, n])}, loss[s, n] - loss.mean()) for s in range(3) for n in range(9)]
    related = [(r * q).item() for e, r in edges for f, q in edges if e & f]
    assert paired_error(loss, other) == pytest.approx((sum(related) / (27**2 - len(related))) ** 0.5)


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_a_few_examples_have_no_error_or_a_positive_one(n):
    for seed in range(20):
        other = torch.stack([derangement(n, seed, number=k) for k in range(2)])
        error = paired_error(torch.randn(2, n).double(), other)
        assert error is None if n < 4 else error is None or error > 0
