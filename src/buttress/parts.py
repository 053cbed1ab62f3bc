"""The kinds of part a model is made of.

A *part* is a frozen dataclass: a description that can be compared, written as YAML and changed with
:func:`dataclasses.replace`. Its ``build`` makes the ``torch.nn.Module`` that does the work. One file holds one part,
and the file's name is the part's name (see :mod:`buttress.catalogue`).

Shapes: an example ``x`` is always one tensor. Images are (B, C, H, W), sentences (B, T) of token ids padded with
:data:`PAD`, tables (B, D). ``sites`` are the positions that carry one value each: (C, H, W), (T,), (D,).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.optim import Optimizer

from buttress.dispersion import likeness
from buttress.records import Latent, Terms

__all__ = [
    "BOS",
    "EOS",
    "PAD",
    "UNK",
    "Algorithm",
    "AlgorithmModule",
    "Data",
    "DataSpec",
    "Decoder",
    "DecoderModule",
    "Encoder",
    "EncoderModule",
    "Examples",
    "Kind",
    "Likelihood",
    "LikelihoodModule",
    "Objective",
    "Part",
    "Posterior",
    "PosteriorModule",
    "Prior",
    "PriorModule",
    "Schedule",
    "Space",
    "Splits",
    "Step",
]

Kind = Literal["image", "text", "table"]
PAD, BOS, EOS, UNK = 0, 1, 2, 3
"""Token ids with a fixed meaning. A stored sentence is its words and then EOS; BOS is added by the decoder."""


@dataclass(frozen=True)
class DataSpec:
    """What the parts must know about the data.

    Args:
        kind: "image", "text" or "table".
        shape: Of one example: (C, H, W), (longest T,) or (D,).
        vocabulary: Number of token ids; of an image's symbols, where it is made of codes and not of grey levels.
        mean: Mean of the training data per site, float, shape ``shape``; None for text or where unknown.
        std: Standard deviation of the same.
        columns: Names of a table's columns.
        tokenizer: JSON of the ``tokenizers.Tokenizer`` that made the ids, text only.
    """

    kind: Kind
    shape: tuple[int, ...]
    vocabulary: int = 0
    mean: Tensor | None = None
    std: Tensor | None = None
    columns: tuple[str, ...] = ()
    tokenizer: str | None = None


@dataclass(frozen=True)
class Space:
    """Where the latent variable lives: what a prior must know of it.

    Args:
        shape: Of one value: (D,), (H', W', D), or the places and slots of discrete codes, as (H', W', slots).
        classes: Number K of values each coordinate can take, integers from 0; None for real numbers.
    """

    shape: tuple[int, ...]
    classes: int | None = None


class Part(ABC):  # noqa: B024 - the rooms add what must be defined
    """A description of one component: a frozen dataclass, final, named after its file."""

    @classmethod
    def name(cls) -> str:
        """The name users type: the name of the file that defines the part."""
        return cls.__module__.rpartition(".")[2]

    @classmethod
    def tiny(cls) -> tuple[Self, ...]:
        """Small instances on which the laws are checked."""
        return (cls(),)

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        from dataclasses import replace

        return replace(self, **changes)  # type: ignore[type-var]


class EncoderModule(nn.Module, ABC):
    """x -> h. ``features`` is the size F of h, and ``places`` those at which there is one: none for one h of all x.

    ``cosine`` is what the setting of the part says: the model hands it on.
    """

    features: int
    places: tuple[int, ...] = ()
    cosine: float = 0.0

    @abstractmethod
    def forward(self, x: Tensor) -> Float[Tensor, "B *places F"]:
        """Read ``x`` as ``LikelihoodModule.features`` gives it."""

    def penalty(self, h: Float[Tensor, "B *features"]) -> dict[str, Float[Tensor, " B"]]:
        """What features like these cost each example beside the objective, by name; the model passes it on."""
        return {"cosine": self.cosine * likeness(h)} if self.cosine else {}


@dataclass(frozen=True, kw_only=True)
class Encoder(Part):
    """x -> h, no probability.

    Args:
        cosine: Weight of the mean cosine similarity between the features of a batch, a penalty on their pointing the
            same way; see :mod:`buttress.dispersion`.

    Errors:
        ValueError: The weight is negative or not finite.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("image", "text", "table")

    cosine: float = 0.0

    def __post_init__(self) -> None:
        """Refuse contradictions; an encoder with more of them calls this one too."""
        if not 0 <= self.cosine < math.inf:
            raise ValueError(f"{self.name()} encoder: cosine is {self.cosine}, wanted a finite weight of 0 or more")

    @abstractmethod
    def build(self, spec: DataSpec) -> EncoderModule:
        """The module, for data of this kind and shape."""


class PriorModule(nn.Module, ABC):
    """p(z)."""

    @abstractmethod
    def forward(self) -> Distribution:
        """The distribution of one latent variable: batch shape (), event shape that of its space."""

    def bind(self, posterior: Callable[[Tensor], Distribution], likelihood: LikelihoodModule, spec: DataSpec) -> None:
        """Hear, once the model is whole, of what a prior may be made of.

        Args:
            posterior: From x as ``likelihood.features`` gives it to q(z|x). Its modules stay the model's own.
            likelihood: The decoder's.
            spec: What is known about the data, its shape as those features have it.
        """


class Prior(Part):
    """p(z).

    ``discrete`` says whether z is made of integers, or of real numbers; ``factorised`` whether log p(z) is a sum over
    the posterior's groups. Where it is not, what z costs cannot be shared out among them: the rate has one group, "z".
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("image", "text", "table")
    discrete: ClassVar[bool] = False
    factorised: ClassVar[bool] = True

    @abstractmethod
    def build(self, space: Space) -> PriorModule:
        """The module, for latents of this space."""


class PosteriorModule(nn.Module, ABC):
    """h -> q(z|x). ``z_shape`` is the shape of what the decoder reads, ``groups`` the names of the G groups.

    Where the latent variable is discrete, it lives in another ``space`` than what the decoder reads; ``embed`` goes
    from one to the other. Where it is real, the two are the same.
    """

    z_shape: tuple[int, ...]
    groups: tuple[str, ...]

    @property
    def space(self) -> Space:
        """Where the latent variable lives."""
        return Space(self.z_shape)

    def embed(self, value: Shaped[Tensor, "*rest"]) -> Float[Tensor, "*rest2"]:
        """What the decoder reads, (*batch, *z_shape), for values of the latent variable (*batch, *space.shape)."""
        return value

    @abstractmethod
    def forward(self, h: Float[Tensor, "B *places F"]) -> Distribution:
        """The distribution of the latent variable of every example: batch shape (B,), event shape ``space.shape``."""

    @abstractmethod
    def latent(self, h: Float[Tensor, "B *places F"], prior: Distribution, samples: int = 1) -> Latent:
        """Sample z with gradients and say what it costs under ``prior``."""

    def after_step(self) -> None:
        """Update statistics that no gradient reaches. Training calls it once after each step."""


class Posterior(Part):
    """h -> q(z|x). ``discrete`` says whether z is made of integers, or of real numbers."""

    discrete: ClassVar[bool] = False

    @abstractmethod
    def build(self, features: int, places: tuple[int, ...] = ()) -> PosteriorModule:
        """The module, for encoder features of this size at each of these places."""


class LikelihoodModule(nn.Module, ABC):
    """What a decoder's outputs mean. Whatever changes a density stands here, beside its Jacobian.

    ``channels`` is how many numbers a decoder gives for each place: places are (H, W) for images, (T,) for text and
    (D,) for tables; a decoder's output has shape (..., *places, channels). ``values`` is how many numbers of x a place
    has (C for images, else 1) and ``draws`` how many uniform numbers :meth:`pick` needs to choose them.
    """

    channels: int
    values: int
    draws: int

    @property
    def feature_channels(self) -> int:
        """Channels of :meth:`features` of an image: ``values``, where a number of x stays one number."""
        return self.values

    @abstractmethod
    def check(self, raw: Tensor) -> None:
        """Raise ValueError, saying which value and what to try, if raw data lies outside the support."""

    @abstractmethod
    def observe(self, raw: Tensor) -> Tensor:
        """From stored data to the variable x whose density is modelled (binarise, dequantise). May draw."""

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """x as a network should see it: floats of about unit scale; token ids stay token ids.

        For images they lie in [0, 1], black to white, so that they are also what to draw on a screen; symbols without
        order become one-hot channels instead, see :attr:`feature_channels`.
        """

    @abstractmethod
    def forward(self, parameters: Float[Tensor, "*rest"]) -> Distribution:
        """The distribution of x: batch shape is what precedes the places, event shape that of x."""

    @abstractmethod
    def pick(self, parameters: Float[Tensor, "*rest"], uniforms: Float[Tensor, "*rest2"]) -> Tensor:
        """The values of x, channels last (..., values), at any places with parameters (..., channels).

        A deterministic map of ``uniforms`` (..., draws) in [0, 1): one place at a time or all at once, equal parameters
        and uniforms give equal values, and uniform numbers give values of the right distribution.
        """

    @abstractmethod
    def start(self) -> Tensor | None:
        """Parameters (*places, channels) that match the data's mean, for a decoder's initial output; None for zero."""


class Likelihood(Part):
    """The family of p(x|z)."""

    kinds: ClassVar[tuple[Kind, ...]]

    @abstractmethod
    def build(self, spec: DataSpec) -> LikelihoodModule:
        """The module, for data of this kind and shape."""


class DecoderModule(nn.Module, ABC):
    """z -> p(x|z). For an autoregressive one ``log_prob`` is teacher forcing and ``sample`` the cached loop."""

    likelihood: LikelihoodModule

    @abstractmethod
    def forward(self, z: Float[Tensor, "*rest"]) -> Distribution:
        """The distribution of x given z of shape (*batch, *z_shape): batch shape ``batch``, event shape that of x.

        ``log_prob(x)`` accepts x whose batch shape broadcasts to ``batch``, as (B, ...) does to (S, B, ...).
        """


class Decoder(Part):
    """z -> p(x|z)."""

    kinds: ClassVar[tuple[Kind, ...]]
    autoregressive: ClassVar[bool] = False

    @abstractmethod
    def build(self, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule) -> DecoderModule:
        """The module, for data and latents of these shapes."""


class Schedule(Part):
    """Step -> value, without memory."""

    @abstractmethod
    def __call__(self, step: int) -> float:
        """The value at a step, counted from 0."""

    @abstractmethod
    def check(self, total: int) -> None:
        """Raise ValueError if a run of ``total`` steps would not end at the schedule's final value."""


class Objective(Part):
    """Terms -> a scalar to minimise, in nats per example. ``samples`` is the S it wants."""

    samples: int

    @abstractmethod
    def __call__(self, terms: Terms, step: int) -> Float[Tensor, ""]:
        """The loss at a step; mean over the batch, sum over everything else. Penalties are the algorithm's to add."""

    def check(self, total: int) -> None:
        """Raise ValueError if a schedule inside cannot finish within ``total`` steps."""
        for value in vars(self).values():
            if isinstance(value, Schedule):
                value.check(total)


class Examples(ABC):
    """Stored examples, read a batch at a time; memory stays flat as their number grows."""

    lengths: Tensor | None = None
    """True lengths of sentences (tokens with EOS), shape (N,); None for other kinds."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of examples N."""

    @abstractmethod
    def batch(self, index: Tensor, rows: slice = slice(None)) -> Tensor:
        """The stored examples ``index[rows]`` as one raw tensor.

        Images uint8 or float (B, C, H, W); sentences int64 (B, T) padded with PAD to the longest of ``index``,
        whichever ``rows`` are kept, so that the shards of one global batch have one shape; tables float32 (B, D).
        """


@dataclass(frozen=True)
class Splits:
    """Data, opened and checked.

    Args:
        train: Examples to learn from.
        held_out: Examples that training never sees; all evidence is measured on them.
        spec: What the parts must know, measured on ``train``.
        notes: What a person should know: files or rows set aside and why, how the split was made.
        labels: Class labels of the held-out examples where the source has some, shape (N,).
    """

    train: Examples
    held_out: Examples
    spec: DataSpec
    notes: tuple[str, ...] = ()
    labels: Tensor | None = None


class Data(Part):
    """Where examples come from."""

    kind: ClassVar[Kind]

    @abstractmethod
    def open(self) -> Splits:
        """Read, check and split; refuse bad input with an error that names file and row and says what to try."""


@dataclass(frozen=True)
class Step:
    """What an algorithm may use in one training step.

    Args:
        number: Counted from 0.
        x: The step's observed batch, this process's rows.
        more: Draws another observed training batch (for inner loops), the same at every resume.
        backward: Use instead of ``loss.backward()``, so that processes share gradients and precision is handled.
    """

    number: int
    x: Tensor
    more: Callable[[], Tensor]
    backward: Callable[[Tensor], None]


class AlgorithmModule(ABC):
    """A learning algorithm at work on one model. Holds the optimisers and any phase it is in."""

    optimizers: tuple[Optimizer, ...]

    @abstractmethod
    def step(self, step: Step) -> dict[str, float | Tensor]:
        """Move the parameters once; return what to log, in nats.

        At least ``loss`` and ``distortion`` of shape () and ``rate`` of shape (G,), means over this process's rows; the
        same names at every step.
        """

    @property
    def settled(self) -> bool:
        """Whether it is already in the phase that the run ends with; before, nobody loses patience."""
        return True

    def after_validation(self, seen: Mapping[str, float], last: bool) -> bool:
        """Hear what was seen on held-out data, every ``Training.validate_every`` steps and at the end.

        Args:
            seen: ``elbo``, ``distortion``, ``rate``, ``mutual_information`` and more, in nats per example.
            last: Whether the run ends here.

        Returns:
            Whether parameters were moved, so that one has to look again.
        """
        return False

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Everything a resumed run needs, as nested dicts and lists of tensors and scalars."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""


class Algorithm(Part):
    """How parameters move."""

    @abstractmethod
    def build(self, model: nn.Module, objective: Objective, training: Any) -> AlgorithmModule:
        """The algorithm at work on ``model`` (a LatentVariableModel) with the settings of a ``recipe.Training``."""

    def asked(self, model: Any, objective: Objective, step: int, seed: int) -> Any:
        """The model with the q(z|x) that this algorithm trains it for, which is what evidence should measure.

        Args:
            model: A LatentVariableModel whose weights stand still while it is asked.
            objective: What was minimised, up to and including step ``step``.
            step: Counted from 0.
            seed: Of any noise in finding q.

        Returns:
            A model that keeps the protocol of the diagnostics. Where it is not ``model`` itself, ``inference_in_words``
            says how q is found, and ``amortised`` is the model whose own q is worth measuring beside it, or None.
        """
        return model
