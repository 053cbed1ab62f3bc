from __future__ import annotations

import csv
import io
import json
import math
import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image
from rich.console import Console

from buttress.diagnostics.estimate import Estimate
from buttress.report import curves, plane
from buttress.report.comparison import markdown_table, sentences, terminal_table, write_comparison
from buttress.report.differences import difference, shown_difference
from buttress.report.drawing import MARKERS, PALETTE, styles
from buttress.report.numbers import nats
from buttress.report.page import _breakable
from buttress.report.results import ArmResult, ComparisonResult, RunResult, load_comparison
from buttress.report.tables import FLAG, arm_rows

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
    assert all(word in shown.split() for word in ("information", "dependence", "word_dropout:", "collapsed"))
    assert "".join(line[:14].strip() for line in shown.splitlines()).endswith(long)


def test_means_and_spreads_over_seeds_agree_in_all_tables(tmp_path: Path) -> None:
    made_up.comparison(tmp_path, examples=False)
    elbo = -(94.2 + 0.2 * np.arange(3) + 1.2 * (1 + 0.05 * np.arange(3)))
    mean, sd = f"{-elbo.mean():.2f}", f"{elbo.std(ddof=1):.2f}"
    row = cells(markdown_table(tmp_path), "kl_annealing")
    assert row["−ELBO"] == f"**{mean}** ± {sd}" and row["seeds"] == "3" and row["verdict"] == "used"
    assert row["active units"] == "16 of 16" and row["mutual information"] == "1.17 ± 0.06 (≤ 6.91)"
    assert row["time"] == "34 s (1.10 × none)"
    assert mean in terminal(tmp_path) and f"± {sd}" in terminal(tmp_path)
    assert mean in read(write_comparison(tmp_path))[1]


def test_a_ceiling_that_differs_stands_beside_each_value(tmp_path: Path) -> None:
    made_up.comparison(tmp_path, seeds=1, examples=False)
    path = tmp_path / "free_bits/seed-0/evidence.json"
    plain = json.loads(path.read_text())
    plain["estimates"]["mutual_information"]["ceiling"] = 7.5
    path.write_text(json.dumps(plain))
    table = markdown_table(tmp_path)
    assert cells(table, "free_bits")["mutual information"].endswith("(≤ 7.50)")
    assert cells(table, "none")["mutual information"].endswith("(≤ 6.91)")
    assert "≤ 6.91" in terminal(tmp_path) and "≤ 7.50" in read(write_comparison(tmp_path))[1]


def test_one_seed_is_called_so_in_a_title_of_one_line(tmp_path: Path) -> None:
    made_up.comparison(tmp_path, seeds=1, examples=False)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(terminal_table(tmp_path, 80))
    first = console.export_text().splitlines()[0]
    assert first.rstrip() == "mnist5k: held-out, nats per example, one seed, prior standard_normal"
    made_up.comparison(tmp_path, seeds=2, examples=False)
    assert "mean ± sd of 2 seeds" in terminal(tmp_path)


def arm(name: str, elbos: list[float], seeds: list[int] | None = None) -> ArmResult:
    runs = []
    for seed, elbo in zip(seeds or range(len(elbos)), elbos, strict=True):
        found = {"elbo": Estimate(elbo, 0.9, 100, "")}
        evidence = replace(made_up.evidence(), estimates=found)
        runs.append(RunResult(Path(name), recipe={"training": {"seed": seed}}, evidence=evidence))
    return ArmResult(name, tuple(runs), (None,) * len(runs))


def test_arms_of_the_same_seeds_are_compared_seed_by_seed() -> None:
    ours, theirs = arm("a", [-100.0, -103.0, -106.0]), arm("b", [-101.0, -104.1, -106.9])
    found = difference(ours, theirs, "elbo")
    assert found is not None and found.paired and found.clear
    assert (found.mean, found.sd) == (pytest.approx(1.0), pytest.approx(0.1))
    apart = difference(ours, arm("b", [-101.0, -104.1, -106.9], [3, 4, 5]), "elbo")
    assert apart is not None and not apart.paired and not apart.clear
    assert apart.sd == pytest.approx(math.hypot(3.0, np.std([101.0, 104.1, 106.9], ddof=1)))


def test_what_one_seed_shows_is_never_clear() -> None:
    found = difference(arm("a", [-1.0]), arm("b", [-100.0]), "elbo")
    assert found is not None and found.sd is None and not found.clear
    found = difference(arm("a", [-1.0]), arm("b", [-100.0, -100.1]), "elbo")
    assert found is not None and not found.clear
    assert difference(arm("a", []), arm("b", [-1.0]), "elbo") is None


@pytest.mark.parametrize(("theirs", "bold"), [([-100.3, -100.6, -100.2], False), ([-101.0, -101.3, -100.9], True)])
def test_only_a_best_that_is_clear_of_the_others_is_bold(tmp_path: Path, theirs: list[float], bold: bool) -> None:
    arms = (arm("none", theirs), arm("a", [-100.1, -100.5, -100.2]), arm("far", [-150.0, -150.0, -150.0]))
    rows = arm_rows(ComparisonResult(tmp_path, "", None, arms))
    assert [row.cells[1].best for row in rows] == [False, bold, False]
    assert [row.cells[1].main for row in rows][1] == "100.27"


def test_a_headline_does_not_sell_noise(tmp_path: Path) -> None:
    def said(theirs: list[float], ours: list[float]) -> str:
        comparison = ComparisonResult(tmp_path, "", None, (arm("none", theirs), arm("a", ours)))
        return " ".join(sentences(comparison, arm_rows(comparison)))

    one = said([-100.184], [-100.106])
    assert "100.11 nats, by a. The baseline (none) has 100.18; with one seed the spread over seeds is unknown" in one
    assert "better" not in one
    same = said([-100.3, -100.6, -100.2], [-100.1, -100.5, -100.2])
    assert "no better and no worse than the baseline (none): 0.10 ± 0.10 nats (difference seed by seed" in same
    clear = said([-101.0, -101.3, -100.9], [-100.1, -100.5, -100.2])
    assert "That is 0.80 ± 0.10 nats (difference seed by seed, ± its sd) better than the baseline (none)." in clear


@pytest.mark.parametrize(("ours", "theirs"), [(100.184, 100.106), (99.995, 100.004), (7.0, 7.0)])
def test_differences_are_those_of_the_shown_numbers(ours: float, theirs: float) -> None:
    assert float(shown_difference(ours, theirs)) == pytest.approx(abs(float(nats(ours)) - float(nats(theirs))))


def test_the_csv_has_a_line_a_run_with_unrounded_numbers(tmp_path: Path) -> None:
    write_comparison(made_up.comparison(tmp_path, examples=False))
    rows = list(csv.DictReader((tmp_path / "comparison.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 12 and [r["seed"] for r in rows[:3]] == ["0", "1", "2"]
    assert rows[4]["run"] == "kl_annealing/seed-1" and rows[4]["state"] == "used"
    assert float(rows[4]["rate"]) == 1.2 * 1.05 and float(rows[4]["seconds"]) == 34.0
    assert rows[0]["perplexity"] == "" and float(rows[0]["elbo_error"]) == 0.62


def test_table_and_plane_stand_beside_the_page_for_papers(tmp_path: Path) -> None:
    write_comparison(made_up.comparison(tmp_path, examples=False))
    assert (tmp_path / "comparison.md").read_text(encoding="utf-8") == f"{markdown_table(tmp_path)}\n"
    with Image.open(tmp_path / "rate_distortion.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert len(pixels) > 500_000 and (pixels == (0, 0x72, 0xB2)).all(1).sum() > 300  # the mark of kl_annealing


def test_the_best_elbo_of_an_arm_that_ignores_z_is_flagged(tmp_path: Path) -> None:
    arms = {**made_up.ARMS, "none": (93.0, 0.02, "collapsed")}
    made_up.comparison(tmp_path, arms, seeds=1, examples=False)
    page, text = read(write_comparison(tmp_path))
    assert page.count(FLAG) == 1 and "none has the lowest −ELBO but ignores z" in text
    assert FLAG in cells(markdown_table(tmp_path), "none")["verdict"] and FLAG in " ".join(terminal(tmp_path).split())


@pytest.mark.parametrize("state", ["used", "partly used"])
def test_the_best_elbo_of_an_arm_that_uses_z_is_not(tmp_path: Path, state: str) -> None:
    made_up.comparison(tmp_path, {"none": (93.0, 0.5, state), "kl_annealing": (94.0, 0.02, "collapsed")}, 1, False)
    assert FLAG not in read(write_comparison(tmp_path))[0] and FLAG not in markdown_table(tmp_path)


def test_a_page_of_pictures_for_all_arms(tmp_path: Path) -> None:
    page, text = read(write_comparison(made_up.comparison(tmp_path, seeds=2)))
    assert page.count("<svg") == 4 + 4 and page.count("data:image/png") >= 8
    assert "z is in use in 3 of 4 arms." in text and "better than the baseline (none), which ignores z" in text
    assert "z carries 1.12 nats: at most 3.1 kinds of examples" in text
    assert text.count("Reconstructions") == 4
    assert all(f"{arm}/seed-1" in text for arm in made_up.ARMS)


LONG_NAME = "kl_annealing:fraction=0.15:hold=0.8:start=0.05"


def test_a_long_name_takes_no_room_from_the_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up.comparison(tmp_path, {"none": (96.0, 0.1, "collapsed"), LONG_NAME: (94.0, 1.0, "used")}, 1, False)
    ax = drawn(tmp_path, monkeypatch, curves, lambda arms: curves.arm_curves(arms, "rate", "rate"))
    figure = ax.get_figure()
    figure.draw_without_rendering()
    assert ax.get_window_extent().width / figure.bbox.width > 0.8
    page, _ = read(write_comparison(tmp_path))
    assert page.count(f"{LONG_NAME}</text>") == 4, "each figure has its legend"


def test_a_long_name_may_break_between_its_settings() -> None:
    broken = _breakable("kl_annealing+free_bits:per_group=0.5")
    assert re.sub("<[^>]*>", "", str(broken).replace("<wbr>", "|")) == "kl_|annealing+|free_|bits:|per_|group=0.5"
    assert _breakable("<b>:") == '<span class="piece">&lt;b&gt;:</span>'


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
    with pytest.raises(ValueError, match="expected JSON with a list 'arms'"):
        load_comparison(tmp_path)


def test_arms_look_unlike_each_other_and_the_baseline_is_grey() -> None:
    names = ["kl_annealing", "none", "free_bits", *(f"remedy {i}" for i in range(3 * len(MARKERS)))]
    looks = styles(names)
    assert list(styles(names[:3]).items()) == [(name, looks[name]) for name in ("none", "kl_annealing", "free_bits")]
    assert {look.variable for look in looks.values()} <= set(PALETTE)
    assert len(set(looks.values())) == len(names), "arms of one colour differ by their marker"
    assert [name for name, look in looks.items() if look.variable == "arm-0"] == ["none"]


SEEN = {  # Machado, Oliveira and Fernandes 2009: what eyes without one kind of cone make of linear RGB
    "all cones": np.eye(3),
    "no long": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "no medium": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "no short": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


def linear(color: str) -> np.ndarray:
    c = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB, in which distances are those that people see; 2.3 is just noticed."""
    x = np.array([[0.434, 0.376, 0.190], [0.213, 0.715, 0.072], [0.018, 0.109, 0.873]]) @ np.clip(rgb, 0, 1)
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("ground", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("eyes", SEEN)
def test_the_colours_of_arms_differ_for_all_eyes(eyes: str, ground: int) -> None:
    colors = [PALETTE[f"arm-{i}"][ground] for i in range(len(MARKERS))]
    seen = [lab(np.array(SEEN[eyes]) @ linear(color)) for color in colors]
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 12
    light = [linear(c) @ [0.213, 0.715, 0.072] + 0.05 for c in (*colors, PALETTE["halo"][ground])]
    assert min(max(c, light[-1]) / min(c, light[-1]) for c in light[:-1]) > 3


LONG = {
    "none": (104.6, 0.02, "collapsed"),
    "kl_annealing": (103.9, 0.9, "used"),
    "free_bits:per_group=0.5": (97.4, 8.0, "used"),
    "local_decoder": (92.3, 12.0, "used"),
    "flow_prior": (104.5, 0.03, "collapsed"),
    "vector_quantized:slots=2": (95.6, 7.1, "partly used"),
    "semi_amortized:steps=2": (103.5, 1.6, "used"),
    "aggressive:max_inner=5": (103.7, 1.2, "used"),
}


def drawn(folder: Path, monkeypatch: pytest.MonkeyPatch, module=plane, draw=plane.arm_plane) -> Axes:
    """The axes of a figure of a comparison, as they go into the page."""
    kept = []
    with monkeypatch.context() as patch:
        patch.setattr(module, "as_svg", lambda figure, name: kept.append(figure))
        draw(load_comparison(folder).arms)
    return kept[0].axes[0]


@pytest.mark.parametrize("arms", [2, 4, 8])
def test_the_plane_has_a_mark_and_a_name_for_each_arm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arms: int
) -> None:
    made_up.comparison(tmp_path, dict(list(LONG.items())[:arms]), examples=False)
    ax = drawn(tmp_path, monkeypatch)
    ax.get_figure().draw_without_rendering()
    assert ax.texts and all(text.get_text().startswith("−ELBO") for text in ax.texts)
    assert all(ax.bbox.contains(*text.get_window_extent().get_points().mean(0)) for text in ax.texts)
    assert len([line for line in ax.lines if line.get_markersize() > 8]) == arms
    (legend,) = ax.get_figure().legends
    said = [text.get_text().replace("\n", "") for text in legend.get_texts()]
    assert said == list(LONG)[:arms]
    window = ax.get_figure().bbox
    assert all(
        window.contains(*corner) for text in legend.get_texts() for corner in text.get_window_extent().get_points()
    )
    assert not legend.get_window_extent().overlaps(ax.get_window_extent())


def test_marks_in_one_place_differ_in_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arms = dict.fromkeys(list(LONG)[:4], (100.0, 0.02, "collapsed"))
    made_up.comparison(tmp_path, arms, seeds=1, examples=False)
    marks = [line for line in drawn(tmp_path, monkeypatch).lines if line.get_markersize() > 8]
    assert len({line.get_markersize() for line in marks}) == 4
    assert all(line.get_markerfacecolor() == "none" for line in marks)


@pytest.mark.parametrize("width", [80, 120, 140])
def test_no_word_of_a_heading_is_broken(tmp_path: Path, width: int) -> None:
    made_up.comparison(tmp_path, LONG, examples=False)
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(terminal_table(tmp_path, width))
    words = console.export_text().split()
    wanted = ("information", "dependence", *(("amortisation",) if width >= 120 else ()))
    assert all(word in words for word in wanted)


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
