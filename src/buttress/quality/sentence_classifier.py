"""A judge of sentences: a logistic regression on which words and pairs of words they have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

__all__ = ["SentenceClassifier"]


class SentenceClassifier:
    """Learns the label of a sentence from real, labelled ones.

    It reads words and never z, so that what it says of sentences that a model made does not hang on the model.

    Args:
        sentences: Real sentences, words separated by spaces.
        labels: Their classes, shape (N,).

    Errors:
        ValueError: There are fewer than two classes.

    Example:
        >>> judge = SentenceClassifier(["so good", "so bad", "good food", "bad food"], torch.tensor([1, 0, 1, 0]))
        >>> judge(["a good one", "bad"]).tolist()
        [1, 0]
    """

    def __init__(self, sentences: Sequence[str], labels: Int[Tensor, " N"]) -> None:
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.linear_model import LogisticRegression

        if len(labels.unique()) < 2:
            raise ValueError("the sentences all have one label, wanted two or more classes to tell apart")
        self.bag = CountVectorizer(token_pattern=r"\S+", ngram_range=(1, 2), binary=True)
        self.regression = LogisticRegression(max_iter=1000)
        self.regression.fit(self.bag.fit_transform(sentences), labels.numpy())

    def __call__(self, sentences: Sequence[str]) -> Int[Tensor, " N"]:
        """The likeliest class of each sentence."""
        return torch.from_numpy(np.asarray(self.regression.predict(self.bag.transform(sentences))))
