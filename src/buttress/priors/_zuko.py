"""zuko, imported so that nothing else in the process hears of it.

Importing zuko turns the argument checks of all torch distributions off and gives them all empty constraints; here both
are put back as they were.
"""

from __future__ import annotations

from torch.distributions import Distribution

_before = {name: vars(Distribution)[name] for name in ("_validate_args", "arg_constraints")}

from zuko.flows import MAF  # noqa: E402
from zuko.transforms import AdditiveTransform, MonotonicAffineTransform  # noqa: E402

for _name, _value in _before.items():
    setattr(Distribution, _name, _value)

__all__ = ["MAF", "AdditiveTransform", "MonotonicAffineTransform"]
