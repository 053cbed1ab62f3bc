r"""The estimates of a diagnosis as its verdict reads them.

What z carries is the smallest of three measures,

$$ \min(I_q, R, W_\text{shuffled}) $$

what q puts into z, its ceiling the rate ($I_q \le R$, which an estimate from few examples may pass), and what the
decoder takes out of it; where a critic reads codes in its place, what they are worth to that ($W_\text{critic}$). The
rate alone decides nothing: a floor under it can be paid for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Literal

from buttress.diagnostics.compare import Truth, above, below, every, minus, size, some
from buttress.diagnostics.estimate import Estimate, short
from buttress.diagnostics.thresholds import (
    COLLAPSED_NATS,
    FAR_NATS,
    FAR_SHARE,
    LAG_NATS,
    NEAR_CEILING,
    READ_SHARE,
    UNFINISHED,
    USED_NATS,
    WEIGHTED,
)

__all__ = ["COMPRESSION", "Numbers", "Purpose"]

Purpose = Literal["density", "compression"]
"""What z is for."""
COMPRESSION = "purpose: compression, so that a q that is a point and far from the prior is wanted"
"""The note of an evidence whose z a second model will learn."""
ROUNDING = 1e-5
"""Of a share in float32 that is 0."""


class Numbers:
    """The estimates by name, and what follows from several of them.

    Causes ask for the same few again and again, for hundreds of draws (:mod:`buttress.diagnostics.confidence`): so what
    follows is worked out once, and the estimates must stay as they are.

    Args:
        estimates: Those of :class:`buttress.diagnostics.evidence.Evidence`.
        kind: Of the data.
        notes: Of the evidence.

    Example:
        >>> numbers = Numbers({"rate": Estimate(2.0, 0.1, 100, "closed form")})
        >>> numbers["rate"], numbers.get("nll") is None
        (2.0, True)
    """

    def __init__(self, estimates: Mapping[str, Estimate], kind: str = "table", notes: tuple[str, ...] = ()) -> None:
        self.estimates, self.kind, self.notes = estimates, kind, notes
        self._sizes = {name: value for name, found in estimates.items() if (value := size(found)) == value}

    def get(self, name: str) -> Estimate | None:
        """An estimate that has a value; None where there is none."""
        return self.estimates[name] if name in self._sizes else None

    def __getitem__(self, name: str) -> float:
        """Its value, NaN where there is none."""
        return self._sizes.get(name, math.nan)

    def text(self, name: str) -> str:
        """Value and error in words."""
        found = self.estimates[name]
        return "infinitely many" if size(found) == float("inf") else str(found)

    # --- what z carries ---

    @cached_property
    def discrete(self) -> bool:
        """Whether z is made of codes."""
        return "rate_uniform" in self.estimates

    @cached_property
    def compresses(self) -> bool:
        """Whether z is for a second model to learn."""
        return COMPRESSION in self.notes

    @cached_property
    def uniform(self) -> bool:
        """Whether z is discrete and its rate that of the uniform prior: a constant, whatever the codes say."""
        uniform = self["rate_uniform"]
        return abs(uniform - self["rate"]) < 1e-3 * max(1.0, uniform)

    @cached_property
    def critic(self) -> bool:
        """Whether a critic reads codes where a decoder would read z."""
        return self.get("worth_critic") is not None

    @cached_property
    def measures(self) -> tuple[str, str, str]:
        """The names of the three numbers whose smallest is what z carries."""
        return ("mutual_information", "worth_critic" if self.critic else "worth_shuffled", "rate")

    @cached_property
    def carried(self) -> float:
        """What z carries."""
        return min(self[name] for name in self.measures)

    @property
    def above_chance(self) -> Truth:
        """Whether the critic finds the true future more often than among shuffled codes, which is chance."""
        return above(self.get("contrastive_accuracy_gain"), ROUNDING)

    @cached_property
    def enough(self) -> float:
        """From where on z is used: of codes never more than half of what all of them could tell."""
        return min(USED_NATS, READ_SHARE * self["rate_uniform"]) if self.get("rate_uniform") else USED_NATS

    def carries(self, threshold: float) -> Truth:
        """Whether z carries as much."""
        return every(*(above(self.get(name), threshold) for name in self.measures))

    @cached_property
    def collapsed(self) -> Truth:
        """Whether z carries nothing."""
        silent = self.carries(COLLAPSED_NATS)
        return None if silent is None else not silent

    @cached_property
    def unread(self) -> Truth:
        """Whether shuffling z costs less than READ_SHARE of the rate; under a uniform prior the rate says nothing.

        Nor does it say what a critic should lose, who is not asked for x, nor what z costs where it is for compression.
        """
        if self.uniform or self.compresses or self.critic or self["worth_shuffled"] == float("inf"):
            return False
        return below(minus(self.get("worth_shuffled"), self.get("rate"), READ_SHARE), 0)

    @cached_property
    def used(self) -> Truth:
        """Whether z carries enough, and most of what is paid for it is read."""
        unread = self.unread
        return every(self.carries(self.enough), None if unread is None else not unread)

    @cached_property
    def read_in_full(self) -> Truth:
        """Whether the decoder takes at least as much out of z as q puts into it, and more than nothing.

        With the exact posterior W = I + L, where L is no less than 0: so a W below I by two errors is against it.
        """
        short_of = above(minus(self.get("worth_shuffled"), self.get("mutual_information")), 0)
        full = None if "worth_shuffled" not in self.estimates else short_of is not False
        return every(above(self.get("worth_shuffled"), COLLAPSED_NATS), full)

    @cached_property
    def at_ceiling(self) -> bool:
        """Whether information is as large as so few examples can show, and so a lower bound."""
        found = self.get("mutual_information")
        return found is not None and found.ceiling is not None and size(found) > found.ceiling - NEAR_CEILING

    # --- what a better q would change ---

    @cached_property
    def matters(self) -> float:
        """What a better q must gain to be a cause: enough to leave collapse, and as much as z carries already.

        Every amortised q has some gap. Where information is at its ceiling, z carries more than was seen, and half of
        the rate stands in its place.
        """
        return max(LAG_NATS, self.carried, READ_SHARE * self["rate"] if self.at_ceiling else 0.0)

    @cached_property
    def bound_gap(self) -> Estimate | None:
        """-ELBO - NLL, of which the mean KL(q(z|x) || p(z|x)) is no smaller as the NLL falls with more samples."""
        if (paired := self.get("bound_gap")) is not None:
            return paired
        elbo, nll = self.get("elbo"), self.get("nll")
        if elbo is None or nll is None or elbo.value is None:
            return None
        return minus(Estimate(-elbo.value, elbo.error, elbo.n, elbo.method), nll)

    @cached_property
    def readable(self) -> Estimate | None:
        """Distortion - NLL: the decoder saves at least as much with z of the true posterior.

        As NLL = E_post[-log p(x|z)] + KL(post || p), no less than the first. For a decoder that ignores z distortion
        and NLL are equal, and -ELBO - NLL is the rate alone.
        """
        return minus(self.bound_gap, self.get("rate"))

    def gains(self, name: str) -> Truth:
        """Whether a gain of refining q ("amortisation_gap", "decoder_gain") matters, by its mean or by its median.

        One example far off makes the error of a mean as large as the mean; the median does not notice it.
        """
        return some(
            above(self.get(name), self.matters),
            *(above(found, self.matters) for found in [self.get(f"{name}_median")] if found is not None),
        )

    @cached_property
    def gains_at_weight(self) -> Truth:
        r"""Whether a better q gains at the weight of the rate that was trained with, where that is news; else true.

        A q that saves the decoder D nats and gains $\Delta$ of ELBO pays $D - \Delta$ nats of rate for it, so that at a
        weight $\beta$ it gains $D - \beta (D - \Delta)$. It was searched for at weight 1: so that is a lower bound.
        """
        beta, gap, gain = self["rate_weight"], self.get("amortisation_gap"), self.get("decoder_gain")
        if not beta > WEIGHTED or gap is None or gain is None:
            return True
        return above(minus(gap, minus(gain, gap), beta - 1), self.matters)

    @property
    def averaged(self) -> Truth:
        """Whether a loss that averages over the numbers of x leaves q where it is; None where that was not measured."""
        return below(self.get("decoder_gain_averaged"), LAG_NATS)

    @property
    def refined(self) -> bool:
        """Whether a better q was searched for."""
        return self.get("amortisation_gap") is not None and self.get("decoder_gain") is not None

    @property
    def unfinished(self) -> Truth:
        """Whether the search for a better q had not ended for too many examples; None where that is not known."""
        return above(self.get("gap_unfinished"), UNFINISHED)

    # --- where q is as a whole ---

    @cached_property
    def mismatch(self) -> Estimate | None:
        """KL(q(z) || p(z)); where information is at its ceiling, what the moments of q(z) alone prove of it, if any."""
        return self.get("aggregate_kl_at_least" if self.at_ceiling else "aggregate_kl")

    @cached_property
    def far(self) -> Truth:
        """Whether much of the rate is the distance of all q together from the prior; None where that is not known."""
        return every(above(minus(self.mismatch, self.get("rate"), FAR_SHARE), 0), above(self.mismatch, FAR_NATS))

    # --- in words ---

    @property
    def rates(self) -> str:
        """The rate; where z is discrete under which prior, and what the codes cost under the uniform one."""
        if not self.discrete:
            return f"{self.text('rate')} nats"
        if self.get("rate_uniform") is None:
            return f"{self.text('rate')} nats under the model's prior"
        uniform = short(self["rate_uniform"], 4)
        if self.uniform:
            return f"{uniform} nats under the uniform prior"
        return f"{self.text('rate')} nats under the learned prior ({uniform} under the uniform one)"

    @property
    def informs(self) -> str:
        """Mutual information with its ceiling."""
        found = self.estimates["mutual_information"]
        ceiling = "" if found.ceiling is None else f", of at most {found.ceiling:.2f} that can be measured"
        bound = " (at its ceiling: a lower bound)" if self.at_ceiling else ""
        counted = min(self["mutual_information"], self["rate"])
        same = short(counted, 2) == short(self["mutual_information"], 2)
        above_rate = "" if same else f" (it cannot exceed the rate, {self.rates}, which is used instead)"
        return f"mutual information of x and z is {found} nats{ceiling}{bound}{above_rate}"

    @property
    def costs(self) -> str:
        """What shuffling z costs."""
        if self.critic:
            return f"shuffling the codes over the places costs the critic {self.text('worth_critic')} nats"
        return f"shuffling z over the data costs the decoder {self.text('worth_shuffled')} nats"

    @property
    def told(self) -> str:
        """What refining q gained."""
        least = "at least " if self.unfinished else ""
        middle = self.get("amortisation_gap_median")
        half = "" if middle is None else f" (half of the examples gain more than {short(size(middle))})"
        gap, gain = self.text("amortisation_gap"), self.text("decoder_gain")
        return f"refining q for each example gains {least}{gap} nats of ELBO{half}, and the decoder {gain} nats"
