"""The kinds of part a model is made of.

A *part* is a frozen dataclass: a description that can be compared, written as YAML and changed with
:func:`dataclasses.replace`. Its ``build`` makes the ``torch.nn.Module`` that does the work. One file holds one part,
and the file's name is the part's name (see :mod:`buttress.catalogue`).

Shapes: an example ``x`` is always one tensor. Images are (B, C, H, W), sentences (B, T) of token ids padded with
:data:`PAD`, tables (B, D). ``sites`` are the positions that carry one value each: (C, H, W), (T,), (D,).
"""

from buttress.parts.algorithm import Algorithm, AlgorithmModule, Step
from buttress.parts.data import Data, Examples, Splits
from buttress.parts.decoder import Decoder, DecoderModule
from buttress.parts.encoder import Encoder, EncoderModule
from buttress.parts.likelihood import Likelihood, LikelihoodModule
from buttress.parts.objective import Objective
from buttress.parts.part import Part
from buttress.parts.posterior import Posterior, PosteriorModule
from buttress.parts.prior import Prior, PriorModule
from buttress.parts.schedule import Schedule
from buttress.parts.spec import BOS, EOS, PAD, UNK, DataSpec, Kind, Space
from buttress.parts.training import Training

__all__ = [
    "BOS",
    "EOS",
    "PAD",
    "UNK",
    "Algorithm",
    "AlgorithmModule",
    "Data",
    "DataSpec",
    "Decoder",
    "DecoderModule",
    "Encoder",
    "EncoderModule",
    "Examples",
    "Kind",
    "Likelihood",
    "LikelihoodModule",
    "Objective",
    "Part",
    "Posterior",
    "PosteriorModule",
    "Prior",
    "PriorModule",
    "Schedule",
    "Space",
    "Splits",
    "Step",
    "Training",
]
