"""Skip connections from z, against the formulas; and dropout inside every decoder that has it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from buttress.baseline import baseline
from buttress.core import DataSpec, Layout, remedy
from buttress.core.autoregressive import AutoregressiveModule
from buttress.data.mnist5k import Mnist5k
from buttress.decoders.conv import ConvDecoder
from buttress.decoders.mlp import MlpDecoder
from buttress.decoders.pixelcnn import PixelCNN
from buttress.decoders.recurrent import RecurrentDecoder
from buttress.likelihoods.bernoulli import Bernoulli
from buttress.likelihoods.categorical import Categorical
from buttress.nn.maps import Broadcast
from buttress.runtime.randomness import shard
from cells import SPECS, fits, raw_data, tiny

Z = (3,)
IMAGE = DataSpec(Layout.image(1, 5, 6))
DROPPED = [
    (name, part.replace(dropout=0.4))
    for name in ("image", "table", "text", "wave")
    for part in tiny("decoders")
    if fits(part, SPECS[name]) and hasattr(part, "dropout") and getattr(part, "hidden", 1) != ()
]


def built(part, spec, likelihood, z_shape=Z):
    return part.build(spec, z_shape, likelihood.build(spec))


def test_an_mlp_with_skip_is_what_the_formula_says():
    module = built(MlpDecoder(hidden=(4, 5), activation="tanh", skip=True), IMAGE, Bernoulli())
    z, (first, second) = torch.randn(2, 7, *Z), (module.net[0], module.net[2])
    h = first(z).tanh()
    h = (second(h) + z @ module.skips[0].weight.T).tanh()
    logits = module.out(h) + z @ module.skips[1].weight.T
    x = torch.bernoulli(torch.rand(7, 1, 5, 6))
    wanted = -F.binary_cross_entropy_with_logits(logits, x.flatten(1).expand(2, 7, -1), reduction="none").sum(-1)
    torch.testing.assert_close(module(z).log_prob(x), wanted)


@pytest.mark.parametrize("z_shape", [(3,), (2, 2, 3)])
def test_every_skip_of_a_conv_decoder_is_a_path_from_z_to_x_of_its_own(z_shape):
    module = built(ConvDecoder(widths=(4, 3), skip=True), IMAGE, Bernoulli(), z_shape)
    z, x = torch.randn(2, *z_shape), torch.ones(2, 1, 5, 6)
    with torch.no_grad():
        for weight in module.lift.parameters():
            weight.zero_()
        kept = [skip.mix.weight.clone() for skip in module.skips]
        for skip, weight in zip(module.skips, kept, strict=True):
            for other in module.skips:
                other.mix.weight.zero_()
            torch.testing.assert_close(module(z).log_prob(x), module(-z).log_prob(x))
            skip.mix.weight.copy_(weight)
            assert not torch.allclose(module(z).log_prob(x), module(-z).log_prob(x))


def test_what_a_map_says_stays_where_it_is():
    spread, z = Broadcast((2, 2, 3), 4), torch.zeros(1, 12)
    plain = spread(z, (8, 6))
    z[0, :3] = 1.0  # its upper left place
    moved = (spread(z, (8, 6)) != plain).any(1)[0]
    assert moved[:4, :3].all() and moved.sum() == 12


def test_the_output_of_an_lstm_with_skip_reads_z_at_its_step():
    spec = SPECS["text"]
    for z_shape in ((3,), (*spec.shape, 2)):
        module = built(RecurrentDecoder(embedding=3, hidden=4, skip=True), spec, Categorical(), z_shape)
        x, z = raw_data(spec, Categorical()), torch.randn(6, *z_shape).flatten(1)
        whole, module_skip = module.states(z, x), module.skip
        module.skip = None
        beside = z.view(6, *z_shape) if len(z_shape) == 2 else z[:, None]
        torch.testing.assert_close(whole, module.states(z, x) + beside @ module_skip.weight.T)


@pytest.mark.parametrize("part", [p for p in tiny("decoders") if getattr(p, "skip", False)], ids=str)
def test_without_skip_weights_start_as_they_did(part):
    """Recipes and trained weights from before there was such a setting keep their meaning."""
    spec = SPECS["text"] if not part.misfit(SPECS["text"].layout) else SPECS["image"]
    likelihood = Categorical() if spec.kind == "text" else Bernoulli()
    torch.manual_seed(0)
    with_skip = built(part, spec, likelihood).state_dict()
    torch.manual_seed(0)
    without = built(part.replace(skip=False), spec, likelihood).state_dict()
    assert without.keys() < with_skip.keys() and not any("skip" in name for name in without)


@pytest.mark.parametrize(("name", "part"), DROPPED, ids=str)
def test_dropout_acts_in_training_only_and_is_the_same_for_two_processes(name, part):
    spec = SPECS[name]
    likelihood = next(one for one in tiny("likelihoods") if fits(one, spec))
    module = built(part, spec, likelihood).double()
    x, z = module.likelihood.observe(raw_data(spec, likelihood)), torch.randn(2, 6, *Z).double()
    plain = module.eval()(z).log_prob(x)
    torch.testing.assert_close(module(z).log_prob(x), plain)
    torch.manual_seed(1)
    whole = module.train()(z).log_prob(x)
    assert not torch.allclose(whole, plain)
    torch.manual_seed(1)
    with shard(1, 2):
        torch.testing.assert_close(module(z[:, 3:]).log_prob(x[3:]), whole[:, 3:])
    if isinstance(module, AutoregressiveModule):
        module.eval()(z).sample()


def test_the_remedies_say_why_they_do_not_fit():
    conv = baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28)))
    both = remedy.apply("skip_decoder+decoder_dropout:rate=0.2", conv)
    assert (both.decoder.skip, both.decoder.dropout) == (True, 0.2)
    with pytest.raises(remedy.DoesNotFit, match="pixelcnn, pixelsnail and causal_conv decoders give z to every layer"):
        remedy.apply("skip_decoder", replace(conv, decoder=PixelCNN()))
    linear = replace(conv, decoder=MlpDecoder(hidden=()))
    with pytest.raises(remedy.DoesNotFit, match="reads z already"):
        remedy.apply("skip_decoder", linear)
    with pytest.raises(remedy.DoesNotFit, match="no hidden layer"):
        remedy.apply("decoder_dropout", linear)
    with pytest.raises(remedy.DoesNotFit, match="rate is 1"):
        remedy.apply("decoder_dropout:rate=1", conv)
    with pytest.raises(ValueError, match=r"dropout is 1\.0"):
        MlpDecoder(dropout=1.0)
