r"""Is it the optimum that is collapsed? What the data offer to z beside what z must pay.

Let $p(x|z) = \prod_i p(x_i | \eta_i(z))$ and let training maximise, over q and the decoder $\eta(\cdot)$,

$$ L = \mathbb{E}_x \bigl[ \mathbb{E}_{q(z|x)} \log p(x | \eta(z)) - \beta\, \mathrm{KL}(q(z|x) \| p(z)) \bigr]. $$

For a given decoder the best q is $q \propto p(z)\, p(x | \eta(z))^{1/\beta}$, and

$$ L = \beta\, \mathbb{E}_x \log \mathbb{E}_{p(z)} \exp\bigl( \tfrac1\beta \log p(x | \eta(z)) \bigr). $$

Collapsed, $\eta(z)$ is the best constant $\eta_0$: $\mathbb{E}_x s = 0$ for the score
$s = \partial \log p(x|\eta) / \partial \eta$, with Fisher information $F = -\mathbb{E}_x\, \partial s / \partial \eta$.
Put $\eta(z) = \eta_0 + \delta(z)$ and $u = s^\top \delta - \tfrac12 \delta^\top F \delta$. To second order in $\delta$
the log of the mean is $\tfrac1\beta \mathbb{E}_z u + \tfrac{1}{2 \beta^2} \operatorname{Var}_z u$, and so

$$ L - L_0 = \tfrac12 \operatorname{tr}\bigl[ C\, (\tfrac1\beta \operatorname{Cov}(s) - F) \bigr]
   - \tfrac12 \bar\delta^\top F \bar\delta, \qquad C = \operatorname{Cov}_{p(z)} \delta, \quad
   \bar\delta = \mathbb{E}_{p(z)} \delta. $$

Some decoder near the collapsed one is better, with a C along an eigenvector, if and only if

$$ \lambda_{\max}\bigl( F^{-1/2} \operatorname{Cov}(s) F^{-1/2} \bigr) > \beta. $$

The left side is ``optimum_ratio``: $\lambda_{\max}(\operatorname{Cov} x) / \sigma^2$ of a Gaussian, the largest
eigenvalue of the correlation matrix of x of a Bernoulli, and that of the normalised one-hot covariance, of
$(1[x = k] - p_k) / \sqrt{p_k}$, of a categorical. For the linear-Gaussian model this is exact and holds of the global
optimum: direction i of x is encoded if and only if $\lambda_i > \beta \sigma^2$ (Tipping and Bishop 1999; Lucas et al.
2019; with beta: Wang and Ziyin 2022). For other decoders it says whether the collapsed point is a local maximum: one
that is not linear may be better far away from it. This holds for every decoder with a Gaussian of fixed variance: at an
optimum z saves at least the $\beta R$ that it costs, and no z saves more than all of the squared error, so
$\beta R \le \mathbb{E} |x - \mathbb{E} x|^2 / 2 \sigma^2$, which is ``savable_distortion``.

Autoregressive decoders are left out: their sites explain each other without z.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.core.model import LatentVariableModel
from buttress.diagnostics.estimate import Estimate, mean
from buttress.diagnostics.estimator import Subject, estimator
from buttress.diagnostics.evaluation import choose, draw, evaluating
from buttress.diagnostics.largest_eigenvalue import Eigenvalue, eigenvalues_above, largest_eigenvalue
from buttress.diagnostics.passes import Block, count, one_hot, passes
from buttress.diagnostics.protocol import Conditional
from buttress.diagnostics.residuals import LEAST, PROBED, some_at_once
from buttress.diagnostics.site_family import ENTANGLED, SiteFamily, recognise, slope
from buttress.distributions.inspect import is_discrete
from buttress.runtime.memory import pairs_at_once

__all__ = ["LEAST", "MOST", "NUMBERS", "optimum"]

MOST = 2000
"""Examples for the eigenvalue: its relative standard error is then 3 % for a Gaussian."""
NUMBERS = 2**24
"""Most numbers of x held at once, 64 MB: with 3 x 64 x 64 pixels they are 1,365 examples."""
RESIDUALS = 256
"""Examples that ``residual_variance`` is measured on."""


def optimum(subject: Subject) -> Mapping[str, Estimate]:
    r"""The estimates of this file for a model: none where z is made of codes, one with its reason where x does not fit.

    - ``optimum_ratio``: to be compared with the weight of the rate (``rate_weight``; 1 for the ELBO).
    - ``largest_eigenvalue``, ``likelihood_variance``, ``residual_variance``: of a Gaussian with one variance, in
      squared units of x (for a run in those of the likelihood's scaled variable): $\lambda_{\max}$, $\sigma^2$, and
      the mean square of x about the decoder's mean at z ~ q(z|x), over all sites.
    - ``eigenvalues_above_variance``: of a Gaussian with a fixed variance, how many eigenvalues of the covariance of x
      exceed beta sigma^2: as many dimensions of z the optimum of a linear decoder uses.
    - ``savable_distortion``: see above, in nats.

    Args:
        subject: The model and its data.

    Example:
        >>> from buttress.diagnostics.passes import Encoded
        >>> from buttress.diagnostics.protocol import conditional
        >>> from buttress.diagnostics.reference import LinearGaussian
        >>> model = LinearGaussian(torch.tensor([[2.0], [1.0]]).double(), torch.zeros(2).double(), 0.5)
        >>> asked = conditional(model.vae())
        >>> found = optimum(Subject(asked, Encoded(asked, [model.sample(2000)[0]]), {"seed": 0}))
        >>> for name, estimate in found.items():  # in closed form: 11, 5.5, 0.5, 1, 0.5, 6
        ...     print(name, estimate)
        optimum_ratio 10.9 ± 0.3
        largest_eigenvalue 5.4 ± 0.2
        likelihood_variance 0.5
        eigenvalues_above_variance 1
        residual_variance 0.48 ± 0.03
        savable_distortion 5.9 ± 0.2
    """
    with evaluating(subject.model, subject.seed) as asked:
        n = count(subject.data)
        if reason := _unfit(subject, n):
            return _unknown(n, reason)
        few = some_at_once(subject, PROBED)
        if is_discrete(few.prior) or is_discrete(few.q) or one_hot(few.q):
            return {}
        family = _family(asked, few, subject.seed)
        if isinstance(family, str):
            return _unknown(n, family) if family else {}
        width = family.whiten(few.x[:2]).shape[1]
        rows = some_at_once(subject, max(LEAST, min(MOST, NUMBERS // max(1, width)))).x
        white = family.whiten(rows).float()
        found = largest_eigenvalue(white, subject.seed)
        estimates = {"optimum_ratio": _ratio(found, family, len(rows))}
        if family.precision is not None:
            estimates |= _gaussian(asked, subject, family, found, white)
        return estimates


def _unfit(subject: Subject, n: int) -> str:
    """Why the data do not fit, in a sentence; empty where they do."""
    shapes = {subject.data[i].x.shape[1:] for i in range(len(subject.data))}
    if subject.conditions:
        return "what the conditions explain would have to be taken out of x first: not for conditional models"
    if len(shapes) > 1 or "lengths" in subject.data[0].given:
        return "the examples differ in length"
    return f"{n} examples are too few" if n < LEAST else ""


def _unknown(n: int, reason: str) -> dict[str, Estimate]:
    return {"optimum_ratio": Estimate(None, None, n, "not measured", note=reason)}


def _own(model: Any) -> LatentVariableModel | None:
    """The model of a run behind whatever finds its q; None for a model of another kind."""
    model = model if isinstance(model, LatentVariableModel) else getattr(model, "model", None)
    return model if isinstance(model, LatentVariableModel) else None


def _family(asked: Conditional, few: Block, seed: int) -> SiteFamily | str:
    """The family of p(x|z), or why there is none to speak of; an empty text where x is made of integers."""
    own = _own(asked.model)
    if own is not None and own.autoregressive:
        return ENTANGLED
    if own is not None and own.likelihood.scores(few.x[:2]) is not None:
        name = "Gaussian with a variance for each site" if few.x.is_floating_point() else "categorical"
        return SiteFamily(name, lambda x: _scores(own, x))
    if not few.x.is_floating_point():
        return ""
    latents = draw(few.q, few.index, 1, seed, "optimum"), draw(few.prior, few.index, 1, seed, "optimum")
    return recognise(asked, few, *(z.to(few.x.device) for z in latents))


def _scores(own: LatentVariableModel, x: Tensor) -> Float[Tensor, "N M"]:
    found = own.likelihood.scores(x)
    assert found is not None  # the caller has looked
    return found


def _ratio(found: Eigenvalue, family: SiteFamily, n: int) -> Estimate:
    between = f"{found.held_out:.3g} on examples held out of it, {found.in_sample:.3g} on its own"
    averaged = "" if family.normalised or family.name != "Bernoulli" else ", averaged over the sites of x"
    note = (
        f"{family.name}{averaged}; near the collapsed point z pays where it exceeds the weight of the rate; {between}"
    )
    return Estimate(found.value, found.error, n, "largest eigenvalue, cross-validated", note=note)


def _gaussian(
    asked: Conditional, subject: Subject, family: SiteFamily, found: Eigenvalue, white: Float[Tensor, "N M"]
) -> dict[str, Estimate]:
    """What has a meaning for a Gaussian of one variance, or of one for each column."""
    assert family.precision is not None  # the caller has looked
    own, n = _own(asked.model), len(white)
    saved = mean(
        0.5 * (white.square().sum(1) * n / (n - 1)).double().cpu(), "closed form", note="nats that z may save at most"
    )
    variance = 1 / family.precision.max().item() if family.shared else None
    unit = "squared units of x"
    if own is not None and (scaled := own.likelihood.shared_variance()) is not None:
        variance, unit = scaled, "of the likelihood's scaled variable"
    if variance is None:
        return {"savable_distortion": saved}
    left = _residuals(asked, subject, family)
    lacking = "" if family.normalised else "; log_likelihood lacks the constants of this density"
    return {
        "largest_eigenvalue": Estimate(
            variance * found.value, variance * found.error, n, "largest eigenvalue, cross-validated", note=unit
        ),
        "likelihood_variance": Estimate(
            variance, None, n, "slope of log_likelihood in x", note=f"sigma^2, {unit}{lacking}"
        ),
        "eigenvalues_above_variance": _above(white, 1.0 if subject.beta is None else subject.beta, subject.seed),
        "residual_variance": mean(
            variance * left, "slope of log_likelihood in x", note=f"of x about the decoder's mean at z of q, {unit}"
        ),
        "savable_distortion": saved,
    }


def _above(white: Float[Tensor, "N M"], beta: float, seed: int) -> Estimate:
    """The number of eigenvalues above beta, x being in units of sigma."""
    least, most = eigenvalues_above(white, beta, seed)
    note = f"between {least}, on examples held out of the directions, and {most}, on their own; beside active_units"
    value, ceiling = (least + most) // 2, min(white.shape)
    return Estimate(float(value), None, len(white), "eigenvalues", float(ceiling), note)


def _residuals(asked: Conditional, subject: Subject, family: SiteFamily) -> Float[Tensor, " N"]:
    """(x - m(z))^2 / sigma^2 of each example, the mean over the sites that vary."""
    precision = family.precision
    assert precision is not None  # the caller has looked
    rows, keep = [], choose(count(subject.data), RESIDUALS, subject.seed)
    for block in passes(subject.model, subject.data, keep=keep):
        for part in block.split(max(1, pairs_at_once(block.x) // 2)):
            z = draw(part.q, part.index, 1, subject.seed, "optimum")
            g = slope(asked, part, part.x, z)[1]
            rows.append(torch.where(precision > 0, g.square() / precision, torch.nan).flatten(1).nanmean(1).cpu())
    return torch.cat(rows)


@estimator("use of z by the decoder")
def measure(subject: Subject) -> Mapping[str, Estimate]:
    """What z must pay and what the data offer for it."""
    found = dict(optimum(subject))
    if subject.beta is not None:
        n = count(subject.data)
        found["rate_weight"] = Estimate(
            subject.beta, None, n, "given", note="weight of the rate at the end of training"
        )
    return found
