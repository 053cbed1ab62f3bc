"""Evidence for models whose z is made of codes, against a model on which everything can be counted by hand."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Distribution, Independent, Normal, OneHotCategorical, constraints

from buttress.core import Space
from buttress.diagnostics.aggregate import Aggregate
from buttress.diagnostics.causes.unreached import UNREACHED
from buttress.diagnostics.diagnose import diagnose
from buttress.diagnostics.estimators.active_units import activity, count_active
from buttress.diagnostics.estimators.amortisation import amortisation_gap
from buttress.diagnostics.estimators.codebook import DRAWN, code_perplexity, codebook, codes_used, count_codes
from buttress.diagnostics.estimators.collapsed_fraction import collapsed_fraction
from buttress.diagnostics.estimators.marginal_likelihood import likelihoods
from buttress.diagnostics.estimators.mutual_information import information
from buttress.diagnostics.estimators.rate import bound, uniform_rate
from buttress.diagnostics.estimators.worth import worth
from buttress.diagnostics.evidence import Evidence
from buttress.diagnostics.passes import passes
from buttress.diagnostics.protocol import Adapter
from buttress.diagnostics.verdict import COLLAPSED, DEAD, PARTLY, SAME, USED, judge
from buttress.distributions.point import Point
from buttress.posteriors.categorical import CategoricalPosterior
from buttress.posteriors.vector_quantized import VectorQuantized

K, G = 4, 3
CODES = torch.tensor([[0, 1, 3], [0, 1, 3], [2, 1, 0], [2, 1, 1], [2, 1, 1], [2, 1, 1], [0, 1, 1], [0, 1, 0]])
"""The codes of x = 0 ... 7. The second place never changes, and x = 0 and 1, and 3 to 5, share theirs."""
SAME_CODES = torch.tensor([2.0, 2, 1, 3, 3, 3, 1, 1])
PRIOR = torch.tensor([[0.5, 0.1, 0.3, 0.1], [0.1, 0.7, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25]])
LIKELIHOOD = torch.rand(K, K, K, 8, generator=torch.Generator().manual_seed(3)).log_softmax(-1)
"""log p(x|z): a table over all codes and all x."""
X = torch.arange(8)[:, None]
BATCHES = [X[:3], X[3:]]


class Chain(Distribution):
    """An autoregressive prior: each code is the one before it with probability 0.7, else any other."""

    arg_constraints = {}  # noqa: RUF012 - torch's own way
    support = constraints.independent(constraints.nonnegative_integer, 1)

    def __init__(self):
        super().__init__(torch.Size(), torch.Size((G,)), validate_args=False)

    def log_prob_by_group(self, codes):
        stay = (codes[..., 1:] == codes[..., :-1]).float() * (0.7 - 0.1) + 0.1
        return torch.cat([torch.full_like(stay[..., :1], 1 / K), stay], -1).log()

    def log_prob(self, codes):
        return self.log_prob_by_group(codes).sum(-1)

    def sample(self, shape=()):
        z = [torch.randint(K, shape)]
        for _ in range(G - 1):
            other = (z[-1] + torch.randint(1, K, shape)) % K
            z.append(torch.where(torch.rand(shape) < 0.7, z[-1], other))
        return torch.stack(z, -1)


def product(probabilities=PRIOR):
    return Independent(Categorical(probabilities), 1)


def model(prior=product, codes=CODES, table=LIKELIHOOD, space=None):
    def log_likelihood(x, z):
        return table[(*z.unbind(-1), x[:, 0].expand(z.shape[:2]))]

    return Adapter(lambda x: Independent(Point(codes[x[:, 0]]), 1), prior, log_likelihood, space=space)


def mapped(codes=CODES, shape=(G, 1), space=None):
    """The same codes as places that share a codebook."""
    prior = Independent(Categorical(torch.ones(*shape, K) / K), len(shape))
    return Adapter(
        lambda x: Independent(Point(codes[x[:, 0]].unflatten(1, shape)), len(shape)),
        lambda: prior,
        lambda x, z: z.flatten(2).sum(-1),
        space=space,
    )


def uniform():
    return product(torch.full((G, K), 1 / K))


def cost(prior):
    return -prior().log_prob(CODES).double()


def distortion(codes=CODES, x=X):
    return -LIKELIHOOD[(*codes.unbind(-1), x[:, 0])].double()


# --- the rate ---


@pytest.mark.parametrize("prior", [product, uniform, Chain])
def test_the_rate_is_the_cost_of_the_codes_and_the_bound_is_exact(prior):
    found = bound(model(prior), BATCHES)
    assert found.rate.value == pytest.approx(cost(prior).mean().item(), rel=1e-6)
    assert found.distortion.value == pytest.approx(distortion().mean().item(), rel=1e-6)
    assert found.elbo.value == pytest.approx(-found.rate.value - found.distortion.value)
    assert found.rate.method == "closed form" and found.distortion.method == "at the code of each x"
    assert found.groups is not None and found.groups.sum().item() == pytest.approx(found.rate.value)


def test_the_rate_of_each_group_under_a_product_and_given_those_before_it():
    by_place = -PRIOR[torch.arange(G), CODES].double().log().mean(0)
    assert torch.allclose(bound(model(), BATCHES).groups, by_place)
    given = bound(model(Chain), BATCHES).groups
    stays = torch.tensor([[False, False]] * 3 + [[False, True]] * 4 + [[False, False]])
    expected = torch.where(stays, -math.log(0.7), -math.log(0.1)).double().mean(0)
    assert torch.allclose(given, torch.cat([torch.tensor([math.log(K)]).double(), expected]))


def test_a_prior_that_tells_no_groups_has_one_rate():
    class Whole(Chain):
        log_prob_by_group = property()  # no such attribute

        def log_prob(self, codes):
            return Chain().log_prob(codes)

    found = bound(model(Whole), BATCHES)
    assert found.groups is None and found.rate.value == pytest.approx(cost(Chain).mean().item())


def test_the_rate_under_the_uniform_prior_is_g_log_k():
    assert uniform_rate(model(), 8).value == pytest.approx(G * math.log(K))
    assert uniform_rate(model(Chain, space=Space((G,), 16)), 8).value == pytest.approx(G * math.log(16))
    unknown = uniform_rate(model(Chain), 8)
    assert unknown.value is None and "space" in unknown.note


def test_a_point_has_no_noise_to_weigh():
    found = bound(model(), BATCHES).effective_beta
    assert found.value is None and "point" in found.note


# --- information ---


@pytest.mark.parametrize("prior", [product, uniform, Chain])
def test_information_is_the_entropy_of_the_codes_and_splits_the_rate_exactly(prior):
    found = information(model(prior), BATCHES)
    entropy = -(SAME_CODES / 8).log().mean().item()
    assert found.mutual_information.value == pytest.approx(entropy, rel=1e-6)
    assert found.mutual_information.ceiling == pytest.approx(math.log(8))
    assert found.mutual_information.method == "counting equal codes"
    assert found.aggregate_kl.value == pytest.approx(cost(prior).mean().item() - entropy, rel=1e-6)


def test_counting_equals_comparing_all_pairs():
    codes = torch.randint(0, 2, (200, 4))
    index = torch.arange(200)
    fast, slow = (Aggregate(list(passes(model(codes=codes), [index[:60, None], index[60:, None]]))) for _ in range(2))
    slow.counts = None
    one, other = (a.log_prob(codes[None], index, torch.zeros(1, 200).double(), None) for a in (fast, slow))
    assert torch.allclose(one, other)


def test_many_codes_need_no_table_of_all_pairs():
    """20,000 x 20,000 pairs would be 3.2 GB."""
    codes = torch.randint(0, 512, (20_000, 49))
    prior = product(torch.ones(49, 512))
    found = information(model(lambda: prior, codes), [torch.arange(20_000)[:, None]], examples=None)
    assert found.mutual_information.value == pytest.approx(math.log(20_000))
    assert "at its ceiling" in found.mutual_information.note


# --- the codebook ---


def test_the_health_of_the_codebook_is_counted():
    found = codebook(mapped(), BATCHES)
    share = torch.bincount(CODES.flatten()).double() / CODES.numel()
    assert found["code_perplexity"].value == pytest.approx((-(share * share.log()).sum()).exp().item())
    assert (found["codes_used"].value, found["codes_used"].ceiling) == (4.0, 4.0)
    one_dead = codes_used(mapped(CODES.clamp(max=2)), BATCHES)
    assert one_dead.value == 3.0 and "1 never taken" in one_dead.note
    assert code_perplexity(model(Chain), BATCHES).ceiling is None


def test_slots_have_codebooks_of_their_own():
    found = codebook(model(space=Space((G,), K)), BATCHES)
    entropies = count_codes(model(), BATCHES).perplexities.log()
    assert found["code_perplexity"].value == pytest.approx(entropies.mean().exp().item())
    assert (found["codes_used"].value, found["codes_used"].ceiling) == (2.0 + 1 + 3, 3.0 * K)
    both = codebook(mapped(CODES[:, :2].repeat(1, 2), (2, 2), Space((2, 2), K)), BATCHES)
    assert both["code_perplexity"].value == pytest.approx(2**0.5) and both["codes_used"].value == 3.0


def test_slots_that_share_a_codebook_are_counted_together():
    shared = codebook(model(space=Space((G,), K, shared=True)), BATCHES)
    assert (shared["codes_used"].value, shared["codes_used"].ceiling) == (codes_used(model(), BATCHES).value, K)
    for posterior in (VectorQuantized(codes=K, dim=2, slots=G, shared=True), CategoricalPosterior(codes=K, slots=G)):
        module = posterior.build(3, ())
        assert module.space.shared == posterior.shared
        found = codebook(model(space=module.space), BATCHES)
        assert found["codes_used"].ceiling == (K if posterior.shared else G * K)


@pytest.mark.parametrize("shape", [(4,), (2, 2), (4, 1), (1, 4), (2, 2, 1)])
def test_without_a_space_all_places_share_one_codebook_whatever_their_shape(shape):
    found = codebook(mapped(CODES[:, :2].repeat(1, 2), shape), BATCHES)
    assert (found["codes_used"].value, found["codes_used"].ceiling) == (3.0, K)
    assert found["code_perplexity"].value == pytest.approx(math.exp(1.5 * math.log(2)))  # a half, a quarter, a quarter
    assert "all 4 places are taken to share one codebook" in found["codes_used"].note


def test_each_place_is_counted_alone_whatever_the_batches():
    counts = count_codes(model(), BATCHES)
    halves, thirds = math.log(2), -(2 * 0.25 * math.log(0.25) + 0.5 * math.log(0.5))
    assert counts.n == 8 and counts.table.tolist() == count_codes(model(), [X]).table.tolist()
    assert torch.allclose(counts.perplexities, torch.tensor([halves, 0.0, thirds]).double().exp())


def test_the_error_of_the_perplexity_is_honest():
    """Places of one example are no independent draws: here all 16 are copies of one."""
    values, errors = [], []
    for seed in range(60):
        drawn = torch.multinomial(
            torch.tensor([0.6, 0.3, 0.1]), 400, True, generator=torch.Generator().manual_seed(seed)
        )
        found = code_perplexity(mapped(drawn[:, None].expand(-1, 16), (16, 1)), [torch.arange(400)[:, None]])
        values.append(found.value)
        errors.append(found.error)
    assert torch.tensor(values).std().item() == pytest.approx(sum(errors) / 60, rel=0.35)


@pytest.mark.parametrize("family", [Categorical, OneHotCategorical])
def test_of_codes_with_probabilities_one_draw_each_is_counted(family):
    """q takes code 0 or 1, whatever x is: two codes of four, equally often. z is not used, and no codebook is dead."""
    q = torch.tensor([0.5, 0.5, 0.0, 0.0]).expand(4000, G, K)
    flat = Independent(family(torch.ones(G, K)), 1)
    soft = Adapter(lambda x: Independent(family(q[: len(x)]), 1), lambda: flat, lambda x, z: 0.0 * z.flatten(2).sum(-1))
    batches = list(torch.zeros(4000, 1).split(1000))
    found = codebook(soft, batches)
    assert found["code_perplexity"].value == pytest.approx(2, abs=0.01) and found["code_perplexity"].error < 0.01
    assert (found["codes_used"].value, found["codes_used"].ceiling, found["codes_used"].method) == (2.0, K, DRAWN)
    evidence = diagnose(soft, batches, nll_samples=0, gap_steps=0)
    assert evidence.estimates["code_perplexity"].method == DRAWN
    assert not {DEAD, SAME} & set(evidence.verdict.causes) and evidence.verdict.state == COLLAPSED


def test_what_is_not_over_codes_has_no_codebook():
    soft = Adapter(lambda x: Independent(Normal(torch.zeros(len(x), G), 1.0), 1), uniform, model().log_likelihood)
    with pytest.raises(ValueError, match="point on codes"):
        count_codes(soft, BATCHES)


# --- active coordinates ---


def test_a_place_is_as_active_as_two_examples_differ_there():
    found = activity(model(), BATCHES)
    pairs = (CODES[:, None] != CODES[None]).double().sum((0, 1)) / (8 * 7)
    assert torch.allclose(found.variance_of_mean, pairs)
    assert count_active(found).value == 2.0 and found.method == "one-hot codes"


def test_the_names_of_the_codes_do_not_matter():
    renamed = torch.tensor([3, 0, 2, 1])[CODES]
    assert torch.equal(
        activity(model(codes=renamed), BATCHES).variance_of_mean, activity(model(), BATCHES).variance_of_mean
    )


def test_an_uncertain_code_counts_by_its_probabilities():
    p = torch.tensor([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])
    soft = Adapter(
        lambda x: product(p[x[:, 0]][:, None]), lambda: product(torch.ones(1, 2)), lambda x, z: z.sum(-1) * 0.0
    )
    found = activity(soft, [X[:3]])
    assert found.variance_of_mean.tolist() == pytest.approx([p.var(0).sum().item()])
    found = information(soft, [X[:3]], samples=4000)
    marginal = p.mean(0)
    truth = (p * (p / marginal).log()).sum(1).mean().item()
    assert found.mutual_information.value == pytest.approx(truth, abs=0.02)


def test_a_uniform_rate_can_not_tell_a_collapsed_place():
    assert collapsed_fraction(model(uniform), BATCHES).value is None
    sure = torch.tensor([[0.5, 0.1, 0.3, 0.1], [0.001, 0.997, 0.001, 0.001], [0.25, 0.25, 0.25, 0.25]])
    assert collapsed_fraction(model(lambda: product(sure)), BATCHES).value == pytest.approx(1 / 3)


# --- worth, likelihood, gap ---


@pytest.mark.parametrize("prior", [product, Chain])
def test_what_z_is_worth_by_enumeration(prior):
    many = [X.repeat(400, 1)]
    found = worth(model(prior), many)
    other = torch.stack([distortion(CODES[j].expand(8, G)) for j in range(8)])
    shuffled = (other.mean(0) - distortion()).mean().item()  # the z of any example, itself among 3,200 hardly matters
    assert found.shuffled.value == pytest.approx(shuffled, abs=4 * found.shuffled.error + 1e-3)
    every = torch.cartesian_prod(*[torch.arange(K)] * G)
    weight = prior().log_prob(every).exp().double()
    expected = sum(w * distortion(c.expand(8, G)) for w, c in zip(weight, every, strict=True))
    assert found.prior.value == pytest.approx((expected - distortion()).mean().item(), abs=4 * found.prior.error)


def test_the_likelihood_is_one_term_that_no_sample_tightens():
    one, many = likelihoods(model(), BATCHES, samples=1), likelihoods(model(), BATCHES, samples=500)
    assert torch.allclose(one.nll, distortion() + cost(product)) and torch.equal(one.nll, many.nll)
    every = torch.cartesian_prod(*[torch.arange(K)] * G)
    exact = -torch.stack(
        [(LIKELIHOOD[(*every.unbind(-1), x)] + product().log_prob(every)).logsumexp(0) for x in range(8)]
    )
    assert (many.nll >= exact).all() and many.samples == 1
    assert "for point codes the NLL is the -ELBO" in many.estimate.note
    assert many.bound_gap.value is None and many.looseness is None
    assert "do not tighten" in many.estimate.note and "tighter as k" not in many.estimate.note
    assert many.estimate.value == pytest.approx(-bound(model(), BATCHES).elbo.value)


def test_a_point_is_not_refined_and_says_why():
    found = amortisation_gap(model(), BATCHES, steps=2)
    assert found.value is None and "point on codes" in found.note


# --- all of it ---


class Coded(nn.Module):
    """Images of 16 pixels in four kinds; the code names the kind (or what ``codes`` says)."""

    def __init__(self, codes=(0, 1, 2, 3), read=True, prior=uniform):
        super().__init__()
        self.codes, self.read, self.prior = torch.tensor(codes), read, prior
        self.kinds = (torch.rand(4, 16, generator=torch.Generator().manual_seed(1)) > 0.5).float()

    def draw(self, n):
        return (self.kinds[torch.arange(n) % 4] - (torch.rand(n, 16) < 0.05).float()).abs()

    def posterior(self, x):
        kind = (x[:, None] - self.kinds).abs().sum(-1).argmin(-1)
        return Independent(Point(self.codes[kind][:, None].expand(-1, G)), 1)

    def log_likelihood(self, x, z):
        p = self.kinds[z[..., 0]] * 0.9 + 0.05 if self.read else self.kinds.mean(0) * 0.8 + 0.1
        return (x * p.log() + (1 - x) * (1 - p).log()).sum(-1).expand(z.shape[:2])


def look(coded):
    return diagnose(coded, list(coded.draw(300).split(100)), nll_samples=5, gap_steps=3)


def test_codes_that_are_read_are_used_and_the_record_survives_json():
    evidence = look(Coded())
    assert evidence.verdict.state == USED  # with two slots that are not read
    assert set(evidence.verdict.advice) == {"level_dropout", "fewer_levels"}
    assert any("4.159 nats under the uniform prior" in reason for reason in evidence.verdict.reasons)
    assert any("4 of 4 codes are taken, with a perplexity of 4" in reason for reason in evidence.verdict.reasons)
    assert evidence.groups.shape == (G,) and evidence.groups.perplexity == pytest.approx((4.0,) * G, rel=1e-3)
    assert Evidence.from_json(evidence.to_json()) == evidence


def test_a_learned_prior_is_told_from_the_uniform_one():
    reasons = look(Coded(prior=lambda: product())).verdict.reasons
    assert any("under the learned prior (4.159 under the uniform one)" in reason for reason in reasons)


@pytest.mark.parametrize(
    ("coded", "cause"),
    [(Coded((2, 2, 2, 2)), DEAD), (Coded(read=False), UNREACHED)],
)
def test_why_codes_are_not_used(coded, cause):
    verdict = look(coded).verdict
    assert (verdict.state, verdict.cause) == (COLLAPSED, cause)
    assert "kl_annealing" not in verdict.advice and "free_bits" not in verdict.advice


def test_places_with_a_code_of_their_own_ignore_x():
    class Fixed(Coded):
        def posterior(self, x):
            return Independent(Point(torch.tensor([[0], [1], [2]]).expand(len(x), -1, -1)), 2)

        def log_likelihood(self, x, z):
            return super().log_likelihood(x, z[..., 0])

    verdict = look(Fixed(prior=lambda: Independent(Categorical(torch.ones(G, 1, K)), 2))).verdict
    assert (verdict.state, verdict.cause) == (COLLAPSED, SAME)


def test_a_uniform_rate_is_no_reason_to_call_codes_half_used():
    """Many codes, of which the decoder reads a few nats: under the uniform prior nobody has paid for the others."""
    evidence = look(Coded())
    few = {**evidence.estimates, "worth_shuffled": evidence.estimates["mutual_information"]}
    assert few["worth_shuffled"].value < 0.5 * few["rate"].value
    assert judge(few, "table").state == USED
    learned = {**few, "rate_uniform": uniform_rate(model(space=Space((G,), 512)), 300)}
    assert judge(learned, "table").state == PARTLY


def test_evidence_does_not_depend_on_the_batches():
    coded = Coded(prior=lambda: product())
    x = coded.draw(60)
    one, other = (diagnose(coded, list(x.split(n)), nll_samples=1, gap_steps=0).estimates for n in (60, 7))
    for name in ("elbo", "rate", "mutual_information", "code_perplexity", "active_units"):
        assert one[name].value == pytest.approx(other[name].value), name
