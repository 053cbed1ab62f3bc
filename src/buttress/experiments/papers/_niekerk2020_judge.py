"""What :mod:`buttress.experiments.papers.niekerk2020` measures of a run beside its diagnosis: ABX and probes."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from buttress.core import Examples
from buttress.diagnostics.evaluation import evaluating
from buttress.experiments.abx import Stage, stages, tokens
from buttress.quality.abx import abx
from buttress.training.held_out import HeldOut
from buttress.training.place_labels import place_labels
from buttress.training.run import Run

__all__ = ["AFTER", "BEFORE", "errors", "judge", "places", "probe"]

BEFORE, AFTER = "before quantisation", "after quantisation"
PROBED = 4000
"""Places that a probe learns from, at most."""


def judge(run: Run, speaker: str, most: int, examples: int) -> dict[str, float]:
    """ABX errors of codes and of what they are made of, and what probes read of speaker and phone there.

    Args:
        run: A trained run whose z is made of codes.
        speaker: The column that says who speaks.
        most: Sounds of a phone and speaker in the ABX test, at most.
        examples: Training recordings that the probes learn from, at most.
    """
    known = stages(run)
    found: dict[str, float] = {}
    for name, stage in {"vectors": BEFORE, "codewords": AFTER, "codes": "codes"}.items():
        found |= {f"{name}_{where}": e for where, e in errors(run, known[stage], speaker, most).items()}
    for name, stage in {"vectors": BEFORE, "codewords": AFTER}.items():
        found |= {f"{name}_{what}": a for what, a in _probed(run, known[stage], speaker, examples).items()}
    return found


def errors(run: Run, stage: Stage, speaker: str, most: int) -> dict[str, float]:
    """The ABX errors ``across`` and ``within`` speakers of one representation."""
    sounds = tokens(run, stage, speaker).at_most(most)
    return {where: abx(sounds, where == "across").error for where in ("across", "within")}


def _probed(run: Run, stage: Stage, speaker: str, examples: int) -> dict[str, float]:
    """How often a probe that learned from training recordings is right of held-out places: speaker and phone."""
    splits = run.splits()
    sides = [places(run, side, stage, speaker, n) for side, n in ((splits.train, examples), (splits.held_out, None))]
    (vectors, who, phone), (others, who_there, phone_there) = sides
    return {"speaker": probe(vectors, who, others, who_there), "phone": probe(vectors, phone, others, phone_there)}


def places(
    run: Run, examples: Examples, stage: Stage, speaker: str, most: int | None
) -> tuple[Shaped[Tensor, "N *D"], Int[Tensor, " N"], Int[Tensor, " N"]]:
    """What is at every place within a phone (a vector or a code), its speaker and its phone.

    Args:
        run: A run whose z has places in time.
        examples: Of its data, which say what is said when.
        stage: What is read.
        speaker: The column that says who speaks.
        most: Recordings, at most; None for all.
    """
    batches = HeldOut(examples, run.model.observe, 0, most=most)
    vectors, who, phones = [], [], []
    with evaluating(run.model):
        for batch in map(batches.__getitem__, range(len(batches))):
            index = batch.given["index"]
            phone = place_labels(run.model, examples, index)
            assert phone is not None  # the data have been looked at
            there = phone >= 0
            vectors.append(stage.read(batch)[there])
            phones.append(phone[there])
            who.append(examples.conditions[speaker][index][:, None].expand_as(phone)[there])
    return torch.cat(vectors), torch.cat(who), torch.cat(phones)


def probe(
    vectors: Float[Tensor, "N D"], labels: Int[Tensor, " N"], others: Float[Tensor, "M D"], wanted: Int[Tensor, " M"]
) -> float:
    """The share of other vectors whose label a logistic regression on some finds.

    Args:
        vectors: To learn from; of many, some drawn at random.
        labels: Theirs.
        others: To be tested on.
        wanted: Theirs.

    Example:
        >>> x = torch.tensor([[-1.0], [1.0]]).repeat(20, 1)
        >>> probe(x, torch.tensor([0, 1]).repeat(20), torch.tensor([[2.0], [-3.0]]), torch.tensor([1, 1]))
        0.5
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    kept = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(0))[:PROBED]
    mean, std = vectors.mean(0), vectors.std(0).clamp(min=1e-6)
    regression: Any = LogisticRegression(max_iter=300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit(((vectors[kept] - mean) / std).numpy(), labels[kept].numpy())
    found = regression.predict(((others - mean) / std).numpy())
    return float((torch.from_numpy(found) == wanted).double().mean())
