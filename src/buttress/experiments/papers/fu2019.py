r"""Fu, Li, Liu, Gao, Celikyilmaz and Carin 2019, Cyclical Annealing Schedule: the toy of ten one-hot sequences.

An LSTM VAE with z of two dimensions learns ten sequences. Its decoder can be right without z ($-\mathrm{ELBO} = \ln 10$
either way), so the bound ties and the mutual information, at most $\ln 10$, shows what a schedule does to z. All arms
have the same network, steps and seeds. Beside the monotonic ramp over a quarter of the steps, as in the authors'
figures, stands one over half of them, whose weights have the same mean over training as those of the cycles: what
it lacks, the restarts bring.

Deviations: an encoder and decoder of 32 units, Adam at 1e-3 throughout (the authors' code restarts its learning rate
with each cycle in the cyclical arm alone), a weight that starts at 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from buttress.core.recipe import Recipe
from buttress.data.one_hot_sequences import OneHotSequences
from buttress.experiments.claim import Claim
from buttress.experiments.compare import compare
from buttress.experiments.papers._arms import claim, measured, seen
from buttress.experiments.papers._experiment import Experiment, Watch
from buttress.experiments.papers._recipes import course, sentence_vae
from buttress.experiments.papers._result import write_result

__all__ = ["CONSTANT", "CYCLICAL", "MONOTONIC", "SAME_MEAN", "Fu2019", "claims"]

CONSTANT, MONOTONIC = "none", "kl_annealing:fraction=0.25"
SAME_MEAN, CYCLICAL = "kl_annealing:fraction=0.5", "cyclical_annealing:cycles=4:ratio=0.5"


@dataclass(frozen=True)
class Fu2019(Experiment):
    """Fu et al. 2019: does annealing in cycles keep more information in z than a single ramp?

    Args:
        data: The sequences.
        hidden: Units of both LSTMs and sizes of their embeddings.
        latents: Dimensions of z.
        steps: Training steps of each run.
        batch_size: Sequences in a step.
        learning_rate: Of Adam.
        seed: The first one.
        seeds: How many.

    Example:
        >>> Fu2019().recipe().posterior.dim
        2
    """

    data: OneHotSequences = field(default_factory=OneHotSequences)
    hidden: int = 32
    latents: int = 2
    steps: int = 3_000
    batch_size: int = 50
    learning_rate: float = 1e-3
    seed: int = 0
    seeds: int = 3

    @classmethod
    def full(cls) -> Fu2019:
        """Ten times as many steps."""
        return cls(steps=30_000)

    def recipe(self) -> Recipe:
        """What is trained without annealing."""
        sizes = (self.hidden, self.hidden, self.latents)
        return sentence_vae(self.data, sizes, course(self, looks=60, saves=3))

    def run(self, folder: Path, jobs: int = 1, watch: Watch = lambda run, step, total: None) -> list[Claim]:
        """Train everything, or take up what is in the folder, and write ``result.json``.

        Args:
            folder: Where the runs go.
            jobs: Runs at a time.
            watch: Called with (run, step, total).
        """
        arms = [CONSTANT, MONOTONIC, SAME_MEAN, CYCLICAL]
        effort = {"nll_samples": 0, "gap_steps": 0}
        compare(self.recipe(), arms, folder / "arms", seeds=self.seeds, jobs=jobs, settings=effort, watch=watch)
        runs = measured(folder, "arms")
        found = claims(runs)
        write_result(folder / "result.json", self, found, runs=runs)
        return found

    def figures(self, folder: Path) -> list[Path]:
        """Mutual information over training, a line a seed."""
        from buttress.experiments.papers._by_setting import write_course

        names = {CONSTANT: "constant", MONOTONIC: "monotonic", SAME_MEAN: "monotonic, same mean", CYCLICAL: "cyclical"}
        return [write_course(folder, names, "mutual_information", "mutual information, nats")]


def claims(runs: list[dict[str, Any]]) -> list[Claim]:
    """The paper's claims, with marks that were set before the first run.

    Args:
        runs: One dict a run, with ``arm``, ``seed``, ``elbo`` and ``mutual_information``.

    Example:
        >>> nats = {CONSTANT: 0.0, MONOTONIC: 0.1, SAME_MEAN: 0.5, CYCLICAL: 1.2}
        >>> runs = [{"arm": arm, "seed": 0, "elbo": -2.3, "mutual_information": i} for arm, i in nats.items()]
        >>> [claim.held for claim in claims(runs)]
        [True, True, True, True, True, False]
    """
    known = {arm: seen(runs, arm, "mutual_information") for arm in (CONSTANT, MONOTONIC, SAME_MEAN, CYCLICAL)}
    elbo = {arm: seen(runs, arm, "elbo") for arm in (MONOTONIC, CYCLICAL)}
    more = "mutual information of cyclical above that of"
    return [
        claim("cyclical: mutual information, nats", "above", 0.8, known[CYCLICAL]),
        claim("monotonic: mutual information, nats", "below", 0.8, known[MONOTONIC]),
        claim(f"{more} monotonic, nats", "above", 0.3, known[CYCLICAL], known[MONOTONIC]),
        claim(f"{more} monotonic with the same mean weight, nats", "above", 0.3, known[CYCLICAL], known[SAME_MEAN]),
        claim("−ELBO of cyclical above that of monotonic, nats", "below", 0.1, elbo[MONOTONIC], elbo[CYCLICAL]),
        claim("−ELBO of monotonic above that of cyclical, nats", "above", 0.0, elbo[CYCLICAL], elbo[MONOTONIC]),
    ]
