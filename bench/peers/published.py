"""The debiased objective of the published code, with the published tau+ and temperature, in PyTorch."""

import torch

TEMPERATURE, TAU_PLUS = 0.5, 0.1


def same_images(batch, device=None):
    """bool [2B, 2B]: pairs of views of one image, which are no negatives."""
    return torch.eye(batch, dtype=torch.bool, device=device).repeat(2, 2)


def exponentials(rows, columns):
    """exp(similarity / temperature) of every pair."""
    return torch.exp(rows @ columns.t() / TEMPERATURE)


def loss_of(a, b, neg):
    """neg: of every anchor, the sum of exponentials over its negatives."""
    pos = torch.exp((a * b).sum(-1) / TEMPERATURE).repeat(2)
    count = 2 * a.shape[0] - 2
    estimate = (-TAU_PLUS * count * pos + neg) / (1 - TAU_PLUS)
    estimate = torch.clamp(estimate, min=count * torch.e ** (-1 / TEMPERATURE))
    return (-torch.log(pos / (pos + estimate))).mean()


def debiased_loss(a, b, same):
    """As published: negatives are selected."""
    out = torch.cat([a, b])
    return loss_of(a, b, exponentials(out, out).masked_select(~same).view(out.shape[0], -1).sum(-1))


def fixed_shape_loss(a, b, same):
    """Negatives are masked instead, which a graph can hold."""
    out = torch.cat([a, b])
    return loss_of(a, b, exponentials(out, out).masked_fill(same, 0).sum(-1))
