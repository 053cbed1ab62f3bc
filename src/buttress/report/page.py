"""Templates to pages: one file, no outside references, every string of a user escaped."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from buttress.report.figures import PALETTE

__all__ = ["render"]

STATES = {
    "used": "used",
    "partly used": "partly",
    "collapsed": "collapsed",
    "degenerate to a deterministic autoencoder": "degenerate",
}
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
    return environment


def render(template: str, **values: Any) -> str:
    """The page that a template of this package makes of the values.

    Args:
        template: File name under ``templates/``.
        values: What the template names.
    """
    from buttress import __version__

    text = _environment().get_template(template).render(palette=PALETTE, version=__version__, **values)
    return re.sub(r"\n\s*\n+", "\n", text)
