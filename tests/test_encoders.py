"""Encoders: shapes for any size, no example sees another, and padding never changes h."""

import pytest
import torch
from torch import nn

from buttress.core import PAD, DataSpec, Encoder, Layout
from buttress.core.registry import parts
from buttress.encoders.conv import ConvEncoder
from buttress.encoders.mlp import MlpEncoder
from buttress.encoders.recurrent import RecurrentEncoder
from buttress.encoders.transformer import TransformerEncoder

TEXT = DataSpec(Layout.text(11, longest=7))
SENTENCES = [*RecurrentEncoder.tiny(), *TransformerEncoder.tiny()]
EVERY = [
    *[(part, DataSpec(Layout.image(2, 5, 6))) for part in (*MlpEncoder.tiny(), *ConvEncoder.tiny())],
    *[(part, DataSpec(Layout.table(3))) for part in MlpEncoder.tiny()],
    *[(part, TEXT) for part in SENTENCES],
]


def label(value: object) -> str:
    return value.kind if isinstance(value, DataSpec) else str(value)


def examples(spec: DataSpec, count: int) -> torch.Tensor:
    if spec.kind != "text":
        return torch.rand(count, *spec.shape)
    x = torch.randint(3, spec.vocabulary, (count, *spec.shape))
    for row, length in zip(x, torch.randint(1, spec.shape[0], (count,)).tolist(), strict=True):
        row[length:] = PAD
    return x


@pytest.mark.parametrize(("part", "spec"), EVERY, ids=label)
def test_features_of_every_example_are_its_own(part: Encoder, spec: DataSpec):
    assert not part.misfit(spec.layout) and part.name() in parts("encoders")
    encoder = part.build(spec)
    x = examples(spec, 4)
    h = encoder(x)
    assert h.shape == (4, *encoder.places, encoder.features)
    torch.testing.assert_close(encoder(x[2:3]), h[2:3])


@pytest.mark.parametrize(("part", "spec"), [case for case in EVERY if case[0] != MlpEncoder(hidden=())], ids=label)
def test_gradient_reaches_every_parameter(part: Encoder, spec: DataSpec):
    encoder = part.build(spec)
    encoder(examples(spec, 8)).square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 7), (28, 20), (3, 1)])
@pytest.mark.parametrize("widths", [(3,), (3, 4, 5)])
def test_conv_reads_images_of_any_size(size: tuple[int, int], widths: tuple[int, ...]):
    encoder = ConvEncoder(widths=widths).build(DataSpec(Layout.image(2, *size)))
    x = torch.rand(2, 2, *size, requires_grad=True)
    h = encoder(x)
    assert h.shape == (2, encoder.features)
    h.square().sum().backward()
    assert (x.grad != 0).all()  # every pixel is seen


def test_mlp_is_the_network_its_sizes_say():
    encoder = MlpEncoder(hidden=(4, 3), activation="tanh").build(DataSpec(Layout.image(1, 2, 2)))
    first, second = (layer for layer in encoder.net if isinstance(layer, nn.Linear))
    x = torch.rand(5, 1, 2, 2)
    by_hand = (((x.view(5, 4) @ first.weight.T + first.bias).tanh()) @ second.weight.T + second.bias).tanh()
    torch.testing.assert_close(encoder(x), by_hand)
    none = MlpEncoder(hidden=()).build(DataSpec(Layout.table(3)))
    torch.testing.assert_close(none(x.view(-1)[:6].view(2, 3)), x.view(-1)[:6].view(2, 3))


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pooling", ["last", "mean", "max", "abs"])
def test_recurrent_equals_a_loop_over_sentences_without_padding(pooling, bidirectional: bool):
    encoder = RecurrentEncoder(3, 4, pooling, bidirectional).build(TEXT)
    x = examples(TEXT, 6)
    x[0], x[1, 1:] = 5, PAD
    rows = []
    for row in x:
        states, (last, _) = encoder.lstm(encoder.embedding(row[row != PAD]))
        far = torch.stack([column[column.abs().argmax()] for column in states.T])
        by_hand = {"last": last.flatten(), "mean": states.mean(0), "max": states.max(0).values, "abs": far}
        rows.append(by_hand[pooling])
    torch.testing.assert_close(encoder(x), torch.stack(rows))


@pytest.mark.parametrize("part", SENTENCES, ids=label)
def test_more_padding_changes_nothing(part: Encoder):
    encoder = part.build(TEXT)
    x = examples(TEXT, 6)
    gradients = []
    for padded in (x, torch.cat([x, x.new_full((6, 5), PAD)], 1)):
        encoder.zero_grad()
        h = encoder(padded)
        h.square().sum().backward()
        gradients.append([h, *(p.grad.clone() for p in encoder.parameters())])
        assert (encoder.embedding.weight.grad[PAD] == 0).all()
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("part", SENTENCES, ids=label)
def test_half_precision_is_close(part: Encoder):
    encoder = part.build(TEXT)
    x = examples(TEXT, 4)
    with torch.autocast("cpu", torch.bfloat16):
        h = encoder(x)
    torch.testing.assert_close(h.float(), encoder(x), atol=0.02, rtol=0.05)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MlpEncoder(hidden=(3, 0)), r"hidden is \(3, 0\)"),
        (lambda: ConvEncoder(widths=()), r"widths is \(\), wanted at least 1"),
        (lambda: ConvEncoder(blocks=-1), "blocks is -1"),
        (lambda: RecurrentEncoder(hidden=0), "hidden is 0"),
        (lambda: RecurrentEncoder(embedding=-2), "embedding is -2"),
        (lambda: TransformerEncoder(layers=0), "hidden, heads and layers are 128, 4 and 0"),
        (lambda: TransformerEncoder(hidden=12), r"a multiple of 2 \* heads = 8"),
        *[
            (lambda part=part: part(cosine=-0.1), "cosine is -0.1")
            for part in (MlpEncoder, ConvEncoder, RecurrentEncoder)
        ],
    ],
)
def test_settings_that_make_no_sense_are_refused(make, message: str):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.filterwarnings("ignore:The tensor attributes")  # of torch, about the weights of an LSTM
@pytest.mark.parametrize("pooling", ["last", "mean", "abs"])
def test_a_bidirectional_encoder_without_packing_equals_the_packed_one_and_is_exported_for_any_batch(pooling):
    encoder = RecurrentEncoder(3, 4, pooling, bidirectional=True).build(DataSpec(Layout.text(9, longest=6))).eval()
    x = torch.tensor([[4, 5, 2, 0, 0, 0], [6, 7, 8, 5, 4, 2], [6, 2, 0, 0, 0, 0]])
    batch = torch.export.Dim("batch", min=2)
    with torch.no_grad():
        program = torch.export.export(encoder, (x,), dynamic_shapes=({0: batch},), strict=False).module()
        for rows in (x, x[[1, 0]], x[[0, 1, 2, 0, 1]]):
            torch.testing.assert_close(program(rows), encoder(rows), rtol=0, atol=1e-6)
