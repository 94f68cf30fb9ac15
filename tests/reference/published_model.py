"""The published model class, on torchvision's ResNets: encoder f, projection head g (docs/architecture.md, Method)."""

import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision


class Model(nn.Module):
    def __init__(self, arch="resnet50", stem="cifar", feature_dim=128):
        super().__init__()
        children = []
        width = 0
        for name, module in getattr(torchvision.models, arch)(weights=None).named_children():
            if isinstance(module, nn.Linear):
                width = module.in_features
                continue
            if stem == "cifar" and name == "conv1":
                module = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
            if stem == "cifar" and isinstance(module, nn.MaxPool2d):
                continue
            children.append(module)
        self.f = nn.Sequential(*children)
        self.g = nn.Sequential(
            nn.Linear(width, 512, bias=False),
            nn.BatchNorm1d(512),
            nn.ReLU(inplace=True),
            nn.Linear(512, feature_dim, bias=True),
        )

    def forward(self, x):
        feature = torch.flatten(self.f(x), start_dim=1)
        return F.normalize(feature, dim=-1), F.normalize(self.g(feature), dim=-1)
