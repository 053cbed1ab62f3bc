r"""The rotation trick: the gradient of a codeword reaches the vector that chose it turned and scaled as the two differ.

$$ \tilde q = \frac{\lVert q \rVert}{\lVert z \rVert} R z, \qquad
   R = I - 2 w w^\top + 2 \hat q \hat z^\top, \qquad w = \frac{\hat z + \hat q}{\lVert \hat z + \hat q \rVert} $$

R turns z onto q, so $\tilde q = q$; it and the ratio of lengths are constants to the gradient, which becomes
$\frac{\lVert q \rVert}{\lVert z \rVert} R^\top g$ instead of a copy of g. Source: Fifty et al., Restructuring Vector
Quantization with the Rotation Trick, 2024.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

__all__ = ["rotated"]

SMALLEST = 1e-6
"""Length below which a vector has no direction."""


def rotated(z: Float[Tensor, "*batch D"], q: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
    """q, with the gradient for z of the rotation trick; q itself gets none.

    Example:
        >>> import torch
        >>> z = torch.tensor([1.0, 0.0], requires_grad=True)
        >>> out = rotated(z, torch.tensor([0.0, 2.0]))  # a quarter turn, and twice as long
        >>> out[1].backward()
        >>> out.tolist(), z.grad.round(decimals=5).tolist()
        ([0.0, 2.0], [2.0, 0.0])
    """
    fixed, q = z.detach(), q.detach()
    long, short = q.norm(dim=-1, keepdim=True), fixed.norm(dim=-1, keepdim=True).clamp_min(SMALLEST)
    from_, to = fixed / short, q / long.clamp_min(SMALLEST)
    w = F.normalize(from_ + to, dim=-1, eps=SMALLEST)
    turned = z - 2 * w * (w * z).sum(-1, keepdim=True) + 2 * to * (from_ * z).sum(-1, keepdim=True)
    found = long / short * turned
    return found + (q - found).detach()  # the value of q to the last digit
