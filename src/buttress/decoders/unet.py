r"""p(x|z) of a sequence by the upper half of a U-Net: coarse to fine, each scale with its own part of z beside it.

$$ a_L = g_L(P_L z_L), \qquad a_i = g_i(\uparrow a_{i+1} + P_i z_i), \qquad
   \text{parameters}_t = W g_0(\uparrow a_1)_t + b $$

Scale i has a place for every 2^i places of x; the arrow repeats each place twice; g is a residual block of two
convolutions. Places are independent given z. Where z is made of codes on several scales
(:mod:`buttress.posteriors.unet_quantized`), the skips of the U-Net are these codes and nothing else.

Source: Wu, Chen and Lee, VQVC+: One-Shot Voice Conversion by Vector Quantization and U-Net architecture, 2020.
Deviations: places are normalised over channels and not over time, and there is no recurrent layer, so that what a place
is does not depend on how long the recording is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional as F

from buttress.core import EMPTY, DataSpec, Decoder, DecoderModule, Given, Layout, LikelihoodModule

__all__ = ["UNetDecoder"]


@dataclass(frozen=True)
class UNetDecoder(Decoder):
    """A U-Net's way up, for frames and sound.

    Args:
        scales: Number L of scales, each with half the places of the one after it.
        width: Channels.
        dim: Numbers of z at a place that belong to each scale, the coarsest first; what is behind them (a condition),
            is read at every scale. 0 where every scale reads all of z.
        kernel: Places that a convolution reads, odd.
        blocks: Residual blocks of each scale.

    Errors:
        ValueError: A size below 1, an even kernel, or, when built, z without so many numbers.

    Example:
        >>> from buttress.likelihoods.gaussian import GaussianLikelihood
        >>> spec = DataSpec(Layout.frames(3, longest=13))
        >>> decoder = UNetDecoder(width=4, dim=2).build(spec, (7, 6), GaussianLikelihood().build(spec))
        >>> p = decoder(torch.zeros(5, 7, 6))  # a place of z for every two of x, two numbers for each of three scales
        >>> p.batch_shape, p.event_shape
        (torch.Size([5]), torch.Size([13, 3]))
    """

    scales: int = 3
    width: int = 64
    dim: int = 0
    kernel: int = 3
    blocks: int = 1

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if min(self.scales, self.width, self.blocks, self.dim + 1) < 1 or self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(
                f"unet decoder: scales is {self.scales}, width {self.width}, blocks {self.blocks}, dim {self.dim} and "
                f"kernel {self.kernel}; wanted sizes of at least 1, a dim of at least 0 and an odd kernel"
            )

    @classmethod
    def tiny(cls) -> tuple[UNetDecoder, ...]:
        """See :class:`buttress.core.Part`."""
        return (cls(scales=2, width=4), cls(scales=2, width=3, dim=1))

    def misfit(self, layout: Layout) -> str:
        """See :class:`buttress.core.part.DataPart`."""
        fits = layout.axes == 1 and not layout.tokens
        return "" if fits else "it needs one place axis of numbers or levels, as sound has"

    def build(self, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule) -> UNetDecoderModule:
        """See :class:`buttress.core.Decoder`."""
        return UNetDecoderModule(self, spec, z_shape, likelihood)


class UNetDecoderModule(DecoderModule):
    """The module of :class:`UNetDecoder`. Lists are in the order of scales, the coarsest first."""

    def __init__(
        self, part: UNetDecoder, spec: DataSpec, z_shape: tuple[int, ...], likelihood: LikelihoodModule
    ) -> None:
        super().__init__()
        self.likelihood, self.z_dims, self.longest = likelihood, len(z_shape), spec.layout.places[0]
        self.steps, self.size = (z_shape[0], z_shape[1]) if len(z_shape) == 2 else (1, torch.Size(z_shape).numel())
        if self.size < part.dim:
            raise ValueError(f"unet decoder: dim is {part.dim}, and z has {self.size} numbers at a place; try dim 0")
        self.strides = [2**scale for scale in range(part.scales, 0, -1)]
        self.reads = [_columns(part, self.size, scale) for scale in range(part.scales)]
        self.each = _covered(self.longest, self.steps)
        self.skips = nn.ModuleList(nn.Linear(len(columns), part.width) for columns in self.reads if columns)
        self.stages = nn.ModuleList(
            nn.ModuleList(_Block(part.width, part.kernel) for _ in range(part.blocks)) for _ in (*self.strides, 1)
        )
        self.out = nn.Linear(part.width, likelihood.channels)
        start = likelihood.start()
        with torch.no_grad():
            self.out.weight.mul_(0.1)
            if start is not None:
                self.out.bias.copy_(start.expand(self.longest, -1)[0])

    def forward(self, z: Float[Tensor, "*rest"], given: Given = EMPTY) -> Distribution:
        """See :class:`buttress.core.DecoderModule`."""
        lead = z.shape[: z.dim() - self.z_dims]
        flat = z.reshape(-1, self.steps, self.size)
        lengths = given.get("lengths", torch.tensor(self.longest, device=z.device)).expand(lead).reshape(-1)
        a, skips = None, iter(self.skips)
        for stride, columns, stage in zip(self.strides, self.reads, self.stages, strict=False):
            inside = self._inside(lengths, stride)
            a = flat.new_zeros(()) if a is None else self._doubled(a, inside.shape[1])
            if columns:
                at = (torch.arange(inside.shape[1], device=z.device) * stride // self.each).clamp(max=self.steps - 1)
                a = a + next(skips)(flat[:, at][..., columns])
            a = self._through(stage, a, inside)
        inside = self._inside(lengths, 1)
        assert a is not None
        a = self._through(self.stages[-1], self._doubled(a, self.longest), inside)
        return self.likelihood(self.out(a).unflatten(0, lead), given)

    def _inside(self, lengths: Tensor, stride: int) -> Bool[Tensor, "N T"]:
        """Which places of a scale lie within the true length."""
        places = torch.arange(-(-self.longest // stride), device=lengths.device)
        return places < -(-lengths[:, None] // stride)

    def _through(self, stage: nn.Module, a: Float[Tensor, "N T C"], inside: Bool[Tensor, "N T"]) -> Tensor:
        for block in stage.children():
            a = block(a, inside)
        return a

    def _doubled(self, a: Float[Tensor, "N T C"], places: int) -> Float[Tensor, "N T2 C"]:
        return a.repeat_interleave(2, 1)[:, :places]


class _Block(nn.Module):
    """a + f(a): two convolutions over true places, each behind a nonlinearity, of a normalised over channels."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first, self.second = (nn.Conv1d(width, width, kernel, padding=kernel // 2) for _ in range(2))

    def forward(self, a: Float[Tensor, "N T C"], inside: Bool[Tensor, "N T"]) -> Float[Tensor, "N T C"]:
        """The map, changed; what is behind the true end does not matter."""
        there = inside[:, None]
        u = F.silu(self.norm(a)).mT * there
        u = F.silu(self.first(u)) * there
        changed: Tensor = self.second(u)
        return a + changed.mT


def _columns(part: UNetDecoder, size: int, scale: int) -> list[int]:
    """Which numbers of a place of z a scale reads."""
    if part.dim == 0:
        return list(range(size))
    parts = min(part.scales, size // part.dim)
    own = range(scale * part.dim, (scale + 1) * part.dim) if scale < parts else ()
    return [*own, *range(parts * part.dim, size)]


def _covered(longest: int, steps: int) -> int:
    """Places of x that one of z covers: the smallest power of 2 with which z reaches the end.

    Example:
        >>> _covered(13, 7), _covered(64, 8), _covered(9, 2), _covered(9, 1)
        (2, 8, 8, 16)
    """
    each = 1
    while -(-longest // each) > steps:
        each *= 2
    return each
