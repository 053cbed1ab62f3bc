r"""ABX: are two sounds of one category closer to each other than to a sound of another, whoever speaks?

$$ e_{ab} = P(d(A, X) > d(B, X)) + \tfrac12 P(d(A, X) = d(B, X)), \qquad A, X \in a, \quad B \in b \ne a $$

A and B are of one speaker; X is of the same one (within) or of another (across). Where contexts are given (the phones
before and after, say) all three have the same. e is a mean over the triples of a cell (categories a and b, context,
speaker of A and B, speaker of X), then over contexts, over speakers, and at last over pairs of categories: so what is
frequent does not outweigh what is rare. It is 1/2 where sounds say nothing of their category, and 0 where they name it.

d aligns the frames of two sounds by dynamic time warping and is the mean distance along the path:

$$ d(u, v) = \frac1{|\pi|} \sum_{(i, j) \in \pi} \delta(u_i, v_j), \qquad
   \pi = \arg\min_\pi \sum_{(i, j) \in \pi} \delta(u_i, v_j), \qquad
   \delta = \frac1\pi \arccos \frac{u_i \cdot v_j}{\lVert u_i \rVert \lVert v_j \rVert}, \quad
   1 - \cos, \quad \text{or } [u_i \ne v_j] $$

Source: Schatz et al., Evaluating Speech Features with the Minimal-Pair ABX Task, 2013; the ZeroSpeech challenges. Ours:
of paths that cost the same the shortest is taken, so that d is symmetric; ties are frequent among codes.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn.functional import normalize
from torch.nn.utils.rnn import pad_sequence

__all__ = ["Abx", "Distance", "Tokens", "abx", "warped"]

Distance = Literal["angular", "cosine", "same"]
"""Of two frames: their angle over pi, 1 less its cosine, or for codes 0 where they are the same and 1 where not."""
AT_ONCE = 2**22
"""Numbers of a table made at once."""
LONGER = 2.0**-36
"""What every step of a path costs beside its distances, so that of equal paths the shorter is the cheaper."""


@dataclass(frozen=True, eq=False)
class Tokens:
    """N sounds of known category, padded to the longest.

    Args:
        frames: Vectors (N, L, D), or codes (N, L).
        lengths: True lengths, at least 1.
        label: The category of each, from 0.
        speaker: Who says it, from 0.
        context: What is around it, from 0; all 0 where that is not to count.

    Errors:
        ValueError: There is no sound, or one without a frame.

    Example:
        >>> tokens = Tokens.of([torch.tensor([3, 3]), torch.tensor([5])], [0, 1], [0, 0])
        >>> tokens.frames.tolist(), tokens.lengths.tolist()
        ([[3, 3], [5, 0]], [2, 1])
    """

    frames: Shaped[Tensor, "N L *D"]
    lengths: Int[Tensor, " N"]
    label: Int[Tensor, " N"]
    speaker: Int[Tensor, " N"]
    context: Int[Tensor, " N"]

    @classmethod
    def of(
        cls, frames: Sequence[Tensor], label: Sequence[int], speaker: Sequence[int], context: Sequence[int] = ()
    ) -> Tokens:
        """From sounds of different lengths."""
        if not frames or min(map(len, frames)) < 1:
            raise ValueError(f"abx: got {len(frames)} sounds, wanted one or more, each with at least one frame")
        numbers = (torch.tensor(list(each), dtype=torch.long) for each in (label, speaker, context or [0] * len(label)))
        return cls(pad_sequence(list(frames), batch_first=True), torch.tensor([len(f) for f in frames]), *numbers)

    def __len__(self) -> int:
        """N."""
        return len(self.lengths)

    def at_most(self, count: int, seed: int = 0) -> Tokens:
        """The same with at most ``count`` sounds, drawn at random, of each category, speaker and context."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        kept = order[_rank(self._cells()[1][order]) < count].sort().values
        return Tokens(*(getattr(self, name)[kept] for name in ("frames", "lengths", "label", "speaker", "context")))

    def _cells(self) -> tuple[Int[Tensor, "G 3"], Int[Tensor, " N"]]:
        """Category, speaker and context of each cell, and the cell of each sound."""
        found: tuple[Tensor, Tensor] = torch.stack([self.label, self.speaker, self.context], 1).unique(
            dim=0, return_inverse=True
        )
        return found


@dataclass(frozen=True, eq=False)
class Abx:
    """What an ABX test found.

    Args:
        error: Of all pairs of categories; NaN where there was no triple.
        pairs: e of each pair (a, b), shape (C, C); NaN where there was no triple.
        triples: How many (A, B, X) were compared.
    """

    error: float
    pairs: Float[Tensor, "C C"]
    triples: int


def abx(tokens: Tokens, across: bool = True, distance: Distance | None = None) -> Abx:
    """The ABX error of sounds.

    Args:
        tokens: The sounds; work grows with their square, and with the cube of how many are in a cell.
        across: Whether X is of another speaker than A and B; else of the same.
        distance: Of two frames; None for the angle of vectors, and for "same" of codes.

    Errors:
        ValueError: Codes with a distance of vectors, or the other way round.

    Example:
        >>> codes = [torch.tensor([c, c]) for c in (0, 0, 1, 1, 0, 2)]
        >>> sounds = Tokens.of(codes, label=[0, 0, 1, 1, 0, 1], speaker=[0, 0, 0, 0, 1, 1])
        >>> abx(sounds, across=False).error  # one speaker's categories have codes of their own
        0.0
        >>> abx(sounds, across=True).pairs  # to the other's second one all are as far
        tensor([[   nan, 0.0000],
                [0.5000,    nan]], dtype=torch.float64)
    """
    distance = distance or ("angular" if tokens.frames.is_floating_point() else "same")
    if (distance == "same") == tokens.frames.is_floating_point():
        kind = "vectors" if tokens.frames.is_floating_point() else "codes"
        raise ValueError(
            f"abx: the distance {distance!r} is not one of {kind}; try angular for vectors, same for codes"
        )
    table, cell = tokens._cells()
    apart = _distances(tokens, across, distance)
    members = _members(cell, len(table))
    triples = _triples_of_cells(table, across)
    errors, counts = _errors(apart, members, triples)
    seen = counts > 0
    a, b, x = triples[seen].unbind(1)
    keys = torch.stack([table[a, 0], table[b, 0], table[a, 1], table[x, 1], table[a, 2]], 1)
    values = errors[seen]
    for columns in (4, 2):  # over contexts, over speakers
        keys, values = _means(keys[:, :columns], values)
    size = int(tokens.label.max()) + 1
    pairs = torch.full((size, size), math.nan, dtype=torch.float64)
    pairs[keys[:, 0], keys[:, 1]] = values
    return Abx(values.mean().item(), pairs, int(counts.sum()))


def warped(apart: Float[Tensor, "P L M"], rows: Int[Tensor, " P"], columns: Int[Tensor, " P"]) -> Float[Tensor, " P"]:
    """The mean of each table along its cheapest path from first to last entry, by steps of (1, 1), (0, 1), (1, 0).

    All tables are walked together, entry by entry; of equal sums the shorter path is kept.

    Args:
        apart: Distances of the frames of P pairs of sounds.
        rows: True number of frames of the first of each pair.
        columns: That of the second.

    Example:
        >>> warped(torch.tensor([[[0.0, 0.0, 4.0], [4.0, 0.0, 1.0]]]), torch.tensor([2]), torch.tensor([3]))
        tensor([0.3333], dtype=torch.float64)
    """
    cost = apart.double().permute(1, 2, 0).contiguous() + LONGER
    steps = torch.ones_like(cost)
    for i, j in itertools.product(range(apart.shape[1]), range(apart.shape[2])):
        before = [(cost[a, b], steps[a, b]) for a, b in ((i - 1, j - 1), (i, j - 1), (i - 1, j)) if min(a, b) >= 0]
        if before:
            least, length = functools.reduce(_better, before)
            cost[i, j] += least
            steps[i, j] += length
    end = rows - 1, columns - 1, torch.arange(len(apart))
    return cost[end] / steps[end] - LONGER


def _better(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The cheaper of two paths to each entry."""
    return torch.minimum(one[0], other[0]), torch.where(other[0] < one[0], other[1], one[1])


def _distances(tokens: Tokens, across: bool, distance: Distance) -> Float[Tensor, "N N"]:
    """d of all pairs that a triple may need, infinity for others; pairs of like lengths are warped together."""
    same = tokens.context[:, None] == tokens.context
    whose = tokens.speaker[:, None] == tokens.speaker
    pairs = (same & (~whose if across else whose)).triu(1).nonzero()
    size = tokens.lengths[pairs]
    order = size.sum(1).argsort()
    pairs, size = pairs[order], size[order]
    frames = normalize(tokens.frames.double(), dim=-1) if distance != "same" else tokens.frames
    found = torch.full((len(tokens), len(tokens)), math.inf, dtype=torch.float64)
    step = max(1, AT_ONCE // int(tokens.lengths.max()) ** 2)
    for some, long in zip(pairs.split(step), size.split(step), strict=True) if len(pairs) else ():
        u, v = (frames[some[:, i], : int(long[:, i].max())] for i in (0, 1))
        found[some[:, 0], some[:, 1]] = warped(_between(u, v, distance), long[:, 0], long[:, 1])
    return torch.minimum(found, found.mT)


def _between(u: Shaped[Tensor, "P L *D"], v: Shaped[Tensor, "P M *D"], distance: Distance) -> Float[Tensor, "P L M"]:
    """delta of all frames of each pair; vectors are of length 1."""
    if distance == "same":
        return (u[:, :, None] != v[:, None]).double()
    cosine = (u @ v.mT).clamp(-1, 1)
    return 1 - cosine if distance == "cosine" else cosine.arccos() / math.pi


def _members(cell: Int[Tensor, " N"], cells: int) -> Int[Tensor, "G M"]:
    """The sounds of each cell, -1 behind the last."""
    order = cell.argsort(stable=True)
    rank = _rank(cell)
    found = torch.full((cells, int(rank.max()) + 1), -1)
    found[cell[order], rank[order]] = order
    return found


def _rank(cell: Int[Tensor, " N"]) -> Int[Tensor, " N"]:
    """How many of the same cell come before each."""
    order = cell.argsort(stable=True)
    count = torch.bincount(cell)
    place = torch.arange(len(cell)) - (count.cumsum(0) - count)[cell[order]]
    return torch.empty_like(place).scatter_(0, order, place)


def _triples_of_cells(table: Int[Tensor, "G 3"], across: bool) -> Int[Tensor, "Q 3"]:
    """The cells that A, B and X are taken from."""
    label, speaker, context = table.unbind(1)
    alike, whose = context[:, None] == context, speaker[:, None] == speaker
    rivals = (alike & whose & (label[:, None] != label)).nonzero()
    if not across:
        return torch.stack([rivals[:, 0], rivals[:, 1], rivals[:, 0]], 1)
    others = (alike & ~whose & (label[:, None] == label))[rivals[:, 0]].nonzero()
    return torch.cat([rivals[others[:, 0]], others[:, 1:]], 1)


def _errors(
    apart: Float[Tensor, "N N"], members: Int[Tensor, "G M"], triples: Int[Tensor, "Q 3"]
) -> tuple[Float[Tensor, " Q"], Int[Tensor, " Q"]]:
    """e of the triples of each triple of cells, and their number."""
    errors, counts = [], []
    for some in triples.split(max(1, AT_ONCE // members.shape[1] ** 3)):
        a, b, x = (members[some[:, i]] for i in range(3))
        valid = _valid(a, b, x)
        d_a, d_b = apart[a[:, :, None], x[:, None]][:, :, None], apart[b[:, :, None], x[:, None]][:, None]
        wrong = ((d_a > d_b).double() + 0.5 * (d_a == d_b)) * valid
        counts.append(valid.flatten(1).sum(1))
        errors.append(wrong.flatten(1).sum(1) / counts[-1].clamp(min=1))
    nothing = apart.new_zeros(0)
    return torch.cat([nothing, *errors]), torch.cat([nothing.long(), *counts])


def _valid(a: Int[Tensor, "Q M"], b: Int[Tensor, "Q M"], x: Int[Tensor, "Q M"]) -> Bool[Tensor, "Q M M M"]:
    """Which of all (A, B, X) are there, with A another sound than X."""
    pair = (a >= 0)[:, :, None] & (x >= 0)[:, None] & (a[:, :, None] != x[:, None])
    return pair[:, :, None] & (b >= 0)[:, None, :, None]


def _means(keys: Int[Tensor, "Q K"], values: Float[Tensor, " Q"]) -> tuple[Int[Tensor, "R K"], Float[Tensor, " R"]]:
    """Different rows of keys, and the mean of the values of each."""
    rows, which = keys.unique(dim=0, return_inverse=True)
    total = torch.zeros(len(rows), dtype=values.dtype).index_add_(0, which, values)
    return rows, total / torch.bincount(which, minlength=len(rows))
