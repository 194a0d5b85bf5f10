"""Files that are odd images, damaged ones, or none at all (classes 8 and 12)."""

from __future__ import annotations

import functools
import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from differnet_lite.images import as_rgb, decode, digest, iter_decoded
from tests.hostile.harness import SEEDS, Case

FORMATS = {
    "png": {"format": "PNG"},
    "jpeg": {"format": "JPEG", "quality": 90},
    "tiff": {"format": "TIFF"},
    "lzw tiff": {"format": "TIFF", "compression": "tiff_lzw"},
    "bmp": {"format": "BMP"},
    "gif": {"format": "GIF"},
    "webp": {"format": "WEBP"},
    "ppm": {"format": "PPM"},
}
Make = Callable[[Any], bytes]


def content(image: Image.Image, **options: Any) -> bytes:
    """An image as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def grey(value: int = 128, size: tuple[int, int] = (16, 12), mode: str = "L") -> Image.Image:
    return Image.new(mode, size, value if mode in ("L", "P", "I") else None)


def read(make: Make, s: Any, name: str = "a.png") -> np.ndarray:
    """What a file of this content is to us, (32, 32, 3)."""
    path = s.folder / name
    path.write_bytes(make(s))
    assert len(digest(path)) == 64
    return decode(path, 32).permute(1, 2, 0).numpy()


def near(level: float, tolerance: float = 2) -> Callable[[np.ndarray], bool]:
    return lambda seen: bool(np.abs(seen.astype(float).mean() - level) <= tolerance)


def levels(values: np.ndarray, mode: str, **options: Any) -> Make:
    given = None if mode == "I;16" else mode  # Pillow knows it by the dtype alone
    return lambda _: content(Image.fromarray(values, given), **options)


def png_of_size(width: int, height: int) -> bytes:
    """A PNG file that claims a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def turned(orientation: int) -> Make:
    """The left half white, stored so that EXIF must turn it."""

    def make(_: Any) -> bytes:
        array = np.zeros((16, 16), np.uint8)
        array[:, :8] = 255
        image = Image.fromarray(array)
        undo = {
            3: Image.Transpose.ROTATE_180,
            6: Image.Transpose.ROTATE_90,
            8: Image.Transpose.ROTATE_270,
            2: Image.Transpose.FLIP_LEFT_RIGHT,
        }[orientation]
        exif = Image.Exif()
        exif[0x0112] = orientation
        return content(image.transpose(undo), format="PNG", exif=exif)

    return make


def left_is_white(seen: np.ndarray) -> bool:
    return bool(seen[:, :12].mean() > 250 and seen[:, 20:].mean() < 5)


def frames(n: int, **options: Any) -> Make:
    def make(_: Any) -> bytes:
        first, *rest = [grey(40 + 30 * k) for k in range(n)]
        return content(first, save_all=True, append_images=rest, **options)

    return make


def odd_but_right() -> Iterator[Case]:
    """Files of odd kinds that have one right reading."""
    ramp8 = np.full((12, 16), 128, np.uint8)
    twelve = np.full((12, 16), 2048, np.uint16)
    alpha = np.dstack([ramp8, ramp8, ramp8, np.zeros_like(ramp8)])
    palette = grey(128).convert("P")
    kinds: dict[str, tuple[Make, Callable[[Any], bool], str | None]] = {
        "16-bit png": (
            levels(np.full((12, 16), 32896, np.uint16), "I;16", format="PNG"),
            near(128),
            None,
        ),
        "16-bit tiff": (
            levels(np.full((12, 16), 32896, np.uint16), "I;16", format="TIFF"),
            near(128),
            None,
        ),
        "12 bits in a 16-bit png": (levels(twelve, "I;16", format="PNG"), near(8), "nearly black"),
        "12 bits in a 16-bit tiff": (
            levels(twelve, "I;16", format="TIFF"),
            near(8),
            "nearly black",
        ),
        "12-bit pgm by its maxval": (
            lambda _: b"P5 16 12 4095 " + twelve.astype(">u2").tobytes(),
            near(128),
            None,
        ),
        "10-bit pgm by its maxval": (
            lambda _: b"P5 16 12 1023 " + (twelve // 4).astype(">u2").tobytes(),
            near(128),
            None,
        ),
        "float tiff": (
            levels(np.full((12, 16), 0.5, np.float32), "F", format="TIFF"),
            near(128),
            None,
        ),
        "32-bit integer tiff": (
            levels(np.full((12, 16), 32896, np.int32), "I", format="TIFF"),
            near(128),
            None,
        ),
        "bilevel": (lambda _: content(Image.new("1", (16, 12), 1), format="PNG"), near(255), None),
        "palette": (lambda _: content(palette, format="PNG"), near(128), None),
        "palette with a transparent colour": (
            lambda _: content(palette, format="PNG", transparency=128),
            lambda seen: True,
            None,
        ),
        "grey with alpha": (
            lambda _: content(Image.fromarray(alpha[..., [0, 3]], "LA"), format="PNG"),
            near(255),
            None,
        ),
        "colour with alpha": (
            lambda _: content(Image.fromarray(alpha, "RGBA"), format="PNG"),
            near(255),
            None,
        ),
        "cmyk jpeg": (
            lambda _: content(Image.new("CMYK", (16, 12), (0, 0, 0, 127)), format="JPEG"),
            near(128, 4),
            None,
        ),
        "cmyk tiff": (
            lambda _: content(Image.new("CMYK", (16, 12), (0, 0, 0, 127)), format="TIFF"),
            near(128, 4),
            None,
        ),
        "lab tiff": (
            lambda _: content(Image.new("LAB", (16, 12), (128, 128, 128)), format="TIFF"),
            lambda seen: True,
            None,
        ),
        "ycbcr jpeg": (
            lambda _: content(Image.new("YCbCr", (16, 12), (128, 128, 128)), format="JPEG"),
            near(128),
            None,
        ),
        "one pixel": (lambda _: content(grey(200, (1, 1)), format="PNG"), near(200), None),
        "one row": (lambda _: content(grey(200, (300, 1)), format="PNG"), near(200), None),
        "one column": (lambda _: content(grey(200, (1, 300)), format="PNG"), near(200), None),
        "very wide": (lambda _: content(grey(90, (4000, 2)), format="PNG"), near(90), None),
        "several gif frames": (frames(3, format="GIF"), near(40, 3), "only the first"),
        "several tiff pages": (frames(3, format="TIFF"), near(40), "only the first"),
        "several png frames": (frames(3, format="PNG"), near(40), "only the first"),
        "several webp frames": (
            frames(3, format="WEBP", lossless=True),
            near(40, 3),
            "only the first",
        ),
        "bytes after the end": (
            lambda _: content(grey(), format="PNG") + b"more" * 100,
            near(128),
            None,
        ),
        "no suffix of its kind": (lambda _: content(grey(), format="JPEG"), near(128), None),
        "a text chunk of a megabyte": (lambda _: _with_text(10**6), lambda seen: True, None),
        "interlaced": (lambda _: content(grey(), format="PNG", interlace=1), near(128), None),
        "progressive": (
            lambda _: content(grey(), format="JPEG", progressive=True),
            near(128),
            None,
        ),
        "big-endian tiff": (lambda _: _big_endian_tiff(), near(128), None),
    }
    for orientation in (2, 3, 6, 8):
        kinds[f"turned by exif {orientation}"] = (turned(orientation), left_is_white, None)
    for name, (make, right, note) in kinds.items():
        yield Case("8 images", name, functools.partial(read, make), "right", right, note)


def _with_text(length: int) -> bytes:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("comment", "x" * length)
    return content(grey(), format="PNG", pnginfo=info)


def _big_endian_tiff() -> bytes:
    entries = [
        (256, 3, 1, 4),
        (257, 3, 1, 4),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (277, 3, 1, 1),
        (278, 3, 1, 4),
        (279, 4, 1, 16),
    ]
    packed = b"".join(
        struct.pack(">HHI", tag, kind, n)
        + (struct.pack(">HH", value, 0) if kind == 3 else struct.pack(">I", value))
        for tag, kind, n, value in entries
    )
    return (
        b"MM\0*"
        + struct.pack(">I", 24)
        + bytes([128]) * 16
        + struct.pack(">H", len(entries))
        + packed
        + b"\0" * 4
    )


def damaged() -> Iterator[Case]:
    """Files of every format: cut short, with bytes changed, or of another content."""
    for name, options in FORMATS.items():
        for share in (0.0, 0.02, 0.3, 0.6, 0.97):
            make = functools.partial(_cut, options, share)
            yield Case(
                "8 images", f"{name} cut to {share:.0%}", functools.partial(read, make), "either"
            )
        for seed in range(4 * SEEDS):
            make = functools.partial(_spoilt, options, seed)
            title = f"{name} with bytes changed, {seed}"
            yield Case("8 images", title, functools.partial(read, make), "either")
    strange: dict[str, Make] = {
        "text": lambda _: b"this is no image",
        "html": lambda _: b"<!doctype html><html></html>",
        "zeros": lambda _: bytes(5000),
        "random": lambda _: np.random.default_rng(0).bytes(5000),
        "model": lambda s: s.saved.read_bytes()[:5000],
        "only a signature": lambda _: b"\x89PNG\r\n\x1a\n",
        "png without pixels": lambda _: content(grey(), format="PNG")[:33],
        "png of 60,000 x 60,000": lambda _: png_of_size(60_000, 60_000),
        "png of 2,000,000,000 x 2": lambda _: png_of_size(2_000_000_000, 2),
        "png of 0 x 5": lambda _: png_of_size(0, 5),
        "png of 5 x 0": lambda _: png_of_size(5, 0),
        "png of 4,000 x 4,000 with nothing": lambda _: png_of_size(4_000, 4_000),
        "pgm of 99999 x 99999": lambda _: b"P5 99999 99999 255 " + bytes(10),
        "pgm of negative size": lambda _: b"P5 -5 5 255 " + bytes(25),
        "pgm of maxval 0": lambda _: b"P5 5 5 0 " + bytes(25),
        "pgm of maxval 99999": lambda _: b"P5 5 5 99999 " + bytes(50),
        "bmp of negative width": lambda _: (
            b"BM"
            + struct.pack("<IHHIIiiHHIIiiII", 100, 0, 0, 54, 40, -5, 5, 1, 24, 0, 0, 0, 0, 0, 0)
            + bytes(80)
        ),
        "gif of 65535 x 65535": lambda _: (
            b"GIF89a\xff\xff\xff\xff\x80\0\0"
            + bytes(6)
            + b",\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;"
        ),
        "svg": lambda _: b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "eps that asks for a file": lambda _: (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n"
        ),
        "pdf": lambda _: b"%PDF-1.7\n",
        "float tiff with nan": levels(np.full((4, 4), np.nan, np.float32), "F", format="TIFF"),
        "float tiff with inf": levels(np.full((4, 4), np.inf, np.float32), "F", format="TIFF"),
        "float tiff of 200": levels(np.full((4, 4), 200.0, np.float32), "F", format="TIFF"),
        "float tiff below 0": levels(np.full((4, 4), -1.0, np.float32), "F", format="TIFF"),
        "integer tiff of 100,000": levels(np.full((4, 4), 100_000, np.int32), "I", format="TIFF"),
        "integer tiff below 0": levels(np.full((4, 4), -5, np.int32), "I", format="TIFF"),
    }
    for title, make in strange.items():
        yield Case("8 images", title, functools.partial(read, make))


def _cut(options: dict[str, Any], share: float, s: Any) -> bytes:
    whole = content(Image.fromarray(s.picture(3)), **options)
    return whole[: int(share * len(whole))]


def _spoilt(options: dict[str, Any], seed: int, s: Any) -> bytes:
    whole, rng = (
        bytearray(content(Image.fromarray(s.picture(3)), **options)),
        np.random.default_rng(seed),
    )
    for place in rng.integers(0, min(len(whole), 200) if seed % 2 else len(whole), 6):
        whole[place] = rng.integers(256)
    return bytes(whole)


def no_files() -> Iterator[Case]:
    """What lies where an image should, and is no regular file."""

    def fifo(s: Any) -> Path:
        os.mkfifo(s.folder / "a.png")
        return s.folder / "a.png"

    def loop(s: Any) -> Path:
        (s.folder / "a.png").symlink_to(s.folder / "b.png")
        (s.folder / "b.png").symlink_to(s.folder / "a.png")
        return s.folder / "a.png"

    def linked(target: str) -> Callable[[Any], Path]:
        def make(s: Any) -> Path:
            (s.folder / "a.png").symlink_to(target)
            return s.folder / "a.png"

        return make

    def folder(s: Any) -> Path:
        (s.folder / "a.png").mkdir()
        return s.folder / "a.png"

    def socket(s: Any) -> Path:
        import socket as sockets

        here = os.getcwd()
        os.chdir(s.folder)  # a socket's name is short
        try:
            sockets.socket(sockets.AF_UNIX).bind("a.png")
        finally:
            os.chdir(here)
        return s.folder / "a.png"

    things = {
        "pipe": fifo,
        "loop of links": loop,
        "link to nothing": linked("nowhere"),
        "link to /dev/zero": linked("/dev/zero"),
        "link to /dev/stdin": linked("/dev/stdin"),
        "folder": folder,
        "socket": socket,
    }
    uses: dict[str, Callable[[Any, Path], Any]] = {
        "as_rgb": lambda s, path: as_rgb(path),
        "digest": lambda s, path: digest(path),
        "iter_decoded": lambda s, path: list(iter_decoded([path])),
        "anomaly_scores": lambda s, path: s.model.anomaly_scores([path]),
    }
    for thing, make in things.items():
        for use, function in uses.items():
            run = functools.partial(_use, function, make)
            yield Case("12 no regular files", f"{thing} for {use}", run)


def _use(function: Callable[[Any, Path], Any], make: Callable[[Any], Path], s: Any) -> Any:
    return function(s, make(s))


def arrays() -> Iterator[Case]:
    """Arrays that have one right reading."""
    picture = np.full((9, 7, 3), 128, np.uint8)
    kinds: dict[str, Any] = {
        "grey": picture[..., 0],
        "one channel": picture[..., :1],
        "bool": np.ones((9, 7), bool),
        "16 bits": picture.astype(np.uint16) * 257,
        "float": picture / 255,
        "half": (picture / 255).astype(np.float16),
        "not contiguous": picture[::-2, ::-1],
        "Fortran order": np.asfortranarray(picture),
        "read only": np.broadcast_to(picture[:1], (9, 7, 3)),
        "big-endian": (picture.astype(">u2") * 257),
        "tensor": torch.full((3, 9, 7), 128, dtype=torch.uint8),
        "bfloat16 tensor": torch.full((3, 9, 7), 0.5, dtype=torch.bfloat16),
        "with gradient": torch.full((3, 9, 7), 0.5, requires_grad=True),
        "masked": np.ma.masked_array(picture, mask=picture > 300),
        "one pixel": picture[:1, :1],
    }
    for name, array in kinds.items():
        level = 255 if name == "bool" else 128
        run = functools.partial(_decoded, array)
        yield Case("8 arrays", name, run, "right", near(level))
    run = functools.partial(_decoded, np.full((9, 7), 2048, np.uint16))
    yield Case("8 arrays", "12 bits in 16", run, "right", near(8), "nearly black")


def _decoded(array: Any, s: Any) -> np.ndarray:
    return decode(array, 32).numpy()


def cases() -> Iterator[Case]:
    yield from odd_but_right()
    yield from damaged()
    yield from no_files()
    yield from arrays()
