"""What people hand over wrongly, to each door: diagnose, lint, the monitor and rescue. One clear sentence each."""

import math
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

import buttress as bt
from buttress.cli import main as cli

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


class Split(Vae):
    def __init__(self):
        super().__init__()
        self.decoder.to("meta")


class AnyKeywords(Vae):
    def forward(self, **inputs):
        return super().forward(inputs["x"])


def normal(device="cpu"):
    return Independent(Normal(torch.zeros(3, device=device), 1.0, validate_args=False), 1)


def of_callables(net, prior=normal):
    return bt.Adapter(
        lambda x: Independent(Normal(net.encoder(x)[:, :3], 1.0), 1),
        lambda: prior(),
        lambda x, z: Normal(net.decoder(z), 1.0).log_prob(x).sum(-1),
        net,
    )


@pytest.mark.parametrize(
    ("make", "data", "said"),
    [
        (lambda: of_callables(Elsewhere()), X, r"posterior\(x\) fails on .*the model is on meta and x on cpu: move it"),
        (lambda: of_callables(Split()), X, r"log_likelihood\(x, z\) fails on .*parts of the model are on cpu and meta"),
        (lambda: of_callables(Half()), X, r"posterior\(x\) fails on .*weights are float16 and x float32: try x.to"),
        (lambda: of_callables(Vae()), X.half(), r"weights are float32 and x float16: try x.to\(torch.float32\)"),
        (lambda: of_callables(Vae()), X.long(), r"posterior\(x\) fails on .*a model of real numbers wants x.float\(\)"),
        (lambda: of_callables(Vae()), X[:, :5], rf"posterior\(x\) fails on x of shape \(64, 5\) .*{WIDTH}.*`given`"),
        (lambda: of_callables(NanEncoder()), X, r"posterior\(x\) fails on .*Expected parameter loc .*invalid values;"),
        (lambda: of_callables(Vae(), lambda: 1 / 0), X, r"prior\(\) fails: ZeroDivisionError: division by zero;"),
        (lambda: of_callables(Vae(), lambda: normal("meta")), X, r"posterior\(x\) and prior\(\) are on cpu and meta"),
        (lambda: of_callables(Vae()), [X.to("meta")], "batch 0 is on the meta device, which holds no values"),
        (lambda: of_callables(Vae()), [X.to_sparse()], r"wanted a dense one; try x.to_dense\(\)"),
    ],
)
def test_callables_that_fail_are_told_in_a_sentence_with_what_is_at_odds(make, data, said):
    with pytest.raises(ValueError, match=said) as failure:
        bt.diagnose(make(), data, **QUICK)
    assert "\n" not in str(failure.value)


def test_modules_of_several_devices_are_told_and_any_keywords_are_read():
    with pytest.raises(ValueError, match="parts of the model are on cpu and meta"):
        diagnose(Split, X, None)
    assert diagnose(AnyKeywords, X, None) == diagnose(Vae, X, None)


def test_a_loss_that_fails_and_what_is_no_batch_are_told_by_the_linter():
    with pytest.raises(ValueError, match=r"loss_fn\(model, batch\) fails: .* positional argument.*training loop calls"):
        bt.lint(Keyword(), lambda model, batch: model(batch)[0].sum(), X)
    for batch, said in ((torch.utils.data.DataLoader(X), "next"), (X.to("meta"), "meta"), (X.to_sparse(), "dense")):
        with pytest.raises(ValueError, match=said):
            bt.lint(Vae(), loss, batch)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import no_such_package\n", "line 1: ModuleNotFoundError: No module named"),
        ("def make():\n    return 1 / 0\n", "line 2: ZeroDivisionError: division by zero; mend the script"),
        ("def make(:\n", "line 1: SyntaxError"),
        ("def make():\n    return {'model': 1}\n", "a dict without loss_fn"),
        (
            "def make():\n    return dict(model=1, loss_fn=1, batch=1, stesp=3)\n",
            "stesp, wanted nothing but model, loss_fn, batch, schedule, steps",
        ),
    ],
)
def test_a_script_that_fails_is_told_by_the_command_with_its_line(text, said, tmp_path, capsys):
    (tmp_path / "mine.py").write_text(text)
    assert cli.main(["lint", f"{tmp_path / 'mine.py'}:make"]) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1


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


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Vae, r"the class Vae, wanted an instance of it; try Vae\(...\)"),
        ("runs/latest", r"the text 'runs/latest', wanted a torch.nn.Module"),
        (Vae().state_dict(), r"a dict of tensors, .* load_state_dict"),
        ((nn.Linear(1, 1), nn.Linear(1, 1)), "a tuple of 2 modules"),
        (loss, "the function loss, wanted a torch.nn.Module; if it makes one, call it"),
    ],
)
def test_what_came_in_place_of_a_model_is_told(model, said):
    doors = [lambda: bt.lint(model, loss, X), lambda: bt.Monitor(model, X, every=1, likelihood="mse")(0)]
    if not isinstance(model, str):  # the folder of a run may be diagnosed
        doors.append(lambda: bt.diagnose(model, X, likelihood="mse"))
    for door in doors:
        with pytest.raises(ValueError, match=f"model is {said}") as failure:
            door()
        assert "\n" not in str(failure.value)


def test_a_class_with_the_three_callables_is_no_model_and_a_path_none_to_rescue(tmp_path):
    class Kept:
        def posterior(self, x): ...
        def prior(self): ...
        def log_likelihood(self, x, z): ...

    with pytest.raises(ValueError, match="the class Kept, wanted an instance"):
        bt.diagnose(Kept, X)
    with pytest.raises(ValueError, match="the class Vae, wanted a run or its folder; for a module of your own"):
        bt.rescue(Vae, X)
    with pytest.raises(ValueError, match=r"the text 'runs/a', wanted a function that makes .* without train="):
        bt.rescue("runs/a", X, train=train, out=tmp_path / "out")
    with pytest.raises(ValueError, match="the monitor's step is a str, wanted a whole number"):
        bt.Monitor(Vae(), X, every=2, likelihood="mse")("1")
    assert bt.Monitor(Vae(), X, every=2, likelihood="mse")(torch.tensor(1)) is None


class Endless(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(X)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("x.npy", "got the text 'x.npy' for data"),
        (torch.utils.data.TensorDataset, "got the class TensorDataset for data"),
        (X + 1j, "holds complex numbers"),
        (np.array(["a", "b"], object), "got an array of object, wanted numbers"),
        ({"a": X}, "entries a, and none is called x"),
        (iter(X.split(50)), "which can be read many times; try list"),
        ([], "an iterator that was read gives no more"),
    ],
)
def test_what_came_in_place_of_data_is_told(data, said):
    with pytest.raises(ValueError, match=said):
        bt.diagnose(Vae(), data, likelihood="mse")


def test_frames_and_dicts_of_tensors_are_data_and_text_in_them_is_told(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X[:60].numpy())
    whole = diagnose(Vae, X[:60], None)
    assert diagnose(Vae, frame, None) == diagnose(Vae, {"x": X[:60], "label": torch.arange(60) % 3}, None) == whole
    with pytest.raises(ValueError, match="leave out columns of text"):
        diagnose(Vae, frame.assign(name="a"), None)
    for batch in (X.numpy(), frame):
        with pytest.raises(ValueError, match=r"x of the batch is a \w+, wanted a tensor .*; try torch.from_numpy\(x"):
            bt.lint(Vae(), loss, batch)
    with pytest.raises(ValueError, match="changed no weight"):  # which a frame did reach
        bt.rescue(Vae, frame, train=train, out=tmp_path / "out", steps=2, likelihood="mse", evidence=QUICK)


def test_an_iterator_is_refused_by_a_rescue_and_held_out_data_without_a_length_are_not(tmp_path):
    wishes = {"train": train, "out": tmp_path / "out", "steps": 2, "likelihood": "mse", "evidence": QUICK}
    with pytest.raises(ValueError, match="data is a generator, which can be read once"):
        bt.rescue(Vae, (x for x in X.split(50)), held_out=X, **wishes)
    with pytest.raises(ValueError, match="changed no weight"):
        bt.rescue(Vae, X, held_out=torch.utils.data.DataLoader(Endless(), batch_size=50), **wishes)


@dataclass(slots=True)
class Slotted:
    recon: torch.Tensor
    mu: torch.Tensor
    logvar: torch.Tensor


class Slots(Vae):
    def forward(self, x):
        return Slotted(*super().forward(x))


class Within(Vae):
    """The loss, or its KL alone, is made in forward."""

    def forward(self, x):
        recon, mu, logvar = super().forward(x)
        kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1).mean()
        loss = (recon - x).square().sum(1).mean() + kl
        return {"loss": loss, "kl": kl, "recon": recon, "mu": mu, "logvar": logvar}


class ByBoth(OrderedDict):
    """Entries by name and as attributes, as outputs of Hugging Face."""

    def __init__(self, **entries):
        super().__init__(**entries)
        self.__dict__.update(entries)


class Attributes(Vae):
    def forward(self, x):
        return ByBoth(**dict(zip(("recon", "mu", "logvar"), super().forward(x), strict=True)))


class LossAlone(Within):
    def forward(self, x):
        return super().forward(x)["loss"]


def test_a_loss_made_inside_of_forward_gets_no_findings_that_rest_on_outputs():
    for within in (
        lambda model, x: model(x)["loss"],
        lambda model, x: (model(x)["recon"] - x).square().sum() + model(x)["kl"],
        lambda model, x: (lambda out: (out["recon"] - x).square().sum(1).mean() + out["kl"])(model(x)),
    ):
        report = bt.lint(Within(), within, X)
        assert "kl-missing" not in report.rules and "kl-missing" in report.silent
    without = bt.lint(Within(), lambda model, x: (model(x)["recon"] - x).square().sum(1).mean(), X)
    assert "kl-missing" in without.rules  # the loss reads recon alone
    with pytest.raises(ValueError, match=r"one tensor of shape \(\), which looks like a loss"):
        bt.lint(LossAlone(), lambda model, x: model(x), X)


def test_outputs_with_slots_and_outputs_by_attribute_are_read_and_cut():
    assert diagnose(Slots, X[:60], None) == diagnose(Vae, X[:60], None)
    plain = bt.lint(Vae(), loss, X).rules
    for kind in (Slots, Attributes):
        assert bt.lint(kind(), loss, X).rules == plain

        def by_attribute(model, x):
            out = model(x)
            return loss(out.recon, x, out.mu, out.logvar)

        assert bt.lint(kind(), by_attribute, X).rules == plain


def test_a_loss_of_outputs_that_fails_in_any_way_is_told():
    def flat(recon, x, mu, logvar):
        return (recon - x).square().sum(3).mean()

    with pytest.raises(ValueError, match=r"loss_fn fails on recon, mu, logvar and x of shapes .*IndexError"):
        bt.lint(Vae(), flat, X)
