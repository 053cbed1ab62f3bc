"""Which kinds of data a remedy fits: found by applying it, so that no list has to be kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, replace
from itertools import product
from typing import Any, cast

from buttress.baseline import baseline
from buttress.core import DataSpec, Layout, registry
from buttress.core.recipe import Recipe
from buttress.core.remedy import Remedy
from buttress.data.linear_gaussian import LinearGaussianData

__all__ = ["changes", "fits"]

LAYOUTS = {
    "images": Layout.image(1, 28, 28),
    "tables": Layout.table(8),
    "sentences": Layout.text(100, longest=20),
    "sound samples": Layout.wave(4000),
    "sound frames": Layout.frames(40, longest=100),
}
ROLES = {"encoder": "encoders", "decoder": "decoders", "prior": "priors", "likelihood": "likelihoods"}


def fits(remedy: Remedy) -> tuple[str, ...]:
    """The kinds of data for which there is a model that the remedy changes.

    Args:
        remedy: One of the catalogue.

    Example:
        >>> from buttress.core.remedy import catalogue
        >>> fits(catalogue()["word_dropout"]), fits(catalogue()["local_decoder"])
        (('sentences',), ('images',))
    """
    return tuple(kind for kind, layout in LAYOUTS.items() if _changes_one(remedy, layout))


def changes(remedy: Remedy, recipe: Recipe, layout: Layout) -> bool:
    """Whether a remedy is for such data and changes this recipe into one that fits them.

    Args:
        remedy: One of the catalogue.
        recipe: What it is to change.
        layout: Of the data.

    Example:
        >>> from buttress.core.remedy import catalogue
        >>> layout = Layout.table(8)
        >>> recipe = baseline(LinearGaussianData(), DataSpec(layout))
        >>> changes(catalogue()["free_bits"], recipe, layout), changes(catalogue()["word_dropout"], recipe, layout)
        (True, False)
    """
    return (not remedy.kinds or layout.kind in remedy.kinds) and _applies(remedy, recipe, layout)


def _changes_one(remedy: Remedy, layout: Layout) -> bool:
    if remedy.kinds and layout.kind not in remedy.kinds:
        return False
    return any(_applies(remedy, recipe, layout) for recipe in _recipes(remedy, layout))


def _recipes(remedy: Remedy, layout: Layout) -> Iterator[Recipe]:
    """The baseline, then every pair of encoder and decoder, with what else the remedy needs."""
    plain = baseline(LinearGaussianData(), DataSpec(layout))
    yield plain
    wanted = {role: remedy.needs.get(role, ()) for role in ("prior", "likelihood")}
    choices = [_defaults(role, names, layout) or [getattr(plain, role)] for role, names in wanted.items()]
    pairs = [
        _defaults(role, remedy.needs.get(role) or registry.names(ROLES[role]), layout)
        for role in ("encoder", "decoder")
    ]
    for prior, likelihood, encoder, decoder in product(*choices, *pairs):
        yield replace(plain, prior=prior, likelihood=likelihood, encoder=encoder, decoder=decoder)


def _defaults(role: str, names: Any, layout: Layout) -> list[Any]:
    """The parts of these names with their default settings, where they have one for every setting and fit."""
    kinds = [registry.part(ROLES[role], name) for name in names]
    whole = [k for k in kinds if all(_optional(f) for f in fields(cast(Any, k)))]
    return [part for part in (kind() for kind in whole) if not _misfit(part, layout)]


def _optional(field: Field[Any]) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def _applies(remedy: Remedy, recipe: Recipe, layout: Layout) -> bool:
    try:
        changed = remedy(recipe)
    except ValueError:
        return False
    return not any(_misfit(getattr(changed, role), layout) for role in ROLES)


def _misfit(part: Any, layout: Layout) -> str:
    return part.misfit(layout) if hasattr(part, "misfit") else ""
