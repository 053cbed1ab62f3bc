r"""Lucas, Tucker, Grosse and Norouzi 2019, Don't Blame the ELBO! A Linear VAE Perspective on Posterior Collapse.

The variance sigma^2 of a Gaussian p(x|z) decides how much of z is used: a linear VAE uses as many dimensions as the
covariance of x has eigenvalues above sigma^2, and its ELBO has no worse local maxima than the likelihood of
probabilistic PCA. Deep VAEs behave alike: a model trained at a sigma^2 fixed too high collapses, its ELBO is far
from what it could be, and most of that comes back when sigma^2 alone is tuned after training. Annealing the rate does
not help, for what is not worth its rate falls silent again when the full ELBO resumes.

ELBOs are on held-out digits, with pixels in [0, 1]. Deviations: the paper has a z of 200, trains for hundreds of
epochs, and reports training data; pixels here carry the uniform noise of dequantisation, whose variance is 1.3e-6.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from buttress.baseline import baseline
from buttress.core import Data
from buttress.core.recipe import Recipe, Training
from buttress.data.mnist5k import Mnist5k
from buttress.data.opened import opened
from buttress.decoders.linear import LinearDecoder
from buttress.decoders.mlp import MlpDecoder
from buttress.diagnostics.evidence import Evidence
from buttress.diagnostics.spectrum import Spectrum
from buttress.encoders.linear import LinearEncoder
from buttress.encoders.mlp import MlpEncoder
from buttress.experiments.claim import Claim
from buttress.experiments.compare import compare
from buttress.experiments.papers._experiment import Experiment, Watch
from buttress.experiments.papers._lucas2019_linear import fit
from buttress.experiments.papers._result import write_result
from buttress.experiments.ppca import Scaled, linear_vae
from buttress.experiments.tune_variance import tune_variance
from buttress.likelihoods.gaussian import GaussianLikelihood
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.report.results import load_run
from buttress.runtime.atomic_write import write_text
from buttress.training.run import Run

__all__ = ["Lucas2019", "claims"]

ANNEALED = "kl_annealing:fraction=0.5"
EFFORT = {"nll_samples": 0, "gap_steps": 0, "mi_examples": 500, "samples": 1}
KEPT = (
    "elbo", "rate", "active_units", "collapsed_fraction", "eigenvalues_above_variance", "likelihood_variance",
    "residual_variance",
)  # fmt: skip


@dataclass(frozen=True)
class Lucas2019(Experiment):
    """Lucas et al. 2019: is it the variance of the likelihood that collapses z, and what does tuning it alone bring?

    Args:
        data: Images of whole numbers 0 to 255.
        variances: Each sigma^2 that is fixed, and from which it is learned; falling.
        weak: The sigma^2 at which z is annealed, and a linear VAE trained.
        high: A sigma^2 above every eigenvalue, from which it is learned.
        hidden: Units of the hidden layers of encoder and decoder.
        latents: Dimensions of z.
        steps: Training steps of each run.
        batch_size: Images in a step.
        learning_rate: Of Adam.
        seed: The first one.
        seeds: How many.

    Example:
        >>> Lucas2019().recipe(0.1, "fixed").likelihood.variance
        0.1
    """

    data: Data = field(default_factory=lambda: Mnist5k(held_out=0.2))
    variances: tuple[float, ...] = (0.1, 0.05, 0.01, 0.001)
    weak: float = 1.0
    high: float = 10.0
    hidden: tuple[int, ...] = (400,)
    latents: int = 50
    steps: int = 3_000
    batch_size: int = 100
    learning_rate: float = 2e-3
    seed: int = 0
    seeds: int = 3

    def __post_init__(self) -> None:
        """Refuse what would fail only after the training."""
        if len(self.variances) < 2 or list(self.variances) != sorted(set(self.variances), reverse=True):
            raise ValueError(f"lucas2019: variances is {self.variances}, wanted two or more falling numbers")

    @classmethod
    def full(cls) -> Lucas2019:
        """A z of 200, wider networks, and 500 epochs of 60,000 digits, which go into ``data``."""
        return cls(hidden=(1024, 512), latents=200, steps=300_000, learning_rate=1e-3)

    def recipe(self, variance: float, learned: Any, linear: bool = False) -> Recipe:
        """What is trained: at a fixed variance, or learning it from there."""
        every = max(1, self.steps // 12)
        training = Training(
            self.steps, self.batch_size, self.learning_rate, clip=None, seed=self.seed, validate_every=every,
            checkpoint_every=self.steps,
        )  # fmt: skip
        parts: dict[str, Any] = {
            "encoder": LinearEncoder() if linear else MlpEncoder(self.hidden),
            "posterior": GaussianPosterior(self.latents, variance="constant" if linear else "per_example"),
            "decoder": LinearDecoder() if linear else MlpDecoder(self.hidden[::-1]),
            "likelihood": GaussianLikelihood(variance=variance, learned=learned),
        }
        return replace(baseline(self.data, opened(self.data).spec), training=training, **parts)

    def run(self, folder: Path, jobs: int = 1, watch: Watch = lambda run, step, total: None) -> list[Claim]:
        """Train everything, or take up what is in the folder, and write ``result.json``.

        Args:
            folder: Where the runs go.
            jobs: Runs at a time.
            watch: Called with (run, step, total).
        """
        linear = self._linear(folder)
        runs: list[dict[str, Any]] = []
        for place, recipe, names in self._arms():
            shared: dict[str, Any] = {"seeds": self.seeds, "jobs": jobs, "settings": EFFORT, "watch": watch}
            found = compare(recipe, names, folder / place, **shared)
            if found.failed:
                raise ValueError(f"lucas2019: {place} did not finish: {found.failed}")
            runs += _measured(folder, place, linear["log_units"])
        for run in runs:
            if run["place"] in {f"fixed-{variance:g}" for variance in self.variances}:
                run |= _tuned(folder, run)
        self._exactly(folder, [run for run in runs if run["place"] == "linear"], linear)
        found_claims = claims(runs, linear, self.variances)
        write_result(folder / "result.json", self, found_claims, runs=runs, linear=linear)
        return found_claims

    def _arms(self) -> list[tuple[str, Recipe, list[str]]]:
        """Folder, recipe and remedies of each comparison."""
        fixed = [(f"fixed-{v:g}", self.recipe(v, "fixed"), ["none"]) for v in self.variances]
        learned = [(f"learned-{v:g}", self.recipe(v, "scalar"), ["none"]) for v in (self.high, *self.variances)]
        weak = ("weak", self.recipe(self.weak, "fixed"), ["none", ANNEALED])
        return [*fixed, *learned, weak, ("linear", self.recipe(self.weak, "fixed", linear=True), ["none"])]

    def _linear(self, folder: Path) -> dict[str, Any]:
        """The optimum of probabilistic PCA, and where L-BFGS takes a linear VAE, at three variances."""
        path = folder / "linear.json"
        if path.exists():
            found: dict[str, Any] = json.loads(path.read_text("utf-8"))
            return found
        data = Scaled(opened(self.data), GaussianLikelihood(), self.seed)
        spectrum = Spectrum.of(data.train())
        latents = min(self.latents, spectrum.dims - 1)
        rows = [
            {
                "variance": variance, "seed": seed, "above": spectrum.above(variance),
                "optimum": spectrum.log_marginal(latents, variance),
                **asdict(fit(spectrum.values, latents, variance, seed)),
            }
            for variance in (self.high, 3 * self.weak, self.weak)
            for seed in range(self.seed, self.seed + self.seeds)
        ]  # fmt: skip
        best = spectrum.best_variance(latents)
        found = {
            "eigenvalues": spectrum.values.tolist(), "log_units": data.log_units, "best_variance": best,
            "optima": {f"{v:g}": spectrum.log_marginal(latents, v) for v in (*self.variances, self.weak, best)},
            "above": {f"{v:g}": spectrum.above(v) for v in (*self.variances, self.weak, best)}, "fits": rows,
        }  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(found) + "\n")
        return found

    def _exactly(self, folder: Path, runs: list[dict[str, Any]], linear: dict[str, Any]) -> None:
        """Add the exact ELBO on training data of the linear models that were trained by sampling."""
        data = Scaled(opened(self.data), GaussianLikelihood(), self.seed)
        for run in runs:
            closed = linear_vae(Run.load(folder / run["folder"]).model)
            values = torch.cat([closed.elbo(rows) for rows in data.train()])
            run["exact_elbo"], run["optimum"] = values.mean().item(), linear["optima"][f"{self.weak:g}"]

    def figures(self, folder: Path) -> list[Path]:
        """ELBO before and after tuning, the collapsed share over epsilon, active units over training."""
        from buttress.experiments.papers import _lucas2019_figures as figures

        names = [f"fixed-{v:g}" for v in self.variances]
        return [figures.elbos(folder), figures.collapse(folder, [*names, "weak"]), figures.annealing(folder)]


def _measured(folder: Path, place: str, log_units: float) -> list[dict[str, Any]]:
    """A dict for each run of a comparison; the ELBO is that of pixels in [0, 1]."""
    rows = []
    for entry in json.loads((folder / place / "comparison.json").read_text("utf-8"))["arms"]:
        for run, seconds in zip(entry["runs"], entry["seconds"], strict=True):
            at = f"{place}/{run}"
            found = Evidence.load(folder / at / "evidence.json").estimates
            row: dict[str, Any] = {name: found[name].value for name in KEPT if name in found}
            row["elbo"] += log_units
            metrics = load_run(folder / at).metrics
            line = None if metrics is None else metrics.curve("held_out", "active_units")
            row["active_units_most"] = row["active_units"] if line is None else float(line[1].max())
            arm = place if entry["name"] == "none" else f"{place}, annealed"
            seed = int(run.rpartition("-")[2])
            rows.append({"arm": arm, "place": place, "seed": seed, "folder": at, "seconds": round(seconds, 1), **row})
    return rows


def _tuned(folder: Path, run: dict[str, Any]) -> dict[str, Any]:
    """What tuning the variance of a run alone gives."""
    path = folder / "tuned" / f"{run['place']}-{run['seed']}.json"
    if not path.exists():
        place = folder / "tuned" / f"{run['place']}-{run['seed']}"
        found = tune_variance(Run.load(folder / run["folder"]), place, run["seed"])
        after, gain = found.after.value, found.gain.value
        assert after is not None and gain is not None  # of a Gaussian with a density
        plain = {"tuned_variance": found.variance, "tuned_elbo": after + found.log_units, "tuned_gain": gain}
        write_text(path, json.dumps(plain) + "\n")
    found_before: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found_before


def claims(runs: list[dict[str, Any]], linear: dict[str, Any], variances: tuple[float, ...]) -> list[Claim]:
    """The paper's claims, with marks that were set before the first run.

    Args:
        runs: One dict a run, with ``arm``, ``seed`` and what was measured.
        linear: The optimum of probabilistic PCA, and the fits beside it.
        variances: The fixed ones, falling.
    """
    seeds = sorted({run["seed"] for run in runs})

    def of(arm: str, name: str) -> list[float]:
        found = {run["seed"]: run[name] for run in runs if run["arm"] == arm}
        return [found[seed] for seed in seeds]

    def rising(name: str) -> tuple[float, ...]:
        table = [of(f"fixed-{v:g}", name) for v in variances]
        return tuple(min(b - a for a, b in pairwise(row)) for row in zip(*table, strict=True))

    first, last = (f"{v:g}" for v in (variances[0], variances[-1]))
    fits = [[one for one in linear["fits"] if one["seed"] == seed] for seed in seeds]
    learned = list(zip(*(of(f"learned-{v:g}", "elbo") for v in variances), strict=True))
    highest = next(run["arm"] for run in runs if run["arm"].startswith("learned-"))
    pairs = list(zip(of("weak", "active_units"), of("weak, annealed", "active_units"), strict=True))
    lost = zip(of("weak, annealed", "active_units_most"), of("weak, annealed", "active_units"), strict=True)
    few = zip(of(f"fixed-{first}", "tuned_gain"), of(f"fixed-{variances[1]:g}", "tuned_gain"), strict=True)
    joint = zip(of(f"learned-{first}", "elbo"), of(f"fixed-{first}", "tuned_elbo"), strict=True)
    exact = zip(of("linear", "optimum"), of("linear", "exact_elbo"), strict=True)
    return [
        Claim(
            "linear VAE by L-BFGS: nats below probabilistic PCA, at the worst of three variances", "below", 0.1,
            tuple(max(one["optimum"] - one["elbo"] for one in group) for group in fits),
        ),
        Claim(
            "linear VAE by L-BFGS: active units beside eigenvalues above it, largest difference", "below", 0.5,
            tuple(float(max(abs(one["active"] - one["above"]) for one in group)) for group in fits),
        ),
        Claim("linear VAE by Adam: nats below probabilistic PCA", "below", 1.0, tuple(a - b for a, b in exact)),
        Claim("ELBO at a fixed variance, least rise as the variance falls, nats", "above", 0.0, rising("elbo")),
        Claim("ELBO after the variance alone is tuned, least rise, nats", "above", 0.0, rising("tuned_elbo")),
        Claim("gain by tuning the variance alone, the least of the two largest variances, nats", "above", 100.0,
              tuple(map(min, few))),
        Claim(f"learned from {first}: ELBO above that of tuning alone, nats", "above", 0.0,
              tuple(a - b for a, b in joint)),
        Claim(f"learned from {first} to {last}: ELBO of the best less the worst, nats", "above", 10.0,
              tuple(max(row) - min(row) for row in learned)),
        Claim(f"{highest.replace('-', ' from ')}: collapsed share of z", "above", 0.9,
              tuple(of(highest, "collapsed_fraction"))),
        Claim("annealed: active units on the way less those at the end", "above", 10.0, tuple(a - b for a, b in lost)),
        Claim("annealed: active units at the end, difference from no annealing", "below", 1.5,
              tuple(abs(a - b) for a, b in pairs)),
    ]  # fmt: skip
