"""The network of $DCL_BENCH_NETWORK in torchvision, such as resnet18/imagenet; else ResNet-50 with the CIFAR stem."""

import os

NAME = os.environ.get("DCL_BENCH_NETWORK") or "resnet50/cifar"


def resnet():
    """The encoder, with random weights, and the width of its features."""
    import torch
    import torchvision

    torch.manual_seed(0)
    arch, _, stem = NAME.partition("/")
    net = getattr(torchvision.models, arch)()
    width = net.fc.in_features
    if stem != "imagenet":
        net.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        net.maxpool = torch.nn.Identity()
    net.fc = torch.nn.Identity()
    return net, width
