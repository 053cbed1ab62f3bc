"""What the linter found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["LEVELS", "SURE", "LintFinding", "LintReport"]

LEVELS = ("error", "warning", "note")
SURE = ("certain", "likely", "possible")


@dataclass(frozen=True)
class LintFinding:
    """One thing that a rule found.

    Args:
        rule: Its stable name, that of its file with hyphens.
        level: "error" (the loss is not the one that was meant), "warning" (it may be meant, and does harm where not) or
            "note" (it changes how numbers are to be read).
        sure: "certain" (follows from the gradients), "likely" or "possible".
        evidence: What was measured, as a sentence with numbers.
        change: What to change.

    Example:
        >>> print(LintFinding("kl-sign", "error", "certain", "the KL is subtracted", "add it"))
        error kl-sign (certain): the KL is subtracted; add it
    """

    rule: str
    level: str
    sure: str
    evidence: str
    change: str

    def __str__(self) -> str:
        return f"{self.level} {self.rule} ({self.sure}): {self.evidence}; {self.change}"


@dataclass(frozen=True)
class LintReport:
    """What all rules found.

    Args:
        findings: Errors first.
        silent: Rules that could not be asked, with the reason.
        rules_in_all: How many rules there are; 0 where that is not known.

    Example:
        >>> print(LintReport((), {"padding-counted": "x holds no token ids"}))
        no fault found by the rules that could be asked
        not checked: padding-counted (x holds no token ids)
    """

    findings: tuple[LintFinding, ...]
    silent: dict[str, str]
    rules_in_all: int = 0

    def __iter__(self) -> Iterator[LintFinding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    @property
    def hardly_asked(self) -> bool:
        """Whether more than half of the rules could not be asked, so that finding nothing says little."""
        return 0 < self.rules_in_all < 2 * len(self.silent)

    @property
    def rules(self) -> tuple[str, ...]:
        """The names of the rules that found something."""
        return tuple(dict.fromkeys(one.rule for one in self.findings))

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {"findings": [asdict(one) for one in self.findings], "not_checked": dict(self.silent)}

    def __str__(self) -> str:
        none = f"no fault found{' by the rules that could be asked' if self.silent else ''}"
        lines = [str(one) for one in self.findings] or ([] if self.hardly_asked else [none])
        if self.hardly_asked:
            left = f"{len(self.silent)} of {self.rules_in_all} rules could not be asked"
            lines.insert(0, f"hardly anything could be checked: {left}")
        if self.silent:
            told: dict[str, list[str]] = {}
            for name, reason in self.silent.items():
                told.setdefault(reason, []).append(name)
            lines.append("not checked: " + "; ".join(f"{', '.join(names)} ({why})" for why, names in told.items()))
        return "\n".join(lines)
