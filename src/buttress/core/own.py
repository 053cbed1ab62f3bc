"""Modules of a user's own, by name: recipes hold the name, the process holds the module.

YAML holds no code, so a run trained with a module of yours can only be opened where the module is given again.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

__all__ = ["Maker", "keep", "make", "one_tensor"]

Maker = Callable[[], nn.Module]
"""Makes an untrained copy of a module."""

_makers: dict[tuple[str, str], Maker] = {}


def keep(module: nn.Module | Maker, role: str) -> str:
    """Make a module known in this process; the name under which recipes mention it: that of its class or function.

    Args:
        module: The module, of which every model gets a copy with its present weights; or a function that makes one.
        role: "encoder" or "decoder".

    Errors:
        ValueError: It is neither a module nor a function.

    Example:
        >>> keep(nn.Linear(3, 2), "encoder"), make("Linear", "encoder").out_features
        ('Linear', 2)
    """
    if not (isinstance(module, nn.Module) or callable(module)):
        raise ValueError(f"got a {type(module).__name__}, wanted a torch.nn.Module or a function that makes one")
    called = type(module).__name__ if isinstance(module, nn.Module) else getattr(module, "__name__", "own")
    _makers[role, called] = (lambda: copy.deepcopy(module)) if isinstance(module, nn.Module) else module
    return called


def make(name: str, role: str) -> nn.Module:
    """A copy of the module of that name.

    Errors:
        ValueError: This process does not know it.
    """
    if not name:
        raise ValueError(
            f"the own {role} stands for a module of yours, which Python alone can name; try buttress.train(data, "
            f"{role}=your_module)"
        )
    if (role, name) not in _makers:
        raise ValueError(
            f"the {role} of this run is the module {name!r} of your own, which is not known here; give it again, as in "
            f"buttress.load(folder, {role}={name}())"
        )
    made = _makers[role, name]()
    if not isinstance(made, nn.Module):
        raise ValueError(f"the function {name!r} gave a {type(made).__name__}, wanted a torch.nn.Module; return one")
    return made


def one_tensor(value: Any, name: str, wanted: str) -> Tensor:
    """What a module of the user's own gave, if it is one tensor.

    Errors:
        ValueError: It is something else, such as the tuple (mu, logvar).
    """
    if isinstance(value, Tensor):
        return value
    got = f"a {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, tuple | list) else "")
    raise ValueError(f"{name} gave {got}, wanted one tensor: {wanted}")
