"""What is wrong with a model or with data is found on some examples and named in one sentence."""

import pytest
import torch
from closed_forms import data, normals
from torch import nn
from torch.distributions import Bernoulli, Categorical, Laplace, Normal, StudentT
from torch.nn import functional

from buttress.diagnostics.check import check
from buttress.diagnostics.diagnose import diagnose
from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.modules import modules_of, training_parts
from buttress.diagnostics.protocol import Adapter
from buttress.diagnostics.verdict import judge

X = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
BITS = (X > 0).float()
W = torch.randn(2, 6, generator=torch.Generator().manual_seed(1))


def model(posterior=None, log_likelihood=None, **more):
    return Adapter(
        posterior or (lambda x: normals(x[:, :2].float(), 0.3)),
        lambda: normals(torch.zeros(2)),
        log_likelihood or (lambda x, z: Normal(z @ W, 0.7).log_prob(x).sum(-1)),
        **more,
    )


# --- the sign ---


@pytest.mark.parametrize(
    ("x", "wrong"),
    [
        (BITS, lambda x, z: -Bernoulli(logits=z @ W).log_prob(x).sum(-1)),
        (BITS, lambda x, z: (x - z @ W).square().sum(-1)),
        (X, lambda x, z: -Normal(z @ W, 0.7).log_prob(x).sum(-1)),
        (X, lambda x, z: (x - z @ W).square().sum(-1)),
        (
            X.sigmoid(),
            lambda x, z: functional.binary_cross_entropy_with_logits(
                z @ W, x.expand(*z.shape[:2], 6), reduction="none"
            ).sum(-1),
        ),
        (X, lambda x, z: -Laplace(z @ W, 0.7).log_prob(x).sum(-1)),
        (X, lambda x, z: (x - z @ W).abs().sum(-1)),
        ((X * 2).long().clamp(0, 3), lambda x, z: -Categorical(torch.ones(4)).log_prob(x).sum(-1) + 0 * z.sum(-1)),
    ],
)
def test_a_forgotten_minus_is_named(x, wrong):
    with pytest.raises(ValueError, match="is its sign forgotten") as failure:
        check(model(log_likelihood=wrong), list(x.split(50)))
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("x", "right"),
    [
        (BITS, lambda x, z: Normal(z @ W, 0.05).log_prob(x).sum(-1)),  # a density of bits, which may exceed 1
        (BITS, lambda x, z: Bernoulli(logits=z @ W).log_prob(x).sum(-1)),
        (X * 1e-3, lambda x, z: Normal(1e-3 * (z @ W), 1e-3).log_prob(x).sum(-1)),  # log-densities above 0
        (X, lambda x, z: StudentT(2.0, z @ W, 0.1).log_prob(x).sum(-1)),  # convex in its tails
        (X.sigmoid(), lambda x, z: -functional.binary_cross_entropy_with_logits(z @ W, x.expand(*z.shape[:2], 6),
                                                                               reduction="none").sum(-1)),
    ],
)  # fmt: skip
def test_what_is_right_passes(x, right):
    check(model(log_likelihood=right), list(x.split(50)))


# --- means and padding ---


def test_a_mean_over_columns_is_noted_and_named_as_the_cause():
    exact, batches = data(200, dims=20)
    vae = exact.vae()
    wrong = Adapter(vae.posterior, vae.prior, lambda x, z: vae.log_likelihood(x, z) / 20)
    (note,) = check(wrong, batches).notes
    assert "averaged over the 20 columns" in note and not check(vae, batches).notes
    evidence = diagnose(wrong, batches, nll_samples=0, gap_steps=5)
    assert note in evidence.notes
    wasted = {**evidence.estimates, "rate": Estimate(99.0, 0.1, 200, "closed form")}
    assert judge(wasted, "table").cause is not None
    verdict = judge(wasted, "table", evidence.notes)
    assert verdict.causes == ("the log-likelihood is averaged",) and note in verdict.reasons


def test_padding_that_is_counted_is_noted():
    words = torch.randint(1, 9, (60, 7))
    words[::2, 4:] = 0
    each = torch.randn(9).log_softmax(0)

    def sentences(mask):
        return lambda x, z: (each[x] * mask(x)).sum(-1).expand(z.shape[:2])

    read = lambda x: normals(x[:, :2].float() / 9)  # noqa: E731
    assert not check(model(read, sentences(lambda x: x != 0)), [words]).notes
    (note,) = check(model(read, sentences(torch.ones_like)), [words]).notes
    assert "counts padding: 2 more zeros" in note
    words[0, 0] = 0  # 0 is a word then
    assert not check(model(read, sentences(torch.ones_like)), [words]).notes


# --- the mode of the encoder ---


class Net(nn.Module):
    def __init__(self, *parts):
        super().__init__()
        self.parts = nn.Sequential(*parts)

    def posterior(self, x):
        return normals(self.parts(x)[:, :2], 0.3)


@pytest.mark.parametrize("make", [lambda: nn.Dropout(0.5), lambda: nn.BatchNorm1d(6)], ids=["dropout", "batch norm"])
@pytest.mark.parametrize("way", ["closure", "method", "partial"])
def test_modules_are_found_and_put_into_eval_mode(make, way):
    net = Net(part := make())
    if way == "closure":
        made = model(lambda x: net.posterior(x))
    elif way == "method":
        made = model(net.posterior)
    else:
        made = model(lambda x, read=net.posterior: read(x))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    evidence = diagnose(made, list(X.split(50)), nll_samples=0, gap_steps=0)
    assert any("training mode and was measured in eval mode" in note for note in evidence.notes)
    assert type(part).__name__ in " ".join(evidence.notes) and net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    net.eval()
    again = diagnose(made, list(X.split(50)), nll_samples=0, gap_steps=0)
    assert again.notes == () and again.estimates == evidence.estimates


@pytest.mark.parametrize(
    ("posterior", "message"),
    [
        (lambda x: normals(functional.dropout(x, 0.5)[:, :2], 0.3), "differs from one call to the next: is dropout on"),
        (lambda x: normals((x + torch.randn_like(x))[:, :2], 0.3), "differs from one call to the next"),
        (lambda x: normals((x - x.mean(0))[:, :2], 0.3), "depends on the other examples of its batch.*batch normal"),
        (lambda x: normals(functional.batch_norm(x, None, None, training=True)[:, :2], 0.3), "other examples"),
        (lambda x: normals((x + torch.arange(len(x))[:, None])[:, :2], 0.3), "or on their order"),
    ],
)
def test_a_posterior_that_is_not_one_of_x_alone_is_refused(posterior, message):
    with pytest.raises(ValueError, match=message):
        check(model(posterior), list(X.split(50)))


def test_modules_are_looked_for_where_people_keep_them():
    net = nn.Linear(2, 2)

    class Holder:
        def __init__(self):
            self.parts = {"net": [net]}

        def run(self, x):
            return self.parts["net"][0](x)

    inner = lambda x: net(x)  # noqa: E731
    for held in (Holder(), Holder().run, lambda x: inner(x), [inner]):
        assert net in modules_of(held)
    assert training_parts(nn.LSTM(2, 2, 2, dropout=0.1)) == ["LSTM"] and training_parts(nn.LSTM(2, 2)) == []


# --- the data ---


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_is_named_by_its_row(value):
    x = X.clone()
    x[135, 3] = value
    with pytest.raises(ValueError, match=r"x holds .* in example 135 \(row 35 of batch 2\).*drop or fill"):
        check(model(), list(x.split(50)))


def test_single_examples_in_place_of_batches_are_named():
    encoder, decoder = nn.Linear(6, 2), nn.Linear(2, 6)
    made = model(lambda x: normals(encoder(x), 0.5), lambda x, z: Normal(decoder(z), 0.5).log_prob(x).sum(-1))
    with pytest.raises(ValueError, match=r"each entry of the list is one example; wanted .* \(B, ...\).*torch.stack"):
        check(made, list(X))


def test_pictures_without_a_batch_dimension_are_named():
    conv, flat = nn.Conv2d(3, 4, 3), nn.Linear(4 * 36, 2)
    made = model(
        lambda x: normals(flat(conv(x).flatten(1)), 0.5),
        lambda x, z: -(x.flatten(1).sum(-1) - z.sum(-1)).square(),
    )
    with pytest.raises(ValueError, match="each entry of the list is one example"):
        check(made, list(torch.randn(20, 3, 8, 8)))
