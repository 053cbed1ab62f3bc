"""The linter is silent on right models in the forms that people write, and names what is wrong in such forms."""

from __future__ import annotations

import random

import lint_models as made
import numpy as np
import pytest
import torch
from torch import nn

import buttress as bt
from buttress.diagnostics.adapters.codes import no_pair
from buttress.diagnostics.as_it_was import as_it_was
from buttress.diagnostics.causes.unreached import UNREACHED
from buttress.diagnostics.diagnose import ENOUGH

QUICK = {"nll_samples": 0, "gap_steps": 0, "samples": 1, "only": ENOUGH}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def told(report, level="note"):
    """Rules with a finding above a level; unused codewords and words are told of, and right."""
    return {one.rule for one in report if one.level != level and (one.rule, one.level) != ("dead-gradient", "warning")}


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")  # torch's old checkpoint, without gradients
@pytest.mark.parametrize("name", made.RIGHT)
def test_a_right_model_is_not_accused(name):
    assert told(bt.lint(*made.RIGHT[name]())) == set()


@pytest.mark.parametrize("name", made.WRONG)
def test_a_wrong_model_is_named(name):
    rule, make = made.WRONG[name]
    found = {one.rule for one in bt.lint(*make()) if one.level == "error"}
    assert rule in found and found <= {rule, "optimum-collapsed", "dead-gradient"}


def test_a_level_is_named_by_its_number():
    [found] = [one for one in bt.lint(*made.WRONG["levels, one unread"][1]()) if one.rule == "z-unreached"]
    assert found.evidence.startswith("of level 2 of 2, no gradient goes")


def test_a_z_and_its_codes_are_not_diagnosed_as_mean_and_variance():
    asked = {"likelihood": "gaussian", "variance": 1.0, **QUICK}
    for form in ("z_e, z_q", "z_q, z_e", "z_e, code"):
        with pytest.raises(ValueError, match="rows of a codebook"):
            bt.diagnose(made.Quantised(form), made.numbers(), **asked)


def dead(form, row=3):
    """A quantiser of which one codeword is near and the others are far."""
    model = made.Quantised(form, straight=False)
    with torch.no_grad():
        model.codebook.weight.mul_(0.1).add_(50)
        model.codebook.weight[row] -= 50
    return model


@pytest.mark.parametrize("form", ["z_e, z_q", "z_q, z_e", "z_e, detached"])
def test_one_code_for_all_is_a_code_for_the_diagnosis_the_monitor_and_the_linter(form):
    model, x, asked = dead(form), made.numbers(), {"likelihood": "gaussian", "variance": 1.0}
    with pytest.raises(ValueError, match=r"rows of a codebook.*bt\.Point\(codes of x\)"):
        bt.diagnose(model, x, **asked, **QUICK)
    with pytest.raises(ValueError, match="rows of a codebook"):
        bt.Monitor(model, x, **asked)(0)
    assert "gives no mu and logvar" in bt.lint(model, made.commitment, x).silent["kl-formula"]


def test_codes_that_differ_between_far_places_alone_are_codes():
    book = nn.Embedding(4, 3)
    h = torch.randn(50, 3, 8, 8)
    codes = torch.zeros(50, 8, 8).long()
    codes[3, 0, 5] = 2
    q = book(codes).movedim(-1, 1).detach()
    assert no_pair(book, h, q) and no_pair(book, q, h)


def test_a_variance_that_all_x_share_is_no_code():
    tables = nn.Module()
    tables.words = nn.Embedding(9, 3, padding_idx=0)  # has a row of zeros
    tables.scales = nn.Parameter(torch.tensor([[0.3, 0.2, 0.1], [-1.0, 1.0, 2.0]]))  # one for each of two levels
    mean = torch.randn(64, 3)
    assert not no_pair(tables, mean, torch.zeros(64, 3))
    assert not no_pair(tables, 0.01 * mean, torch.zeros(64, 3))
    assert not no_pair(tables, mean, tables.scales[0].expand(64, 3))


@pytest.mark.parametrize("form", ["pairs", "beside", "lists", "names"])
def test_levels_are_not_diagnosed_as_they_are_returned_and_told_how(form):
    with pytest.raises(ValueError, match=r"2 pairs of mu and logvar.*Space\.stacked"):
        bt.diagnose(made.Pairs(form), made.numbers(), likelihood="gaussian", variance=1.0, **QUICK)


@pytest.mark.parametrize(("learns", "told"), [(True, False), (False, True)])
def test_a_last_layer_that_begins_at_zero_is_unreached_only_where_it_does_not_learn(learns, told):
    model = made.Zeroed()
    model.decode = model.decoder.requires_grad_(learns)
    before = [p.clone() for p in model.parameters()]
    quick = {**QUICK, "only": None}
    found = bt.diagnose(model, made.numbers(), likelihood="gaussian", variance=1.0, progress=False, **quick)
    assert ("reached_by_z" in found.estimates) == told == (UNREACHED in found.verdict.causes)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


class Restless(made.Lightning):
    """Changes all that a forward can change."""

    def __init__(self):
        super().__init__()
        self.register_buffer("grown", torch.zeros(0))
        self.average = torch.zeros(made.D)

    def forward(self, x):
        self.grown = torch.cat([self.grown, x.detach()[:, 0]])
        self.average.lerp_(x.detach().mean(0), 0.5)
        random.random(), np.random.rand()
        return super().forward(x)

    def decode(self, z):
        return self.decoder(z)


def step(model, x):
    """A whole step of training."""
    loss = made.loss(model, x)
    torch.optim.SGD(model.parameters(), 0.1).zero_grad()
    loss.backward(retain_graph=True)
    with torch.no_grad():
        for p in model.parameters():
            p -= 0.01 if p.grad is None else 0.01 * p.grad
    return made.loss(model, x)


@pytest.mark.parametrize("way", ["lint", "diagnose", "monitor"])
def test_a_model_is_left_as_it_was_whatever_its_forward_and_loss_do(way):
    model, x, asked = Restless(), made.numbers() / 4, {"likelihood": "gaussian", "variance": 1.0, "loss_fn": step}
    model(x)
    model.encoder.weight.sum().backward()
    model.decoder.eval()
    tensors = [model.seen, model.grown, model.average, *model.parameters(), model.encoder.weight.grad]
    values = [t.detach().clone() for t in tensors]
    other = model.steps, list(model.logs), model.last, [m.training for m in model.modules()]
    states = torch.get_rng_state(), np.random.get_state()[1].tolist()
    if way == "lint":
        bt.lint(model, step, x)
    elif way == "diagnose":
        bt.diagnose(model, x, **QUICK, **asked)
    else:
        bt.Monitor(model, x, every=1, **asked)(1)
    after = [model.seen, model.grown, model.average, *model.parameters(), model.encoder.weight.grad]
    assert all(one is other for one, other in zip(after, tensors, strict=True))
    assert all(torch.equal(one, value) for one, value in zip(after, values, strict=True))
    assert other == (model.steps, list(model.logs), model.last, [m.training for m in model.modules()])
    assert torch.equal(states[0], torch.get_rng_state()) and states[1] == np.random.get_state()[1].tolist()
    assert model.decoder[0].weight.grad is None


def test_draws_of_python_are_put_back_too():
    with as_it_was(made.Vae()):  # the checks of types in these tests draw from it as well
        state = random.getstate()
        random.random()
    assert random.getstate() == state


class Decoding(made.Vae):
    def decode(self, z):
        return self.decoder(z)


def test_a_loader_of_single_examples_tells_as_much_as_one_batch():
    x = made.numbers()
    asked = {"likelihood": "gaussian", "variance": 1.0, **QUICK}
    wrong = made.weighted(nn.functional.mse_loss)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, torch.arange(made.N)), batch_size=1)
    for data, loss in ((list(x.split(1)), wrong), (loader, lambda model, batch: wrong(model, batch[0]))):
        found = bt.diagnose(Decoding(), data, loss_fn=loss, **asked)
        assert "averaged over the 20 values" in found.estimates["wiring/loss-reduction"].note
    alone = bt.diagnose(Decoding(), x[:1].repeat(3, 1).split(1)[:1] * 2, loss_fn=made.loss, **asked)
    assert not [name for name in alone.estimates if name.startswith("wiring/") and name != "wiring/loss"]


@pytest.mark.parametrize("spoiled", ["nan", "exploded"])
def test_the_sign_of_a_kl_is_named_when_training_has_diverged_by_it(spoiled):
    model, x = Decoding(), made.numbers()
    nn.init.constant_(model.encoder.weight, float("nan") if spoiled == "nan" else 1e4)
    wrong = made.weighted(made.squares, -1.0)
    assert "kl-sign" in bt.lint(model, wrong, x).rules
    with pytest.raises(ValueError, match=r"forward\(x\) gave .*; the linter says: the loss falls as the KL rises"):
        bt.diagnose(model, x, likelihood="gaussian", variance=1.0, loss_fn=wrong)
    with pytest.raises(ValueError, match="gave") as plain:
        bt.diagnose(model, x, likelihood="gaussian", variance=1.0, loss_fn=made.loss)
    assert "linter" not in str(plain.value)


def test_what_is_compiled_is_asked_as_it_was_written():
    model, x = made.Vae(), made.numbers()
    compiled = torch.compile(model, backend="aot_eager")
    compiled(x)
    assert told(bt.lint(compiled, made.loss, x)) == set()
