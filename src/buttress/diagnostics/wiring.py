r"""What a module's ``forward`` and its loss show that its numbers do not: the rules of the linter, asked by a
diagnosis.

A diagnosis looks at q and p(x|z). Whether ``forward`` decodes a sample of q, whether gradients come back to the
encoder, and what the loss is, are not in them. So some examples go through ``forward`` in training mode, as the linter
does it (:mod:`buttress.diagnostics.lint`), and every mistake that a rule finds becomes a number ``wiring/<rule>`` whose
note is the rule's sentence; ``wiring/loss`` says that a loss was there. Where there is one, the weight of the rate in
it is known as well: the weight of its KL over that of its reconstruction, in units of the likelihood that was named,

$$ \beta = \frac{C}{W}, \qquad \text{of a squared error} \quad \beta = \frac{C}{W \sigma^2} $$

with $W = 1 / \sigma^2$ for half of a squared error of weight 1. The rows and buffers of the module stay as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from buttress.core.batch import Batch
from buttress.diagnostics.adapters.library_model import found_in
from buttress.diagnostics.adapters.loaders import loaded
from buttress.diagnostics.adapters.outputs import RECON, in_precision_of
from buttress.diagnostics.adapters.signatures import by_name_alone, takes_condition
from buttress.diagnostics.as_it_was import as_it_was
from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.lint.finding import LintFinding
from buttress.diagnostics.lint.quiet import seeded
from buttress.diagnostics.lint.run import asked
from buttress.diagnostics.lint.subject import Linted, Silent
from buttress.diagnostics.lint.weights import weights
from buttress.diagnostics.passes import as_batch
from buttress.diagnostics.protocol import Batches

__all__ = ["ROWS", "Wiring", "batch_of", "gradient_of_x", "loss_mistakes", "some_of", "wiring_of"]

ROWS = 128
"""Examples that are looked at."""
ENOUGH = 32
"""Examples from which on a batch is taken as it comes; smaller ones are joined."""
ELSEWHERE = ("optimum-collapsed", "output-range", "rectified-latent", "straight-through")
"""Rules that a cause of the diagnosis asks by itself, with more examples, or that say nothing of why z is not used."""
VARIANCES = {"mse": 0.5}
"""sigma^2 of a likelihood that has no other; "gaussian" is told its own."""


@dataclass(frozen=True)
class Wiring:
    """What was found.

    Args:
        found: ``wiring/<rule>`` -> 1, with the rule's sentence as its note.
        beta: Weight of the rate in the loss; None where that is not known.

    Example:
        >>> Wiring().found
        {}
    """

    found: Mapping[str, Estimate] = field(default_factory=dict)
    beta: float | None = None


def wiring_of(
    module: nn.Module, batch: Any, loss_fn: Callable[..., Any] | None, likelihood: str, variance: float | None
) -> Wiring:
    """Ask the rules of the linter.

    Args:
        module: ``module(x)`` returns (recon, mu, logvar), perhaps with a "loss".
        batch: As the module's training loop has it.
        loss_fn: As :func:`buttress.diagnostics.lint.run.lint` takes it; None for a "loss" that the module returns.
        likelihood: As it was named for the diagnosis.
        variance: Of "gaussian".

    Errors:
        ValueError: ``loss_fn`` is given, and is none of what is documented.

    Example:
        >>> class Vae(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.encoder, self.decoder = nn.Linear(100, 4), nn.Linear(2, 100)
        ...     def forward(self, x):
        ...         mu, logvar = self.encoder(x).chunk(2, -1)
        ...         return self.decoder(mu), mu, logvar
        >>> torch.manual_seed(0).seed() and None
        >>> def loss(recon, x, mu, logvar):
        ...     return nn.functional.mse_loss(recon, x) + 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1).mean()
        >>> found = wiring_of(Vae(), torch.randn(64, 100), loss, "mse", None)
        >>> sorted(found.found), round(found.beta, 3)
        (['wiring/loss', 'wiring/loss-reduction', 'wiring/no-sampling'], 100.0)
    """
    try:
        subject = Linted(module, loss_fn, batch)
        subject = Linted(module, loss_fn, subject.part(slice(0, ROWS)))
        with torch.inference_mode(False), torch.enable_grad(), as_it_was((module, loss_fn)):
            findings, _ = asked(subject)
            if loss_fn is not None:
                _check_finite(subject, findings)
            beta, read = _beta(subject, findings, likelihood, variance)
            seen = {"wiring/loss": _one(subject, "the loss was looked at")} if read else {}
            return Wiring({**_kept(subject, findings), **seen}, beta)
    except Exception:
        if loss_fn is not None:
            raise
        return Wiring()  # forward may want something else in training: then nothing is known of it


def _check_finite(subject: Linted, findings: list[LintFinding]) -> None:
    with seeded(subject.model):  # with gradients, as a loss may call backward()
        value = subject.value(subject.batch)
    if not value.isfinite():
        raise ValueError(
            f"loss_fn gives {value.item()} on {len(subject.x)} examples, wanted a finite number{_mistakes(findings)}"
        )


def loss_mistakes(model: Any, data: Any, loss_fn: Callable[..., Any] | None) -> str:
    """What the linter says of the loss of a model that cannot be measured, as the end of a sentence; empty where
    it says nothing.

    A KL that is subtracted ends in weights that are not finite: the loss still shows it.

    Args:
        model: That was refused.
        data: What the diagnosis was given.
        loss_fn: As :func:`wiring_of` takes it.

    Example:
        >>> loss_mistakes(nn.Linear(2, 2), torch.zeros(4, 2), None)
        ''
    """
    if not isinstance(model, nn.Module):
        return ""
    try:
        came = loaded(data)
        subject = Linted(model, loss_fn, batch_of(model, data, some_of(came.batches), came.names))
        with torch.inference_mode(False), torch.enable_grad(), as_it_was((model, loss_fn)):
            findings, _ = asked(subject)
    except Exception:  # the model was refused, and this only adds to why
        return ""
    return _mistakes(findings)


def _mistakes(findings: list[LintFinding]) -> str:
    wrong = (one for one in findings if one.level == "error" and one.rule not in (*ELSEWHERE, "dead-gradient"))
    return "".join(f"; the linter says: {one.evidence}; {one.change}" for one in wrong)


def _kept(subject: Linted, findings: list[LintFinding]) -> dict[str, Estimate]:
    """Mistakes by rule; what follows from a z that does not get through is left out."""
    errors = {one.rule: one for one in findings[::-1] if one.level == "error" and one.rule not in ELSEWHERE}
    told = {rule: f"{one.evidence}; {one.change}" for rule, one in errors.items()}
    dead = told.pop("dead-gradient", None)
    dead = dead if dead is not None and "reaches the encoder" in dead else None
    if "z-unreached" in errors:
        told.pop("no-sampling", None)
        recon = subject.output.recon
        if len(recon) > 1 and not torch.equal(recon, recon[:1].expand_as(recon)):
            dead = told.pop("z-unreached")
    if dead is not None:
        told["no-gradient"] = dead
    return {f"wiring/{rule}": _one(subject, note) for rule, note in sorted(told.items())}


def _one(subject: Linted, note: str) -> Estimate:
    return Estimate(1.0, None, len(subject.x), "forward and gradients of a batch", note=note)


def _beta(
    subject: Linted, findings: list[LintFinding], likelihood: str, variance: float | None
) -> tuple[float | None, bool]:
    """The weight of the rate in units of the likelihood, and whether a loss was read."""
    try:
        subject.pieces  # noqa: B018 - whether the loss can be taken apart
        w = weights(subject)
    except Silent as reason:
        free = any(one.rule == "kl-missing" and one.level == "warning" for one in findings)
        seen = not any(told in str(reason) for told in ("no loss function", "is not made of"))
        return (0.0 if free else None), seen
    known = VARIANCES.get(likelihood, variance) if w.formula == "squared error" else 1.0
    alike = (w.formula == "squared error") == (likelihood in (*VARIANCES, "gaussian"))
    if known is None or not alike or w.likelihood_over_batch != w.kl_over_batch or not w.beta > 0:
        return None, True
    return w.beta / known, True


def batch_of(module: nn.Module, data: Any, batch: Batch, names: Mapping[str, str]) -> Any:
    """A batch as the module's loss has it: the first of a loader as it came, else x with what the module reads.

    Args:
        module: Takes x, or x and a label, or all by name.
        data: What the diagnosis was given.
        batch: The first of its batches.
        names: What the data call "x" and "label".

    Example:
        >>> batch_of(nn.Linear(2, 2), torch.zeros(9, 2), Batch(torch.zeros(9, 2)), {}).shape
        torch.Size([9, 2])
    """
    x = in_precision_of(module, batch.x)
    if by_name_alone(module):
        return {names.get(name, name): value for name, value in {"x": x, **batch.given}.items()}
    if isinstance(data, torch.utils.data.DataLoader) and isinstance(came := _some_of(data), tuple | list | Mapping):
        return came
    return (x, batch.given["label"]) if takes_condition(module) and "label" in batch.given else x


def some_of(batches: Batches) -> Batch:
    """The first batch, joined with further ones of its shape where it has few examples.

    Example:
        >>> len(some_of([torch.zeros(1, 2)] * 50))
        32
    """
    found = as_batch(batches[0])
    for i in range(1, len(batches)):
        if len(found) >= ENOUGH:
            break
        one = as_batch(batches[i])
        joined = _joined({"x": found.x, **found.given}, {"x": one.x, **one.given})
        if joined is None:
            break
        found = Batch(joined.pop("x"), joined)
    return found


def _some_of(loader: Any) -> Any:
    """The first batch of a loader, or where it is small as many as have :data:`ENOUGH` examples, joined."""
    joined: Any = None
    for batch in loader:
        more = batch if joined is None else _joined(joined, batch)
        if more is None:
            break
        joined = more
        if _length(joined) >= ENOUGH:
            break
    return joined


def _joined(one: Any, other: Any) -> Any:
    """Two batches as one; None where their parts have no common shape."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.cat([one, other]) if one.dim() and one.shape[1:] == other.shape[1:] else None
    if isinstance(one, Mapping) and isinstance(other, Mapping) and one.keys() == other.keys():
        parts = {name: _joined(value, other[name]) for name, value in one.items()}
        return None if any(part is None for part in parts.values()) else parts
    if isinstance(one, tuple | list) and len(one) == len(other):
        row = [_joined(a, b) for a, b in zip(one, other, strict=True)]
        return None if any(part is None for part in row) else type(one)(row) if type(one) in (tuple, list) else None
    return None


def _length(batch: Any) -> int:
    value = next(iter(batch.values())) if isinstance(batch, Mapping) else batch
    value = value[0] if isinstance(value, tuple | list) else value
    return len(value) if isinstance(value, Tensor) and value.dim() else ENOUGH


def gradient_of_x(module: nn.Module, x: Tensor) -> bool | None:
    """Whether a gradient goes from the reconstruction back to x; None where ``forward`` or x allow none.

    A quantiser without a straight-through estimator lets none through, and so does a z that is detached.

    Args:
        module: ``module(x)`` returns a reconstruction.
        x: Some examples.

    Example:
        >>> class Rounded(nn.Module):
        ...     def forward(self, x):
        ...         return (2 * x).round() / 2
        >>> gradient_of_x(Rounded(), torch.rand(4, 3)), gradient_of_x(nn.Linear(3, 3), torch.rand(4, 3))
        (False, True)
    """
    if not x.is_floating_point():
        return None
    try:
        with seeded(module), torch.enable_grad():
            leaf = in_precision_of(module, x).detach().clone().requires_grad_()
            recon = found_in(module(leaf), (*RECON, "sample"), leaf)
            if recon is None:
                return None
            if not recon.requires_grad:
                return False
            weight = torch.randn(recon.shape, generator=torch.Generator().manual_seed(0)).to(recon)
            (found,) = torch.autograd.grad((recon * weight).sum(), leaf, allow_unused=True)
    except (ValueError, RuntimeError, TypeError, LookupError, AttributeError, NotImplementedError):
        return None
    return found is not None and bool(found.any())
