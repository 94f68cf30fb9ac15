"""save: the model of the published linear evaluation inside DataParallel (AT-published.pth) and torchvision's ResNet
(AT-torchvision.pth), both with random weights and statistics.

compare: the logits of MODEL in PyTorch (strict=True) with those that dcl-predict wrote (AT.npy), with those of ONNX
Runtime (AT.onnx), and of the same model under torchvision's names (AT-tv.pth). Started by peer_classifier.sh.

usage: peer_classifier.py save AT ARCH STEM | compare AT ARCH STEM MODEL IMAGES_DIR"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import torch.nn as nn
import torchvision
from PIL import Image
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "reference"))
from published_model import Model  # noqa: E402

CLASSES = 7  # of the models that are saved; ours have 2
NORMALIZATIONS = {
    "published.pth": ([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]),
    "torchvision.pth": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    "ours.safetensors": ([0.5] * 3, [0.5] * 3),
}


class Net(nn.Module):
    """The published linear evaluation's model."""

    def __init__(self, arch, stem, classes):
        super().__init__()
        model = Model(arch, stem)
        self.f = model.f
        self.fc = nn.Linear(model.g[0].in_features, classes)

    def forward(self, x):
        return self.fc(torch.flatten(self.f(x), start_dim=1))


def torchvision_net(arch, stem, classes):
    net = getattr(torchvision.models, arch)(weights=None, num_classes=classes)
    if stem == "cifar":
        net.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
        net.maxpool = nn.Identity()
    return net


def save(at, arch, stem):
    torch.manual_seed(5)
    for name, net in (("published", Net(arch, stem, CLASSES)), ("torchvision", torchvision_net(arch, stem, CLASSES))):
        net.train()
        with torch.no_grad():
            for _ in range(3):
                net(torch.randn(8, 3, 32, 32) * 1.5)
        saved = nn.DataParallel(net) if name == "published" else net
        torch.save(saved.state_dict(), f"{at}-{name}.pth")


def logits_of(net, state, x):
    net.load_state_dict(state, strict=True)
    net.eval()
    with torch.no_grad():
        return net(x).numpy()


def compare(at, arch, stem, path, images):
    files = sorted(p for p in Path(images).rglob("*.png"))
    pixels = np.stack([np.asarray(Image.open(p).convert("RGB")) for p in files]).astype(np.float32) / np.float32(255)
    mean, std = (np.array(values, np.float32) for values in NORMALIZATIONS[path.rpartition("-")[2]])
    x = torch.from_numpy((pixels - mean) / std).permute(0, 3, 1, 2).contiguous()
    of_torch = path.endswith(".pth")
    state = torch.load(path, map_location="cpu", weights_only=True) if of_torch else load_file(path)
    state = {name.removeprefix("module."): value for name, value in state.items()}
    classes = state["fc.bias"].numel()
    net = (torchvision_net if "conv1.weight" in state else Net)(arch, stem, classes)
    expected = logits_of(net, state, x)
    session = onnxruntime.InferenceSession(f"{at}.onnx", providers=["CPUExecutionProvider"])
    results = {
        "dcl-predict": np.load(f"{at}.npy"),
        "ONNX Runtime": session.run(["logits"], {"images": np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))})[0],
        "torchvision's names": logits_of(
            torchvision_net(arch, stem, classes), torch.load(f"{at}-tv.pth", weights_only=True), x
        ),
    }
    for who, got in results.items():
        if got.shape != expected.shape:
            sys.exit(f"{who}: shape {got.shape}, expected {expected.shape}")
        error = np.linalg.norm(got - expected) / np.linalg.norm(expected)
        print(f"{Path(path).name}, {who}: relative difference {error:.2e}")
        if not error <= 1e-4:
            sys.exit(f"the logits of {who} differ by more than 1e-4")


{"save": save, "compare": compare}[sys.argv[1]](*sys.argv[2:])
