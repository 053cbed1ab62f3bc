r"""The numbers of the evidence: how each is called, written, and estimated.

$$ -\mathrm{ELBO} = \text{distortion} + \text{rate}, \qquad \text{rate} = I_q(x; z) + \mathrm{KL}(q(z) \| p(z)) $$
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from buttress.report.numbers import count, nats

__all__ = ["QUANTITIES", "Quantity"]


@dataclass(frozen=True)
class Quantity:
    """One number that a report may show.

    Args:
        title: How people call it.
        meaning: What it is and how it is estimated, for the glossary.
        sign: -1 where it is shown negated.
        unit: "nats" or "".
        write: Number -> text.
        better: "lower", "higher" or "" where neither is good by itself.
        short: Its meaning in a few words, for a table in a terminal.
    """

    title: str
    meaning: str
    sign: int = 1
    unit: str = "nats"
    write: Callable[[float | None], str] = nats
    better: str = ""
    short: str = ""


QUANTITIES: dict[str, Quantity] = {
    "elbo": Quantity(
        "−ELBO",
        "The negative evidence lower bound, −log p(x) from above: distortion plus rate, with z drawn from q(z|x), "
        "not set to its mean. Lower is better, but a low value does not say that z is used.",
        sign=-1,
        better="lower",
        short="distortion + rate; low is good",
    ),
    "distortion": Quantity(
        "Distortion",
        "−log p(x|z) with z drawn from q(z|x): what the decoder still has to pay to write down x once it has read z. "
        "A full density or mass, with all its constants.",
        better="lower",
        short="cost of x once z is read",
    ),
    "rate": Quantity(
        "Rate",
        "KL(q(z|x) ‖ p(z)), over all of z: what z costs, and an upper limit on what it can tell about x. "
        "A collapsed posterior has a rate near 0. A z made of codes costs −log p(codes) under the model's prior.",
        short="cost of z; the most it can tell",
    ),
    "rate_uniform": Quantity(
        "Rate under uniform codes",
        "Where z is made of G codes, each one of K: G log K, what they cost under a prior that knows nothing about "
        "them. What a learned prior saves is the difference to the rate; neither tells anything about use.",
        short="cost if all codes are as likely",
    ),
    "mutual_information": Quantity(
        "Mutual information",
        "I(x; z) under q: what z really tells about x, after what all x share has been taken off the rate. Estimated "
        "from N examples by comparing each q(z|x) with the average of all N; it can't exceed log N, its ceiling. "
        "Near the ceiling it only says “at least”. Codes are compared by counting which examples share theirs.",
        better="higher",
        short="what z tells about x",
    ),
    "aggregate_kl": Quantity(
        "KL(q(z) ‖ p(z))",
        "How far the codes of all data together are from the prior: the part of the rate that tells nothing about x. "
        "Where it is large, samples of the prior fall where the decoder was never trained.",
        better="lower",
        short="the rate that tells nothing of x",
    ),
    "active_units": Quantity(
        "Active units",
        "Coordinates of z whose posterior mean varies over the data by more than 0.01 (variance). The whole curve of "
        "variances is drawn, since the count depends on where the line stands. For a code, whose number is only a "
        "name, it is the chance that two examples differ there.",
        unit="",
        write=count,
        short="coordinates that move with x",
    ),
    "code_perplexity": Quantity(
        "Code perplexity",
        "How many codes are in use as if all were taken equally often, over all held-out examples and places: 1 for a "
        "dead codebook, K at most.",
        unit="",
        short="codes in use, if equally frequent",
    ),
    "codes_used": Quantity(
        "Codes used",
        "How many of the K codes are taken at all on held-out data.",
        unit="",
        write=count,
        short="codes that are taken at all",
    ),
    "worth_shuffled": Quantity(
        "Worth of z (shuffled)",
        "Nats of distortion lost when each x is decoded from the z of another x. 0: the decoder does not listen.",
        better="higher",
        short="lost with the z of another x",
    ),
    "worth_prior": Quantity(
        "Worth of z (prior)",
        "Nats of distortion lost when z is drawn from the prior instead of q(z|x).",
        better="higher",
        short="lost with a z of the prior",
    ),
    "nll": Quantity(
        "NLL",
        "−log p(x) by importance weighting with samples of q(z|x): a tighter bound than the ELBO, still from above. "
        "For codes q(z|x) is one point, so nothing is tightened: there the NLL is the −ELBO.",
        better="lower",
        short="−log p(x), tighter than −ELBO",
    ),
    "bits_per_dim": Quantity(
        "Bits per dimension",
        "The NLL in bits, divided by the number of values in x. Where x is modelled by a mass, or is whole numbers and "
        "uniform noise.",
        unit="",
        better="lower",
        short="the NLL, in bits a value of x",
    ),
    "perplexity": Quantity(
        "Perplexity",
        "The NLL as the exponential of nats per token.",
        unit="",
        better="lower",
        short="exp of the NLL a token",
    ),
    "amortisation_gap": Quantity(
        "Amortisation gap",
        "Nats of ELBO gained by optimising q(z|x) for each example with the decoder frozen. Large in a collapsed "
        "model: the encoder lags behind the decoder. Near 0 in a collapsed model: the decoder itself ignores z.",
        better="lower",
        short="won by a q fitted to each x",
    ),
    "decoder_gain": Quantity(
        "Decoder's part of the gap",
        "How much of the amortisation gap the decoder gains in distortion: whether it would use z if q told it.",
        short="of the gap, distortion saved",
    ),
    "refined_rate": Quantity(
        "Rate after refining",
        "The rate of the q(z|x) that were optimised for each example.",
        short="rate of the q fitted to each x",
    ),
    "elbo_amortised": Quantity(
        "−ELBO of the encoder's q",
        "The −ELBO with q(z|x) as the encoder gives it, where the other numbers are measured with a q(z|x) that was "
        "refined for each example, as in training.",
        sign=-1,
        better="lower",
        short="with the q of the encoder",
    ),
    "rate_amortised": Quantity(
        "Rate of the encoder's q",
        "The rate of q(z|x) as the encoder gives it, before it was refined.",
        short="of the q of the encoder",
    ),
    "effective_beta": Quantity(
        "Effective β",
        "What the noise of q(z|x) costs the decoder, against what a q in balance would pay. 1 for a plain ELBO; "
        "near 0, q is a point and the model a deterministic autoencoder.",
        unit="",
        short="1: q in balance; near 0: a point",
    ),
    "collapsed_fraction": Quantity(
        "Collapsed share of z",
        "Coordinates of z whose KL stays below 0.1 nats for all but one example in a hundred (Lucas et al., 2019).",
        unit="",
        short="share of coordinates that cost ~0",
    ),
    "feature_cosine": Quantity(
        "Likeness of features",
        "Mean cosine similarity of what the encoder makes of two different examples, before q(z|x) is made of it. Near "
        "1, the encoder says the same for all x and a posterior can't tell them apart.",
        unit="",
        short="near 1: same features for all x",
    ),
    "label_accuracy": Quantity(
        "Labels read from means",
        "Share of class labels that a linear probe, fitted on other held-out examples, reads from the mean of q(z|x), "
        "however little the means differ. No model was shown labels; what counts is how far it is above those guessed "
        "without z.",
        unit="",
        better="higher",
        short="share a linear probe gets right",
    ),
    "label_accuracy_sampled": Quantity(
        "Labels read from z",
        "The same from a sample of q(z|x): what reaches the decoder through the noise.",
        unit="",
        better="higher",
        short="the same from a draw of z",
    ),
    "label_accuracy_chance": Quantity(
        "Labels guessed without z",
        "Share of the commonest class label among the same examples: how often its guess is right, whatever z says.",
        unit="",
        short="share of the commonest label",
    ),
    "effective_sample_size": Quantity(
        "Effective sample size",
        "How many of the importance samples behind the NLL carry weight. Near 1, the NLL is hardly better "
        "than the ELBO.",
        unit="",
        write=count,
        short="samples of the NLL that count",
    ),
}
"""Name in ``evidence.json`` -> quantity, in the order of the page."""
