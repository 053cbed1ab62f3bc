"""The log-likelihood is averaged, or counts padding: every nat of the evidence is then in a unit of its own.

Sentence: "the log-likelihood is averaged". Given z, a log-density of D columns that is a product over them equals the
sum of its conditional log-densities along single columns, each normalised by an integral. An average f/D stands far
above that sum: its conditionals are those of a density D times as wide. See :mod:`buttress.diagnostics.check_remarks`,
which compares the two by four standard errors and by a tenth, and notes what it finds.

Everything that weighs likelihood against rate (information read, effective beta, gap) then rests on a likelihood D
times too weak, so nothing else is said of inference, of the weight of the rate, or of a model that ignores z.
"""

from __future__ import annotations

from buttress.diagnostics.cause import cause, finding
from buttress.diagnostics.finding import Finding
from buttress.diagnostics.numbers import Numbers

__all__ = ["AVERAGED", "PADDED"]

AVERAGED, PADDED = "the log-likelihood is averaged", "the log-likelihood counts padding"
NOTED = "log_likelihood "
"""How notes begin that name something wrong with the log-likelihood."""
UNSURE = ("the rate has a weight", "inference lags", "q's family is too narrow", "the model ignores z")


@cause(priority=10, explains=(*UNSURE, "the data offer no more"))
def log_likelihood(n: Numbers) -> Finding | None:
    """Whether a check of the log-likelihood has noted something."""
    noted = [note for note in n.notes if note.startswith(NOTED)]
    padded = any("counts padding" in note for note in noted)
    return finding(PADDED if padded else AVERAGED, bool(noted), noted)
