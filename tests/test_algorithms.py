"""Algorithms against their definitions, on a linear model with a loss one can differentiate by hand."""

import itertools
import math
from copy import deepcopy
from dataclasses import fields, replace

import pytest
import torch
from torch import nn

from buttress.algorithms.aggressive import Aggressive
from buttress.algorithms.descent import GradientStep, NonFinite, _norm, make_optimizer
from buttress.algorithms.joint import Joint
from buttress.core import EMPTY, Batch, DataSpec, Layout, Space, Step
from buttress.core.model import LatentVariableModel
from buttress.core.recipe import Training
from buttress.core.records import Latent, Terms
from buttress.core.registry import names, part
from buttress.decoders.mlp import MlpDecoder
from buttress.encoders.mlp import MlpEncoder
from buttress.likelihoods.gaussian import GaussianLikelihood
from buttress.objectives.elbo import ELBO
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.posteriors.vector_quantized import VectorQuantized
from buttress.priors.recurrent import RecurrentPrior
from buttress.priors.recurrent_normal import RecurrentNormal
from buttress.priors.standard_normal import StandardNormal

SETTINGS = Training(optimizer="sgd", learning_rate=0.1, clip=None)


class Model(nn.Module):
    """distortion = (x - d e)^2 and rate = e^2 for every example, with numbers e (encoder) and d (decoder)."""

    groups = ("z0",)

    def __init__(self, penalty=None):
        super().__init__()
        self.penalty = penalty
        self.encoder, self.inference, self.decoder = nn.Linear(1, 1, bias=False), nn.Identity(), nn.Linear(1, 1, False)
        self.prior, self.space = StandardNormal().build(Space((1,))), Space((1,))
        self.inference.space = self.space
        for module in (self.encoder, self.decoder):
            nn.init.constant_(module.weight, 0.5)

    def forward(self, x, samples=1, prior=None, given=EMPTY):
        e, d = self.encoder.weight[0, 0], self.decoder.weight[0, 0]
        x = x.float().reshape(len(x), -1).mean(1)
        rate = e.square().expand(len(x), 1)
        penalty = {} if self.penalty is None else {"pull": (self.penalty * d).expand(1, len(x))}
        return Terms((x - d * e).square()[None], Latent(e.expand(1, len(x), 1), rate[None], rate, penalty=penalty))

    @property
    def numbers(self):
        return self.encoder.weight.item(), self.decoder.weight.item()


def step(number=0, x=1.0, more=None):
    batches = itertools.repeat(torch.tensor([[x]])) if more is None else (torch.tensor([[v]]) for v in more)
    return Step(number, Batch(torch.tensor([[x]])), lambda: Batch(next(batches)))


def gradient(x, e, d, pull=0.0):
    """Of (x - d e)^2 + e^2 + pull d with respect to e and d."""
    return -2 * d * (x - d * e) + 2 * e, -2 * e * (x - d * e) + pull


def test_joint_is_gradient_descent_on_objective_and_penalties():
    model = Model(penalty=0.7)
    logs = Joint().build(model, ELBO(), SETTINGS).step(step(x=2.0))
    e, d = gradient(2.0, 0.5, 0.5, 0.7)
    assert model.numbers == pytest.approx((0.5 - 0.1 * e, 0.5 - 0.1 * d), abs=1e-6)
    assert logs["loss"] == pytest.approx(1.75**2 + 0.25 + 0.35) and logs["pull"] == pytest.approx(0.35)
    assert logs["distortion"] == pytest.approx(1.75**2) and logs["rate"].tolist() == [0.25]


def test_the_gradient_is_clipped_over_all_parameters():
    model = Model()
    Joint().build(model, ELBO(), replace(SETTINGS, clip=1.0)).step(step(x=2.0))
    e, d = gradient(2.0, 0.5, 0.5)
    scale = 0.1 / math.hypot(e, d)
    assert model.numbers == pytest.approx((0.5 - scale * e, 0.5 - scale * d), abs=1e-5)


def test_the_norm_is_that_of_all_gradients_however_they_lie_in_memory():
    gradients = [torch.randn(5, 3), torch.randn(7), torch.randn(4, 6).t(), torch.tensor(2.0)]
    assert _norm(gradients).item() == pytest.approx(torch.cat([g.flatten() for g in gradients]).norm().item())
    assert math.isnan(_norm([*gradients, torch.tensor([1.0, math.nan])]).item())


def test_an_aggressive_step_moves_the_encoder_on_other_batches_and_the_decoder_once_on_its_own():
    model = Model()
    algorithm = Aggressive(max_inner=3, window=99).build(model, ELBO(), SETTINGS)
    logs = algorithm.step(step(x=2.0, more=[3.0, 4.0]))
    e = 0.5
    for x in (2.0, 3.0, 4.0):
        e -= 0.1 * gradient(x, e, 0.5)[0]
    assert model.numbers == pytest.approx((e, 0.5 - 0.1 * gradient(2.0, e, 0.5)[1]), abs=1e-6)
    assert logs["inner_steps"] == 3


def test_clipping_counts_the_half_that_rests():
    model = Model()
    Aggressive(max_inner=1, window=99).build(model, ELBO(), replace(SETTINGS, clip=1.0)).step(step(x=2.0))
    e, d = gradient(2.0, 0.5, 0.5)
    assert model.encoder.weight.item() == pytest.approx(0.5 - 0.1 * e / math.hypot(e, d), abs=1e-5)


def test_when_the_phase_is_over_aggressive_is_joint():
    models = Model(), Model()
    settings = replace(SETTINGS, optimizer="adam")
    one, other = (a.build(m, ELBO(), settings) for a, m in zip((Joint(), Aggressive()), models, strict=True))
    other.active = False
    for number in range(5):
        one.step(step(number, 2.0))
        assert other.step(step(number, 2.0))["inner_steps"] == 0
    assert models[0].numbers == models[1].numbers


@pytest.mark.parametrize(
    ("losses", "moves"),
    [
        ([5, 5, 4, 4, 3, 3, 2, 2, 1], 9),  # falls to the end
        ([5, 5, 4, 4, 6, 3, 0, 0, 0], 6),  # the third window is above the second
        ([5, 5, 6, 4, 4, 6, 4, 4, 9], 9),  # equal windows are no rise
    ],
)
def test_the_inner_loop_stops_when_a_window_is_above_the_one_before(losses, moves):
    algorithm = Aggressive(max_inner=9, window=2).build(Model(), ELBO(), SETTINGS)
    told = iter(losses)
    algorithm.descend = lambda *_: {"loss": torch.tensor(float(next(told)))}
    assert algorithm._catch_up(step()) == moves


@pytest.mark.parametrize(("text", "moves"), [(True, 3), (False, 2)])
def test_windows_of_text_are_compared_per_word(text, moves):
    algorithm = Aggressive(max_inner=3, window=1).build(Model(), ELBO(), SETTINGS)
    told = iter([4.0, 6.0, 5.0])  # nats per sentence: more in the second batch, but less per word
    algorithm.descend = lambda *_: {"loss": torch.tensor(next(told))}
    short, long = torch.tensor([[5, 2, 0, 0]]), torch.tensor([[5, 6, 7, 2]])
    first, second = (Batch(x, {"lengths": x.ne(0).sum(1)} if text else {}) for x in (short, long))
    assert algorithm._catch_up(Step(0, first, lambda: second)) == moves


@pytest.mark.parametrize(
    ("patience", "heard", "lasts"),
    [(1, [0.5, 0.7, 0.6], 2), (1, [-0.1, 0.1, 0.1], 2), (2, [1.0, 0.9, 1.1, 1.0, 1.1, 2.0], 4)],
)
def test_the_phase_ends_when_mutual_information_fails_to_improve(patience, heard, lasts):
    algorithm = Aggressive(patience=patience).build(Model(), ELBO(), SETTINGS)
    seen = []
    for value in heard:
        algorithm.after_validation({"mutual_information": value, "rate": value}, last=False)
        seen.append(algorithm.active)
    assert seen == [True] * lasts + [False] * (len(heard) - lasts)


def whole(posterior, prior):
    """A small VAE of a table, for algorithms that ask more of a model than the one above offers."""
    spec = DataSpec(Layout.table(1), mean=torch.zeros(1), std=torch.ones(1))
    torch.manual_seed(0)
    return LatentVariableModel(
        spec, MlpEncoder(hidden=(4,)), posterior, prior, MlpDecoder(hidden=(4,)), GaussianLikelihood()
    )


MODELS = (
    Model,
    lambda: whole(GaussianPosterior(2), StandardNormal()),
    lambda: whole(GaussianPosterior(2), RecurrentNormal(hidden=3)),
    lambda: whole(VectorQuantized(codes=4, dim=2, slots=2), RecurrentPrior(embedding=3, hidden=3)),
)


def first_that_fits(kind, settings):
    """An algorithm and a way to make its model: the first that it does not refuse."""
    for make in MODELS:
        try:
            model = make()
            return make, model, kind.build(model, ELBO(), settings)
        except ValueError as refusal:
            last = refusal
    raise last


@pytest.mark.parametrize("name", names("algorithms"))
@pytest.mark.parametrize("optimizer", ["adam", "adamax", "adamw", "sgd"])
def test_a_restored_algorithm_goes_on_as_if_nothing_had_happened(name, optimizer):
    """Where there are two stages, the first is over after two steps."""
    settings = replace(SETTINGS, optimizer=optimizer, steps=4)
    kind = part("algorithms", name).tiny()[0]
    known = {f.name for f in fields(kind)}
    kind = replace(kind, **{key: value for key, value in {"first": 0.5, "least": 1.0}.items() if key in known})
    make, model, algorithm = first_that_fits(kind, settings)
    for number, value in enumerate((0.3, 0.2, 0.1)):
        torch.manual_seed(number)
        algorithm.step(step(number))
        algorithm.after_validation({"mutual_information": value, "rate": value}, last=False)
    twin = make()
    twin.load_state_dict({key: value.clone() for key, value in model.state_dict().items()})
    restored = kind.build(twin, ELBO(), settings)
    restored.load_state_dict(deepcopy(algorithm.state_dict()))
    before = deepcopy(model.state_dict())
    for number in range(3, 6):
        for one in (algorithm, restored):
            torch.manual_seed(number)
            one.step(step(number))
    after = twin.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in model.state_dict().items())
    assert any(not torch.equal(value, after[key]) for key, value in before.items())


def test_bf16_reads_the_weights_that_the_inner_loop_has_just_moved():
    model, x = Model(), torch.ones(1, 1)
    seen = []
    model.forward = lambda x, *_: seen.append(model.encoder(x).item()) or Model.forward(model, x)
    algorithm = Aggressive(max_inner=4, window=99).build(model, ELBO(), SETTINGS)
    with torch.autocast("cpu", torch.bfloat16):
        algorithm.step(Step(0, Batch(x), lambda: Batch(x)))
    assert len(set(seen)) == 5


@pytest.mark.parametrize(
    ("break_it", "name"),
    [
        (lambda m: m.decoder.weight.data.fill_(torch.nan), r"the parameter decoder\.weight"),
        (lambda m: setattr(m, "penalty", torch.tensor(torch.inf)), "the penalty pull"),
    ],
)
def test_the_first_tensor_that_is_not_finite_is_named_and_nothing_moves(break_it, name):
    model = Model(penalty=1.0)
    break_it(model)
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(NonFinite, match=f"{name} became NaN or infinite"):
        Joint().build(model, ELBO(), SETTINGS).step(step())
    assert all(torch.equal(a, b) or bool(b.isnan()) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("bad", [{"max_inner": 0}, {"window": 0}, {"patience": 0}])
def test_contradictions_are_refused(bad):
    with pytest.raises(ValueError, match=f"aggressive algorithm: {next(iter(bad))} is 0, wanted at least 1"):
        Aggressive(**bad)


@pytest.mark.parametrize("name", ["adam", "adamw", "adamax"])
def test_weights_without_gradients_leave_no_subnormal_numbers_behind(name):
    layer = nn.Linear(2, 1, bias=False)
    optimizer = make_optimizer(layer.parameters(), Training(optimizer=name))
    move, smallest, least = GradientStep(dict(layer.named_parameters()), 5.0), torch.finfo(torch.float32).tiny, 1.0
    for number in range(1200):
        x = torch.tensor([[1.0, float(number == 0)]])  # the second weight is asked for once
        move(number, layer(x).square().mean(), optimizer)
        means = torch.cat([m.flatten() for m in optimizer.state[layer.weight].values() if m.dim()])
        least = min(least, means.abs()[means != 0].min().item())
    assert least >= smallest
    assert optimizer.state[layer.weight]["exp_avg"].tolist()[0][1] == 0
