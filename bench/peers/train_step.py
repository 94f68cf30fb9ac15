"""Seconds of a debiased training step in PyTorch: what bench/network_bench is compared with.

The network of $DCL_BENCH_NETWORK (resnet.py) with its head, two views of each image, debiased loss, Adam; channels_last.
Usage: train_step.py [--dtype f32|bf16] [--mode eager|compile] [--batch 32] [--size 32] [--threads 2] [--steps 5]
Prints one JSON object: seconds of the fastest step, first step (compilation included), peak resident MiB.
"""

import argparse
import json
import resource
import time

import torch
import torch.nn.functional as F

from published import debiased_loss, same_images
from resnet import resnet

LEAST_SECONDS = 6  # of steps, as network_bench


class Encoder(torch.nn.Module):
    def __init__(self, feature_dim=128):
        super().__init__()
        self.f, width = resnet()
        self.g = torch.nn.Sequential(
            torch.nn.Linear(width, 512, bias=False),
            torch.nn.BatchNorm1d(512),
            torch.nn.ReLU(inplace=True),
            torch.nn.Linear(512, feature_dim),
        )

    def forward(self, x):
        return F.normalize(self.g(torch.flatten(self.f(x), 1)), dim=-1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--mode", choices=["eager", "compile"], default="eager")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = Encoder().to(memory_format=torch.channels_last).train()
    run = torch.compile(model) if args.mode == "compile" else model
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-6)
    views = [torch.rand(args.batch, 3, args.size, args.size).to(memory_format=torch.channels_last) for _ in range(2)]

    seconds = []
    while len(seconds) <= args.steps or sum(seconds[1:]) < LEAST_SECONDS:
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.dtype == "bf16"):
            a, b = run(views[0]), run(views[1])
        loss = debiased_loss(a.float(), b.float(), same_images(a.shape[0]))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    print(
        json.dumps(
            {
                "peer": "PyTorch " + torch.__version__,
                "mode": args.mode,
                "dtype": args.dtype,
                "views": 2 * args.batch,
                "seconds": round(min(seconds[1:]), 4),
                "first_step_seconds": round(seconds[0], 2),
                "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            }
        )
    )


if __name__ == "__main__":
    main()
