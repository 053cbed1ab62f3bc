"""All rules asked of a model with its loss and a batch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from buttress.diagnostics.adapters.outputs import broken
from buttress.diagnostics.as_it_was import as_it_was
from buttress.diagnostics.lint.finding import LEVELS, SURE, LintFinding, LintReport
from buttress.diagnostics.lint.renewed import renewed
from buttress.diagnostics.lint.rule import catalogue
from buttress.diagnostics.lint.subject import Linted, Silent
from buttress.diagnostics.no_model import as_came

__all__ = ["asked", "lint"]


def lint(
    model: Any,
    loss_fn: Callable[..., Any],
    batch: Any,
    schedule: Callable[[int], float] | None = None,
    steps: int | None = None,
) -> LintReport:
    """Look for mistakes in the loss and the wiring of a VAE, from a batch and its gradients.

    The loss is taken apart by its gradients with respect to what ``model(x)`` returns: the KL by those of mu and
    logvar, the reconstruction by that of recon. No code is read, so it does not matter how the loss is written. The
    model is left as it was.

    Args:
        model: ``model(x)`` returns (recon, mu, logvar), or a dict or object with such names; several levels of z as
            (recon, [(mu, logvar), ...]) or as lists of both. It is called in training mode. Of one that returns
            something else, such as a VQ-VAE, only gradients are looked at.
        loss_fn: ``loss_fn(model, batch)``, or ``loss_fn(recon, x, mu, logvar)`` with these names; returns the loss, or
            a tuple or dict that has it first or as "loss".
        batch: x (B, ...) on the model's device, (x, label), or a dict with x first; 64 examples are enough, and a
            single one does not tell a mean over the batch from a sum.
        schedule: The weight of the rate at a step, where there is one.
        steps: How many steps training has, for the schedule.

    Returns:
        Findings, errors first, and the rules that could not be asked.

    Errors:
        ValueError: The model's output or the loss is none of what is documented.

    Example:
        >>> import torch
        >>> class Vae(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.encoder, self.decoder = nn.Linear(100, 4), nn.Linear(2, 100)
        ...     def forward(self, x):
        ...         mu, logvar = self.encoder(x).chunk(2, -1)
        ...         return self.decoder(mu + torch.randn_like(mu) * (logvar / 2).exp()), mu, logvar
        >>> def loss(recon, x, mu, logvar):
        ...     kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1).mean()
        ...     return nn.functional.mse_loss(recon, x) + kl
        >>> torch.manual_seed(0).seed() and None
        >>> print(lint(Vae(), loss, torch.randn(64, 100)).findings[0])
        error loss-reduction (certain): the squared error is averaged over the 100 values of x and the KL is summed: ...
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"the model is {as_came(model)}")
    if not callable(loss_fn):
        raise ValueError(f"loss_fn is a {type(loss_fn).__name__}, wanted a function of (model, batch)")
    subject = Linted(model, loss_fn, batch, schedule, steps)
    if subject.x.is_floating_point() and not subject.x.isfinite().all():
        rows = (~subject.x.isfinite().flatten(1).all(1)).nonzero()[:, 0]
        raise ValueError(f"x holds NaN or infinity in {len(rows)} examples, first in row {int(rows[0])}; fill them in")
    with torch.inference_mode(False), torch.enable_grad(), as_it_was((model, loss_fn)):
        with suppress(Silent):
            subject.output  # noqa: B018 - refuses a model that cannot be read before any rule is asked
        found, silent = asked(subject)
    return LintReport(tuple(found), silent, len(catalogue()))


def asked(subject: Linted) -> tuple[list[LintFinding], dict[str, str]]:
    """What all rules find on a subject, errors first, and why others could not be asked.

    Where what the model returns is not finite, rules of the loss are asked with weights drawn anew. Of several levels
    of z each is asked for.

    Args:
        subject: A model, its loss and a batch.
    """
    found, silent = _of_levels(subject)
    if _broken(subject):
        with renewed(subject.model):
            new, silent = _of_levels(replace(subject))
        found = [one for one in found if one.rule in OF_NUMBERS]
        known = {one.rule for one in found}
        found += [replace(one, evidence=f"{one.evidence}{ANEW}") for one in new if one.rule not in known]
    found.sort(key=lambda one: (LEVELS.index(one.level), SURE.index(one.sure), one.rule))
    return found, silent


OF_NUMBERS = ("dead-gradient", "log-variance")
"""Rules that say something of numbers that are not finite."""
ANEW = " (seen with weights drawn anew, since what the model returns is not finite)"


def _broken(subject: Linted) -> bool:
    try:
        return broken(subject.output) is not None
    except Silent:
        return False


def _of_levels(subject: Linted) -> tuple[list[LintFinding], dict[str, str]]:
    """The findings of each level, those that are the same for all of them once."""
    n = subject.levels
    each = [_of_one(replace(subject, level=k)) for k in range(n)] if n > 1 else [_of_one(subject)]
    common = [one for one in each[0][0] if all(one in found for found, _ in each)]
    found = list(common)
    silent: dict[str, str] = {}
    for k, (own, reasons) in enumerate(each, start=1):
        named = f"of level {k} of {n}, " if n > 1 else ""
        found += [replace(one, evidence=f"{named}{one.evidence}") for one in own if one not in common]
        for name, reason in reasons.items():
            same = all(other.get(name) == reason for _, other in each)
            silent.setdefault(name, reason if same else f"{named}{reason}")
    return found, silent


def _of_one(subject: Linted) -> tuple[list[LintFinding], dict[str, str]]:
    found: list[LintFinding] = []
    silent: dict[str, str] = {}
    for one in catalogue():
        try:
            found += one.find(subject)
        except Silent as reason:
            silent[one.name] = str(reason)
        except RuntimeError as error:
            if "use_reentrant" not in str(error):
                raise
            silent[one.name] = "gradients do not go through checkpoint(..., use_reentrant=True)"
    return found, silent
