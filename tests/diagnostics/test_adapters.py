"""Models and data as people have them: modules that return tuples, loaders of pairs and dicts."""

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Independent, Normal
from torch.utils.data import DataLoader, TensorDataset

from buttress.core.batch import Batch
from buttress.diagnostics.adapters.loaders import loaded, with_conditions
from buttress.diagnostics.diagnose import diagnose
from buttress.diagnostics.evidence import Evidence, Groups
from buttress.diagnostics.protocol import Adapter

PIXELS, LATENTS = 16, 3
QUICK = {"nll_samples": 5, "gap_steps": 0}


class Named(NamedTuple):
    x_hat: torch.Tensor
    z_mean: torch.Tensor
    z_log_var: torch.Tensor


class Out:
    def __init__(self, **named):
        self.__dict__.update(named)


FORMS = {
    "tuple": lambda r, x, m, v, z: (r, m, v),
    "list with the input": lambda r, x, m, v, z: [r, x, m, v],
    "dict": lambda r, x, m, v, z: {"loss": m.sum(), "recon_x": r, "mu": m, "log_var": v, "z": z},
    "named tuple": lambda r, x, m, v, z: Named(r, m, v),
    "object": lambda r, x, m, v, z: Out(reconstruction=r, mean=m, logvar=v),
}


class VAE(nn.Module):
    """As in a thousand repositories."""

    def __init__(self, form="tuple", finish=lambda r: r):
        super().__init__()
        self.fc1, self.drop = nn.Linear(PIXELS, 8), nn.Dropout(0.2)
        self.fc_mu, self.fc_var = nn.Linear(8, LATENTS), nn.Linear(8, LATENTS)
        self.decoder, self.form, self.finish = nn.Linear(LATENTS, PIXELS), form, finish

    def encode(self, x):
        h = self.drop(torch.relu(self.fc1(x.flatten(1))))
        return self.fc_mu(h), self.fc_var(h)

    def forward(self, x):
        mu, logvar = self.encode(x)
        z = mu + torch.randn_like(mu) * (0.5 * logvar).exp()
        return FORMS[self.form](self.finish(self.decoder(z)), x, mu, logvar, z)


class Decodes(VAE):
    """The same with a method ``decode`` and images in and out."""

    def decode(self, z):
        return torch.sigmoid(self.decoder(z)).view(-1, 1, 4, 4)

    def forward(self, x):
        mu, logvar = self.encode(x)
        z = mu + torch.randn_like(mu) * (0.5 * logvar).exp()
        return self.decode(z), mu, logvar


def bits(n=120):
    return (torch.rand(n, PIXELS, generator=torch.Generator().manual_seed(0)) > 0.5).float()


def by_hand(vae, log_prob):
    def posterior(x):
        mu, logvar = vae.encode(x)
        return Independent(Normal(mu, (0.5 * logvar).exp()), 1)

    return Adapter(
        posterior,
        lambda: Independent(Normal(torch.zeros(LATENTS), 1.0), 1),
        lambda x, z: log_prob(vae.decoder(z), x).sum(-1),
        module=vae,
    )


def numbers(evidence):
    return {name: found.value for name, found in evidence.estimates.items() if found.value is not None}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_numbers_of_three_callables(form):
    vae, x = VAE(form), bits()
    expected = numbers(diagnose(by_hand(vae, lambda r, x: Bernoulli(logits=r).log_prob(x)), [x], **QUICK))
    evidence = diagnose(vae, x, likelihood="bernoulli", **QUICK)
    assert numbers(evidence) == pytest.approx(expected, rel=1e-4)
    assert any("taken as logits" in note for note in evidence.notes)
    assert any("training mode and was measured in eval mode, with Dropout" in note for note in evidence.notes)
    assert vae.training


def test_a_sigmoid_in_forward_is_found():
    vae, x = VAE(finish=torch.sigmoid), bits()
    expected = numbers(diagnose(by_hand(vae, lambda r, x: Bernoulli(logits=r).log_prob(x)), [x], **QUICK))
    evidence = diagnose(vae, x, likelihood="bernoulli", **QUICK)
    assert numbers(evidence) == pytest.approx(expected, rel=1e-3)
    assert any("applies a sigmoid to what decoder(z) gives" in note for note in evidence.notes)
    assert any("taken as probabilities" in note for note in evidence.notes)


def test_images_go_through_decode():
    vae, x = Decodes(), bits().view(-1, 1, 4, 4)
    evidence = diagnose(vae, list(x.split(50)), likelihood="bernoulli", **QUICK)
    assert evidence.kind == "image" and "decode" not in vae.__dict__
    expected = by_hand(vae, lambda r, x: Bernoulli(logits=r).log_prob(x))
    assert numbers(evidence)["elbo"] == pytest.approx(numbers(diagnose(expected, [bits()], **QUICK))["elbo"], rel=1e-4)


@pytest.mark.parametrize(("named", "variance"), [("mse", 0.5), ("gaussian", 0.3)])
def test_squared_errors_are_gaussians_of_a_variance(named, variance):
    vae, x = VAE(), torch.randn(100, PIXELS)
    expected = by_hand(vae, lambda r, x: Normal(r, math.sqrt(variance)).log_prob(x))
    given = {"variance": variance} if named == "gaussian" else {}
    evidence = diagnose(vae, x, likelihood=named, **given, **QUICK)
    assert numbers(evidence) == pytest.approx(numbers(diagnose(expected, [x], **QUICK)), rel=1e-4)
    told = [note for note in evidence.notes if note.startswith("mse")]
    assert bool(told) == (named == "mse")
    if told:
        assert "sigma^2 = 1/2" in told[0] and "sigma^2 = 8, as if the KL had 16 times its weight" in told[0]
        assert "weight (beta)" in told[1]


class NoDecoder(VAE):
    def __init__(self):
        super().__init__()
        self.fc_out = self.decoder
        del self.decoder

    def forward(self, x):
        mu, logvar = self.encode(x)
        return self.fc_out(mu), mu, logvar


class Twisted(VAE):
    def forward(self, x):
        recon, mu, logvar = super().forward(x)
        return 2 * recon + 1, mu, logvar


class Returns(VAE):
    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, x):
        return self.change(*super().forward(x))


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        (VAE(), {}, r"has no posterior\(\).*name the likelihood of recon: 'bernoulli'"),
        (VAE(), {"likelihood": "beta"}, "likelihood is 'beta', wanted one of bernoulli, gaussian, mse, poisson"),
        (VAE(), {"likelihood": "gaussian"}, "without a variance"),
        (VAE(), {"likelihood": "mse", "variance": 1.0}, "came with a variance"),
        (VAE(), {"likelihood": "gaussian", "variance": -1.0}, "variance is -1.0, wanted a finite number above 0"),
        (
            NoDecoder(),
            {"likelihood": "mse"},
            r"neither decode\(z\) nor decoder\(z\).*z than those forward draws; give it a method decode",
        ),
        (Twisted(), {"likelihood": "mse"}, r"another recon than decoder gives for its z"),
        (Returns(lambda r, m, v: r), {"likelihood": "mse"}, r"gave one tensor of shape \(60, 16\); wanted \(recon"),
        (Returns(lambda r, m, v: (r, m, v, m)), {"likelihood": "mse"}, r"gave 4 values .*wanted \(recon, mu, logvar\)"),
        (Returns(lambda r, m, v: (m, r, v)), {"likelihood": "mse"}, r"mu \(60, 16\) and logvar \(60, 3\)"),
        (
            Returns(lambda r, m, v: {"out": r, "mu": m}),
            {"likelihood": "mse"},
            "gave out, mu, and no tensor called recon",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(model, settings, message):
    with pytest.raises(ValueError, match=message) as failure:
        diagnose(model, torch.randn(60, PIXELS), **settings, **QUICK)
    assert "\n" not in str(failure.value)


def test_bits_are_wanted_for_bernoulli():
    with pytest.raises(ValueError, match=r"x runs from -.* wanted 0 to 1"):
        diagnose(VAE(), torch.randn(60, PIXELS), likelihood="bernoulli", **QUICK)
    evidence = diagnose(VAE(), torch.rand(60, PIXELS), likelihood="bernoulli", **QUICK)
    assert any("cross-entropy is a loss" in note for note in evidence.notes)


# --- data ---

X, Y = bits(30), torch.arange(30) % 3
DATA = {
    "tensor": (X, False),
    "array": (X.numpy(), False),
    "array of float64": (X.double().numpy(), False),
    "list": (list(X.split(8)), False),
    "list of arrays": ([X[:20].numpy(), X[20:].numpy()], False),
    "loader of x": (DataLoader(X, batch_size=7), False),
    "loader of (x,)": (DataLoader(TensorDataset(X), batch_size=7), False),
    "loader of pairs": (DataLoader(TensorDataset(X, Y), batch_size=7), True),
    "data set of pairs": (TensorDataset(X, Y), True),
    "list of pairs": ([(X[:20], Y[:20]), (X[20:], Y[20:])], True),
    "dicts": ([{"pixel_values": X[:20], "label": Y[:20]}, {"pixel_values": X[20:], "label": Y[20:]}], True),
}


@pytest.mark.parametrize("form", DATA)
def test_data_of_every_form_are_read(form):
    data, labelled = DATA[form]
    vae = VAE()
    evidence, plain = (diagnose(vae, d, likelihood="bernoulli", **QUICK) for d in (data, X))
    assert evidence.n == 30 and numbers(evidence)["elbo"] == pytest.approx(numbers(plain)["elbo"], rel=1e-5)
    assert ("label_accuracy" in evidence.estimates) == labelled


def test_real_targets_are_no_labels_of_a_probe():
    found = diagnose(VAE(), TensorDataset(X, torch.randn(30)), likelihood="bernoulli", **QUICK).estimates
    assert "label_accuracy" not in found


class CVAE(VAE):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(3, PIXELS)

    def decode(self, z, y):
        return self.decoder(z) + self.embedding(y)

    def forward(self, x, y):
        mu, logvar = self.encode(x - self.embedding(y))
        return self.decode(mu + torch.randn_like(mu) * (0.5 * logvar).exp(), y), mu, logvar


def test_labels_go_to_a_model_that_takes_them_and_follow_the_rows():
    model = CVAE()
    one = diagnose(model, TensorDataset(X, Y), likelihood="bernoulli", **QUICK)
    other = diagnose(model, DataLoader(TensorDataset(X, Y), batch_size=4), likelihood="bernoulli", **QUICK)
    assert numbers(one) == pytest.approx(numbers(other), rel=1e-4) and "label_accuracy" not in one.estimates
    assert "beyond label" in one.estimates["mutual_information"].note
    with torch.no_grad():
        logits = model.decode(torch.zeros(30, LATENTS), Y)
    assert torch.allclose(Bernoulli(logits=logits).log_prob(X).sum(-1).mean(), torch.tensor(-11.0), atol=3)
    with pytest.raises(ValueError, match="needs 'label' for every example"):
        diagnose(model, X, likelihood="bernoulli", **QUICK)


def test_conditions_of_dicts_keep_their_names():
    batches = with_conditions(loaded([{"x": X, "y": Y, "speaker": Y + 1, "name": ["a"] * 30}]))
    assert isinstance(batches[0], Batch) and sorted(batches[0].given) == ["label", "speaker"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([(X, Y, Y)], "a tuple of 3 entries"),
        ([{"a": X}], "the entries a, and none is called x, image"),
        ([("a", Y)], "wanted x or"),
        (np.array(["a", "b"]), "wanted numbers"),
        (None, "got no held-out data"),
    ],
)
def test_data_that_cannot_be_read_are_refused(data, message):
    with pytest.raises(ValueError, match=message):
        diagnose(VAE(), data, likelihood="bernoulli", **QUICK)


def test_a_run_diagnoses_itself_with_the_settings_that_differ():
    class Run:
        def diagnose(self, **settings):
            return Evidence(9, "table", {}, Groups((), (), (), ()), settings)

    assert diagnose(Run(), samples=2, gap_steps=100).settings == {"samples": 2}
    with pytest.raises(ValueError, match="brings its own held-out data"):
        diagnose(Run(), X)


class Small(nn.Module):
    """A module of 6 columns whose outputs can be changed."""

    def __init__(self, change=lambda r, m, v: (r, m, v)):
        super().__init__()
        self.encoder, self.decoder, self.change = nn.Linear(6, 4), nn.Linear(2, 6), change

    def forward(self, x):
        mu, logvar = self.encoder(x).chunk(2, -1)
        return self.change(self.decoder(mu), mu, logvar)


class OptionalLabel(Small):
    def forward(self, x, y=None):
        assert y is None
        return super().forward(x)


class ManyOptions(Small):
    def forward(self, x, labels=None, return_dict=False):
        return super().forward(x)


class ByName(Small):
    def forward(self, *, x):
        return super().forward(x)


@pytest.mark.parametrize("kind", [OptionalLabel, ManyOptions, ByName])
def test_a_label_with_a_default_is_left_out_and_a_keyword_is_named(kind):
    evidence = diagnose(kind(), torch.randn(40, 6), likelihood="mse", nll_samples=0, gap_steps=0)
    assert math.isfinite(evidence.estimates["elbo"].value)


class ByKeys(CVAE):
    """As Hugging Face calls models: with the entries of a batch."""

    def forward(self, **batch):
        return super().forward(batch["pixel_values"], batch["labels"])


def test_a_forward_of_keywords_alone_gets_the_entries_of_a_batch_by_their_names():
    torch.manual_seed(0)
    one = diagnose(ByKeys(), [{"labels": Y, "pixel_values": X}], likelihood="bernoulli", **QUICK)
    torch.manual_seed(0)
    other = diagnose(CVAE(), TensorDataset(X, Y), likelihood="bernoulli", **QUICK)
    assert numbers(one) == pytest.approx(numbers(other), rel=1e-4)
    with pytest.raises(ValueError, match="KeyError: 'pixel_values'"):
        diagnose(ByKeys(), X, likelihood="bernoulli", **QUICK)


@pytest.mark.parametrize(
    ("model", "x"),
    [
        (torch.float32, torch.float64),
        (torch.float64, torch.float32),
        (torch.bfloat16, torch.float32),
    ],
)
def test_real_numbers_come_in_the_precision_of_the_model(model, x):
    evidence = diagnose(Small().to(model), torch.randn(40, 6).to(x), likelihood="mse", nll_samples=5, gap_steps=2)
    assert math.isfinite(evidence.estimates["elbo"].value)


@pytest.mark.parametrize("x", [torch.randn(50, 7), torch.ones(50, 6, dtype=torch.long)])
def test_data_that_do_not_fit_the_model_are_refused_in_one_sentence(x):
    with pytest.raises(ValueError, match=r"forward\(x\) fails on x of shape \(50, [67]\)"):
        diagnose(Small(), x, likelihood="mse")


def _with(tensor, value):
    changed = tensor.clone()
    changed[-1, 0] = value
    return changed


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r, m, v: (_with(r, math.nan), m, v), "gave recon nan for example"),
        (lambda r, m, v: (r, _with(m, math.nan), v), "gave mu nan for example"),
        (lambda r, m, v: (r, m, _with(v, math.inf)), "gave logvar inf, whose variance is not finite for example"),
        (lambda r, m, v: (r, m, _with(v, 1000.0)), "gave logvar 1000, whose variance is not finite for example"),
        (lambda r, m, v: (r, m, _with(v, -1000.0)), "gave logvar -1000, whose variance is 0 for example"),
    ],
)
def test_an_output_that_is_not_finite_is_named_with_its_example(change, says):
    with pytest.raises(ValueError, match=says + r" 16 \(from 0\)"):
        diagnose(Small(change), torch.randn(17, 6), likelihood="mse")
