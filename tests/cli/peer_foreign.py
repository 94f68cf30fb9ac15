"""Saves the published model with random weights and running statistics as others save it: plain.pth, inside DataParallel in
both formats of PyTorch, in a training checkpoint, and the encoder under torchvision's names.

usage: peer_foreign.py FOLDER ARCH STEM"""

import sys
from collections import OrderedDict
from pathlib import Path

import torch
import torch.nn as nn
import torchvision

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "reference"))
from published_model import Model  # noqa: E402


def torchvision_state(model, arch, stem):
    net = getattr(torchvision.models, arch)(weights=None)
    if stem == "cifar":
        net.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
        net.maxpool = nn.Identity()
    modules = [module for name, module in net.named_children() if name != "fc" and not isinstance(module, nn.Identity)]
    for module, trained in zip(modules, model.f, strict=True):
        module.load_state_dict(trained.state_dict(), strict=True)
    return net.state_dict()


def main():
    folder, arch, stem = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    torch.manual_seed(11)
    model = Model(arch, stem)
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(8, 3, 32, 32) * 1.5)
    wrapped = nn.DataParallel(model).state_dict()
    torch.save(model.state_dict(), folder / "plain.pth")
    torch.save(wrapped, folder / "zip.pth")
    torch.save(wrapped, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(
        {"epoch": 3, "state_dict": wrapped, "optimizer": torch.optim.Adam(model.parameters()).state_dict()},
        folder / "checkpoint.pth",
    )
    torch.save(OrderedDict(torchvision_state(model, arch, stem)), folder / "torchvision.pth")


main()
