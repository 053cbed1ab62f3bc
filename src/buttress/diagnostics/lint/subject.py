"""What the rules ask: a model, a loss and a batch, and what was measured of them, each once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from buttress.diagnostics.adapters.codes import no_pair
from buttress.diagnostics.adapters.nested import levels
from buttress.diagnostics.adapters.outputs import Output, by_names, tensors
from buttress.diagnostics.adapters.signatures import by_name_alone, called
from buttress.diagnostics.failed_call import at_odds, first_line
from buttress.diagnostics.lint.batches import first, replaced, rows_of
from buttress.diagnostics.lint.loss_function import LossFunction, arguments, by_outputs, meant, refuse_names, scalar
from buttress.diagnostics.lint.quiet import no_backward, numbers_kept, seeded
from buttress.diagnostics.lint.terms import LossTerms, Pieces, terms

__all__ = ["Linted", "Silent", "leaves"]

NO_GAUSSIAN = "model(x) gives no mu and logvar"
ONE = "one example does not show what the loss does with a batch; hand over two or more"
CLOSE = 0.01
"""Relative difference up to which two weights are the same."""
SPREAD = 2.0
"""By so much a reconstruction is moved to see its term of the loss elsewhere: near 0 many formulas look alike."""


class Silent(Exception):
    """A rule cannot be asked; the message is the reason."""


@dataclass(frozen=True)
class Linted:
    """A model with its loss and a batch.

    Args:
        model: ``model(x)`` returns (recon, mu, logvar), in one of the forms that ``diagnose`` reads.
        loss: ``loss(model, batch)``, or ``loss(recon, x, mu, logvar)`` by the names of its arguments; None for the
            "loss" among what ``model(x)`` returns, if there is one.
        batch: x, (x, ...) or a dict with x first.
        schedule: The weight of the rate at a step, if there is one.
        steps: How many steps training has.
        level: Which level of z is looked at, where ``model(x)`` returns several.
    """

    model: nn.Module
    loss: LossFunction | None
    batch: Any
    schedule: Callable[[int], float] | None = None
    steps: int | None = None
    level: int = 0

    @cached_property
    def x(self) -> Tensor:
        """The examples."""
        return first(self.batch)

    def part(self, rows: slice) -> Any:
        """Some rows of the batch."""
        return rows_of(self.batch, rows, len(self.x))

    @cached_property
    def output(self) -> Output:
        """What ``model(x)`` returns.

        Errors:
            ValueError: The model fails, or the loss wants mean and log-variance by name and there are none.
            Silent: It returns no mean and log-variance, and the loss asks for none.
        """
        with seeded(self.model), torch.no_grad():
            return self.outputs_of(self.batch)

    def outputs_of(self, batch: Any) -> Output:
        """What ``model(x)`` returns for a batch."""
        return self.read(self.forward(batch), first(batch))

    @cached_property
    def levels(self) -> int:
        """How many levels of z ``model(x)`` returns; 0 where it returns one, or something else."""
        with seeded(self.model), torch.no_grad():
            return len(levels(self.forward(self.batch), len(self.x)))

    @cached_property
    def paired(self) -> bool:
        """Whether what stands in the places of mu and logvar can be the two; names are believed."""
        with seeded(self.model), torch.enable_grad():
            value = self.forward(self.batch)
            if by_names(value) is not None or by_outputs(arguments(self.loss)):
                return True
            try:
                found = tensors(value, self.x)
            except ValueError:
                return True
            return not _gaussian(found, len(self.x)) or not no_pair(self.model, found.mean, found.log_variance)

    def read(self, value: Any, x: Tensor) -> Output:
        """The three tensors of what the model returned for x."""
        if (several := levels(value, len(x))) and self.level < len(several):
            return several[self.level]
        if not self.paired:
            raise Silent(NO_GAUSSIAN)
        try:
            found = tensors(value, x)
        except ValueError:
            if by_outputs(arguments(self.loss)) or (isinstance(value, Tensor) and value.numel() == 1):
                raise
            raise Silent(NO_GAUSSIAN) from None
        if not _gaussian(found, len(x)) and not by_outputs(arguments(self.loss)):
            raise Silent(NO_GAUSSIAN)
        return found

    def with_x(self, batch: Any, x: Tensor) -> Any:
        """A batch with another x."""
        if isinstance(batch, Tensor):
            return x
        if isinstance(batch, Mapping):
            return {**batch, next(iter(batch)): x}
        return type(batch)([x, *batch[1:]])

    def forward(self, batch: Any) -> Any:
        """What the model returns for a batch, as it came."""
        given = {"label": batch[1]} if isinstance(batch, tuple | list) and len(batch) > 1 else {}
        x = first(batch)
        try:
            if isinstance(batch, Mapping) and by_name_alone(self.model):
                return self.model(**batch)
            return called(self.model, x, given)
        except (RuntimeError, TypeError, LookupError, AttributeError, NotImplementedError) as error:
            kind = str(x.dtype).removeprefix("torch.")
            raise ValueError(
                f"model(x) fails on x of shape {tuple(x.shape)}, type {kind} and device {x.device}: "
                f"{first_line(error)}; wanted a batch as the training loop has it, on the model's device and in its "
                f"type{at_odds(self.model, x)}"
            ) from error

    @cached_property
    def pieces(self) -> Pieces:
        """What the loss made of the whole batch.

        Errors:
            Silent: The loss does not read what ``model(x)`` returns.
        """
        return self._pieces(self.batch)

    @cached_property
    def half(self) -> Pieces:
        """What it made of the first half of the batch.

        Errors:
            Silent: The batch is one example.
        """
        if len(self.x) < 2:
            raise Silent(ONE)
        return self._pieces(self.part(slice(0, max(1, len(self.x) // 2))))

    @cached_property
    def terms(self) -> LossTerms:
        """The formulas of the whole batch's loss.

        That of the reconstruction must have the same weight at reconstructions further out: near 0, or where all
        classes are as likely, smoothed labels look like a smaller weight.
        """
        found = terms(self.pieces)
        if found.likelihood is None or self.loss is None:
            return found
        elsewhere = terms(self._pieces(self.batch, spread=True))
        return replace(found, likelihood=elsewhere.likelihood if _alike(found, elsewhere) else None)

    @cached_property
    def terms_of_half(self) -> LossTerms:
        """The formulas of the first half's."""
        return terms(self.half)

    @cached_property
    def gradients(self) -> dict[str, Tensor | None]:
        """The gradient of each parameter that wants one, by its name; None where the loss does not reach it."""
        return self.slopes()

    def slopes(self) -> dict[str, Tensor | None]:
        """The same with the weights as they are now."""
        wanted = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        names, values = list(wanted), list(wanted.values())
        with seeded(self.model):
            loss = self.value(self.batch)
            if not loss.requires_grad:
                return dict.fromkeys(names)
            return dict(zip(names, torch.autograd.grad(loss, values, allow_unused=True), strict=True))

    def value(self, batch: Any) -> Tensor:
        """The loss of a batch.

        Errors:
            ValueError: It is no single number, or its arguments have names that say nothing.
            Silent: There is none.
        """
        if self.loss is None:
            return _own_loss(self.forward(batch))
        with numbers_kept(self.loss, getattr(self.loss, "__self__", None)), no_backward():
            return self._of_function(self.loss, batch)

    def _of_function(self, function: LossFunction, batch: Any) -> Tensor:
        wanted = arguments(function)
        refuse_names(wanted)
        if by_outputs(wanted):
            x = first(batch)
            values = _by_kind(self.forward(batch), x)
            try:
                found = function(**{name: meant(name, values, x) for name in wanted})
            except Exception as error:
                shapes = ", ".join(_shape(value) for value in (*values, x))
                raise ValueError(
                    f"loss_fn fails on recon, mu, logvar and x of shapes {shapes}: {first_line(error)}; wanted a "
                    "recon of the shape that the loss takes"
                ) from error
        else:
            try:
                found = function(self.model, batch)
            except Silent:
                raise
            except Exception as error:
                raise ValueError(
                    f"loss_fn(model, batch) fails: {first_line(error)}; wanted the function that the training loop "
                    "calls, with a batch as it comes there"
                ) from error
        loss = scalar(found)
        if torch.is_grad_enabled() and not loss.requires_grad and any(p.requires_grad for p in self.model.parameters()):
            raise ValueError(
                "the loss carries no gradient, wanted the one that the training loop calls backward() on; look for "
                "detach(), item() or no_grad() in loss_fn, or a model whose forward runs without gradients"
            )
        return loss

    def further_out(self, shift: float) -> Pieces:
        """What the loss made of the batch if every mean were moved by so much, which gives a large KL."""
        return self._pieces(self.batch, shift)

    @cached_property
    def learned_scale(self) -> bool:
        """Whether the loss has numbers of its own that are learned, such as the scale of a likelihood."""
        if self.loss is None:
            return False  # nobody can tell: all of the model is between the loss and the outputs
        with seeded(self.model):
            own = leaves(*self.outputs_of(self.batch).values)
        return bool(self.pieces.others - own)

    def _pieces(self, batch: Any, shift: float = 0.0, spread: bool = False) -> Pieces:
        self.output  # noqa: B018 - silent, or refused, where there is no mean and log-variance
        if self.loss is None:
            if shift:
                raise Silent("the loss is made inside of forward")
            return self._own_pieces(batch)
        cuts: list[Output] = []
        uncut: list[Tensor] = []

        def cut(module: nn.Module, arguments: Any, value: Any) -> Any:
            found = self.read(value, first(batch))
            recon = _spread(found.recon) if spread else found.recon
            moved = (recon, found.mean + shift if shift else found.mean, found.log_variance)
            cut_off = Output(*(v.detach().clone().requires_grad_() for v in moved))
            cuts.append(cut_off)
            uncut.extend(v for v in found.values if v.requires_grad)
            return replaced(value, dict(zip(map(id, found.values), cut_off.values, strict=True)))

        handle = self.model.register_forward_hook(cut)
        try:
            with seeded(self.model):
                loss = self.value(batch)
        finally:
            handle.remove()
        if len(cuts) != 1 or not loss.requires_grad:
            raise Silent("the loss is not made of what one call of model(x) returns")
        leaf = cuts[0]
        gradients = torch.autograd.grad(loss, leaf.values, allow_unused=True, retain_graph=True)
        past = torch.autograd.grad(loss, uncut, allow_unused=True, retain_graph=True) if uncut else ()
        if not all(g is None for g in past) or all(g is None for g in gradients):
            raise Silent("the loss, or a part of it, is made inside of forward and not of what forward returns")
        by_recon, by_mean, by_log_variance = (
            torch.zeros_like(v) if g is None else g for v, g in zip(leaf.values, gradients, strict=True)
        )
        unread = gradients[1] is None and gradients[2] is None
        others = frozenset(leaves(loss) - set(map(id, leaf.values)))
        recon, mean, log_variance = (v.detach() for v in leaf.values)
        return Pieces(
            first(batch), loss.item(), recon, mean, log_variance, by_recon, by_mean, by_log_variance, unread, others
        )

    def _own_pieces(self, batch: Any) -> Pieces:
        """Of a loss that ``model(x)`` returns: what reaches mu and logvar through the reconstruction is taken off."""
        with seeded(self.model), torch.enable_grad():
            returned = self.forward(batch)
            output, loss = self.read(returned, first(batch)), _own_loss(returned)
            latent = (output.mean, output.log_variance)
            if not all(v.requires_grad for v in (loss, *output.values)):
                raise Silent("the loss is not made of what one call of model(x) returns")
            by_recon, *whole = _slopes(loss, output.values)
            if not any(bool(slope.any()) for slope in whole):
                raise Silent("mu and logvar are returned as copies of what the loss is made of")
            if not by_recon.any():
                raise Silent("the loss is not made of the reconstruction that model(x) returns")
            through = _slopes(output.recon, latent, by_recon)
        by_mean, by_log_variance = (slope - part for slope, part in zip(whole, through, strict=True))
        recon, mean, log_variance = (v.detach() for v in output.values)
        return Pieces(first(batch), loss.item(), recon, mean, log_variance, by_recon, by_mean, by_log_variance)


def _own_loss(returned: Any) -> Tensor:
    """The "loss" among what ``model(x)`` returned."""
    named = returned if isinstance(returned, Mapping) else getattr(returned, "__dict__", {})
    if isinstance(returned, tuple) and hasattr(returned, "_asdict"):
        named = returned._asdict()
    found = named.get("loss")
    if not isinstance(found, Tensor) or found.numel() != 1:
        raise Silent("no loss function was given")
    return found.reshape(())


def _slopes(value: Tensor, leaves: tuple[Tensor, ...], weight: Tensor | None = None) -> list[Tensor]:
    """Gradients with respect to some tensors, 0 where there are none."""
    found = torch.autograd.grad(value, leaves, weight, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(v) if g is None else g for v, g in zip(leaves, found, strict=True)]


def _by_kind(value: Any, x: Tensor) -> tuple[Any, Any, Any]:
    """Reconstruction, mean and log-variance, or lists of the last two where there are levels."""
    if several := levels(value, len(x)):
        return several[0].recon, [one.mean for one in several], [one.log_variance for one in several]
    return tensors(value, x).values


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else f"[{', '.join(map(_shape, value))}]"


def _spread(recon: Tensor) -> Tensor:
    """Reconstructions further out, but inside of 0 to 1 where all of them are."""
    noise = torch.randn(recon.shape, generator=torch.Generator().manual_seed(1)).to(recon)
    if bool(((recon > 0) & (recon < 1)).all()):
        return torch.logit(recon.double(), 1e-4).add(SPREAD * noise).clamp(-6, 6).sigmoid().to(recon)
    return recon + SPREAD * noise * recon.detach().double().square().mean().sqrt().clamp(1, 100).to(recon)


def _alike(one: LossTerms, other: LossTerms) -> bool:
    """Whether the reconstruction has the same formula and weight in both."""
    if one.likelihood is None or other.likelihood is None or one.likelihood.name != other.likelihood.name:
        return False
    return abs(one.likelihood.weight - other.likelihood.weight) <= CLOSE * abs(one.likelihood.weight)


def _gaussian(output: Output, n: int) -> bool:
    """Whether mean and log-variance can be those of a q(z|x), and not the codes or a loss of a quantiser."""
    mean, log_variance = output.mean, output.log_variance
    return (
        mean.shape == log_variance.shape
        and mean.dim() > 1
        and len(mean) == n
        and mean.is_floating_point()
        and log_variance.is_floating_point()
    )


def leaves(*values: Tensor) -> set[int]:
    """The identities of the tensors that learn and that these were made of."""
    found: set[int] = set()
    seen: set[Any] = set()
    todo = [value.grad_fn for value in values]
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.add(id(node.variable))
        todo += [one for one, _ in node.next_functions]
    return found
