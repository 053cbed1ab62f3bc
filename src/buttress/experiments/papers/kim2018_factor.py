r"""Kim and Mnih 2018, Disentangling by Factorising: a penalty on total correlation beside a larger weight of the rate.

$$ L_\beta = E_q[-\log p(x|z)] + \beta\, \mathrm{KL}(q \| p), \qquad
   L_\gamma = E_q[-\log p(x|z)] + \mathrm{KL}(q \| p) + \gamma\, \mathrm{TC}(q(z)) $$

The paper's claim: beta-VAE pays for factors of z with reconstruction, since a larger weight of the rate lowers the
information of z too, and FactorVAE pays less. It is a plane of reconstruction error and score, in which FactorVAE lies
on the better side of the line of beta-VAE.

White squares and ellipses whose factors are known are learned by a VAE, by beta-VAE with two weights, and by FactorVAE
with two weights; data, networks, steps and seeds are the same. All images are encoded and scored, as in the paper, with
means of q: FactorVAE score, beta-VAE score, MIG and DCI, whose code no arm was trained on. Total correlation is
measured from the mixture of the q of all images, without the discriminator, and is exact here but for one draw of each
z: there are no other images.

Deviations: 486 images of 16 x 16 for 737,280 of 64 x 64; layers without convolutions, 8,000 steps for 300,000, and
therefore larger learning rates, of the discriminator most of all: at the paper's 1e-4 it had learned nothing after
6,000 steps, and z was that of a VAE. Images have a sixteenth of the paper's pixels, and reconstruction weighs less:
gamma 10 to 30 are larger than they would be there, and so is beta. :meth:`Kim2018Factor.full` has the paper's sizes.
"""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from buttress.baseline import baseline
from buttress.core import Data, Decoder, Encoder
from buttress.core.recipe import Recipe
from buttress.data.opened import opened
from buttress.data.shapes2d import Shapes2d
from buttress.decoders.conv import ConvDecoder
from buttress.decoders.mlp import MlpDecoder
from buttress.encoders.conv import ConvEncoder
from buttress.encoders.mlp import MlpEncoder
from buttress.experiments.claim import Claim
from buttress.experiments.compare import compare
from buttress.experiments.papers._experiment import Experiment, Watch
from buttress.experiments.papers._result import write_result
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.runtime.atomic_write import write_text

__all__ = ["RESULT", "RUNS", "SCORES", "Kim2018Factor", "claims"]

RUNS, RESULT, SCORED = "runs", "result.json", "factors.json"
"""In the folder: the comparison, what held; in each run what was scored."""
EFFORT = {"nll_samples": 0, "gap_steps": 0}
"""Of the evidence of every run; see :func:`buttress.diagnostics.diagnose.diagnose`."""
SCORES = ("factor_vae_score", "beta_vae_score", "mutual_information_gap", "disentanglement")
"""Of the figure and the tables."""
LATE = 0.25
"""The last part of training, over which the accuracy of the discriminator is averaged."""
MOST = 5000
"""Images up to which all are scored; a random choice of more."""


def shapes() -> Shapes2d:
    """The images of the small experiment."""
    return Shapes2d(size=16, shapes=("square", "ellipse"), scales=3, orientations=1, positions=9)


@dataclass(frozen=True)
class Kim2018Factor(Experiment):
    """Kim and Mnih 2018: does FactorVAE disentangle more than a β-VAE at the same reconstruction error?

    Args:
        data: Images with known factors.
        encoder: Of all arms.
        decoder: Of all arms.
        dim: Coordinates of z.
        betas: Weights of the rate of the arms beta_vae, rising.
        gammas: Weights of total correlation of the arms factor_vae, rising; claims of one arm are about the largest.
        steps: Training steps of each run.
        batch_size: Images in a step.
        learning_rate: Of the VAE's Adam.
        discriminator_rate: Of the discriminator's.
        discriminator_width: Units in each of its hidden layers.
        discriminator_layers: How many of these.
        seed: The first one.
        seeds: How many.

    Example:
        >>> Kim2018Factor(betas=(4.0,), gammas=(30.0,)).arms["FactorVAE 30"]
        'factor_vae:gamma=30:width=128:layers=3:discriminator_rate=0.001'
    """

    data: Data = field(default_factory=shapes)
    encoder: Encoder = field(default_factory=lambda: MlpEncoder(hidden=(128, 128)))
    decoder: Decoder = field(default_factory=lambda: MlpDecoder(hidden=(128, 128)))
    dim: int = 6
    betas: tuple[float, ...] = (2.0, 4.0)
    gammas: tuple[float, ...] = (10.0, 30.0)
    steps: int = 8000
    batch_size: int = 64
    learning_rate: float = 1e-3
    discriminator_rate: float = 1e-3
    discriminator_width: int = 128
    discriminator_layers: int = 3
    seed: int = 1
    seeds: int = 3

    def __post_init__(self) -> None:
        """Refuse what would fail only after the training."""
        for name, least in {"dim": 2, "steps": 4, "seeds": 1}.items():
            if getattr(self, name) < least:
                raise ValueError(f"kim2018_factor: {name} is {getattr(self, name)}, wanted at least {least}")
        for name in ("betas", "gammas"):
            values = getattr(self, name)
            if not values or list(values) != sorted(set(values)) or values[0] <= (name == "betas"):
                raise ValueError(
                    f"kim2018_factor: {name} is {values}, wanted rising numbers above {int(name == 'betas')}"
                )

    @classmethod
    def full(cls) -> Kim2018Factor:
        """The paper's sizes: the images of dSprites, convolutions, 300,000 steps."""
        widths = (32, 32, 64, 64)
        return cls(
            data=Shapes2d(size=64, scales=6, orientations=40, positions=32),
            encoder=ConvEncoder(widths, blocks=0, activation="relu"),
            decoder=ConvDecoder(widths[::-1], blocks=0, activation="relu"),
            dim=10,
            betas=(4.0, 8.0),
            gammas=(10.0, 40.0),
            steps=300_000,
            learning_rate=1e-4,
            discriminator_rate=1e-4,
            discriminator_width=1000,
            discriminator_layers=6,
        )

    @property
    def arms(self) -> dict[str, str]:
        """Arm -> its remedy."""
        how = f"width={self.discriminator_width}:layers={self.discriminator_layers}"
        how += f":discriminator_rate={self.discriminator_rate:g}"
        return {
            "VAE": "none",
            **{f"β-VAE {beta:g}": f"beta_vae:beta={beta:g}" for beta in self.betas},
            **{f"FactorVAE {gamma:g}": f"factor_vae:gamma={gamma:g}:{how}" for gamma in self.gammas},
        }

    def recipe(self) -> Recipe:
        """What is trained without a remedy."""
        start = baseline(self.data, opened(self.data).spec)
        training = replace(
            start.training,
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            seed=self.seed,
            validate_every=max(1, self.steps // 8),
        )
        parts = {"encoder": self.encoder, "decoder": self.decoder, "posterior": GaussianPosterior(self.dim)}
        return replace(start, **parts, training=training)  # type: ignore[arg-type]

    def run(self, folder: Path, jobs: int = 1, watch: Watch = lambda run, step, total: None) -> list[Claim]:
        """Train and score everything, or take up what is in the folder, and write down what was seen.

        Args:
            folder: Where ``runs`` and ``result.json`` go.
            jobs: Runs at a time.
            watch: Called with (run, step, total).

        Errors:
            ValueError: The data have no known factors, jobs is below 1, or the folder holds another experiment.
        """
        if opened(self.data).factors is None:
            raise ValueError(
                "kim2018_factor: these data have no known factors; try shapes2d, or images with factors_key"
            )
        names = list(self.arms.values())
        compare(self.recipe(), names, folder / RUNS, seeds=self.seeds, jobs=jobs, settings=EFFORT, watch=watch)
        arms = {remedy: arm for arm, remedy in self.arms.items()}
        runs = [
            {"arm": arms[entry["name"]], "seed": int(run.rpartition("-")[2]), "folder": f"{RUNS}/{run}"}
            | _scored(folder / RUNS / run)
            for entry in json.loads((folder / RUNS / "comparison.json").read_text("utf-8"))["arms"]
            for run in entry["runs"]
        ]
        found = claims(runs, self.gammas, self.betas)
        write_result(folder / RESULT, self, found, runs=runs)
        return found

    def figures(self, folder: Path) -> list[Path]:
        """The plane of reconstruction error and score, and what each dimension of z does in three arms.

        Args:
            folder: Of a finished experiment.
        """
        from buttress.experiments.papers._kim2018_factor_page import draw

        return draw(folder)


def _scored(path: Path) -> dict[str, Any]:
    """Scores, total correlation and both halves of the loss of a run over all images; measured once."""
    if (file := path / SCORED).exists():
        known: dict[str, Any] = json.loads(file.read_text("utf-8"))
        return known
    from buttress.diagnostics.estimators import beta_vae_score, disentanglement, factor_vae_score, rate
    from buttress.diagnostics.estimators import mutual_information_gap as gap
    from buttress.diagnostics.estimators.total_correlation import total_correlation
    from buttress.diagnostics.representation import representation
    from buttress.report.results import load_run
    from buttress.training.run import Run

    run: Run = Run.load(path)
    batches, factors = _images(run)
    read = representation(run.model, batches, factors, examples=None)
    assert read is not None  # z is made of a few real numbers
    bound, held_out = rate.bound(run.model, batches), rate.bound(run.model, run.held_out())
    shares = gap.information_matrix(read.z, factors)
    estimates = {
        "distortion": bound.distortion,
        "rate": bound.rate,
        "distortion_held_out": held_out.distortion,
        "total_correlation": total_correlation(run.model, batches, examples=None).estimate,
        "factor_vae_score": factor_vae_score.factor_vae_score(read.z, factors),
        "beta_vae_score": beta_vae_score.beta_vae_score(read.z, factors),
        "mutual_information_gap": gap.mutual_information_gap(read.z, factors),
        **disentanglement.disentanglement(read.z, factors),
    }
    found: dict[str, Any] = {name: estimate.value for name, estimate in estimates.items()}
    found |= {"images": len(factors), "followed": gap.followed(shares, factors.names)}
    found |= {f"told_of_{name}": best for name, best in zip(factors.names, shares.amax(0).tolist(), strict=True)}
    metrics = load_run(path).metrics
    for name in ("discriminator_accuracy", "total_correlation"):
        curve = metrics.curve("train", name) if metrics else None
        if curve is not None:
            late = curve[1][curve[0] >= (1 - LATE) * curve[0][-1]]
            found[name if name.startswith("disc") else "total_correlation_by_discriminator"] = float(late.mean())
    write_text(file, json.dumps(found, indent=1) + "\n")
    return found


def _images(run: Any) -> tuple[list[Any], Any]:
    """All images, trained on or held out, as the model sees them, and their factors."""
    import torch

    from buttress.core import Factors

    splits = run.splits()
    sides = [splits.train, splits.held_out]
    values = torch.cat([side.factors.values for side in sides])
    chosen = torch.arange(len(values))
    if len(values) > MOST:
        chosen = torch.randperm(len(values), generator=torch.Generator().manual_seed(0))[:MOST].sort().values
    first = len(splits.train)
    parts = [
        (side, at) for side, at in ((sides[0], chosen[chosen < first]), (sides[1], chosen[chosen >= first] - first))
    ]
    x = torch.cat([side.batch(at) for side, at in parts])
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        observed = run.model.observe(x)
    return list(observed.split(256)), Factors(splits.factors.names, values[chosen], splits.factors.sizes)


def claims(runs: list[dict[str, Any]], gammas: tuple[float, ...], betas: tuple[float, ...]) -> list[Claim]:
    """The paper's claims, with marks that were set before the first run.

    Args:
        runs: One dict a run, with ``arm``, ``seed`` and what was measured.
        gammas: Of the arms, rising.
        betas: Of the arms, rising.

    Example:
        >>> seen = {"VAE": (0.6, 5.0, 2.0), "β-VAE 4": (0.7, 9.0, 1.0), "FactorVAE 30": (0.8, 7.0, 1.0)}
        >>> names = ("factor_vae_score", "distortion", "total_correlation")
        >>> runs = [{"arm": arm, "seed": 0, **dict(zip(names, row))} for arm, row in seen.items()]
        >>> [round(claim.median, 2) for claim in claims(runs, (30.0,), (4.0,))[:4]]  # at 7 nats beta-VAE has 0.65
        [0.2, 0.15, 2.0, 0.5]
    """
    table = {(run["arm"], run["seed"]): run for run in runs}
    seeds = sorted({run["seed"] for run in runs})

    def every(name: str, arm: str) -> list[float]:
        found = [table.get((arm, seed), {}).get(name) for seed in seeds]
        return [math.nan if value is None else float(value) for value in found]

    best, strong = f"FactorVAE {gammas[-1]:g}", f"β-VAE {betas[-1]:g}"
    score, error, dependence = "factor_vae_score", "distortion", "total_correlation"
    gained = tuple(f - v for f, v in zip(every(score, best), every(score, "VAE"), strict=True))
    above = tuple(
        statistics.fmean(
            _above_line(table, seed, f"FactorVAE {gamma:g}", ["VAE", *(f"β-VAE {beta:g}" for beta in betas)])
            for gamma in gammas
        )
        for seed in seeds
    )
    saved = tuple(b - f for b, f in zip(every(error, strong), every(error, best), strict=True))
    fallen = tuple(1 - f / v for f, v in zip(every(dependence, best), every(dependence, "VAE"), strict=True))
    accuracy = tuple(every("discriminator_accuracy", best))
    return [
        Claim(f"FactorVAE score: {best} above VAE", "above", 0.05, gained),
        Claim("FactorVAE score: FactorVAE above β-VAE at equal reconstruction error", "above", 0.0, above),
        Claim(f"reconstruction error: {strong} above {best}, nats", "above", 0.0, saved),
        Claim(f"total correlation of all codes: share by which {best} is below VAE", "above", 0.3, fallen),
        Claim(f"accuracy of the discriminator of {best}, late in training", "above", 0.5, accuracy),
        Claim(f"accuracy of the discriminator of {best}, late in training", "below", 0.8, accuracy),
    ]


def _above_line(table: dict[Any, dict[str, Any]], seed: int, arm: str, line: list[str]) -> float:
    """How far an arm's score lies above the line through others, at the reconstruction error of the arm.

    The line is straight between neighbours and level beyond its ends.
    """
    rows = [table.get((one, seed), {}) for one in [arm, *line]]
    if any(row.get(name) is None for row in rows for name in ("distortion", "factor_vae_score")):
        return math.nan
    (error, score), *others = [(float(row["distortion"]), float(row["factor_vae_score"])) for row in rows]
    others.sort()
    for (a, low), (b, high) in pairwise(others):
        if a <= error <= b:
            return score - (low + (high - low) * (error - a) / max(b - a, 1e-12))
    return score - (others[0][1] if error < others[0][0] else others[-1][1])
