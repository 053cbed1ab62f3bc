"""The reconstruction does not depend on z, or its gradient is cut before mu."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from buttress.diagnostics.lint.finding import LintFinding
from buttress.diagnostics.lint.quiet import seeded
from buttress.diagnostics.lint.reached import reached, stirred, thawed
from buttress.diagnostics.lint.rule import rule
from buttress.diagnostics.lint.rules.no_sampling import no_sampling
from buttress.diagnostics.lint.subject import Linted, Silent, leaves


@rule
def z_unreached(subject: Linted) -> Iterator[LintFinding]:
    """Whether a gradient goes from the reconstruction to mu and to logvar."""
    with seeded(subject.model), stirred(subject.model), thawed(subject.model):
        recon, mean, log_variance = subject.outputs_of(subject.batch).values
        told = [] if reached(recon, mean) else ["mu"]
        fixed = not log_variance.requires_grad and not told  # a variance that is set, not learned
        told += [] if fixed or reached(recon, log_variance) else ["logvar"]
        round_it = "mu" in told and bool(leaves(recon) & leaves(mean)) and not _made_of(recon, mean)
    if not told or (told == ["logvar"] and any(no_sampling.find(subject))):
        return
    if round_it:
        _refuse_other_ways(subject)
    if subject.levels:
        _refuse_priors(subject)
    yield LintFinding(
        "z-unreached", "error", "certain",
        f"no gradient goes from the reconstruction to {' or '.join(told)}",
        "give the decoder the sampled z = mu + exp(0.5 * logvar) * eps without detach(), no_grad() or weights of zero"
        if "mu" in told
        else "sample by mu + exp(0.5 * logvar) * eps, without detach() or no_grad()",
    )  # fmt: skip


def _made_of(value: Tensor, part: Tensor) -> bool:
    """Whether a tensor was made of another one, be it by a step without slope, such as rounding."""
    todo, seen = [value.grad_fn], set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        if node is part.grad_fn:
            return True
        seen.add(node)
        todo += [one for one, _ in node.next_functions]
    return False


def _refuse_other_ways(subject: Linted) -> None:
    """Ask nothing of a z that the loss may read elsewhere: an upper level, in the prior of a lower one.

    Errors:
        Silent: The loss is not made of mu and the reconstruction alone, or something else that was returned reads z.
    """
    subject.pieces  # noqa: B018 - silent where the loss is made inside of forward, or of another value made of mu
    with seeded(subject.model), thawed(subject.model):
        returned = subject.forward(subject.batch)
        mean = subject.read(returned, subject.x).mean
        others = [v for v in _tensors(returned) if v is not mean and v.requires_grad]
        found = torch.autograd.grad([v.sum() for v in others], mean, retain_graph=True, allow_unused=True)
    if found[0] is not None and bool(found[0].any()):
        raise Silent("z is read on a way round the reconstruction, as an upper level is")


def _refuse_priors(subject: Linted) -> None:
    """Ask nothing of a pair that may be the mean and log-variance of a prior, which no decoder reads.

    Errors:
        Silent: The pair does not stand in the loss as that of a q(z|x) beside N(0, I) does.
    """
    if subject.terms.kl is None:
        raise Silent("its KL is not that from N(0, I), so it may be a prior's or that of a z which a prior reads")


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from (one for part in value.values() for one in _tensors(part))
    elif isinstance(value, tuple | list):
        yield from (one for part in value for one in _tensors(part))
    elif hasattr(value, "__dict__"):
        yield from _tensors(vars(value))
