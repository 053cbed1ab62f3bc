r"""From numbers to a state and its cause.

What z carries is the smaller of two measures, $\min(I_q, W_\text{shuffled})$: what q puts into z, and what the decoder
takes out of it. The rate alone decides nothing: a floor under it can be paid for nothing. But it is a ceiling of $I_q$,
$I_q \le R$, which an estimate from few examples may pass: then R stands in its place. All thresholds stand in
:mod:`buttress.diagnostics.thresholds`.
"""

from __future__ import annotations

from collections.abc import Mapping

from buttress.diagnostics.estimate import NO_DENSITY, Estimate, short
from buttress.diagnostics.evidence import Verdict
from buttress.diagnostics.thresholds import (
    COLLAPSED_NATS,
    DEAD_PERPLEXITY,
    DETERMINISTIC_BETA,
    ERRORS,
    FEATURES_ALIKE,
    LAG_NATS,
    NEAR_CEILING,
    READ_SHARE,
    RISING_NATS,
    USED_NATS,
)

__all__ = ["COLLAPSED", "DEAD", "DEGENERATE", "FAR", "IGNORED", "LAGS", "PARTLY", "SAME", "UNKNOWN", "USED", "judge"]

USED, PARTLY, COLLAPSED = "used", "partly used", "collapsed"
DEGENERATE = "degenerate to a deterministic autoencoder"
UNKNOWN = "unknown"
LAGS, IGNORED = "inference lags", "the model ignores z"
DEAD, SAME = "the codebook is dead", "the codes ignore x"
FAR = "all q together are far from the prior"

WEAKER_DECODER = {"image": "local_decoder", "text": "word_dropout"}
"""The remedy that takes local structure away from the decoder, where a kind of data has one."""

WEIGHTS = (
    "q equals the prior: in a loss of your own, check first that both terms have a weight of 1, as a reconstruction "
    "averaged over pixels, tokens or columns beside a summed KL gives the KL as many times its weight (beta)"
)
"""What else makes a rate of 0."""
DOUBT = "log_likelihood "
"""How notes begin that name something wrong with the log-likelihood; see buttress.diagnostics.check_remarks."""
DISPERSE = "pooled_encoder"
"""What makes the features of sentences less alike."""


def judge(estimates: Mapping[str, Estimate], kind: str, notes: tuple[str, ...] = ()) -> Verdict:
    """The verdict on a model.

    Args:
        estimates: The numbers of :class:`buttress.diagnostics.evidence.Evidence`.
        kind: Of the data: which remedies fit.
        notes: Of the evidence: where one names something wrong with the log-likelihood, no other cause is named.

    Returns:
        The verdict; "unknown" with the reason where a number that it rests on is missing or not finite.

    Example:
        >>> def told(value):
        ...     return Estimate(value, 0.0, 100, "closed form")
        >>> rate_alone = {"rate": told(4.0), "mutual_information": told(2.0), "worth_shuffled": told(0.01)}
        >>> found = judge(rate_alone, "text")  # a floor that is paid for and not read
        >>> found.state, found.reasons[-2]
        ('collapsed', 'a rate of 4 ± 0 nats is paid for it all the same: the rate alone proves nothing')
    """
    numbers = _Numbers(estimates)
    if missing := _missing(estimates):
        alone = estimates.get("worth_shuffled") is NO_DENSITY and len(missing) == 1
        return _with_critic(numbers, missing) if alone else Verdict(UNKNOWN, None, missing, ())
    if vague := _vague(numbers):
        return Verdict(UNKNOWN, None, vague, ())
    state, reasons = _state(numbers)
    doubts = tuple(note for note in notes if note.startswith(DOUBT))
    cause, why = (None, doubts) if doubts and state in (COLLAPSED, PARTLY) else _cause(numbers, state)
    alike = state in (COLLAPSED, PARTLY) and numbers["feature_cosine"] > FEATURES_ALIKE
    advice = _advice(numbers, state, cause, kind)
    if alike:
        why = (*why, _alike(numbers))
        advice = (*advice, DISPERSE) if kind == "text" else advice
    return Verdict(state, cause, (*reasons, *why), advice)


def _missing(estimates: Mapping[str, Estimate]) -> tuple[str, ...]:
    """Why there can be no verdict: the numbers that it rests on and that are not there."""
    found = {name: estimates.get(name) for name in ("mutual_information", "worth_shuffled", "rate")}
    return tuple(
        f"no verdict without a finite {name}; it is {estimate}"
        + (f" ({estimate.note})" if estimate is not None and estimate.note else "")
        for name, estimate in found.items()
        if estimate is None or estimate.value is None
    )


def _with_critic(n: _Numbers, missing: tuple[str, ...]) -> Verdict:
    """Of a model without p(x|z): that z carries nothing is known without it, and not that z is used."""
    told = n.estimates.get("contrastive_information")
    critic = () if told is None else (f"the context tells a future z from others by {told} nats, of at most log N",)
    if n.information + 2 * n.error("mutual_information") >= COLLAPSED_NATS:
        return Verdict(UNKNOWN, None, (*missing, *critic, *_others(n)), ())
    cause, why = (_cause_in_codes(n) if n.discrete else None) or (None, ())
    reasons = (f"{_informs(n)}: below {COLLAPSED_NATS}, whatever reads z", *critic, *_others(n), *why)
    return Verdict(COLLAPSED, cause, reasons, () if n.discrete else ("kl_annealing", "free_bits"))


def _vague(n: _Numbers) -> tuple[str, ...]:
    """Why there can be no verdict: a measure of what z carries that may be on either side of a threshold."""
    ceiling = "rate" if n["rate"] < n["mutual_information"] else "mutual_information"
    measures = (ceiling, "worth_shuffled")
    if any(n[name] + 2 * n.error(name) < COLLAPSED_NATS for name in measures):
        return ()
    return tuple(
        f"not enough precision: {name} is {n.text(name)} nats; measure more examples, or look for extreme values in x"
        for name in measures
        if n.error(name) > USED_NATS and n[name] - 2 * n.error(name) < USED_NATS
    )


def _alike(n: _Numbers) -> str:
    return (
        f"the encoder's features are nearly the same for all x: their mean cosine is {n.text('feature_cosine')} (above "
        f"{FEATURES_ALIKE}), so q has little to tell them apart by"
    )


class _Numbers:
    """The estimates, by name, where the verdict needs them."""

    def __init__(self, estimates: Mapping[str, Estimate]) -> None:
        self.estimates = estimates

    def value(self, name: str) -> float | None:
        return None if (found := self.estimates.get(name)) is None else found.value

    def error(self, name: str) -> float:
        """Standard error; 0 where there is none."""
        return 0.0 if (found := self.estimates.get(name)) is None else found.error or 0.0

    def __getitem__(self, name: str) -> float:
        found = self.value(name)
        return float("nan") if found is None else found

    @property
    def discrete(self) -> bool:
        return "rate_uniform" in self.estimates

    @property
    def uniform(self) -> bool:
        """Whether z is discrete and its rate that of the uniform prior: a constant, whatever the codes say."""
        uniform = self["rate_uniform"]
        return abs(uniform - self["rate"]) < 1e-3 * max(1.0, uniform)

    @property
    def rates(self) -> str:
        """The rate; where z is discrete under which prior, and what the codes cost under the uniform one."""
        if not self.discrete:
            return f"{self.text('rate')} nats"
        uniform = self.value("rate_uniform")
        if uniform is None:
            return f"{self.text('rate')} nats under the model's prior"
        if self.uniform:
            return f"{short(uniform, 4)} nats under the uniform prior"
        return f"{self.text('rate')} nats under the learned prior ({short(uniform, 4)} under the uniform one)"

    def text(self, name: str) -> str:
        return str(self.estimates[name])

    @property
    def carried(self) -> float:
        return min(self.information, self["worth_shuffled"])

    @property
    def information(self) -> float:
        """What q puts into z, of which the rate is a ceiling."""
        return min(self["mutual_information"], self["rate"])

    @property
    def at_ceiling(self) -> bool:
        ceiling = self.estimates["mutual_information"].ceiling
        return ceiling is not None and self["mutual_information"] > ceiling - NEAR_CEILING


def _state(n: _Numbers) -> tuple[str, tuple[str, ...]]:
    others = _others(n)
    if n.carried < COLLAPSED_NATS:
        if n["rate"] > RISING_NATS:
            others = (*others, f"a rate of {n.rates} is paid for it all the same: the rate alone proves nothing")
        return COLLAPSED, (_carries(n, f"below {COLLAPSED_NATS}"), *others)
    if _deterministic(n):
        return DEGENERATE, (
            f"the noise of q costs the decoder {n.text('effective_beta')} of what a q in balance would pay (below "
            f"{DETERMINISTIC_BETA}): q is a point",
            f"the rate of {n.text('rate')} nats is mostly the distance of all q together from the prior "
            f"({n.text('aggregate_kl')}): the decoder never saw samples of the prior; give the rate a weight of 1",
            _informs(n),
            _costs(n),
            *others,
        )
    if n.carried < USED_NATS:
        return PARTLY, (_carries(n, f"below {USED_NATS}"), *others)
    if n["worth_shuffled"] < READ_SHARE * n["rate"] and not n.uniform:
        return PARTLY, (
            f"{_costs(n)}, less than {READ_SHARE:.0%} of the rate that is paid for z: {n.rates}",
            _informs(n),
            *others,
        )
    return USED, (_carries(n, f"{USED_NATS} or more"), *others)


def _carries(n: _Numbers, bound: str) -> str:
    """Both measures of what z carries, and on which side of a threshold the smaller one is."""
    return f"{_informs(n)}, and {_costs(n)}: the smaller is what z carries, and it is {bound}"


def _informs(n: _Numbers) -> str:
    information = n.estimates["mutual_information"]
    ceiling = "" if information.ceiling is None else f", of at most {information.ceiling:.2f} that can be measured"
    bound = " (at its ceiling: a lower bound)" if n.at_ceiling else ""
    above = (
        ""
        if short(n.information, 2) == short(n["mutual_information"], 2)
        else f", above the rate of {n.rates}, which counts"
    )
    return f"mutual information of x and z is {information} nats{ceiling}{bound}{above}"


def _costs(n: _Numbers) -> str:
    return f"shuffling z over the data costs the decoder {n.text('worth_shuffled')} nats"


def _others(n: _Numbers) -> tuple[str, ...]:
    """What no threshold is set to: active coordinates, and codes."""
    active = n.estimates.get("active_units")
    if active is None or active.value is None:
        return _codes(n)
    total = "" if active.ceiling is None else f" of {active.ceiling:.0f}"
    return (f"{active.value:.0f}{total} coordinates of z are active", *_codes(n))


def _codes(n: _Numbers) -> tuple[str, ...]:
    """What the codes cost and how many are in use, where z is discrete."""
    if not n.discrete:
        return ()
    cost = (f"the codes cost {n.rates}",) if n.carried >= COLLAPSED_NATS or n["rate"] <= RISING_NATS else ()
    perplexity, used = n.value("code_perplexity"), n.value("codes_used")
    if perplexity is None or used is None:
        return cost
    of = "" if (k := n.estimates["codes_used"].ceiling) is None else f" of {k:.0f}"
    return (*cost, f"{used:.0f}{of} codes are taken, with a perplexity of {short(perplexity)}")


def _deterministic(n: _Numbers) -> bool:
    """q a point, all q far apart, and together far from the prior."""
    return n["effective_beta"] < DETERMINISTIC_BETA and n.at_ceiling and n["aggregate_kl"] > 0.5 * n["rate"]


def _cause(n: _Numbers, state: str) -> tuple[str | None, tuple[str, ...]]:
    if state not in (COLLAPSED, PARTLY):
        return None, ()
    if n.discrete and (found := _cause_in_codes(n)) is not None:
        return found
    if _far(n):
        return FAR, (
            f"z is used, and most of the rate is the distance of all q together from the prior ({_mismatch(n)}), which "
            "carries nothing: samples of the prior fall where the decoder was never trained; give the rate a weight "
            "of 1",
        )
    gap, gain = (n.estimates.get(name) for name in ("amortisation_gap", "decoder_gain"))
    if gap is None or gap.value is None or gain is None or gain.value is None:
        why = "it was left out" if gap is None else gap.note
        return None, (f"the cause is not known, because the amortisation gap was not measured: {why}",)
    told = f"refining q for each example gains {gap} nats of ELBO, and the decoder {gain} nats"
    weights = (WEIGHTS,) if n["rate"] < COLLAPSED_NATS else ()
    if _stands_out(gap, n.carried) and _stands_out(gain, n.carried):
        return LAGS, (f"{told}: it would use z if q told it", *weights)
    if not any(_is_small(found, n.carried) for found in (gap, gain)):
        return None, (f"{told}: not enough precision to tell the cause; raise gap_examples",)
    return IGNORED, (f"{told}: a better q hardly helps, so it is the model that does not use z", *weights)


def _is_small(estimate: Estimate, carried: float) -> bool:
    """Whether an estimate is below what tells that inference lags, as far as its error lets one see."""
    value, error = estimate.value or 0.0, estimate.error or 0.0
    return error <= max(USED_NATS, carried) or value + 2 * error < max(LAG_NATS, carried)


def _far(n: _Numbers) -> bool:
    """The decoder reads most of what q puts into z, and the rate is mostly something else."""
    read = n["worth_shuffled"] >= READ_SHARE * n.information
    return n.carried >= USED_NATS and read and n["aggregate_kl"] >= READ_SHARE * n["rate"]


def _mismatch(n: _Numbers) -> str:
    return f"{'at most ' if n.at_ceiling else ''}{n.text('aggregate_kl')} of {n.text('rate')} nats"


def _cause_in_codes(n: _Numbers) -> tuple[str, tuple[str, ...]] | None:
    """A cause that the codes show by themselves, or None."""
    if n.information < COLLAPSED_NATS and n.value("code_perplexity") is not None:
        if n["code_perplexity"] < DEAD_PERPLEXITY:
            return DEAD, (
                "one code takes (almost) everything: start the codebook from encoder outputs, revive dead codes, or "
                "raise the weight of the commitment",
            )
        return SAME, ("several codes are taken, but each place takes the same one for every x",)
    if n["worth_shuffled"] < COLLAPSED_NATS and n.information >= USED_NATS:
        return IGNORED, ("the codes differ from one x to the next, and the decoder does as well with those of another",)
    return None


def _stands_out(estimate: Estimate, carried: float) -> bool:
    """Enough to leave collapse, as much as z carries already, and no accident."""
    value, error = estimate.value or 0.0, estimate.error or 0.0
    return value >= max(LAG_NATS, carried) and value > ERRORS * error


def _advice(n: _Numbers, state: str, cause: str | None, kind: str) -> tuple[str, ...]:
    if state == DEGENERATE or cause == FAR:
        return ("kl_annealing",)  # it ends at the full ELBO
    if state == USED:
        return ()
    weaker = (WEAKER_DECODER[kind],) if kind in WEAKER_DECODER else ()
    if n.discrete:  # its rate is no force that could be annealed: under the uniform prior it is a constant
        return () if cause == DEAD else weaker
    if cause == LAGS:
        return ("aggressive", "kl_annealing", "cyclical_annealing")
    paid_for_nothing = n["rate"] > RISING_NATS and n["worth_shuffled"] < READ_SHARE * n["rate"]
    floor = () if paid_for_nothing else ("free_bits",)
    return ("kl_annealing", *floor, *weaker, "cyclical_annealing")
