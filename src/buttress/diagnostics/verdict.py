"""From numbers to a state, its causes and advice.

The state is that of :mod:`buttress.diagnostics.state`; where it is unknown because numbers are missing, no cause is
named, and where they are there and not precise enough, a cause that does not rest on them still is. Every file of
``causes/`` is asked; what holds is ordered by priority, without what a more basic cause explains. Advice comes from the
catalogue of remedies, for causes that hold and for nothing else. All thresholds stand in
:mod:`buttress.diagnostics.thresholds`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from buttress.diagnostics.advice import advice
from buttress.diagnostics.cause import found
from buttress.diagnostics.causes.codebook import DEAD, SAME
from buttress.diagnostics.causes.ignored import IGNORED
from buttress.diagnostics.causes.lagging import LAGS
from buttress.diagnostics.causes.prior_mismatch import FAR
from buttress.diagnostics.confidence import calibrated, drawn, plain
from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.evidence import NO_CAUSE, Verdict
from buttress.diagnostics.finding import Finding
from buttress.diagnostics.numbers import Numbers
from buttress.diagnostics.state import COLLAPSED, DEGENERATE, PARTLY, UNKNOWN, USED, state_of

__all__ = ["COLLAPSED", "DEAD", "DEGENERATE", "FAR", "IGNORED", "LAGS", "PARTLY", "SAME", "UNKNOWN", "USED", "judge"]


def judge(estimates: Mapping[str, Estimate], kind: str, notes: tuple[str, ...] = ()) -> Verdict:
    """The verdict on a model.

    Args:
        estimates: The numbers of :class:`buttress.diagnostics.evidence.Evidence`.
        kind: Of the data: which remedies fit.
        notes: Of the evidence: some name something wrong with the log-likelihood.

    Returns:
        The verdict; "unknown" with the reason where a number that it rests on is missing or not finite.

    Example:
        >>> def told(value):
        ...     return Estimate(value, 0.0, 100, "closed form")
        >>> rate_alone = {"rate": told(4.0), "mutual_information": told(2.0), "worth_shuffled": told(0.01)}
        >>> said = judge(rate_alone, "text")  # a floor that is paid for and not read
        >>> said.state, said.reasons[-3]
        ('collapsed', 'a rate of 4 nats is paid nevertheless: a rate alone does not show that z is used')
    """
    numbers = Numbers(estimates, kind, notes)
    state = state_of(numbers)
    if state.name == UNKNOWN and not state.vague:
        return Verdict(UNKNOWN, None, state.reasons, ())
    findings = _with_confidence(found(numbers), numbers)
    holding = [one for one in findings if one.holds]
    why = [reason for one in findings for reason in (one.reasons if one.holds else (one.question,))]
    if not holding and state.name in (COLLAPSED, PARTLY):
        why.append(_not_known(numbers, findings))
    if _asks_for_loss(numbers, state.name, holding, why):
        why.append(LOSS)
    return Verdict(
        state.name,
        holding[0].cause if holding else None,
        (*state.reasons, *why),
        advice(holding, kind, numbers.discrete),
        state.borderline,
        findings,
    )


LOSS = (
    "not known what the loss is: a wrong sign, a mean beside a sum or a mean in place of a sample show there; "
    "bt.lint(model, loss_fn, batch) looks at it"
)
"""What no number of a model tells."""
OF_THE_LOSS = (
    LAGS,
    IGNORED,
    "the rate has a weight",
    "q's family is too narrow",
    "all q together are far from the prior",
)
"""Causes that a mistake in the loss may stand behind."""


def _asks_for_loss(n: Numbers, state: str, holding: list[Finding], why: list[str]) -> bool:
    """Whether the loss should be looked at, and nothing has said so yet."""
    if (
        n.critic
        or n.get("rate_weight") is not None
        or n.get("wiring/loss")
        or any("bt.lint" in reason for reason in why)
    ):
        return False
    lost = not holding and state in (COLLAPSED, PARTLY)
    return lost or any(plain(one.cause) in OF_THE_LOSS for one in holding)


def _with_confidence(findings: tuple[Finding, ...], numbers: Numbers) -> tuple[Finding, ...]:
    """Findings with their confidence; nothing is drawn where there are none."""
    sure = calibrated(drawn(numbers)) if findings else {}
    return tuple(replace(one, confidence=sure.get(plain(one.cause), 0.0)) for one in findings)


def _not_known(n: Numbers, findings: tuple[Finding, ...]) -> str:
    """Why no cause is named."""
    if n.critic and not findings:
        return (
            "the cause is not known: looked at were what the codes tell of x, what the critic loses when they change "
            "places, and which codes are taken, and none of these stands out; try more steps of training, and more "
            "examples (--mi_examples)"
        )
    if not n.refined:
        gap = n.estimates.get("amortisation_gap")
        why = "it was left out" if gap is None else gap.note
        return f"{NO_CAUSE}: the amortisation gap was not measured ({why})"
    if findings:
        return f"{NO_CAUSE}: the numbers are not precise enough; raise gap_examples"
    return f"{NO_CAUSE}: {n.told}, and no rule fits the numbers"
