"""The decoder gets the mean of q in place of a sample: an autoencoder with a penalty, and no VAE."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from buttress.diagnostics.lint.finding import LintFinding
from buttress.diagnostics.lint.quiet import no_dropout, seeded
from buttress.diagnostics.lint.reached import reached, stirred, thawed
from buttress.diagnostics.lint.rule import rule
from buttress.diagnostics.lint.subject import Linted, Silent


@rule
def no_sampling(subject: Linted) -> Iterator[LintFinding]:
    """Whether reconstructions are the same under other draws, in training mode without dropout."""
    found = []
    with torch.no_grad(), no_dropout(subject.model), stirred(subject.model):
        for seed in (1, 2):
            with seeded(subject.model, seed):
                found.append(subject.outputs_of(subject.batch))
    if not bool((found[0].log_variance > -FROZEN).any()):
        raise Silent("q is so narrow that a sample is its mean")
    if torch.equal(found[0].recon, found[1].recon):
        with seeded(subject.model), stirred(subject.model), thawed(subject.model):
            recon, mean, _ = subject.outputs_of(subject.batch).values
            heard = reached(recon, mean)
        if not heard:
            raise Silent("the reconstruction does not depend on z at all")
        yield LintFinding(
            "no-sampling", "error", "certain",
            "reconstructions in training mode are the same whatever is drawn, though q has a variance",
            "decode z = mu + exp(0.5 * logvar) * randn_like(mu) in training",
        )  # fmt: skip


FROZEN = 30.0
"""exp(-30): a variance that float32 does not see beside a mean of 1."""
