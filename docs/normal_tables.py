"""The tables of our own runs in normal.md, from the stored results.

python docs/normal_tables.py    # writes the tables anew, between their marks in normal.md
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE / "normal.md"
RESULTS = HERE / "results"
FIRST, STAGED = " †", " ‡"
"""Marks of runs of version 0.1, and of those whose decoder's input from z is multiplied by 0.005."""
NEAR = 0.5
"""Nats below log N from which on information is called at its ceiling, as in a diagnosis."""


@dataclass(frozen=True)
class Row:
    """Runs of one arm: what they are, the stored file, their arm in it, and the page that tells of them."""

    text: str
    file: str
    arm: str
    page: str
    of: int = 0
    """Dimensions of z, or codes in all codebooks."""
    held_out: int = 0
    """Examples among which information was measured, where the file does not say."""
    where: tuple[tuple[str, str], ...] = ()
    """Other columns that must have these values."""


def _cure(text: str, patient: str, arm: str, held_out: int = 0) -> Row:
    return Row(text, "cures.csv", arm, "log.md", held_out=held_out, where=(("patient", patient),))


def _window(width: int, arm: str) -> Row:
    sees = "no other pixel" if width == 1 else f"{width} x {width} pixels"
    text = f"MNIST (4,528), decoder that sees {sees}, z of 16 as a map, 480 steps"
    where = (("family", "z, normal prior"),)
    return Row(text + FIRST, "receptive_field/comparison.csv", arm, "log.md", 16, where=where)


SCHEDULE = "kl_annealing:fraction=0.2:hold=0.75:start=0.05"
ANNEALED = "kl_annealing:fraction=0.3"
TWO_CODES = "vector_quantized:slots=2:spatial=false"
DIGITS, OLDER, MNIST = "mnist5k/comparison.csv", "mnist5k/2026-11-22/comparison.csv", "mnist/comparison.csv"
BURDA, SHAPES = "burda2015/result.json", "kim2018_factor/result.json"
BOWMAN, LI, DELTA = "bowman2016/result.json", "li2019/result.json", "razavi2019_delta/result.json"
ZHAO, TWO_STAGE = "zhao2020/result.json", "vq_two_stage/comparison.csv"
IMAGES, SENTENCES = "image_remedies/result.json", "sentence_remedies/result.json"

TABLES: dict[str, list[Row]] = {
    "factorised images": [
        Row("MNIST (4,000), MLP, z of 50, 8,000 steps", BURDA, "k-1", "papers/burda2015.md", 50, 960),
        Row("the same, trained with 50 importance samples", BURDA, "k-50", "papers/burda2015.md", 50, 960),
        _window(1, "local_decoder:field=1"),
        Row("shapes of 16 x 16 (438), MLP, z of 6, 8,000 steps", SHAPES, "VAE", "papers/kim2018_factor.md"),
        Row("the same, weight of the rate 4", SHAPES, "β-VAE 4", "papers/kim2018_factor.md"),
    ],
    "autoregressive images": [
        Row("MNIST (4,528), PixelCNN of field 13, z of 16, 300 steps" + FIRST, OLDER, "none",
            "log.md", 16),
        Row("the same, free bits of 0.5 a dimension" + FIRST, OLDER, "free_bits:per_group=0.5", "log.md", 16),
        _window(3, "local_decoder:field=3"),
        _window(5, "local_decoder:field=5"),
        _window(9, "local_decoder:field=9"),
        _window(27, "none"),
        Row("MNIST (60,000), PixelCNN whose input from z is multiplied by 0.005, 300 steps" + FIRST + STAGED, MNIST,
            "none", "results.md", 16),
        Row("the same, weight of the rate 1 in the last twentieth only" + FIRST + STAGED, MNIST, SCHEDULE,
            "results.md", 16),
        Row("the same, free bits of 0.5 a dimension" + FIRST + STAGED, MNIST, "free_bits:per_group=0.5", "results.md",
            16),
        Row("maps of 7 x 7 codes of digits, PixelCNN, z of 16, 1,000 steps" + FIRST, TWO_STAGE, "none", "log.md", 16),
        Row("binarised MNIST (60,000), PixelCNN that sees the whole image, z of 16, 4,000 steps", IMAGES, "none",
            "evidence.md", 16),
        Row("the same, a target rate of 8 nats", IMAGES, "target_rate:target=8", "evidence.md", 16),
        Row("the same, VLAE", IMAGES, "vlae:total=8", "evidence.md", 16),
    ],
    "sentences": [
        Row("Yelp (16,000), LSTM 128, z of 16, SGD, 6,000 steps", SENTENCES, "none", "evidence.md", 16),
        Row("the same, annealed, means normalised over the batch", SENTENCES, "kl_annealing:fraction=0.25+batch_norm",
            "evidence.md", 16),
        Row("the same, a target rate of 4 nats", SENTENCES, "target_rate:target=4", "evidence.md", 16),
        Row("Yelp (16,000), LSTM 128, z of 16, 1,000 steps" + FIRST, "yelp.csv", "none", "log.md", 16),
        Row("the same, free bits of 0.25 a dimension" + FIRST, "yelp.csv", "free_bits", "log.md", 16),
        Row("made sentences of ten words (16,000), LSTM 50, z of 4, 1,500 steps", BOWMAN, "none",
            "papers/bowman2016.md", 4),
        Row("the same, annealed, word dropout 0.75", BOWMAN, f"{ANNEALED}+word_dropout:rate=0.75",
            "papers/bowman2016.md", 4),
        Row("the same, annealed, a decoder that reads no words", BOWMAN, f"{ANNEALED}+inputless_decoder",
            "papers/bowman2016.md", 4),
        Row("the same sentences, z of 8, 3,000 steps, annealed, a floor of 2 nats", LI,
            f"{ANNEALED}+free_bits:per_group=0.25:per_example=true", "papers/li2019.md", 8),
        Row("made sentences (8,000), LSTM 64, delta-VAE with delta 1.1, 2,500 steps", DELTA, "delta_vae",
            "papers/razavi2019_delta.md"),
        Row("the same, causal encoder", DELTA, "causal", "papers/razavi2019_delta.md"),
        Row("documents of 60 to 80 words, LSTM 64, z of 8, annealed, last state, 1,000 steps" + FIRST,
            "long_documents/comparison.csv", "kl_annealing", "log.md", 8),
        Row("the same, pooled by the maximum" + FIRST, "long_documents/comparison.csv", "kl_annealing+pooled_encoder",
            "log.md", 8),
        _cure("documents of 10 to 12 words (4,000), LSTM 48, z of 4, 500 steps", "documents", "none"),
        _cure("the same, a target rate of 2 nats", "documents", "target_rate:target=2.0"),
        _cure("the same, cyclical annealing", "documents", "cyclical_annealing:cycles=2:ratio=0.8"),
        _cure("the same, delta-VAE", "documents", "delta_vae"),
    ],
    "tables": [
        _cure("4 factors in 16 columns, a squared error averaged over columns, 400 steps", "squared_error",
              "none", 200),
        _cure("the same, calibrated variance", "squared_error", "calibrated_variance", 200),
        _cure("2 factors in 16 columns, weight of the rate 20, 600 steps", "heavy_rate", "none", 200),
        _cure("the same, weight 1", "heavy_rate", "beta = 1", 200),
        _cure("the same, weight 0.05", "light_rate", "none", 200),
        _cure("8 clusters in 8 columns, linear decoder, N(0, I), 800 steps", "clusters", "none", 300),
        _cure("the same, flow prior", "clusters", "flow_prior", 300),
    ],
    "codes": [
        Row("CIFAR-10 (10,000), 8 x 8 codes of 256, 2,600 steps" + FIRST, "cifar10_vq/evidence.json", "", "log.md",
            256),
        Row("MNIST (60,000), 2 codes of 64, PixelCNN, 300 steps" + FIRST + STAGED, MNIST, TWO_CODES, "results.md", 128),
        Row("MNIST (4,528), 8 codes of 64, PixelCNN, 300 steps" + FIRST, OLDER, "vector_quantized", "log.md", 512),
        Row("maps of 7 x 7 codes of digits, 3 codes of 64, PixelCNN, 1,000 steps" + FIRST, TWO_STAGE,
            "vector_quantized:codes=64:slots=3:dim=16:spatial=false", "log.md", 192),
        Row("Yelp (16,000), 2 codes of 64, LSTM 128, 600 steps" + FIRST, "yelp/comparison.csv",
            "vector_quantized:slots=2", "results.md", 128),
        Row("Yelp (16,000), one code of 64, LSTM 128, 2,400 steps", ZHAO, "one chunk", "papers/zhao2020.md"),
        Row("the same, 8 codes of a shared 64", ZHAO, "main", "papers/zhao2020.md"),
        _cure("8 clusters in 8 columns, one code of 16, uniform prior, codebook dead, 600 steps", "dead_codebook",
              "none"),
        _cure("the same, revived", "dead_codebook", "codebook_restarts"),
        _cure("the same, finite scalar quantisation, 4 x 4 levels", "dead_codebook",
              "finite_scalar_quantized:levels=[4,4]:slots=1"),
    ],
}  # fmt: skip

HEADS = {
    False: "| model, data (examples), steps | rate | information | active | worth of z | verdict | seeds | from |",
    True: "| codes, data (examples), steps | rate (uniform) | information | perplexity | codes used | worth of z "
    "| seeds | from |",
}


def stored(row: Row) -> list[dict[str, Any]]:
    """What the file has for each run of the row."""
    path = RESULTS / row.file
    if path.suffix == ".csv":
        with path.open(encoding="utf-8") as file:
            found: list[dict[str, Any]] = list(csv.DictReader(file))
    else:
        content = json.loads(path.read_text("utf-8"))
        if "estimates" in content:
            values = {name: one["value"] for name, one in content["estimates"].items()}
            return [values | {"n": content["n"]}]
        found = content["runs"]
    wanted = {"arm": row.arm} | dict(row.where)
    kept = [run for run in found if all(run[name] == value for name, value in wanted.items())]
    assert kept, f"{row.file} has no runs {wanted}"
    return kept


def numbers(runs: list[dict[str, Any]], *names: str) -> list[float]:
    """The values of the first name that the runs have; none where there is none."""
    for name in names:
        if all(run.get(name) not in (None, "") for run in runs):
            return [float(run[name]) for run in runs]
    return []


def spread(values: list[float]) -> str:
    """Mean, and standard deviation over seeds, with as many places as are worth reading."""
    if not values:
        return ""
    size = abs(mean(values))
    places = 3 if size < 0.1 else 2 if size < 10 else 1 if size < 100 else 0
    written = [f"{round(value, places) + 0.0:,.{places}f}" for value in (mean(values), *_deviation(values))]
    return " ± ".join(written).replace("-", "−")


def _deviation(values: list[float]) -> Iterator[float]:
    if len(values) > 1:
        yield stdev(values)


def information(runs: list[dict[str, Any]], held_out: int) -> str:
    """Mutual information, and its ceiling where that is near."""
    values = numbers(runs, "mutual_information")
    if not values:
        return ""
    counted = numbers(runs, "n")
    ceiling = math.log(min(counted[0] if counted else held_out or math.inf, 5000))
    near = mean(values) > ceiling - NEAR and bool(counted or held_out)
    return f"≥ {spread(values)} (≤ {ceiling:.2f})" if near else spread(values)


def verdicts(runs: list[dict[str, Any]]) -> str:
    """Each state, with its number of seeds where there are several."""
    states = [run.get("state") or "" for run in runs]
    kinds = sorted(set(states), key=lambda one: -states.count(one))
    return kinds[0] if len(kinds) == 1 else ", ".join(f"{states.count(one)} {one}" for one in kinds)


def line(row: Row, codes: bool) -> str:
    """The row of a table."""
    runs = stored(row)
    rate, known = spread(numbers(runs, "rate")), information(runs, row.held_out)
    worth = spread(numbers(runs, "worth_shuffled"))
    if codes:
        uniform = spread(numbers(runs, "rate_uniform")).partition(" ")[0]
        used = spread(numbers(runs, "codes_used")).partition(" ")[0].removesuffix(".0")
        cells = [
            f"{rate} ({uniform})" if uniform else rate,
            known,
            spread(numbers(runs, "code_perplexity", "perplexity")),
        ]
        cells += [f"{used} of {row.of}" if used else "", worth]
    else:
        active = numbers(runs, "active_units")
        cells = [rate, known, f"{mean(active):.3g} of {row.of}" if active and row.of else "", worth, verdicts(runs)]
    source = f"[{Path(row.page).stem}]({row.page}), [numbers](results/{row.file})"
    return f"| {' | '.join([row.text, *cells, str(len(runs)), source])} |"


def table(name: str) -> str:
    """A table of our own runs."""
    codes = name == "codes"
    head = HEADS[codes]
    rule = "|:--" + "|--:" * (head.count("|") - 3) + "|:--|"
    return "\n".join([head, rule, *(line(row, codes) for row in TABLES[name])])


def renewed(page: str) -> str:
    """The page with its tables written anew."""
    for name in TABLES:
        first, last = f"<!-- our {name} -->", f"<!-- end of our {name} -->"
        assert first in page and last in page, f"no marks for the table of {name}"
        page = re.sub(f"{first}.*?{last}", lambda _: f"{first}\n\n{table(name)}\n\n{last}", page, flags=re.DOTALL)  # noqa: B023
    return page


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text("utf-8")), encoding="utf-8")
