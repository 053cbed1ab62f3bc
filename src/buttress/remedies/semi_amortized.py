"""Semi-amortised inference: each example's q is refined from where the encoder put it, in training and after."""

from __future__ import annotations

from dataclasses import replace

from buttress.algorithms.semi_amortized import SemiAmortized, Variant
from buttress.core.recipe import Recipe
from buttress.core.remedy import remedy


@remedy(
    family="reduce the amortisation gap",
    source="Kim et al. 2018",
    takes={"algorithm": "joint"},
    needs={"posterior": ("gaussian",)},
    cures=("inference lags",),
    codes=False,
)
def semi_amortized(recipe: Recipe, steps: int = 10, variant: Variant = "sa", antithetic: bool = True) -> Recipe:
    """Refine q for each example by gradient steps and train through them; often combined with kl_annealing.

    Args:
        recipe: The recipe to change.
        steps: Gradient steps on q for each example; the paper has 20. Each costs about
            four plain training steps, two without antithetic.
        variant: "sa" trains the encoder through the steps, "vae_svi" by its own bound, "svi" does without one.
        antithetic: Each step's noise with its mirror image, which steadies q; false for the paper's single draw.

    Example:
        >>> from buttress.baseline import baseline
        >>> from buttress.data.mnist5k import Mnist5k
        >>> from buttress.core import DataSpec, Layout
        >>> recipe = baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28)))
        >>> semi_amortized(recipe, steps=2).algorithm.refinement
        Refinement(steps=2, rate=0.03125, momentum=0.5, clip=5.0, antithetic=True)
    """
    return replace(recipe, algorithm=SemiAmortized(refine_steps=steps, variant=variant, antithetic=antithetic))
