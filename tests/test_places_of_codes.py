"""Where the codes of a sequence stand in what is decoded: by the stride of the encoder that made them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from buttress.baseline import baseline
from buttress.core import DataSpec, Layout, remedy
from buttress.data.sounds import Sounds
from buttress.decoders._sequence import SequenceModule
from buttress.decoders.causal_conv import CausalConv
from buttress.likelihoods.gaussian import GaussianLikelihood
from cells import decoders

SPEC = DataSpec(Layout.frames(2, longest=101))
SEQUENCES = [
    pytest.param(part, id=part.name())
    for part in {part.name(): part for kind, part, _ in decoders() if kind == "frames"}.values()
    if isinstance(part.build(SPEC, (3,), GaussianLikelihood().build(SPEC)), SequenceModule)
]


def model(stride=4):
    recipe = baseline(Sounds("speech"), SPEC)
    recipe = replace(recipe, decoder=CausalConv(channels=4, layers=2))
    return remedy.apply(f"speech_codes:stride={stride}:codes=5:dim=3:width=4", recipe).model(SPEC)


def test_a_code_stands_for_the_places_that_its_encoder_strides_over():
    decoder = model().decoder
    assert decoder.steps == 26
    assert decoder.at(101).tolist() == [place // 4 for place in range(101)]


@pytest.mark.parametrize("stride", [2, 4, 8, 64])
def test_no_place_within_the_true_length_reads_a_code_from_behind_its_end(stride):
    lengths = torch.arange(1, 102)
    made = model(stride)
    inside = made.codes_inside({"lengths": lengths}).flatten(1).sum(1)
    assert all(made.decoder.at(int(size)).max() < count for size, count in zip(lengths, inside, strict=True))


@pytest.mark.parametrize("part", SEQUENCES)
def test_the_cached_loop_reads_codes_where_the_naive_one_does(part):
    torch.manual_seed(0)
    spec = DataSpec(Layout.frames(2, longest=9))
    module = part.build(spec, (2, 3), GaussianLikelihood().build(spec)).double()
    module.spaced(8)  # evenly spread, the second code would begin four places before
    p = module(torch.randn(5, 2, 3, dtype=torch.float64))
    drawn = []
    for sample in (p.sample, p.sample_naively):
        torch.manual_seed(1)
        drawn.append(sample())
    torch.testing.assert_close(*drawn)


def test_weights_saved_before_strides_were_read_codes_as_they_did_in_training():
    made = model()
    weights = {name: value for name, value in made.state_dict().items() if name != "decoder.stride"}
    made.load_state_dict(weights)
    assert made.decoder.at(101).tolist() == [place * 26 // 101 for place in range(101)]


def test_a_stride_that_does_not_lead_to_so_many_places_is_no_stride_of_theirs():
    module = CausalConv(channels=4, layers=1).build(SPEC, (26, 3), GaussianLikelihood().build(SPEC))
    module.spaced(1)
    assert module.at(101)[-1] == 25
