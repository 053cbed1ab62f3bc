r"""Razavi, van den Oord, Poole and Vinyals 2019, Preventing Posterior Collapse with delta-VAEs.

Sentences of an LSTM that follow a two-dimensional z; an LSTM decoder. Four arms with the same decoder, data and
budget: ``none``, the plain VAE; ``delta_vae``, z at every word from an anti-causal encoder under an AR(1) prior;
``causal``, the same with an encoder that knows at a word what the decoder knows, and that word; and ``independent``,
one z for the sentence, whose q is held away from N(0, I). All are trained to the same number of steps with Adam;
nothing in them is set so that they collapse. In all but the plain arm an auxiliary prior, an LSTM, is fitted to z in a
second stage.

Deviations from the paper: sentences of 11 tokens in place of images and LM1B, LSTMs in place of PixelSNAIL and
Transformer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from buttress.algorithms.joint import Joint
from buttress.core import Data, Prior, remedy
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
from buttress.priors.recurrent_normal import RecurrentNormal
from buttress.priors.standard_normal import StandardNormal
from buttress.runtime.atomic_write import write_text

__all__ = ["ARMS", "RESULT", "DeltaVAE", "claims"]

ARMS = ("none", "delta_vae", "causal", "independent")
RESULT, LEAST = "result.json", "least_excess"
SAMPLES = 4
"""Of z an example, where a rate has no closed form."""


@dataclass(frozen=True)
class DeltaVAE(Experiment):
    """Razavi et al. 2019: does a prior that no q can equal keep z in use before a strong decoder?

    Args:
        data: The sentences.
        hidden: Units of both LSTMs and size of both embeddings.
        dim: Dimensions of z: at every word in the arms with positions, and of z in the others.
        delta: The least rate of an example, in nats.
        steps: Steps of every arm, before an auxiliary prior is fitted.
        batch_size: Sentences in a step.
        learning_rate: Of Adam.
        auxiliary_steps: Steps in which it is.
        seed: The first one.
        seeds: How many.

    Example:
        >>> recipe = DeltaVAE().recipe("causal", seed=0)
        >>> recipe.encoder.backward, recipe.encoder.positions, recipe.algorithm.prior, recipe.prior
        (False, True, AR1Prior(delta=1.1), RecurrentNormal(hidden=64))
    """

    data: Data = field(default_factory=lambda: LstmText(words=200, hidden=50, train=8000, held_out=1000, test=1))
    hidden: int = 64
    dim: int = 2
    delta: float = 1.1
    steps: int = 2_500
    batch_size: int = 64
    learning_rate: float = 2e-3
    auxiliary_steps: int = 500
    seed: int = 0
    seeds: int = 3

    @classmethod
    def full(cls) -> DeltaVAE:
        """Larger sentences and networks; the paper's own sizes need accelerators."""
        return cls(data=LstmText(), hidden=256, dim=4, steps=20_000, auxiliary_steps=5000)

    def recipe(self, arm: str, seed: int) -> Recipe:
        """What is trained in an arm."""
        plain = Recipe(
            self.data,
            RecurrentEncoder(self.hidden, self.hidden),
            GaussianPosterior(self.dim),
            StandardNormal(),
            RecurrentDecoder(self.hidden, self.hidden),
            Categorical(),
            ELBO(),
            Joint(),
            Training(self.steps, self.batch_size, self.learning_rate, seed=seed, validate_every=self.steps),
        )
        if arm == "none":
            return plain
        total = self.steps + self.auxiliary_steps
        written = f"delta_vae:delta={self.delta}:dim={self.dim}:auxiliary=true:first={self.steps / total}"
        changed = remedy.apply(written + (":independent=true" if arm == "independent" else ""), plain)
        prior: Prior = RecurrentNormal(self.hidden)
        changed = replace(changed, prior=prior, training=replace(plain.training, steps=total))
        encoder: Any = changed.encoder
        return replace(changed, encoder=encoder.replace(backward=False)) if arm == "causal" else changed

    def run(self, folder: Path, jobs: int = 1, watch: Watch = lambda run, step, total: None) -> list[Claim]:
        """Train all arms with all seeds, or take up what is in the folder, and write down what was seen.

        Args:
            folder: Where the runs go, and ``result.json`` beside them.
            jobs: Not used: the runs are short.
            watch: Called with (run, step, total).
        """
        runs = [
            self._one(arm, seed, folder, watch) for seed in range(self.seed, self.seed + self.seeds) for arm in ARMS
        ]
        found = claims(runs)
        write_result(folder / RESULT, self, found, runs=runs)
        return found

    def figures(self, folder: Path) -> list[Path]:
        """Rate and distortion of every run, with delta as a line."""
        from matplotlib.figure import Figure

        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        figure = Figure(figsize=(5, 3.6), layout="constrained")
        axes = figure.subplots()
        for arm, mark in zip(ARMS, "osxd", strict=True):
            own = [run for run in result["runs"] if run["arm"] == arm]
            axes.scatter([run["rate"] for run in own], [run["distortion"] for run in own], marker=mark, label=arm)
        axes.axvline(result["settings"]["delta"], color="grey", linewidth=1, linestyle="--", label="delta")
        axes.set(xlabel="rate, nats", ylabel="distortion, nats")
        axes.legend()
        path = folder / "rate_distortion.png"
        figure.savefig(path, dpi=130)
        return [path]

    def _one(self, arm: str, seed: int, folder: Path, watch: Watch) -> dict[str, Any]:
        """One run and what was measured on it; measured once."""
        from buttress.training.run import train

        path = folder / arm / f"seed-{seed}"
        seen = path / "seen.json"
        watch(f"{arm}/seed-{seed}", 0, self.steps)
        if not seen.exists():
            recipe = self.recipe(arm, seed)
            run = train(recipe, path, resume=(path / "recipe.yaml").exists(), progress=False)
            write_text(seen, json.dumps(self._measure(run, seed)))
        watch(f"{arm}/seed-{seed}", self.steps, self.steps)
        return {"arm": arm, "seed": seed, **json.loads(seen.read_text(encoding="utf-8"))}

    def _measure(self, run: Any, seed: int) -> dict[str, float | None]:
        """Rate and ELBO under the prior of training, excess over delta, the worth of z, and the auxiliary rate."""
        from buttress.diagnostics.estimators.worth import worth

        model, data, rows = run.model, run.held_out(), []
        first = run.recipe.algorithm.first_prior(model) or model.prior
        torch.manual_seed(seed)
        with torch.no_grad():
            for i in range(len(data)):
                x, given = data[i].x, data[i].given
                terms, own = (model(x, SAMPLES, prior, given=given) for prior in (first(given), None))
                rate = terms.latent.rate.sum(-1)
                floor = self.delta if run.recipe.posterior.name() == "committed_gaussian" else 0.0
                rate_over = rate - getattr(first(given), "committed", floor)
                rows.append(torch.stack([rate, terms.distortion.mean(0), rate_over, own.latent.rate.sum(-1)]))
        rates, distortions, excess, auxiliary = torch.cat(rows, 1)
        return {
            "rate": rates.mean().item(),
            "distortion": distortions.mean().item(),
            "elbo": -(rates + distortions).mean().item(),
            "least_excess": excess.min().item(),
            "excess": excess.mean().item(),
            "worth_shuffled": worth(model, data).shuffled.value,
            "auxiliary_rate": auxiliary.mean().item() if first is not model.prior else None,
        }


def claims(runs: list[dict[str, Any]]) -> list[Claim]:
    """The paper's claims. The marks were set before the run; none asks for a better ELBO at this scale.

    Args:
        runs: One dict a run, as ``result.json`` has them.
    """
    plain, delta, causal, independent = ([run for run in runs if run["arm"] == arm] for arm in ARMS)

    def seen(some: list[dict[str, Any]], name: str) -> tuple[float, ...]:
        return tuple(run[name] for run in some)

    saved, also = (tuple(run["rate"] - run["auxiliary_rate"] for run in some) for some in (delta, independent))
    gained = tuple(a["excess"] - b["excess"] for a, b in zip(delta, causal, strict=True))
    bound = tuple(p["elbo"] - (d["elbo"] + s) for p, d, s in zip(plain, delta, saved, strict=True))
    return [
        Claim("plain: rate at the end, nats", "below", 0.1, seen(plain, "rate")),
        Claim("delta-VAE: least rate of an example less delta, nats", "above", -1e-4, seen(delta, LEAST)),
        Claim("delta-VAE: nats lost when z is shuffled", "above", 0.5, seen(delta, "worth_shuffled")),
        Claim("delta-VAE: rate saved by the auxiliary prior, nats", "above", 0.0, saved),
        Claim("anti-causal less causal: rate above delta, nats", "above", 0.0, gained),
        Claim("-ELBO of delta-VAE with auxiliary prior less that of plain, nats", "below", 1.0, bound),
        Claim("independent: least rate of an example less delta, nats", "above", -1e-4, seen(independent, LEAST)),
        Claim("independent: nats lost when z is shuffled", "above", 0.5, seen(independent, "worth_shuffled")),
        Claim("independent: rate saved by the auxiliary prior, nats", "above", 0.0, also),
    ]
