"""A rescue of a model and a training loop that are nobody's but the user's."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import buttress as bt
from buttress.experiments import own_code, rescue_own
from buttress.experiments.branches import EFFORT
from buttress.experiments.outside import OUTSIDE, Outside, TrainingWishes, lines_of
from buttress.experiments.rescue_own import Own

LITTLE = {"nll_samples": 4, "nll_examples": 40, "gap_steps": 0, "mi_examples": 40}


class Vae(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(12, 4), nn.Linear(2, 12)

    def forward(self, x):
        mu, logvar = self.encoder(x).chunk(2, -1)
        return self.decoder(mu + (logvar / 2).exp() * torch.randn_like(mu)), mu, logvar


def train(model, loader, settings):
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    for step, x in settings.batches(loader):
        recon, mu, logvar = model(x)
        kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar)
        loss = settings.distortion(F.mse_loss(recon, x), recon, x) + settings.rate(kl, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.fixture
def x() -> torch.Tensor:
    drawn = torch.Generator().manual_seed(0)
    return 0.4 * torch.randn(250, 2, generator=drawn) @ torch.randn(2, 12, generator=drawn) + 0.3 * torch.randn(
        250, 12, generator=drawn
    )


def test_a_loss_that_is_averaged_is_rescued_by_a_learned_variance(x, tmp_path):
    wishes = {"likelihood": "gaussian", "variance": 6.0, "steps": 150, "evidence": LITTLE, "out": tmp_path / "out"}
    found = bt.rescue(Vae, x, train=train, remedies=["calibrated_variance", "kl_annealing"], **wishes)
    names = [row.name for row in found.ranking.rows]
    assert len(names) == 6 and found.ranking.winner.name.startswith("calibrated_variance@")
    assert {row.run.state for row in found.ranking.rows if "kl_annealing" in row.name} == {"collapsed"}
    assert "square.log()" in found.apply and "loss = distortion + kl.mean(0).sum()" in found.apply
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("evidence.json")}
    again = bt.rescue(Vae, x, train=train, remedies=["calibrated_variance", "kl_annealing"], **wishes)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept and again.apply == found.apply
    with pytest.raises(ValueError, match="holds another branch"):
        bt.rescue(Vae, x, train=train, **{**wishes, "steps": 10})


def test_the_first_model_is_trained_as_it_is_and_a_healthy_one_is_left_alone(x, tmp_path):
    def summed(model, loader, settings):
        optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
        for step, batch in settings.batches(loader):
            recon, mu, logvar = model(batch)
            kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar)
            own = (recon - batch).square().sum(-1).mean()
            loss = settings.distortion(own, recon, batch) + settings.rate(kl, step)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    found = bt.rescue(Vae, x, train=summed, likelihood="mse", steps=150, evidence=LITTLE, out=tmp_path / "out")
    assert found.ranking is None and found.reason.startswith("nothing to rescue, z is used")


def test_a_training_function_that_fails_loses_its_branch_alone(x, tmp_path, capsys):
    def fails(model, loader, settings):
        if settings.remedy == "free_bits":
            raise RuntimeError("on purpose")
        train(model, loader, settings)

    wishes = {"likelihood": "gaussian", "variance": 6.0, "steps": 20, "evidence": LITTLE, "out": tmp_path / "out"}
    found = bt.rescue(Vae, x, train=fails, remedies=["free_bits", "kl_annealing"], **wishes)
    told = capsys.readouterr().err
    assert re.match(r"5 branches: each makes 20 steps, about [0-9.]+ (s|min) for all of them\nnone: finished", told)
    assert found.ranking.failed == {f"free_bits@{s}": "RuntimeError: on purpose" for s in ("step-20", "scratch")}
    assert len(found.ranking.rows) == 4


def no_step(model, loader, settings):
    for step, x in settings.batches(loader):
        recon, mu, _ = model(x)
        (settings.distortion(F.mse_loss(recon, x), recon, x) + settings.rate(mu.square(), step)).backward()


def of_a_copy(model, loader, settings):
    train(copy.deepcopy(model), loader, settings)


@pytest.mark.parametrize("idle", [no_step, of_a_copy])
def test_a_training_function_that_changes_no_weight_is_refused(x, tmp_path, idle):
    with pytest.raises(ValueError, match=r"changed no weight of the model it was given.*optimizer.step\(\)"):
        bt.rescue(Vae, x, train=idle, likelihood="mse", steps=5, evidence=LITTLE, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_branch_whose_weights_did_not_change_is_shown_so_and_has_no_rank(x, tmp_path):
    """The branch goes on from trained weights: what it shows is the earlier training."""

    def idle_under_free_bits(model, loader, settings):
        (no_step if settings.remedy == "free_bits" else train)(model, loader, settings)

    wishes = {"likelihood": "gaussian", "variance": 6.0, "steps": 20, "evidence": LITTLE, "out": tmp_path / "out"}
    found = bt.rescue(Vae, x, train=idle_under_free_bits, remedies=["free_bits"], **wishes)
    rows = [(row.name, bool(row.rank), row.unchanged) for row in found.ranking.rows]
    assert {row[1:] for row in rows[:2]} == {(True, False)} and rows[2:] == [
        (f"free_bits@{place}", False, True) for place in ("step-20", "scratch")
    ]
    told = [line for line in str(found).splitlines() if "free_bits@scratch" in line]
    assert told[0].split()[0] == "—" and "(weights unchanged)" in told[0] and "has no rank" in told[-1]
    assert json.loads((tmp_path / "out/ranking.json").read_text())["rows"][-1]["rank"] is None


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"remedies": ["word_dropout"]}, "word_dropout can't act from outside; wanted some of kl_annealing"),
        ({"steps": 0}, "steps is 0"),
        ({"likelyhood": "mse"}, "did you mean 'likelihood'"),
    ],
)
def test_slips_are_told(x, tmp_path, wishes, said):
    with pytest.raises(ValueError, match=said):
        bt.rescue(Vae, x, train=train, **{"likelihood": "mse", "out": tmp_path / "out", **wishes})


@pytest.mark.parametrize("made", [lambda x: x[:1], lambda x: x[:1].numpy(), lambda x: [x[:1]], lambda x: []])
def test_too_few_held_out_examples_are_told_before_anything_is_trained(x, made, tmp_path):
    def never(model, loader, settings):
        raise AssertionError("trained")

    with pytest.raises(ValueError, match=r"held_out has [01] examples?, wanted at least 2 to measure on"):
        bt.rescue(Vae, x[:10], train=never, held_out=made(x), likelihood="mse", out=tmp_path / "out")


def test_data_that_are_missing_are_asked_for(tmp_path):
    with pytest.raises(ValueError, match="got no data to train your model on"):
        bt.rescue(Vae, train=train, likelihood="mse")
    with pytest.raises(ValueError, match="give held-out examples as held_out"):
        bt.rescue(Vae, [torch.zeros(4, 12)], train=train, likelihood="mse")
    with pytest.raises(ValueError, match="the loader gave no batch"):
        next(TrainingWishes(3).batches([]))
    with pytest.raises(ValueError, match="neither summed nor averaged"):
        TrainingWishes(3).rate(torch.tensor(1.0), 0)


@pytest.mark.parametrize("name", OUTSIDE)
def test_the_lines_of_code_do_what_the_branch_did(name):
    import math

    steps, kl, x, recon = 200, torch.rand(16, 3), torch.rand(16, 5), torch.rand(16, 5)
    own = F.mse_loss(recon, x)
    wishes = TrainingWishes(steps, name)
    for step in (0, 10, 45, 70, 130, 199):
        known = {"kl": kl, "step": step, "x": x, "recon": recon, "distortion": own, "math": math}
        exec(lines_of(name, steps), known)
        mine = wishes.distortion(own, recon, x) + wishes.rate(kl, step)
        assert float(known["loss"]) == pytest.approx(float(mine), abs=1e-5)


def test_a_weight_holds_rises_and_begins_anew():
    assert [Outside(ramp=0.5, cycles=2).weight(step, 100) for step in (0, 25, 49, 50, 75)] == [0, 1, 1, 0, 1]
    floor = TrainingWishes(10, "pretrained_autoencoder")
    kl = torch.tensor([[0.0], [1.0]])
    assert floor.rate(kl, 0) == 0 and floor.rate(kl, 9) == 0.75 and TrainingWishes(10).rate(kl, 9) == 0.5


class Keyword(Vae):
    def forward(self, *, x):
        return super().forward(x)


class Named(Vae):
    def forward(self, x):
        recon, mu, logvar = super().forward(x)
        return {"loss": mu.mean(), "mu": mu, "logvar": logvar, "recon": recon}


class Told(Vae):
    def forward(self, x, y):
        return super().forward(x + y[:, None])


class Half(Vae):
    def __init__(self):
        super().__init__()
        self.bfloat16()


@pytest.mark.parametrize("kind", [Vae, Keyword, Named, Told, Half])
def test_a_learned_variance_is_measured_whatever_a_model_takes_and_returns(x, kind):
    data = [{"x": x[:64], "label": torch.zeros(64)}, {"x": x[64:70], "label": torch.zeros(6)}]
    torch.manual_seed(0)
    model = kind()
    own = Own(kind, train, data, data, "gaussian", 1.0, 3)
    found = rescue_own._mean_square(own, model)
    torch.manual_seed(0)
    with torch.no_grad():
        square = (Vae()(x[:70])[0] - x[:70]).square().mean().item()
    assert found == pytest.approx(square, rel=0.1)


SHARED = Vae()


@pytest.mark.parametrize(
    ("made", "wishes", "said"),
    [
        (Vae(), {}, "model is a Vae, wanted a function that makes your module"),
        (lambda size: Vae(), {}, "model needs size, wanted a function without arguments"),
        (lambda: SHARED, {}, "the same module twice"),
        (lambda: 3, {}, r"make_model\(\) gave a int"),
        (Vae, {"evidence": {"variance": 3}}, "variance came among the settings of the diagnosis"),
        (Vae, {"data": torch.zeros(())}, "got 0 examples, wanted at least 4"),
        (Vae, {"data": torch.zeros(3, 12).numpy()}, "got 3 examples, wanted at least 4"),
        (Vae, {"remedies": "word_dropout, free_bits"}, "word_dropout can't act from outside"),
        (Vae, {"out": __file__}, "is a file, wanted a folder"),
    ],
)
def test_what_was_handed_over_wrongly_is_told_before_anything_is_trained(x, tmp_path, made, wishes, said):
    wishes = {"data": x, "train": train, "likelihood": "mse", "out": tmp_path / "out", **wishes}
    with pytest.raises(ValueError, match=said):
        bt.rescue(made, wishes.pop("data"), **wishes)
    assert not (tmp_path / "out").exists()


def test_a_search_is_not_taken_for_one_with_another_likelihood_data_or_model(x, tmp_path):
    wishes = {"likelihood": "gaussian", "variance": 6.0, "steps": 2, "evidence": LITTLE, "out": tmp_path / "out"}
    effort = {**EFFORT, **LITTLE, "seed": 0}
    place, own = tmp_path / "out", Own(Vae, train, [x[:64]], x[64:], "gaussian", 6.0, 2)
    rescue_own._branch(own, place, "first", "none", False, effort)
    for other, said in (
        (replace(own, variance=1.0), "variance is 6.0 there and 1.0 here"),
        (replace(own, held_out=x[100:]), r"held_out is \(186, 12\)"),
    ):
        with pytest.raises(ValueError, match=said):
            rescue_own._branch(other, place, "first", "none", False, effort)
    with pytest.raises(ValueError, match="holds the weights of another model"):
        rescue_own._take_weights(nn.Linear(2, 2), place / "first" / "weights.safetensors")
    (place / "recipe.yaml").touch()
    with pytest.raises(ValueError, match="holds a run, wanted a folder for branches"):
        bt.rescue(Vae, x, train=train, **wishes)


def test_a_remedy_that_was_named_and_does_not_fit_is_told_with_its_reason(x, tmp_path):
    wishes = {"likelihood": "bernoulli", "steps": 2, "evidence": LITTLE, "out": tmp_path / "out"}
    found = bt.rescue(Vae, x.sigmoid(), train=train, remedies="calibrated_variance", **wishes)
    assert "calibrated_variance: it is for squared errors, and the likelihood is bernoulli" in found.reason


def test_a_model_that_takes_pairs_is_told_with_what_it_was_called(x):
    class Pairs(Vae):
        def forward(self, x):
            one, other = x
            return super().forward(torch.cat([one, other], -1))

    with pytest.raises(ValueError, match=r"forward\(x\) fails on x of shape \(64, 6\) .*too many values to unpack"):
        bt.diagnose(Pairs(), [(x[:, :6], x[:, 6:])], likelihood="mse")


BETA = 1.0


def other_rate(kl):
    return kl.mean()


def weighing(model, loader, settings):
    return BETA * other_rate(0.0)


class Wide(Vae):
    def __init__(self):
        super().__init__()
        self.decoder = nn.Linear(2, 12, bias=False)


class Doubled(Vae):
    def forward(self, x):
        recon, mu, logvar = super().forward(x)
        return 2 * recon, mu, logvar


class Shifted(Vae):
    def __init__(self):
        super().__init__()
        nn.init.zeros_(self.decoder.bias)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"make_model": Wide}, "the structure or code and the initial weights are not what they were"),
        ({"make_model": Doubled}, "the structure or code is not what it was"),
        ({"make_model": Shifted}, "the structure or code and the initial weights are"),
        ({"train": lambda model, loader, settings: None}, "the training function is not what it was"),
    ],
)
def test_branches_of_another_model_or_loss_are_not_taken_for_this_one(x, tmp_path, changes, said):
    def of(make_model=Vae, train=train):
        made_of = own_code.identity(rescue_own._made_twice(make_model, 0), train)
        return Own(make_model, train, [x[:64]], x[64:], "mse", None, 2, 0, made_of)

    effort, place = {**EFFORT, **LITTLE, "seed": 0}, tmp_path / "out"
    rescue_own._branch(of(), place, "first", "none", False, effort)
    assert rescue_own._branch(of(), place, "first", "none", False, effort) > 0
    with pytest.raises(ValueError, match=f"first holds a branch of another model or loss: {said}.*another folder"):
        rescue_own._branch(of(**changes), place, "first", "none", False, effort)
    asked = json.loads((place / "first" / "branch.json").read_text())
    del asked["made_of"]  # as earlier versions wrote it
    (place / "first" / "branch.json").write_text(json.dumps(asked))
    rescue_own._branch(of(**changes), place, "first", "none", False, effort)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.tanh, torch.relu),
        (lambda z: z, lambda z: 2 * z),
        (partial(F.leaky_relu, negative_slope=0.1), partial(F.leaky_relu, negative_slope=0.9)),
        (torch.ones(4), 3 * torch.ones(4)),
    ],
)
def test_an_activation_or_a_table_that_a_model_keeps_belongs_to_it(one, other):
    def told(value):
        model = nn.Linear(2, 2)
        model.kept = value
        return own_code.identity([model, model], train)["structure or code"]

    assert told(one) == told(one) != told(other)


def test_what_a_training_function_names_of_its_script_belongs_to_it(monkeypatch):
    def told():
        return list(own_code.code_of(weighing))

    before = told()
    assert told() == before
    with monkeypatch.context() as changed:
        changed.setitem(globals(), "BETA", 4.0)
        assert told() != before
    with monkeypatch.context() as changed:
        changed.setitem(globals(), "other_rate", lambda kl: kl.sum())
        assert told() != before
    with monkeypatch.context() as changed:
        changed.setitem(globals(), "LITTLE", {"nll_samples": 5})  # not named by it
        assert told() == before


def test_weights_that_the_seed_does_not_decide_are_not_compared():
    models = [nn.Linear(3, 3), nn.Linear(3, 3)]
    assert own_code.identity(models, train)["initial weights"] == ""
