"""What evidence has of models whose prior is told a neighbour's code. None of it is a bound on log p(x)."""

from __future__ import annotations

from buttress.report.quantity import Quantity

__all__ = ["QUANTITIES_OF_NEIGHBOURS"]

APART = "No bound on log p(x); to be compared with no −ELBO and no NLL."

QUANTITIES_OF_NEIGHBOURS: dict[str, Quantity] = {
    "unordered_rate": Quantity(
        "Rate, neighbour known",
        "KL(q(z|x) ‖ p(z|c)) for c one of the K training codes nearest to that of x, the mean over these. " + APART,
        short="KL given a training code near x",
    ),
    "unordered_cost": Quantity(
        "Cost, neighbour known",
        "The same with the distortion: what x costs whoever knows which training examples are like it. " + APART,
        short="distortion + that rate",
    ),
    "mixture_rate": Quantity(
        "Rate, neighbours known",
        "KL(q(z|x) ‖ the mean of p(z|c) over the K training codes nearest to that of x). " + APART,
        short="KL given K near training codes",
    ),
    "mixture_cost": Quantity(
        "Cost, neighbours known",
        "The same with the distortion. " + APART,
        short="distortion + that rate",
    ),
    "ordered_rate": Quantity(
        "Rate, ordered",
        "KL(q(z|x) ‖ p(z|c)) with c the code of the held-out example before, in an order in which each is followed by "
        "the nearest one that had no turn yet. " + APART,
        short="KL given the example before",
    ),
    "ordered_cost": Quantity(
        "Cost, ordered",
        "The same with the distortion: what held-out examples cost that may be sent in any order. " + APART,
        short="distortion + that rate",
    ),
}
