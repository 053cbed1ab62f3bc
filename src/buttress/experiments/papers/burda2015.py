r"""Burda, Grosse and Salakhutdinov 2015, Importance Weighted Autoencoders: more samples in the training bound.

$$ L_k(x) = E \log \frac1k \sum_{i=1}^k \frac{p(x, z_i)}{q(z_i|x)}, \quad z_i \sim q(z|x) $$

The network of the paper with one stochastic layer: 784-200-200-50 and back, tanh, digits made binary afresh at every
presentation. The same network, data, steps and seeds for each k; only the training objective differs. The paper's
table: NLL 86.76, 85.54, 84.78 and 19, 22, 25 active units for k = 1, 5, 50. The bound with one sample gets worse as k
grows, for q is then trained to propose, not to be right alone.

Deviations: 4,000 digits for 60,000, hundreds of epochs fewer, a constant learning rate, Adam's usual epsilon, and fewer
samples in the NLL. So the values are not those of the paper; the order is the claim.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from buttress.baseline import baseline
from buttress.core import Data
from buttress.core.recipe import Recipe, Training
from buttress.data.mnist5k import Mnist5k
from buttress.data.opened import opened
from buttress.decoders.mlp import MlpDecoder
from buttress.encoders.mlp import MlpEncoder
from buttress.experiments.claim import Claim
from buttress.experiments.compare import compare
from buttress.experiments.papers._arms import claim, measured, seen
from buttress.experiments.papers._experiment import Experiment, Watch
from buttress.experiments.papers._result import write_result
from buttress.likelihoods.bernoulli import Bernoulli
from buttress.objectives.importance_weighted import ImportanceWeighted
from buttress.posteriors.gaussian import GaussianPosterior

__all__ = ["Burda2015", "claims"]


@dataclass(frozen=True)
class Burda2015(Experiment):
    """Burda et al. 2015: do more importance samples in training give a better NLL and more active units?

    Args:
        data: Grey digits; a fifth of them is held out.
        samples: Each k that is trained with; claims are about the first and the last.
        hidden: Units of both hidden layers of encoder and decoder.
        latents: Dimensions of z.
        steps: Training steps of each run.
        batch_size: Digits in a step.
        learning_rate: Of Adam.
        nll_samples: Samples of the importance-weighted NLL after training.
        nll_examples: Held-out digits it is measured on.
        seed: The first one.
        seeds: How many.

    Example:
        >>> Burda2015().arm(50)
        'k-50'
    """

    data: Data = field(default_factory=lambda: Mnist5k(held_out=0.2))
    samples: tuple[int, ...] = (1, 5, 50)
    hidden: int = 200
    latents: int = 50
    steps: int = 8_000
    batch_size: int = 20
    learning_rate: float = 1e-3
    nll_samples: int = 500
    nll_examples: int = 500
    seed: int = 0
    seeds: int = 3

    def __post_init__(self) -> None:
        """Refuse what would fail only after the training."""
        if len(self.samples) < 2 or list(self.samples) != sorted(set(self.samples)) or self.samples[0] < 1:
            raise ValueError(f"burda2015: samples is {self.samples}, wanted two or more rising numbers from 1")

    @classmethod
    def full(cls) -> Burda2015:
        """As many steps of the paper's batch as its 3,280 epochs of 60,000 digits, and its 5,000 samples."""
        return cls(steps=3_280 * 3_000, nll_samples=5_000, nll_examples=10_000)

    @staticmethod
    def arm(k: int) -> str:
        """The folder of the runs trained with k samples."""
        return f"k-{k}"

    def recipe(self, k: int) -> Recipe:
        """What is trained with k samples."""
        layers = (self.hidden, self.hidden)
        training = Training(
            self.steps, self.batch_size, self.learning_rate, seed=self.seed,
            validate_every=max(1, self.steps // 8), checkpoint_every=max(1, self.steps // 8),
        )  # fmt: skip
        return replace(
            baseline(self.data, opened(self.data).spec),
            encoder=MlpEncoder(layers, "tanh"),
            posterior=GaussianPosterior(self.latents),
            decoder=MlpDecoder(layers, "tanh"),
            likelihood=Bernoulli(),
            objective=ImportanceWeighted(k),
            training=training,
        )

    def run(self, folder: Path, jobs: int = 1, watch: Watch = lambda run, step, total: None) -> list[Claim]:
        """Train everything, or take up what is in the folder, and write ``result.json``.

        Args:
            folder: Where the runs go.
            jobs: Runs at a time.
            watch: Called with (run, step, total).
        """
        effort = {"nll_samples": self.nll_samples, "nll_examples": self.nll_examples, "gap_steps": 0}
        runs: list[dict[str, Any]] = []
        for k in self.samples:
            place = folder / self.arm(k)
            compare(self.recipe(k), ["none"], place, seeds=self.seeds, jobs=jobs, settings=effort, watch=watch)
            runs += [{**run, "arm": self.arm(k), "k": k} for run in measured(folder, self.arm(k))]
        found = claims(runs, self.arm(self.samples[0]), self.arm(self.samples[-1]))
        epochs = self.steps * self.batch_size / len(opened(self.data).train)
        write_result(folder / "result.json", self, found, runs=runs, epochs=round(epochs, 1))
        return found

    def figures(self, folder: Path) -> list[Path]:
        """NLL, −ELBO and active units over k, a point a seed."""
        from buttress.experiments.papers._by_setting import write_by_setting

        panels = [("nll", "NLL, nats"), ("elbo", "ELBO with one sample, nats"), ("active_units", "active units")]
        return [write_by_setting(folder, "k", "k, samples in training", panels)]


def claims(runs: list[dict[str, Any]], first: str = "k-1", last: str = "k-50") -> list[Claim]:
    """The paper's claims, with marks that were set before the first run.

    Args:
        runs: One dict a run, with ``arm``, ``seed``, ``nll``, ``elbo`` and ``active_units``.
        first: The arm with the smallest k.
        last: The arm with the largest k.

    Example:
        >>> one = {"arm": "k-1", "seed": 0, "nll": 104.0, "elbo": -110.0, "active_units": 20.0}
        >>> many = {"arm": "k-50", "seed": 0, "nll": 101.0, "elbo": -113.0, "active_units": 24.0}
        >>> [(claim.median, claim.held) for claim in claims([one, many])]
        [(3.0, True), (4.0, True), (3.0, True)]
    """
    nll, units, elbo = ([seen(runs, arm, name) for arm in (first, last)] for name in ("nll", "active_units", "elbo"))
    return [
        claim(f"NLL of {first} above that of {last}, nats", "above", 1.5, *nll),
        claim(f"active units of {last} above those of {first}", "above", 2.5, units[1], units[0]),
        claim(f"one-sample −ELBO of {last} above that of {first}, nats", "above", 0.0, *elbo),
    ]
