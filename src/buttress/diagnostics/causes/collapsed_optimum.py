r"""The optimum itself is collapsed: no z pays for itself in this loss, so no schedule can help.

Sentence: "the optimum is collapsed". At the collapsed point the parameters of the likelihood are their best constant;
let z move them by $\epsilon w z$. With s the score there and F its Fisher information, the best $q = N(m, v)$ has
$m = \epsilon w^\top s / \beta$ and $v = 1 - \epsilon^2 w^\top F w / \beta$ to the first order that matters, and gains

$$ \tfrac12 \epsilon^2 \Bigl(\frac{w^\top \operatorname{Cov}(s)\, w}{\beta} - w^\top F w\Bigr) + O(\epsilon^4) $$

which is above 0 for some w only where $\lambda = \lambda_{\max}(F^{-1/2} \operatorname{Cov}(s) F^{-1/2}) > \beta$ (for
linear decoders Lucas et al. 2019; with beta Wang and Ziyin 2022). For a Gaussian likelihood
$\lambda = \lambda_{\max}(\operatorname{Cov} x) / \sigma^2$. So the sentence is true where ``optimum_ratio`` is below
the weight of the rate by two standard errors, and z carries nothing. It is about the collapsed point alone: a decoder
that reads z already (it gains from a better q, at the weight of the rate) is not there, and nothing follows.
"""

from __future__ import annotations

from buttress.diagnostics.cause import cause, finding
from buttress.diagnostics.compare import below, every, maybe, opposite, size
from buttress.diagnostics.estimate import short
from buttress.diagnostics.finding import Finding
from buttress.diagnostics.numbers import Numbers

__all__ = ["OPTIMUM", "WEIGHED_DOWN"]

OPTIMUM = "the optimum is collapsed"
WEIGHED_DOWN = "the optimum is collapsed without a variance to choose"
"""What remedies would have to cure where the likelihood has no variance, as a Bernoulli: the weight alone is left."""


@cause(priority=20, explains=("the model ignores z", "the data offer no more"))
def collapsed_optimum(n: Numbers) -> Finding | None:
    """Whether the largest eigenvalue is below what it must pay."""
    ratio, beta = n.get("optimum_ratio"), n.get("rate_weight")
    if ratio is None:
        return None
    weight = 1.0 if beta is None else size(beta)
    reads = every(n.gains("decoder_gain"), n.gains_at_weight) is True
    truth = every(n.collapsed, below(ratio, weight), opposite(reads))
    key = WEIGHED_DOWN if n.get("likelihood_variance") is None else OPTIMUM
    return finding(OPTIMUM, truth, [_sentence(n, weight)], [(ratio, weight)], key)


def _sentence(n: Numbers, weight: float) -> str:
    """The two sides of the inequality, and the variance at which it would turn."""
    beta = f"beta of {short(weight)}"
    ratio, low = n.text("optimum_ratio"), below(n.get("optimum_ratio"), weight)
    top, noise = n.get("largest_eigenvalue"), n.get("likelihood_variance")
    found = (
        f"the most that a direction of x offers to z is {ratio} times what it must pay, {maybe(low, 'below')} {beta}"
    )
    if top is not None and noise is not None:
        found = (
            f"the largest eigenvalue of the data, {top}, {'may be' if low is None else 'is'} below beta times the "
            f"variance of the likelihood, {short(weight * size(noise))} (it is {ratio} times the variance alone, "
            f"which would have to be above the "
            f"{beta})"
        )
        found += f"; z would be used at a variance below {short(size(top) / weight)}" if weight else ""
    elif weight > 1:
        found += f"; z would be used at a weight below {short(size(n.get('optimum_ratio')))}"
    saved = n.get("savable_distortion")
    most = "" if saved is None else f"; no z can save the decoder more than {saved} nats"
    pays = "may not pay" if low is None else "does not pay"
    return f"{found}: near the collapsed point z {pays} for itself, whatever the schedule or the encoder{most}"
