r"""Kim, Wiseman, Miller, Sontag and Rush 2018, Semi-Amortized Variational Autoencoders: the oracle generator.

The decoder is the generator of the sentences itself, an LSTM with random weights that are known and stay as they are;
only inference is learned. So $\log p(x)$ is known, here exactly by a sum over a grid of the one-dimensional z, and what
$-\mathrm{ELBO}$ lies above it is $\mathrm{KL}(q(z|x) \| p(z|x))$, what inference gives away. Three ways to find q:

- VAE: an encoder.
- SVI: K gradient steps for each sentence from the prior, without an encoder.
- SA-VAE: K such steps from where an encoder puts q, and the encoder is trained through them.

SVI and SA-VAE refine q at test time too, as in the paper: their numbers are bounds at the refined q. Beside them, and
under no claim, stand the bound at the q where the encoder of SA-VAE starts, and the VAE with the same K steps added at
test time, which tells how much of SA-VAE's gain is due to training through the steps.

Deviations: the sentences are those of ``lstm_text`` (five words of a thousand; z of one dimension, N(0, 1), heard by
the LSTM and by every word's logit directly), so that the paper's own table, 20.13 < 21.77 < 22.33 above a true NLL of
19.63, is a guide to the order and not to the values; 2,000 training sentences; the derivative through the steps is
exact, and their rate, momentum and clip are those of the remedy ``semi_amortized``, as is the noise of a step, which
comes with its mirror image (``antithetic``; the paper draws once); SVI has nothing to learn and takes
one idle step. One generator and one set of sentences for all seeds: a seed is of weights, order and noise in training,
and the evidence is measured with one noise, so that SVI gives one number for all seeds.
"""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from buttress.algorithms.joint import Joint
from buttress.algorithms.semi_amortized import SemiAmortized
from buttress.core.recipe import Recipe, Training
from buttress.data.lstm_text import LstmText
from buttress.diagnostics.evidence import Evidence
from buttress.encoders.recurrent import RecurrentEncoder
from buttress.experiments.claim import Claim
from buttress.experiments.compare import compare
from buttress.experiments.papers._experiment import Experiment, Watch
from buttress.experiments.papers._result import write_result
from buttress.likelihoods.categorical import Categorical
from buttress.objectives.elbo import ELBO
from buttress.posteriors.gaussian import GaussianPosterior
from buttress.priors.standard_normal import StandardNormal
from buttress.runtime.atomic_write import write_text

__all__ = ["ARMS", "RESULT", "TRACE", "SemiAmortizedVae", "claims"]

ARMS = ("VAE", "SVI", "SA-VAE")
LEARNED, UNLEARNED = "learned", "unlearned"
"""In the folder: the comparison of the arms with an encoder, and the one of SVI."""
RESULT, TRACE = "semi_amortized.json", "nelbo.csv"
EFFORT = {"nll_samples": 0, "gap_steps": 0}
"""Of the evidence of every run: the NLL is known, and with it the gap; see
:func:`buttress.diagnostics.diagnose.diagnose`."""


def oracle() -> LstmText:
    """Sentences whose z is one number from N(0, 1)."""
    return LstmText(latent_dim=1, spread=0.0, length=5, train=2_000, held_out=500, test=1)


@dataclass(frozen=True)
class SemiAmortizedVae(Experiment):
    """Kim et al. 2018: with the true decoder given, how near do an encoder, gradient steps, and both come to log p(x)?

    Args:
        data: The sentences; z of one dimension, and spread 0, so that p(z) is N(0, 1).
        hidden: Units of the encoder's LSTM and size of its embedding.
        steps: Training steps of VAE and SA-VAE.
        batch_size: Sentences in a step.
        learning_rate: Of Adam.
        refine_steps: K.
        antithetic: Each step's noise with its mirror image; false for the paper's single draw.
        every: Steps between looks at held-out sentences.
        grid_width: The grid of z, for the true NLL, runs from minus this to this.
        grid_step: Its step.
        seed: The first one.
        seeds: How many.

    Example:
        >>> SemiAmortizedVae(refine_steps=10).remedies["SA-VAE"]
        'semi_amortized:steps=10:antithetic=true:variant=sa'
        >>> SemiAmortizedVae(data=LstmText())
        Traceback (most recent call last):
        ValueError: semi_amortized: data has latent_dim 2 and spread 2.0, wanted 1 and 0: only then ...
    """

    data: LstmText = field(default_factory=oracle)
    hidden: int = 100
    steps: int = 300
    batch_size: int = 32
    learning_rate: float = 1e-3
    refine_steps: int = 20
    antithetic: bool = True
    every: int = 50
    grid_width: float = 6.0
    grid_step: float = 0.05
    seed: int = 0
    seeds: int = 3

    def __post_init__(self) -> None:
        """Refuse what would fail only after the training, or measure something else."""
        for name in ("steps", "every", "refine_steps", "seeds"):
            if getattr(self, name) < 1:
                raise ValueError(f"semi_amortized: {name} is {getattr(self, name)}, wanted at least 1")
        if self.data.latent_dim != 1 or self.data.spread != 0:
            raise ValueError(
                f"semi_amortized: data has latent_dim {self.data.latent_dim} and spread {self.data.spread}, wanted 1 "
                "and 0: only then is the generator's p(z) the prior of the models, and the true NLL a sum over a grid"
            )
        if not 0 < self.grid_step <= self.grid_width:
            raise ValueError(
                f"semi_amortized: grid_width is {self.grid_width} and grid_step {self.grid_step}, wanted 0 < step <= "
                "width"
            )

    def recipe(self, steps: int) -> Recipe:
        """What is trained without a remedy: an encoder before the generator itself."""
        training = Training(
            steps=steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            seed=self.seed,
            validate_every=min(self.every, steps),
        )
        return Recipe(
            self.data,
            RecurrentEncoder(self.hidden, self.hidden),
            GaussianPosterior(1),
            StandardNormal(),
            self.data.decoder(),
            Categorical(),
            ELBO(),
            Joint(),
            training,
        )

    @property
    def remedies(self) -> dict[str, str]:
        """Arm -> its remedy."""
        settings = f"steps={self.refine_steps}:antithetic={self.antithetic}".lower()
        svi, sa = (f"semi_amortized:{settings}:variant={variant}" for variant in ("svi", "sa"))
        return dict(zip(ARMS, ("none", svi, sa), strict=True))

    def run(self, folder: Path, jobs: int = 1, watch: Watch = lambda run, step, total: None) -> list[Claim]:
        """Train everything, or take up what is in the folder, and write down what was seen.

        Args:
            folder: Where the runs go, and ``semi_amortized.json`` and ``nelbo.csv`` beside them.
            jobs: Runs at a time.
            watch: Hears (run, step, total).

        Errors:
            ValueError: jobs is below 1, or the folder holds another experiment.
        """
        if jobs < 1:
            raise ValueError(f"semi_amortized: jobs is {jobs}, wanted at least 1")
        vae, svi, sa = self.remedies.values()
        plan = ((UNLEARNED, 1, [svi]), (LEARNED, self.steps, [vae, sa]))
        for part, steps, names in plan:
            compare(self.recipe(steps), names, folder / part, seeds=self.seeds, jobs=jobs, settings=EFFORT, watch=watch)
        truth = self._truth(folder)
        runs = [run for part, _, _ in plan for run in self._measured(folder, part)]
        runs.sort(key=lambda run: (run["seed"], ARMS.index(run["arm"])))
        found = claims(runs, truth["nll"])
        write_result(folder / RESULT, self, found, truth=truth, runs=runs)
        write_text(folder / TRACE, _table(folder, runs))
        return found

    def figures(self, folder: Path) -> list[Path]:
        """See :class:`Experiment`: −ELBO over training."""
        from buttress.experiments.papers._oracle_page import write_figure

        return [write_figure(folder)]

    def _truth(self, folder: Path) -> dict[str, float]:
        """The true NLL of the held-out sentences, on a grid of z; found once."""
        import torch

        from buttress.data.opened import opened
        from buttress.diagnostics.grid_posterior import grid_posterior
        from buttress.training.held_out import HeldOut

        path, grid = folder / "truth.json", {"grid_width": self.grid_width, "grid_step": self.grid_step}
        if path.exists() and (known := json.loads(path.read_text("utf-8"))).items() >= grid.items():
            return known
        splits = opened(self.data)
        with torch.random.fork_rng([]):
            model = self.recipe(1).model(splits.spec)
        found = grid_posterior(
            model, HeldOut(splits.held_out, model.observe, 0), width=self.grid_width, step=self.grid_step
        )
        nll = -found.log_marginal
        truth = {
            "nll": nll.mean().item(),
            "nll_error": nll.std().item() / math.sqrt(len(nll)),
            "posterior_scale": found.variance.sqrt().mean().item(),
            "sentences": len(nll),
            "grid_edge": found.edge,
            "grid_error": found.error,
            **grid,
        }
        write_text(path, json.dumps(truth, indent=1) + "\n")
        return truth

    def _measured(self, folder: Path, part: str) -> list[dict[str, Any]]:
        """The numbers of every finished run of a comparison."""
        arms = {remedy: arm for arm, remedy in self.remedies.items()}
        return [
            self._numbers(arms[entry["name"]], folder, f"{part}/{run}", seconds)
            for entry in json.loads((folder / part / "comparison.json").read_text("utf-8"))["arms"]
            for run, seconds in zip(entry["runs"], entry["seconds"], strict=True)
        ]

    def _numbers(self, arm: str, folder: Path, run: str, seconds: float) -> dict[str, Any]:
        """What the claims, the figure and the log are about: −ELBO at the arm's own q, and at others beside it."""
        evidence = Evidence.from_json((folder / run / "evidence.json").read_text("utf-8"))
        elbo, own = evidence.estimates["elbo"], evidence.estimates.get("elbo_amortised")
        nelbo, start = (None if e is None or e.value is None else -e.value for e in (elbo, own))
        return {
            "arm": arm,
            "seed": int(run.rpartition("-")[2]),
            "folder": run,
            "nelbo": nelbo,
            "nelbo_error": elbo.error,
            "rate": evidence.estimates["rate"].value,
            "nelbo_encoder": nelbo if arm == "VAE" else start,
            "nelbo_refined": self._refined(folder / run) if arm == "VAE" else nelbo,
            "inference": evidence.settings["inference"],
            "training_seconds": round(seconds, 1),
        }

    def _refined(self, path: Path) -> float | None:
        """−ELBO of a VAE whose q is refined at test time alone; measured once."""
        from buttress.algorithms.refined import Refined
        from buttress.diagnostics.estimators.rate import bound
        from buttress.training.run import Run

        file = path / "refined.json"
        if not file.exists():
            run: Run = Run.load(path)
            steps = SemiAmortized(refine_steps=self.refine_steps, antithetic=self.antithetic).refinement
            refined = Refined(run.model, steps)
            elbo = bound(refined, run.held_out()).elbo.value
            write_text(file, json.dumps({"nelbo": None if elbo is None else -elbo}) + "\n")
        return json.loads(file.read_text("utf-8"))["nelbo"]


def claims(runs: list[dict[str, Any]], truth: float) -> list[Claim]:
    """The paper's claims, with marks that were set before the first run.

    Args:
        runs: One dict a run, with ``arm``, ``seed`` and ``nelbo``.
        truth: The true NLL of the same sentences, in nats.

    Example:
        >>> nelbo = {"VAE": 21.5, "SVI": 22.5, "SA-VAE": 21.0}
        >>> found = claims([{"arm": arm, "seed": 0, "nelbo": nats} for arm, nats in nelbo.items()], truth=20.0)
        >>> [(claim.median, claim.held) for claim in found]  # 21.5 - 21; 21 - 20, too much; the smaller of 0.5 and 1
        [(0.5, True), (1.0, False), (0.5, True)]
    """
    seen = {(run["arm"], run["seed"]): run["nelbo"] for run in runs}
    vae, svi, sa = ([_number(seen.get((arm, seed))) for seed in sorted({s for _, s in seen})] for arm in ARMS)
    gained = tuple(v - s for v, s in zip(vae, sa, strict=True))
    behind = [s - v for s, v in zip(svi, vae, strict=True)]
    return [
        Claim("VAE above SA-VAE in −ELBO, nats", "above", 0.3, gained),
        Claim("SA-VAE's −ELBO above the true NLL, nats", "below", 0.7, tuple(s - truth for s in sa)),
        Claim(
            "order SA-VAE < VAE < SVI in −ELBO: the smaller of both steps, nats", "above", 0.0,
            tuple(map(_smaller, gained, behind)),
        ),
    ]  # fmt: skip


def _smaller(a: float, b: float) -> float:
    return math.nan if math.isnan(a + b) else min(a, b)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _table(folder: Path, runs: list[dict[str, Any]]) -> str:
    """Every look of every run at held-out sentences as CSV: −ELBO at the arm's own q."""
    from buttress.report.results import load_run

    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("arm", "seed", "step", "nelbo"))
    for run in runs:
        metrics = load_run(folder / run["folder"]).metrics
        found = None if metrics is None else metrics.curve("held_out", "elbo")
        if found is not None:
            rows.writerows((run["arm"], run["seed"], int(step), -elbo) for step, elbo in zip(*found, strict=True))
    return text.getvalue()
