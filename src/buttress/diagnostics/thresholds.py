"""Every threshold of the diagnostics, with its reason. Nats per example unless it says otherwise."""

from __future__ import annotations

__all__ = [
    "ABOUT",
    "ACTIVE_VARIANCE",
    "ALIVE_SHARE",
    "AVERAGED_TIMES",
    "COLLAPSED_DELTA",
    "COLLAPSED_EPSILON",
    "COLLAPSED_NATS",
    "CONCENTRATED",
    "CONSTANT_ERROR",
    "DEAD_PERPLEXITY",
    "DECIDED",
    "DETERMINISTIC_BETA",
    "ERRORS",
    "FAR_NATS",
    "FAR_SHARE",
    "FEATURES_ALIKE",
    "FEW",
    "LAG_NATS",
    "NEAR_CEILING",
    "NUISANCE_LEFT",
    "POINT_SCALE",
    "READ_SHARE",
    "RISING_NATS",
    "ROUNDED",
    "SAME_WEIGHT",
    "SUMMED_TIMES",
    "UNFINISHED",
    "USED_NATS",
    "WEIGHTED",
    "WIDE",
]

ABOUT = 1.25
"""Factor within which q is as wide as the prior. A coordinate of a linear ELBO that says something has a sigma of
exp(-I), below 0.8 from 0.22 nats on."""

ACTIVE_VARIANCE = 0.01
"""Squared units of z. Burda et al. 2016; the curve of most models jumps across it, and the whole curve is given too."""

ALIVE_SHARE = 0.5
"""Share of the codes that are ever taken, below which a codebook is under-used: the other half can be left out. In runs
whose codes start from data and are revived it is 0.8 to 1 (docs/normal.md)."""

AVERAGED_TIMES = 10.0
"""Times D, the numbers of one x: weight of the rate up to which a loss that averages over x is expected. A beta of 4 to
10 beside a mean is common (Higgins et al. 2017)."""

COLLAPSED_EPSILON = 0.1
"""The epsilon of Lucas et al. 2019, who plot a range of it: for one factor what COLLAPSED_NATS is for all of z."""

COLLAPSED_DELTA = 0.01
"""Their delta: a factor may exceed epsilon for one example in a hundred and still count as collapsed."""

COLLAPSED_NATS = 0.1
"""Below it z says nothing: a seventh of one yes-no question (ln 2 = 0.69). Tables of the literature print 0.0 for
collapsed runs and 1 to 3 for those that were rescued, so little depends on where between them the line is."""

CONCENTRATED = 0.1
"""Share of the examples below which, if they carry half of what z is worth, it is used by few: linear-Gaussian models
have 0.25 to 0.4. A mean over all hides such a use: of 1 % that z tells apart fully, it is below COLLAPSED_NATS."""

CONSTANT_ERROR = 0.5
"""Root of the share of the decoder's squared error that is the same in all examples: a quarter of it. It is 0 at any
optimum; digits in the range of 0 to 255 in place of 0 to 1 give 0.7, inverted ones 0.9."""

DEAD_PERPLEXITY = 1.1
"""exp(COLLAPSED_NATS): a codebook of which one code takes all but about two places in a hundred."""

USED_NATS = 0.5
"""From here on z is used: most of one yes-no question about each example. For rescued runs see COLLAPSED_NATS."""

FAR_NATS = 2.0
"""Of KL(q(z) || p(z)), from which samples of the prior are expected to be worse. Below it, whatever q(z) is sure of has
a probability of exp(-2) = 0.14 or more under the prior."""

FAR_SHARE = 1 / 3
"""Of the rate, from which on the distance of all q together from the prior is more than what clusters or curved
supports bring about at an optimum."""

FEATURES_ALIKE = 0.98
"""Mean cosine of the encoder's features from which on they say the same for all x: c is the share of their squared
length that is common to all, so a fiftieth is left to tell examples apart by. It is not lower because features that
are all positive are alike by that alone: untrained LSTM states pooled by their maximum over 70 steps give 0.95."""

NUISANCE_LEFT = 0.1
"""Share of the information that may be left beyond a nuisance where z is said to tell nothing but the nuisance."""

POINT_SCALE = 0.05
"""sigma of q over that of the prior, below which q is a point: 3 nats of rate for each coordinate from width alone."""

READ_SHARE = 0.5
"""Of the rate, at least, that shuffling z must cost. With the exact posterior it costs more than the mutual
information; where it costs less than half of the rate, most of that is paid for nothing (free bits can do that)."""

LAG_NATS = 0.1
"""What a refined q must gain, and the decoder with it, before we say that inference lags: the amount that would take
the model out of collapse. It must also be as much as z already carries, since every amortised q has some gap."""

ERRORS = 3.0
"""Standard errors from which on two numbers contradict each other: a false alarm in a thousand."""

FEW = 0.5
"""Share of the examples served by their own z below which z may be said to be used by few."""

NEAR_CEILING = 0.5
"""An estimate of mutual information this near to log N is at its ceiling. With exp(-0.5) = 0.6, at least six in ten of
the z could only have come from their own x, so the truth may be anything above."""

DECIDED = 2.0
"""Standard errors between an estimate and a threshold from which on it is decided on which side it is."""

DETERMINISTIC_BETA = 0.1
"""Effective beta below which q is a point: its noise costs the decoder a tenth of what a q in balance would pay. A
plain ELBO gives 1, exactly so for a linear decoder; models trained with a small beta give about that beta."""

RISING_NATS = 0.5
"""A rate above this in a model whose z is worth nothing is a rate held up by force, so free bits are no advice."""

ROUNDED = 0.05
"""Share of the coordinates of q whose noise is lost in its numeric type, from which on the rate counts what is not
there. It is 0 of models in float32 with means of some units."""

SAME_WEIGHT = 1.5
"""Factor within which the weights that the widths and the means of q are in balance with are one weight."""

UNFINISHED = 0.05
"""Share of the examples whose search for a better q may end unfinished before its gain is called a lower bound."""

WEIGHTED = 2.0
"""Factor by which an effective beta must differ from 1 to be news. A plain ELBO gives exactly 1 for a linear decoder;
curved decoders and held-out data move it."""

WIDE = 1.5
"""sigma of q over that of the prior, from which on q is wider than any loss that charges for the rate makes it.
Untrained encoders give 0.9 to 1.1."""

SUMMED_TIMES = 1000.0
"""Times that a mean over the D numbers of x may have its weight again where the KL is summed over a batch: batches of
more than a thousand beside a mean are rare."""
