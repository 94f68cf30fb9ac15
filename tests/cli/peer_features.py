"""Opens a checkpoint with the safetensors package, loads it into the published model class with strict=True, and compares
the features it gives in PyTorch with those that dcl-embed wrote. Started by peer_features.sh.

usage: peer_features.py MODEL FEATURES.npy IMAGES_DIR ARCH"""
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "reference"))
from published_model import Model  # noqa: E402

MEAN = np.array([0.4914, 0.4822, 0.4465], np.float32)
STD = np.array([0.2023, 0.1994, 0.2010], np.float32)


def main():
    model_path, features_path, images, arch = sys.argv[1:]
    model = Model(arch)
    model.load_state_dict(load_file(model_path), strict=True)
    model.eval()
    files = sorted(p for p in Path(images).rglob("*.png"))
    pixels = np.stack([np.asarray(Image.open(p).convert("RGB")) for p in files]).astype(np.float32)
    x = torch.from_numpy(((pixels / np.float32(255)) - MEAN) / STD).permute(0, 3, 1, 2).contiguous()
    with torch.no_grad():
        expected = model(x)[0].numpy()
    ours = np.load(features_path)
    if ours.shape != expected.shape:
        sys.exit(f"shape {ours.shape}, PyTorch gives {expected.shape}")
    error = np.linalg.norm(ours - expected) / np.linalg.norm(expected)
    print(f"{len(files)} images, relative difference {error:.2e}")
    if not error <= 1e-4:
        sys.exit("features differ from PyTorch's by more than 1e-4")


main()
