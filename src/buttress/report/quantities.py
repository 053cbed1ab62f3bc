r"""The numbers of the evidence: the name of each, its format, and how it is estimated.

$$ -\mathrm{ELBO} = \text{distortion} + \text{rate}, \qquad \text{rate} = I_q(x; z) + \mathrm{KL}(q(z) \| p(z)) $$
"""

from __future__ import annotations

from dataclasses import replace

from buttress.report.numbers import count
from buttress.report.quantities_of_checks import QUANTITIES_OF_CHECKS
from buttress.report.quantities_of_critics import QUANTITIES_OF_CRITICS
from buttress.report.quantities_of_factors import QUANTITIES_OF_FACTORS
from buttress.report.quantities_of_neighbours import QUANTITIES_OF_NEIGHBOURS
from buttress.report.quantities_of_sound import QUANTITIES_OF_SOUND
from buttress.report.quantity import Quantity

__all__ = ["QUANTITIES", "quantity"]

QUANTITIES: dict[str, Quantity] = {
    "elbo": Quantity(
        "−ELBO",
        "The negative evidence lower bound, an upper bound of −log p(x): distortion plus rate, with z drawn from "
        "q(z|x), not set to its mean. Lower is better, but a low value does not show that z is used.",
        sign=-1,
        better="lower",
        short="distortion + rate; lower is better",
    ),
    "distortion": Quantity(
        "Distortion",
        "The reconstruction error: −log p(x|z) with z drawn from q(z|x). A normalised density or mass, with all its "
        "constants. With a critic there is no p(x|z): it is −log softmax of the true futures of z among candidates.",
        better="lower",
        short="−log p(x|z), reconstruction error",
    ),
    "rate": Quantity(
        "Rate",
        "KL(q(z|x) ‖ p(z)) over all of z, an upper bound of the mutual information of x and z. A collapsed posterior "
        "has a rate near 0. For codes the rate is −log p(codes) under the model's prior.",
        short="KL to the prior; bounds I(x; z)",
    ),
    "rate_uniform": Quantity(
        "Rate under uniform codes",
        "For G codes, each one of K: G log K, their rate under a uniform prior. A learned prior saves the difference "
        "to the rate. Neither number shows whether the codes are used.",
        short="rate if all codes are as likely",
    ),
    "mutual_information": Quantity(
        "Mutual information",
        "I(x; z) under q: the information of z about x, in nats. Estimated from N examples by comparing each q(z|x) "
        "with the average of all N; it cannot exceed log N, its ceiling, and near the ceiling it is a lower bound. "
        "For codes, it counts which examples share theirs.",
        better="higher",
        short="information of z about x",
    ),
    "aggregate_kl": Quantity(
        "KL(q(z) ‖ p(z))",
        "The distance of the aggregate posterior from the prior: the part of the rate that is no information about x. "
        "Where it is large, prior samples come from regions where the decoder was hardly trained.",
        better="lower",
        short="aggregate posterior to prior",
    ),
    "aggregate_kl_at_least": Quantity(
        "KL(q(z) ‖ p(z)), at least",
        "What the mean and variance of the aggregate posterior alone prove of its distance from a normal prior. Given "
        "where the mutual information is at its ceiling, so that the distance is known from above only.",
        better="lower",
        short="its lower bound, from moments",
    ),
    "active_units": Quantity(
        "Active units",
        "Dimensions of z whose posterior mean has a variance over the data above 0.01 of the prior's variance, which "
        "for N(0, I) is the published 0.01. The count depends on this "
        "threshold, so all variances are drawn. For a code, whose number is only a name, it is the probability that "
        "two examples differ there.",
        unit="",
        write=count,
        short="dimensions that vary with x",
    ),
    "code_perplexity": Quantity(
        "Code perplexity",
        "The exponential of the entropy of the codes, over all held-out examples and places: 1 for a dead codebook, K "
        "where all codes are equally frequent.",
        unit="",
        short="codes in use, if equally frequent",
    ),
    "codes_used": Quantity(
        "Codes used",
        "How many of the K codes occur on held-out data.",
        unit="",
        write=count,
        short="codes that occur",
    ),
    "worth_shuffled": Quantity(
        "Decoder dependence (shuffled z)",
        "How much the distortion rises when each x is decoded from the z of another x. 0: the decoder ignores z.",
        better="higher",
        short="loss with the z of another x",
    ),
    "worth_critic": Quantity(
        "Critic dependence (shuffled codes)",
        "Of a critic of codes: nats of an example that its predictions lose, mean over the steps ahead, when the codes "
        "change places within the example. 0: the critic ignores the codes, or their order tells nothing.",
        better="higher",
        short="loss with codes in another order",
    ),
    "worth_prior": Quantity(
        "Decoder dependence (prior z)",
        "How much the distortion rises when z is drawn from the prior instead of q(z|x).",
        better="higher",
        short="loss with a z from the prior",
    ),
    "share_used": Quantity(
        "Share of examples that use z",
        "The share of examples that are decoded better from their own z than from another's, less the share that are "
        "decoded worse. 0: chance; 1: every example. Noise makes it smaller.",
        unit="",
        better="higher",
        short="examples their own z helps",
    ),
    "worth_top_percent": Quantity(
        "Decoder dependence of the top 1 %",
        "The same loss with the z of another x, for the 1 % of examples that lose most. They are chosen by half of the "
        "shuffles and measured by the other half. Large beside a small mean, it shows that only a few examples use z.",
        short="loss of the 1 % that lose most",
    ),
    "worth_concentration": Quantity(
        "Share that carries a third",
        "The share of examples that carries a third of the decoder dependence: a third where all lose the same, below "
        "0.01 where one example in a hundred uses z.",
        unit="",
        short="examples with a third of the loss",
    ),
    "information_beyond_nuisance": Quantity(
        "Information beyond simple statistics",
        "An upper bound of what z says about x where simple statistics of x are known: the length of a sentence, the "
        "brightness and contrast of an image, the loudness of a sound, the mean and norm of a row.",
        better="higher",
        short="information beyond length etc.",
    ),
    "nuisance_r2": Quantity(
        "Explained by a simple statistic",
        "The share of the variance of the posterior mean that the best one of these statistics explains.",
        unit="",
        short="of the variance of E[z|x]",
    ),
    "posterior_scale": Quantity(
        "Posterior width",
        "The standard deviation of q(z|x) beside that of the prior, weighted over dimensions by their information; the "
        "median over examples. 1: as wide as the prior; near 0: a point.",
        unit="",
        short="sd of q(z|x) / sd of p(z)",
    ),
    "idle_levels": Quantity(
        "Idle parts of z",
        "Levels of z, or codebooks of a code with several, that the decoder does as well without: shuffling one alone "
        "costs less than 0.1 nats.",
        unit="",
        write=count,
        short="levels or codebooks not in use",
    ),
    "nll": Quantity(
        "NLL",
        "−log p(x) by importance weighting with samples from q(z|x): an upper bound, tighter than −ELBO. For codes "
        "q(z|x) is one point, so the NLL equals −ELBO.",
        better="lower",
        short="−log p(x), tighter than −ELBO",
    ),
    "nll_looseness": Quantity(
        "Looseness of the NLL",
        "By how many nats the true NLL is probably lower, judged from how the estimate falls with more samples.",
        better="lower",
        short="how much too high the NLL may be",
    ),
    "bound_gap": Quantity(
        "−ELBO above the NLL",
        "How far the −ELBO lies above the NLL on the same examples: at least so many nats q(z|x) is from p(z|x).",
        better="lower",
        short="nats from q to p(z|x), at least",
    ),
    "bits_per_dim": Quantity(
        "Bits per dimension",
        "The NLL in bits, divided by the number of values in x. For discrete x, or integers with uniform noise.",
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
        "ELBO gained by optimising q(z|x) for each example with the decoder frozen. Large in a collapsed model: the "
        "encoder lags behind the decoder. Near 0 in a collapsed model: the decoder itself ignores z.",
        better="lower",
        short="ELBO gained by fitting q to each x",
    ),
    "amortisation_gap_median": Quantity(
        "Amortisation gap, median",
        "The same of the example in the middle, which no outlier moves.",
        better="lower",
        short="of the example in the middle",
    ),
    "amortisation_gap_p05": Quantity(
        "Amortisation gap, 5th percentile",
        "One example in twenty gains less.",
        short="one example in 20 gains less",
    ),
    "amortisation_gap_p95": Quantity(
        "Amortisation gap, 95th percentile",
        "One example in twenty gains more.",
        short="one example in 20 gains more",
    ),
    "amortisation_gap_share": Quantity(
        "Examples with an amortisation gap",
        "The share of examples that gain 0.1 nats or more, beyond what their own sampling noise explains.",
        unit="",
        better="lower",
        short="share of examples that gain",
    ),
    "gap_unfinished": Quantity(
        "Searches unfinished",
        "The share of examples whose search for a better q(z|x) had not ended after the last step that it might take: "
        "their gap may be larger than what is shown.",
        unit="",
        better="lower",
        short="share still searching at the end",
    ),
    "decoder_gain": Quantity(
        "Decoder's part of the gap",
        "How much the distortion falls when q(z|x) is optimised: whether the decoder would use a better z.",
        short="distortion saved by a fitted q",
    ),
    "decoder_gain_median": Quantity(
        "Decoder's part of the gap, median",
        "The same of the example in the middle.",
        short="of the example in the middle",
    ),
    "refined_rate": Quantity(
        "Rate after refining",
        "The rate of the q(z|x) that were optimised for each example.",
        short="rate of the q fitted to each x",
    ),
    "elbo_amortised": Quantity(
        "−ELBO of the encoder's q",
        "The −ELBO with q(z|x) as the encoder gives it, where the other numbers use a q(z|x) that was refined for each "
        "example, as in training.",
        sign=-1,
        better="lower",
        short="with the q of the encoder",
    ),
    "rate_amortised": Quantity(
        "Rate of the encoder's q",
        "The rate of q(z|x) as the encoder gives it, before it was refined.",
        short="of the q of the encoder",
    ),
    "rate_first_stage": Quantity(
        "Rate under the first stage's prior",
        "The rate of the same q(z|x) under the prior that it was trained under, before an auxiliary prior was fitted "
        "to the z of the trained model. The auxiliary prior saves the difference to the rate.",
        short="before the auxiliary prior",
    ),
    "effective_beta": Quantity(
        "Effective β",
        "The weight of the rate at which this q(z|x) would be optimal, estimated from what its noise costs the "
        "decoder. About 1 for a plain ELBO; near 0, q is a point and the model a deterministic autoencoder.",
        unit="",
        short="1: plain ELBO; 0: q is a point",
    ),
    "effective_beta_doubled": Quantity(
        "Effective β by twice the noise",
        "Given where the effective β is below 1/2. The same number if the decoder is smooth; far above it if the "
        "decoder takes steps, where a small effective β says nothing of the weight of the rate.",
        unit="",
        short="beta by twice the noise of q",
    ),
    "effective_beta_means": Quantity(
        "Effective β of the means",
        "The weight of the rate that the means of q(z|x) are in balance with, given where the effective β is above 2. "
        "Where both agree, q is the best one for that weight; where they do not, it lags.",
        unit="",
        short="beta by the means of q",
    ),
    "optimum_ratio": Quantity(
        "What the data offer to z",
        "The largest eigenvalue of the covariance of x in units of the likelihood's variance (of the correlations of x "
        "where x is binary). Where it is below the weight of the rate, the collapsed model is a local optimum: no "
        "small step away from it pays. Not for autoregressive decoders.",
        unit="",
        short="below the rate's weight: collapsed",
    ),
    "rate_weight": Quantity(
        "Weight of the rate",
        "The weight of the rate (β) in the loss at the end of training; 1 for the ELBO.",
        unit="",
        short="β at the end of training",
    ),
    "largest_eigenvalue": Quantity(
        "Largest eigenvalue",
        "The largest variance of x along any direction, to be compared with β times the variance of the likelihood.",
        unit="",
        short="largest variance in any direction",
    ),
    "likelihood_variance": Quantity(
        "Variance of the likelihood",
        "σ² of the Gaussian p(x|z). A squared error averaged over D values of x is a Gaussian with σ² = D/2.",
        unit="",
        short="σ² of p(x|z)",
    ),
    "eigenvalues_above_variance": Quantity(
        "Eigenvalues above the variance",
        "How many eigenvalues of the covariance of x exceed the variance of the likelihood times the rate's weight. "
        "A linear decoder at its optimum has as many active units, and no more (Lucas et al., 2019).",
        unit="",
        short="active units of a linear optimum",
    ),
    "residual_variance": Quantity(
        "Variance about the decoder's mean",
        "The mean square of x about the decoder's mean. The variance of the likelihood should be near it.",
        unit="",
        short="what σ² of p(x|z) should be near",
    ),
    "savable_distortion": Quantity(
        "Distortion that z may save",
        "The most that a z can lower a Gaussian distortion by. At the optimum β times the rate is no larger.",
        short="the most that any z can save",
    ),
    "collapsed_fraction": Quantity(
        "Collapsed share of z",
        "Share of the dimensions of z whose KL is below 0.1 nats for 99 % of the examples (Lucas et al., 2019).",
        unit="",
        short="share of dimensions with KL near 0",
    ),
    **QUANTITIES_OF_CRITICS,
    "feature_cosine": Quantity(
        "Similarity of features",
        "Mean cosine similarity of the encoder's features of two different examples. Near 1, the features are the same "
        "for all x, and the posterior cannot distinguish them.",
        unit="",
        short="near 1: same features for all x",
    ),
    "label_accuracy": Quantity(
        "Label accuracy from means",
        "Accuracy of a linear probe for the class label, fitted on the mean of q(z|x) of other held-out examples. The "
        "model was not trained with labels; compare with the accuracy without z.",
        unit="",
        better="higher",
        short="accuracy of a linear probe",
    ),
    "label_accuracy_sampled": Quantity(
        "Label accuracy from z",
        "The same from a sample of q(z|x), which is what the decoder receives.",
        unit="",
        better="higher",
        short="the same from a draw of z",
    ),
    "label_accuracy_chance": Quantity(
        "Label accuracy without z",
        "Share of the most frequent class label among the same examples: the accuracy of always guessing it.",
        unit="",
        short="share of the most frequent label",
    ),
    "effective_sample_size": Quantity(
        "Effective sample size",
        "How many of the importance samples of the NLL carry weight. Near 1, the NLL is hardly tighter than −ELBO.",
        unit="",
        write=count,
        short="importance samples that count",
    ),
    **QUANTITIES_OF_CHECKS,
    **QUANTITIES_OF_NEIGHBOURS,
    **QUANTITIES_OF_FACTORS,
    **QUANTITIES_OF_SOUND,
}
"""Name in ``evidence.json`` -> quantity, in the order of the page."""


def quantity(name: str) -> Quantity:
    """The quantity of an estimate: ``rate/coarse`` is that of a level, and what we do not know is called as it is.

    Example:
        >>> quantity("rate/coarse").title, quantity("my_number").title
        ('Rate, coarse', 'my number')
    """
    base, _, level = name.partition("/")
    if base not in QUANTITIES:
        return Quantity(name.replace("_", " "), "", unit="")
    known = QUANTITIES[base]
    return replace(known, title=f"{known.title}, {level}") if level else known
