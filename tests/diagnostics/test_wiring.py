"""What forward and the loss of a module show: mistakes become causes, and the loss tells the weight of the rate."""

import pytest
import torch
from torch import nn

from buttress.diagnostics.diagnose import diagnose
from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.evidence import NO_CAUSE, Verdict
from buttress.diagnostics.numbers import COMPRESSION
from buttress.diagnostics.reference import LinearGaussian
from buttress.diagnostics.state import WANTED
from buttress.diagnostics.verdict import LOSS, judge
from buttress.diagnostics.wiring import gradient_of_x, wiring_of
from buttress.patients import patients
from buttress.patients.kinds.faulty_loss import OwnLoss, averaged, summed
from buttress.patients.worlds.linear import at_weight, factors
from buttress.patients.worlds.wired import Wired

QUICK = {"nll_samples": 0, "gap_steps": 20, "gap_examples": 40, "mi_examples": 200}
MADE = factors(30, [9.0, 8.0], 1.0, seed=80)
X = MADE.sample(200)[0].float()
NOT_ELBO, WEIGHT, UNREACHED = (
    "the loss is not built as an ELBO",
    "the rate has a weight",
    "z does not reach the decoder",
)


def look(model, x=X, **settings):
    return diagnose(model, x, likelihood="gaussian", variance=1.0, **QUICK, **settings)


def test_the_weight_of_the_rate_is_read_off_a_loss_that_is_handed_over():
    found = look(Wired(at_weight(MADE, 6.0)), loss_fn=summed(1.0, 6.0))
    assert found.estimates["rate_weight"].value == pytest.approx(6.0, rel=1e-3)
    assert found.verdict.cause.startswith(WEIGHT)


@pytest.mark.parametrize(("module", "loss"), [(Wired, averaged), (OwnLoss, None)])
def test_a_mean_beside_a_sum_is_the_cause_in_a_loss_or_in_forward(module, loss):
    found = look(module(at_weight(MADE, 30.0)), loss_fn=loss)
    assert found.verdict.cause == NOT_ELBO and "averaged over the 30 values" in " ".join(found.verdict.reasons)
    assert found.estimates["rate_weight"].value == pytest.approx(30.0, rel=1e-3)


def test_a_loss_of_another_likelihood_tells_no_weight():
    found = wiring_of(Wired(MADE.vae()), X, summed(1.0), "bernoulli", None)
    assert found.beta is None and set(found.found) == {"wiring/loss"}


def test_a_loss_without_a_module_is_refused():
    with pytest.raises(ValueError, match="loss_fn is given"):
        diagnose(MADE.vae(), [X], loss_fn=averaged, **QUICK)


def test_the_module_is_left_as_it_was():
    model = Wired(MADE.vae()).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.random.get_rng_state()
    wiring_of(model, X, averaged, "mse", None)
    assert not model.training and torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Coded(nn.Module):
    """Rounds, with a straight-through estimator or without."""

    def __init__(self, through):
        super().__init__()
        self.through = through

    def forward(self, x):
        q = x.round()
        return x + (q - x).detach() if self.through else q


@pytest.mark.parametrize("through", [True, False])
def test_a_quantiser_lets_a_gradient_through_or_not(through):
    assert gradient_of_x(Coded(through), torch.randn(8, 4)) is through


def test_a_subgroup_that_z_reaches_is_enough():
    told = {"rate": 1.0, "mutual_information": 0.02, "reached_by_z": 0.0, "amortisation_gap": 0.0, "decoder_gain": 0.0}
    for worth, cause in ((0.0, UNREACHED), (0.02, "the model ignores z")):
        numbers = {**told, "worth_shuffled": worth}
        said = judge({name: Estimate(value, 0.0, 1000, "made up") for name, value in numbers.items()}, "table")
        assert said.cause == cause


def test_near_the_prior_a_lag_is_not_certain_unless_the_decoder_reads_z_well():
    told = {
        "rate": 0.2,
        "mutual_information": 0.05,
        "worth_shuffled": 0.3,
        "amortisation_gap": 9.0,
        "decoder_gain": 20.0,
    }
    for summed_gain, most in ((0.0, 0.8), (0.5, 1.0)):
        numbers = {**told, "decoder_gain_summed": summed_gain}
        said = judge({name: Estimate(value, 0.0, 1000, "made up") for name, value in numbers.items()}, "table")
        assert said.cause == "inference lags" and said.findings[0].confidence == pytest.approx(most)


def test_the_verdict_points_to_the_linter_where_the_loss_is_not_known():
    told = {"rate": 3.0, "mutual_information": 1.0, "worth_shuffled": 9.0, "amortisation_gap": 9.0, "decoder_gain": 9.0}
    numbers = {name: Estimate(value, 0.0, 1000, "made up") for name, value in told.items()}
    assert LOSS in judge(numbers, "table").reasons
    assert LOSS not in judge({**numbers, "rate_weight": Estimate(1.0, None, 1000, "given")}, "table").reasons


def test_an_unknown_cause_is_told_once():
    numbers = {name: Estimate(0.0, 0.0, 100, "made up") for name in ("rate", "mutual_information", "worth_shuffled")}
    said = str(judge(numbers, "table"))
    assert f"\n  {NO_CAUSE}: the amortisation gap was not measured" in said and f"because {NO_CAUSE}" not in said
    assert str(Verdict("used", None, ("x",), ())) == "used\n  because x"


def test_a_point_is_wanted_for_compression_and_noise_is_not():
    case = patients()["latents_for_diffusion"].make()
    settings = {"nll_samples": 0, "gap_steps": 0}
    wanted = diagnose(case.model, list(case.batches), **settings, purpose="compression")
    assert wanted.verdict.state == WANTED and not wanted.verdict.causes and COMPRESSION in wanted.notes
    assert wanted.estimates["latent_scale"].value == pytest.approx(5.0, rel=0.05)
    assert diagnose(case.model, list(case.batches), **settings).verdict.state.startswith("degenerate")
    model = LinearGaussian.random(dims=12, latents=2)
    noisy = diagnose(model.vae(), [model.sample(300)[0]], **settings, purpose="compression")
    assert noisy.verdict.cause.startswith(WEIGHT)
    with pytest.raises(ValueError, match="purpose is 'art'"):
        diagnose(model.vae(), [model.sample(30)[0]], purpose="art")
