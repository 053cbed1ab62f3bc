"""Result files with invented numbers: synthetic through and through, for tests of the report and nothing else."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from buttress.report.examples import save_examples

GROUPS = 16
ARMS = {  # name -> (distortion, rate, state)
    "none": (96.78, 0.02, "collapsed"),
    "kl_annealing": (94.2, 1.2, "used"),
    "free_bits": (89.6, 7.3, "used"),
    "local_decoder": (88.9, 9.1, "partly used"),
}


def evidence(distortion: float = 94.2, rate: float = 1.2, state: str = "used", n: int = 1000) -> dict[str, Any]:
    """The contents of an ``evidence.json``."""
    share = np.exp(-np.arange(GROUPS) / 5.0)
    rates = rate * share / share.sum()
    active = 0 if state == "collapsed" else GROUPS

    def estimate(value: float | None, error: float | None = None, ceiling: float | None = None, method: str = "Monte Carlo, 1 sample"):
        return {"value": value, "error": error, "n": n, "method": method, "ceiling": ceiling, "note": ""}

    return {
        "format": 1, "n": n, "kind": "image", "units": "nats per example",
        "estimates": {
            "elbo": estimate(-distortion - rate, 0.62), "distortion": estimate(distortion, 0.61),
            "rate": estimate(rate, 0.02 * rate, None, "closed form"),
            "active_units": estimate(float(active), None, float(GROUPS), "variance of the posterior mean above 0.01"),
            "mutual_information": estimate(0.93 * rate, 0.03, math.log(n), "all pairs of N examples"),
            "aggregate_kl": estimate(0.07 * rate, 0.01), "nll": estimate(distortion + 0.9 * rate, 0.6, None, "500 importance samples"),
            "effective_sample_size": estimate(120.0, 3.0, 500.0), "bits_per_dim": estimate((distortion + 0.9 * rate) / 784 / math.log(2)),
            "worth_shuffled": estimate(0.0003 if state == "collapsed" else 1.1 * rate, 0.0002), "worth_prior": estimate(1.3 * rate, 0.1),
            "amortisation_gap": estimate(0.08, 0.004, None, "50 steps of Adam at 0.01 for each example"), "perplexity": estimate(None),
        },
        "groups": {
            "names": [f"z{i}" for i in range(GROUPS)], "rate": rates.tolist(), "rate_error": (0.05 * rates).tolist(),
            "variance_of_mean": (rates / (1 + rates) if active else 1e-4 * share).tolist(),
        },
        "settings": {"nll_samples": 500, "gap_steps": 50},
        "verdict": {
            "state": state, "cause": "the model itself ignores z" if state == "collapsed" else None,
            "reasons": [f"The rate is {rate:.2f} nats per example.", f"{active} of {GROUPS} latent dimensions are active (variance above 0.01).",
                        "Shuffling z over the data costs " + ("0.0003" if state == "collapsed" else f"{1.1 * rate:.2f}") + " nats."],
            "advice": ["Try kl_annealing or free_bits.", "Try local_decoder: a decoder that sees less needs z more."] if state == "collapsed" else [],
        },
    }  # fmt: skip


def recipe(remedies: list[str], seed: int = 0) -> dict[str, Any]:
    """The contents of a ``recipe.yaml``."""
    return {
        "data": {"name": "mnist5k"}, "encoder": {"name": "conv", "channels": [16, 32]}, "posterior": {"name": "gaussian", "size": GROUPS},
        "prior": {"name": "standard_normal"}, "decoder": {"name": "pixelcnn", "layers": 6, "channels": 16},
        "likelihood": {"name": "bernoulli"}, "objective": {"name": "elbo", "beta": {"name": "linear", "steps": 300}},
        "algorithm": {"name": "joint"}, "training": {"steps": 540, "batch_size": 50, "learning_rate": 0.002, "seed": seed},
        "remedies": remedies,
    }  # fmt: skip


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
                r = rate * (1 + 2.5 * math.exp(-((t - 0.35) ** 2) / 0.02)) * (1 - math.exp(-12 * t)) * (1 + 0.03 * noise.normal())
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


def run(folder: Path, remedies: list[str] | None = None, seed: int = 0, distortion=94.2, rate=1.2, state="used", examples=True) -> Path:
    """A whole run folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe(remedies or [], seed), sort_keys=False))
    (folder / "evidence.json").write_text(json.dumps(evidence(distortion, rate, state)))
    metrics(folder / "metrics.csv", distortion, rate, seed)
    if examples:
        images = digits(16)
        walk = np.stack([np.roll(images[:4], k, axis=3) for k in range(8)], axis=1)
        save_examples(folder, "image", digits(32, 1), images, np.roll(images, 1, 2), walk)
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
    (folder / "comparison.json").write_text(json.dumps({"format": 1, "data": "mnist5k", "budget": {"steps": 540}, "arms": entries}))
    return folder
