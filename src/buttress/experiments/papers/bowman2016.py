r"""Bowman, Vilnis, Vinyals, Dai, Jozefowicz and Bengio 2016, Generating Sentences from a Continuous Space.

An LSTM VAE of sentences ignores z; annealing the rate and hiding words from the decoder brings z into use; and where
the decoder reads no words at all, a VAE is a better model than the same decoder without z. In the paper the VAE with a
normal decoder is no better than the language model (NLL 101 with a KL of 2, against 100), the inputless one is (125
with a KL of 15, against 135).

The language model without words is the same recipe with a weight of 1,000 on the rate, which leaves z empty: its
−ELBO is then its NLL but for the rate, which is a claim of its own. −ELBO of the VAE is a bound, so that a VAE that is
better by it is better.

Deviations: by default the sentences of ``lstm_text``, all of ten words, so that z cannot win by encoding length; small
LSTMs; a linear ramp in place of a sigmoid. Sentences of your own go into ``data``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from buttress.core import Data
from buttress.core.recipe import Recipe
from buttress.data.lstm_text import LstmText
from buttress.experiments.claim import Claim
from buttress.experiments.compare import compare
from buttress.experiments.papers._arms import claim, measured, seen
from buttress.experiments.papers._experiment import Experiment, Watch
from buttress.experiments.papers._recipes import course, sentence_vae
from buttress.experiments.papers._result import write_result

__all__ = ["DROPPED", "INPUTLESS", "LANGUAGE_MODEL", "PLAIN", "Bowman2016", "claims"]

PLAIN, DROPPED = "none", "kl_annealing:fraction=0.3+word_dropout:rate=0.75"
INPUTLESS, LANGUAGE_MODEL = "kl_annealing:fraction=0.3+inputless_decoder", "inputless_decoder+beta_vae:beta=1000"


@dataclass(frozen=True)
class Bowman2016(Experiment):
    """Bowman et al. 2016: does a sentence VAE collapse, and do annealing, word dropout and no inputs prevent it?

    Args:
        data: Sentences.
        embedding: Size of a word's vector.
        hidden: Units of both LSTMs.
        latents: Dimensions of z.
        steps: Training steps of each run.
        batch_size: Sentences in a step.
        learning_rate: Of Adam.
        seed: The first one.
        seeds: How many.

    Example:
        >>> Bowman2016().recipe().decoder.word_dropout
        0.0
    """

    data: Data = field(default_factory=LstmText)
    embedding: int = 50
    hidden: int = 50
    latents: int = 4
    steps: int = 1_500
    batch_size: int = 32
    learning_rate: float = 3e-3
    seed: int = 0
    seeds: int = 3

    @classmethod
    def full(cls) -> Bowman2016:
        """Wider networks and twenty times as many steps; the Penn Treebank goes into ``data``."""
        return cls(embedding=256, hidden=256, latents=16, steps=50_000, learning_rate=1e-3)

    def recipe(self) -> Recipe:
        """What is trained without a remedy."""
        return sentence_vae(self.data, (self.embedding, self.hidden, self.latents), course(self, looks=10))

    def run(self, folder: Path, jobs: int = 1, watch: Watch = lambda run, step, total: None) -> list[Claim]:
        """Train everything, or take up what is in the folder, and write ``result.json``.

        Args:
            folder: Where the runs go.
            jobs: Runs at a time.
            watch: Called with (run, step, total).
        """
        arms = [PLAIN, DROPPED, INPUTLESS, LANGUAGE_MODEL]
        effort = {"nll_samples": 100, "nll_examples": 200, "gap_steps": 0}
        compare(self.recipe(), arms, folder / "arms", seeds=self.seeds, jobs=jobs, settings=effort, watch=watch)
        runs = measured(folder, "arms")
        found = claims(runs)
        write_result(folder / "result.json", self, found, runs=runs)
        return found

    def figures(self, folder: Path) -> list[Path]:
        """The rate over training, a line a seed, and −ELBO and rate at the end."""
        from buttress.experiments.papers._by_setting import write_by_arm, write_course

        names = {
            PLAIN: "VAE", DROPPED: "annealing, word dropout", INPUTLESS: "inputless VAE, annealing",
            LANGUAGE_MODEL: "inputless LM",
        }  # fmt: skip
        return [
            write_course(folder, names, "rate", "rate, nats"),
            write_by_arm(folder, names, [("elbo", "ELBO, nats"), ("rate", "rate, nats")]),
        ]


def claims(runs: list[dict[str, Any]]) -> list[Claim]:
    """The paper's claims, with marks that were set before the first run.

    Args:
        runs: One dict a run, with ``arm``, ``seed``, ``elbo`` and ``rate``.

    Example:
        >>> seen = {PLAIN: (-46.0, 0.0), DROPPED: (-47.0, 1.0), INPUTLESS: (-50.0, 3.0), LANGUAGE_MODEL: (-55.0, 0.0)}
        >>> runs = [{"arm": arm, "seed": 0, "elbo": elbo, "rate": rate} for arm, (elbo, rate) in seen.items()]
        >>> [claim.held for claim in claims(runs)]
        [True, True, True, True, True]
    """
    rate = {arm: seen(runs, arm, "rate") for arm in (PLAIN, DROPPED, INPUTLESS, LANGUAGE_MODEL)}
    elbo = {arm: seen(runs, arm, "elbo") for arm in (INPUTLESS, LANGUAGE_MODEL)}
    return [
        claim("VAE: rate, nats", "below", 0.1, rate[PLAIN]),
        claim("annealing and word dropout: rate above that of the VAE, nats", "above", 0.3, rate[DROPPED], rate[PLAIN]),
        claim("inputless VAE: rate, nats", "above", 0.8, rate[INPUTLESS]),
        claim("inputless LM: rate, nats (it is to have no z)", "below", 0.01, rate[LANGUAGE_MODEL]),
        claim(
            "−ELBO of the inputless LM above that of the inputless VAE, nats", "above", 0.5, elbo[INPUTLESS],
            elbo[LANGUAGE_MODEL],
        ),
    ]  # fmt: skip
