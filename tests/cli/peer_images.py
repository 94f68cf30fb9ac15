"""Draws 12 smooth PNG images of a size, in two classes.

usage: peer_images.py FOLDER SIZE"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

size = int(sys.argv[2])
rng = np.random.default_rng(size)
for kind in ("a", "b"):
    folder = Path(sys.argv[1]) / kind
    folder.mkdir(parents=True)
    for i in range(6):
        noise = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
        noise.resize((size, size), Image.BILINEAR).save(folder / f"{i}.png")
