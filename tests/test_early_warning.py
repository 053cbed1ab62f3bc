"""The early warning: fitted to runs, judged on data it was not fitted to, and written down as it was fitted."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from queue import Queue

import numpy as np
import pytest

from buttress.baseline import baseline
from buttress.cli.commands.early_warning import early_warning
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.diagnostics.monitor.forecast import COEFFICIENTS, Forecast, features, forecast
from buttress.experiments.early_fit import fit, leave_one_out, reliability, scores
from buttress.experiments.early_page import text
from buttress.experiments.early_runs import ShortRun
from buttress.experiments.early_table import CARRIED, EarlyRun, csv_of, read_csv, row_of
from buttress.experiments.early_warning import run_short
from buttress.training.progress import Progress

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "early_warning"


def run_of(data, seed, state, nats, borderline=""):
    """A made-up run that carries so many nats at 10 % of it, and half of that at 5 %."""
    row = {"name": f"{data}-{seed}", "data": data, "annealing": "none", "steps": "400", "state": state}
    row |= {"borderline": borderline, "state_10": "collapsed" if nats < 0.1 else "used"}
    row |= {"collapsed_from": "0.25" if state == "collapsed" else "", "weight_10": "1", "weight_end": "1"}
    row |= {"floor": "0", "seed": str(seed), "elbo_05": "-100", "elbo_10": "-90", "optimum_ratio_05": ""}
    row |= {"optimum_ratio_10": "", "active_units_05": "", "active_units_10": ""}
    for name in CARRIED:
        row |= {f"{name}_05": str(nats / 2), f"{name}_10": str(nats)}
    return EarlyRun(row)


def toy(told=True):
    """Sets of data in which little information at 10 % tells of a collapse, or nothing does."""
    random = np.random.default_rng(0)
    ends = [random.permutation(["collapsed", "used"] * 10) for _ in "abc"]
    low, high = (0.02, 2.0) if told else (0.2, 0.2)
    return [
        run_of(data, k, end, (low if end == "collapsed" else high) * random.lognormal(0, 0.8))
        for data, states in zip("abc", ends, strict=True)
        for k, end in enumerate(states)
    ]


def test_what_tells_of_a_collapse_is_found_and_what_does_not_is_not():
    for told, low, high in ((True, 0.95, 1.0), (False, 0.2, 0.8)):
        runs = toy(told)
        value, error = scores(runs, leave_one_out(runs)).auroc
        assert low <= value <= high and 0 <= error < 0.2


def test_a_set_of_data_is_judged_without_its_own_ends():
    runs = toy()
    turned = {"collapsed": "used", "used": "collapsed"}
    lied = [EarlyRun({**r.row, "state": turned[r.row["state"]]}) if r.data == "a" else r for r in runs]
    before, after = leave_one_out(runs), leave_one_out(lied)
    same = [p == q for p, q in zip(before, after, strict=True)]
    assert all(same[:20]) and not any(same[20:])


def test_borderline_ends_are_counted_and_judge_nothing():
    runs = toy()
    unsure = [run_of("a", 99, "collapsed", 5.0, "partly used"), run_of("b", 99, "unknown", 5.0)]
    assert all(one.borderline for one in unsure) and not run_of("a", 0, "used", 1.0, "partly used").borderline
    assert fit([*runs, *unsure]) == fit(runs)
    p = leave_one_out([*runs, *unsure])
    assert scores([*runs, *unsure], p) == scores(runs, p[:-2])
    assert sum(n for *_, n in reliability([*runs, *unsure], p)) == len(runs)
    assert "62 runs: 30 end collapsed, 30 do not, and 2 are borderline" in text([*runs, *unsure], p, fit(runs), ".")


def test_coefficients_are_read_as_they_were_written():
    fitted = fit(toy())
    values = toy()[0].features
    read = Forecast.from_json(fitted.to_json())
    assert read.runs == 60 and read.probability(values) == pytest.approx(fitted.probability(values), abs=1e-3)


def test_a_weight_that_will_rise_and_an_optimum_that_pays_are_seen():
    numbers = {"elbo": -90.0, "rate": 1.0, "worth_shuffled": 1.0}
    assert features(numbers, numbers, 0.1, 1.0)["weight_grows"] == pytest.approx(1.0)
    assert features(numbers, numbers, 0.0, 4.0)["weight_grows"] == pytest.approx(2.0)
    assert features(numbers, {**numbers, "optimum_ratio": 20.0}, 2.0, 2.0)["optimum"] == pytest.approx(1.0)
    assert features(numbers, numbers)["optimum"] == features(numbers, numbers)["floor"] == 0.0
    assert features(numbers, numbers, floor=0.9)["floor"] == pytest.approx(1.0)


def test_the_command_fits_a_table_and_writes_everything(tmp_path, capsys):
    table = tmp_path / "runs.csv"
    table.write_text(csv_of(toy()))
    early_warning(table=table, results=tmp_path / "results", page=tmp_path / "page.md")
    assert (tmp_path / "results" / "early_warning.png").stat().st_size > 10_000
    assert csv_of(read_csv(tmp_path / "results" / "runs.csv")) == table.read_text()
    assert Forecast.from_json((tmp_path / "results" / "early_warning.json").read_text()).runs == 60
    said = re.search(r"AUROC (\d\.\d{3}) ±", capsys.readouterr().out)
    assert said is not None and f"**{said[1]}" in (tmp_path / "page.md").read_text()


def test_another_table_is_refused(tmp_path):
    (tmp_path / "other.csv").write_text("name,data\nx,y\n")
    with pytest.raises(ValueError, match=r"other.csv: not the table of buttress early-warning \(it lacks"):
        early_warning(table=tmp_path / "other.csv")
    lines = csv_of(toy()).splitlines()
    cells, columns = lines[2].split(","), lines[0].split(",")
    cells[columns.index("rate_10")] = "nan"
    for spoilt, says in ((",".join(cells), "in row 2 rate_10 is 'nan', wanted a number"), ("a,b", "as many cells")):
        (tmp_path / "spoilt.csv").write_text("\n".join([*lines[:2], spoilt]))
        with pytest.raises(ValueError, match=says):
            read_csv(tmp_path / "spoilt.csv")
    with pytest.raises(ValueError, match="the runs all end alike"):
        fit([run for run in toy() if run.collapsed])


def test_the_package_brings_what_the_table_gives():
    runs = read_csv(RESULTS / "runs.csv")
    assert len(runs) >= 150 and len({run.data for run in runs}) == 9
    brought, fitted = forecast(), fit(runs)
    assert brought.runs == fitted.runs and COEFFICIENTS.exists()
    for run in runs:
        assert brought.probability(run.features) == pytest.approx(fitted.probability(run.features), abs=1e-3)
    page = (RESULTS.parent.parent / "early_warning.md").read_text("utf-8")
    assert text(runs, leave_one_out(runs), fitted, "results/early_warning") == page


def test_a_short_run_is_looked_at_and_taken_up(tmp_path):
    data = LinearGaussianData(dim=4, latent_dim=1, noise=0.1, n=200, held_out=0.5)
    recipe = baseline(data, data.open().spec)
    recipe = replace(recipe, training=replace(recipe.training, steps=20, batch_size=20, validate_every=20))
    dealt = dict.fromkeys(("decoder", "annealing", "beta", "floor", "latents", "learning_rate", "seed"), 0)
    news = Queue()
    for _ in range(2):
        run_short(recipe.to_yaml(), str(tmp_path), "one", news)
    looks = sorted(int(path.stem[5:]) for path in (tmp_path / "one").glob("look-*.json"))
    assert looks == [1, 2, 5, 10, 15] and [news.get()[1] for _ in range(news.qsize())] == [10, 20]
    assert Progress.read(tmp_path / "one").finished
    row = row_of("one", ShortRun("table", recipe, {**dealt, "steps": 20}), tmp_path / "one")
    assert row.features["weight_grows"] == 0 and row.row["state"] and float(row.row["rate_10"]) > 0
    assert row.row["optimum_ratio_10"] and not row.row["optimum_ratio_05"]
