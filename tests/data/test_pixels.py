"""What image files mean: all levels of 16 bits, what transparency shows, palettes of greys, and pages."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from buttress.data.images import Images
from buttress.data.source import detect

pytestmark = pytest.mark.usefixtures("own_cache")
NOISE = np.random.default_rng(0)


def whole(splits):
    return torch.cat([e.batch(torch.arange(len(e))) for e in (splits.train, splits.held_out)]).numpy()


def opened(folder, **settings):
    return Images(str(folder), split="seed", **settings).open()


def same(found, wanted):
    """The same images, in any order."""
    return sorted(map(bytes, np.ascontiguousarray(found))) == sorted(map(bytes, np.ascontiguousarray(wanted)))


def told(splits, *words):
    return any(all(word in note for word in words) for note in splits.notes)


def png16(path, rows):
    """A PNG of 16 bits from (H, W, C) whole numbers: grey, grey with opacity, RGB or RGBA by C."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width, channels = rows.shape
    head = struct.pack(">IIBBBBB", width, height, 16, (0, 4, 2, 6)[channels - 1], 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b""))


def tiff16(path, rows, packed):
    """An RGB TIFF of 16 bits from (H, W, 3) whole numbers, perhaps deflated."""
    height, width, channels = rows.shape
    data = rows.astype("<u2").tobytes()
    data, bits = zlib.compress(data) if packed else data, struct.pack("<3H", 16, 16, 16)
    entries = [(256, width), (257, height), (258, None), (259, 8 if packed else 1), (262, 2), (273, None),
               (277, channels), (278, height), (279, len(data)), (284, 1)]  # fmt: skip
    behind = 8 + 2 + 12 * len(entries) + 4
    places = {258: behind, 273: behind + len(bits)}
    listed = b"".join(
        struct.pack("<HHII", tag, 3 if tag == 258 else 4, 3 if tag == 258 else 1, places.get(tag, value))
        for tag, value in entries
    )
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(entries)) + listed + bytes(4) + bits + data)


@pytest.fixture
def deep():
    """Forty images of 16 bits, (N, 6, 7, 3)."""
    return NOISE.integers(0, 65536, (40, 6, 7, 3)).astype(np.uint16)


@pytest.mark.parametrize("kind", ["grey.png", "grey.tif", "colour.png", "colour.tif", "packed.tif"])
def test_every_level_of_16_bits_is_kept(tmp_path, deep, kind):
    for i, image in enumerate(deep):
        path = tmp_path / f"{i}.{kind[-3:]}"
        if kind.startswith("grey"):
            Image.fromarray(image[..., 0]).save(path)
        elif kind == "colour.png":
            png16(path, image)
        else:
            tiff16(path, image, packed=kind.startswith("packed"))
    splits = opened(tmp_path)
    wanted = deep.transpose(0, 3, 1, 2) if not kind.startswith("grey") else deep[:, None, :, :, 0]
    assert same(whole(splits), wanted.astype(np.float32))
    assert splits.spec.levels == 0 and splits.spec.span[1] > 60_000 and told(splits, "all levels are kept")


def test_16_bits_are_resized_turned_and_made_grey_without_a_loss_of_levels(tmp_path, deep):
    for i, image in enumerate(deep):
        png16(tmp_path / f"{i}.png", np.repeat(np.repeat(image, 4, 0), 4, 1))
    small = whole(opened(tmp_path, resize=(6, 7)))
    assert small.shape == (40, 3, 6, 7) and len(np.unique(small)) > 1000
    grey = whole(opened(tmp_path, color=False))
    assert grey.shape == (40, 1, 24, 28) and len(np.unique(grey)) > 1000
    for path in tmp_path.glob("*.png"):
        path.unlink()
    for i in range(20):
        Image.fromarray(deep[i, ..., 0]).save(tmp_path / f"turned{i}.tif", exif=_turned())
    assert same(whole(opened(tmp_path)), np.rot90(deep[:20, ..., 0], -1, (1, 2)).astype(np.float32))


def _turned():
    exif = Image.Exif()
    exif[274] = 6
    return exif


def test_8_bits_among_16_get_the_same_range(tmp_path, deep):
    for i, image in enumerate(deep):
        Image.fromarray(image[..., 0] if i % 2 else (image[..., 0] >> 8).astype(np.uint8)).save(tmp_path / f"{i}.png")
    splits = opened(tmp_path)
    assert told(splits, "20 images have 16 bits a channel; the 20 of 8 bits")
    assert splits.spec.span[1] > 60_000 and len(np.unique(whole(splits))) > 500


def test_opacity_of_16_bits_is_laid_on_a_background(tmp_path, deep):
    for i, image in enumerate(deep):
        opacity = np.zeros((6, 7, 1), np.uint16)
        opacity[2:4] = 65535
        png16(tmp_path / f"{i}.png", np.concatenate([image, opacity], 2))
    found = whole(opened(tmp_path))
    assert (found[:, :, :2] == 65535).all()
    assert same(found[:, :, 2:4], deep[:, 2:4].transpose(0, 3, 1, 2).astype(np.float32))


@pytest.mark.parametrize("numbers", [np.float32, np.int32])
def test_tiffs_of_32_bits_keep_their_numbers(tmp_path, numbers):
    stored = (NOISE.random((30, 5, 6)) * 3000 - 1000).astype(numbers)
    for i, image in enumerate(stored):
        Image.fromarray(image).save(tmp_path / f"{i}.tif")
    splits = opened(tmp_path)
    assert same(whole(splits)[:, 0], stored.astype(np.float32)) and splits.spec.span[0] < -900
    Image.fromarray(np.zeros((5, 6), np.uint8)).save(tmp_path / "shallow.tif")
    with pytest.raises(ValueError, match=r"pixels of 32 bits .* beside those of 8 bits.*try converting"):
        opened(tmp_path)


def test_what_16_bits_pillow_cannot_give_is_refused_by_name(tmp_path):
    for i in range(20):
        png16(tmp_path / f"{i}.png", NOISE.integers(0, 65536, (5, 6, 2)))
    with pytest.raises(ValueError, match=r"0\.png: 16 bits a channel in a PNG .*wanted grey or RGB; try"):
        opened(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    for i in range(20):
        (tmp_path / f"{i}.ppm").write_bytes(b"P6\n3 2\n65535\n" + NOISE.integers(0, 65536, 18).astype(">u2").tobytes())
    with pytest.raises(ValueError, match=r"0\.ppm: 16 bits a channel in a PPM"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [("u2", 0, 65535), ("i2", -1024, 3071), ("u4", 0, 70_000), ("i8", -5, 300), (">u2", 0, 4095), ("i1", -128, 127)],
)
def test_arrays_of_other_whole_numbers_keep_their_levels(tmp_path, dtype, low, high):
    stored = NOISE.integers(low, high + 1, (60, 8, 9)).astype(dtype)
    stored[0, 0, :2] = low, high
    np.save(tmp_path / "a.npy", stored)
    splits = opened(tmp_path / "a.npy")
    assert same(whole(splits)[:, 0], stored.astype(np.float32))
    assert told(splits, f"whole numbers from {low} to {high}", "all levels are kept") and splits.spec.levels == 0


def test_held_out_images_are_read_as_the_training_images_are(tmp_path):
    wide, narrow = NOISE.integers(0, 4096, (30, 8, 8)).astype("u2"), NOISE.integers(0, 200, (9, 8, 8)).astype("u2")
    for train, test in ((wide, narrow), (narrow.repeat(3, 0), wide)):
        np.savez(tmp_path / "a.npz", train=train, test=test)
        splits = Images(str(tmp_path / "a.npz"), key="train", held_out_key="test").open()
        both = [e.batch(torch.arange(len(e))) for e in (splits.train, splits.held_out)]
        assert [x.dtype for x in both] == [torch.float32] * 2 and both[1].max() == test.max()
        (tmp_path / "a.npz").unlink()


@pytest.mark.parametrize(
    ("low", "high", "levels", "span"),
    [(0, 1, 0, (0, 1)), (-1, 1, 0, (-1, 1)), (0, 1000, 0, (0, 1000)), (-1000, 2000, 0, (-1000, 2000))],
)
def test_floats_of_any_range_are_kept_with_their_span(tmp_path, low, high, levels, span):
    stored = low + (high - low) * NOISE.random((60, 8, 9))
    stored[:, 0, :2] = low, high
    np.save(tmp_path / "a.npy", stored.astype("f4"))
    splits = opened(tmp_path / "a.npy")
    assert same(whole(splits)[:, 0], stored.astype("f4"))
    assert splits.spec.levels == levels and splits.spec.span == span


def test_whole_floats_up_to_255_are_grey_levels_and_others_are_not(tmp_path):
    whole_numbers = NOISE.integers(0, 256, (60, 8, 9)).astype("f4")
    for name, stored, levels in (("a", whole_numbers, 256), ("b", whole_numbers / 256 * 255, 0)):
        np.save(tmp_path / f"{name}.npy", stored)
        spec = opened(tmp_path / f"{name}.npy").spec
        assert spec.levels == levels and (spec.span == (0, 255) or not levels)


def test_floats_far_from_zero_keep_their_digits(tmp_path):
    small = NOISE.random((60, 8, 9))
    np.save(tmp_path / "a.npy", 1e7 + small)
    splits = opened(tmp_path / "a.npy")
    assert told(splits, "an offset (1e+07) is subtracted") and splits.spec.offset == (1e7,)
    np.testing.assert_allclose(np.sort(whole(splits).ravel()), np.sort(small.ravel()), atol=1e-6)


# transparency


def icons(folder, make, count=30):
    folder.mkdir()
    for i in range(count):
        make(i).save(folder / f"{i}.png")
    return folder


def drawn(i, colour=(0, 0, 0), mode="RGBA"):
    """A square of opacity; everything has one colour beneath it."""
    opacity = np.zeros((12, 12), np.uint8)
    row, column = np.random.default_rng(i).integers(0, 8, 2)
    opacity[row : row + 4, column : column + 4] = 255
    image = Image.new("RGB", (12, 12), colour)
    image.putalpha(Image.fromarray(opacity))
    return image.convert(mode)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_a_drawing_in_transparency_alone_is_seen(tmp_path, mode):
    splits = opened(icons(tmp_path / "icons", lambda i: drawn(i, mode=mode)))
    x = whole(splits)
    assert x.shape[1] == 1 and ((x == 0).sum((1, 2, 3)) == 16).all() and ((x == 255).sum((1, 2, 3)) == 128).all()
    assert told(splits, "30 images are transparent in places and were laid on white")


def test_white_drawings_need_a_black_background_and_the_error_says_so(tmp_path):
    folder = icons(tmp_path / "icons", lambda i: drawn(i, (255, 255, 255)))
    with pytest.raises(ValueError, match=r"every value .* is 255 .*transparent.* laid on white \(background=\.\.\.\)"):
        opened(folder)
    x = whole(opened(folder, background="black"))
    assert ((x == 255).sum((1, 2, 3)) == 16).all()


def test_what_is_hidden_has_the_colour_of_the_background(tmp_path):
    def hidden(i):
        image = Image.fromarray(np.random.default_rng(i).integers(0, 256, (12, 12, 3), dtype=np.uint8))
        image.putalpha(drawn(i).getchannel("A"))
        return image

    x = whole(opened(icons(tmp_path / "icons", hidden)))
    assert ((x == 255).all(1).sum((1, 2)) >= 128).all() and x.shape[1] == 3


def test_palettes_with_a_transparent_entry_are_laid_too(tmp_path):
    def entries(i):
        image = Image.fromarray(np.random.default_rng(i).integers(0, 3, (12, 12), dtype=np.uint8), "P")
        image.putpalette([9, 9, 9, 200, 0, 0, 0, 90, 0])
        return image

    folder = tmp_path / "icons"
    folder.mkdir()
    for i in range(30):
        entries(i).save(folder / f"{i}.png", transparency=0)
    x = whole(opened(folder))
    assert {tuple(c) for c in x.transpose(0, 2, 3, 1).reshape(-1, 3)} == {(255, 255, 255), (200, 0, 0), (0, 90, 0)}


def test_opaque_pictures_with_an_alpha_channel_are_not_told_of(tmp_path):
    def opaque(i):
        return Image.fromarray(np.random.default_rng(i).integers(0, 256, (5, 6, 3), np.uint8)).convert("RGBA")

    assert not told(opened(icons(tmp_path / "icons", opaque)), "transparent")


# greys that come as colours


@pytest.mark.parametrize("kind", ["two greys", "greys among colours", "web", "RGB", "CMYK"])
def test_greys_have_one_channel_however_they_are_stored(tmp_path, kind):
    grey = NOISE.integers(0, 2, (30, 8, 9)).astype(np.uint8)
    for i, values in enumerate(grey):
        if kind in ("two greys", "greys among colours"):
            image = Image.fromarray(values, "P")
            image.putpalette([0, 0, 0, 255, 255, 255] + [200, 10, 10] * (kind != "two greys"))
        else:
            image = Image.fromarray(values * 255).convert("P" if kind == "web" else kind)
        image.save(tmp_path / f"{i}.{'tif' if kind == 'CMYK' else 'png'}")
    assert same(whole(opened(tmp_path)), grey[:, None] * np.uint8(255))
    assert opened(tmp_path, color=True).spec.shape == (3, 8, 9)


def test_one_red_pixel_among_palettes_makes_three_channels(tmp_path):
    for i in range(30):
        image = Image.fromarray(NOISE.integers(0, 2, (8, 9)).astype(np.uint8), "P")
        image.putpalette([0, 0, 0, 255, 0 if i == 3 else 255, 255])
        image.save(tmp_path / f"{i}.png")
    assert opened(tmp_path).spec.shape == (3, 8, 9)


# pages and frames


def pages(count, colour=False):
    shape = (8, 9, 3) if colour else (8, 9)
    return [Image.fromarray(NOISE.integers(0, 256, shape).astype(np.uint8)) for _ in range(count)]


@pytest.mark.parametrize("ending", ["tif", "TIFF", "gif", "png", "webp"])
def test_every_page_or_frame_is_an_image(tmp_path, ending):
    first, *others = pages(40)
    first.save(tmp_path / f"z.{ending}", save_all=True, append_images=others, lossless=True)
    splits = opened(tmp_path)
    assert same(whole(splits)[:, 0], np.stack([np.asarray(p) for p in (first, *others)]))
    assert told(splits, "several pages or frames", "(40)")
    assert splits.train.where(0).startswith(str(tmp_path / f"z.{ending}") + ", page ")


def test_a_file_of_pages_may_be_named_itself_and_one_image_not(tmp_path):
    first, *others = pages(30)
    first.save(tmp_path / "stack.tif", save_all=True, append_images=others)
    first.save(tmp_path / "one.tif")
    splits = detect(str(tmp_path / "stack.tif"), split="seed").open()
    assert len(splits.train) + len(splits.held_out) == 30
    with pytest.raises(ValueError, match="one image; try the folder"):
        detect(str(tmp_path / "one.tif"))


def test_pages_of_16_bits_and_files_of_one_page_go_together(tmp_path):
    stored = NOISE.integers(0, 65536, (30, 8, 9)).astype(np.uint16)
    first, *others = (Image.fromarray(page) for page in stored[:20])
    first.save(tmp_path / "a.tif", save_all=True, append_images=others)
    for i, page in enumerate(stored[20:]):
        Image.fromarray(page).save(tmp_path / f"b{i}.tif")
    assert same(whole(opened(tmp_path))[:, 0], stored.astype(np.float32))


def test_a_broken_page_is_set_aside_with_its_file(tmp_path):
    for i, page in enumerate(pages(60)):
        page.save(tmp_path / f"{i:02}.png")
    first, *others = pages(5)
    file = io.BytesIO()
    first.save(file, "TIFF", save_all=True, append_images=others)
    (tmp_path / "cut.tif").write_bytes(file.getvalue()[:300])
    splits = opened(tmp_path, tolerate=0.1)
    assert told(splits, "set aside 1 of 61", "cut.tif") and len(whole(splits)) >= 60
