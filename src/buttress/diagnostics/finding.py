"""A cause as it was found on one model: a frozen record that evidence files keep."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BORDERLINE", "EVEN", "HOLDS", "LIKELIER", "NOT_KNOWN", "Finding"]

HOLDS, BORDERLINE, NOT_KNOWN = "holds", "borderline", "not known"
EVEN = 0.5
"""Share of each of two causes that give the same numbers: nothing measured favours one of them."""
LIKELIER = 0.8
"""Share of a cause where another gives the same numbers and is the rarer one."""
SURE = 0.99
"""Confidence above which no digits are printed: it is counted in two hundred draws."""


@dataclass(frozen=True)
class Finding:
    """What a cause says of one model.

    Args:
        cause: Its name, such as "inference lags".
        strength: "holds" where every number that it needs is on its side by two standard errors, "borderline" where
            none is against it and some are not decided, "not known" where a number that it needs was not measured.
        reasons: Sentences with these numbers.
        examples: How many held-out examples would decide a borderline cause, if the numbers stay what they are; None
            where it is decided, or where more examples would not help.
        remedies_for: What a remedy declares in ``cures`` to be advised here; the cause where it is empty.
        confidence: How often the cause would be named if every number were what its error allows, between 0 and 1; see
            :mod:`buttress.diagnostics.confidence`. None where that was not asked.
        share: How often it is true where its numbers are what they are: below 1 where another cause gives the same.

    Example:
        >>> Finding("inference lags", "holds", ("refining q gains 14 ± 1 nats",)).holds
        True
    """

    cause: str
    strength: str
    reasons: tuple[str, ...]
    examples: int | None = None
    remedies_for: str = ""
    confidence: float | None = None
    share: float = 1.0

    @property
    def holds(self) -> bool:
        """Whether it is decided."""
        return self.strength == HOLDS

    @property
    def named(self) -> str:
        """The cause with its confidence, in words.

        Example:
            >>> Finding("inference lags", "holds", (), confidence=0.93).named, Finding("x", "holds", ()).named
            ('inference lags, confidence 0.93', 'x')
        """
        if self.confidence is None:
            return self.cause
        sure = "above 0.99" if self.confidence > SURE else f"{self.confidence:.2f}"
        return f"{self.cause}, confidence {sure}"

    @property
    def question(self) -> str:
        """A cause that does not hold for certain, as one sentence.

        Example:
            >>> Finding("inference lags", "borderline", ("refining q gains 0.2 ± 0.1 nats",), 800).question
            'not decided whether inference lags: refining q gains 0.2 ± 0.1 nats; about 800 examples would decide'
        """
        decide = "" if self.examples is None else f"; about {self.examples} examples would decide"
        known = "decided" if self.strength == BORDERLINE else "known"
        return f"not {known} whether {self.cause}: {'; '.join(self.reasons)}{decide}"
