"""Laws of models whose numbers are rounded, over every decoder and encoder of the catalogue."""

from __future__ import annotations

import pytest
import torch

from buttress.core.autoregressive import AutoregressiveModule
from buttress.core.batch import rows_of
from buttress.core.model import LatentVariableModel
from buttress.objectives.elbo import ELBO
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.priors.standard_normal import StandardNormal
from cells import SPECS, fits, given_for, raw_data, tiny


def cells():
    """(spec, encoder, decoder, likelihood): a tiny instance of every decoder, and of every encoder."""
    for name in ("image", "text", "table", "wave"):
        encoders, decoders, likelihoods = (first(room, SPECS[name]) for room in ("encoders", "decoders", "likelihoods"))
        yield from ((name, encoders[0], decoder, likelihoods[0]) for decoder in decoders)
        yield from ((name, encoder, decoders[0], likelihoods[0]) for encoder in encoders[1:])


def first(room, spec):
    """The first tiny instance of every part that fits."""
    return list({part.name(): part for part in reversed(tiny(room)) if fits(part, spec)}.values())[::-1]


@pytest.fixture(params=list(cells()), ids=lambda cell: "-".join([cell[0], *(p.name() for p in cell[1:])]))
def cell(request):
    """A model with numbers of four bits whose ranges are known, and data it has observed."""
    name, encoder, decoder, likelihood = request.param
    spec = SPECS[name]
    torch.manual_seed(0)
    try:
        model = LatentVariableModel(spec, encoder, GaussianPosterior(2), StandardNormal(), decoder, likelihood)
    except ValueError as refusal:
        if not any(part.name() in str(refusal) for part in (encoder, decoder, likelihood)):
            raise
        pytest.skip(f"does not fit, and says so: {refusal}")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    raw = raw_data(spec, likelihood)
    x, given = model.observe(raw), given_for(spec, raw)
    model.quantize(bits=4, after=0)
    for _ in range(3):
        model(x, given=given)
        model.after_step()
    return model, x, given


def test_gradients_reach_every_parameter_that_had_one(cell):
    model, x, given = cell
    ELBO()(model(x, given=given), 0).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


def test_no_example_hears_of_its_neighbours_and_evaluation_changes_nothing(cell):
    model, x, given = cell
    model.eval()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    torch.manual_seed(1)
    z = model.posterior(x, given).sample((2,))
    whole = model.log_likelihood(x, z, given)
    alone = [
        model.log_likelihood(x[i : i + 1], z[:, i : i + 1], rows_of(given, slice(i, i + 1))) for i in range(len(x))
    ]
    torch.testing.assert_close(whole, torch.cat(alone, 1), rtol=1e-3, atol=1e-3)
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())


def test_cached_sampling_equals_the_naive_loop(cell):
    """With the same rounded numbers at every place."""
    model, _, _ = cell
    if not isinstance(model.decoder, AutoregressiveModule):
        pytest.skip("not autoregressive")
    p = model.eval().decode(torch.randn(3, *model.space.shape))
    torch.manual_seed(2)
    cached = p.sample()
    torch.manual_seed(2)
    torch.testing.assert_close(cached, p.sample_naively(), rtol=1e-4, atol=1e-4)
