"""Contrastive objective, forward and backward: the published formulation in PyTorch beside ours, in turn.

usage: objective.py [BUILD_DIR] [--batch 256,1024,4096] [--compile]    (default: build; needs torch and numpy)
The mask of negatives is made once, outside the timing (the published code makes it in every step). --compile takes the
faster of eager and torch.compile. Prints one line per batch: times, ratio, and peak memory beyond the embeddings.
"""

import argparse
import json
import subprocess
import time

import torch

from published import debiased_loss, same_images

DIM, ROUNDS = 128, 3


def process_memory(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(key + ":"))


class Peer:
    def __init__(self, batch, loss):
        torch.manual_seed(0)
        self.batch, self.loss = batch, loss
        self.views = [torch.nn.functional.normalize(torch.randn(batch, DIM)).requires_grad_() for _ in range(2)]
        self.same = same_images(batch)

    def step(self):
        for view in self.views:
            view.grad = None
        self.loss(*self.views, self.same).backward()

    def seconds(self):
        self.step()
        repeats = max(1, int(0.5 * 4096**2 / self.batch**2 / 4))
        start = time.perf_counter()
        for _ in range(min(repeats, 100)):
            self.step()
        return (time.perf_counter() - start) / min(repeats, 100)

    def beyond(self):
        """MiB above what the process holds with the embeddings and the mask in place."""
        with open("/proc/self/clear_refs", "w") as refs:
            refs.write("5")
        before = process_memory("VmRSS")
        self.step()
        return process_memory("VmHWM") - before


def ours(build, batch):
    command = [
        f"{build}/apps/dcl-bench",
        "--ops",
        "objective",
        "--device",
        "eigen",
        "--batch_size",
        str(batch),
        "--feature_dim",
        str(DIM),
        "--repeats",
        "3",
        "--format",
        "jsonl",
    ]
    run = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return run["median_ms"] / 1e3, run["mebibytes"]


def measure(build, batch, loss):
    peer = Peer(batch, loss)
    rounds = []
    for _ in range(ROUNDS):
        rounds.append((peer.seconds(), *ours(build, batch)))
    theirs, our_time, our_memory = (sorted(figures)[ROUNDS // 2] for figures in zip(*rounds))
    print(
        f"B={batch} D={DIM}: PyTorch {theirs * 1e3:.2f} ms, {peer.beyond():.0f} MiB; "
        f"dcl {our_time * 1e3:.2f} ms, {our_memory:.1f} MiB; ratio {theirs / our_time:.1f}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?", default="build")
    parser.add_argument("--batch", default="256,1024,4096")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    for batch in map(int, options.batch.split(",")):
        loss = debiased_loss
        if options.compile:
            compiled = torch.compile(debiased_loss)
            loss = min((debiased_loss, compiled), key=lambda f: Peer(batch, f).seconds())
        measure(options.build, batch, loss)


if __name__ == "__main__":
    main()
