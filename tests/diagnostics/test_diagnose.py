"""A plain PyTorch VAE that knows nothing of buttress is diagnosed, and so are ours."""

import numpy as np
import pytest
import torch
from closed_forms import data
from torch import nn
from torch.distributions import Bernoulli, Independent, Normal

from buttress.diagnostics.diagnose import check_effort, diagnose
from buttress.diagnostics.protocol import Adapter

# --- a plain VAE and its training loop, as anybody writes them ---


class VAE(nn.Module):
    def __init__(self, pixels, latents, hidden=64):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(pixels, hidden), nn.Tanh(), nn.Linear(hidden, 2 * latents))
        self.decoder = nn.Sequential(nn.Linear(latents, hidden), nn.Tanh(), nn.Linear(hidden, pixels))
        self.bias = nn.Parameter(torch.zeros(pixels))

    def encode(self, x):
        mu, log_var = self.encoder(x).chunk(2, dim=1)
        return mu, log_var

    def loss(self, x, beta):
        mu, log_var = self.encode(x)
        z = mu + (0.5 * log_var).exp() * torch.randn_like(mu)
        reconstruction = nn.functional.binary_cross_entropy_with_logits(
            self.decoder(z) + self.bias, x, reduction="none"
        ).sum(1)
        kl = 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(1)
        return (reconstruction + beta * kl).mean()


def train(x, beta=1.0, steps=600):
    vae = VAE(x.shape[1], 3)
    optimiser = torch.optim.Adam(vae.parameters(), lr=5e-3)
    for _ in range(steps):
        optimiser.zero_grad()
        vae.loss(x[torch.randint(len(x), (100,))], beta).backward()
        optimiser.step()
    return vae


# --- and what it takes to diagnose it ---


def adapted(vae):
    def posterior(x):
        mu, log_var = vae.encode(x)
        return Independent(Normal(mu, (0.5 * log_var).exp()), 1)

    def log_likelihood(x, z):
        return Bernoulli(logits=vae.decoder(z) + vae.bias).log_prob(x).sum(-1)

    return Adapter(posterior, lambda: Independent(Normal(torch.zeros(3), torch.ones(3)), 1), log_likelihood, module=vae)


def stripes(n):
    """Binary images of 36 pixels in 8 kinds, every pixel flipped with probability 0.1: ln 8 nats to know."""
    kinds = (torch.rand(8, 36, generator=torch.Generator().manual_seed(9)) > 0.5).float()
    flips = (torch.rand(n, 36) < 0.1).float()
    return (kinds[torch.randint(8, (n,))] - flips).abs()


def look(vae, x, **settings):
    return diagnose(adapted(vae), list(x.split(64)), dims=36, nll_samples=50, gap_examples=60, gap_steps=60, **settings)


@pytest.fixture(scope="module")
def images():
    torch.manual_seed(0)
    return stripes(3000), stripes(400)


def test_a_plain_vae_uses_its_latents(images):
    evidence = look(train(images[0]), images[1])
    found = {name: e.value for name, e in evidence.estimates.items()}
    assert evidence.verdict.state == "used" and evidence.verdict.advice == ()
    assert 1.5 < found["mutual_information"] < 4 and found["worth_shuffled"] > found["mutual_information"]
    assert found["elbo"] <= -found["nll"] and found["effective_beta"] == pytest.approx(1, abs=0.4)
    best = 36 * 0.325 + 2.08  # entropy of the flips, and of the kind
    assert best - 1 < found["nll"] < best + 3
    assert evidence.kind == "table" and found["bits_per_dim"] == pytest.approx(found["nll"] / 36 / 0.6931, rel=1e-3)


def test_the_same_vae_under_a_heavy_rate_collapses_and_the_model_is_to_blame(images):
    evidence = look(train(images[0], beta=30.0), images[1])
    assert (evidence.verdict.state, evidence.verdict.cause) == ("collapsed", "the model ignores z")
    assert evidence.estimates["active_units"].value == 0


def test_a_good_decoder_behind_a_forgotten_encoder_lags(images):
    vae = train(images[0])
    with torch.no_grad():
        for parameter in vae.encoder[2].parameters():
            parameter.zero_()  # q is the prior now
    verdict = look(vae, images[1], beta=1.0).verdict  # of a loss that is not known it might be an averaged one
    assert (verdict.state, verdict.cause, verdict.advice[0]) == ("collapsed", "inference lags", "aggressive")


def test_without_a_rate_it_is_an_autoencoder(images):
    evidence = look(train(images[0], beta=0.0), images[1])
    assert evidence.verdict.state == "degenerate to a deterministic autoencoder"


def test_sentences_of_different_widths():
    embedding = torch.randn(9, 9)

    def log_likelihood(x, z):
        scores = (z @ embedding[:2])[..., None, :].expand(*z.shape[:2], x.shape[1], 9)
        each = scores.log_softmax(-1).gather(-1, x.expand(*z.shape[:2], -1)[..., None])[..., 0]
        return (each * (x != 0)).sum(-1)

    model = Adapter(
        posterior=lambda x: Independent(Normal(embedding[x].mean(1)[:, :2], 0.5), 1),
        prior=lambda: Independent(Normal(torch.zeros(2), torch.ones(2)), 1),
        log_likelihood=log_likelihood,
    )
    words = [torch.randint(2, 9, (30, 4)), torch.randint(2, 9, (20, 11))]
    words[0][:10, 2:] = 0
    evidence = diagnose(model, words, nll_samples=20, gap_steps=5)
    assert evidence.kind == "text" and "bits_per_dim" not in evidence.estimates
    nll, perplexity = evidence.estimates["nll"], evidence.estimates["perplexity"]
    tokens = sum(int((x != 0).sum()) for x in words)
    assert perplexity.value == pytest.approx(torch.tensor(nll.value * 50 / tokens).exp().item(), rel=1e-5)
    total = diagnose(model, words, nll_samples=20, gap_steps=0, tokens=tokens).estimates["perplexity"]
    assert total.value == pytest.approx(perplexity.value)


def test_ours_need_no_adapter():
    from buttress.core import DataSpec, Layout
    from buttress.core.model import LatentVariableModel
    from buttress.decoders.mlp import MlpDecoder
    from buttress.encoders.mlp import MlpEncoder
    from buttress.likelihoods.bernoulli import Bernoulli as Pixels
    from buttress.posteriors.gaussian import GaussianPosterior
    from buttress.priors.standard_normal import StandardNormal

    model = LatentVariableModel(
        DataSpec(Layout.image(1, 4, 4)),
        MlpEncoder(),
        GaussianPosterior(dim=3),
        StandardNormal(),
        MlpDecoder(),
        Pixels(),
    )
    x = model.observe(torch.randint(0, 256, (20, 1, 4, 4), dtype=torch.uint8))
    evidence = diagnose(model, [x], nll_samples=3, gap_steps=2)
    assert evidence.kind == "image" and evidence.groups.names == model.groups
    assert "16 dimensions" in evidence.estimates["bits_per_dim"].note
    assert "uniform noise" not in evidence.estimates["bits_per_dim"].note


def test_bits_of_images_of_real_numbers_say_when_they_mean_anything():
    exact, _ = data(4)
    vae, x = exact.vae(), exact.sample(40)[0]
    images = [torch.nn.functional.pad(x, (0, 1)).reshape(40, 1, 2, 3)]
    model = Adapter(
        lambda x: vae.posterior(x.flatten(1)[:, :5]),
        vae.prior,
        lambda x, z: vae.log_likelihood(x.flatten(1)[:, :5], z),
    )
    noted, without = (diagnose(model, images, dims=dims, nll_samples=2, gap_steps=0).estimates for dims in (None, 0))
    assert "comparable only if" in noted["bits_per_dim"].note and "bits_per_dim" not in without


@pytest.mark.parametrize("form", [np.asarray, list, torch.tensor, lambda y: np.asarray(y, np.float64)])
def test_labels_of_any_form_are_read(form):
    model, batches = data(60)
    found = diagnose(model, batches, labels=form([0, 1] * 30), nll_samples=0, gap_steps=0).estimates
    assert found["label_accuracy_chance"].value == 0.5 and found["label_accuracy"].value is not None


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"labels": [0] * 59}, r"shape \(59,\) for 60 examples"),
        ({"labels": ["a"] * 60}, r"got a list that is no array of numbers.*return_inverse"),
        ({"labels": np.linspace(0, 1, 60)}, "real numbers"),
        ({"groups": ["a", "b", "c"]}, r"got 3 names for a z of shape \(2,\), wanted a list of 2 names"),
        ({"groups": "ab"}, "got the text 'ab'"),
        ({"seed": -1}, r"seed is -1, wanted 0 or more and below 2\*\*62"),
        ({"seed": 2**64}, r"seed is 18446744073709551616, wanted 0 or more and below 2\*\*62"),
        ({"samples": 0}, "samples is 0, wanted at least 1$"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_measured(setting, message):
    model, batches = data(60)

    def progress(*stage):
        raise AssertionError(f"{stage} was reached")

    with pytest.raises(ValueError, match=message):
        diagnose(model, batches, **setting, progress=progress)


def test_efforts_say_what_leaves_them_out():
    with pytest.raises(ValueError, match="gap_steps is -1, wanted at least 0, which leaves it out"):
        check_effort({"gap_steps": -1})
