"""What evidence has of z for each second of sound."""

from __future__ import annotations

from buttress.report.quantity import Quantity

__all__ = ["QUANTITIES_OF_SOUND"]

QUANTITIES_OF_SOUND: dict[str, Quantity] = {
    "bits_per_second": Quantity(
        "Rate, bits per second",
        "The rate for each second of sound, in bits: what z costs to transmit with the model's prior.",
        unit="bits/s",
        short="rate in bits for a second of sound",
    ),
    "code_bits_per_second": Quantity(
        "Bitrate of codes",
        "Codes a second times the entropy of how often each is taken, in bits: the bitrate of ZeroSpeech challenges. "
        "It knows nothing of the order of codes, so that a learned prior may need less.",
        unit="bits/s",
        short="codes a second × their entropy",
    ),
    "place_accuracy": Quantity(
        "Label accuracy of codes",
        "The share of places of z whose label (the phone spoken there) is the one that their code stands for. What "
        "codes stand for is read from one half of the held-out examples and tested on the other.",
        unit="",
        better="higher",
        short="labels of places told by codes",
    ),
    "place_chance": Quantity(
        "Label accuracy without codes",
        "The share of the most frequent label among these places.",
        unit="",
        short="share of the most frequent label",
    ),
    "place_purity": Quantity(
        "Purity of codes",
        "The share of places whose label is the most frequent one of their code, on the same places: it grows with the "
        "number of codes whatever they say.",
        unit="",
        better="higher",
        short="places with their code's label",
    ),
    "place_information": Quantity(
        "Normalised information of codes",
        "Mutual information of code and label at a place, over the mean of both entropies: 0 if independent, 1 if each "
        "names the other.",
        unit="",
        better="higher",
        short="NMI of codes and labels",
    ),
}
