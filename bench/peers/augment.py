"""Augmented views per second on one core: torchvision + Pillow + OpenCV as the published code uses them, and ours.

usage: augment.py [BUILD_DIR]        (default: build; needs torch, torchvision, Pillow, opencv-python, numpy)
"""

import json
import subprocess
import sys
import time

import cv2
import numpy as np
import torch
from PIL import Image
from torchvision import transforms


class GaussianBlur:
    """As in the published code."""

    def __init__(self, kernel_size, low=0.1, high=2.0):
        self.kernel_size, self.low, self.high = kernel_size, low, high

    def __call__(self, sample):
        sample = np.array(sample)
        if np.random.random_sample() < 0.5:
            sigma = (self.high - self.low) * np.random.random_sample() + self.low
            sample = cv2.GaussianBlur(sample, (self.kernel_size, self.kernel_size), sigma)
        return sample


def published_transform():
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(32),
            transforms.RandomHorizontalFlip(p=0.5),
            transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            transforms.RandomGrayscale(p=0.2),
            GaussianBlur(kernel_size=int(0.1 * 32)),
            transforms.ToTensor(),
            transforms.Normalize([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]),
        ]
    )


def make_images(count, extent):
    y, x, c = np.mgrid[0:extent, 0:extent, 0:3]
    noise = np.random.default_rng(1).integers(0, 32, (count, extent, extent, 3))
    return [Image.fromarray((x + y + 40 * c + n).astype(np.uint8)) for n in noise]


def peer_rate(images, seconds):
    transform = published_transform()
    for image in images:
        transform(image)
    views, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for image in images:
            transform(image)
        views += len(images)
    return views / (time.perf_counter() - start)


def our_rate(build, seconds):
    command = [
        f"{build}/bench/augment_bench",
        "--benchmark_filter=training_views/published_96$",
        f"--benchmark_min_time={seconds}",
        "--benchmark_format=json",
    ]
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return result["benchmarks"][0]["items_per_second"]


def main():
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    build = sys.argv[1] if len(sys.argv) > 1 else "build"
    images = make_images(64, 96)
    # Alternating, so that both see the machine in the same state.
    rounds = [(peer_rate(images, 2), our_rate(build, 1)) for _ in range(3)]
    peer, ours = (sorted(rates)[1] for rates in zip(*rounds))
    print(
        f"96x96 -> 32x32 views/s on one core: torchvision {peer:,.0f} ({1e6 / peer:.1f} us), "
        f"dcl {ours:,.0f} ({1e6 / ours:.1f} us), ratio {ours / peer:.1f}"
    )


if __name__ == "__main__":
    main()
