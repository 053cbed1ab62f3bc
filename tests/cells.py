"""What the laws run over: data of every kind, and the tiny instances of every part that the catalogue finds."""

from __future__ import annotations

import itertools
from dataclasses import replace

import torch

from buttress.core import EOS, PAD, Column, DataSpec, Layout, registry

SPECS = {
    "image": DataSpec(Layout.image(1, 4, 5), mean=torch.full((1, 4, 5), 90.0), std=torch.full((1, 4, 5), 50.0)),
    "colour": DataSpec(Layout.image(3, 4, 4), mean=torch.full((3, 4, 4), 90.0), std=torch.full((3, 4, 4), 50.0)),
    "text": DataSpec(Layout.text(7, longest=5)),
    "table": DataSpec(Layout.table(3), mean=torch.zeros(3), std=torch.ones(3), columns=("a", "b", "c")),
    "wave": DataSpec(Layout.wave(8, levels=4)),
    "frames": DataSpec(Layout.frames(2, longest=6), mean=torch.zeros(2), std=torch.ones(2)),
    "words": DataSpec(
        Layout.table(3),
        mean=torch.tensor([0.5, 0.0, 1.0]),
        std=torch.tensor([0.5, 1.0, 0.8]),
        columns=("a", "b", "c"),
        categories=(2, 0, 3),
        words=(("x", "y"), (), ("u", "v", "")),
        missing=True,
    ),
}
SPECS["labelled"] = replace(SPECS["table"], given=(Column("label", classes=3), Column("age")))
"""Real and discrete conditions beside x."""


def tiny(room):
    """All tiny instances of a room's parts."""
    return [part for kind in registry.parts(room).values() for part in kind.tiny()]


def fits(part, spec):
    return not part.misfit(spec.layout)


def meetings(ones, others):
    """Pairs of parts: each instance with the first of every kind in the other list.

    So every instance is tried, and every kind with every kind. Left out are two instances that both have other settings
    than the first of their kinds: whether parts fit each other (shapes, codes, places) is between the kinds, and a
    setting works within its own part.
    """
    first, second = ({id(next(p for p in parts if p.name() == name)) for name in {p.name() for p in parts}}
                     for parts in (ones, others))  # fmt: skip
    return [(a, b) for a, b in itertools.product(ones, others) if id(a) in first or id(b) in second]


def decoders():
    """(spec, decoder, likelihood): every decoder with the likelihoods that fit it (see :func:`meetings`)."""
    for name, spec in SPECS.items():
        parts = ([p for p in tiny(room) if fits(p, spec)] for room in ("decoders", "likelihoods"))
        yield from ((name, decoder, likelihood) for decoder, likelihood in meetings(*parts))


def given_for(spec, raw):
    """What is given beside stored data: conditions of every kind that the spec names, and true lengths."""
    given = {
        c.name: torch.arange(len(raw)) % c.classes if c.classes else torch.rand(len(raw), c.size) for c in spec.given
    }
    if spec.layout.lengths and spec.layout.numeric:
        given["lengths"] = 1 + torch.arange(len(raw)) % spec.layout.places[0]
    if spec.layout.tokens:
        given["lengths"] = (raw != PAD).sum(1)
    return given


def raw_data(spec, likelihood, n=6):
    """Stored data inside the support of a likelihood."""
    generator = torch.Generator().manual_seed(3)
    if spec.layout.tokens:
        x = torch.randint(4, spec.vocabulary, (n, *spec.shape), generator=generator)
        lengths = torch.arange(n) % spec.shape[0]
        place = torch.arange(spec.shape[0])
        x = torch.where(place == lengths[:, None], EOS, x)
        return torch.where(place > lengths[:, None], PAD, x)
    if spec.layout.axes == 1 and spec.layout.symbols:
        return torch.randint(0, spec.layout.symbols, (n, *spec.shape), generator=generator)
    if not getattr(likelihood, "ordinal", True):
        return torch.randint(0, likelihood.levels, (n, *spec.shape), generator=generator, dtype=torch.int32)
    if likelihood.name() in ("poisson", "negative_binomial"):
        return torch.randint(0, 6, (n, *spec.shape), generator=generator).float()
    if getattr(likelihood, "binarize", None) == "none" or (not spec.layout.axes and likelihood.name() == "bernoulli"):
        return torch.randint(0, 2, (n, *spec.shape), generator=generator).float()
    if any(spec.categories):
        row = torch.arange(n)
        numbers = torch.where((row == 2) & spec.missing, torch.nan, torch.randn(n, generator=generator))
        return torch.stack([(row % size).float() if size else numbers for size in spec.categories], 1)
    if spec.layout.axes == 2:
        return torch.randint(0, 256, (n, *spec.shape), generator=generator, dtype=torch.uint8)
    return torch.randn(n, *spec.shape, generator=generator)
