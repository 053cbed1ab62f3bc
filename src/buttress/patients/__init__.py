"""Small models whose trouble is known by construction: what a diagnosis is judged by.

Weights are set by hand from closed forms, so each model is built in a moment and nothing is trained. A file of
``kinds/`` holds the patients of one kind of trouble, a short function each; ``worlds/`` holds what they are made of.
"""

from buttress.patients.patient import HEALTHY, Case, KnownPatient, half_of, patients

__all__ = ["HEALTHY", "Case", "KnownPatient", "half_of", "patients"]
