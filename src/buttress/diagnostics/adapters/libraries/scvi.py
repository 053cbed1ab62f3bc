r"""Modules of scvi-tools: those with one normal q(z|x) and one p(x|z), such as VAE (SCVI) and LDVAE (LinearSCVI).

A module is what a model of scvi-tools holds as ``model.module``, and its data are the dicts of its loader. What the
loader gives beside the counts (``batch``, ``labels``, covariates) is known beside x, and p(x|z) is the distribution
that ``generative`` gives as ``px``: (zero-inflated) negative binomial, Poisson or normal. Where the library size is
read off the counts, it is known too; where it is a latent variable, its logarithm l is the last dimension of z, and the
rate is that of both:

$$ \mathrm{KL}(q(z|x) \,\|\, N(0, I)) + \mathrm{KL}(q(l|x) \,\|\, N(\mu_{batch}, \sigma^2_{batch})). $$

Before anything is measured, the two terms are compared with those of the module's own ``loss``, cell by cell.
"""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, kl_divergence

from buttress.core.batch import Batch, Given
from buttress.diagnostics.adapters.library_model import ROWS, LibraryModel
from buttress.diagnostics.adapters.outputs import in_precision_of
from buttress.diagnostics.evaluation import evaluating
from buttress.diagnostics.passes import as_batch
from buttress.diagnostics.protocol import Adapter, Batches

__all__ = ["adapt"]

METHODS = ("inference", "generative", "loss", "_get_inference_input", "_get_generative_input")
"""What every module of scvi-tools has that is no Pyro program."""
CLOSE = 1e-3
"""Of the loss, between the module's terms and those measured here."""


def adapt(model: Any, batches: Batches, likelihood: str | None, variance: float | None) -> LibraryModel | None:
    """A module of scvi-tools; None where it has no ``inference`` and ``generative``.

    Args:
        model: ``model.module`` of a model of scvi-tools, trained or not.
        batches: Counts, with ``batch`` and what else the module reads beside them.
        likelihood: Must be None: it is that of the module.
        variance: Must be None.

    Errors:
        ValueError: A likelihood is named; the batch index is missing; or the module's loss is not that of one normal
            q(z|x) and one p(x|z), as for several modalities or levels.

    Example:
        >>> adapt(torch.nn.Linear(2, 2), [torch.zeros(2, 2)], None, None) is None
        True
    """
    if not all(callable(getattr(model, name, None)) for name in METHODS):
        return None
    name = f"scvi-tools' {type(model).__name__}"
    if likelihood is not None or variance is not None:
        raise ValueError(
            f"likelihood {likelihood!r} came with {name}, which has its own (gene_likelihood); leave likelihood and "
            "variance out"
        )
    cells = Cells(model)
    given = [cells.batch(as_batch(batches[i]), i) for i in range(len(batches))]
    with evaluating(model):
        note = cells.begin(given[0].take(slice(0, ROWS)))
    adapter = Adapter(cells.posterior, cells.prior, cells.log_likelihood, model, notes=(f"{name}: {note}",))
    return LibraryModel(adapter, beta=1.0, batches=given)


class Cells:
    """A module that reads and writes counts of cells.

    Args:
        model: The module.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.latents = 0
        self.sized = False
        """Whether the library size is a latent variable."""
        encoder = getattr(model, "z_encoder", None)
        self.to_decoder = getattr(encoder, "z_transformation", lambda z: z)
        """What lies between a normal z and what the decoder reads: a softmax where z is logistic normal."""

    def batch(self, batch: Batch, number: int) -> Batch:
        """A batch with the indices that the module wants, 0 where it knows of one value alone.

        Errors:
            ValueError: One that makes a difference is missing.
        """
        given, zero = dict(batch.given), torch.zeros(len(batch.x), 1, dtype=torch.long, device=batch.x.device)
        by_label = getattr(self.model, "dispersion", "") == "gene-label"
        for name, key, matters in (("batch", "batch", True), ("label", "labels", by_label)):
            values = getattr(self.model, f"n_{key}", 0) if matters else 0
            if name not in given and values > 1:
                raise ValueError(
                    f"batch {number} has no entry {key!r}, and {type(self.model).__name__} tells {values} apart; hand "
                    f"over dicts with X and {key}, as the loader of scvi-tools gives"
                )
            given.setdefault(name, zero)
        return Batch(batch.x, given)

    def begin(self, some: Batch) -> str:
        """Find out what z is, and compare both terms with the module's own; what was found, in words.

        Errors:
            ValueError: The module has no such q and p(x|z), or its loss is another.
        """
        told = self._inferred(some.x, some.given)
        q = told.get("qz")
        if not isinstance(q, Normal) or not isinstance(told.get("library"), Tensor):
            self._refuse(f"inference gives {', '.join(told)}, wanted a normal qz and a library")
        self.latents, self.sized = int(q.loc.shape[-1]), told.get("ql") is not None
        z = self._latents(told).sample()
        told |= {"z": self.to_decoder(z[:, : self.latents])}
        told |= {"library": z[:, self.latents :]} if self.sized else {}
        out = self._generated(self._tensors(some.x, some.given), told)
        if not isinstance(out.get("px"), Distribution):
            self._refuse(f"generative gives {', '.join(out)}, wanted a distribution px")
        own = self.model.loss(self._tensors(some.x, some.given), told, out)
        theirs = sum(own.reconstruction_loss.values()) + sum(own.kl_local.values())
        rate = kl_divergence(self._latents(told), Normal(*self._prior(some.given))).sum(-1)
        ours = rate - self.log_likelihood(some.x, z[None], some.given)[0]
        if not torch.allclose(theirs, ours, rtol=CLOSE, atol=CLOSE):
            self._refuse(
                f"its loss is {float(theirs[0]):.5g} for the first cell, and -log p(x|z) + KL(q || p) of qz and px is "
                f"{float(ours[0]):.5g}"
            )
        size = f"its logarithm is dimension {self.latents} (from 0) of z" if self.sized else "known beside z"
        return f"p(x|z) is its {type(out['px']).__name__}; the library size: {size}; beta is taken as 1, after warm-up"

    def posterior(self, x: Tensor, given: Given) -> Distribution:
        """q(z|x), and q(l|x) behind it where the library size is latent."""
        return Independent(self._latents(self._inferred(x, given)), 1)

    def prior(self, given: Given) -> Distribution:
        """N(0, I), and p(l|batch) behind it where the library size is latent."""
        return Independent(Normal(*self._prior(given)), 1)

    def log_likelihood(self, x: Tensor, z: Tensor, given: Given) -> Float[Tensor, "S B"]:
        """log p(x|z, given), (S, B)."""
        s, rows = len(z), z.flatten(0, 1)
        if self.sized:
            library = rows[:, self.latents :]
        else:
            with torch.no_grad():
                library = self._inferred(x, given)["library"].repeat(s, 1)
        repeated = {name: value.repeat(s, *[1] * (value.dim() - 1)) for name, value in given.items()}
        tensors = self._tensors(x.repeat(s, 1), repeated)
        told = {"z": self.to_decoder(in_precision_of(self.model, rows[:, : self.latents])), "library": library}
        found: Tensor = self._generated(tensors, told)["px"].log_prob(tensors["X"]).sum(-1)
        return found.reshape(s, -1)

    def _prior(self, given: Given) -> tuple[Tensor, Tensor]:
        """Means and standard deviations of p, (B, D)."""
        zero = in_precision_of(self.model, torch.zeros(len(given["batch"]), self.latents, device=given["batch"].device))
        if not self.sized:
            return zero, torch.ones_like(zero)
        told = {"z": self.to_decoder(zero), "library": zero[:, :1]}
        size = self._generated(self._tensors(zero, given), told)["pl"]
        return torch.cat([zero, size.loc], -1), torch.cat([torch.ones_like(zero), size.scale], -1)

    def _latents(self, told: dict[str, Any]) -> Normal:
        """The q of z, and of l where it is latent."""
        found = [told["qz"], told["ql"]] if self.sized else [told["qz"]]
        return Normal(torch.cat([q.loc for q in found], -1), torch.cat([q.scale for q in found], -1))

    def _tensors(self, x: Tensor, given: Given) -> dict[str, Tensor]:
        """A batch as the loader of scvi-tools gives it."""
        names = {"label": "labels"}
        return {"X": in_precision_of(self.model, x), **{names.get(name, name): value for name, value in given.items()}}

    def _inferred(self, x: Tensor, given: Given) -> dict[str, Any]:
        return dict(self.model.inference(**self.model._get_inference_input(self._tensors(x, given))))

    def _generated(self, tensors: dict[str, Tensor], told: dict[str, Any]) -> dict[str, Any]:
        return dict(self.model.generative(**self.model._get_generative_input(tensors, told)))

    def _refuse(self, why: str) -> NoReturn:
        raise ValueError(
            f"scvi-tools' {type(self.model).__name__} can't be read: {why}; wanted a module with one z, such as VAE "
            "(SCVI) or LDVAE (LinearSCVI); hand it over as an Adapter of three callables, each with a last argument "
            "`given`"
        )
