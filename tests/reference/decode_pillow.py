"""Writes image files of every kind and, beside each FILE, FILE.rgb: extent and bytes of convert('RGB')."""

import io
import os
import struct
import sys
import zlib

import numpy as np
from PIL import Image, features

out = sys.argv[1]
rng = np.random.default_rng(5)


def picture(height, width):
    """Smooth areas, edges and noise."""
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([128 + 90 * np.sin(x / 5 + y / 9), 255 * ((x // 7 + y // 5) % 2), 3 * x + y], -1)
    return np.clip(base + rng.normal(0, 12, base.shape), 0, 255).astype(np.uint8)


def keep(name, data):
    with open(os.path.join(out, name), "wb") as f:
        f.write(data)
    rgb = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    with open(os.path.join(out, name + ".rgb"), "wb") as f:
        f.write(struct.pack("<ii", rgb.shape[0], rgb.shape[1]) + rgb.tobytes())


def save(name, image, **options):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG" if name.endswith("jpg") else "PNG", **options)
    keep(name, buffer.getvalue())


def png16(color_type, samples):
    """A 16-bit PNG that Pillow reads but does not write."""
    height, width = samples.shape[:2]

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def pnm(kind, largest, samples):
    """PBM, PGM or PPM: kind 1 to 3 is text, 4 to 6 raw."""
    height, width = samples.shape[:2]
    head = b"P%d\n# comment\n%d %d\n" % (kind, width, height) + (b"" if kind in (1, 4) else b"%d\n" % largest)
    if kind <= 3:
        return (
            head + b"\n".join(b" ".join(b"%d" % v for v in row) for row in samples.reshape(height, -1).tolist()) + b"\n"
        )
    if kind == 4:
        return head + np.packbits(samples.astype(np.uint8), axis=1).tobytes()
    return head + samples.astype(np.uint8 if largest < 256 else ">u2").tobytes()


for i, (height, width) in enumerate([(32, 32), (96, 96), (1, 1), (1, 37), (53, 1), (17, 23), (113, 150)]):
    rgb = Image.fromarray(picture(height, width))
    for quality in (30, 75, 95):
        for subsampling in (0, 1, 2):
            save(f"s{i}_q{quality}_{subsampling}.jpg", rgb, quality=quality, subsampling=subsampling)
    save(f"s{i}_progressive.jpg", rgb, quality=80, progressive=True)
    save(f"s{i}_gray.jpg", rgb.convert("L"), quality=80)
    save(
        f"s{i}_cmyk.jpg", Image.fromarray(rng.integers(0, 256, (height, width, 4), dtype=np.uint8), "CMYK"), quality=90
    )
    save(f"s{i}_rgb.png", rgb)
    save(f"s{i}_gray.png", rgb.convert("L"))
    save(f"s{i}_bits.png", rgb.convert("1"))
    save(f"s{i}_palette.png", rgb.quantize(200))
    save(f"s{i}_palette4.png", rgb.quantize(11))
    save(f"s{i}_palette_alpha.png", rgb.quantize(30), transparency=3)
    alpha = Image.fromarray(rng.integers(0, 256, (height, width), dtype=np.uint8))
    save(f"s{i}_rgba.png", Image.merge("RGBA", (*rgb.split(), alpha)))
    save(f"s{i}_la.png", Image.merge("LA", (rgb.convert("L"), alpha)))
    keep(f"s{i}_gray16.png", png16(0, rng.integers(0, 700, (height, width, 1))))
    keep(f"s{i}_la16.png", png16(4, rng.integers(0, 65536, (height, width, 2))))
    keep(f"s{i}_rgb16.png", png16(2, rng.integers(0, 65536, (height, width, 3))))
    keep(f"s{i}_rgba16.png", png16(6, rng.integers(0, 65536, (height, width, 4))))

    for kind in range(1, 7):
        for largest in (1,) if kind in (1, 4) else (255, 100, 1000, 65535):
            channels = (height, width, 3) if kind in (3, 6) else (height, width)
            # Gray of 16 bits saturates early: small values show how it is scaled.
            most = 3 if kind in (2, 5) and largest == 1000 else 700 if kind in (2, 5) and largest == 65535 else largest
            keep(f"s{i}_{kind}_{largest}.ppm", pnm(kind, largest, rng.integers(0, most + 1, channels)))

exif = Image.Exif()
exif[0x0112] = 6  # rotate by a quarter: convert('RGB') does not
save("exif.jpg", Image.fromarray(picture(20, 31)), quality=90, exif=exif.tobytes())
print("libjpeg-turbo" if features.check("libjpeg_turbo") else "libjpeg")
