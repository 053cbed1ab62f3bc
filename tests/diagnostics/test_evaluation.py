import pytest
import torch
from closed_forms import data, normals, toy
from torch import nn
from torch.distributions import Bernoulli, Categorical, Independent

from buttress.diagnostics.diagnose import diagnose
from buttress.diagnostics.evaluation import choose, decode, draw, evaluating
from buttress.diagnostics.passes import passes
from buttress.diagnostics.protocol import Adapter
from buttress.runtime.memory import pairs_at_once
from buttress.runtime.randomness import noise


class Small(nn.Module):
    """A VAE with everything that depends on the mode: dropout and batch normalisation."""

    def __init__(self):
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 4))
        self.decode = nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5), nn.Linear(8, 6))
        self.decode[1].eval()  # a part that was frozen on purpose

    def posterior(self, x):
        mean, raw = self.encode(x).chunk(2, -1)
        return normals(mean, raw.exp())

    def prior(self):
        return normals(torch.zeros(2))

    def log_likelihood(self, x, z):
        return Independent(Bernoulli(logits=self.decode(z)), 1).log_prob(x)


X = (torch.rand(40, 6, generator=torch.Generator().manual_seed(0)) > 0.5).float()


def quick(model, batches, **settings):
    return diagnose(model, batches, nll_samples=5, gap_steps=4, **settings)


@pytest.mark.parametrize("way", ["module", "methods", "functions"])
def test_measuring_leaves_no_trace(way):
    net = Small()
    model = {
        "module": net,
        "methods": Adapter(net.posterior, net.prior, net.log_likelihood),
        "functions": Adapter(lambda x: net.posterior(x), net.prior, lambda x, z: net.log_likelihood(x, z), module=net),
    }[way]
    modes = [module.training for module in net.modules()]
    before = {name: value.clone() for name, value in net.state_dict().items()}
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    quick(model, [X])
    assert torch.equal(torch.rand(3), expected)
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    assert torch.is_grad_enabled()


def test_modes_come_back_after_an_error():
    net = Small()
    broken = Adapter(net.posterior, net.prior, lambda x, z: 1 / 0, module=net)
    with pytest.raises(ValueError, match="division by zero"):
        quick(broken, [X])
    assert net.training and not net.decode[1].training


def test_the_seed_decides_everything():
    net = Small()
    torch.manual_seed(1)
    one = quick(net, [X], seed=3)
    torch.manual_seed(2)
    assert quick(net, [X], seed=3).to_json() == one.to_json()
    assert quick(net, [X], seed=4).estimates["elbo"].value != one.estimates["elbo"].value


def numbers(evidence):
    found = {name: (e.value, e.error) for name, e in evidence.estimates.items()}
    return {k: torch.tensor([v or 0.0 for v in pair]) for k, pair in found.items()}


@pytest.mark.parametrize("settings", [{}, {"nll_examples": 9, "gap_examples": 7, "mi_examples": 11}])
def test_nothing_depends_on_the_batch_size(settings):
    net = Small()
    whole = numbers(quick(net, [X], **settings))
    for size in (1, 7, 39):
        parts = numbers(quick(net, list(X.split(size)), **settings))
        for name, value in parts.items():
            assert torch.allclose(value, whole[name], rtol=1e-3, atol=2e-4), name


def test_twice_the_data_give_the_same_numbers():
    model, batches = data(200)
    x = torch.cat(batches)
    vae = model.lagging(0.7)
    once, twice = (diagnose(vae, b, nll_samples=20, gap_steps=0).estimates for b in ([x], [x, x]))
    for name in ("elbo", "distortion", "rate", "mutual_information", "nll", "worth_prior"):
        assert twice[name].value == pytest.approx(once[name].value, abs=4 * once[name].error + 1e-9)
    assert twice["active_units"].value == once["active_units"].value


def test_noise_belongs_to_the_example():
    whole = noise(torch.arange(10), 3, (2,), seed=5, stream="a")
    assert torch.equal(noise(torch.tensor([7, 2]), 3, (2,), 5, "a"), whole[:, [7, 2]])
    assert not torch.equal(noise(torch.arange(10), 3, (2,), 5, "b"), whole)
    many = noise(torch.arange(2000), 4, (3,), 0, "moments")
    assert abs(many.mean().item()) < 0.03 and abs(many.std().item() - 1) < 0.03
    assert torch.corrcoef(many[0].T).fill_diagonal_(0).abs().max() < 0.1


def test_draws_of_any_family_repeat():
    q = Independent(Categorical(logits=torch.zeros(6, 2, 4)), 1)
    with evaluating(object()):
        one, other = (draw(q, torch.arange(6), 5, 3, "codes") for _ in range(2))
    assert one.shape == (5, 6, 2) and torch.equal(one, other)


def test_blocks_keep_numbers_and_widths():
    batches = [torch.ones(3, 5), torch.ones(4, 2)]
    blocks = passes(toy(normals), batches, 2, torch.tensor([1, 2, 5]))
    found = [(block.index.tolist(), tuple(block.x.shape)) for block in blocks]
    assert found == [([1, 2], (2, 5)), ([5], (1, 2))]


def test_a_choice_is_fair_and_sorted():
    chosen = torch.stack([choose(20, 5, seed) for seed in range(400)])
    assert (chosen.diff() > 0).all()
    assert (torch.bincount(chosen.flatten(), minlength=20) - 100).abs().max() < 45


def test_decoding_in_pieces_equals_decoding_at_once():
    x, z = torch.randn(300, 2000), torch.randn(7, 300, 2000)
    model = toy(lambda x: normals(x), log_likelihood=lambda x, z: (x * z).sum(-1))
    assert pairs_at_once(x) < 300
    assert torch.allclose(decode(model, x, z), (x * z).sum(-1).double())


def test_nan_in_a_later_batch_stops_with_a_reason():
    bad = X.clone()
    bad[5] = torch.nan
    model = toy(lambda x: normals(torch.zeros(len(x), 1)), log_likelihood=lambda x, z: x.sum(-1) + 0 * z.sum(-1))
    with pytest.raises(ValueError, match="NaN"):
        quick(model, [X, bad])
