"""What evidence has of conditions beside z, and of whether the numbers can be trusted."""

from __future__ import annotations

from buttress.report.quantity import Quantity

__all__ = ["QUANTITIES_OF_CHECKS"]

QUANTITIES_OF_CHECKS: dict[str, Quantity] = {
    "worth_condition": Quantity(
        "Decoder dependence (the condition of another)",
        "How much the distortion rises when each x is decoded with the condition of another x, z as it was. 0: the "
        "decoder does not read the condition.",
        short="loss with another x's condition",
    ),
    "gain_beyond_condition": Quantity(
        "What the condition leaves to z",
        "What the best linear z would gain in log p(x|given), on held-out examples. Near 0: the condition explains "
        "all that such a z could.",
        short="what a linear z could still gain",
    ),
    "constant_error": Quantity(
        "Constant part of the error",
        "The root of the share of the decoder's squared error that is the same in all examples. 0 at an optimum of the "
        "training; near 1 where x is scaled or centred otherwise than in training.",
        unit="",
        better="lower",
        short="error that is the same for all x",
    ),
    "reached_by_z": Quantity(
        "Examples that z reaches",
        "The share of examples whose log p(x|z) changes with z at all, in any digit or by its gradient. It is told "
        "where that is not all of them; at 0 the decoder gets no z.",
        unit="",
        short="log p(x|z) moves with z at all",
    ),
    "codes_by_rounding": Quantity(
        "Codes chosen by rounding",
        "The share of codes that are others where the encoder computes in double precision.",
        unit="",
        better="lower",
        short="others in double precision",
    ),
    "latent_scale": Quantity(
        "Standard deviation of z",
        "Of all numbers of z, over data and noise. A second model wants 1: multiply z by the inverse.",
        unit="",
        short="a second model wants 1",
    ),
    "rounded_noise": Quantity(
        "Noise of q lost in rounding",
        "The share of the coordinates of z whose standard deviation under q is below the spacing of the numbers at its "
        "mean, or whose variance overflows.",
        unit="",
        better="lower",
        short="coordinates whose noise is lost",
    ),
}
