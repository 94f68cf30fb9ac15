"""Seconds of a debiased training step in PyTorch on a GPU, at its best: what bench/network_bench is compared with there.

ResNet-50 with the CIFAR stem, head 2048-512-128, debiased loss, fused Adam, channels_last; batch norm per view as in the
published code, either by two forward passes or by one pass over both views with batch norm on each half.
usage: gpu_train_step.py [--dtype bf16,fp16,tf32,f32] [--mode eager,graph,compile] [--forwards two,one]
                         [--augment none,torchvision,gpu] [--batch 256] [--steps 30] [--arch resnet50] [--device cuda]
Every combination runs in a process of its own and prints one JSON object: median seconds of a step (and views per
second), seconds until the first step is done, peak MiB of the GPU. A combination that fails prints its error instead.
eager: as it comes; graph: the whole step as one CUDA graph; compile: torch.compile with max-autotune, see compiled().
fp16 scales the loss by a constant. torchvision: its transforms in one process per core; gpu: on the GPU, compiled.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
import torchvision

from gpu_augment import augment_on_device, torchvision_batches
from published import fixed_shape_loss, same_images

LOSS_SCALE = 1024.0
WARM_UP = 5  # steps


class PerViewBatchNorm(torch.nn.BatchNorm2d):
    """Normalises the two halves of the batch each by itself, first half first."""

    def forward(self, x):
        return torch.cat([super(PerViewBatchNorm, self).forward(half) for half in x.chunk(2)])


class PerViewBatchNorm1d(torch.nn.BatchNorm1d):
    def forward(self, x):
        return torch.cat([super(PerViewBatchNorm1d, self).forward(half) for half in x.chunk(2)])


class Encoder(torch.nn.Module):
    def __init__(self, arch, one_forward):
        super().__init__()
        norm = PerViewBatchNorm if one_forward else torch.nn.BatchNorm2d
        norm_1d = PerViewBatchNorm1d if one_forward else torch.nn.BatchNorm1d
        net = getattr(torchvision.models, arch)(norm_layer=norm)
        net.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        net.maxpool = torch.nn.Identity()
        width = net.fc.in_features
        net.fc = torch.nn.Identity()
        self.f = net
        self.g = torch.nn.Sequential(
            torch.nn.Linear(width, 512, bias=False),
            norm_1d(512),
            torch.nn.ReLU(inplace=True),
            torch.nn.Linear(512, 128),
        )

    def forward(self, x):
        return F.normalize(self.g(torch.flatten(self.f(x), 1)).float(), dim=-1)


def compiled(function):
    """The mode max-autotune but for two of its searches, which did not end in minutes: Triton's convolutions and products, of
    which it tries hundreds (they took about twice cuDNN's time where it got to their end), and the coordinate descent, which
    compiles one variant of a kernel after the other."""
    return torch.compile(
        function,
        options={
            "max_autotune": True,
            "triton.cudagraphs": True,
            "coordinate_descent_tuning": False,
            "max_autotune_conv_backends": "ATEN",
            "max_autotune_gemm_backends": "ATEN",
        },
    )


class Step:
    """Static inputs, one call per step."""

    def __init__(self, args):
        torch.manual_seed(0)
        torch.backends.cudnn.benchmark = True
        tf32 = args.dtype == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        self.args, self.device = args, torch.device(args.device)
        self.half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(args.dtype)
        self.scale = LOSS_SCALE if args.dtype == "fp16" else 1.0
        self.one = args.forwards == "one"
        self.model = Encoder(args.arch, self.one).to(self.device, memory_format=torch.channels_last).train()
        cuda = self.device.type == "cuda"
        self.optimizer = torch.optim.Adam(
            self.model.parameters(),
            lr=torch.tensor(1e-3) if cuda else 1e-3,
            weight_decay=1e-6,
            fused=True,
            capturable=cuda,
        )
        views = torch.rand(2 * args.batch, 3, 32, 32, device=self.device)
        self.views = views.to(memory_format=torch.channels_last)
        self.same = same_images(args.batch, self.device)
        self.loss_of = compiled(self.forward) if args.mode == "compile" else self.forward
        self.graph = None

    def forward(self, views):
        # Without the cache of casts: a graph could not hold it.
        with torch.autocast(self.device.type, dtype=self.half, enabled=self.half is not None, cache_enabled=False):
            if self.one:
                a, b = self.model(views).chunk(2)
            else:
                a, b = (self.model(half) for half in views.chunk(2))
        return fixed_shape_loss(a, b, self.same) * self.scale

    def once(self):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss_of(self.views)
        loss.backward()
        if self.scale != 1:
            torch._foreach_mul_([p.grad for p in self.model.parameters()], 1 / self.scale)
        self.optimizer.step()

    def capture(self):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.once()
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.once()

    def run(self):
        if self.args.mode == "graph":
            if self.graph is None:
                self.capture()
            self.graph.replay()
        else:
            if self.args.mode == "compile" and self.device.type == "cuda":
                torch.compiler.cudagraph_mark_step_begin()
            self.once()


def batches(args, device):
    """Endless views [2 * batch, 3, 32, 32], or nothing new; and how many of them can lie ready."""
    if args.augment == "none":
        return itertools.repeat(None), 0
    if args.augment == "torchvision":
        return torchvision_batches(args.batch, device)
    return augment_on_device(args.batch, device, compiled=args.mode != "eager"), 0


def wait_for(file):
    """Says that it waits by a file beside it."""
    open(file + ".waits", "w").close()
    while not os.path.exists(file):
        time.sleep(0.1)


def measure(args):
    begin = time.perf_counter()
    step = Step(args)
    source, ready = batches(args, step.device)
    cuda = step.device.type == "cuda"
    seconds, first = [], None
    untimed = WARM_UP + ready  # what lies ready says nothing of how fast more is made
    for i in range(untimed + args.steps):
        if cuda:
            torch.cuda.synchronize()
        start = time.perf_counter()
        views = next(source)
        if views is not None:
            step.views.copy_(views, non_blocking=True)
        step.run()
        if cuda:
            torch.cuda.synchronize()
        first = first or time.perf_counter() - begin
        if i >= untimed:
            seconds.append(time.perf_counter() - start)
        if i == WARM_UP - 1 and args.hold:
            wait_for(args.hold)
    median = statistics.median(seconds)
    name = torch.cuda.get_device_name() if cuda else "CPU"
    print(
        json.dumps(
            {
                "peer": "PyTorch " + torch.__version__,
                "device": name,
                "dtype": args.dtype,
                "mode": args.mode,
                "forwards": args.forwards,
                "augment": args.augment,
                "views": 2 * args.batch,
                "seconds": round(median, 6),
                "views_per_second": round(2 * args.batch / median, 1),
                "first_step_seconds": round(first, 1),
                "peak_mib": torch.cuda.max_memory_allocated() >> 20 if cuda else None,
            }
        ),
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (
        ("dtype", "bf16,fp16"),
        ("mode", "graph,compile"),
        ("forwards", "two,one"),
        ("augment", "none"),
    ):
        parser.add_argument("--" + name, default=default)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--arch", default="resnet50")
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--hold",
        help="file to wait for between the first steps, which compile, and those that are timed;"
        " FILE.waits is there from then on",
    )
    parser.add_argument("--limit", type=float, default=240, help="seconds a combination may take")
    args = parser.parse_args()
    axes = ["dtype", "mode", "forwards", "augment"]
    combinations = list(itertools.product(*(getattr(args, axis).split(",") for axis in axes)))
    if len(combinations) == 1:
        return measure(args)
    for values in combinations:
        flags = [word for axis, value in zip(axes, values) for word in ("--" + axis, value)]
        same = ["--batch", str(args.batch), "--steps", str(args.steps), "--arch", args.arch, "--device", args.device]
        process = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), *flags, *same],
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            out, err = process.communicate(timeout=args.limit)
            lines = [line for line in out.splitlines() if line.startswith("{")]
            error = (err.strip().splitlines() or ["no output"])[-1]
        except subprocess.TimeoutExpired:
            lines, error = [], f"took longer than {args.limit:.0f} s"
            process.kill()
        print(lines[-1] if lines else json.dumps({**dict(zip(axes, values)), "error": error}), flush=True)


if __name__ == "__main__":
    main()
