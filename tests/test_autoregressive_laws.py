"""The laws of what a place of x sees, on every decoder that the catalogue finds, with every likelihood that fits it.

Which are autoregressive is read off their base class, and how far a place sees is what they state themselves. The same
laws of priors over codes stand in test_code_priors.py.
"""

from __future__ import annotations

import itertools

import pytest
import torch

from buttress.core import EOS, PAD, UNK, DataSpec, Layout
from buttress.core.autoregressive import AutoregressiveModule
from buttress.decoders.causal_conv import CausalConv
from buttress.likelihoods.categorical import Categorical
from cells import SPECS, decoders, fits, raw_data, tiny

Z = (3,)
MANY = Categorical(levels=300, ordinal=False)
"""More symbols than a byte holds."""
CELLS = [*decoders(), *(("image", part, MANY) for part in tiny("decoders") if fits(part, SPECS["image"]))]


def label(value):
    return value if isinstance(value, str) else value.name()


def built(part, spec, likelihood):
    """A module in float64 with weights away from their initial symmetry."""
    module = part.build(spec, Z, likelihood.build(spec)).double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


def latents(*shape):
    return torch.randn(*shape, *Z, dtype=torch.float64)


def pair(module, likelihood, spec, n=16):
    """Two batches of x that differ at every place for some example; sentences are as long as they may be."""
    if spec.kind == "text":
        return [torch.randint(UNK, spec.vocabulary, (n, *spec.shape)) for _ in range(2)]
    x = module.likelihood.observe(raw_data(spec, likelihood, n))
    x = x.double() if x.is_floating_point() else x
    return [x, x.roll(1, 0)]


def places(spec):
    """The index of each place of x; the values of one place belong together."""
    return list(itertools.product(*map(range, spec.layout.places or spec.shape)))


def at_place(spec, place):
    """The values of x at a place: channels are first in images and last in frames."""
    return (..., *place, slice(None)) if spec.kind == "frames" else (..., *place)


@pytest.fixture(scope="module", params=CELLS, ids=lambda cell: "-".join(map(label, cell)))
def made(request):
    """What all laws of a cell share, with the state of random numbers behind it."""
    name, part, likelihood = request.param
    torch.manual_seed(0)
    try:
        module = built(part, SPECS[name], likelihood)
    except ValueError as refusal:
        if not any(p.name() in str(refusal) for p in (part, likelihood)):
            raise
        pytest.skip(f"does not fit, and says so: {refusal}")
    return part, module, likelihood, SPECS[name], torch.get_rng_state()


@pytest.fixture
def cell(made):
    """As if made for this law alone."""
    *parts, random = made
    torch.set_rng_state(random)
    return parts


def test_a_decoder_says_whether_it_is_autoregressive_and_no_other_lets_a_place_see_another(cell):
    """What it costs to change one place is the same, whatever the others are, where places are independent given z."""
    part, module, likelihood, spec = cell
    assert part.autoregressive == isinstance(module, AutoregressiveModule)
    (x, other), p = pair(module, likelihood, spec), module(latents(16))
    for place in [] if part.autoregressive else places(spec):
        one, rest = x.clone(), other.clone()
        here = at_place(spec, place)
        one[here], rest[here] = other[here], x[here]
        torch.testing.assert_close(p.log_prob(one) - p.log_prob(x), p.log_prob(other) - p.log_prob(rest))


def test_a_place_sees_exactly_the_places_before_it_within_the_stated_radius(cell):
    """Each place is changed in turn: what moves are the parameters of later places that are near enough."""
    _, module, likelihood, spec = cell
    if not isinstance(module, AutoregressiveModule):
        pytest.skip("not autoregressive")
    (x, other), z = pair(module, likelihood, spec), module(latents(16)).z  # as the loops over places read it
    plain, at = module.parameters_of(z, x), torch.tensor(places(spec))
    for number, place in enumerate(places(spec)):
        changed = x.clone()
        changed[at_place(spec, place)] = other[at_place(spec, place)]
        moved = ((module.parameters_of(z, changed) - plain).abs() > 1e-10).any(-1).any(0).flatten()
        later = torch.arange(len(at)) > number
        near = (at - at[number]).abs().amax(-1) <= (max(spec.shape) if module.radius is None else module.radius)
        assert torch.equal(moved, later & near), place


def test_the_cached_loop_draws_what_the_naive_loop_draws(cell):
    _, module, _, spec = cell
    if not isinstance(module, AutoregressiveModule):
        pytest.skip("not autoregressive")
    p = module(latents(2, 3))
    torch.manual_seed(5)
    cached = p.sample((2,))
    torch.manual_seed(5)
    naive = p.sample_naively((2,))
    assert cached.shape == (2, 2, 3, *spec.shape) and cached.unique().numel() > 1
    torch.testing.assert_close(cached, naive, rtol=0, atol=1e-9 if cached.is_floating_point() else 0)


def every(values, shape):
    """All x of a shape that take these values."""
    points = list(itertools.product(values, repeat=torch.Size(shape).numel()))
    x = torch.tensor(points).view(-1, *shape)
    return x.double() if x.is_floating_point() else x


SMALL = {
    "image": DataSpec(Layout.image(1, 2, 2)),
    "colour": DataSpec(Layout.image(2, 1, 2)),
    "text": DataSpec(Layout.text(6, longest=3)),
    "table": DataSpec(Layout.table(3), mean=torch.full((3,), 0.4)),
    "words": DataSpec(Layout.table(2), categories=(3, 3)),
    "wave": DataSpec(Layout.wave(4, levels=3)),
    "frames": DataSpec(Layout.frames(1, longest=2)),
    "labelled": DataSpec(Layout.table(3), mean=torch.full((3,), 0.4)),
}


@pytest.mark.parametrize(("name", "part", "likelihood"), list(decoders()), ids=label)
def test_the_mass_of_all_small_x_is_one(name, part, likelihood):
    """Of images and tables, all; of sentences all that end, and the beginnings of those that do not."""
    spec = SMALL[name]
    try:
        values = likelihood.build(spec).observe(raw_data(spec, likelihood, 200)).unique()
    except ValueError as refusal:
        pytest.skip(f"does not fit, and says so: {refusal}")
    if len(values) > 3 and name != "text":
        pytest.skip("x takes too many values to list; that the likelihood alone has mass one is in test_likelihoods.py")
    p = built(part, spec, likelihood)(latents(1))
    if name != "text":
        x = every(values.tolist(), spec.shape)
    else:
        words, (longest,) = range(UNK, spec.vocabulary), spec.shape
        ended = [
            [*beginning, EOS, *[PAD] * (longest - 1 - n)]
            for n in range(longest)
            for beginning in itertools.product(words, repeat=n)
        ]
        x = torch.tensor([*ended, *map(list, itertools.product(words, repeat=longest))])
    assert p.log_prob(x).exp().sum().item() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("z_shape", [(3,), (2, 3)])
def test_sound_cut_short_is_the_beginning_of_the_whole(z_shape):
    spec = DataSpec(Layout.wave(12, levels=5))
    module = CausalConv(channels=4, layers=3, cycle=2).build(spec, z_shape, Categorical(levels=5).build(spec))
    p, uniforms = module(torch.randn(6, *z_shape)), torch.rand(6, 12, module.likelihood.draws)
    whole = module.generate(p.z, uniforms)
    with module.shortened(7):
        assert torch.equal(module.generate(p.z, uniforms), whole[:, :7])
        assert module(torch.randn(2, *z_shape)).sample((3,)).shape == (3, 2, 7)
    assert torch.equal(module.generate_naively(p.z, uniforms), whole) and whole.unique().numel() > 2
