"""buttress ppca DATA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from buttress.core.recipe import Recipe

__all__ = ["ppca"]

SHOWN = 8
"""Eigenvalues that are printed; ``--out`` writes all."""

USUAL = 50
"""Latents, where examples have more numbers."""


def ppca(
    recipe: Recipe, latents: int | None = None, variance: float | None = None, seed: int = 0, out: Path | None = None
) -> None:
    """The optimum of a linear VAE of your data, in closed form: what z would carry at which variance.

    A linear VAE with a Gaussian likelihood of variance sigma^2 uses as many dimensions of z as the covariance of the
    data has eigenvalues above sigma^2; the others stay collapsed at its optimum, whatever the training. Its best ELBO
    is the log p(x) of probabilistic PCA, in nats per example as a diagnosis gives it.

    Args:
        recipe: Its data are read, and of a Gaussian likelihood how it treats them.
        latents: Dimensions of z; none for 50, or for all but one where an example has no more numbers.
        variance: sigma^2 to look at beside the best one: of grey levels in [0, 1], of standardised numbers.
        seed: Seed of the uniform noise on grey levels.
        out: A .json file for all eigenvalues and the numbers printed; none for no file.

    Errors:
        ValueError: Data that a Gaussian does not fit, or as many latents as there are numbers in an example.

    Example:
        On the command line::

            buttress ppca DATA --latents 50 --variance 0.1 --out spectrum.json
    """
    from buttress.data.opened import opened
    from buttress.diagnostics.spectrum import Spectrum
    from buttress.experiments.ppca import Scaled, gaussian_for, optimum_at, write_spectrum
    from buttress.likelihoods.gaussian import GaussianLikelihood

    if latents is not None and latents < 1:
        raise ValueError(f"latents is {latents}, wanted at least 1")
    if variance is not None and not variance > 0:
        raise ValueError(f"variance is {variance}, wanted more than 0")
    splits = opened(recipe.data)
    own = recipe.likelihood
    data = Scaled(splits, own if isinstance(own, GaussianLikelihood) else gaussian_for(splits.spec), seed)
    spectrum = Spectrum.of(data.train())
    if latents is None:
        latents = max(1, min(USUAL, spectrum.dims - 1))
    found = [optimum_at(data, spectrum, latents)]
    if variance is not None:
        found.append(optimum_at(data, spectrum, latents, variance))
    _tell(data, spectrum, found)
    if out is not None:
        write_spectrum(out, data, spectrum, found)
        print(f"written: {out}")


def _tell(data: Any, spectrum: Any, found: list[Any]) -> None:
    """Print the spectrum, and a row for each optimum."""
    largest = ", ".join(f"{value:.3g}" for value in spectrum.values[:SHOWN].tolist())
    print(f"{spectrum.n:,} training examples of {spectrum.dims:,} numbers; variance {spectrum.values.sum():.4g} in all")
    if data.constant:
        print(f"left out, because they are constant: {', '.join(data.constant)}")
    print(f"eigenvalues of their covariance: {largest}{', ...' if spectrum.dims > SHOWN else ''}")
    print(f"at a sigma^2 of {spectrum.values[0]:.3g} or more no latent pays for itself\n")
    print("optimum of a linear VAE, ELBO in nats per example:")
    heads = ("sigma^2", "eigenvalues above", "latents used", "training", "held out", "one more latent")
    rows = [heads, *(_row(one, one is found[0]) for one in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print("\n".join("  ".join(map(str.rjust, row, widths)) for row in rows))
    if data.fractions:
        print(f"\ndensities are of the stored values; of values in [0, 1] they are {data.log_units:.1f} nats higher")


def _row(one: Any, best: bool) -> tuple[str, ...]:
    gain = f"gains {one.gain:.3g}" if one.gain else "stays collapsed"
    used = f"{one.used} of {one.latents}"
    return f"{one.variance:.4g}{' (best)' * best}", str(one.above), used, f"{one.train:.1f}", str(one.held_out), gain
