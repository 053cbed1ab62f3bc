"""The linter names the fault that was put into a loss or a model, and nothing of a right one."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import buttress as bt
from buttress.cli.main import main
from buttress.diagnostics.lint.rule import catalogue

D, L, N = 30, 3, 64


class Vae(nn.Module):
    def __init__(self, sample=True, reach=True, cut=False, dropout=0.0):
        super().__init__()
        self.sample, self.reach, self.cut = sample, reach, cut
        self.encoder = nn.Sequential(nn.Linear(D, 2 * L), nn.Dropout(dropout))
        self.decoder = nn.Linear(L, D)

    def forward(self, x):
        mu, logvar = self.encoder(x).chunk(2, -1)
        if self.cut:
            mu, logvar = mu.detach(), logvar.detach()
        z = mu + (logvar / 2).exp() * torch.randn_like(mu) if self.sample else mu
        return self.decoder(z if self.reach else torch.randn_like(z)), mu, logvar


def kl(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar)


@pytest.fixture
def x():
    generator = torch.Generator().manual_seed(0)
    return 4 * torch.randn(N, 2, generator=generator) @ torch.randn(2, D, generator=generator)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def errors(report):
    return {one.rule for one in report if one.level != "note"}


def squared(recon, x, mu, logvar):
    return 0.5 * (recon - x).square().sum(1).mean() + kl(mu, logvar).sum(1).mean()


def binary(recon, x, mu, logvar):
    return F.binary_cross_entropy_with_logits(recon, x, reduction="sum") / len(x) + kl(mu, logvar).sum(1).mean()


RIGHT = [
    squared,
    binary,
    lambda model, batch: squared(*_named(model, batch)),
    lambda recon, x, mu, logvar: {"loss": squared(recon, x, mu, logvar), "kl": 0},
    lambda recon, x, mu, logvar: (squared(recon, x, mu, logvar) * len(x), None),
]


def _named(model, batch):
    recon, mu, logvar = model(batch)
    return recon, batch, mu, logvar


@pytest.mark.parametrize("loss", RIGHT)
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_right_loss_has_no_fault(loss, dropout, x):
    data = (x > 0).float() if loss is binary else x
    assert not errors(bt.lint(Vae(dropout=dropout), loss, data))


def test_the_implied_sigma_of_a_mean_squared_error_is_half_the_number_of_values(x):
    report = bt.lint(Vae(), lambda recon, x, mu, logvar: F.mse_loss(recon, x) + kl(mu, logvar).sum(1).mean(), x)
    found = next(one for one in report if one.rule == "loss-reduction")
    assert found.level == "error" and "sigma^2 = 15" in found.evidence  # D / 2


def test_a_mean_over_pixels_gives_the_rate_a_weight_of_their_number(x):
    report = bt.lint(
        Vae(), lambda recon, x, mu, logvar: F.binary_cross_entropy_with_logits(recon, x) + kl(mu, logvar).sum(1).mean(),
        (x > 0).float(),
    )  # fmt: skip
    assert "weight (beta) of 30 " in report.findings[0].evidence


FAULTS = {
    "loss-reduction": lambda r, x, mu, lv: (r - x).square().mean() + kl(mu, lv).sum(1).mean(),
    "loss-reduction of the KL": lambda r, x, mu, lv: 0.5 * (r - x).square().sum(1).mean() + kl(mu, lv).mean(),
    "kl-sign": lambda r, x, mu, lv: 0.5 * (r - x).square().sum(1).mean() - kl(mu, lv).sum(1).mean(),
    "kl-missing": lambda r, x, mu, lv: 0.5 * (r - x).square().sum(1).mean(),
    "kl-missing of mu": lambda r, x, mu, lv: squared(r, x, mu.detach(), lv),
    "kl-missing of recon": lambda r, x, mu, lv: squared(r.detach(), x, mu, lv),
    "kl-formula": lambda r, x, mu, lv: squared(r, x, mu, lv) - 0.5 * (lv.exp()).sum(1).mean(),
    "kl-formula by log sigma": lambda r, x, mu, lv: (
        0.5 * (r - x).square().sum(1).mean() + 0.5 * (mu**2 + (2 * lv).exp() - 1 - 2 * lv).sum(1).mean()
    ),
    "kl-formula with logvar twice": lambda r, x, mu, lv: squared(r, x, mu, lv) - 0.5 * lv.sum(1).mean(),
    "kl-formula without a square": lambda r, x, mu, lv: squared(r, x, mu, lv) + 0.5 * (mu - mu**2).sum(1).mean(),
    "batch-mixed by broadcasting": lambda r, x, mu, lv: (
        0.5 * (r.unsqueeze(1) - x).square().sum(-1).mean() + kl(mu, lv).sum(1).mean()
    ),
    "batch-mixed by order": lambda r, x, mu, lv: squared(r[torch.randperm(len(r))], x, mu, lv),
    "batch-dependence": lambda r, x, mu, lv: 0.5 * (r - x).square().sum(1).mean() + kl(mu, lv).sum(),
}


def test_each_rule_is_asked_once():
    names = [one.name for one in catalogue()]
    assert len(names) == len(set(names)) > 10


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_of_a_loss_is_named_and_no_other(fault, x):
    loss = FAULTS[fault]
    report = bt.lint(Vae(), lambda recon, x, mu, logvar: loss(recon, x, mu, logvar), x)
    follow = {"optimum-collapsed"} | ({"dead-gradient"} if fault.endswith("recon") else set())  # of the decoder
    assert errors(report) - follow == {fault.partition(" ")[0]}


def test_a_sigma_above_the_data_is_a_collapsed_optimum(x):
    report = bt.lint(Vae(), lambda recon, x, mu, logvar: F.mse_loss(recon, x) + kl(mu, logvar).sum(1).mean(), x / 40)
    assert "optimum-collapsed" in errors(report)
    assert "optimum-collapsed" not in errors(bt.lint(Vae(), squared, x))


def test_faults_of_wiring(x):
    assert errors(bt.lint(Vae(sample=False), squared, x)) == {"no-sampling"}
    assert errors(bt.lint(Vae(sample=False, dropout=0.5), squared, x)) >= {"no-sampling"}
    assert "z-unreached" in errors(bt.lint(Vae(reach=False), squared, x))
    cut = bt.lint(Vae(cut=True), squared, x)
    assert "dead-gradient" in errors(cut) and "encoder" in str(cut)


def test_an_unused_parameter_and_a_gradient_that_is_not_finite(x):
    model = Vae()
    model.spare = nn.Linear(2, 2)
    assert any("spare.weight" in one.evidence for one in bt.lint(model, squared, x))
    broken = bt.lint(Vae(), lambda recon, x, mu, logvar: squared(recon, x, mu, logvar) / 0, x)
    assert "not finite" in str(broken)


def test_a_log_variance_without_bound(x):
    assert any(one.rule == "log-variance" for one in bt.lint(Vae(), squared, x * 100))


def test_schedules(x):
    def said(beta):
        return [one.evidence for one in bt.lint(Vae(), squared, x, schedule=beta, steps=1000) if one.rule == "schedule"]

    assert said(lambda step: min(1.0, step / 300)) == []
    assert said(lambda step: 0.0) == ["the weight is 0 in all 1000 steps"]
    assert said(lambda step: step / 5000) == ["the weight is 0.2 at most in 1000 steps"]
    assert said(lambda step: min(1.0, step / 980)) == ["the weight first reaches 1 after 98% of training"]
    assert said(lambda step: 1.0 if step < 500 else 0.5) == ["training ends at a weight of 0.5"]


class Words(nn.Module):
    """Reads the words it predicts, shifted by one place or not, beside z."""

    def __init__(self, shifted=True, vocabulary=11):
        super().__init__()
        self.embedding, self.encoder = nn.Embedding(vocabulary, 8), nn.GRU(8, 8, batch_first=True)
        self.head, self.decoder = nn.Linear(8, 2 * L), Reader(shifted, vocabulary)

    def forward(self, x):
        mu, logvar = self.head(self.encoder(self.embedding(x))[1][0]).chunk(2, -1)
        return self.decoder(x, mu + (logvar / 2).exp() * torch.randn_like(mu)), mu, logvar


class Reader(nn.Module):
    def __init__(self, shifted, vocabulary):
        super().__init__()
        self.shifted, self.embedding = shifted, nn.Embedding(vocabulary, 8)
        self.net, self.out = nn.GRU(8 + L, 8, batch_first=True), nn.Linear(8, vocabulary)

    def forward(self, x, z):
        words = self.embedding(x)
        if self.shifted:
            words = F.pad(words, (0, 0, 1, 0))[:, :-1]
        return self.out(self.net(torch.cat([words, z[:, None].expand(-1, x.shape[1], -1)], -1))[0])


@pytest.fixture
def sentences():
    x = torch.randint(1, 11, (N, 9), generator=torch.Generator().manual_seed(0))
    lengths = torch.arange(N) % 6 + 3
    return x * (torch.arange(9) < lengths[:, None])


def entropy(recon, x, mu, logvar, ignore=-100):
    nats = F.cross_entropy(recon.flatten(0, 1), x.flatten(), reduction="sum", ignore_index=ignore)
    return nats / len(x) + kl(mu, logvar).sum(1).mean()


def test_sentences(sentences):
    def ignoring(recon, x, mu, logvar):
        return entropy(recon, x, mu, logvar, ignore=0)

    assert not errors(bt.lint(Words(), ignoring, sentences)) - {"dead-gradient"}  # words that no row has
    assert "padding-counted" in errors(bt.lint(Words(), entropy, sentences))
    assert "sees-target" in errors(bt.lint(Words(shifted=False), ignoring, sentences))


def test_a_mean_over_words_is_named_with_their_mean_number(sentences):
    def mean(recon, x, mu, logvar):
        return F.cross_entropy(recon.flatten(0, 1), x.flatten(), ignore_index=0) + kl(mu, logvar).sum(1).mean()

    found = next(one for one in bt.lint(Words(), mean, sentences) if one.rule == "loss-reduction")
    assert f"{(sentences > 0).sum().item() / N:.4g} values" in found.evidence


def test_a_weight_is_a_note_and_constants_are_counted(x):
    report = bt.lint(
        Vae(), lambda recon, x, mu, logvar: squared(recon, x, mu, logvar) + kl(mu, logvar).sum(1).mean(), x
    )
    notes = {one.rule: one.evidence for one in report if one.level == "note"}
    assert "sigma^2 = 2" in notes["rate-weight"] and "37.97 nats" in notes["constants"]  # 15 log(4 pi)


def test_the_model_is_left_as_it_was(x):
    model = Vae(dropout=0.5)
    model.norm = nn.BatchNorm1d(D)
    model.decoder = nn.Sequential(nn.Linear(L, D), model.norm)
    model.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.random.get_rng_state()
    bt.lint(model, squared, x)
    assert torch.equal(state, torch.random.get_rng_state())
    assert not model.training and all(torch.equal(before[n], v) for n, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters()) and model.encoder[1].p == 0.5


def test_what_cannot_be_asked_is_told(x):
    class Apart(Vae):
        def loss(self, x):
            return squared(*_named(lambda x: self.forward(x), x))

    report = bt.lint(Apart(), lambda model, batch: model.loss(batch), x)
    assert "kl-sign" in report.silent and "one call of model(x)" in report.silent["kl-sign"]


@pytest.mark.parametrize(
    ("model", "loss", "batch", "says"),
    [
        ("mine", squared, torch.zeros(4, D), "model"),
        (Vae(), 3, torch.zeros(4, D), "loss_fn"),
        (Vae(), squared, torch.zeros(0, D), "one example or more"),
        (Vae(), squared, 5, "the batch gave int"),
        (Vae(), lambda model, batch: model(batch)[0], torch.zeros(4, D), "the loss function gave a tensor of shape"),
        (nn.Linear(D, D), squared, torch.zeros(4, D), "forward.x. gave one tensor"),
        (Vae(), lambda recon, x, mu, lv: lv, torch.zeros(4, D), "mu, lv., and none of these is a name for"),
        (Vae(), lambda recon, x, mu, logvar, w: w, torch.zeros(4, D), "one of x, w can be x"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(model, loss, batch, says):
    with pytest.raises((ValueError, TypeError), match=says):
        bt.lint(model, loss, batch)


def test_every_form_of_output_is_cut_apart(x):
    @dataclass
    class Out:
        recon: torch.Tensor
        mu: torch.Tensor
        logvar: torch.Tensor

    class ByName(Vae):
        form = dict

        def forward(self, x):
            recon, mu, logvar = super().forward(x)
            return self.form(recon=recon, mu=mu, logvar=logvar)

    def by_name(model, batch):
        out = model(batch)
        out = out if isinstance(out, dict) else vars(out)
        return squared(out["recon"], batch, out["mu"], out["logvar"])

    for form in (dict, Out):
        model = ByName()
        model.form = form
        assert "kl-sign" not in bt.lint(model, by_name, x).silent


def test_a_forward_of_keywords_alone_gets_the_entries_of_a_batch(x):
    class ByKeys(Vae):
        def forward(self, **batch):
            return super().forward(batch["data"] + batch["shift"])

    wrong = lambda recon, x, mu, logvar: (recon - x).square().sum(1).mean() - kl(mu, logvar).sum(1).mean()  # noqa: E731
    batch = {"data": x, "shift": torch.zeros_like(x)}
    assert errors(bt.lint(ByKeys(), wrong, batch)) == errors(bt.lint(Vae(), wrong, x)) != set()


def test_the_command_prints_json_and_ends_with_1_on_an_error(tmp_path, capsys):
    script = tmp_path / "mine.py"
    script.write_text(
        "import torch\n"
        "from torch import nn\n"
        "class Vae(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.encoder, self.decoder = nn.Linear(9, 4), nn.Linear(2, 9)\n"
        "    def forward(self, x):\n"
        "        mu, logvar = self.encoder(x).chunk(2, -1)\n"
        "        return self.decoder(mu + torch.randn_like(mu) * (logvar / 2).exp()), mu, logvar\n"
        "def loss(recon, x, mu, logvar):\n"
        "    return ((recon - x) ** 2).mean() + 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1).mean()\n"
        "def make():\n"
        "    return Vae(), loss, torch.randn(64, 9)\n"
    )
    with pytest.raises(SystemExit) as stopped:
        main(["lint", f"{script}:make", "--json", "true"])
    assert stopped.value.code == 1
    assert json.loads(capsys.readouterr().out)["findings"][0]["rule"] == "loss-reduction"


def test_every_rule_is_tried_here():
    names = {one.name for one in catalogue()}
    text = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in sorted(names) if name not in text] == []


class Drawn(Vae):
    """Draws z in a way of its own, and has functions behind its heads."""

    def __init__(self, deviation=lambda logvar: (logvar / 2).exp(), eps=torch.randn_like, head=None, last=None):
        super().__init__()
        self.deviation, self.eps = deviation, eps
        self.head, self.last = head or nn.Identity(), last or nn.Identity()

    def forward(self, x):
        mu, logvar = self.encoder(x).chunk(2, -1)
        logvar = self.head(logvar)
        return self.last(self.decoder(mu + self.deviation(logvar) * self.eps(mu))), mu, logvar


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"deviation": torch.exp}, "sigma is exp.logvar."),
        ({"eps": torch.rand_like}, "torch.rand"),
        ({"eps": lambda mu: 0.01 * torch.randn_like(mu)}, "standard deviation of 0.01"),
        ({"eps": lambda mu: torch.randn(L)}, "all examples of the batch get the same noise"),
    ],
)
def test_noise_that_is_not_the_one_of_the_kl_is_told(x, wrong, says):
    x = x.repeat(4, 1) / 4
    found = [one for one in bt.lint(Drawn(**wrong), squared, x) if one.rule == "sampling-noise"]
    assert len(found) == 1 and re.search(says, found[0].evidence)
    assert not errors(bt.lint(Drawn(), squared, x))


def test_log_sigma_in_the_kl_and_in_z_is_a_note(x):
    def by_log_sigma(recon, x, mu, logvar):
        return (
            0.5 * (recon - x).square().sum(1).mean() + 0.5 * (mu**2 + (2 * logvar).exp() - 1 - 2 * logvar).sum(1).mean()
        )

    report = bt.lint(Drawn(deviation=torch.exp), by_log_sigma, x.repeat(4, 1) / 4)
    assert not errors(report) and "kl-formula" in report.rules


def test_a_relu_on_logvar(x):
    assert errors(bt.lint(Drawn(head=nn.ReLU()), squared, x)) == {"rectified-latent"}


def test_the_last_activation_is_held_against_loss_and_data(x):
    bits = (x > 0).float()
    assert errors(bt.lint(Drawn(last=nn.Sigmoid()), binary, bits)) == {"double-activation"}
    assert errors(bt.lint(Drawn(), binary, bits)) == set()
    assert errors(bt.lint(Drawn(last=nn.Sigmoid()), squared, x)) == {"output-range"}
    assert "output-range" not in errors(bt.lint(Drawn(last=nn.Tanh()), squared, bits))


class Quantised(nn.Module):
    """The nearest of 16 codewords, with a gradient past it or not."""

    def __init__(self, straight):
        super().__init__()
        self.straight = straight
        self.encoder, self.codes, self.decoder = nn.Linear(D, L), nn.Embedding(16, L), nn.Linear(L, D)

    def forward(self, x):
        z = self.encoder(x)
        numbers = torch.cdist(z, self.codes.weight).argmin(1)
        near = self.codes(numbers)
        loss = F.mse_loss(near, z.detach()) + F.mse_loss(z, near.detach())
        return loss, self.decoder(z + (near - z).detach() if self.straight else near), numbers


def test_a_quantiser_without_a_straight_through_estimator(x):
    def loss(model, batch):
        commitment, recon, _ = model(batch)
        return F.mse_loss(recon, batch) + commitment

    wrong, right = bt.lint(Quantised(False), loss, x), bt.lint(Quantised(True), loss, x)
    assert errors(wrong) == {"straight-through"} and "encoder" in str(wrong)
    assert errors(right) <= {"dead-gradient"}  # codewords that no example took
    assert right.silent["kl-sign"] == "model(x) gives no mu and logvar"


class Story(nn.Module):
    """An LSTM of words, whose decoder gets embedded words: no module of it is called with x and z."""

    def __init__(self, shifted):
        super().__init__()
        self.shifted, self.embedding = shifted, nn.Embedding(11, 8)
        self.encoder, self.head = nn.LSTM(8, 8, batch_first=True), nn.Linear(8, 2 * L)
        self.start, self.decoder, self.out = nn.Linear(L, 8), nn.LSTM(8, 8, batch_first=True), nn.Linear(8, 11)

    def forward(self, x):
        words = self.embedding(x)
        mu, logvar = self.head(self.encoder(words)[1][0][0]).chunk(2, -1)
        state = self.start(mu + (logvar / 2).exp() * torch.randn_like(mu))[None]
        words = self.embedding(x[:, :-1]) if self.shifted else words
        return self.out(self.decoder(words, (state, torch.zeros_like(state)))[0]), mu, logvar


def test_embedded_words_that_are_not_shifted_are_seen(sentences):
    def next_word(recon, x, mu, logvar):
        return entropy(recon, x[:, -recon.shape[1] :], mu, logvar, ignore=0)

    assert errors(bt.lint(Story(shifted=False), next_word, sentences)) == {"sees-target"}
    assert errors(bt.lint(Story(shifted=True), next_word, sentences)) <= {"dead-gradient"}

    def cut_off(recon, x, mu, logvar):
        return entropy(recon[:, :-1], x[:, 1:], mu, logvar, ignore=0)

    assert errors(bt.lint(Story(shifted=False), cut_off, sentences)) <= {"dead-gradient"}


class Skipping(nn.Module):
    """A way of each pixel's neighbours past z, or a second latent, which is no such way."""

    def __init__(self, skip):
        super().__init__()
        self.near = nn.Conv2d(1, 1, 3, padding=1) if skip else None
        self.encoder, self.decoder = nn.Linear(64, 4 * L), nn.Linear(2 * L, 64)

    def forward(self, x):
        mu, logvar, mean, narrow = self.encoder(x.flatten(1)).chunk(4, -1)
        draws = [m + (v / 2).exp() * torch.randn_like(m) for m, v in ((mu, logvar), (mean, narrow))]
        if self.near:
            draws[1] = torch.zeros_like(mu)
        out = self.decoder(torch.cat(draws, -1)).view_as(x)
        return out + self.near(x) if self.near else out, mu, logvar


def test_a_skip_connection_is_seen_and_a_second_latent_is_none():
    x = torch.randn(N, 1, 8, 8)

    def loss(recon, x, mu, logvar):
        return squared(recon.flatten(1), x.flatten(1), mu, logvar)

    assert "sees-target" in errors(bt.lint(Skipping(True), loss, x))
    assert "sees-target" not in errors(bt.lint(Skipping(False), loss, x))


def distortion(recon, x):
    return 0.5 * (recon - x).square().sum(1).mean()


NO_FAULTS = {
    "both divided by D": lambda r, x, mu, lv: ((r - x).square().mean() + kl(mu, lv).sum(1).mean() / D),
    "free bits not spent": lambda r, x, mu, lv: distortion(r, x) + kl(mu, lv).mean(0).clamp_min(50).sum(),
    "a warm-up at 0": lambda r, x, mu, lv: distortion(r, x) + 0 * kl(mu, lv).sum(1).mean(),
    "a capacity": lambda r, x, mu, lv: distortion(r, x) + 9 * (kl(mu, lv).sum(1).mean() - 500).abs(),
}  # fmt: skip


@pytest.mark.parametrize("loss", NO_FAULTS)
def test_what_is_meant_is_no_fault(loss, x):
    assert not errors(bt.lint(Vae(), lambda recon, x, mu, logvar: NO_FAULTS[loss](recon, x, mu, logvar), x))


def test_a_learned_sigma_is_not_judged_by_its_first_value(x):
    model = Vae()
    model.log_sigma = nn.Parameter(torch.tensor(3.0))

    def learned(model, batch):
        recon, mu, logvar = model(batch)
        nats = (0.5 * ((recon - batch) / model.log_sigma.exp()) ** 2 + model.log_sigma).sum(1).mean()
        return nats + kl(mu, logvar).sum(1).mean()

    report = bt.lint(model, learned, x / 4)
    assert not report.rules and report.silent["optimum-collapsed"] == "the scale of the squared error is learned"


def test_a_mean_with_a_weight_chosen_by_hand_is_a_warning(x):
    def by_hand(recon, x, mu, logvar):
        return F.mse_loss(recon, x) + 0.1 * kl(mu, logvar).sum(1).mean()

    found = next(one for one in bt.lint(Vae(), by_hand, x) if one.rule == "loss-reduction")
    assert found.level == "warning" and "sigma^2 = 1.5" in found.evidence  # 0.1 D / 2


def test_a_schedule_that_comes_near_1_is_over(x):
    report = bt.lint(Vae(), squared, x, schedule=lambda step: 1 / (1 + math.exp(-(step - 500) / 50)), steps=1000)
    assert "schedule" not in report.rules


def test_the_guide_lists_every_rule():
    guide = (Path(__file__).parents[2] / "docs" / "guide.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([a-z-]+)` \|", guide.partition("## Lint a loss")[2].partition("\n## ")[0], re.M)
    assert listed == sorted(one.name for one in catalogue())


class Plain(nn.Module):
    """A right VAE of ten numbers, with a switch for what people do to it."""

    def __init__(self, fixed: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fixed = fixed
        self.encoder, self.decoder = nn.Linear(10, 4), nn.Linear(2, 10)

    def forward(self, x):
        mu, logvar = self.encoder(x).chunk(2, -1)
        logvar = torch.full_like(mu, -2.0) if self.fixed else logvar
        return self.decoder(mu + torch.randn_like(mu) * (logvar / 2).exp()), mu, logvar


def summed(recon, x, mu, logvar):
    kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1).mean()
    return 0.5 * (recon - x).square().sum(1).mean() + kl


@pytest.mark.parametrize("frozen", ["all", "encoder", "nothing, but sigma is fixed"])
def test_frozen_weights_and_a_fixed_variance_are_no_fault_of_the_wiring(frozen):
    model = Plain(fixed=frozen.startswith("nothing"))
    if not model.fixed:
        (model if frozen == "all" else model.encoder).requires_grad_(False)
    x = torch.randn(64, 10)
    for loss in (None, summed):
        verdict = bt.diagnose(model, x, likelihood="gaussian", variance=1.0, loss_fn=loss, gap_steps=0).verdict
        assert not {"no gradient reaches the encoder", "z does not reach the decoder"} & set(verdict.causes)
    assert not {"z-unreached", "no-sampling"} & set(bt.lint(model, summed, x).rules)
    assert all(p.requires_grad == model.fixed for p in model.encoder.parameters())


def test_of_a_z_that_is_multiplied_by_nothing_only_that_is_told():
    class Deaf(Plain):
        def forward(self, x):
            _, mu, logvar = super().forward(x)
            return self.decoder(0 * mu), mu, logvar

    report = bt.lint(Deaf(), summed, torch.randn(64, 10))
    assert "z-unreached" in report.rules and "no-sampling" in report.silent


@pytest.mark.parametrize(
    ("loss", "complaint"),
    [
        (lambda model, x: summed(model(x)[0], x, *model(x)[1:]).detach(), "the loss carries no gradient"),
        (lambda model, x: {"kl": torch.zeros(()), "reconstruction": model(x)[0].sum()}, "a dict of 'kl', 'reconst"),
        (lambda model, x: 1 / 0, r"loss_fn\(model, batch\) fails: ZeroDivisionError"),
    ],
)
def test_a_loss_that_cannot_be_asked_is_refused_in_one_sentence(loss, complaint):
    x = torch.randn(64, 10)
    with pytest.raises(ValueError, match=complaint):
        bt.lint(Plain(), loss, x)
    with pytest.raises(ValueError, match=complaint):
        bt.diagnose(Plain(), x, likelihood="gaussian", variance=1.0, loss_fn=loss)


def test_a_loss_among_its_terms_and_a_caller_without_gradients_are_understood():
    x = torch.randn(64, 10)

    def terms(model, x):
        return {"kl": model(x)[1].sum(), "total": summed(*model(x)[:1], x, *model(x)[1:])}

    assert "kl-missing" not in bt.lint(Plain(), terms, x).rules
    with torch.no_grad():
        assert bt.lint(Plain(), summed, x).rules == bt.lint(Plain(), summed, x).rules
    model = Plain()
    with torch.inference_mode():
        assert bt.lint(model, summed, x).rules == bt.lint(model, summed, x).rules


def test_a_loss_of_nan_and_a_model_that_refuses_training_mode_are_met_by_a_diagnosis():
    x = torch.randn(64, 10)
    asked = {"likelihood": "gaussian", "variance": 1.0, "gap_steps": 0}
    with pytest.raises(ValueError, match="loss_fn gives nan on 64 examples"):
        bt.diagnose(Plain(), x, loss_fn=lambda model, x: model(x)[0].sum() * float("nan"), **asked)

    class Evaluated(Plain):
        def forward(self, x):
            assert not self.training, "for evaluation alone"
            return super().forward(x)

    assert bt.diagnose(Evaluated().eval(), x, **asked).estimates["rate"].value > 0


def test_an_exponent_that_is_called_p_is_no_dropout():
    class Pooled(Plain):
        p = 3.0

        def forward(self, x):
            recon, mu, logvar = super().forward(x)
            return recon + x.abs().pow(self.p).mean().pow(1 / self.p) * 0, mu, logvar

    bt.lint(Pooled(), summed, torch.randn(64, 10))


def test_a_diagnosis_of_a_loader_leaves_the_random_state_alone():
    loader = torch.utils.data.DataLoader(torch.randn(64, 10), batch_size=16, shuffle=True)
    model, state = Plain(), torch.get_rng_state()
    bt.diagnose(model, loader, likelihood="gaussian", variance=1.0, gap_steps=0)
    assert torch.equal(state, torch.get_rng_state())


def test_an_error_scaled_by_the_batch_is_not_one_that_mixes_it(x):
    def loss(recon, x, mu, logvar):
        of_columns = (recon - x).square().mean(0)
        return 0.5 * D * of_columns.log().mean() + kl(mu, logvar).sum(1).mean()

    assert "batch-mixed" not in errors(bt.lint(Vae(), loss, x))


@pytest.mark.parametrize("holder", ["model", "loss"])
def test_a_warm_up_that_counts_calls_stands_still(holder, x):
    class Loss:
        step = 0

        def __call__(self, model, batch):
            counter = model if holder == "model" else self
            counter.step += 1
            recon, mu, logvar = model(batch)
            rate = min(1, counter.step / 1000) * kl(mu, logvar).sum(1).mean()
            return F.binary_cross_entropy_with_logits(recon, batch, reduction="sum") / len(batch) + rate

    model, loss = Vae(), Loss()
    model.step = loss.step = 499
    report = bt.lint(model, loss, (x > 0).float())
    assert "weight (beta) of 0.5 " in str(report) and model.step == loss.step == 499


def test_a_whole_training_step_is_a_loss(x):
    model = Vae()
    optimizer = torch.optim.Adam(model.parameters())

    def step(model, batch):
        loss = squared(*_named(model, batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    before = model.decoder.weight.detach().clone()
    report = bt.lint(model, step, x)
    assert not errors(report) and "rate-weight" in report.rules
    assert torch.equal(model.decoder.weight, before) and not optimizer.state


def test_an_output_that_is_not_read_is_told_first(x):
    class Turned(Vae):
        def forward(self, x):
            recon, mu, logvar = super().forward(x)
            return mu, logvar, recon

    def loss(model, batch):
        mu, logvar, recon = model(batch)
        return squared(recon, batch, mu, logvar)

    said = str(bt.lint(Turned(), loss, x))
    assert said.startswith("hardly anything could be checked: ") and "no fault found" not in said
    assert str(bt.lint(Vae(), squared, x)).find("hardly") < 0


def test_x_that_does_not_vary_is_told(x):
    found = [one for one in bt.lint(Vae(), squared, torch.zeros(N, D)) if one.rule == "optimum-collapsed"]
    assert "x does not vary" in found[0].evidence
