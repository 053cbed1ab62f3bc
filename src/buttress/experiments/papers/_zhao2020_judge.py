"""What :mod:`buttress.experiments.papers.zhao2020` measures of a run beside its diagnosis."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from buttress.core import Batch
from buttress.data.reading.tokens import decode
from buttress.distributions.code_counts import CodeCounts, entropy
from buttress.experiments.examples import decoded, latent_of, posterior_of, seeded, some_held_out
from buttress.experiments.transfer import LabelledCodes, rewrite, scores, sources
from buttress.quality.bleu import bleu
from buttress.training.run import Run

__all__ = ["judge", "use_of_codes"]


def judge(run: Run, count: int) -> dict[str, Any]:
    """BLEU of greedy reconstructions; where z is made of codes also their use, and what swapping them does.

    Args:
        run: A trained run on sentences.
        count: Sentences that are reconstructed, and rewritten towards each label.
    """
    raw = some_held_out(run, count)
    with seeded(0):
        z = latent_of(posterior_of(run, raw), mean=True)
        texts = decode(run.spec, decoded(run, z, temperature=0.0))
    found: dict[str, Any] = {"bleu_greedy": bleu(texts, decode(run.spec, raw.x))}
    if run.model.space.classes is None:
        return found
    found |= use_of_codes(z, run.model.space.classes)
    return found | _rewritten(run, count) if "label" in run.splits().train.conditions else found


def use_of_codes(z: Int[Tensor, "B M"], codes: int) -> dict[str, float]:
    """Perplexity of the one codebook, and of each position alone; the fewest different codes at a position.

    Args:
        z: Codes of held-out sentences.
        codes: K.

    Example:
        >>> use_of_codes(torch.tensor([[0, 1], [0, 2]]), codes=4)["fewest_codes"]
        1
    """
    counts = CodeCounts(codes).add(z)
    return {
        "perplexity": float(entropy(counts.table.sum(0)).exp()),
        "perplexity_of_positions": float(counts.perplexities.mean()),
        "fewest_codes": int((counts.table > 0).sum(1).min()),
    }


def _rewritten(run: Run, count: int) -> dict[str, float]:
    """Scores of sentences moved to every label from the others, by telling codes and by random ones; means."""
    known = LabelledCodes(run)
    held_out = run.splits().held_out
    found: dict[str, list[float]] = {}
    for label in known.told.classes:
        raw = sources(run, label, count)
        for kind, random in (("moved", False), ("random", True)):
            for name, value in scores(rewrite(known, raw, label, random=random), known.judge).items():
                found.setdefault(f"{kind}_{name}", []).append(value)
    means = {name: sum(values) / len(values) for name, values in found.items()}
    some = torch.arange(min(len(held_out), 1000))
    return means | {"told_by_codes": _right(known, held_out.read(some)), "told_by_words": _judged(run, known, some)}


def _right(known: LabelledCodes, raw: Batch) -> float:
    """The share of held-out sentences whose label their codes tell."""
    classes = torch.tensor(known.told.classes)
    found = classes[known.told.log_p(known.codes_of(raw)).argmax(1)]
    return float((found == raw.given["label"]).double().mean())


def _judged(run: Run, known: LabelledCodes, some: Tensor) -> float:
    """The share of held-out sentences whose label the judge finds."""
    held_out = run.splits().held_out
    found = known.judge(decode(run.spec, held_out.batch(some)))
    return float((found == held_out.conditions["label"][some]).double().mean())
