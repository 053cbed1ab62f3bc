"""The wider doors: conditions, levels, positions, true lengths, and parts from outside the package."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

from buttress import api
from buttress.conditions.embedding import Embedding
from buttress.core import Column, DataSpec, Layout, Space
from buttress.core.model import LatentVariableModel
from buttress.decoders.conv import ConvDecoder
from buttress.decoders.mlp import MlpDecoder
from buttress.decoders.recurrent import RecurrentDecoder
from buttress.encoders.conv import ConvEncoder
from buttress.encoders.mlp import MlpEncoder
from buttress.encoders.recurrent import RecurrentEncoder
from buttress.likelihoods.bernoulli import Bernoulli
from buttress.likelihoods.categorical import Categorical
from buttress.likelihoods.gaussian import GaussianLikelihood
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.posteriors.hierarchical_quantized import HierarchicalQuantized
from buttress.priors.conditional_normal import ConditionalNormal
from buttress.priors.level_product import LevelProduct
from buttress.priors.standard_normal import StandardNormal

LABELLED = DataSpec(Layout.table(3), given=(Column("label", classes=3),))


def conditional(prior=None, condition=None) -> LatentVariableModel:
    parts = (MlpEncoder((6,)), GaussianPosterior(2), prior or StandardNormal(), MlpDecoder((6,)), GaussianLikelihood())
    return LatentVariableModel(LABELLED, *parts, condition or Embedding(dim=4))


def test_posterior_and_decoder_read_the_label_of_their_own_row():
    model, x = conditional(), torch.zeros(4, 3)
    labels, others = torch.tensor([0, 1, 2, 0]), torch.tensor([0, 1, 1, 0])
    q, r = (model.posterior(x, {"label": y}).mean for y in (labels, others))
    assert torch.equal(q[[0, 1, 3]], r[[0, 1, 3]]) and not torch.equal(q[2], r[2])
    z = torch.zeros(5, 4, 2)
    p, s = (model.log_likelihood(x, z, {"label": y}) for y in (labels, others))
    assert torch.equal(p[:, [0, 1, 3]], s[:, [0, 1, 3]]) and not torch.equal(p[:, 2], s[:, 2])


def test_a_prior_depends_on_its_label_and_the_rate_is_that_of_the_pair():
    model = conditional(ConditionalNormal(dim=2))
    nn.init.normal_(model.prior.linear.weight)
    given = {"label": torch.tensor([0, 2])}
    x, p = torch.randn(2, 3), model.prior(given)
    assert p.batch_shape == (2,) and not torch.equal(p.mean[0], p.mean[1])
    q = model.posterior(x, given)
    wanted = torch.distributions.kl_divergence(q.base_dist, p.base_dist)
    torch.testing.assert_close(model(x, given=given).latent.kl, wanted)
    assert model.sample(2, given=given).shape == (2, 3) and model.reads == ("label",)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "needs 'label' for every example, and only nothing is given"),
        ({"label": torch.tensor([0, 7])}, "outside 0 to"),
    ],
)
def test_a_missing_or_impossible_condition_is_named(given, complaint):
    with pytest.raises(ValueError, match=complaint):
        conditional().posterior(torch.zeros(2, 3), given)


def test_data_without_conditions_are_refused_before_anything_is_built():
    parts = (MlpEncoder(), GaussianPosterior(2), StandardNormal(), MlpDecoder(), GaussianLikelihood())
    with pytest.raises(ValueError, match="the data offer nothing to condition on"):
        LatentVariableModel(DataSpec(Layout.table(3)), *parts, Embedding())
    with pytest.raises(ValueError, match=r"conditional_normal prior: .* nothing to condition on"):
        LatentVariableModel(DataSpec(Layout.table(3)), *parts[:2], ConditionalNormal(), *parts[3:])
    assert Column("label", classes=2, values=("cat", "dog")).number("dog") == 1
    with pytest.raises(ValueError, match="got 'cow', wanted cat, dog"):
        Column("label", classes=2, values=("cat", "dog")).number("cow")


def two_levels() -> LatentVariableModel:
    torch.manual_seed(0)
    spec = DataSpec(Layout.image(1, 8, 8))
    parts = (ConvEncoder((4,), spatial=True), HierarchicalQuantized(codes=3, dim=2), LevelProduct(layers=2, channels=4))
    return LatentVariableModel(spec, *parts, ConvDecoder((4,)), Bernoulli())


def test_two_levels_are_one_row_of_codes_with_a_view_of_each():
    model, x = two_levels(), torch.rand(5, 1, 8, 8).round()
    top, bottom = model.space.levels
    codes = model.posterior(x).sample()
    assert (top.shape, bottom.shape, codes.shape) == ((2, 2, 1), (4, 4, 1), (5, 20))
    assert torch.equal(torch.cat([top.view(codes).flatten(1), bottom.view(codes).flatten(1)], 1), codes)
    terms = model(x)
    assert (
        terms.latent.rate.shape == (5, 20)
        and model.groups[0].startswith("top/")
        and model.groups[4].startswith("bottom/")
    )
    torch.testing.assert_close(terms.latent.rate.sum(1), -model.prior().log_prob(codes))


def test_the_bottom_prior_reads_all_of_the_top_and_the_top_none_of_the_bottom():
    prior = LevelProduct(layers=2, channels=4).build(Space.stacked([("top", (1, 2, 1), 3), ("bottom", (2, 2, 1), 3)]))
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.normal_()
    codes = torch.zeros(1, 6, dtype=torch.long)
    before = prior.score(codes, prior.one.expand(1, 1))[0]
    for place in range(6):
        changed = codes.clone()
        changed[0, place] = 1
        moved = (prior.score(changed, prior.one.expand(1, 1))[0] - before).abs() > 1e-6
        assert moved[place] and not moved[:place].any()
        if place < 2:
            assert moved[2:].all()


def test_cached_sampling_of_two_levels_equals_the_naive_loop():
    prior = LevelProduct(layers=2, channels=4).build(Space.stacked([("top", (2, 1, 1), 4), ("bottom", (3, 2, 1), 4)]))
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.normal_(std=0.5)
    p = prior()
    torch.manual_seed(1)
    fast = p.sample((16,))
    torch.manual_seed(1)
    assert torch.equal(fast, p.sample_naively((16,)))
    every = torch.cartesian_prod(*[torch.arange(2)] * 5)
    small = LevelProduct(layers=2, channels=4).build(Space.stacked([("top", (1, 1, 1), 2), ("bottom", (2, 2, 1), 2)]))
    assert small().log_prob(every).exp().sum().item() == pytest.approx(1, abs=1e-5)


TEXT = DataSpec(Layout.text(9, longest=6))


def positions() -> LatentVariableModel:
    torch.manual_seed(0)
    parts = (RecurrentEncoder(4, 5, positions=True), GaussianPosterior(2), StandardNormal(), RecurrentDecoder(4, 5))
    return LatentVariableModel(TEXT, *parts, Categorical())


def test_what_lies_beyond_an_examples_length_costs_nothing_and_is_never_read():
    model = positions().eval()
    x = torch.tensor([[5, 6, 2, 0, 0], [5, 6, 7, 8, 2]])
    terms = model(x, samples=3)
    rate = terms.latent.rate.unflatten(1, (6, 2))
    assert rate.shape == (2, 6, 2) and (rate[0, 3:] == 0).all() and (rate[0, :3] > 0).all() and (rate[1, 5:] == 0).all()
    z = model.posterior(x).sample((3,))
    moved = z.clone()
    moved[:, 0, 3:] += 5.0
    assert torch.equal(model.log_likelihood(x, z)[:, 0], model.log_likelihood(x, moved)[:, 0])
    moved[:, 0, 1] += 5.0
    assert not torch.equal(model.log_likelihood(x, z)[:, 0], model.log_likelihood(x, moved)[:, 0])


def test_z_of_a_position_meets_the_decoder_at_its_step():
    model = positions().eval()
    x, z = torch.tensor([[5, 6, 7, 2]]), torch.zeros(1, 6, 2, requires_grad=True)
    hidden = model.decoder.states(z.flatten(1), x)
    for t in range(4):
        (slope,) = torch.autograd.grad(hidden[0, t].sum(), z, retain_graph=True)
        read = slope[0].abs().sum(-1) > 0
        assert read[: t + 1].all() and not read[t + 1 :].any()


def test_padding_a_sentence_further_changes_nothing():
    model = positions().eval()
    short, long = torch.tensor([[5, 6, 2]]), torch.tensor([[5, 6, 2, 0, 0, 0]])
    one, other = model.posterior(short), model.posterior(long)
    assert torch.equal(one.mean, other.mean) and torch.equal(one.variance, other.variance)
    z = one.mean[None]
    torch.testing.assert_close(model.log_likelihood(short, z), model.log_likelihood(long, z))


def test_frames_beyond_the_true_length_add_no_nats():
    spec = DataSpec(Layout.frames(2, longest=4), mean=torch.tensor([1.0, -2.0]), std=torch.tensor([2.0, 0.5]))
    likelihood = GaussianLikelihood(learned="fixed", variance=1.0).build(spec)
    parameters, x = torch.randn(3, 2, 4, 2), torch.randn(2, 4, 2)
    lengths = torch.tensor([4, 2])
    found = likelihood(parameters, {"lengths": lengths}).log_prob(x)
    each = Normal(parameters * spec.std + spec.mean, spec.std).log_prob(x).sum(-1)
    wanted = torch.stack([each[:, 0].sum(-1), each[:, 1, :2].sum(-1)], 1)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(likelihood(parameters).log_prob(x), each.sum(-1))


SCRIPT = '''
from __future__ import annotations
import sys
from dataclasses import dataclass, replace
import torch
from torch import nn
import buttress as bt
from buttress.core import EMPTY, DataSpec, Encoder, EncoderModule

@dataclass(frozen=True)
class Signs(Encoder):
    size: int = 8
    def build(self, spec):
        return SignsModule(self.size, spec.shape[0])

class SignsModule(EncoderModule):
    def __init__(self, size, columns):
        super().__init__()
        self.features, self.net = size, nn.Linear(columns, size)
    def forward(self, x, given=EMPTY):
        return self.net(x.sign())

bt.register(Signs)

@bt.register
@bt.remedy(family="tweak the ELBO", source="me", takes={"posterior.dim": ...}, needs={"posterior": ("gaussian",)})
def narrow(recipe, dim: int = 1):
    """Fewer dimensions."""
    return replace(recipe, posterior=recipe.posterior.replace(dim=dim))

if __name__ == "__main__":
    folder = sys.argv[1]
    parts = {"encoder": "signs", "steps": 6, "batch_size": 8, "progress": False}
    run = bt.train("linear_gaussian", folder + "/run", remedies="narrow:dim=2", **parts)
    again = bt.train("linear_gaussian", folder + "/run", remedies="narrow:dim=2", resume=True, **parts)
    assert torch.equal(run.sample(2), again.sample(2)) and run.recipe.posterior.dim == 2
    parts.pop("progress")
    table = bt.compare("linear_gaussian", [narrow], out=folder + "/all", seeds=1,
                       evidence={"nll_samples": 0, "gap_steps": 0}, **parts)
    assert not table.failed, table.failed
    assert bt.load(folder + "/all/narrow/seed-0").recipe.encoder == Signs()
    print("done")
'''


def test_a_part_and_a_remedy_from_a_script_are_trained_resumed_compared_and_loaded(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(textwrap.dedent(SCRIPT))
    done = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0 and "done" in done.stdout, done.stderr
    code = f"import buttress as bt; bt.load({str(tmp_path / 'run')!r})"  # a process in which nobody has registered it
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=False)
    assert "encoders has no 'signs'" in said.stderr


def test_a_part_that_is_not_registered_is_refused_before_the_first_step(tmp_path):
    from dataclasses import dataclass, replace

    from buttress.core import Encoder

    @dataclass(frozen=True)
    class Stranger(Encoder):
        def build(self, spec):
            raise AssertionError("built")

    recipe = replace(api.recipe_for("linear_gaussian", steps=2), encoder=Stranger())
    with pytest.raises(ValueError, match=r"register it first with buttress.register"):
        recipe.check()


def test_a_module_of_ones_own_is_trained_and_opened_again(tmp_path):
    x = torch.rand(120, 1, 6, 6).round()
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 7), nn.Tanh())
    mirror = nn.Sequential(nn.Linear(16, 36), nn.Unflatten(1, (1, 6, 6)))
    run = api.train(x, tmp_path / "own", encoder=net, decoder=mirror, steps=3, batch_size=8, progress=False)
    again = api.load(tmp_path / "own", encoder=net, decoder=mirror)
    assert torch.equal(run.sample(2), again.sample(2))


@pytest.mark.parametrize(
    ("module", "complaint"),
    [
        (nn.Linear(3, 2), "fails on x of shape"),
        (lambda: nn.Linear(5, 2).forward, "gave a method, wanted a torch.nn.Module"),
    ],
)
def test_a_module_that_does_not_fit_is_named_before_training(tmp_path, module, complaint):
    with pytest.raises(ValueError, match=complaint):
        api.train(torch.randn(100, 5), tmp_path / "own", encoder=module, steps=3, progress=False)


def test_an_encoder_that_gives_mean_and_variance_is_told_what_is_wanted(tmp_path):
    class Both(nn.Module):
        def forward(self, x):
            return x, x

    with pytest.raises(ValueError, match=r"your encoder Both gave a tuple of 2, wanted one tensor: features"):
        api.train(torch.randn(100, 5), tmp_path / "own", encoder=Both(), steps=3, progress=False)


class Pairs(torch.utils.data.Dataset):
    """Thirty images with labels."""

    def __len__(self):
        return 30

    def __getitem__(self, i):
        return torch.full((1, 2, 2), i / 30), i % 3


MADE = torch.rand(30, 1, 2, 2, generator=torch.Generator().manual_seed(0))
"""Not drawn afresh: one set in 25 has no example whose hash is held out."""


@pytest.mark.parametrize(
    "data",
    [
        MADE,
        MADE.numpy(),
        Pairs(),
        torch.utils.data.DataLoader(Pairs(), batch_size=7),
        [
            {"image": MADE[:15], "label": torch.arange(15)},
            {"image": MADE[15:], "label": torch.arange(15)},
        ],
    ],
    ids=["tensor", "array", "dataset", "loader", "dicts"],
)
def test_data_of_every_form_become_images(data, own_cache):
    from buttress.data.in_memory import as_data

    splits = as_data(data).open()
    assert splits.spec.shape == (1, 2, 2) and len(splits.train) + len(splits.held_out) == 30
    assert (splits.labels is not None) == (not isinstance(data, torch.Tensor) and not hasattr(data, "dtype"))


def test_sentences_in_a_list_and_what_is_no_data(own_cache):
    from buttress.data.in_memory import as_data

    assert as_data([f"this is sentence number {i}" for i in range(40)]).open().spec.layout.tokens
    for wrong, complaint in ((3, "data is a int"), ([{"z": torch.zeros(2)}], "has the keys z"), ([], "no examples")):
        with pytest.raises(ValueError, match=complaint):
            as_data(wrong)


def test_a_prior_per_example_is_a_distribution_per_row():
    p = Independent(Normal(torch.zeros(4, 2), 1.0), 1)
    q = Independent(Normal(torch.ones(4, 2), 1.0), 1)
    from buttress.distributions.inspect import closed_form_kl

    assert closed_form_kl(q, p).tolist() == [[0.5, 0.5]] * 4
