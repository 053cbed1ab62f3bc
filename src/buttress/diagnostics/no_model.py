"""What to say of something that came in place of a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

__all__ = ["as_came", "refuse_class"]


def as_came(value: Any) -> str:
    """What it is and what to try, as the end of "the model is ...".

    Example:
        >>> as_came(nn.Linear), as_came(3)
        ('the class Linear, wanted an instance of it; try Linear(...)', 'a int, wanted a torch.nn.Module')
    """
    module = "wanted a torch.nn.Module"
    if isinstance(value, type):
        return f"the class {value.__name__}, wanted an instance of it; try {value.__name__}(...)"
    if isinstance(value, str | Path):
        return f"the text {str(value)!r}, {module}; try bt.load(folder).model for a run of buttress, or load your own"
    if isinstance(value, Mapping) and value and all(isinstance(one, Tensor) for one in value.values()):
        return f"a dict of tensors, {module}; make the module, and give it these by load_state_dict"
    if isinstance(value, tuple | list) and value and all(isinstance(one, nn.Module) for one in value):
        return f"a {type(value).__name__} of {len(value)} modules, {module}; try one whose forward(x) calls them all"
    if callable(value) and not isinstance(value, nn.Module) and hasattr(value, "__name__"):
        return f"the function {value.__name__}, {module}; if it makes one, call it"
    return f"a {type(value).__name__}, {module}"


def refuse_class(model: Any) -> None:
    """Refuse a class, whose methods are there though nothing can be computed with it.

    Errors:
        ValueError: It is one.
    """
    if isinstance(model, type):
        raise ValueError(f"the model is {as_came(model)}")
