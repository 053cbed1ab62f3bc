"""What evidence has of the coordinates of z beside each other and beside known factors of the data."""

from __future__ import annotations

from buttress.report.quantity import Quantity

__all__ = ["QUANTITIES_OF_FACTORS"]

QUANTITIES_OF_FACTORS: dict[str, Quantity] = {
    "total_correlation": Quantity(
        "Total correlation",
        "KL(q(z) ‖ ∏ q(z_j)): how far the coordinates of z are from independent of each other over all data together. "
        "From the mixture of the q(z|x) of N examples; too large where N is small for what z tells.",
        better="lower",
        short="dependence among coordinates",
    ),
    "total_correlation_at_least": Quantity(
        "Total correlation, at least",
        "A lower bound for all data that the N examples stand for. Below 0 it says nothing; where it is near the total "
        "correlation, there are examples enough.",
        short="its lower bound",
    ),
    "factor_vae_score": Quantity(
        "FactorVAE score",
        "With one known factor held fixed, does the coordinate of z that varies least tell which factor it was? 1: "
        "each factor has a coordinate of its own. Generous: half of all rotations of such a z reach 0.87 or more.",
        unit="",
        better="higher",
        short="does the stillest z_j tell factors",
    ),
    "beta_vae_score": Quantity(
        "β-VAE score",
        "How often a linear classifier tells which known factor pairs of examples share, by how far apart their z are.",
        unit="",
        better="higher",
        short="is a shared factor told by z",
    ),
    "mutual_information_gap": Quantity(
        "Mutual information gap (MIG)",
        "How much more the best coordinate of z tells of a known factor than the second best, as a share of the "
        "factor's entropy; the mean over factors. The strictest of these scores.",
        unit="",
        better="higher",
        short="information of z_j over the next",
    ),
    "separated_attributes": Quantity(
        "Separated attributes (SAP)",
        "How much more of the variance of one coordinate of z a known factor explains than of the next.",
        unit="",
        better="higher",
        short="explained variance over the next",
    ),
    "disentanglement": Quantity(
        "Disentanglement (DCI)",
        "1 where no coordinate of z serves a random forest to predict more than one known factor.",
        unit="",
        better="higher",
        short="one factor for each z_j",
    ),
    "completeness": Quantity(
        "Completeness (DCI)",
        "1 where no known factor needs more than one coordinate of z to be predicted.",
        unit="",
        better="higher",
        short="one z_j for each factor",
    ),
    "informativeness": Quantity(
        "Informativeness (DCI)",
        "The share of known factors that random forests predict right from z, for examples that they have not seen.",
        unit="",
        better="higher",
        short="factors predicted from z",
    ),
}
"""Name in ``evidence.json`` -> quantity."""
