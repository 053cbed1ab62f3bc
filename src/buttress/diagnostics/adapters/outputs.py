"""What a module's ``forward`` returns, read by position or by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Output", "at_least_single", "broken", "by_names", "in_precision_of", "read", "tensors"]

RECON = (
    "recon",
    "recon_x",
    "x_hat",
    "x_recon",
    "reconstruction",
    "reconstructions",
    "recons",
    "xhat",
    "logits",
    "output",
)
MEAN = ("mu", "mean", "z_mean", "z_mu", "means", "mus")
LOG_VARIANCE = ("logvar", "log_var", "log_variance", "z_log_var", "z_logvar", "logvars", "log_covariance")
WANTED = (
    "wanted (recon, mu, logvar), (recon, x, mu, logvar), or a dict with names such as recon, mu, logvar; or hand the "
    "model over as an Adapter of three callables"
)


@dataclass(frozen=True)
class Output:
    """What a module returned for a batch.

    Args:
        recon: Of x, (B, ...).
        mean: mu, (B, *event).
        log_variance: log sigma^2, (B, *event).
    """

    recon: Tensor
    mean: Tensor
    log_variance: Tensor

    @property
    def values(self) -> tuple[Tensor, Tensor, Tensor]:
        """The three of them."""
        return self.recon, self.mean, self.log_variance


def read(value: Any, x: Tensor) -> Output:
    """Reconstruction, mean and log-variance of what ``forward(x)`` returned.

    Args:
        value: What it returned.
        x: What it was called with, (B, ...).

    Errors:
        ValueError: It is none of what is documented, or the shapes do not fit.

    Example:
        >>> x = torch.zeros(5, 3)
        >>> read({"x_hat": x, "mu": torch.ones(5, 2), "log_var": torch.zeros(5, 2)}, x).mean.shape
        torch.Size([5, 2])
    """
    found = tensors(value, x)
    if found.mean.shape != found.log_variance.shape or len(found.mean) != len(x) or found.mean.dim() < 2:
        raise ValueError(
            f"forward(x) gave mu {tuple(found.mean.shape)} and logvar {tuple(found.log_variance.shape)} for {len(x)} "
            f"examples, wanted two tensors of one shape (B, ...); {WANTED}"
        )
    if found.recon.numel() != x.numel():
        raise ValueError(
            f"forward(x) gave recon {tuple(found.recon.shape)} for x {tuple(x.shape)}, wanted as many numbers; {WANTED}"
        )
    return Output(*map(at_least_single, (found.recon, found.mean, found.log_variance)))


def tensors(value: Any, x: Tensor) -> Output:
    """The three tensors of what ``forward(x)`` returned, as they came.

    Args:
        value: What it returned.
        x: What it was called with, (B, ...).

    Errors:
        ValueError: It is none of what is documented.

    Example:
        >>> x = torch.zeros(5, 3)
        >>> tensors((torch.zeros(5, 3, 10), torch.ones(5, 2), torch.zeros(5, 2)), x).recon.shape
        torch.Size([5, 3, 10])
    """
    named = by_names(value)
    return _of_names(named) if named is not None else _of_positions(value, x)


def broken(output: Output) -> tuple[str, int] | None:
    """What is not finite in an output, and for which row first; None where all of it is.

    Example:
        >>> one = torch.ones(2, 3)
        >>> broken(Output(one, one, one)), broken(Output(one, one, torch.tensor([[0.0], [1000.0]])))
        (None, ('logvar 1000, whose variance is not finite', 1))
    """
    deviation = (output.log_variance / 2).exp()
    for name, value, sound in (
        ("mu", output.mean, output.mean.isfinite()),
        ("logvar", output.log_variance, output.log_variance.isfinite() & deviation.square().isfinite()),
        ("logvar", output.log_variance, deviation > 0),
        ("recon", output.recon, output.recon.isfinite()),
    ):
        if not bool(sound.all()):
            row = int((~sound).flatten(1).any(1).nonzero()[0])
            number = value[row][~sound[row]][0].item()
            tail = f", whose variance is {'not finite' if number > 0 else '0'}" if name == "logvar" else ""
            return f"{name} {number:g}{'' if number != number else tail}", row
    return None


def at_least_single(value: Tensor) -> Tensor:
    """A tensor of 16 bits in float32, others as they are.

    Example:
        >>> at_least_single(torch.ones(1).half()).dtype
        torch.float32
    """
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value


def in_precision_of(model: nn.Module, value: Tensor) -> Tensor:
    """Real numbers in the type of a module's parameters.

    Example:
        >>> in_precision_of(nn.Linear(1, 1).double(), torch.ones(1)).dtype
        torch.float64
    """
    own = next((p.dtype for p in model.parameters() if p.is_floating_point()), value.dtype)
    return value.to(own) if value.is_floating_point() else value


def by_names(value: Any) -> Mapping[str, Any] | None:
    """The entries by name, where there are names.

    Example:
        >>> by_names({"mu": 1}), by_names((1, 2))
        ({'mu': 1}, None)
    """
    if isinstance(value, Mapping):
        return value
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return dict(value._asdict())
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: getattr(value, one.name) for one in fields(value)}
    return None if isinstance(value, Tensor | tuple | list) else getattr(value, "__dict__", None)


def _of_names(named: Mapping[str, Any]) -> Output:
    found = []
    for names in (RECON, MEAN, LOG_VARIANCE):
        name = next((name for name in names if isinstance(named.get(name), Tensor)), None)
        if name is None:
            raise ValueError(
                f"forward(x) gave {', '.join(map(str, named))}, and no tensor called {', '.join(names[:5])}; {WANTED}"
            )
        found.append(named[name])
    return Output(*found)


def _of_positions(value: Any, x: Tensor) -> Output:
    if not isinstance(value, tuple | list) or not all(isinstance(part, Tensor) for part in value):
        raise ValueError(f"forward(x) gave {_told(value)}; {WANTED}")
    if len(value) == 3:
        return Output(*value)
    if len(value) == 4 and value[1].shape == x.shape and torch.equal(value[1], x):
        return Output(value[0], value[2], value[3])
    raise ValueError(f"forward(x) gave {_told(value)}; {WANTED}")


def _told(value: Any) -> str:
    """What came, in a few words."""
    if isinstance(value, Tensor):
        loss = ", which looks like a loss: let it return what the loss is made of as well" if value.numel() == 1 else ""
        return f"one tensor of shape {tuple(value.shape)}{loss}"
    if not isinstance(value, tuple | list):
        return f"a {type(value).__name__}"
    parts = [str(tuple(part.shape)) if isinstance(part, Tensor) else type(part).__name__ for part in value]
    return f"{len(value)} values ({', '.join(parts)})"
