r"""Encoder–decoders of Hugging Face transformers with a latent variable between encoder and decoder.

A model is one whose ``forward(input_ids, attention_mask, labels)`` returns a ``ModelOutput`` (or a dict) with
``logits`` (B, T, V), and mean and log-variance of a normal q(z|x) by the usual names (``mu``, ``logvar``, ...). The
prior is N(0, I) and p(x|z) that of the logits. Another z takes the place of the one that ``forward`` draws in one of
these ways:

- ``forward`` has an argument ``z``, ``latent``, ``latents`` or ``latent_z``;
- the model has a method ``reparameterize``, ``reparametrize``, ``sample_latent``, ``sample_z`` or ``sample`` of (mu,
  logvar), which is exchanged while ``forward`` runs.

x is ``labels``, with -100 or padding behind the end; where there are none, ``input_ids``. An encoder that reads other
sentences than those to be written is refused: that is a conditional model.

Logits at place t predict the label at t where labels are shifted inside (T5, BART), and at t + 1 where they are not
(GPT-2). Which of the two is found out by changing the last token: at fixed z the logits that predict it do not move.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from buttress.core.batch import EMPTY, Batch, Given
from buttress.diagnostics.adapters.library_model import ROWS, LibraryModel
from buttress.diagnostics.adapters.outputs import LOG_VARIANCE, MEAN, at_least_single
from buttress.diagnostics.evaluation import evaluating
from buttress.diagnostics.passes import as_batch
from buttress.diagnostics.protocol import Adapter, Batches

__all__ = ["adapt"]

ARGUMENTS = ("z", "latent", "latents", "latent_z")
METHODS = ("reparameterize", "reparametrize", "sample_latent", "sample_z", "sample")
IGNORED = -100
"""What transformers calls a label that does not count."""
WANTED = (
    "wanted an argument z (or latent, latents, latent_z) of forward, or a method reparameterize(mu, logvar); or hand "
    "the model over as an Adapter of three callables"
)


def adapt(model: Any, batches: Batches, likelihood: str | None, variance: float | None) -> LibraryModel | None:
    """A model of transformers with a latent variable; None where ``forward`` takes no ``input_ids``.

    Args:
        model: A ``PreTrainedModel``, or a module with a part of transformers in it.
        batches: Token ids, with ``attention_mask`` and labels beside them where the data bring them.
        likelihood: Must be None: it is that of the logits.
        variance: Must be None.

    Errors:
        ValueError: ``forward`` returns no logits, mean and log-variance; there is no way to decode another z; labels
            and ``input_ids`` are different sentences; padding stands in front; or the decoder sees what it predicts.

    Example:
        >>> adapt(torch.nn.Linear(2, 2), [torch.zeros(2, 2)], None, None) is None
        True
    """
    if "input_ids" not in inspect.signature(model.forward).parameters:
        return None
    if likelihood is not None or variance is not None:
        raise ValueError(
            f"likelihood {likelihood!r} came with transformers' {type(model).__name__}, whose likelihood is that of "
            "its logits; leave likelihood and variance out"
        )
    read = LatentSentences(model, _padding_id(model))
    some = read.batch(as_batch(batches[0]).take(slice(0, ROWS)), 0)
    with evaluating(model):
        read.begin(some)
    name = f"transformers' {type(model).__name__}: x are its labels, and p(x|z) is that of its logits"
    return LibraryModel(
        Adapter(read.posterior, read.prior, read.log_likelihood, model, notes=(name, *read.notes)),
        batches=[read.batch(as_batch(batches[i]), i) for i in range(len(batches))],
    )


def _padding_id(model: Any) -> int | None:
    return getattr(getattr(model, "config", None), "pad_token_id", None)


class LatentSentences:
    """A model that reads and writes sentences.

    Args:
        model: The module.
        padding: The id of its padding; None where it has none.
    """

    def __init__(self, model: Any, padding: int | None) -> None:
        self.model, self.padding = model, padding
        self.notes: tuple[str, ...] = ()
        names = inspect.signature(model.forward).parameters
        self.argument = next((name for name in ARGUMENTS if name in names), None)
        self.method = next((name for name in METHODS if callable(getattr(model, name, None))), None)
        self.masked = "attention_mask" in names
        self.shift = 0
        self.shape: torch.Size = torch.Size()
        if self.argument is None and self.method is None:
            raise ValueError(f"transformers' {type(model).__name__} has no way to decode another z; {WANTED}")

    def batch(self, batch: Batch, number: int) -> Batch:
        """A batch as x with its true lengths, padded with 0.

        Errors:
            ValueError: Labels and input_ids are different sentences, or padding stands in front.
        """
        ids, mask = batch.x, batch.given.get("attention_mask")
        if mask is None:
            mask = torch.ones_like(ids) if self.padding is None else (ids != self.padding).long()
        lengths = mask.sum(1)
        there = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
        if not torch.equal(mask.bool(), there):
            raise ValueError(
                f"batch {number}: attention_mask is 0 in front of or within sentences, wanted padding behind them; try "
                'tokenizer.padding_side = "right"'
            )
        labels = batch.given.get("label")
        if labels is not None and (labels.shape != ids.shape or bool(((labels != ids) & there & (labels >= 0)).any())):
            raise ValueError(
                f"batch {number}: labels {tuple(labels.shape)} are other sentences than input_ids {tuple(ids.shape)}, "
                "and a q(z|x) is wanted of the x that is decoded; hand such a model over as an Adapter of three "
                "callables, each with a last argument `given`"
            )
        return Batch(torch.where(there, ids, 0), {"lengths": lengths})

    def begin(self, some: Batch) -> None:
        """Find out where z lives and which token the logits predict.

        Errors:
            ValueError: The outputs are not those wanted, or the decoder sees what it predicts.
        """
        mean = self._moments(self._called(some.x, some.given))[0]
        self.shape = mean.shape[1:]
        z = torch.randn_like(mean)
        rows, last = torch.arange(len(some.x)), some.given["lengths"] - 1
        first, second, end = some.x[:, 0], some.x[:, min(1, some.x.shape[1] - 1)], some.x[rows, last]
        other = some.x.clone()
        other[rows, last] = torch.where(end == first, second, first)
        changed = other[rows, last] != end
        one, two = (self._logits(x, z, some.given) for x in (some.x, other))
        moved = (one - two).abs().amax(-1)
        bound = 1e-4 * one.abs().max()
        before = (torch.arange(one.shape[1], device=one.device) < last[:, None]) & changed[:, None]
        if bool((moved[before] > bound).any()):
            raise ValueError(
                f"the decoder of {type(self.model).__name__} sees the token that it predicts: at a fixed z another "
                "last token changes the logits before it; wanted a decoder that reads z and the tokens before; look "
                "for cross-attention to the encoder's states, and for a missing causal mask"
            )
        if bool((moved[rows, last][changed] > bound).any()):
            self.shift = 1
            self.notes = ("logits at each token predict the next one, so the first token has no cost",)

    def posterior(self, x: Int[Tensor, "B T"], given: Given = EMPTY) -> Distribution:
        """q(z|x)."""
        mean, log_variance = self._moments(self._called(x, given))
        mean, log_variance = at_least_single(mean), at_least_single(log_variance)
        return Independent(Normal(mean, (log_variance / 2).exp()), mean.dim() - 1)

    def prior(self) -> Distribution:
        """N(0, I)."""
        zero = torch.zeros(self.shape, device=next(self.model.parameters()).device)
        return Independent(Normal(zero, torch.ones_like(zero)), len(self.shape))

    def log_likelihood(self, x: Int[Tensor, "B T"], z: Float[Tensor, "S B *event"], given: Given = EMPTY) -> Tensor:
        """log p(x|z), (S, B), summed over the tokens within the true length."""
        s, lengths = len(z), _lengths(x, given).repeat(len(z))
        rows = x.repeat(s, 1)
        logits = at_least_single(self._logits(rows, z.flatten(0, 1), {"lengths": lengths}))
        if self.shift:
            logits, rows, lengths = logits[:, :-1], rows[:, 1:], lengths - 1
        counts = self._within(rows, lengths)
        told = logits.log_softmax(-1).gather(-1, rows[..., None])[..., 0]
        return torch.where(counts, told, 0.0).sum(1).reshape(s, -1)

    def _within(self, x: Tensor, lengths: Tensor) -> Bool[Tensor, "B T"]:
        return torch.arange(x.shape[1], device=x.device) < lengths[:, None]

    def _called(self, x: Tensor, given: Given, **named: Any) -> Mapping[str, Any]:
        """What ``forward`` returns for sentences padded with 0."""
        there = self._within(x, _lengths(x, given))
        ids = x if self.padding is None else torch.where(there, x, self.padding)
        named |= {"attention_mask": there.long()} if self.masked else {}
        if "labels" in inspect.signature(self.model.forward).parameters:
            named["labels"] = torch.where(there, x, IGNORED)
        out = self.model(input_ids=ids, **named)
        return out if isinstance(out, Mapping) else vars(out)

    def _moments(self, out: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        found = [
            next((out[n] for n in names if isinstance(out.get(n), Tensor)), None) for names in (MEAN, LOG_VARIANCE)
        ]
        mean, log_variance = found
        if mean is None or log_variance is None or not isinstance(out.get("logits"), Tensor):
            raise ValueError(
                f"forward(input_ids, ...) of {type(self.model).__name__} gave {', '.join(map(str, out))}, wanted "
                f"logits, a mean called {', '.join(MEAN[:3])} and a log-variance called {', '.join(LOG_VARIANCE[:3])}"
            )
        return mean, log_variance

    def _logits(self, x: Tensor, z: Tensor, given: Given) -> Float[Tensor, "B T V"]:
        """What the decoder says of sentences at a given z."""
        z = z.to(next(self.model.parameters()).dtype)
        if self.argument is not None:
            found: Tensor = self._called(x, given, **{self.argument: z})["logits"]
            return found
        with _exchanged(self.model, str(self.method), z):
            found = self._called(x, given)["logits"]
        return found


def _lengths(x: Int[Tensor, "B T"], given: Given) -> Int[Tensor, " B"]:
    """True lengths; up to the last token that is not 0 where they are not known."""
    place = torch.arange(1, x.shape[1] + 1, device=x.device)
    return given["lengths"] if "lengths" in given else ((x != 0) * place).amax(1)


@contextmanager
def _exchanged(model: Any, name: str, z: Tensor) -> Iterator[None]:
    """A method of the model gives z while the context lasts."""
    own = vars(model).get(name)
    object.__setattr__(model, name, lambda *_, **__: z)
    try:
        yield
    finally:
        object.__delattr__(model, name)
        if own is not None:
            object.__setattr__(model, name, own)
