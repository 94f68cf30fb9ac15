"""Sources of augmented views for gpu_train_step.py: torchvision in processes, and the same transforms on the GPU.

Both draw 32x32 views of 96x96 images as the published code: crop, flip, colour jitter, gray, 3x3 blur, normalise. On the
GPU every image has parameters of its own; resampling is bilinear without antialiasing and the order of the jitter's parts
is the same for a batch, which is less work than the exact transforms.
"""

import os

import torch
import torch.nn.functional as F

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
EXTENT, VIEW = 96, 32


class Views(torch.utils.data.IterableDataset):
    """Batches of two views of the same images, endless; the work is torchvision's and Pillow's."""

    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def __iter__(self):
        from augment import make_images, published_transform

        torch.set_num_threads(1)
        images, transform = make_images(self.batch, EXTENT), published_transform()
        while True:
            yield torch.stack([transform(image) for _ in range(2) for image in images])


def torchvision_batches(batch, device):
    """Batches of views, and how many of them are made ahead."""
    workers, ahead = len(os.sched_getaffinity(0)), 2
    loader = torch.utils.data.DataLoader(
        Views(batch), batch_size=None, num_workers=workers, pin_memory=device.type == "cuda", prefetch_factor=ahead
    )
    return (views.to(device, non_blocking=True) for views in loader), workers * ahead


def uniform(count, low, high, device):
    return torch.empty(count, 1, 1, 1, device=device).uniform_(low, high)


def crop_and_flip(images):
    n, device = images.shape[0], images.device
    area, ratio = uniform(n, 0.08, 1, device), torch.exp(uniform(n, -0.2877, 0.2877, device))
    width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    x = (torch.rand_like(width) * 2 - 1) * (1 - width)
    y = (torch.rand_like(height) * 2 - 1) * (1 - height)
    flip = torch.where(torch.rand_like(width) < 0.5, -1.0, 1.0)
    zero = torch.zeros_like(x)
    theta = torch.stack([torch.cat([width * flip, zero, x], 3), torch.cat([zero, height, y], 3)], 3).view(n, 2, 3)
    grid = F.affine_grid(theta, (n, 3, VIEW, VIEW), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def gray(x):
    return (x * torch.tensor([0.299, 0.587, 0.114], device=x.device).view(1, 3, 1, 1)).sum(1, keepdim=True)


def shift_hue(x, shift):
    """A rotation of the chroma plane, as the linear colour operators of GPU pipelines have it."""
    y = gray(x)
    u, v = x[:, 2:3] - y, x[:, 0:1] - y
    cosine, sine = torch.cos(2 * torch.pi * shift), torch.sin(2 * torch.pi * shift)
    red, blue = sine * u + cosine * v, cosine * u - sine * v
    green = -(0.299 * red + 0.114 * blue) / 0.587
    return y + torch.cat([red, green, blue], 1)


def jitter(x):
    n, device = x.shape[0], x.device
    y = x * uniform(n, 0.6, 1.4, device)
    mean = gray(y).mean((2, 3), keepdim=True)
    y = (mean + (y - mean) * uniform(n, 0.6, 1.4, device)).clamp(0, 1)
    y = (gray(y) + (y - gray(y)) * uniform(n, 0.6, 1.4, device)).clamp(0, 1)
    y = shift_hue(y, uniform(n, -0.1, 0.1, device)).clamp(0, 1)
    y = torch.where(uniform(n, 0, 1, device) < 0.8, y, x)
    return torch.where(uniform(n, 0, 1, device) < 0.2, gray(y).expand_as(y), y)


def blur(x):
    n, device = x.shape[0], x.device
    side = torch.exp(-0.5 / uniform(n, 0.1, 2, device) ** 2)
    padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
    rows = (padded[:, :, :-2] + padded[:, :, 2:]) * side + padded[:, :, 1:-1]
    y = ((rows[..., :-2] + rows[..., 2:]) * side + rows[..., 1:-1]) / (1 + 2 * side) ** 2
    return torch.where(uniform(n, 0, 1, device) < 0.5, y, x)


def augment(images):
    mean, std = (torch.tensor(v, device=images.device).view(1, 3, 1, 1) for v in (MEAN, STD))
    return (blur(jitter(crop_and_flip(images.float() / 255))) - mean) / std


def augment_on_device(batch, device, compiled):
    images = torch.randint(0, 256, (2 * batch, 3, EXTENT, EXTENT), dtype=torch.uint8, device=device)
    transform = torch.compile(augment) if compiled and device.type == "cuda" else augment
    while True:
        yield transform(images)
