"""The noise in z is not that of N(mu, exp(logvar)): a factor of 1/2 forgotten, uniform draws, one draw for all."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from buttress.diagnostics.lint.finding import LintFinding
from buttress.diagnostics.lint.rule import rule
from buttress.diagnostics.lint.sampler import Noise, noise, standard
from buttress.diagnostics.lint.subject import Linted, Silent


@rule
def sampling_noise(subject: Linted) -> Iterator[LintFinding]:
    """What (z - mu) / sigma is, where the KL says that sigma is exp(logvar / 2)."""
    if not subject.terms.kl:
        raise Silent("the KL does not say that the model's last output is logvar")
    found = noise(subject)
    if (told := _told(found)) is not None:
        yield LintFinding(
            "sampling-noise", "error", "likely", f"z is not drawn from N(mu, exp(logvar)), as the KL has it: {told}",
            "draw z = mu + exp(0.5 * logvar) * torch.randn_like(mu)",
        )  # fmt: skip


def _told(found: Noise) -> str | None:
    """What is wrong with the noise; None where nothing is, or nothing that is known."""
    eps = found.as_variance
    drawn = eps[eps.isfinite()]
    if _one_for_all(eps):
        return "all examples of the batch get the same noise"
    if standard(eps):
        return None
    if standard(found.as_log_deviation):
        return "sigma is exp(logvar), where it should be exp(0.5 * logvar)"
    if drawn.min() >= 0 and drawn.max() <= 1.001:
        return f"the noise lies between {drawn.min():.2g} and {drawn.max():.2g}, as torch.rand draws it"
    scale = drawn.std()
    if standard(eps / scale):
        return f"the noise has a standard deviation of {scale:.3g} in place of 1"
    return None


def _one_for_all(eps: Tensor) -> bool:
    """Whether each dimension has one and the same noise in every example."""
    apart = (eps - eps[:1]).abs()
    apart = apart[apart.isfinite()]
    return len(apart) > eps.shape[1] and bool((apart < 1e-3).all())
