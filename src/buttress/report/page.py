"""Templates to pages: one file, no outside references, every string of a user escaped."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from buttress.diagnostics.state import WANTED
from buttress.diagnostics.verdict import COLLAPSED, DEGENERATE, PARTLY, USED
from buttress.report.drawing import PALETTE

__all__ = ["render"]

UNPRINTED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters, which steer terminals and which HTML forbids; tabs and ends of lines stay."""
STATES = {USED: "used", PARTLY: "partly", COLLAPSED: "collapsed", DEGENERATE: "degenerate", WANTED: "used"}
"""State of a verdict -> CSS class of its badge."""


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("buttress.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["state_class"] = lambda state: STATES.get(state or "", "unknown")
    environment.filters["short_state"] = lambda state: state.split(" to ")[0]
    environment.filters["breakable"] = _breakable
    return environment


def _breakable(name: str) -> Markup:
    """A name that may break between remedies and settings, and where a piece is too wide after an underscore."""
    pieces = [str(escape(piece)).replace("_", "_<wbr>") for piece in re.findall(r"[^+:/]+[+:/]?|[+:/]", name)]
    return Markup("<wbr>".join(f'<span class="piece">{piece}</span>' for piece in pieces))


def render(template: str, **values: Any) -> str:
    """The page that a template of this package makes of the values.

    Args:
        template: File name under ``templates/``.
        values: What the template names.
    """
    from buttress import __version__

    text = _environment().get_template(template).render(palette=PALETTE, version=__version__, **values)
    return re.sub(r"\n\s*\n+", "\n", UNPRINTED.sub("", text))
