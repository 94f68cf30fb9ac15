"""Writes another augment.safetensors: random images, extents and parameters, answers by Pillow, OpenCV and torchvision.

usage: make_augment_cases.py FOLDER [SEED [CASES]]     then: DCL_REFERENCE_DIR=FOLDER build/tests/reference/augment_reference_test

Needs torch, torchvision, Pillow, opencv-python, safetensors. Covers what the stored set does not: images that are not
square, other view sizes, every order of jitter, factors up to 2.5, hue up to half a turn, kernels up to 31 taps.
"""

import json
import os
import random
import sys

import cv2
import numpy as np
import torchvision.transforms.functional as F
from PIL import Image
from safetensors.numpy import save_file

EXTENTS = [(32, 32), (96, 96), (48, 64), (17, 5), (1, 1), (240, 320), (33, 100)]
JITTER = {
    "brightness": F.adjust_brightness,
    "contrast": F.adjust_contrast,
    "saturation": F.adjust_saturation,
    "hue": F.adjust_hue,
}
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


def make_image(h, w, smooth, noise):
    ramp = np.add.outer(3 * np.arange(h), 2 * np.arange(w))[..., None] + np.array([0, 60, 120])
    return (ramp * smooth + noise.integers(0, 20 if smooth else 256, (h, w, 3))).astype(np.uint8)


def resized_crop(image, c):
    """Horizontal pass first in two calls: Pillow 13 would choose the order by cost."""
    h, w = c["size"] if isinstance(c["size"], list) else (c["size"], c["size"])
    crop = image.crop((c["left"], c["top"], c["left"] + c["width"], c["top"] + c["height"]))
    return crop.resize((w, crop.height), Image.BILINEAR).resize((w, h), Image.BILINEAR)


def blur(image, c):
    return cv2.GaussianBlur(np.array(image), (c["kernel"], c["kernel"]), c["sigma"])


def draw_crop(image, rng):
    h, w = rng.randint(1, image.height), rng.randint(1, image.width)
    return {
        "top": rng.randint(0, image.height - h),
        "left": rng.randint(0, image.width - w),
        "height": h,
        "width": w,
        "size": rng.choice([32, 32, 64, 20, 96, [40, 24]]),
    }


def make_chain(image, rng):
    order = rng.sample(list(JITTER), rng.randint(0, 4))
    c = {
        **draw_crop(image, rng),
        "flip": rng.random() < 0.5,
        "order": order,
        "gray": rng.random() < 0.2,
        "kernel": rng.choice([3, 3, 9]),
        "sigma": rng.uniform(0.1, 2),
    }
    c.update({op: rng.uniform(-0.1, 0.1) if op == "hue" else rng.uniform(0.6, 1.4) for op in order})
    out = resized_crop(image, c)
    out = F.hflip(out) if c["flip"] else out
    for op in order:
        out = JITTER[op](out, c[op])
    return c, blur(F.to_grayscale(out, 3) if c["gray"] else out, c)


def make_case(op, image, rng):
    if op == "chain":
        return make_chain(image, rng)
    if op == "resized_crop":
        c = draw_crop(image, rng)
        return c, resized_crop(image, c)
    if op == "gaussian_blur":
        c = {
            "kernel": rng.choice([3, 3, 3, 5, 7, 9, 11, 23, 31]),
            "sigma": rng.choice([rng.uniform(0.1, 2), rng.uniform(2, 12)]),
        }
        return c, blur(image, c)
    if op in JITTER:
        c = {"factor": rng.uniform(-0.5, 0.5) if op == "hue" else rng.uniform(0, 2.5)}
        return c, JITTER[op](image, c["factor"])
    plain = {
        "hflip": F.hflip,
        "grayscale": lambda i: F.to_grayscale(i, 3),
        "normalize": lambda i: F.normalize(F.to_tensor(i), MEAN, STD).numpy(),
    }
    return {}, plain[op](image)


def main():
    folder, seed = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 600
    rng, noise = random.Random(seed), np.random.default_rng(seed)
    arrays = [make_image(h, w, i % 2, noise) for i, (h, w) in enumerate(EXTENTS)]
    tensors = {f"image{i}": array for i, array in enumerate(arrays)}
    operators = ["resized_crop", "hflip", "grayscale", "gaussian_blur", "normalize", "chain", "chain", "chain", *JITTER]
    cases = []
    for number in range(count):
        index = rng.randrange(len(arrays))
        op = rng.choice(operators)
        parameters, out = make_case(op, Image.fromarray(arrays[index]), rng)
        cases.append({"key": f"case{number}", "op": op, "image": index, **parameters})
        tensors[f"case{number}"] = np.ascontiguousarray(np.array(out))
    os.makedirs(folder, exist_ok=True)
    save_file(
        tensors,
        os.path.join(folder, "augment.safetensors"),
        metadata={"what": "augmentation cases", "cases": json.dumps(cases), "salt": str(seed)},
    )


if __name__ == "__main__":
    main()
