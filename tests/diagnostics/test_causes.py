"""Each cause of a verdict against models of known cause, and near misses that it must pass by."""

import math

import pytest
import torch
from closed_forms import normals
from torch.distributions import Categorical, Independent, MultivariateNormal, Normal

from buttress.core.remedy import catalogue as remedies
from buttress.diagnostics.cause import catalogue
from buttress.diagnostics.diagnose import diagnose
from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.evidence import Verdict
from buttress.diagnostics.finding import BORDERLINE, HOLDS, NOT_KNOWN
from buttress.diagnostics.protocol import Adapter
from buttress.diagnostics.reference import LinearGaussian, LinearVAE
from buttress.diagnostics.verdict import COLLAPSED, DEGENERATE, FAR, IGNORED, LAGS, PARTLY, UNKNOWN, USED, judge
from buttress.distributions.point import Point

WEIGHT, NO_MORE = "the rate has a weight", "the data offer no more"
OPTIMUM, NARROW, IDLE = "the optimum is collapsed", "q's family is too narrow", "a level is idle"
BY_FEW, NUISANCE = "used by few examples", "only a nuisance is encoded"
LITTLE = "the critic foresees little"
NOT_ELBO, UNDER_USED = "the loss is not built as an ELBO", "the codebook is under-used"
EXPLAINED, UNTRUSTED = "the condition explains everything", "the estimates are not to be trusted"


def look(model, x, **settings):
    return diagnose(model, [x], **{"nll_samples": 0, "gap_steps": 40, "gap_examples": 60} | settings).verdict


def judged(kind="table", **values):
    """The verdict on numbers, each a value or (value, error)."""
    pairs = {name: value if isinstance(value, tuple) else (value, 0.0) for name, value in values.items()}
    return judge({name: Estimate(value, error, 1000, "closed form") for name, (value, error) in pairs.items()}, kind)


def strength(verdict: Verdict, cause: str) -> str | None:
    return next((one.strength for one in verdict.findings if one.cause.startswith(cause)), None)


SILENT = {"rate": 0.0, "mutual_information": 0.0, "worth_shuffled": 0.0}
IN_USE = {"rate": 3.0, "mutual_information": 2.8, "worth_shuffled": 9.0}
NO_GAP = {"amortisation_gap": 0.0, "decoder_gain": 0.0}


# --- the weight of the rate, and lag ---


def optimum_at(beta, top=30.0, dims=8):
    """Data with one eigenvalue of ``top`` among ones, and the exact minimum of distortion + beta rate for them."""
    u = torch.nn.functional.normalize(torch.ones(dims, 1).double(), dim=0)
    x = LinearGaussian(u * (top - 1) ** 0.5, torch.zeros(dims).double(), 1.0).sample(800)[0]
    w = (top - beta) ** 0.5
    model = LinearGaussian(u * w, torch.zeros(dims).double(), 1.0)
    return LinearVAE(model, w / top * u.T, torch.tensor([beta / top]).double()), x


@pytest.mark.parametrize("beta", [5.0, 20.0])
def test_a_q_in_balance_with_a_weight_above_one_is_no_lag(beta):
    verdict = look(*optimum_at(beta))
    assert verdict.cause.startswith(f"{WEIGHT} of about") and LAGS not in verdict.causes
    assert float(verdict.cause.rsplit(" ", 1)[1]) == pytest.approx(beta, rel=0.15)


def test_the_optimum_at_weight_one_has_no_cause():
    assert look(*optimum_at(1.0)).causes == ()


def test_half_a_signal_lags_though_its_widths_are_those_of_a_weight():
    """The means are halved and q is wider than it need be: no one weight explains both."""
    vae, x = optimum_at(1.0, top=100.0)
    wrong = LinearVAE(vae.model, 0.5 * vae.encoder, vae.spread + 0.3)
    verdict = look(wrong, x)
    assert verdict.causes == (LAGS,) and strength(verdict, WEIGHT) is None


def test_a_weight_below_one_shows_in_the_width_and_in_the_gap():
    vae, x = optimum_at(1.0)
    narrow = LinearVAE(vae.model, vae.encoder, 0.02 * vae.spread)
    assert look(narrow, x).cause.startswith(f"{WEIGHT} of about 0.0")
    unmeasured = look(narrow, x, gap_steps=0)
    assert (unmeasured.cause, strength(unmeasured, WEIGHT)) == (None, NOT_KNOWN)


def test_a_decoder_of_steps_at_its_optimum_has_no_weight_and_is_no_autoencoder():
    """Effective beta is far below 1 at a weight of 1, information is at its ceiling, samples of the prior are data."""
    m, s, sigma = 0.97, 0.239, 0.03  # the exact minimum for a step
    sign = torch.randint(0, 2, (300, 16), generator=torch.Generator().manual_seed(0)).double() * 2 - 1
    model = Adapter(
        lambda x: normals(m * x.sign(), s),
        lambda: normals(torch.zeros(16).double()),
        lambda x, z: Normal(z.sign(), sigma).log_prob(x).sum(-1),
    )
    verdict = look(model, sign, gap_steps=5)
    assert (verdict.state, verdict.causes) == (USED, ())


def test_a_small_effective_beta_needs_a_smooth_decoder():
    small = {**IN_USE, "effective_beta": 0.05, "amortisation_gap": 1.0, "decoder_gain": 0.0}
    assert judged(**small, effective_beta_doubled=0.05).cause == f"{WEIGHT} of about 0.05"
    assert judged(**small, effective_beta_doubled=12.0).cause is None


def test_the_likelihood_stands_in_where_no_q_can_be_searched_for():
    lag = judged(**SILENT, elbo=-102.0, nll=(11.0, 0.2))
    assert lag.cause == LAGS and lag.advice[0] == "aggressive"
    assert judged(**SILENT, elbo=-11.0, nll=(11.0, 0.2)).cause is None  # not decided
    assert judged(**SILENT, elbo=-11.0, nll=(11.0, 0.02)).cause == IGNORED
    paid = {"rate": 8.0, "mutual_information": 5.0, "worth_shuffled": 0.0}  # the NLL is the distortion: z is not read
    assert judged(**paid, elbo=-19.0, nll=(11.0, 0.02)).cause == IGNORED


def test_one_example_far_off_hides_no_gap_of_all_the_others():
    hidden = {"amortisation_gap": (12619.0, 12586.0), "decoder_gain": (13645.0, 13607.0)}
    assert judged(**SILENT, **hidden).causes == ()
    medians = {"amortisation_gap_median": (29.5, 0.8), "decoder_gain_median": (33.8, 0.6)}
    assert judged(**SILENT, **hidden, **medians).cause == LAGS


def test_a_family_that_is_too_narrow_is_no_lag_and_no_model_that_ignores_z():
    loose = {**SILENT, "elbo": -60.0, "nll": (40.0, 0.5), **NO_GAP}
    assert judged(**loose, gap_unfinished=(0.0, 0.001)).causes == (NARROW,)
    assert strength(judged(**loose), NARROW) == BORDERLINE  # the search may not have ended
    assert strength(judged(**{**loose, "nll": (59.99, 0.01)}), NARROW) is None


# --- little to say ---


@pytest.mark.parametrize(("w", "state"), [(0.3, PARTLY), (0.19, COLLAPSED)])
def test_the_model_that_made_the_data_does_not_ignore_z(w, state):
    model = LinearGaussian(torch.full((4, 1), w).double(), torch.zeros(4).double(), 1.0)
    verdict = look(model.vae(), model.sample(3000, seed=3)[0])
    assert (verdict.state, verdict.cause, verdict.advice) == (state, NO_MORE, ())
    assert look(model.collapsed(), model.sample(1000)[0]).cause == IGNORED


def test_what_is_left_on_the_table_is_not_all_that_the_data_offer():
    little = {"rate": 0.2, "mutual_information": 0.2, "worth_shuffled": 0.4}
    assert judged(**little, **NO_GAP, effective_beta=1.0).cause == NO_MORE
    assert judged(**little, **NO_GAP, effective_beta=4.0).cause != NO_MORE
    assert judged(**little, **NO_GAP, elbo=-20.0, nll=15.0).cause != NO_MORE
    assert judged(**little, amortisation_gap=1.0, decoder_gain=1.0).cause == LAGS
    assert judged(**{**little, "worth_shuffled": 0.05}, **NO_GAP).cause == IGNORED


@pytest.mark.parametrize("share", [0.8, 0.5])
def test_a_binary_code_is_used_if_it_says_what_a_code_of_two_can(share):
    x = (torch.rand(600, 1, generator=torch.Generator().manual_seed(0)) < share).long()
    model = Adapter(
        lambda x: Independent(Point(x), 1),
        lambda: Independent(Categorical(torch.tensor([[1 - share, share]])), 1),
        lambda x, z: torch.where(z == x, math.log(0.99), math.log(0.01))[..., 0],
    )
    verdict = look(model, x, kind="table")
    assert (verdict.state, verdict.borderline, verdict.cause) == (USED, "", None)


# --- the optimum itself ---


@pytest.mark.parametrize("variance", [0.5, 2.0, 4.0, 8.0])
@pytest.mark.parametrize("beta", [1.0, 3.0])
def test_the_optimum_is_collapsed_where_the_linear_model_says_so(variance, beta):
    """Rate of the optimum: sum of 1/2 ln(lambda_i / beta sigma^2) over the eigenvalues above beta sigma^2."""
    eigenvalues = torch.tensor([5.0, 1.0, 0.5])
    rate = 0.5 * (eigenvalues / (beta * variance)).clamp(min=1).log().sum().item()
    ratio, weight = (5.0 / variance, 0.05), beta
    carried = {"rate": rate, "mutual_information": rate, "worth_shuffled": 2 * rate}
    verdict = judged(**carried, **NO_GAP, optimum_ratio=ratio, rate_weight=weight)
    assert (OPTIMUM in verdict.causes) == (rate == 0)
    assert IGNORED not in verdict.causes or rate > 0


def test_an_optimum_near_its_threshold_is_borderline_and_one_that_is_read_says_nothing():
    near = judged(**SILENT, **NO_GAP, optimum_ratio=(0.97, 0.03))
    (found,) = [one for one in near.findings if one.cause == OPTIMUM]
    assert (found.strength, found.examples) == (BORDERLINE, 4000)
    assert ", may be below beta of 1" in found.reasons[0] and "z may not pay" in found.reasons[0]
    known = judged(**SILENT, **NO_GAP, optimum_ratio=(0.97, 0.03), largest_eigenvalue=4, likelihood_variance=4)
    assert "the data, 4, may be below beta" in next(one for one in known.findings if one.cause == OPTIMUM).reasons[0]
    assert judged(**SILENT, **NO_GAP, optimum_ratio=(1.2, 0.03)).cause == IGNORED
    read = judged(**SILENT, optimum_ratio=0.5, amortisation_gap=3.0, decoder_gain=4.0)
    assert read.causes == (LAGS,)
    told = judged(**SILENT, **NO_GAP, optimum_ratio=0.14, largest_eigenvalue=4.39, likelihood_variance=32.0)
    assert "at a variance below 4.39" in " ".join(told.reasons) and not {"kl_annealing", "free_bits"} & {*told.advice}


def test_a_q_that_would_gain_at_a_weight_of_one_alone_does_not_lag_behind_a_weight_of_ten():
    """The numbers of a VAE of pythae with a beta of 10, after 15 passes over digits."""
    gains = {"amortisation_gap": (0.229, 0.02), "decoder_gain": (0.502, 0.03), "optimum_ratio": (5.17, 0.2)}
    gaussian = {"largest_eigenvalue": 2.6, "likelihood_variance": 0.5}
    verdict = judged("image", **SILENT, **gains, **gaussian, rate_weight=10.0)
    assert verdict.causes == (OPTIMUM,) and verdict.advice == ("calibrated_variance",)
    bernoulli = judged("image", **SILENT, **gains, rate_weight=10.0)  # it has no variance that could be calibrated
    assert bernoulli.causes == (OPTIMUM,) and bernoulli.advice == ()
    assert "used at a weight below 5.17" in bernoulli.reasons[-1]
    assert judged("image", **SILENT, **gains, rate_weight=1.0).causes == (LAGS,)
    free = {
        **gains,
        "amortisation_gap": (0.5, 0.001),
        "decoder_gain": (0.502, 0.001),
    }  # it pays next to nothing for what the decoder saves
    assert judged("image", **SILENT, **free, rate_weight=10.0).causes == (LAGS,)


# --- a loss that averages ---


GAINS = {"amortisation_gap": (3.4, 0.3), "decoder_gain": (4.6, 0.4), "averaged_weight": 7840.0}


def test_a_q_at_rest_in_an_averaged_loss_alone_may_be_either_and_the_loss_is_asked_first():
    verdict = judged("image", **SILENT, **GAINS, decoder_gain_averaged=(0.02, 0.01))
    assert (verdict.causes, verdict.advice) == ((NOT_ELBO,), ()) and strength(verdict, LAGS) == BORDERLINE
    assert [one.confidence for one in verdict.findings] == [0.5, 0.5]
    told = " ".join(verdict.reasons)
    assert "effective beta of 784," in told and "bt.lint(model, loss_fn, batch)" in told and "say beta=1" in told


def test_a_q_that_an_averaged_loss_would_move_too_lags():
    verdict = judged("image", **SILENT, **GAINS, decoder_gain_averaged=(12.0, 1.0))
    assert verdict.causes == (LAGS,) and verdict.advice[0] == "aggressive" and strength(verdict, NOT_ELBO) is None
    assert "averaged over the numbers of x would not explain it" in " ".join(verdict.reasons)


def test_what_an_averaged_loss_would_do_is_borderline_within_its_error():
    verdict = judged("image", **SILENT, **GAINS, decoder_gain_averaged=(0.12, 0.05))
    assert verdict.causes == () and {strength(verdict, one) for one in (LAGS, NOT_ELBO)} == {BORDERLINE}
    both = {one.cause: one.confidence for one in verdict.findings}
    assert both[NOT_ELBO] < 0.5 < both[LAGS] < 1


def test_a_weight_that_q_tells_is_more_than_a_loss_that_may_average():
    balance = {"effective_beta": (12.0, 0.3), "effective_beta_means": (12.0, 0.3)}
    verdict = judged("text", **SILENT, **GAINS, **balance, decoder_gain_averaged=(0.0, 0.001))
    assert verdict.cause == f"{WEIGHT} of about 12" and strength(verdict, NOT_ELBO) is None


# --- codes ---


def coded(alive, taken, k=64, **values):
    """The verdict on codes."""
    named = {name: Estimate(value, 0.01, 1000, "counting") for name, value in {**IN_USE, **values}.items()}
    of = {"codes_used": Estimate(taken, None, 1000, "counting", float(k)), "codes_alive": Estimate(*alive, 1000, "")}
    perplexity = {"code_perplexity": Estimate(values.get("code_perplexity", 8.0), 0.01, 1000, "counting")}
    return judge({**named, "rate_uniform": Estimate(math.log(k), 0.0, 1000, ""), **of, **perplexity}, "table")


def test_codes_of_which_most_are_never_taken_are_under_used():
    verdict = coded((0.2, 0.02), 12.0)
    assert (verdict.state, verdict.causes) == (USED, (UNDER_USED,))
    assert verdict.advice == ("codebook_restarts", "finite_scalar_quantized")
    assert "12 of 64 codes are taken" in verdict.reasons[-1]
    assert strength(coded((0.45, 0.04), 28.0), UNDER_USED) == BORDERLINE
    assert coded((0.7, 0.04), 45.0).causes == ()
    dead = coded((1 / 64, 0.0), 1.0, mutual_information=0.0, code_perplexity=1.0)
    assert dead.causes == ("the codebook is dead",)


def foreseen(information, worth, **values):
    """The verdict on codes that a critic reads, eight of them at a place."""
    numbers = {"rate": 40.0, "rate_uniform": 40.0, "mutual_information": information, "worth_critic": worth}
    right = {"contrastive_accuracy": 0.11, "contrastive_accuracy_gain": 0.02, "codes_alive": 0.9, "codes_used": 8.0}
    steps = {"contrastive_information/1": 0.05, "contrastive_information/6": -0.01, "contrastive_information": 0.02}
    estimates = {
        name: Estimate(*(value if isinstance(value, tuple) else (value, 0.0)), 1000, "made up", 2.4)
        for name, value in {**numbers, **right, **steps, "code_perplexity": 7.0, **values}.items()
    }
    return judge(estimates, "frames")


def test_codes_of_whose_order_a_critic_makes_little_are_the_critics_fault():
    verdict = foreseen(2.3, 0.3)
    assert (verdict.state, verdict.causes) == (PARTLY, (LITTLE,))
    assert "tells 0.05 nats of the code 1 ahead and -0.01 nats of the code 6 ahead" in verdict.reasons[-1]
    assert foreseen(2.3, 0.9).causes == ()
    assert foreseen(2.3, 0.02).causes == (IGNORED,)
    assert strength(foreseen(2.3, (0.45, 0.05)), LITTLE) == BORDERLINE


def test_a_prior_that_is_far_is_no_fault_where_nothing_is_decoded():
    far = {"aggregate_kl": (30.0, 0.1), "aggregate_kl_at_least": (30.0, 0.1)}
    assert strength(foreseen(2.3, 0.9, **far), FAR) is None


def test_where_the_codes_themselves_say_little_the_critic_is_not_at_fault_and_the_verdict_says_what_was_looked_at():
    verdict = foreseen(0.3, 0.4)
    assert (verdict.state, verdict.causes) == (PARTLY, ())
    assert "what the critic loses when they change places" in verdict.reasons[-1]
    assert foreseen(0.3, 0.4, codes_alive=0.1).causes == (UNDER_USED,)


def test_a_model_without_z_has_no_dead_codebook_and_nothing_to_mend():
    numbers = {name: Estimate(value, 0.0, 1000, "") for name, value in {**SILENT, **NO_GAP}.items()}
    for most, cause in ((1.0, "the model has no z"), (64.0, "the codebook is dead")):
        codes = {"rate_uniform": Estimate(math.log(most), 0.0, 1000, "")}
        codes["code_perplexity"] = Estimate(1.0, 0.0, 1000, "counting", most)
        assert judge({**numbers, **codes}, "text").causes == (cause,)


# --- where q is as a whole ---


@pytest.mark.parametrize("loud", [1.0, 2.0, 6.0])
def test_all_q_together_are_far_from_the_prior_where_the_closed_form_says_so(loud):
    base = LinearGaussian(torch.eye(4, 2).double(), torch.zeros(4).double(), 0.5)
    v, d = base.optimal_encoder()
    vae = LinearVAE(LinearGaussian(base.weight / loud, base.mean, base.variance), loud * v, loud**2 * d)
    x = base.sample(600)[0]
    far = vae.aggregate_kl() > max(2.0, vae.rate(x).sum(1).mean().item() / 3)
    assert (FAR in look(vae, x, gap_steps=0).causes) == far == (loud > 2)


def test_the_same_density_in_another_class_gives_the_same_verdict():
    base = LinearGaussian(torch.eye(6, 3).double() * 2, torch.zeros(6).double(), 0.09)
    v, _ = base.optimal_encoder()
    states = []
    for prior in (normals(torch.zeros(3).double()), MultivariateNormal(torch.zeros(3).double(), torch.eye(3).double())):
        point = Adapter(
            lambda x: normals(6 * x @ v.T, torch.full((3,), 1e-3).double()),
            lambda prior=prior: prior,
            lambda x, z: base.log_likelihood(x, z / 6),
        )
        verdict = look(point, base.sample(400)[0], gap_steps=0)
        states.append((verdict.state, verdict.causes))
    assert states[0] == states[1] and states[0][0] == DEGENERATE and FAR in states[0][1]


def test_a_distance_that_is_only_an_upper_bound_is_not_named():
    at_ceiling = Estimate(6.9, 0.0, 1000, "Monte Carlo", ceiling=6.91)
    numbers = {name: Estimate(v, 0.1, 1000, "") for name, v in {"rate": 23.0, "aggregate_kl": 16.1}.items()}
    numbers |= {"mutual_information": at_ceiling, "worth_shuffled": Estimate(17000.0, 70.0, 1000, "")}
    assert judge(numbers, "table").causes == ()
    assert judge(numbers | {"aggregate_kl_at_least": Estimate(9.0, 0.5, 1000, "")}, "table").cause == FAR


# --- who uses what of z ---


def test_a_subgroup_that_uses_z_is_not_a_model_that_ignores_it():
    subgroup = {**SILENT, "mutual_information": 0.056, "rate": 0.06, "worth_shuffled": (0.02, 0.005), **NO_GAP}
    few = {"share_used": (0.01, 0.003), "worth_top_percent": (2.2, 0.3), "worth_concentration": (0.01, 0.001)}
    verdict = judged(**subgroup, **few)
    assert (verdict.state, verdict.cause, verdict.advice) == (COLLAPSED, BY_FEW, ())
    assert judged(**subgroup, **few | {"worth_top_percent": (0.03, 0.01)}).cause == IGNORED
    assert judged(**subgroup, share_used=(0.0, 0.001), worth_top_percent=(0.03, 0.01)).cause == IGNORED
    one_row = few | {"share_used": (0.9, 0.01), "worth_concentration": 0.002, "worth_top_percent": (3e4, 1e3)}
    assert strength(judged(**IN_USE, **one_row), BY_FEW) is None


def test_a_length_and_nothing_else_is_a_nuisance():
    assert judged("text", **IN_USE, information_beyond_nuisance=(0.05, 0.05), nuisance_r2=0.99).causes == (NUISANCE,)
    assert judged("text", **IN_USE, information_beyond_nuisance=(1.5, 0.05), nuisance_r2=0.99).causes == ()
    assert judged("table", **IN_USE, information_beyond_nuisance=(0.05, 0.05)).causes == ()
    assert strength(judged("text", **IN_USE, information_beyond_nuisance=(0.3, 0.1)), NUISANCE) == BORDERLINE


def test_a_level_that_adds_nothing_is_idle():
    levels = {"worth_shuffled/top": (0.01, 0.01), "mutual_information/top": 1.0, "worth_shuffled/bottom": 8.0}
    verdict = judged(**IN_USE, **levels)
    assert verdict.causes == (IDLE,) and "level top" in verdict.reasons[-1] and "bottom" not in verdict.reasons[-1]
    assert judged(**IN_USE, **{"worth_shuffled/top": 1.0, "worth_shuffled/bottom": 8.0}).causes == ()
    assert judged(**IN_USE, idle_levels=2.0).causes == (IDLE,) and judged(**IN_USE, idle_levels=0.0).causes == ()
    assert judged(**IN_USE, idle_levels=(1.0, 1e-9)).causes == (IDLE,)  # the error of a count is never quite 0
    assert strength(judged(**IN_USE, idle_levels=(1.0, 0.4)), IDLE) == BORDERLINE


# --- errors, and what follows from a cause ---


def test_a_threshold_within_the_error_is_borderline():
    near = judged(rate=(0.089, 0.013), mutual_information=(0.089, 0.013), worth_shuffled=(0.089, 0.013))
    assert (near.state, near.borderline) == (COLLAPSED, PARTLY) and "5587 examples" in " ".join(near.reasons)
    sharp = judged(rate=0.089, mutual_information=(0.089, 0.001), worth_shuffled=(0.089, 0.001))
    assert (sharp.state, sharp.borderline) == (COLLAPSED, "")
    assert "borderline: perhaps partly used" in str(near) and "borderline" not in str(sharp)


def test_a_cause_that_needs_no_state_is_named_where_the_state_is_too_vague():
    vague = {"rate": (0.63, 0.02), "mutual_information": (0.61, 0.04), "worth_shuffled": (0.6, 1.0)}
    verdict = judged(**vague, amortisation_gap=(60.0, 4.0), decoder_gain=(63.0, 4.0))
    assert (verdict.state, verdict.causes) == (UNKNOWN, (LAGS,)) and verdict.advice[0] == "aggressive"
    assert judged(**{**vague, "rate": math.nan}, amortisation_gap=60.0, decoder_gain=63.0).causes == ()


def test_a_cause_that_is_not_decided_gives_no_advice():
    verdict = judged(**SILENT, amortisation_gap=(0.5, 0.4), decoder_gain=(0.6, 0.4))
    assert (verdict.causes, verdict.advice) == ((), ()) and strength(verdict, LAGS) == BORDERLINE
    assert any(reason.startswith("not decided whether inference lags") for reason in verdict.reasons)


def test_an_averaged_log_likelihood_is_named_before_what_follows_from_it():
    note = "log_likelihood is -0.1 nats where ...: it is averaged over the 64 columns and not summed over them"
    numbers = {name: Estimate(value, 0.0, 100, "") for name, value in (SILENT | NO_GAP).items()}
    assert judge(numbers, "table", (note,)).causes == ("the log-likelihood is averaged",)
    assert judge(numbers, "table", ("the model came in training mode",)).causes == (IGNORED,)


def test_what_remedies_cure_are_causes_and_every_cause_has_its_derivation():
    known = {
        LAGS,
        IGNORED,
        FAR,
        OPTIMUM,
        "the codebook is dead",
        UNDER_USED,
        "the rate is paid and not read",
        "the encoder's features are alike",
        NUISANCE,
        "a level is idle",
    }
    assert {cause for one in remedies().values() for cause in one.cures} <= known
    for one in catalogue():
        module = __import__(one.find.__module__, fromlist=["__doc__"])
        assert module.__doc__ and "Sentence" in module.__doc__
    assert HOLDS == "holds"


def test_a_weight_that_may_be_on_either_side_of_one_is_told_once():
    unsure = {**IN_USE, "effective_beta": (1.3, 2.0), "amortisation_gap": (200.0, 90.0), "decoder_gain": (200.0, 90.0)}
    causes = [one.cause for one in judged(**unsure, effective_beta_doubled=(1.3, 2.0)).findings]
    assert causes.count(f"{WEIGHT} of about 1.3") == 1


# --- what the condition leaves, and whether the numbers can be trusted ---


def test_a_condition_that_leaves_nothing_is_told_from_a_decoder_that_ignores_z():
    told = {**SILENT, **NO_GAP, "worth_condition": (40.0, 1.0)}
    nothing = judged(**told, gain_beyond_condition=(-0.001, 0.004))
    assert nothing.causes == (EXPLAINED,) and nothing.advice == () and "as good as p(x|z, given)" in nothing.reasons[-1]
    assert judged(**told, gain_beyond_condition=(0.8, 0.05)).causes == (IGNORED,)
    near = judged(**told, gain_beyond_condition=(0.08, 0.02))
    (found,) = [one for one in near.findings if one.cause == EXPLAINED]
    assert (found.strength, found.examples) == (BORDERLINE, 4000)
    assert "(may be below 0.1)" in found.reasons[0] and "may be as good as" in found.reasons[0]
    known = judged(**SILENT, **NO_GAP, optimum_ratio=(0.97, 0.03), largest_eigenvalue=4, likelihood_variance=4)
    assert "the data, 4, may be below beta" in next(one for one in known.findings if one.cause == OPTIMUM).reasons[0]
    assert judged(**{**told, "worth_condition": (0.0, 0.01)}, gain_beyond_condition=(0.0, 0.01)).causes == (IGNORED,)
    assert judged(**IN_USE, worth_condition=40.0, gain_beyond_condition=0.0).causes == ()
    unknown = Estimate(None, None, 0, "not measured", note="x is made of whole numbers")
    numbers = {name: Estimate(v, 0.0, 1000, "") for name, v in {**SILENT, **NO_GAP, "worth_condition": 40.0}.items()}
    verdict = judge(numbers | {"gain_beyond_condition": unknown}, "text")
    assert verdict.causes == (IGNORED,) and strength(verdict, EXPLAINED) == NOT_KNOWN
    assert "trained without the condition" in " ".join(verdict.reasons)


def test_numbers_that_rest_on_nothing_are_told_before_what_they_show():
    lag = {**SILENT, "amortisation_gap": (6.0, 0.1), "decoder_gain": (6.0, 0.1)}
    assert judged(**lag, constant_error=(0.02, 0.06)).causes == (LAGS,)
    other = judged(**lag, constant_error=(0.9, 0.01))
    assert other.causes == (UNTRUSTED,) and "81% of its squared error" in other.reasons[-1]
    assert judged(**IN_USE, rounded_noise=(0.5, 0.02)).causes == (UNTRUSTED,)
    assert judged(**IN_USE, rounded_noise=(0.001, 0.0001)).causes == ()
    assert strength(judged(**IN_USE, constant_error=(0.5, 0.1)), UNTRUSTED) == BORDERLINE


def test_errors_beyond_both_thresholds_are_named_where_nothing_else_is_and_say_how_many_examples():
    vague = {"rate": (0.63, 0.02), "mutual_information": (0.61, 0.04), "worth_shuffled": (0.6, 1.0)}
    verdict = judged(**vague, **NO_GAP)
    assert (verdict.state, verdict.causes) == (UNKNOWN, (UNTRUSTED,))
    assert "about 40000" in verdict.findings[0].reasons[0]
    assert verdict.findings[0].confidence == 1.0
    assert judged(**{**vague, "worth_shuffled": (0.6, 0.01)}, **NO_GAP).causes == ()


def test_each_cause_comes_with_its_confidence():
    verdict = judged(**SILENT, amortisation_gap=(0.2, 0.045), decoder_gain=(0.2, 0.045))
    assert 0.7 < verdict.findings[0].confidence < 1
    assert str(verdict).startswith(f"collapsed ({LAGS}, confidence {verdict.findings[0].confidence:.2f})")
