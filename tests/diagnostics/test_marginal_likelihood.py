import math

import pytest
import torch
from closed_forms import close, data, normals, toy

from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.estimators.marginal_likelihood import (
    bits_per_dim,
    likelihoods,
    log_weights,
    marginal_likelihood,
    perplexity,
)
from buttress.diagnostics.estimators.rate import bound
from buttress.diagnostics.evaluation import evaluating
from buttress.diagnostics.passes import passes
from buttress.diagnostics.protocol import Adapter
from buttress.diagnostics.reference import LinearGaussian


def test_at_the_exact_posterior_every_log_weight_is_the_log_marginal():
    model, batches = data()
    for x in batches:
        with evaluating(model) as asked:
            weight = torch.cat([log_weights(asked, block, 5) for block in passes(asked, [x])], 1)
        assert torch.allclose(weight, model.log_marginal(x).expand_as(weight), atol=1e-5)
    found = likelihoods(model, batches, samples=7)
    assert found.effective.value == pytest.approx(7)
    assert found.estimate.value == pytest.approx(-model.log_marginal(torch.cat(batches)).mean().item(), abs=1e-5)


def test_the_bound_rises_from_the_elbo_to_the_log_marginal():
    model, batches = data(200)
    vae, x = model.lagging(0.7), torch.cat(batches)
    values = [-marginal_likelihood(vae, batches, samples=k).value for k in (1, 4, 32, 256)]
    assert values == sorted(values)
    assert close(marginal_likelihood(vae, batches, samples=1), -vae.elbo(x).mean().item())
    truth = model.log_marginal(x).mean().item()
    assert values[-1] == pytest.approx(truth, abs=0.1) and vae.elbo(x).mean().item() < truth - 1


def test_more_samples_do_help_below_and_above_the_batch_size():
    """An estimator that ignores its number of samples below the batch size would print one number twice."""
    model, batches = data(60)
    found = {k: marginal_likelihood(model.lagging(0.5), batches, samples=k) for k in (1, 2, 20, 300)}
    assert len({round(f.value, 6) for f in found.values()}) == 4
    assert all(f"k = {k}" in f.note for k, f in found.items())


def counting(calls):
    def log_likelihood(x, z):
        calls.append(z.shape[0] * z.shape[1])
        return -(z - x).square().sum(-1)

    return toy(lambda x: normals(x), latents=2, log_likelihood=log_likelihood)


@pytest.mark.parametrize(("samples", "n"), [(1, 10), (7, 10), (500, 30), (1000, 3)])
def test_exactly_so_many_samples_are_decoded_and_never_many_at_once(samples, n):
    calls = []
    likelihoods(counting(calls), [torch.zeros(n, 2)], samples=samples)
    assert sum(calls) == samples * n and max(calls) <= 256


def test_memory_does_not_grow_with_samples_times_examples():
    """500 samples of 1000 images, as shapes: no tensor that a decoder sees may hold more than a few images at once."""
    sizes = []

    def log_likelihood(x, z):
        sizes.append(z.shape[0] * z.shape[1] * x[0].numel())
        return z.sum(-1)

    model = toy(lambda x: normals(torch.zeros(len(x), 1)), log_likelihood=log_likelihood)
    likelihoods(model, [torch.zeros(1000, 1, 28, 28)], samples=50)
    assert max(sizes) * 4 * 64 < 100e6  # 64 channels in float32


def test_a_random_part_of_the_data_is_stated_and_fair():
    model, batches = data(400)
    x = torch.cat(batches)
    x = x[model.log_marginal(x).argsort()]  # sorted, as text is by length
    found = marginal_likelihood(model, list(x.split(50)), samples=1, examples=100)
    assert found.n == 100 and close(found, -model.log_marginal(x).mean().item())


def test_a_single_sample_is_an_elbo_at_a_sample():
    model, batches = data(300)
    vae = model.lagging(0.4)
    assert close(bound(vae, batches, samples=1).elbo, -marginal_likelihood(vae, batches, samples=1).value, errors=6)


def test_none_or_fewer_samples_are_refused():
    model, batches = data(10)
    with pytest.raises(ValueError, match="samples is 0"):
        likelihoods(model, batches, samples=0)


def test_bits_per_dimension():
    found = bits_per_dim(Estimate(784 * math.log(2), 784.0, 10, "m"), 784)
    assert found.value == pytest.approx(1.0) and found.error == pytest.approx(1 / math.log(2))
    with pytest.raises(ValueError, match="dims is 0"):
        bits_per_dim(found, 0)


def uniform_words(vocabulary):
    """Every token has the same probability, z or not; padding is 0."""
    return Adapter(
        posterior=lambda x: normals(torch.zeros(len(x), 1)),
        prior=lambda: normals(torch.zeros(1)),
        log_likelihood=lambda x, z: (-(x != 0).sum(-1) * math.log(vocabulary)).float().expand(z.shape[:2]),
    )


def test_perplexity_of_uniform_words_is_the_vocabulary_whatever_the_padding():
    narrow, wide = torch.tensor([[4, 2], [2, 0]]), torch.tensor([[4, 5, 2, 0, 0], [6, 6, 6, 2, 0]])
    found = likelihoods(uniform_words(50), [narrow, wide], samples=3)
    assert found.tokens.tolist() == [2, 1, 3, 4]
    assert perplexity(found).value == pytest.approx(50)
    assert perplexity(found).error == pytest.approx(0, abs=1e-4)
    assert perplexity(found, tokens_per_example=2.5).value == pytest.approx(50)
    with pytest.raises(ValueError, match="0 predicted tokens"):
        perplexity(found, tokens_per_example=0.0)


@pytest.mark.parametrize(("progress", "samples"), [(0.0, 100), (0.8, 16)])
def test_how_loose_the_bound_is_and_how_far_the_elbo_lies_below_it(progress, samples):
    rough = LinearGaussian.random(10, 4, 0.3)
    x, _ = rough.sample(200)
    model = rough.lagging(progress)
    found = likelihoods(model, [x], samples=samples)
    excess = (found.nll + rough.log_marginal(x)).mean().item()
    assert 0.5 * excess < found.looseness.value < 2 * excess  # 7.4 and 0.9 nats
    kl = (rough.log_marginal(x) - model.elbo(x)).mean().item()
    assert 0.75 * kl < found.bound_gap.value < kl  # what it lacks is the looseness of the NLL
    assert f"is about {found.looseness.value:.2g} nats lower: raise nll_samples" in found.estimate.note or progress


def test_an_exact_q_leaves_nothing_between_the_elbo_and_the_nll():
    model, batches = data()
    found = likelihoods(model.vae(), batches, samples=50)
    assert abs(found.bound_gap.value) < 1e-4 and abs(found.looseness.value) < 1e-4
    assert "raise nll_samples" not in found.estimate.note
