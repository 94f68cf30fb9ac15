"""Takes the step of peer_step.sh in PyTorch, in double, with the objectives as the published code writes them, and compares
loss, gradients and running statistics. How far PyTorch's own float is from its double says how far ours may be; gradients
may be off by a hundredth besides, since a ReLU whose input rounds to the other side of 0 changes all before it by
thousandths.

usage: peer_step.py ARCH STEM OBJECTIVE POSITIVES IMAGES_DIR RUN_DIR"""

import csv
import math
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
TEMPERATURE, TAU_PLUS, BETA = 0.5, 0.1, 2.0


def supervised_loss(anchors, labels):
    """Khosla et al. 2020, eq. 2, as its published code writes it, at its base_temperature = temperature."""
    logits = anchors @ anchors.t() / TEMPERATURE
    others = ~torch.eye(len(anchors), dtype=torch.bool)
    positives = (labels[:, None] == labels[None]).repeat(2, 2) & others
    log_probabilities = logits - torch.logsumexp(logits.masked_fill(~others, -math.inf), 1, keepdim=True)
    return -(torch.where(positives, log_probabilities, 0.0).sum(1) / positives.sum(1)).mean()


def loss_of(objective, positives, views, labels):
    """views: one [batch, dim] of unit rows a view; those beyond two are more positives of the debiasing term."""
    first = torch.cat(views[:2])
    if objective == "supcon":
        return supervised_loss(first, labels)
    batch = len(labels)
    similarities = torch.exp(first @ first.t() / TEMPERATURE)
    mask = ~torch.eye(batch, dtype=torch.bool).repeat(2, 2)
    negatives = similarities[mask].view(2 * batch, -1)
    count = 2 * batch - 2
    positive = torch.exp((views[0] * views[1]).sum(-1) / TEMPERATURE).repeat(2)
    if objective == "unbiased":
        true = mask & (labels[:, None] != labels[None]).repeat(2, 2)
        negative = torch.where(true, similarities, 0.0).sum(1) * count / true.sum(1)
    elif objective in ("biased", "decoupled"):
        negative = negatives.sum(1)
    else:
        weights = negatives**BETA if objective == "hard" else torch.ones_like(negatives)
        weighted = (weights * negatives).sum(1) / weights.mean(1)
        others = [torch.exp((first * view.repeat(2, 1)).sum(-1) / TEMPERATURE) for view in views[2:]]
        mean_positive = sum(others, positive) / positives
        negative = torch.clamp(
            (weighted - TAU_PLUS * count * mean_positive) / (1 - TAU_PLUS), min=count * math.exp(-1 / TEMPERATURE)
        )
    if objective == "decoupled":
        return -torch.log(positive / negative).mean()
    return -torch.log(positive / (positive + negative)).mean()


def step(dtype, state, arch, stem, objective, positives, pixels, labels):
    model = Model(arch, stem, feature_dim=32)
    start = {
        k: (
            torch.ones_like(v)
            if "running_var" in k
            else torch.zeros_like(v) if "running_mean" in k or "num_batches" in k else v
        )
        for k, v in state.items()
    }
    model.load_state_dict(start, strict=True)
    model.to(dtype).train()
    views = [model(pixels.to(dtype))[1] for _ in range(positives + 1)]
    loss = loss_of(objective, positives, views, labels)
    loss.backward()
    return (
        loss.detach().double(),
        {k: p.grad.double() for k, p in model.named_parameters()},
        {k: b.double() for k, b in model.named_buffers()},
    )


def difference(got, expected):
    def length(values):
        return math.sqrt(sum(v.square().sum().item() for v in values))

    return length(got[k].double() - v for k, v in expected.items()) / length(expected.values())


def main():
    arch, stem, objective, positives, images, run = sys.argv[1:]
    files = sorted(Path(images).rglob("*.png"))
    labels = torch.tensor([ord(p.parent.name) - ord("a") for p in files])
    pixels = np.stack([np.asarray(Image.open(p).convert("RGB")) for p in files]).astype(np.float32)
    pixels = torch.from_numpy((pixels / np.float32(255) - MEAN) / STD).permute(0, 3, 1, 2).contiguous()
    state = load_file(f"{run}/checkpoints/latest")
    optimizer = load_file(f"{run}/checkpoints/step-00000001.state.safetensors")
    given = (state, arch, stem, objective, int(positives), pixels, labels)
    expected, of_float = step(torch.float64, *given), step(torch.float32, *given)
    row = next(csv.DictReader(open(f"{run}/metrics.csv")))
    gradients = {k: optimizer["optim.momentum_buffer." + k] for k in expected[1]}
    ours = ({"": torch.tensor(float(row["loss"]), dtype=torch.float64)}, gradients, state)
    wrong = []
    for what, least, mine, theirs, true in zip(
        ("loss", "gradients", "running statistics"),
        (1e-5, 1e-2, 1e-5),
        ours,
        ({"": of_float[0]}, *of_float[1:]),
        ({"": expected[0]}, *expected[1:]),
        strict=True,
    ):
        error, allowed = difference(mine, true), 4 * difference(theirs, true) + least
        print(f"{arch}, {stem} stem, {objective}: {what}: relative difference {error:.1e}, allowed {allowed:.1e}")
        wrong += [what] if not error <= allowed else []
    if wrong:
        sys.exit(f"differ from PyTorch's: {', '.join(wrong)}")


main()
