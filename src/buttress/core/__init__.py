"""The kinds of part a model is made of.

A *part* is a frozen dataclass: a description that can be compared, written as YAML and changed with
:func:`dataclasses.replace`. Its ``build`` makes the ``torch.nn.Module`` that does the work. One file holds one part,
and the file's name is the part's name (see :mod:`buttress.core.registry`).

Shapes: x is one tensor. Images are (B, C, H, W), sentences (B, T) of token ids padded with :data:`PAD`, sound
(B, T) of levels or (B, T, C) of frames, tables (B, D); see :class:`Layout`. What is known beside x is ``given``, a
mapping from names to tensors whose rows belong to the rows of x. ``sites`` are the positions that carry one value each.
"""

from buttress.core.algorithm import Algorithm, AlgorithmModule, Step
from buttress.core.alignment import Alignment
from buttress.core.batch import EMPTY, Batch, Given
from buttress.core.condition import Condition, ConditionModule
from buttress.core.critic import Contrast, Critic, CriticModule
from buttress.core.data import Data, Examples, Splits
from buttress.core.decoder import Decoder, DecoderModule
from buttress.core.encoder import Encoder, EncoderModule
from buttress.core.factors import Factors
from buttress.core.layout import Kind, Layout
from buttress.core.likelihood import Likelihood, LikelihoodModule
from buttress.core.objective import Objective
from buttress.core.part import Part
from buttress.core.posterior import Posterior, PosteriorModule
from buttress.core.prior import NeighbourPriorModule, Prior, PriorModule
from buttress.core.schedule import Schedule
from buttress.core.spec import BOS, EOS, PAD, UNK, Column, DataSpec, Level, Space
from buttress.core.training import Training

__all__ = [
    "BOS",
    "EMPTY",
    "EOS",
    "PAD",
    "UNK",
    "Algorithm",
    "AlgorithmModule",
    "Alignment",
    "Batch",
    "Column",
    "Condition",
    "ConditionModule",
    "Contrast",
    "Critic",
    "CriticModule",
    "Data",
    "DataSpec",
    "Decoder",
    "DecoderModule",
    "Encoder",
    "EncoderModule",
    "Examples",
    "Factors",
    "Given",
    "Kind",
    "Layout",
    "Level",
    "Likelihood",
    "LikelihoodModule",
    "NeighbourPriorModule",
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
