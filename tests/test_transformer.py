"""What a Transformer's places see, forward and by gradient; and that remedies for sentences take it too."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from buttress.baseline import baseline
from buttress.core import BOS, EOS, PAD, DataSpec, Layout, remedy
from buttress.data.lstm_text import LstmText
from buttress.decoders.transformer import TransformerDecoder
from buttress.encoders.transformer import TransformerEncoder
from buttress.likelihoods.categorical import Categorical
from cells import SPECS, given_for, raw_data

SPEC = DataSpec(Layout.text(9, longest=6))
X = torch.tensor([[4, 5, 6, 7, 8, EOS], [5, 4, EOS, PAD, PAD, PAD]])
EACH = pytest.mark.parametrize("skip", [False, True])
ROLES = {"encoder": TransformerEncoder(hidden=8, heads=2), "decoder": TransformerDecoder(hidden=8, heads=2)}


def decoder(z_shape=(3,), **settings):
    part = TransformerDecoder(hidden=8, heads=2, **settings)
    return part.build(SPEC, z_shape, Categorical().build(SPEC)).double().eval()


def slopes(numbers, read):
    """Whether each of ``numbers`` hangs on each place of ``read`` (1, places, size), by gradient."""
    (found,) = zip(*(torch.autograd.grad(one, read, retain_graph=True) for one in numbers), strict=True)
    return torch.stack([one[0].abs().amax(-1) > 1e-12 for one in found])


@EACH
def test_no_word_is_read_at_its_own_step_or_before_by_gradient(skip):
    module, z = decoder(skip=skip), torch.randn(1, 3).double()
    words = module.embed(module.read(X[:1])).detach().requires_grad_()
    out = module.run(words, z, torch.Size((1,))).square().sum(-1)[0]
    assert torch.equal(slopes(out, words), torch.ones(6, 6).tril().bool())


@EACH
def test_z_of_a_position_is_read_from_its_step_on(skip):
    module, z = decoder((6, 2), skip=skip), torch.randn(1, 6, 2).double().requires_grad_()
    out = module.states(z.flatten(1), X[:1]).square().sum(-1)[0]
    assert torch.equal(slopes(out, z), torch.ones(6, 6).tril().bool())


@EACH
@pytest.mark.parametrize("z_shape", [(3,), (6, 2), (2, 2)])
def test_step_by_step_with_what_is_kept_equals_one_pass(skip, z_shape):
    module, z = decoder(z_shape, skip=skip), torch.randn(2, *z_shape).double().flatten(1)
    read, kept = module.read(X), module.begin(z)
    for t in range(6):
        h, kept = module.advance(module.embed(read[:, t]), z, t, kept)
        torch.testing.assert_close(h, module.states(z, X)[:, t])
    torch.manual_seed(1)
    cached = module(z.view(2, *z_shape)).sample((30,))
    torch.manual_seed(1)
    assert torch.equal(module(z.view(2, *z_shape)).sample_naively((30,)), cached)
    assert (cached == EOS).any() and len(cached.flatten(0, 1).unique(dim=0)) > 20


def test_with_skip_every_block_reads_z_by_itself():
    module, z = decoder(skip=True, layers=3), torch.randn(1, 3).double()
    with torch.no_grad():
        module.first.weight.zero_()  # what stands in front of the sentence says nothing
        for layer in module.skips:
            kept = layer.weight.clone()
            for other in module.skips:
                other.weight.mul_(other is layer)
            assert not torch.allclose(module.states(z, X[:1]), module.states(-z, X[:1]))
            layer.weight.zero_()
            torch.testing.assert_close(module.states(z, X[:1]), module.states(-z, X[:1]))
            for other in module.skips:
                other.weight.copy_(kept)


def test_an_encoder_reads_all_true_tokens_or_those_still_to_come():
    for backward, seen in ((False, torch.ones(6, 6)), (True, torch.ones(6, 6).triu())):
        encoder = TransformerEncoder(8, 2, 2, positions=True, backward=backward).build(SPEC).double()
        words = encoder.embedding(X).detach().requires_grad_()
        encoder.embedding.forward = lambda x, words=words: words
        for row, length in ((0, 6), (1, 3)):
            out = encoder(X).square().sum(-1)[row, :length]
            (found,) = zip(*(torch.autograd.grad(one, words, retain_graph=True) for one in out), strict=True)
            hangs = torch.stack([one[row].abs().amax(-1) > 1e-12 for one in found])
            assert torch.equal(hangs[:, :length], seen[:length, :length].bool()) and not hangs[:, length:].any()


def test_a_sentence_without_a_token_still_has_finite_features():
    encoder = TransformerEncoder(8, 2, 2).build(SPEC)
    h = encoder(torch.full((1, 6), PAD))
    h.sum().backward()
    assert h.isfinite().all() and all(p.grad.isfinite().all() for p in encoder.parameters() if p.grad is not None)


def test_both_parts_in_half_precision_and_read_begins_with_bos():
    module = TransformerDecoder(hidden=8, heads=2, skip=True).build(SPEC, (3,), Categorical().build(SPEC))
    z = torch.randn(2, 3)
    with torch.autocast("cpu", torch.bfloat16):
        half = module(z).log_prob(X)
        module(z).sample()
    torch.testing.assert_close(half, module(z).log_prob(X), rtol=0.02, atol=0.2)
    assert (module.read(X)[:, 0] == BOS).all()


@pytest.mark.parametrize(
    "written",
    [
        "word_dropout+pooled_encoder", "inputless_decoder+cosine_regularization", "delta_vae", "aggressive",
        "semi_amortized", "pretrained_autoencoder",
    ],
)  # fmt: skip
def test_remedies_for_sentences_take_it(written):
    spec = SPECS["text"]
    recipe = remedy.apply(written, replace(baseline(LstmText(), spec), **ROLES))
    model = recipe.model(spec).eval()
    x = model.observe(raw_data(spec, recipe.likelihood))
    with torch.no_grad():
        terms = model(x, given=given_for(spec, x))
        for i, size in enumerate(given_for(spec, x)["lengths"].tolist()):  # without its padding, and alone
            own = model(x[i : i + 1, :size], given={"lengths": torch.tensor([size])}).latent.rate
            torch.testing.assert_close(own.sum(-1), terms.latent.rate.sum(-1)[i : i + 1])
