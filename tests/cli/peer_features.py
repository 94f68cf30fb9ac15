"""Opens a model file with PyTorch or the safetensors package, loads it into the published model class (inside DataParallel
where names begin with "module.") with strict=True, and compares the features it gives in PyTorch with those that dcl-embed
wrote. Started by peer_features.sh and peer_foreign.sh.

usage: peer_features.py ARCH STEM IMAGES_DIR MODEL FEATURES.npy [MODEL FEATURES.npy ...]"""

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


def features_of(model_path, arch, stem, x):
    of_pytorch = model_path.endswith(".pth")
    state = torch.load(model_path, map_location="cpu", weights_only=True) if of_pytorch else load_file(model_path)
    model = Model(arch, stem)
    wrapped = torch.nn.DataParallel(model) if next(iter(state)).startswith("module.") else model
    wrapped.load_state_dict(state, strict=True)
    model.eval()
    with torch.no_grad():
        return model(x)[0].numpy()


def main():
    arch, stem, images, *pairs = sys.argv[1:]
    files = sorted(p for p in Path(images).rglob("*.png"))
    pixels = np.stack([np.asarray(Image.open(p).convert("RGB")) for p in files]).astype(np.float32)
    x = torch.from_numpy(((pixels / np.float32(255)) - MEAN) / STD).permute(0, 3, 1, 2).contiguous()
    for model_path, features_path in zip(pairs[::2], pairs[1::2], strict=True):
        expected, ours = features_of(model_path, arch, stem, x), np.load(features_path)
        if ours.shape != expected.shape:
            sys.exit(f"shape {ours.shape}, PyTorch gives {expected.shape}")
        error = np.linalg.norm(ours - expected) / np.linalg.norm(expected)
        print(
            f"{len(files)} images, {Path(model_path).name}, {Path(features_path).name}: relative difference {error:.2e}"
        )
        if not error <= 1e-4:
            sys.exit("features differ from PyTorch's by more than 1e-4")


main()
