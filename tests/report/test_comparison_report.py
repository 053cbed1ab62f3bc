from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from buttress.report.comparison import markdown_table, terminal_table, write_comparison
from buttress.report.drawing import MARKERS, PALETTE, styles
from buttress.report.results import load_comparison
from buttress.report.tables import FLAG

from . import made_up
from .test_run_report import read


def cells(table: str, arm: str) -> dict[str, str]:
    lines = [[c.strip() for c in line.strip("|").split("|")] for line in table.splitlines()]
    return dict(zip(lines[0], next(line for line in lines if line[0] == f"`{arm}`"), strict=True))


def terminal(folder: Path) -> str:
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(terminal_table(folder))
    return console.export_text()


def test_a_narrow_terminal_cuts_nothing_off(tmp_path: Path) -> None:
    long = "kl_annealing+word_dropout:rate=0.5+cosine_regularization"
    arms = {"none": (96.78, 0.02, "collapsed"), long: (94.2, 1.2, "used")}
    made_up.comparison(tmp_path, arms, examples=False)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(terminal_table(tmp_path, 80))
    shown = console.export_text()
    assert "…" not in shown and max(map(len, shown.splitlines())) <= 80
    assert all(word in shown.split() for word in ("information", "(shuffled)", "word_dropout:", "collapsed"))
    assert "".join(line[:14].strip() for line in shown.splitlines()).endswith(long)


def test_means_and_spreads_over_seeds_agree_in_all_tables(tmp_path: Path) -> None:
    made_up.comparison(tmp_path, examples=False)
    elbo = -(94.2 + 0.2 * np.arange(3) + 1.2 * (1 + 0.05 * np.arange(3)))
    mean, sd = f"{-elbo.mean():.2f}", f"{elbo.std(ddof=1):.2f}"
    row = cells(markdown_table(tmp_path), "kl_annealing")
    assert row["−ELBO"] == f"**{mean}** ± {sd}" and row["seeds"] == "3" and row["verdict"] == "used"
    assert row["active units"] == "16 of 16" and row["mutual information"].endswith("(≤ 6.91)")
    assert row["time"] == "34 s (1.10 × none)"
    assert mean in terminal(tmp_path) and f"± {sd}" in terminal(tmp_path)
    assert mean in read(write_comparison(tmp_path))[1]


def test_the_csv_has_a_line_a_run_with_unrounded_numbers(tmp_path: Path) -> None:
    write_comparison(made_up.comparison(tmp_path, examples=False))
    rows = list(csv.DictReader((tmp_path / "comparison.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 12 and [r["seed"] for r in rows[:3]] == ["0", "1", "2"]
    assert rows[4]["run"] == "kl_annealing/seed-1" and rows[4]["state"] == "used"
    assert float(rows[4]["rate"]) == 1.2 * 1.05 and float(rows[4]["seconds"]) == 34.0
    assert rows[0]["perplexity"] == "" and float(rows[0]["elbo_error"]) == 0.62


def test_the_best_elbo_of_an_arm_that_ignores_z_is_flagged(tmp_path: Path) -> None:
    arms = {**made_up.ARMS, "none": (93.0, 0.02, "collapsed")}
    made_up.comparison(tmp_path, arms, seeds=1, examples=False)
    page, text = read(write_comparison(tmp_path))
    assert page.count(FLAG) == 1 and "none has the lowest −ELBO of all but ignores z" in text
    assert FLAG in cells(markdown_table(tmp_path), "none")["verdict"] and FLAG in " ".join(terminal(tmp_path).split())


@pytest.mark.parametrize("state", ["used", "partly used"])
def test_the_best_elbo_of_an_arm_that_uses_z_is_not(tmp_path: Path, state: str) -> None:
    made_up.comparison(tmp_path, {"none": (93.0, 0.5, state), "kl_annealing": (94.0, 0.02, "collapsed")}, 1, False)
    assert FLAG not in read(write_comparison(tmp_path))[0] and FLAG not in markdown_table(tmp_path)


def test_a_page_of_pictures_for_all_arms(tmp_path: Path) -> None:
    page, text = read(write_comparison(made_up.comparison(tmp_path, seeds=2)))
    assert page.count("<svg") == 4 and page.count("data:image/png") >= 8
    assert "3 of 4 arms keep z in use." in text and "better than the baseline (none), which ignores z" in text
    assert all(f"{arm}/seed-1" in text for arm in made_up.ARMS)


def test_runs_that_are_missing_or_unfinished_are_named_and_left_out(tmp_path: Path) -> None:
    made_up.comparison(tmp_path, seeds=2, examples=False)
    (tmp_path / "free_bits/seed-1/evidence.json").unlink()
    plain = json.loads((tmp_path / "comparison.json").read_text())
    plain["arms"][1]["runs"].append("kl_annealing/seed-9")
    plain["arms"].append({"name": "ghost", "runs": ["ghost/seed-0"]})
    (tmp_path / "comparison.json").write_text(json.dumps(plain))
    _, text = read(write_comparison(tmp_path))
    assert "free_bits/seed-1 has no evidence" in text and "kl_annealing/seed-9 has no evidence" in text
    assert "1 of 2 seeds measured" in text and cells(markdown_table(tmp_path), "ghost")["verdict"] == "no verdict"


def test_no_arms_and_no_comparison(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"comparison\.json"):
        write_comparison(tmp_path)
    (tmp_path / "comparison.json").write_text('{"format": 1, "arms": []}')
    assert "No run has a verdict yet." in read(write_comparison(tmp_path))[1]
    (tmp_path / "comparison.json").write_text('{"format": 1}')
    with pytest.raises(ValueError, match="wanted JSON with a list 'arms'"):
        load_comparison(tmp_path)


def test_an_arm_looks_the_same_in_every_comparison_and_unlike_its_neighbours() -> None:
    names = ["none", "kl_annealing", "free_bits", "mine", "mine+free_bits", "aggressive"]
    looks = styles(names)
    assert len(set(looks.values())) == len(names)
    assert styles(["free_bits", "none"])["free_bits"] == looks["free_bits"]
    alone = [styles([f"remedy {i}"])[f"remedy {i}"].variable for i in range(30)]
    assert "arm-0" not in alone and len(set(alone)) > 3, "grey is the baseline's"
    many = styles(f"remedy {i}" for i in range(3 * len(MARKERS)))
    assert {look.variable for look in many.values()} <= set(PALETTE)


@pytest.mark.parametrize("arms", [1, 9])
def test_names_with_markup_stay_text_and_any_number_of_arms_is_drawn(tmp_path: Path, arms: int) -> None:
    odd = {f"<b>{i}</b> $x$ | y": (95.0 + 0.01 * i, 1.0, "used") for i in range(arms)}
    made_up.comparison(tmp_path, {"none": (96.0, 0.02, "collapsed")}, 1, False)
    plain = json.loads((tmp_path / "comparison.json").read_text())
    plain["arms"] += [{"name": name, "runs": ["none/seed-0"], "seconds": [None]} for name in odd]
    plain["data"] = "<i>mine</i>"
    (tmp_path / "comparison.json").write_text(json.dumps(plain))
    page, text = read(write_comparison(tmp_path))
    assert "<b>" not in page and "<i>" not in page and "<b>0</b> $x$ | y" in text
    assert page.count("$x$ | y</text>") == 4 * arms, "a name in a figure is no formula"
    lines = markdown_table(tmp_path).splitlines()
    assert len({line.count("|") for line in lines}) == 1
