"""Result files with invented numbers: synthetic through and through, for tests of the report and nothing else."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.evidence import Evidence, Groups, Verdict
from buttress.diagnostics.verdict import COLLAPSED, IGNORED, USED
from buttress.report.examples import save_examples
from buttress.report.latent import LatentView, save_latent

GROUPS = 16
ARMS = {  # name -> (distortion, rate, state)
    "none": (96.78, 0.02, "collapsed"),
    "kl_annealing": (94.2, 1.2, "used"),
    "free_bits": (89.6, 7.3, "used"),
    "local_decoder": (88.9, 9.1, "partly used"),
}


def evidence(distortion: float = 94.2, rate: float = 1.2, state: str = USED, n: int = 1000) -> Evidence:
    """What a measurement could have given."""
    share = np.exp(-np.arange(GROUPS) / 5.0)
    rates, collapsed = rate * share / share.sum(), state == COLLAPSED
    active, nll, worth = 0 if collapsed else GROUPS, distortion + 0.9 * rate, 0.0003 if collapsed else 1.1 * rate
    information = min(0.93 * rate, math.log(n) - 0.05)
    numbers = {
        "elbo": Estimate(-distortion - rate, 0.62, n, "Monte Carlo, 4 samples"),
        "distortion": Estimate(distortion, 0.61, n, "Monte Carlo, 4 samples"),
        "rate": Estimate(rate, 0.02 * rate, n, "closed form"),
        "active_units": Estimate(float(active), None, n, "variance of the posterior mean above 0.01", float(GROUPS)),
        "mutual_information": Estimate(information, 0.03, n, "all pairs of N examples", math.log(n)),
        "aggregate_kl": Estimate(rate - information, 0.01, n, "rate less mutual information"),
        "worth_shuffled": Estimate(worth, 0.0002, n, "Monte Carlo, 4 samples"),
        "worth_prior": Estimate(1.3 * rate, 0.1, n, "Monte Carlo, 4 samples"),
        "nll": Estimate(nll, 0.6, n, "500 importance samples"),
        "effective_sample_size": Estimate(120.0, 3.0, n, "500 importance samples", 500.0),
        "bits_per_dim": Estimate(nll / 784 / math.log(2), None, n, "from the NLL"),
        "amortisation_gap": Estimate(0.08, 0.004, 200, "100 steps of Adam for each example"),
        "perplexity": Estimate(None, None, n, ""),
    }
    reasons = (
        f"The rate is {rate:.2f} nats per example.",
        f"{active} of {GROUPS} latent dimensions are active (variance above 0.01).",
        f"Shuffling z over the data costs {worth:.4f} nats.",
    )
    advice = ("kl_annealing", "free_bits", "local_decoder") if collapsed else ()
    variance = 1e-4 * share if collapsed else rates / (1 + rates)
    groups = Groups(tuple(f"z{i}" for i in range(GROUPS)), *(tuple(v.tolist()) for v in (rates, rates / 20, variance)))
    verdict = Verdict(state, IGNORED if collapsed else None, reasons, advice)
    return Evidence(n, "image", numbers, groups, {"nll_samples": 500, "gap_steps": 100}, verdict)


def recipe(remedies: list[str], seed: int = 0) -> dict[str, Any]:
    """The contents of a ``recipe.yaml``."""
    return {
        "data": {"name": "mnist5k"},
        "encoder": {"name": "conv", "channels": [16, 32]},
        "posterior": {"name": "gaussian", "size": GROUPS},
        "prior": {"name": "standard_normal"},
        "decoder": {"name": "pixelcnn", "layers": 6, "channels": 16},
        "likelihood": {"name": "bernoulli"},
        "objective": {"name": "elbo", "beta": {"name": "linear", "steps": 300}},
        "algorithm": {"name": "joint"},
        "training": {"steps": 540, "batch_size": 50, "learning_rate": 0.002, "seed": seed},
        "remedies": remedies,
    }


def metrics(path: Path, distortion: float, rate: float, seed: int = 0, steps: int = 540) -> None:
    """A ``metrics.csv`` of a run that ends at these values."""
    noise = np.random.default_rng(seed)
    share = np.exp(-np.arange(GROUPS) / 5.0)
    share /= share.sum()
    columns = ["step", "split", "loss", "elbo", "distortion", "rate", "beta", "mutual_information", "active_units"]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*columns, *(f"rate/z{i}" for i in range(GROUPS))])
        writer.writeheader()
        for step in range(0, steps + 1, 20):
            t = step / steps
            for split in ("train", "held_out"):
                d = distortion + 450 * math.exp(-14 * t) + (noise.normal() if split == "train" else 0)
                r = (
                    rate
                    * (1 + 2.5 * math.exp(-((t - 0.35) ** 2) / 0.02))
                    * (1 - math.exp(-12 * t))
                    * (1 + 0.03 * noise.normal())
                )
                row = {"step": step, "split": split, "loss": d + r, "elbo": -d - r, "distortion": d, "rate": r}
                row |= {f"rate/z{i}": r * share[i] * min(1, t * (i + 1)) for i in range(GROUPS)}
                row |= {"beta": min(1.0, t * 1.8)} if split == "train" else {"mutual_information": 0.93 * r}
                writer.writerow(row)


def digits(n: int, seed: int = 0) -> np.ndarray:
    """Binary images of strokes, (n, 1, 28, 28)."""
    noise = np.random.default_rng(seed)
    y, x = np.mgrid[:28, :28]
    turn, bend = noise.uniform(0, math.pi, (2, n, 1, 1))
    along = (x - 13.5) * np.cos(turn) + (y - 13.5) * np.sin(turn)
    across = -(x - 13.5) * np.sin(turn) + (y - 13.5) * np.cos(turn) + 4 * np.sin(along / 5 + bend)
    return ((np.abs(across) < 2) & (np.abs(along) < 9)).astype(np.float32)[:, None]


def run(
    folder: Path,
    remedies: list[str] | None = None,
    seed: int = 0,
    distortion=94.2,
    rate=1.2,
    state="used",
    examples=True,
) -> Path:
    """A whole run folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe(remedies or [], seed), sort_keys=False))
    evidence(distortion, rate, state).save(folder / "evidence.json")
    metrics(folder / "metrics.csv", distortion, rate, seed)
    if examples:
        images = digits(16)
        walk = np.stack([np.roll(images[:4], k, axis=3) for k in range(8)], axis=1)
        save_examples(
            folder,
            "image",
            samples=digits(32, 1),
            originals=images,
            reconstructions=np.roll(images, 1, 2),
            interpolations=walk,
            mean_samples=digits(32, 2) / 2,
            mean_reconstructions=images / 2,
            traversals=walk,
            traversed=[f"z{i}" for i in range(4)],
        )
        points = np.random.default_rng(seed).normal(size=(60, 2)).round(3)
        save_latent(folder, LatentView(points.tolist(), ["PC 1", "PC 2"], [str(i % 3) for i in range(60)]))
    return folder


def comparison(folder: Path, arms: dict[str, tuple[float, float, str]] = ARMS, seeds: int = 3, examples=True) -> Path:
    """A whole comparison folder."""
    entries = []
    for number, (name, (distortion, rate, state)) in enumerate(arms.items()):
        runs = [f"{name}/seed-{seed}" for seed in range(seeds)]
        for seed, where in enumerate(runs):
            remedies = [] if name == "none" else name.split("+")
            run(folder / where, remedies, seed, distortion + 0.2 * seed, rate * (1 + 0.05 * seed), state, examples)
        entries.append({"name": name, "runs": runs, "seconds": [30.0 + 3 * number + s for s in range(seeds)]})
    (folder / "comparison.json").write_text(
        json.dumps({"format": 1, "data": "mnist5k", "budget": {"steps": 540, "batch_size": 50}, "arms": entries})
    )
    return folder
