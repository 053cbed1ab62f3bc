"""Beginning with the weights of another run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from buttress.training import checkpoint
from buttress.training.folder import STATE, WEIGHTS

__all__ = ["begin_with", "weights_in"]


def weights_in(folder: Path) -> dict[str, Tensor]:
    """The weights that a run has saved.

    Errors:
        FileNotFoundError: There are none.
        ValueError: The file is damaged.
    """
    path = folder / WEIGHTS
    if path.exists():
        return checkpoint.load(path)
    state: dict[str, Any] = checkpoint.load(folder / STATE)
    if "model" not in state:
        raise ValueError(f"{folder / STATE}: holds no state of a run; go back to a copy of it, or train again")
    return state["model"]


def begin_with(model: nn.Module, folder: Path) -> str:
    """Copy the weights of a run into a model, those that it has by the same name and in the same shape.

    Args:
        model: The model to be trained.
        folder: Of the run.

    Returns:
        What was taken over, in one sentence.

    Errors:
        FileNotFoundError: There is no run, or it has saved nothing.
        ValueError: Nothing fits.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     checkpoint.save(Path(folder, WEIGHTS), nn.Linear(2, 3).state_dict())
        ...     begin_with(nn.Sequential(nn.Linear(2, 3)), Path(folder))
        Traceback (most recent call last):
        ValueError: none of the 2 tensors in ... has a name and shape of this model; choose a run of the same parts
    """
    saved, own = weights_in(folder), model.state_dict()
    fitting = {k: v for k, v in saved.items() if k in own and isinstance(v, Tensor) and v.shape == own[k].shape}
    if not fitting:
        raise ValueError(
            f"none of the {len(saved)} tensors in {folder} has a name and shape of this model; choose a run of the "
            "same parts"
        )
    model.load_state_dict({**own, **fitting})
    drawn = dict.fromkeys(name.partition(".")[0] for name in own if name not in fitting)
    rest = f"; the rest is drawn anew, in {', '.join(drawn)}" if drawn else ""
    return f"begins with {len(fitting)} of {len(own)} tensors from {folder}{rest}"
