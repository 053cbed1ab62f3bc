"""The monitor looks when it may, warns when z is lost or never used, and writes to whatever logger is there."""

from __future__ import annotations

import random
import sys
import types
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import buttress as bt
from buttress.diagnostics.adapters.loaders import held
from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.monitor.alarm import EXPECTED, LOST, UNUSED, alarm
from buttress.diagnostics.monitor.hooks import lightning_callback, transformers_callback
from buttress.diagnostics.monitor.monitor import CollapseWarning, Monitor, _plain
from buttress.diagnostics.monitor.seen import Seen
from buttress.diagnostics.reference import LinearGaussian

others_may_warn = pytest.mark.filterwarnings("ignore")
"""Of libraries that are not ours, whose warnings are not ours to mend."""


def look(nats, warning=""):
    state = "used" if nats > 0.5 else "collapsed"
    return Seen(0, {"mutual_information": Estimate(nats, 0.05, 256, "")}, state, None, (), warning)


def alarms(*nats):
    return [alarm([look(one) for one in nats[: k + 1]]) for k in range(len(nats))]


def test_each_alarm_is_given_where_it_begins_and_once():
    assert alarms(0.0, 2.0, 2.1, 0.6, 0.6, 0.1, 0.0) == ["", "", "", LOST, "", "", ""]
    assert alarms(0.0, 0.0, 0.0, 0.0, 0.0) == ["", "", "", UNUSED, ""]
    assert alarms(0.0, 0.0, 0.0, 1.0, 1.2, 2.0) == [""] * 6
    assert alarms(2.0, 0.5, 2.0, 0.5) == ["", LOST, "", LOST]


def test_a_fall_within_the_errors_is_no_loss():
    wide = Seen(0, {"mutual_information": Estimate(0.6, 0.3, 256, "")}, "used", None)
    assert alarm([look(2.0), wide]) == ""


@pytest.fixture
def linear():
    model = LinearGaussian(torch.ones(2, 1).double(), torch.zeros(2).double(), 1.0)
    return model, [model.sample(200)[0]]


def test_looks_take_no_more_than_their_share(linear):
    model, probe = linear
    monitor = Monitor(model.vae(), probe, share=0.1)
    now = [0.0]

    def clock():
        return now[0]

    def slow(step):
        now[0] += 3.0
        monitor.spent, monitor.last = monitor.spent + 3.0, 3.0
        monitor.looks.append(look(1.0))
        return monitor.looks[-1]

    monitor.clock, monitor.look = clock, slow
    for step in range(1000):
        now[0] += 1.0
        monitor(step)
    assert 1000 * 0.1 / 3 * 0.9 < len(monitor.looks) < (now[0] * 0.1) / 3 + 1
    assert monitor.spent <= 0.1 * now[0]


def test_a_warning_names_the_cause_and_can_stop(linear):
    model, probe = linear
    monitor = Monitor(model.lagging(), probe, every=1, stop=True)
    with pytest.warns(
        CollapseWarning, match=r"z is not used \(step 3\): .*; the cause: inference lags; try aggressive"
    ):
        until_stopped(monitor)
    assert len(monitor.looks) == 4


def until_stopped(monitor):
    for step in range(6):
        monitor(step)
        if monitor.stopped:
            return


def test_a_model_in_use_gives_no_warning(linear):
    model, probe = linear
    monitor = Monitor(model.vae(), probe, every=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seen = [monitor(step) for step in range(8)]
    assert [one is not None for one in seen] == [True, False] * 4 and not monitor.stopped


def test_the_end_is_forecast_at_a_tenth_of_the_run(linear):
    model, probe = linear
    used = Monitor(model.vae(), probe, every=7, steps=40)
    lost = Monitor(model.collapsed(), probe, every=7, steps=40, beta=20.0)
    for step in range(4):
        used(step), lost(step)
    assert used.probability is lost.probability is None
    assert [look.step for look in used.looks] == [0, 2]
    with pytest.warns(CollapseWarning, match=r"this run is expected to end collapsed \(step 4\): the probability"):
        lost(4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seen = used(4)
    assert used.probability == seen.probability < 0.2 and lost.probability > 0.8
    assert seen.values()["probability_collapsed"] == seen.probability
    assert f"ends collapsed: {seen.probability:.2f}" in str(seen)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        [(used(step), lost(step)) for step in range(5, 40)]
    assert [look.probability is not None for look in used.looks] == [False] * 2 + [True] + [False] * 5
    assert sum("expected" in look.warning for look in lost.looks) == 1


def test_there_is_no_forecast_without_a_length_or_where_it_costs_too_much(linear):
    model, probe = linear
    unknown = Monitor(model.vae(), probe, every=2)
    late = Monitor(model.vae(), probe, every=2, steps=100)  # one that began after 5 % of the run
    for step in range(8, 14):
        unknown(step), late(step)
    assert unknown.probability is late.probability is None
    for cost, known in ((0.5, False), (0.05, True)):
        monitor, now = Monitor(model.vae(), probe, share=0.03, steps=100), [0.0]
        monitor.clock = lambda now=now: now[0]
        look = monitor.look

        def slow(step, look=look, monitor=monitor, now=now, cost=cost):
            seen = look(step)
            now[0] += cost
            monitor.last = cost
            monitor.spent += cost
            return seen

        monitor.look = slow
        for step in range(100):
            now[0] += 0.3
            monitor(step)
        assert (monitor.probability is not None) == known
        assert monitor.spent <= max(cost, 0.03 * now[0])


def test_an_annealed_weight_is_foreseen(linear):
    model, probe = linear
    flat, rising = (Monitor(model.vae(), probe, every=9, steps=40, beta=beta) for beta in (8.0, lambda step: step / 5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for step in range(5):
            flat(step), rising(step)
    assert rising._settings(4)["beta"] == 39 / 5 and rising.probability != flat.probability


def test_an_expected_collapse_is_told_once():
    def looks(*probabilities):
        told = [Seen(0, {}, "used", None, probability=p) for p in probabilities]
        return [alarm(told[: k + 1]) for k in range(len(told))]

    assert looks(None, 0.9, None, None) == ["", EXPECTED, "", ""]
    assert looks(None, 0.4, None) == [""] * 3


class Vae(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(6, 4), nn.Linear(2, 6)

    def forward(self, x):
        mu, logvar = self.encoder(x).chunk(2, -1)
        return self.decoder(mu + (logvar / 2).exp() * torch.randn_like(mu)), mu, logvar


def test_training_is_the_same_with_and_without_it():
    def trained(watched):
        torch.manual_seed(0)
        model, x = Vae(), torch.randn(64, 6)
        optimizer = torch.optim.Adam(model.parameters())
        monitor = Monitor(model, torch.randn(32, 6), likelihood="mse", every=1) if watched else (lambda step: None)
        torch.manual_seed(1)
        for step in range(3):
            recon, mu, logvar = model(x)
            loss = (recon - x).square().sum() + (mu**2 + logvar.exp() - 1 - logvar).sum() / 2
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            monitor(step)
        return model.state_dict()

    for one, other in zip(trained(True).values(), trained(False).values(), strict=True):
        assert torch.equal(one, other)


def test_loggers(linear, tmp_path):
    model, probe = linear
    heard = []

    class Scalars:
        def add_scalar(self, name, value, step):
            heard.append((name, step))

    class Metrics:
        def log_metrics(self, numbers, step):
            heard.extend((name, step) for name in numbers)

    class Wandb:
        def log(self, numbers, step):
            heard.extend((name, step) for name in numbers)

    for logger in (Scalars(), Metrics(), Wandb(), lambda numbers, step: heard.extend((n, step) for n in numbers)):
        heard.clear()
        Monitor(model.vae(), probe, logger=logger)(7)
        assert ("z/mutual_information", 7) in heard and ("z/collapsed", 7) in heard
    table = tmp_path / "logs" / "z.csv"
    for step in (1, 2):  # a second monitor goes on with the file
        Monitor(model.vae(), probe, logger=table)(step)
    lines = table.read_text().splitlines()
    assert lines[0].startswith("step,z/elbo,z/rate") and lines[0].endswith("z/probability_collapsed")
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2"]


def test_lightning_logs_and_stops(linear, tmp_path):
    lightning = pytest.importorskip("lightning")
    from lightning.pytorch.loggers import CSVLogger

    model, probe = linear

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(2, 1)

        def training_step(self, batch, index):
            return self.net(batch[0]).square().mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

        def train_dataloader(self):
            return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(40, 2)), batch_size=2)

    monitor = Monitor(model.collapsed(), probe, every=1, stop=True)
    logger = CSVLogger(tmp_path)
    trainer = lightning.Trainer(
        max_steps=15, callbacks=[lightning_callback(monitor)], logger=logger, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, accelerator="cpu", log_every_n_steps=1,
    )  # fmt: skip
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.fit(Module())
    assert (
        monitor.steps == 15
        and trainer.global_step < 15
        and any(issubclass(one.category, CollapseWarning) for one in caught)
    )
    assert "z/rate" in (next(tmp_path.rglob("metrics.csv"))).read_text()


def test_the_hugging_face_trainer_is_told_to_stop(linear, monkeypatch):
    fake = types.ModuleType("transformers")
    fake.TrainerCallback = type("TrainerCallback", (), {})
    monkeypatch.setitem(sys.modules, "transformers", fake)
    model, probe = linear
    callback = transformers_callback(Monitor(model.collapsed(), probe, every=1, stop=True))
    control = types.SimpleNamespace(should_training_stop=False)
    with pytest.warns(CollapseWarning):
        [
            callback.on_step_end(None, types.SimpleNamespace(global_step=step, max_steps=900), control)
            for step in range(4)
        ]
    assert control.should_training_stop


def columns_of(names):
    assert "z/mutual_information" in names and "z/collapsed" in names


def test_tensorboard_keeps_what_was_seen(linear, tmp_path):
    board = pytest.importorskip("torch.utils.tensorboard", exc_type=ImportError)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with board.SummaryWriter(str(tmp_path)) as writer:
        seen = Monitor(linear[0].vae(), linear[1], logger=writer)(7)
    kept = EventAccumulator(str(tmp_path))
    kept.Reload()
    columns_of(kept.Tags()["scalars"])
    [event] = kept.Scalars("z/rate")
    assert event.step == 7 and event.value == pytest.approx(seen.values()["rate"])


@others_may_warn
def test_mlflow_keeps_what_was_seen(linear, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", exc_type=ImportError)
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    with mlflow.start_run() as run:
        seen = Monitor(linear[0].vae(), linear[1], logger=mlflow)(7)
    client = mlflow.MlflowClient()
    columns_of(client.get_run(run.info.run_id).data.metrics)
    [kept] = client.get_metric_history(run.info.run_id, "z/rate")
    assert kept.step == 7 and kept.value == pytest.approx(seen.values()["rate"])


def test_weights_and_biases_gets_the_step_as_an_axis_and_keeps_its_own_count(linear):
    told, rows = [], []

    class Run:
        def define_metric(self, name, step_metric=None):
            told.append((name, step_metric))

        def log(self, numbers, commit):
            rows.append((numbers, commit))

    monitor = Monitor(linear[0].vae(), linear[1], logger=Run(), every=1)
    monitor(7), monitor(8)
    assert told == [("z/step", None), ("z/*", "z/step")]
    assert [(numbers["z/step"], commit) for numbers, commit in rows] == [(7, False), (8, False)]
    columns_of(rows[0][0])


@others_may_warn
def test_wandb_keeps_what_was_seen_whatever_else_is_logged(linear, tmp_path):
    wandb = pytest.importorskip("wandb", exc_type=ImportError)
    run = wandb.init(mode="offline", dir=tmp_path, project="mine", settings=wandb.Settings(silent=True))
    for step in range(20):  # a run counts the calls without a step
        run.log({"loss": 1.0 * step})
    Monitor(linear[0].vae(), linear[1], logger=run)(7)
    run.finish()
    [kept] = tmp_path.glob("wandb/offline*/*.wandb")
    columns_of(kept.read_bytes().decode("latin-1"))


@others_may_warn
@pytest.mark.parametrize("stop", [False, True])
def test_the_real_hugging_face_trainer_looks_and_stops(linear, tmp_path, stop):
    transformers = pytest.importorskip("transformers", exc_type=ImportError)
    pytest.importorskip("accelerate")

    class Module(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(2, 1)

        def forward(self, x):
            return {"loss": self.net(x).square().mean()}

    monitor = Monitor(linear[0].collapsed(), linear[1], every=1, stop=stop, logger=tmp_path / "z.csv")
    settings = transformers.TrainingArguments(
        str(tmp_path), max_steps=6, per_device_train_batch_size=2, report_to=[], use_cpu=True, save_strategy="no",
        disable_tqdm=True,
    )  # fmt: skip
    trainer = transformers.Trainer(
        Module(), settings, train_dataset=[{"x": torch.randn(2)} for _ in range(12)],
        callbacks=[transformers_callback(monitor)],
    )  # fmt: skip
    with pytest.warns(CollapseWarning):
        trainer.train()
    assert monitor.steps == 6 and trainer.state.global_step == (4 if stop else 6) == len(monitor.looks)
    assert [line.split(",")[0] for line in (tmp_path / "z.csv").read_text().splitlines()[1:]][:4] == list("1234")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"share": 0}, "share is 0"),
        ({"every": 0}, "every is 0"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": "100"}, "steps"),
        ({"share": "x"}, "share"),
        ({"floor": -1.0}, "floor is -1.0"),
        ({"floor": float("nan")}, "floor is nan"),
        ({"beta": -1.0}, "beta is -1.0"),
        ({"beta": float("nan")}, "beta is nan"),
        ({"beta": "high"}, "beta"),
        ({"only": ["rate"]}, "lacks active_units"),
        ({"only": ["rates"]}, "got rates"),
        ({"likelihod": "mse"}, "likelihod"),
        ({"logger": 3}, "logger"),
    ],
)
def test_bad_settings_are_refused_at_once(linear, settings, says):
    with pytest.raises((ValueError, TypeError), match=says):
        bt.Monitor(linear[0].vae(), linear[1], **settings)


def test_a_weight_of_the_rate_that_is_no_number_is_refused_at_the_first_look(linear):
    monitor = bt.Monitor(linear[0].vae(), linear[1], every=1, steps=100, beta=lambda step: float("nan"))
    with pytest.raises(ValueError, match="beta is nan, wanted a weight"):
        monitor(0)


def test_there_is_no_forecast_from_numbers_that_are_not_finite(linear):
    monitor = bt.Monitor(linear[0].vae(), linear[1], steps=100)
    evidence = bt.diagnose(linear[0].vae(), linear[1], nll_samples=0, gap_steps=0)
    assert "rate" in _plain(evidence)
    evidence.estimates["rate"] = Estimate(float("inf"), 0.1, 9, "")
    monitor.early = {0.05: _plain(evidence), 0.1: _plain(evidence)}
    assert "rate" not in _plain(evidence) and monitor._forecast(10, Seen(10, {}, "used", None)) is None


def test_further_calls_in_a_step_are_no_further_looks(linear):
    model, probe = linear
    monitor = Monitor(model, probe, every=1)
    for step in range(2):
        for _ in range(4):  # batches whose gradients are added up
            monitor(step)
    assert [look.step for look in monitor.looks] == [0, 1]


def test_a_model_that_breaks_later_is_told_once_and_training_goes_on():
    model = Vae()
    monitor = Monitor(model, torch.randn(32, 6), likelihood="mse", every=1)
    monitor(0)
    torch.nn.init.constant_(model.encoder.weight, float("nan"))
    with pytest.warns(CollapseWarning, match="z could not be looked at .step 1.: .*nan") as told:
        assert monitor(1) is None and monitor(2) is None
    assert len(told) == 1 and len(monitor.looks) == 1


def test_a_loader_is_read_once_and_no_random_state_is_moved():
    class Noisy(torch.utils.data.Dataset):
        def __len__(self):
            return 32

        def __getitem__(self, i):
            return torch.full((6,), float(i)) + torch.rand(6) + random.random() + np.random.rand()

    loader = torch.utils.data.DataLoader(Noisy(), batch_size=8, shuffle=True)
    torch.manual_seed(0)
    model = Vae()
    python = random.getstate()  # not over a look: the checks of types in these tests draw from it
    held(loader)
    assert python == random.getstate()
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    monitor = Monitor(model, loader, likelihood="mse", every=1)
    one, other = monitor(0), monitor(1)
    assert one.numbers == other.numbers
    assert torch.equal(before[0], torch.get_rng_state()) and before[1] == np.random.get_state()[1].tolist()


def kl(mu, logvar):
    return (mu**2 + logvar.exp() - 1 - logvar).sum(1).mean() / 2


def test_a_mistake_in_the_loss_is_told_at_the_first_look_and_there_is_no_forecast():
    def subtracted(recon, x, mu, logvar):
        return (recon - x).square().sum(1).mean() - kl(mu, logvar)

    monitor = Monitor(Vae(), torch.randn(32, 6), likelihood="mse", every=1, steps=40, loss_fn=subtracted)
    with pytest.warns(CollapseWarning, match=r"has a mistake \(step 0\): the loss falls as the KL rises") as found:
        [monitor(step) for step in range(6)]
    assert sum("mistake" in str(one.message) for one in found) == 1
    assert monitor.probability is None and set(monitor.looks[0].faults) == {"kl-sign"}


def test_a_decoder_that_is_not_connected_to_z_is_certain_to_leave_it_unused():
    class Deaf(Vae):
        def forward(self, x):
            _, mu, logvar = super().forward(x)
            return self.decoder(torch.zeros_like(mu)), mu, logvar

    monitor = Monitor(Deaf(), torch.randn(32, 6), likelihood="mse", every=1)
    with pytest.warns(CollapseWarning, match="has a mistake"):
        monitor(0)
    assert monitor.probability == 1.0


def test_a_training_of_seconds_is_looked_at_more_than_once(linear):
    model, probe = linear

    def steps(**settings):
        monitor = Monitor(model.vae(), probe, **settings)
        monitor.look = lambda step: monitor.looks.append(look(1.0))
        seen = []
        monitor.clock = lambda: 0.0
        monitor.spent = 1.0
        for step in range(0, 1000, 5):
            before = len(monitor.looks)
            monitor(step)
            seen += [step] * (len(monitor.looks) - before)
        return seen

    assert steps() == [100, 200, 400, 800] and steps(share=0.03) == []


def test_why_there_is_no_forecast_is_said():
    model, probe = Vae(), torch.randn(32, 6)
    monitor = Monitor(model, probe, likelihood="mse")
    assert "say steps=" in monitor.no_forecast and str(monitor).startswith("no look yet; no forecast: the length")
    monitor = Monitor(model, probe, likelihood="mse", steps=100, every=50)
    assert monitor.no_forecast == "it is made at 10% of the run"
    monitor.looks.append(replace(look(0.0), step=50))
    assert "no look at 5% and 10% of the run" in monitor.no_forecast
    monitor.looks.append(replace(look(0.0), step=60, probability=0.4))
    assert monitor.no_forecast == ""


def test_two_looks_in_the_second_half_of_a_run_are_enough():
    looks = [replace(look(0.0), step=step) for step in (0, 100, 200)]
    assert alarm(looks, 250) == UNUSED and alarm(looks, 500) == alarm(looks) == ""
    later = [*looks, replace(look(0.0), step=300)]
    assert alarm(later, 500) == UNUSED and alarm(later, 250) == ""
