r"""h = pool(s_1, ..., s_T), s_t = LSTM(s_{t-1}, embed(x_t)), over the T true tokens of a sentence."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from buttress.core import DataSpec, Encoder, Layout
from buttress.encoders._sentences import Pooling, SentenceEncoderModule
from buttress.nn.layers import run_lstm

__all__ = ["RecurrentEncoder"]


@dataclass(frozen=True)
class RecurrentEncoder(Encoder):
    """An LSTM over the tokens of a sentence; padding never changes h.

    Source: the last state: Bowman et al., Generating Sentences from a Continuous Space, 2016. Pooling, which keeps the
    features of different sentences apart: Long, Cao and Cheung, On Posterior Collapse and Encoder Feature Dispersion in
    Sequence VAEs, 2020.

    Args:
        embedding: Size of a token's vector.
        hidden: Size of the LSTM's state.
        pooling: "last", "mean" or "max" of the states at true tokens, EOS included; or "abs", in every feature the
            state that is largest without its sign.
        positions: Features at every token in place of one vector: then z has a value for every position, and
            ``pooling`` is not used.
        bidirectional: Add an LSTM that reads backwards; h is twice as wide, and its "last" state is that at the first
            token.
        backward: Read from the last token to the first, so that the state at a token knows it and those after it
            alone (anti-causal); "last" is then the state at the first token.
        cosine: Weight of a penalty on features of a batch that point the same way; 0 for none.

    Errors:
        ValueError: A size below 1, or both ``backward`` and ``bidirectional``.

    Example:
        >>> encoder = RecurrentEncoder(embedding=3, hidden=5).build(DataSpec(Layout.text(9, longest=4)))
        >>> encoder(torch.tensor([[4, 5, 2, 0], [6, 7, 8, 2]])).shape
        torch.Size([2, 5])
    """

    embedding: int = 128
    hidden: int = 256
    pooling: Pooling = "last"
    bidirectional: bool = False
    positions: bool = False
    backward: bool = False

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        super().__post_init__()
        for name, size in (("embedding", self.embedding), ("hidden", self.hidden)):
            if size < 1:
                raise ValueError(f"recurrent encoder: {name} is {size}, wanted at least 1")
        if self.backward and self.bidirectional:
            raise ValueError("recurrent encoder: backward and bidirectional are both true; choose one of them")

    @classmethod
    def tiny(cls) -> tuple[RecurrentEncoder, ...]:
        """See :class:`buttress.core.Part`."""
        return (
            cls(3, 4),
            cls(3, 4, "mean", bidirectional=True),
            cls(3, 4, "max", cosine=0.5),
            cls(3, 4, "abs"),
            cls(3, 4, positions=True),
            cls(3, 4, positions=True, backward=True),
            cls(3, 4, backward=True),
        )

    def misfit(self, layout: Layout) -> str:
        """See :class:`buttress.core.part.DataPart`."""
        return "" if layout.tokens else "it needs sentences: one place axis of tokens with true lengths"

    def build(self, spec: DataSpec) -> RecurrentEncoderModule:
        """See :class:`buttress.core.Encoder`."""
        return RecurrentEncoderModule(self, spec)


class RecurrentEncoderModule(SentenceEncoderModule):
    """The module of :class:`RecurrentEncoder`."""

    def __init__(self, part: RecurrentEncoder, spec: DataSpec) -> None:
        features = part.hidden * (2 if part.bidirectional else 1)
        super().__init__(spec, features, part.pooling, part.positions, part.backward)
        self.embedding = nn.Embedding(spec.vocabulary, part.embedding)
        self.lstm = nn.LSTM(part.embedding, part.hidden, batch_first=True, bidirectional=part.bidirectional)

    def states(self, x: Int[Tensor, "B T"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B T F"]:
        """See :class:`SentenceEncoderModule`."""
        embedded = self.embedding(x)
        if self.backward:  # padding stays behind, where it changes nothing
            turned = ((lengths[:, None] - 1 - torch.arange(x.shape[1], device=x.device)) % x.shape[1])[..., None]
            back = run_lstm(self.lstm, embedded.gather(1, turned.expand_as(embedded)))[0]
            return back.gather(1, turned.expand_as(back))
        if not self.lstm.bidirectional:  # what follows a token can't change its state: no need to pack, which is slower
            return run_lstm(self.lstm, embedded)[0]
        if torch.compiler.is_compiling():  # torch.export cannot pack
            return self._both_ways(embedded, lengths)
        packed = pack_padded_sequence(embedded, lengths.cpu(), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(run_lstm(self.lstm, packed)[0], batch_first=True, total_length=x.shape[1])[0]

    def _both_ways(self, embedded: Float[Tensor, "B T E"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B T F"]:
        """The same states without packing: whoever reads backwards begins where all sentences end together."""
        places, half = torch.arange(embedded.shape[1], device=embedded.device), self.lstm.hidden_size
        late = (places - (embedded.shape[1] - lengths)[:, None]) % embedded.shape[1]  # padding in front
        early = (places - lengths[:, None]) % embedded.shape[1]
        forth = run_lstm(self.lstm, embedded)[0][..., :half]
        ended = embedded.gather(1, late[..., None].expand_as(embedded))
        back = run_lstm(self.lstm, ended)[0][..., half:]
        return torch.cat([forth, back.gather(1, early[..., None].expand_as(back))], -1)

    def last(self, states: Float[Tensor, "B T F"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B F"]:
        """The state at the last true token, and at the first one of the LSTM that reads backwards."""
        end = super().last(states, lengths)
        if not self.lstm.bidirectional:
            return end
        return torch.cat([end[:, : self.lstm.hidden_size], states[:, 0, self.lstm.hidden_size :]], -1)
