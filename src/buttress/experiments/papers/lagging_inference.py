r"""He, Spokoyny, Neubig and Berg-Kirkpatrick 2019, Lagging Inference Networks and Posterior Collapse in VAEs.

Synthetic sentences, a one-dimensional z, an LSTM VAE trained plainly and aggressively. At every look the mean of q,
$\mu_\phi(x)$, stands beside the mean of the model's true posterior, $\mu_\theta(x) = E[z|x]$, found on a grid. Where
inference lags, $E|\mu_\phi|$ stays near zero while $E|\mu_\theta|$ does not. An offset that all sentences share is no
information, so $E|\mu - \bar\mu|$ over sentences stands beside the paper's statistic.

As in the code of the paper, q has no bias: it would be an offset of that kind, and SGD at 1.0 moves it by whole units
early in training. Deviations: weights start as PyTorch starts them (the code: uniform on ±0.01, from where the encoder
takes far longer to leave zero), nothing is dropped out (its configuration: half of the decoder's inputs and outputs),
and an "epoch", after which the aggressive arm asks whether mutual information still rises, is a tenth of the data, so
that the experiment takes minutes.
"""

from __future__ import annotations

import csv
import io
import math
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from buttress.algorithms.joint import Joint
from buttress.core import remedy
from buttress.core.recipe import Recipe, Training
from buttress.data.lstm_text import LstmText
from buttress.decoders.recurrent import RecurrentDecoder
from buttress.encoders.recurrent import RecurrentEncoder
from buttress.experiments.claim import Claim
from buttress.experiments.papers._experiment import Experiment, Watch
from buttress.experiments.papers._result import write_result
from buttress.likelihoods.categorical import Categorical
from buttress.objectives.elbo import ELBO
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.priors.standard_normal import StandardNormal
from buttress.runtime.atomic_write import write_text

__all__ = ["ARMS", "RESULT", "TRACE", "LaggingInference", "claims"]

ARMS = ("none", "aggressive")
RESULT, TRACE = "lagging_inference.json", "posterior_means.csv"
COLUMNS = (
    "arm", "seed", "step", "size_encoder", "size_true", "apart_encoder", "apart_true",
    "nll", "elbo", "rate", "mutual_information",
)  # fmt: skip
EFFORT = {"nll_samples": 100, "nll_examples": 1000, "gap_steps": 100, "gap_examples": 100}
"""Of the evidence at the end of every run; see :func:`buttress.diagnostics.diagnose.diagnose`."""


@dataclass(frozen=True)
class LaggingInference(Experiment):
    """He et al. 2019: does the encoder lag behind the true posterior, and does aggressive training bring it up?

    Args:
        data: The sentences.
        hidden: Units of both LSTMs and size of both embeddings.
        steps: Steps of the decoder.
        batch_size: Sentences in a step.
        learning_rate: Of SGD without momentum.
        max_inner: Most encoder steps before one of the decoder, in the aggressive arm.
        epoch: Steps after which the aggressive arm looks whether mutual information still rises.
        every: Steps between looks at the posterior means.
        sentences: Held-out sentences whose means are compared.
        grid_width: The grid of z runs from minus this to this.
        grid_step: Its step.
        seed: The first one.
        seeds: How many.

    Example:
        >>> experiment = LaggingInference(data=LstmText(train=800), batch_size=16)
        >>> experiment.epoch_of_data  # 800 / 16
        50
        >>> [experiment.recipe(arm, seed=0).algorithm.name() for arm in ARMS]
        ['joint', 'aggressive']
    """

    data: LstmText = field(default_factory=LstmText)
    hidden: int = 50
    steps: int = 1000
    batch_size: int = 16
    learning_rate: float = 1.0
    max_inner: int = 30
    epoch: int = 100
    every: int = 50
    sentences: int = 200
    grid_width: float = 10.0
    grid_step: float = 0.2
    seed: int = 0
    seeds: int = 3

    def __post_init__(self) -> None:
        """Refuse what would fail only after the training."""
        for name in ("every", "sentences", "seeds"):
            if getattr(self, name) < 1:
                raise ValueError(f"lagging_inference: {name} is {getattr(self, name)}, wanted at least 1")

    def recipe(self, arm: str, seed: int) -> Recipe:
        """What is trained in an arm."""
        training = Training(
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            optimizer="sgd",
            seed=seed,
            validate_every=min(self.epoch, self.steps),
        )
        plain = Recipe(
            self.data,
            RecurrentEncoder(self.hidden, self.hidden),
            GaussianPosterior(1, bias=False),
            StandardNormal(),
            RecurrentDecoder(self.hidden, self.hidden),
            Categorical(),
            ELBO(),
            Joint(),
            training,
        )
        return remedy.apply(arm if arm == "none" else f"{arm}:max_inner={self.max_inner}", plain)

    def run(self, folder: Path, jobs: int = 1, watch: Watch = lambda run, step, total: None) -> list[Claim]:
        """Train all arms with all seeds, or take up what is in the folder, and write down what was seen.

        Args:
            folder: Where the runs go, and ``lagging_inference.json`` and ``posterior_means.csv`` beside them.
            jobs: Must be 1: its runs are trained one after the other.
            watch: Hears (run, step, total).

        Errors:
            ValueError: jobs is not 1.
        """
        if jobs != 1:
            raise ValueError(f"lagging_inference: jobs is {jobs}, wanted 1: its runs are trained one after the other")
        runs = [
            self._one(arm, seed, folder, watch) for seed in range(self.seed, self.seed + self.seeds) for arm in ARMS
        ]
        found = claims(runs, self.epoch_of_data)
        kept = [{k: run[k] for k in ("arm", "seed", "folder", "final", "cause")} for run in runs]
        write_result(folder / RESULT, self, found, runs=kept)
        write_text(folder / TRACE, _table(runs))
        return found

    def figures(self, folder: Path) -> list[Path]:
        """See :class:`Experiment`: the means of q beside those of the true posterior."""
        from buttress.experiments.papers._posterior_means_page import write_figure

        return [write_figure(folder)]

    @property
    def epoch_of_data(self) -> int:
        """Steps in which training sees every sentence once."""
        return max(1, self.data.train // self.batch_size)

    def _one(self, arm: str, seed: int, folder: Path, watch: Watch) -> dict[str, Any]:
        """One run: its trace, and its evidence at the end."""
        from buttress.experiments.papers._posterior_means import PosteriorMeans, read_means
        from buttress.training.callbacks import ProgressCallback
        from buttress.training.run import train

        name = f"{arm}/seed-{seed}"
        path = folder / name
        means = PosteriorMeans(path, self.every, self.sentences, self.grid_width, self.grid_step)
        watch(name, 0, self.steps)
        run = train(
            self.recipe(arm, seed),
            path,
            resume=(path / "recipe.yaml").exists(),
            progress=False,
            callbacks=[means, ProgressCallback(lambda step, total: watch(name, step, total))],
        )
        watch(name, self.steps, self.steps)
        return {"arm": arm, "seed": seed, "folder": name, "trace": read_means(path), **_evidence(run)}


def _evidence(run: Any) -> dict[str, Any]:
    """What a run ended with; measured once."""
    from buttress.diagnostics.evidence import Evidence

    path = run.folder / "evidence.json"
    evidence = Evidence.from_json(path.read_text(encoding="utf-8")) if path.exists() else run.diagnose(**EFFORT)
    wanted = ("elbo", "rate", "mutual_information", "nll", "amortisation_gap")
    return {"final": {n: evidence.estimates[n].value for n in wanted}, "cause": evidence.verdict.cause}


def claims(runs: list[dict[str, Any]], epoch: int) -> list[Claim]:
    """The paper's claims, with the marks of a pilot; those about sizes also without the offset that sentences share.

    Args:
        runs: One dict a run, with ``arm``, ``seed``, ``trace`` and ``final``.
        epoch: Steps of the first epoch.

    Example:
        >>> look = {"step": 50, "size_encoder": 0.25, "size_true": 1.0, "apart_encoder": 0.0625, "apart_true": 0.5}
        >>> final = {"nll": 30.0, "rate": 0.0, "mutual_information": 0.0}
        >>> runs = [{"arm": arm, "seed": 0, "trace": [look], "final": final} for arm in ARMS]
        >>> plain = claims(runs, epoch=100)[:3]  # all of them "below"
        >>> [(claim.median, claim.mark, claim.held) for claim in plain]
        [(0.25, 0.2, False), (0.125, 0.2, True), (0.0, 0.05, True)]
    """
    plain, aggressive = ([run for run in runs if run["arm"] == arm] for arm in ARMS)
    nll = tuple(_final(a, "nll") - _final(p, "nll") for p, a in zip(plain, aggressive, strict=True))
    early = [[row for row in run["trace"] if 0 < row["step"] <= epoch] for run in plain]
    late = [run["trace"][-1:] for run in aggressive]
    return [
        Claim(
            "plain: E|mean of q| / E|true mean|, median of the looks in the first epoch", "below", 0.2,
            tuple(_lag(rows, "size") for rows in early),
        ),
        Claim(
            "plain: the same of their distances from the mean over sentences", "below", 0.2,
            tuple(_lag(rows, "apart") for rows in early),
        ),
        Claim("plain: final KL, nats", "below", 0.05, tuple(_final(run, "rate") for run in plain)),
        Claim(
            "aggressive: E|mean of q| / E|true mean| at the end", "above", 0.5,
            tuple(_lag(rows, "size") for rows in late),
        ),
        Claim(
            "aggressive: the same of their distances from the mean over sentences", "above", 0.5,
            tuple(_lag(rows, "apart") for rows in late),
        ),
        Claim("aggressive: final KL, nats", "above", 0.3, tuple(_final(run, "rate") for run in aggressive)),
        Claim(
            "aggressive: final mutual information, nats", "above", 0.3,
            tuple(_final(run, "mutual_information") for run in aggressive),
        ),
        Claim("aggressive: NLL above that of plain training, nats", "below", 0.3, nll),
    ]  # fmt: skip


def _lag(rows: list[dict[str, Any]], what: str) -> float:
    """The median over looks of a statistic of the means of q, over that of the true ones."""
    ratios = [row[f"{what}_encoder"] / row[f"{what}_true"] for row in rows if row[f"{what}_true"] > 0]
    return statistics.median(ratios) if ratios else math.nan


def _final(run: dict[str, Any], name: str) -> float:
    value = run["final"][name]
    return math.nan if value is None else value


def _table(runs: list[dict[str, Any]]) -> str:
    """Every look of every run as CSV."""
    text = io.StringIO()
    rows = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    rows.writeheader()
    rows.writerows({**row, "arm": run["arm"], "seed": run["seed"]} for run in runs for row in run["trace"])
    return text.getvalue()
