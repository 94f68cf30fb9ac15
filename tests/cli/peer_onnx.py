"""Checks an exported model with the onnx package and compares what ONNX Runtime computes with it, in batches of 1 and 5,
with the features that dcl-embed wrote and with PyTorch's embeddings. Started by peer_onnx.sh.

usage: peer_onnx.py MODEL.safetensors MODEL.onnx FEATURES.npy IMAGES_DIR ARCH STEM"""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from PIL import Image
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "reference"))
from published_model import Model  # noqa: E402

LIMIT = 1e-4
MEAN = torch.tensor([0.4914, 0.4822, 0.4465]).reshape(1, 3, 1, 1)
STD = torch.tensor([0.2023, 0.1994, 0.2010]).reshape(1, 3, 1, 1)


def compare(what, ours, expected):
    if ours.shape != expected.shape:
        sys.exit(f"{what}: shape {ours.shape}, expected {expected.shape}")
    error = np.linalg.norm(ours - expected) / np.linalg.norm(expected)
    print(f"{what}: relative difference {error:.2e}")
    if not error <= LIMIT:
        sys.exit(f"{what} differs by more than {LIMIT}")


def main():
    checkpoint, path, features_path, images, arch, stem = sys.argv[1:]
    onnx.checker.check_model(path, full_check=True)
    model = onnx.load(path)
    said = {p.key: p.value for p in model.metadata_props}
    if (said["dcl.arch"], said["dcl.stem"]) != (arch, stem):
        sys.exit(f"the model says of itself {said}")

    files = sorted(p for p in Path(images).rglob("*.png"))
    pixels = np.stack([np.asarray(Image.open(p).convert("RGB")) for p in files]).astype(np.float32) / np.float32(255)
    pixels = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    torch_model = Model(arch, stem)
    torch_model.load_state_dict(load_file(checkpoint), strict=True)
    torch_model.eval()
    with torch.no_grad():
        x = (torch.from_numpy(pixels) - MEAN) / STD
        raw = torch.flatten(torch_model.f(x), start_dim=1).numpy()
        embeddings = torch_model(x)[1].numpy()

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    for batch in (1, 5):
        parts = [session.run(names, {"images": pixels[i : i + batch]}) for i in range(0, len(pixels), batch)]
        got = {name: np.concatenate([part[k] for part in parts]) for k, name in enumerate(names)}
        where = f"{arch} {stem} {pixels.shape[2]}x{pixels.shape[3]}, batch {batch}"
        compare(f"{where}, dcl-embed", got["normalized_features"], np.load(features_path))
        compare(f"{where}, PyTorch's features", got["features"], raw)
        compare(f"{where}, PyTorch's embeddings", got["embeddings"], embeddings)


main()
