"""A module whose ``forward`` returns a reconstruction, as three callables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from buttress.core.batch import EMPTY, Batch, Given
from buttress.diagnostics.adapters.codes import no_pair
from buttress.diagnostics.adapters.likelihoods import NAMES, scored
from buttress.diagnostics.adapters.nested import levels
from buttress.diagnostics.adapters.outputs import (
    Output,
    at_least_single,
    broken,
    by_names,
    in_precision_of,
    read,
    tensors,
)
from buttress.diagnostics.adapters.signatures import NONE, arguments, called, takes_condition
from buttress.diagnostics.evaluation import evaluating
from buttress.diagnostics.failed_call import at_odds, first_line
from buttress.diagnostics.passes import as_batch
from buttress.diagnostics.protocol import Adapter, Batches

__all__ = ["reconstructing"]

ROWS = 64
"""Examples that the module is tried with."""
DECODERS = ("decode", "decoder", "decode_z", "generate")
"""What people call the way from z to a reconstruction."""
EXAMPLE = '; the guide, "Your own model", has an example'
FINISHES: dict[str, Callable[[Tensor], Tensor]] = {"": lambda r: r, "sigmoid": torch.sigmoid, "tanh": torch.tanh}
"""What ``forward`` may do to the decoder's output."""


def reconstructing(
    model: nn.Module,
    batches: Batches,
    likelihood: str | None,
    variance: float | None,
    names: Mapping[str, str] = NONE,
) -> Adapter:
    """The module as three callables, with notes on what was taken for what.

    Args:
        model: Its ``forward`` returns what :mod:`buttress.diagnostics.adapters` documents.
        batches: Held-out data, of which some are tried.
        likelihood: "bernoulli", "gaussian", "mse" or "poisson".
        variance: sigma^2, for "gaussian".
        names: What the data call "x" and "label", for a ``forward`` that takes ``**batch`` alone.

    Errors:
        ValueError: No likelihood is named, ``forward`` returns something else, or there is no way to decode a z.

    Example:
        >>> class Vae(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.encoder, self.decoder = nn.Linear(3, 4), nn.Linear(2, 3)
        ...     def forward(self, x):
        ...         mu, logvar = self.encoder(x).chunk(2, -1)
        ...         return self.decoder(mu + torch.randn_like(mu) * (logvar / 2).exp()), mu, logvar
        >>> model = reconstructing(Vae(), [torch.zeros(5, 3)], "gaussian", 1.0)
        >>> model.log_likelihood(torch.zeros(5, 3), torch.zeros(7, 5, 2)).shape
        torch.Size([7, 5])
    """
    if likelihood is None:
        raise ValueError(
            f"the model ({type(model).__name__}) has no posterior(), prior() and log_likelihood(); hand over an "
            "Adapter of the three, or, for a module whose forward(x) returns (recon, mu, logvar), name the likelihood "
            f"of recon: {', '.join(map(repr, NAMES))}"
        )
    batch = as_batch(batches[0]).take(slice(0, ROWS))
    with evaluating(model):
        output, decode, note = _tried(model, batch, batches, names)
        score = scored(likelihood, variance, batch.x, output.recon.reshape(batch.x.shape))
    mean = output.mean

    def posterior(x: Tensor, given: Given = EMPTY) -> Distribution:
        found = read(called(model, in_precision_of(model, x), given, names), x)
        _refuse_broken(found, x, batches)
        return Independent(Normal(found.mean, (found.log_variance / 2).exp()), found.mean.dim() - 1)

    def prior() -> Distribution:
        return Independent(Normal(torch.zeros_like(mean[0]), torch.ones_like(mean[0])), mean.dim() - 1)

    def log_likelihood(x: Tensor, z: Shaped[Tensor, "S B *event"], given: Given = EMPTY) -> Float[Tensor, "S B"]:
        repeated = {name: value.repeat(len(z), *[1] * (value.dim() - 1)) for name, value in given.items()}
        recon = decode(z.flatten(0, 1), repeated).reshape(len(z), *x.shape)
        return score.log_prob(recon, x).flatten(2).sum(-1)

    if not takes_condition(model):
        return Adapter(
            lambda x: posterior(x), prior, lambda x, z: log_likelihood(x, z), model, notes=(*note, *score.notes)
        )
    return Adapter(posterior, prior, log_likelihood, model, notes=(*note, *score.notes))


def _refuse_broken(output: Output, x: Tensor, batches: Batches) -> None:
    """Refuse an output that is not finite, by its name and the number of the first such example."""
    if (wrong := broken(output)) is None:
        return
    what, row = wrong
    before, where = 0, ""
    for batch in map(as_batch, (batches[i] for i in range(len(batches)))):
        if batch.x.shape[1:] == x.shape[1:] and len(found := (batch.x == x[row]).flatten(1).all(1).nonzero()):
            where = f" {before + int(found[0])} (from 0)"
            break
        before += len(batch)
    raise ValueError(
        f"forward(x) gave {what} for example{where}; look for extreme weights, log(0), overflow in exp, or a KL that "
        f"is subtracted"
    )


Decode = Callable[[Tensor, Given], Tensor]


def _tried(
    model: nn.Module, batch: Batch, batches: Batches, names_of: Mapping[str, str]
) -> tuple[Output, Decode, list[str]]:
    """What ``forward`` returns for some examples, and the way of the module from z to a reconstruction."""
    _refuse_other_forms(model, batch, names_of)
    names = [name for name in DECODERS if callable(getattr(model, name, None))]
    if not names:
        raise ValueError(
            f"the model ({type(model).__name__}) has neither decode(z) nor decoder(z), and the diagnosis decodes other "
            "z than those forward draws; give it a method decode(self, z) that returns what forward returns as recon"
        )
    with _listening(model, names) as heard:
        output = read(_first_answer(model, batch, names_of), batch.x)
    _refuse_broken(output, batch.x, batches)
    for name, z, out in sorted(heard, key=lambda call: names.index(call[0])):  # decode(z) may call decoder(z)
        for finish, function in FINISHES.items():
            if z.numel() == output.mean.numel() and _same(function(out), output.recon):
                return output, _decoding(model, name, function, z.shape[1:]), _finish_note(name, finish)
    if not heard:
        return (
            output,
            _decoding(model, names[0], FINISHES[""], output.mean.shape[1:]),
            [f"forward(x) does not call {names[0]}(z), which was taken to give the same reconstructions"],
        )
    raise ValueError(
        f"forward(x) returns another recon than {' or '.join(names)} gives for its z; wanted the same from both; "
        "hand the model over as an Adapter of three callables if it cannot"
    )


def _refuse_other_forms(model: nn.Module, batch: Batch, names: Mapping[str, str]) -> None:
    """Refuse several levels of z, and (recon, z_e, z_q) and the like, which have the form of (recon, mu, logvar)."""
    with torch.enable_grad():
        value = _first_answer(model, batch, names)
        try:
            found = tensors(value, batch.x)
        except ValueError:
            _refuse_levels(value, batch)
            raise
        if by_names(value) is not None:
            return
        alike = found.mean.shape == found.log_variance.shape and found.mean.dim() > 1
        if alike and no_pair(model, found.mean, found.log_variance):
            raise ValueError(
                "forward(x) gave (recon, mu, logvar) by its form, but one of the last two is made of the other or of "
                "rows of a codebook, as z and its codes are; wanted mu and logvar; hand a VQ-VAE over as an Adapter "
                "with the posterior Independent(bt.Point(codes of x), 1), a uniform Categorical of the codewords as "
                f"prior, and the log-likelihood of x where those codes are decoded{EXAMPLE}"
            )


def _refuse_levels(value: Any, batch: Batch) -> None:
    if (n := len(levels(value, len(batch.x)))) > 1:
        raise ValueError(
            f"forward(x) gave {n} pairs of mu and logvar, as levels of z have, and a diagnosis reads one; hand it "
            "over as an Adapter of one flat z, with the means and the variances of the levels side by side, and a "
            f"space=Space.stacked(...) that names the levels{EXAMPLE}"
        )


def _first_answer(model: nn.Module, batch: Batch, names: Mapping[str, str]) -> Any:
    """What ``forward`` returns for the first examples."""
    places, named = arguments(model, in_precision_of(model, batch.x), batch.given, names)
    try:
        return model(*places, **named)
    except (RuntimeError, TypeError, LookupError, AttributeError, ValueError) as error:
        kind = str(batch.x.dtype).removeprefix("torch.")
        wanted = "a forward(self, x), or (self, x, y)" if "argument" in str(error) else "examples shaped as in training"
        raise ValueError(
            f"forward(x) fails on x of shape {tuple(batch.x.shape)} and type {kind}, the first examples: "
            f"{first_line(error)}; wanted {wanted}{at_odds(model, in_precision_of(model, batch.x))}"
        ) from error


def _finish_note(name: str, finish: str) -> list[str]:
    return [f"forward(x) applies a {finish} to what {name}(z) gives, and so does this diagnosis"] if finish else []


def _same(one: Tensor, other: Tensor) -> bool:
    return one.numel() == other.numel() and torch.allclose(
        at_least_single(one).flatten(), other.flatten(), rtol=1e-4, atol=1e-5
    )


def _decoding(model: nn.Module, name: str, finish: Callable[[Tensor], Tensor], shape: Any) -> Decode:
    """z (N, *event) -> reconstructions (N, ...)."""

    def decode(z: Tensor, given: Given) -> Tensor:
        z = in_precision_of(model, z.reshape(len(z), *shape))
        found: Tensor = called(getattr(model, name), z, given)
        return finish(at_least_single(found))

    return decode


@contextmanager
def _listening(model: nn.Module, names: list[str]) -> Iterator[list[tuple[str, Tensor, Tensor]]]:
    """Calls of the methods and submodules of these names while the context lasts: name, first argument, result."""
    heard: list[tuple[str, Tensor, Tensor]] = []
    handles, wrapped = [], []

    def note(name: str, arguments: tuple[Any, ...], out: Any) -> None:
        if arguments and isinstance(arguments[0], Tensor) and isinstance(out, Tensor):
            heard.append((name, arguments[0], out))

    for name in names:
        method = getattr(model, name)
        if isinstance(method, nn.Module):
            handles.append(method.register_forward_hook(lambda _, a, out, name=name: note(name, a, out)))
        else:
            object.__setattr__(model, name, _recorded(name, method, note))
            wrapped.append(name)
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()
        for name in wrapped:
            object.__delattr__(model, name)


def _recorded(name: str, method: Any, note: Callable[[str, tuple[Any, ...], Any], None]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        out = method(*arguments, **named)
        note(name, arguments, out)
        return out

    return call
