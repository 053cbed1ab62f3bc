"""What evidence has of models that have a critic in the place of a decoder."""

from __future__ import annotations

from buttress.report.quantity import Quantity

__all__ = ["QUANTITIES_OF_CRITICS"]

QUANTITIES_OF_CRITICS: dict[str, Quantity] = {
    "contrastive_information": Quantity(
        "Contrastive information",
        "Of a model with a critic: log N minus the contrastive loss of a prediction, in nats, at most log N. How well "
        "the context tells a z some positions ahead from others of the same sequence. A lower bound of their mutual "
        "information as far as the others are independent of the context: in short sequences it is too large.",
        better="higher",
        short="log N − contrastive loss",
    ),
    "contrastive_accuracy": Quantity(
        "Contrastive accuracy",
        "Of a model with a critic: the share of predictions that score the true future highest among N candidates; "
        "1 / N by chance. Candidates that are equal share it.",
        unit="",
        better="higher",
        short="true future ranked first",
    ),
    "contrastive_accuracy_gain": Quantity(
        "Contrastive accuracy, gained by the order of codes",
        "The contrastive accuracy minus what it is when the codes of each example change places, which is chance.",
        unit="",
        better="higher",
        short="accuracy above that of shuffled",
    ),
}
