"""What the reports show of models whose z is made of codes, beside others whose z is not."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from rich.console import Console

from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.evidence import Evidence, Groups
from buttress.report import units
from buttress.report.comparison import markdown_table, terminal_table, write_comparison
from buttress.report.examples import load_examples, save_examples
from buttress.report.latent import LatentView, save_latent
from buttress.report.run import write_report

from . import made_up
from .test_comparison_report import cells
from .test_run_report import read


def test_a_page_follows_the_codebook_over_training(tmp_path):
    plain, coded = (made_up.run(tmp_path / name, examples=False) for name in ("plain", "coded"))
    first, *lines = (coded / "metrics.csv").read_text().splitlines()
    follow = [f"{line},{3.5 if ',held_out,' in line else ''}" for line in lines]
    (coded / "metrics.csv").write_text("\n".join([f"{first},code_perplexity", *follow]) + "\n")
    titles = [read(write_report(folder))[1].count("Code perplexity") for folder in (plain, coded)]
    assert titles[1] > titles[0]


def of_codes(shape: tuple[int, ...] = (7, 7, 1), known: bool = True) -> Groups:
    """Groups of a map of codes of which the middle costs most."""
    size = int(np.prod(shape))
    rate = 1 + np.cos(np.linspace(-3, 3, size))
    return Groups(
        tuple(f"{i}" for i in range(size)),
        tuple(rate.tolist()) if known else (None,) * size,
        tuple((0.1 * rate).tolist()),
        tuple((rate / 2).tolist()),
        shape,
        tuple((1 + rate).tolist()),
    )


def coded(folder: Path, prior: str = "pixelcnn") -> Path:
    """A run folder of a model of codes under a learned prior."""
    made_up.run(folder, ["vector_quantized"], distortion=70.0, rate=24.0)
    recipe = made_up.recipe(["vector_quantized"]) | {"prior": {"name": prior}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    found = Evidence.load(folder / "evidence.json")
    more = {
        "rate_uniform": Estimate(203.79, None, 1000, "closed form", note="49 x log 64"),
        "code_perplexity": Estimate(31.2, 0.4, 1000, "counting", 64.0),
        "codes_used": Estimate(60.0, None, 1000, "counting", 64.0, "codes, of 64"),
    }
    replace(found, estimates={**found.estimates, **more}, groups=of_codes()).save(folder / "evidence.json")
    images = made_up.digits(16)
    save_examples(folder, "image", samples=images, originals=images, reconstructions=images, uniform_samples=1 - images)
    save_latent(folder, LatentView(codes=[[40, 8, 0, 0]]))
    return folder


def mixed(folder: Path) -> Path:
    """A comparison of a Gaussian z and one of codes."""
    made_up.comparison(folder, {"none": (96.78, 0.02, "collapsed")}, 1, False)
    coded(folder / "vector_quantized/seed-0")
    plain = json.loads((folder / "comparison.json").read_text())
    plain["arms"].append({"name": "vector_quantized", "runs": ["vector_quantized/seed-0"], "seconds": [60.0]})
    (folder / "comparison.json").write_text(json.dumps(plain))
    return folder


def test_every_row_states_its_prior_and_codes_their_uniform_rate(tmp_path: Path) -> None:
    table = markdown_table(mixed(tmp_path))
    row, base = cells(table, "vector_quantized"), cells(table, "none")
    assert (row["prior"], base["prior"]) == ("pixelcnn", "standard_normal")
    assert row["rate"] == "24.00 (203.79 uniform)" and "uniform" not in base["rate"]
    assert "24.00(203.79 uniform)" in read(write_comparison(tmp_path))[1].replace("24.00 (", "24.00(")
    lines = (tmp_path / "comparison.csv").read_text().splitlines()
    assert "prior" in lines[0].split(",") and "rate_uniform" in lines[0].split(",") and "pixelcnn" in lines[2]


@pytest.mark.parametrize("width", [80, 130])
def test_a_terminal_names_the_priors(tmp_path: Path, width: int) -> None:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(terminal_table(mixed(tmp_path / "mixed"), width))
    shown = console.export_text()
    assert "(pixelcnn)" in shown and "…" not in shown and max(map(len, shown.splitlines())) <= width
    same = made_up.comparison(tmp_path / "same", {"none": (96.78, 0.02, "collapsed")}, 1, False)
    console.print(terminal_table(same, width))
    assert "(prior)" not in (again := console.export_text()) and "prior standard_normal" in " ".join(again.split())


def test_a_run_of_codes_shows_its_places_its_codebook_and_uniform_samples(tmp_path: Path) -> None:
    _, text = read(write_report(coded(tmp_path)))
    assert all(title in text for title in ("Codes by place", "Samples with uniform codes", "Codebook use"))
    rows = ("Rate under uniform codes203.79", "Code perplexity31.20 ± 0.40", "Codes used60")
    assert all(row in text.replace("\n", "") for row in rows)
    assert "the probability that two examples have different codes there" in text
    _, plain = read(write_report(made_up.run(tmp_path / "plain")))
    assert not any(title in plain for title in ("Codes by place", "Samples with uniform codes", "Codebook use"))
    assert np.array_equal(load_examples(tmp_path).uniform_samples, 255 - load_examples(tmp_path).samples)


def test_only_places_that_lie_in_a_plane_are_mapped() -> None:
    assert units.code_map(of_codes((4, 5, 2))) and units.code_map(of_codes((4, 5)))
    assert units.code_map(of_codes((20,))) is None and units.code_map(of_codes((1, 20))) is None
    assert units.code_map(replace(of_codes(), perplexity=())) is None
    alone = units.code_map(of_codes(known=False))
    assert alone and "perplexity" in alone and "rate" not in alone


def test_a_thousand_groups_are_one_outline() -> None:
    assert len(units.unit_bars(of_codes((32, 32, 1)))) < 4 * len(units.unit_bars(of_codes((9, 9, 1))))


def test_a_z_that_says_much_to_nobody_is_not_called_empty(tmp_path: Path) -> None:
    _, text = read(write_report(made_up.run(tmp_path, rate=5.0, state="collapsed")))
    assert (
        "q(z|x) holds 4.65 nats of information about each example" in text and "decoder does as well without z" in text
    )
