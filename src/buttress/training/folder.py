"""The folder of a run: which files there are.

======================  ==========================================================================================
``recipe.yaml``         the recipe
``spec.yaml``           what the parts know about the data, a fingerprint of the data, and which files belong to it:
                        ``spec.safetensors`` (mean and std of each site) and ``tokenizer.json``, where there are such
``notes.txt``           what a person should know about the data: what was set aside, how it was split
``metrics.csv``         see :mod:`buttress.training.metrics`; the same curves in ``tensorboard/``
``state.safetensors``   the latest checkpoint, from which a run resumes
``weights.safetensors`` the model: the best by held-out ELBO where training has a ``patience``, else the latest
``progress.json``       how far it is, how long it took, and whether it is finished
``.lock``               held by the process that trains there; empty, and there as long as anything else is
``evidence.json``       the diagnosis
======================  ==========================================================================================
"""

from __future__ import annotations

__all__ = [
    "EVIDENCE",
    "LOCK",
    "METRICS",
    "NOTES",
    "PROGRESS",
    "RECIPE",
    "SITES",
    "SPEC",
    "STATE",
    "TOKENIZER",
    "WEIGHTS",
    "WRITTEN_UNDER_LOCK",
]

RECIPE, SPEC, SITES, TOKENIZER = "recipe.yaml", "spec.yaml", "spec.safetensors", "tokenizer.json"
METRICS, STATE, WEIGHTS, PROGRESS = "metrics.csv", "state.safetensors", "weights.safetensors", "progress.json"
EVIDENCE, NOTES, LOCK = "evidence.json", "notes.txt", ".lock"
WRITTEN_UNDER_LOCK = (RECIPE, SPEC, SITES, TOKENIZER, NOTES, STATE, WEIGHTS, PROGRESS)
"""What only the process that trains writes, each file complete or not at all."""
