"""What people hand over wrongly, to each door: diagnose, lint, the monitor and rescue. One clear sentence each."""

import math

import pytest
import torch
from torch import nn

import buttress as bt

D = 12
QUICK = {"nll_samples": 4, "nll_examples": 20, "gap_steps": 3, "gap_examples": 10, "mi_examples": 100}
X = torch.randn(256, D, generator=torch.Generator().manual_seed(0))


class Vae(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.decoder = nn.Linear(D, 6), nn.Linear(3, D)

    def forward(self, x):
        mu, logvar = self.encoder(x).chunk(2, -1)
        return self.decoder(mu + torch.randn_like(mu) * (0.5 * logvar).exp()), mu, logvar


class NanEncoder(Vae):
    def __init__(self):
        super().__init__()
        nn.init.constant_(self.encoder.weight, math.nan)


class Short(Vae):
    def forward(self, x):
        recon, mu, logvar = super().forward(x)
        return recon[:, :5], mu, logvar


class Keyword(Vae):
    def forward(self, *, images, mask=None):
        return super().forward(images)


class Elsewhere(Vae):
    def __init__(self):
        super().__init__()
        self.to("meta")


class Half(Vae):
    def __init__(self):
        super().__init__()
        self.half()


def loss(recon, x, mu, logvar):
    return (recon - x).square().sum(1).mean() + 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1).mean()


def train(model, loader, settings):
    """As somebody writes it: it knows nothing of half precision or of keywords."""
    for step, batch in settings.batches(loader):
        x = batch if isinstance(batch, torch.Tensor) else batch["x"]
        recon, mu, logvar = model(x)
        own, kl = (recon - x).square().sum(1).mean(), 0.5 * (mu**2 + logvar.exp() - 1 - logvar)
        (settings.distortion(own, recon, x) + settings.rate(kl, step)).backward()


def diagnose(kind, data, folder):
    return bt.diagnose(kind(), data, likelihood="mse", **QUICK).verdict.state


def lint(kind, data, folder):
    return bt.lint(kind(), loss, data[0] if isinstance(data, list) and data else data)


def monitor(kind, data, folder):
    return bt.Monitor(kind(), data, every=1, likelihood="mse").look(0)


def rescue(kind, data, folder):
    beside = {} if isinstance(data, torch.Tensor) else {"held_out": data}
    wishes = {"train": train, "out": folder / "out", "steps": 2, "likelihood": "mse", "evidence": QUICK}
    return bt.rescue(kind, data, **wishes, **beside)


DOORS = (diagnose, lint, monitor, rescue)
SPOILT = torch.where(torch.arange(256)[:, None] == 7, math.nan, X)
DICTS = [{"x": X[:128], "label": torch.arange(128) % 3}, {"x": X[128:], "label": torch.arange(128) % 3}]
ROW = "NaN in example 7"
MEASURED = r"forward\(x\) gave mu nan for example 0"
SIZE = r"recon \((64|51), 5\) for x"
WIDTH = "mat1 and mat2 shapes cannot be multiplied"
NAMES = "entries a, and none is called x"
PLACE = "on device meta|meta and x on cpu"
CASES = {
    "a model that gives NaN": (NanEncoder, X, (MEASURED, None, MEASURED, MEASURED)),
    "data with NaN": (
        Vae,
        SPOILT,
        (ROW, "x holds NaN .* row 7", ROW, ROW),
    ),
    "a reconstruction of another size": (Short, X, (SIZE, r"loss_fn fails on .*\(256, 5\)", SIZE, SIZE)),
    "data of another width": (Vae, X[:, :5], (WIDTH,) * 4),
    "an empty list": (Vae, [], ("got no batches", "the batch gave list", "got no batches", "held_out has 0 examples")),
    "dicts without x": (Vae, [{"a": X[:9]}], (NAMES, None, NAMES, NAMES)),
    "a model on another device": (Elsewhere, X, (PLACE,) * 4),
}
EXPECTED = [
    pytest.param(kind, data, door, said, id=f"{name}, {door.__name__}")
    for name, (kind, data, sentences) in CASES.items()
    for door, said in zip(DOORS, sentences, strict=True)
    if said is not None
]


@pytest.mark.parametrize(("kind", "data", "door", "said"), EXPECTED)
def test_each_door_says_in_a_sentence_what_is_wrong(kind, data, door, said, tmp_path):
    with pytest.raises(ValueError, match=said) as failure:
        door(kind, data, tmp_path)
    assert "\n" not in str(failure.value)


def test_a_nan_is_an_error_of_the_linter_and_half_precision_is_told():
    assert lint(NanEncoder, X, None).findings[0].rule == "dead-gradient"
    with pytest.raises(ValueError, match=r"type float32 and device cpu: .*on the model's device and in its type"):
        lint(Half, X, None)
    assert "kl-sign" not in lint(Half, X.half(), None).rules


def test_half_precision_keywords_dicts_and_loaders_are_read(tmp_path):
    loader = torch.utils.data.DataLoader(X, batch_size=64)
    for kind, data in ((Half, X), (Keyword, X), (Vae, DICTS), (Vae, X.half()), (Vae, loader)):
        assert diagnose(kind, data[:60] if isinstance(data, torch.Tensor) else data, tmp_path)
    assert monitor(Half, X[:60], tmp_path).state
    empty = torch.utils.data.DataLoader(X[:0], batch_size=8)
    for door in (diagnose, monitor, rescue):
        with pytest.raises(ValueError, match=r"got no batches|the loader gave no batch"):
            door(Vae, empty, tmp_path)


@pytest.mark.parametrize(("kind", "said"), [(Half, "must have the same dtype"), (Keyword, "positional argument")])
def test_a_training_function_that_fails_at_once_is_told_with_its_error(kind, said, tmp_path):
    with pytest.raises(ValueError, match=f"training your model as it is failed with .*{said}"):
        rescue(kind, X, tmp_path)
