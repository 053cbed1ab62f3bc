"""Parameters that the loss does not reach, or not finitely."""

from __future__ import annotations

from collections.abc import Iterator

from buttress.diagnostics.lint.finding import LintFinding
from buttress.diagnostics.lint.reached import stirred
from buttress.diagnostics.lint.rule import rule
from buttress.diagnostics.lint.subject import Linted, Silent

SHOWN = 4


@rule
def dead_gradient(subject: Linted) -> Iterator[LintFinding]:
    """Parameters without a gradient, with one of zeros, and with one that is not finite."""
    if not any(p.requires_grad for p in subject.model.parameters()):
        raise Silent("the model has no parameter that wants a gradient")
    found = subject.gradients
    never = [name for name, g in found.items() if g is None]
    zero = [name for name, g in found.items() if g is not None and not g.any()]
    if zero:
        with stirred(subject.model):  # behind a layer that begins at 0
            later = subject.slopes()
        zero = [name for name in zero if (g := later[name]) is not None and not g.any()]
    broken = [name for name, g in found.items() if g is not None and not g.isfinite().all()]
    if broken:
        yield LintFinding(
            "dead-gradient", "error", "certain", f"the gradient of {_names(broken)} is not finite",
            "look for log(0), a division by 0 or an exponential without bound",
        )  # fmt: skip
    encoder = [name for name in found if "enc" in name.partition(".")[0].lower()]
    if encoder and set(encoder) <= {*never, *zero}:
        yield LintFinding(
            "dead-gradient", "error", "certain", f"no gradient reaches the encoder ({_names(encoder)})",
            "look for detach(), an argmin or rounding without a straight-through estimator (z + (q - z).detach())",
        )  # fmt: skip
        never, zero = ([name for name in names if name not in encoder] for names in (never, zero))
    if never:
        yield LintFinding(
            "dead-gradient", "warning", "certain", f"the loss does not reach {_names(never)}",
            "use these parameters, or leave them out of the optimiser",
        )  # fmt: skip
    if zero:
        yield LintFinding(
            "dead-gradient", "warning", "possible", f"the gradient of {_names(zero)} is 0 on this batch",
            "look for units that never fire, or weights of zero after them",
        )  # fmt: skip


def _names(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
