r"""Long, Cao and Cheung 2020, On Posterior Collapse and Encoder Feature Dispersion in Sequence VAEs.

The last state of an LSTM forgets a long document, so that the features of all documents are alike and z stays empty;
features pooled over time differ and bring z into use. To tell dispersion from memory, a penalty on the cosine of
features is put on the encoder with the last state.

The documents are ``long_documents`` with four topics each, all told in the first half: 12 nats, which a decoder that
reads the words before can learn only word by word, and z at once. Their true NLL is known. All arms have the same
decoder, steps, seeds and annealing.

Deviations: synthetic documents of 40 to 50 words for Yahoo and Yelp, small LSTMs, Adam.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from buttress.core.recipe import Recipe
from buttress.data.long_documents import LongDocuments
from buttress.experiments.claim import Claim
from buttress.experiments.compare import compare
from buttress.experiments.papers._arms import claim, measured, seen
from buttress.experiments.papers._experiment import Experiment, Watch
from buttress.experiments.papers._recipes import course, sentence_vae
from buttress.experiments.papers._result import write_result

__all__ = ["LARGEST", "LAST", "MAXIMUM", "PENALTIES", "Long2020", "claims"]

LAST = "kl_annealing:fraction=0.3"
MAXIMUM, LARGEST = f"{LAST}+pooled_encoder", f"{LAST}+pooled_encoder:pooling=abs"
PENALTIES = tuple(f"{LAST}+cosine_regularization:weight={weight}" for weight in (0.1, 1.0, 10.0))


@dataclass(frozen=True)
class Long2020(Experiment):
    """Long et al. 2020: does pooling over time, or a penalty on alike features, bring z into use?

    Args:
        data: The documents.
        size: Units of both LSTMs and sizes of their embeddings.
        latents: Dimensions of z.
        steps: Training steps of each run.
        batch_size: Documents in a step.
        learning_rate: Of Adam.
        seed: The first one.
        seeds: How many.

    Example:
        >>> Long2020().data.pieces
        4
    """

    data: LongDocuments = field(default_factory=lambda: LongDocuments(shortest=40, longest=50, pieces=4, train=32_000))
    size: int = 64
    latents: int = 8
    steps: int = 4_000
    batch_size: int = 32
    learning_rate: float = 3e-3
    seed: int = 0
    seeds: int = 3

    @classmethod
    def full(cls) -> Long2020:
        """Longer documents, larger networks, half as many steps again and a smaller learning rate."""
        return cls(LongDocuments(pieces=4, train=32_000), size=128, steps=6_000, learning_rate=1e-3)

    def recipe(self) -> Recipe:
        """What is trained without a remedy."""
        return sentence_vae(self.data, (self.size, self.size, self.latents), course(self, looks=5))

    def run(self, folder: Path, jobs: int = 1, watch: Watch = lambda run, step, total: None) -> list[Claim]:
        """Train everything, or take up what is in the folder, and write ``result.json``.

        Args:
            folder: Where the runs go.
            jobs: Runs at a time.
            watch: Called with (run, step, total).
        """
        arms = [LAST, MAXIMUM, LARGEST, *PENALTIES]
        effort = {"nll_samples": 20, "nll_examples": 200, "gap_steps": 0}
        compare(self.recipe(), arms, folder / "arms", seeds=self.seeds, jobs=jobs, settings=effort, watch=watch)
        truth = self.data.true_nll().mean().item()
        runs = [{**run, "above_truth": -run["elbo"] - truth} for run in measured(folder, "arms")]
        found = claims(runs)
        write_result(folder / "result.json", self, found, runs=runs, true_nll=truth)
        return found

    def figures(self, folder: Path) -> list[Path]:
        """Rate, likeness of features and distance from the true NLL, a row an arm and a mark a seed."""
        from buttress.experiments.papers._by_setting import write_by_arm

        penalties = {arm: f"last, penalty {arm.rpartition('=')[2]}" for arm in PENALTIES}
        names = {LAST: "last state", MAXIMUM: "maximum", LARGEST: "largest magnitude", **penalties}
        panels = [
            ("rate", "rate, nats"), ("feature_cosine", "cosine of features"),
            ("above_truth", "−ELBO above the true NLL, nats"),
        ]  # fmt: skip
        return [write_by_arm(folder, names, panels)]


def claims(runs: list[dict[str, Any]]) -> list[Claim]:
    """The paper's claims, with marks that were set before the first run.

    Args:
        runs: One dict a run, with ``arm``, ``seed``, ``elbo``, ``rate`` and ``feature_cosine``.

    Example:
        >>> rows = {LAST: (0.0, 0.98), MAXIMUM: (3.0, 0.8), LARGEST: (4.0, 0.5), **dict.fromkeys(PENALTIES, (0.1, 0.0))}
        >>> runs = [{"arm": a, "seed": 0, "elbo": -140, "rate": r, "feature_cosine": c} for a, (r, c) in rows.items()]
        >>> [claim.held for claim in claims(runs)]
        [True, True, True, True, True, False, False]
    """
    rate, cosine, elbo = (
        {arm: seen(runs, arm, name) for arm in (LAST, MAXIMUM, LARGEST, *PENALTIES)}
        for name in ("rate", "feature_cosine", "elbo")
    )
    penalised = [max(values) for values in zip(*(rate[arm] for arm in PENALTIES), strict=True)]
    return [
        claim("last state: rate, nats", "below", 0.1, rate[LAST]),
        claim("maximum: rate, nats", "above", 1.0, rate[MAXIMUM]),
        claim("largest magnitude: rate, nats", "above", 1.0, rate[LARGEST]),
        claim("cosine of features with the last state above that of the maximum", "above", 0.05, cosine[LAST],
              cosine[MAXIMUM]),
        claim("cosine of features with the last state above that with a penalty of 1", "above", 0.05, cosine[LAST],
              cosine[PENALTIES[1]]),
        claim("last state with the best of three penalties: rate, nats", "above", 0.3, penalised),
        claim("−ELBO of the last state above that of the maximum, nats", "above", 0.0, elbo[MAXIMUM], elbo[LAST]),
    ]  # fmt: skip
