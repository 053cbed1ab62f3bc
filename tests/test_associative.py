"""Associative compression: costs by closed forms, the store, and what a run does with it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, kl_divergence

from buttress.baseline import baseline
from buttress.cli import main as cli
from buttress.core import Space, Training, remedy
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.distributions.diagonal_mixture import DiagonalMixture
from buttress.experiments.daydream import daydreams
from buttress.experiments.examples import seeded, some_held_out
from buttress.nn.neighbours import greedy_tour
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.priors.associative import Associative
from buttress.priors.standard_normal import StandardNormal
from buttress.training.progress import Progress
from buttress.training.run import Run, train


def mixture(*shape, event=(3,)):
    """The same mixture by us and by torch, in float64."""
    logits, loc = torch.randn(*shape).double(), torch.randn(*shape, *event).double()
    scale = (0.5 * torch.randn_like(loc)).exp()
    theirs = MixtureSameFamily(Categorical(logits=logits), Independent(Normal(loc, scale), len(event)))
    return DiagonalMixture(logits, loc, scale), theirs


@pytest.mark.parametrize(("shape", "event"), [((5,), (3,)), ((2, 5), (3,)), ((5,), (2, 3)), ((2, 4, 5), (2, 3))])
def test_a_diagonal_mixture_is_that_of_torch(shape, event, monkeypatch):
    monkeypatch.setattr("buttress.distributions.diagonal_mixture.PAIRS", 11)  # in several parts
    ours, theirs = mixture(*shape, event=event)
    z = theirs.sample((7,))
    assert ours.sample((7,)).shape == z.shape and ours.sample().shape == theirs.sample().shape
    for one, other in ((ours.log_prob(z), theirs.log_prob(z)), (ours.mean, theirs.mean)):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(ours.variance, theirs.variance)
    wide = ours.expand((6, *ours.batch_shape))
    torch.testing.assert_close(wide.log_prob(z[:6]), theirs.log_prob(z[:6]))


def test_a_diagonal_mixture_keeps_its_digits_far_from_zero():
    """In float32 z^2 - 2 z mu + mu^2 would lose them."""
    loc, scale = torch.tensor([[1000.0], [1001.0]]), torch.full((2, 1), 0.01)
    found = DiagonalMixture(torch.zeros(2), loc, scale).log_prob(torch.tensor([1000.02]))
    wanted = Normal(1000.0, 0.01).log_prob(torch.tensor(1000.02)) - math.log(2)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_its_gradients_and_theirs_are_those_of_torch(monkeypatch):
    monkeypatch.setattr("buttress.distributions.diagonal_mixture.PAIRS", 11)
    ours, theirs = mixture(5)
    z = torch.randn(7, 3).double().requires_grad_()
    for order in (1, 2):
        one, other = (torch.autograd.grad(p.log_prob(z).sum(), z, create_graph=True)[0] for p in (ours, theirs))
        if order == 2:
            one, other = (torch.autograd.grad(slope.square().sum(), z)[0] for slope in (one, other))
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_that_does_not_learn_says_the_same_as_one_that_does(dtype, monkeypatch):
    """It makes its tables once, and reads only the components that weigh anything: here few, and one of no weight."""
    monkeypatch.setattr("buttress.distributions.diagonal_mixture.PAIRS", 100)
    logits, loc, scale = torch.randn(40), 20 * torch.randn(40, 3), (0.5 * torch.randn(40, 3)).exp()
    logits[3] = -torch.inf
    parts = [part.to(dtype) for part in (logits, loc, scale)]
    fixed, learned = DiagonalMixture(*parts), DiagonalMixture(*(part.clone().requires_grad_() for part in parts))
    z = torch.cat([parts[1] + 0.5, 500 + parts[1][:5]]).requires_grad_()  # at the means, and far from all of them
    made = []
    monkeypatch.setattr(fixed, "_tables", lambda own=fixed._tables: made.append(1) or own())
    for _ in range(2):
        values = fixed.log_prob(z), learned.log_prob(z)
        torch.testing.assert_close(*values)
        torch.testing.assert_close(*(torch.autograd.grad(value.sum(), z)[0] for value in values))
    assert made == [1]


def test_samples_of_a_batch_of_mixtures_are_those_of_each():
    ours, _ = mixture(2, 3, event=(1,))
    z = ours.sample((40_000,))
    assert ((z.mean(0) - ours.mean).abs() < 5 * z.std(0) / 200).all()
    assert ((z.var(0) - ours.variance).abs() < 0.1 * ours.variance).all()


def test_the_mode_is_the_best_of_the_means():
    p = DiagonalMixture(torch.tensor([[0.0, 1.0]]), torch.tensor([[[0.0], [9.0]]]), torch.tensor([[[0.1], [5.0]]]))
    assert p.mode.tolist() == [[0.0]]


def test_one_component_has_a_closed_form():
    ours, _ = mixture(4, 1, event=(2, 3))
    q = Normal(torch.randn(4, 2, 3).double(), 0.7)
    wanted = kl_divergence(q, Normal(ours.loc[:, 0], ours.scale[:, 0])).sum((1, 2))
    torch.testing.assert_close(ours.kl_from(q), wanted)
    assert mixture(4, 2)[0].kl_from(q) is None


def prior(**settings):
    torch.manual_seed(0)
    module = Associative(**{"neighbours": 2, "components": 3, "hidden": (8,), **settings}).build(Space((2,)))
    codes = torch.randn(20, 2) * 3
    module.refresh(lambda: iter([Independent(Normal(codes, 1.0), 1)]))
    return module, codes


def test_outside_training_the_prior_is_the_mean_over_all_codes():
    module, codes = prior()
    z = torch.randn(6, 2)
    with torch.no_grad():
        each = torch.stack([module.of_code(code).log_prob(z) for code in codes])
        torch.testing.assert_close(module().log_prob(z), each.logsumexp(0) - math.log(20))
        assert module() is module()  # made once, as long as nothing moves
        before = module().log_prob(z)
        module.out.bias.add_(1.0)
        assert not torch.allclose(module().log_prob(z), before)


def test_what_is_not_told_costs_what_it_takes_to_tell_it():
    """KL(q || mean over n) <= log N / K + the mean KL to the K nearest, one component each."""
    module, codes = prior(components=1)
    q = Normal(codes[:5], 1.0)
    z = q.sample((20_000,))
    with torch.no_grad():
        whole = (q.log_prob(z).sum(-1) - module().log_prob(z)).mean(0)
        near = module.of_code(module.near(codes[:5]))
        told = near.kl_from(Normal(codes[:5, None].expand(5, 2, 2), 1.0)).mean(1)
    assert (whole < told + math.log(20 / 2)).all()
    assert (whole > told).all()


def test_no_example_is_told_its_own_code_and_each_neighbour_comes_as_often():
    module, codes = prior()
    own = torch.arange(20)
    apart = torch.cdist(codes, codes).fill_diagonal_(torch.inf)
    wanted = apart.topk(2, largest=False).indices
    picked = torch.stack([module._picked(codes, own, torch.rand(20)) for _ in range(400)])
    assert not (picked == own).any()
    assert ((picked == wanted[:, 0]) | (picked == wanted[:, 1])).all()
    assert 0.4 < (picked == wanted[:, 0]).float().mean() < 0.6
    control, _ = prior(neighbour="random")
    picked = torch.stack([control._picked(codes, own, torch.rand(20)) for _ in range(2000)])
    assert not (picked == own).any() and len(picked[:, 3].unique()) == 19
    assert not (control.near(codes[:1]) == control.near(codes[:1])).all()


def test_a_step_stores_the_means_of_the_batch_and_no_gradient_reaches_a_code():
    module, _ = prior()
    before, mean = module.codes.clone(), torch.randn(3, 2, requires_grad=True)
    p = module.beside(lambda: Independent(Normal(mean, 1.0), 1), {"index": torch.tensor([4, 0, 7])})
    assert torch.equal(module.codes, before)  # nothing moves within a step
    p.log_prob(torch.zeros(3, 2)).sum().backward()
    assert mean.grad is None
    module.after_step()
    assert torch.equal(module.codes[[4, 0, 7]], mean.detach())
    assert module._neighbours().nearest(mean.detach(), 1).flatten().tolist() == [4, 0, 7]
    rest = [i for i in range(20) if i not in (4, 0, 7)]
    assert torch.equal(module.codes[rest], before[rest])


def test_codes_that_were_set_from_outside_are_the_ones_searched():
    module, codes = prior()
    module.near(codes)
    with torch.no_grad():
        module.codes.neg_()
    assert torch.equal(module.near(-codes)[:, 0], -codes)
    module.double()
    assert torch.equal(module.near(-codes)[:, 0], -codes.double())


def test_held_out_examples_have_neighbours_among_training_codes_only():
    """In eval mode a number of an example is that of a held-out one, and leaves nothing out."""
    data = LinearGaussianData(dim=4, n=50)
    recipe = replace(baseline(data, data.open().spec), prior=Associative(neighbours=2, components=2, hidden=(4,)))
    model = recipe.model(data.open().spec)
    x = torch.randn(5, 4)
    model.train()(x, given={"index": torch.arange(5)})
    assert len(model.prior._seen) == 1
    model.prior._seen.clear()
    model.eval()(x, given={"index": torch.arange(5)})
    assert not model.prior._seen


def test_a_store_of_another_size_is_loaded_and_of_another_width_is_not():
    module, codes = prior()
    fresh = Associative(neighbours=2, components=3, hidden=(8,)).build(Space((2,)))
    fresh.load_state_dict(module.state_dict())
    assert torch.equal(fresh.codes, codes) and torch.equal(fresh.near(codes), module.near(codes))
    with pytest.raises(RuntimeError, match="size mismatch"):
        Associative(neighbours=2, components=3, hidden=(8,)).build(Space((3,))).load_state_dict(module.state_dict())


def test_unit_variance_costs_half_the_square_of_the_mean():
    module = GaussianPosterior(dim=3, variance="unit").build(features=4)
    h = torch.randn(5, 4)
    latent = module.latent(h, Independent(Normal(torch.zeros(3), 1.0), 1))
    torch.testing.assert_close(latent.rate.sum(1), 0.5 * module(h).mean.square().sum(1))
    assert module(h).variance.eq(1).all() and module.linear.out_features == 3


@pytest.mark.parametrize(
    "settings", [{"neighbours": 0}, {"components": 0}, {"hidden": (4, 0)}], ids=["neighbours", "components", "hidden"]
)
def test_contradictions_are_refused(settings):
    with pytest.raises(ValueError, match="associative prior"):
        Associative(**settings)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short run on a table, with one component so that rates are closed forms."""
    data = LinearGaussianData(dim=4, n=120)
    recipe = remedy.apply("associative_prior:components=1:neighbours=3", baseline(data, data.open().spec))
    recipe = replace(recipe, training=Training(steps=30, batch_size=20, validate_every=15))
    return train(recipe, tmp_path_factory.mktemp("associative") / "run", progress=False)


def test_a_finished_run_holds_the_code_of_every_training_example(run):
    with torch.no_grad():
        fresh = run.model.posterior(run.splits().train.read(torch.arange(108)).x).mean
    torch.testing.assert_close(run.model.prior.codes, fresh, rtol=1e-3, atol=1e-4)


def test_what_a_neighbour_saves_is_measured_apart_from_the_bound(run):
    """The bound is that of p(z), and no lower than log N / K allows."""
    found = run.diagnose(gap_steps=0, nll_samples=0).estimates
    batches, module = run.held_out(), run.model.prior
    with torch.no_grad():
        codes = torch.cat([run.model.posterior(batches[i].x).mean for i in range(len(batches))])
        tour = greedy_tour(codes)
        unordered = module.of_code(module.near(codes)).kl_from(Normal(codes[:, None].expand(-1, 3, -1), 1.0)).mean(1)
        told = module.of_code(codes[tour[:-1]]).kl_from(Normal(codes[tour[1:]], 1.0))
        q = Normal(codes, 1.0)
        z = q.sample((5000,))
        whole = (q.log_prob(z).sum(-1) - module().log_prob(z)).mean(0)
    ordered = torch.cat([told, whole[tour[:1]]])
    for name, wanted in (("unordered_rate", unordered), ("ordered_rate", ordered), ("rate", whole)):
        assert found[name].value == pytest.approx(wanted.mean().item(), abs=0.2), name
    assert found["mixture_rate"].value < found["unordered_rate"].value
    assert found["rate"].value < found["unordered_rate"].value + math.log(108 / 3) + 0.1
    assert found["ordered_cost"].value == pytest.approx(found["ordered_rate"].value + found["distortion"].value)


def test_a_daydream_goes_from_each_code_to_the_mode_beside_it(run, capsys):
    raw = some_held_out(run, 3)
    found = daydreams(run, raw, steps=2, seed=4)
    assert found.shape == (3, 3, 4) and torch.equal(found[:, 0], raw.x)
    with seeded(4):
        for step in (1, 2):
            code = run.model.posterior(found[:, step - 1]).mean
            one = run.model.prior.of_code(code).loc[:, 0]  # the only component
            torch.testing.assert_close(found[:, step], run.model.decode(one).sample())
    assert cli.main(["daydream", str(run.folder), "--count", "2", "--steps", "3"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 2 * 4
    assert cli.main(["sample", str(run.folder), "--count", "5"]) == 0
    with pytest.raises(ValueError, match="steps is 0"):
        daydreams(run, raw, steps=0)


def test_other_priors_do_not_daydream(run):
    model = replace(run.recipe, prior=StandardNormal()).model(run.spec)
    other = Run(run.folder, replace(run.recipe, prior=StandardNormal()), run.spec, model, run.splits())
    with pytest.raises(ValueError, match="the standard_normal prior is told no code"):
        daydreams(other, some_held_out(other, 2))


def test_a_run_that_was_stopped_makes_its_codes_anew_before_it_is_measured(run, monkeypatch):
    stale = Run.load(run.folder)
    monkeypatch.setattr(Run, "progress", Progress(step=20, total=30))
    stale.model.prior.codes.zero_()
    stale._refresh(seed=0)
    torch.testing.assert_close(stale.model.prior.codes, run.model.prior.codes, rtol=1e-3, atol=1e-4)
