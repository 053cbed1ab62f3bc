"""Decoders under which sites are independent given z: mlp and conv."""

import pytest
import torch
from torch import nn

from buttress.core import DataSpec, Decoder, DecoderModule, Layout, Likelihood
from buttress.core.registry import parts
from buttress.decoders.conv import ConvDecoder
from buttress.decoders.mlp import MlpDecoder
from buttress.likelihoods.bernoulli import Bernoulli
from buttress.likelihoods.categorical import Categorical
from buttress.likelihoods.gaussian import GaussianLikelihood
from buttress.likelihoods.logistic_mixture import LogisticMixture

Z = (3,)
IMAGE = DataSpec(Layout.image(2, 5, 6), mean=torch.full((2, 5, 6), 90.0))
TABLE = DataSpec(Layout.table(4), mean=torch.tensor([1.0, 20, -3, 0]), std=torch.tensor([0.5, 2, 1, 4]))
EVERY: list[tuple[Decoder, Likelihood, DataSpec]] = [
    *[
        (decoder, likelihood, IMAGE)
        for decoder in (MlpDecoder(hidden=(6,)), ConvDecoder(widths=(4, 3)), ConvDecoder(widths=(4,), blocks=0))
        for likelihood in (
            Bernoulli(),
            GaussianLikelihood(),
            GaussianLikelihood(learned="per_site"),
            LogisticMixture(2),
            Categorical(4),
        )
    ],
    *[
        (MlpDecoder(hidden=hidden), likelihood, TABLE)
        for hidden in ((6,), ())
        for likelihood in GaussianLikelihood.tiny()
    ],
    (MlpDecoder(), Bernoulli("none"), DataSpec(Layout.table(4), mean=torch.full((4,), 0.3))),
]


def label(value: object) -> str:
    return value.kind if isinstance(value, DataSpec) else str(value)


def build(decoder: Decoder, likelihood: Likelihood, spec: DataSpec) -> DecoderModule:
    return decoder.build(spec, Z, likelihood.build(spec))


@pytest.mark.parametrize(("decoder", "likelihood", "spec"), EVERY, ids=label)
def test_samples_broadcast_over_examples_which_stay_apart(decoder, likelihood, spec):
    assert not decoder.misfit(spec.layout) and decoder.name() in parts("decoders") and not decoder.autoregressive
    module = build(decoder, likelihood, spec)
    z = torch.randn(2, 3, *Z)
    p = module(z)
    assert (p.batch_shape, p.event_shape) == ((2, 3), spec.shape)
    x = module(z[0]).sample()
    assert x.shape == (3, *spec.shape) and p.sample().shape == (2, 3, *spec.shape)
    log_prob = p.log_prob(x)
    assert log_prob.shape == (2, 3)
    for s in range(2):
        for b in range(3):
            torch.testing.assert_close(module(z[s, b]).log_prob(x[b]), log_prob[s, b], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("decoder", "likelihood", "spec"), EVERY, ids=label)
def test_the_loss_of_a_batch_said_twice_is_the_same(decoder, likelihood, spec):
    module = build(decoder, likelihood, spec)
    z = torch.randn(3, *Z)
    x = module(z).sample()
    once = module(z).log_prob(x).mean()
    torch.testing.assert_close(module(z.repeat(2, 1)).log_prob(x.repeat(2, *[1] * len(spec.shape))).mean(), once)


@pytest.mark.parametrize(("decoder", "likelihood", "spec"), EVERY, ids=label)
def test_gradient_reaches_every_parameter_and_z(decoder, likelihood, spec):
    module = build(decoder, likelihood, spec)
    z = torch.randn(4, *Z, requires_grad=True)
    module(z).log_prob(module(z).sample()).sum().backward()
    for name, parameter in [("z", z), *module.named_parameters()]:
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("decoder", [MlpDecoder(hidden=()), ConvDecoder(widths=(4,))], ids=label)
def test_log_prob_is_that_of_the_likelihood_at_the_output(decoder):
    spec = DataSpec(Layout.image(1, 3, 3))
    module = build(decoder, Bernoulli(), spec)
    z, x = torch.randn(4, *Z), torch.randint(0, 2, (4, 1, 3, 3)).float()
    chance = module(z).mean
    by_hand = (chance * x + (1 - chance) * (1 - x)).log().sum((1, 2, 3))
    torch.testing.assert_close(module(z).log_prob(x), by_hand)
    if isinstance(decoder, MlpDecoder):
        linear = (z @ module.out.weight.T + module.out.bias).sigmoid().view(4, 1, 3, 3)
        torch.testing.assert_close(chance, linear)


@pytest.mark.parametrize("part", [MlpDecoder(hidden=(6,)), ConvDecoder(widths=(4, 3))], ids=label)
@pytest.mark.parametrize("likelihood", [Bernoulli(), GaussianLikelihood(), LogisticMixture(3)], ids=label)
def test_a_decoder_starts_at_the_mean_of_the_data(part, likelihood):
    mean = torch.rand(2, 5, 6) * 200 + 20
    module = build(part, likelihood, DataSpec(Layout.image(2, 5, 6), mean=mean))
    for layer in module.modules():  # leave the start alone
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.weight.data.zero_()
    shown = module(torch.randn(2, *Z)).mean[0]
    expected = {Bernoulli: mean / 255, GaussianLikelihood: mean + 0.5, LogisticMixture: mean}[type(likelihood)]
    torch.testing.assert_close(shown, expected)


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 7), (28, 20), (3, 1)])
@pytest.mark.parametrize("widths", [(3,), (5, 4, 3)])
def test_conv_writes_images_of_any_size(size, widths):
    spec = DataSpec(Layout.image(3, *size))
    module = build(ConvDecoder(widths=widths), GaussianLikelihood(), spec)
    z = torch.randn(2, *Z, requires_grad=True)
    mean = module(z).mean
    assert mean.shape == (2, 3, *size)
    spread = module(torch.randn(20, *Z)).mean.std(0)
    assert (spread > 0).all()  # every pixel hears of z


def test_z_may_have_any_shape():
    for part in (MlpDecoder(hidden=(6,)), ConvDecoder(widths=(3,))):
        module = part.build(IMAGE, (2, 3), Bernoulli().build(IMAGE))
        assert module(torch.randn(5, 4, 2, 3)).batch_shape == (5, 4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MlpDecoder(hidden=(0,)), r"hidden is \(0,\)"),
        (lambda: ConvDecoder(widths=()), r"widths is \(\), wanted at least 1"),
        (lambda: ConvDecoder(blocks=-1), "blocks is -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, message: str):
    with pytest.raises(ValueError, match=message):
        make()
