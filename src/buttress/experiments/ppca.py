r"""Probabilistic PCA of a user's own data: the optimum of every linear VAE of them, and which directions z pays for.

It is the y of the Gaussian likelihood that is looked at: grey levels in [0, 1] with uniform noise, other numbers
standardised, constant columns of a table left out. So sigma^2 is in the units of ``likelihood.variance``. Nats are
those of the stored data, as everywhere: $\log p(x) = \log p(y) - \sum_i \log \mathrm{unit}_i$.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from buttress.core import DataSpec, Examples, Likelihood, Splits
from buttress.core.model import LatentVariableModel
from buttress.decoders.mlp import MlpDecoderModule
from buttress.diagnostics.estimate import Estimate, mean
from buttress.diagnostics.reference import LinearGaussian, LinearVAE
from buttress.diagnostics.spectrum import Spectrum
from buttress.encoders.linear import LinearEncoder
from buttress.encoders.mlp import MlpEncoderModule
from buttress.likelihoods.gaussian import GaussianLikelihood, GaussianLikelihoodModule
from buttress.nn.layers import bounded
from buttress.posteriors.gaussian import GaussianPosteriorModule
from buttress.runtime.atomic_write import write_text
from buttress.training.held_out import HeldOut

__all__ = ["Optimum", "Scaled", "gaussian_for", "linear_vae", "optimum_at", "write_spectrum"]

ROWS = 1000


@dataclass(frozen=True)
class Optimum:
    """The best linear VAE of given data for one sigma^2.

    Args:
        variance: sigma^2 of the scaled variable.
        latents: Dimensions of z.
        used: How many of them carry anything.
        above: Eigenvalues above sigma^2: how many more latents would be used.
        train: Mean log p(x) of the training data, which is the ELBO too, in nats per example.
        held_out: The same of held-out data, with its error.
        gain: What one more latent would gain on training data, in nats; 0 where it would stay collapsed.
    """

    variance: float
    latents: int
    used: int
    above: int
    train: float
    held_out: Estimate
    gain: float


class Scaled:
    """Data as the Gaussian likelihood scales them, a few at a time.

    Args:
        splits: The data, opened.
        likelihood: Gaussian; its variance is not read.
        seed: Of the noise of dequantised images.

    Errors:
        ValueError: The examples are of several sizes, or no numbers.

    Example:
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> splits = LinearGaussianData(dim=4, n=2000).open()
        >>> data = Scaled(splits, gaussian_for(splits.spec))
        >>> spectrum = Spectrum.of(data.train())
        >>> round(spectrum.values.sum().item(), 2)  # four columns, standardised
        4.0
        >>> best = optimum_at(data, spectrum, latents=3)
        >>> best.used, abs(best.train - best.held_out.value) < 4 * best.held_out.error
        (3, True)
    """

    def __init__(self, splits: Splits, likelihood: Likelihood, seed: int = 0) -> None:
        spec = splits.spec
        if why := LinearEncoder().misfit(spec.layout) or likelihood.misfit(spec.layout):
            raise ValueError(f"pPCA does not fit {spec.kind} data: {why}")
        module = likelihood.build(spec)
        assert isinstance(module, GaussianLikelihoodModule)  # see gaussian_for
        self.splits, self.likelihood, self.seed = splits, module, seed
        self.kept = module.varying_sites()
        self.constant = tuple(name for name, kept in zip(spec.columns, self.kept, strict=False) if not kept)
        """Names of constant columns, which are left out."""
        self.fractions = spec.layout.axes == 2 and module.fractions
        """Whether the scaled variable is grey levels in [0, 1]."""

    def train(self) -> Iterator[Float[Tensor, "B D"]]:
        """The training data."""
        return self._rows(self.splits.train)

    def held_out(self) -> Iterator[Float[Tensor, "B D"]]:
        """The held-out data."""
        return self._rows(self.splits.held_out)

    @property
    def log_units(self) -> float:
        """log p(y) - log p(x): what the units of the stored data take from a density."""
        return self.likelihood.log_units(len(self.kept)).item()

    def _rows(self, examples: Examples) -> Iterator[Float[Tensor, "B D"]]:
        def scaled(raw: Tensor) -> Tensor:
            self.likelihood.check(raw)
            return self.likelihood.features(self.likelihood.observe(raw))

        batches = HeldOut(examples, scaled, self.seed, ROWS)
        for number in range(len(batches)):
            yield batches[number].x.flatten(1)[:, self.kept]


def gaussian_for(spec: DataSpec) -> GaussianLikelihood:
    """The Gaussian likelihood for such data: grey levels with uniform noise, other numbers as they are.

    Example:
        >>> from buttress.core import Layout
        >>> gaussian_for(DataSpec(Layout.image(1, 8, 8), levels=256)).dequantize
        True
    """
    return GaussianLikelihood(dequantize=spec.levels == 256)


def optimum_at(data: Scaled, spectrum: Spectrum, latents: int, variance: float | None = None) -> Optimum:
    """The best linear VAE with K latents, in closed form.

    Args:
        data: Whose spectrum it is.
        spectrum: Of the training data.
        latents: K.
        variance: sigma^2 of the scaled variable; None for that of maximum likelihood.

    Errors:
        ValueError: There are no more numbers in an example than latents.
    """
    best = spectrum.best_variance(latents) if variance is None else variance
    model = LinearGaussian.of_spectrum(spectrum, latents, best)
    held_out = torch.cat([model.log_marginal(rows) for rows in data.held_out()]) - data.log_units
    above = spectrum.above(best)
    used = min(latents, above)
    train = spectrum.log_marginal(latents, best) - data.log_units
    return Optimum(best, latents, used, above, train, mean(held_out, "closed form"), spectrum.gain(used, best))


def write_spectrum(path: Path, data: Scaled, spectrum: Spectrum, found: list[Optimum]) -> None:
    """Write all eigenvalues and the optima found as JSON."""
    plain = {
        "format": 1,
        "examples": spectrum.n,
        "eigenvalues": spectrum.values.tolist(),
        "constant_columns": list(data.constant),
        "log_units": data.log_units,
        "optima": [asdict(one) for one in found],
    }
    write_text(path, json.dumps(plain, indent=1) + "\n")


@torch.no_grad()
def linear_vae(model: LatentVariableModel) -> LinearVAE:
    """A trained model of linear parts as the closed form that it is: of y, without constant columns.

    Args:
        model: With a linear encoder and decoder, a Gaussian posterior of constant variance, the prior N(0, I) and a
            Gaussian likelihood of one variance.

    Errors:
        ValueError: It has another structure.

    Example:
        >>> from dataclasses import replace
        >>> from buttress.baseline import baseline
        >>> from buttress.data.linear_gaussian import LinearGaussianData
        >>> from buttress.decoders.linear import LinearDecoder
        >>> from buttress.posteriors.gaussian import GaussianPosterior
        >>> data = LinearGaussianData(dim=4, n=50)
        >>> spec = data.open().spec
        >>> parts = {"encoder": LinearEncoder(), "posterior": GaussianPosterior(2, variance="constant")}
        >>> model = replace(baseline(data, spec), decoder=LinearDecoder(), **parts).model(spec)
        >>> linear_vae(model).spread.tolist()
        [1.0, 1.0]
    """
    posterior, decoder, likelihood = model.inference, model.decoder, model.likelihood
    if not (
        isinstance(posterior, GaussianPosteriorModule)
        and posterior.log_variance is not None
        and isinstance(model.encoder, MlpEncoderModule)
        and not len(model.encoder.net)
        and isinstance(decoder, MlpDecoderModule)
        and not len(decoder.net)
        and isinstance(likelihood, GaussianLikelihoodModule)
        and (variance := likelihood.shared_variance()) is not None
    ):
        raise ValueError(
            "expected a linear model: encoder linear, posterior gaussian with a constant variance, decoder linear and "
            "a gaussian likelihood of one variance"
        )
    kept = likelihood.varying_sites()
    rows = torch.cat([decoder.out.weight.T, decoder.out.bias[None]]).double()
    *columns, middle = likelihood.to_x(rows.reshape(-1, *decoder.shape)).flatten(1)[:, kept]
    weight = torch.stack(columns, 1)
    encoder = posterior.linear.weight.double()[:, kept]
    bias = 0.0 if posterior.linear.bias is None else posterior.linear.bias.double()
    spread = bounded(posterior.log_variance.double(), *posterior.bounds).exp()
    return LinearVAE(LinearGaussian(weight, middle, variance), encoder, spread, encoder @ middle + bias)
