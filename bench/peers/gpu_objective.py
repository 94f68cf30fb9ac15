"""Debiased objective, forward and backward, on a GPU: the published formulation, one in chunks of rows whose exponentials
are computed again in the backward pass, each eager and compiled, and ours (objective_bench) in turn.

usage: gpu_objective.py [BUILD_DIR] [--batch 256,1024,4096,16384,32768] [--device cuda]
Prints one JSON object per batch and formulation: median milliseconds (as a CUDA graph where it can be recorded), MiB
beyond the embeddings.
"""

import argparse
import json
import os
import statistics
import subprocess
import time

import torch
from torch.utils.checkpoint import checkpoint

from published import exponentials, fixed_shape_loss, loss_of, same_images

DIM, CHUNK = 128, 1024


def published(a, b):
    return fixed_shape_loss(a, b, same_images(a.shape[0], a.device))


def row_sums(rows, out, first):
    """Sums of exp(similarity / temperature) over the negatives of some rows."""
    all_pairs = exponentials(rows, out)
    anchors, half = torch.arange(first, first + rows.shape[0], device=out.device), out.shape[0] // 2
    itself = all_pairs.gather(1, anchors[:, None])
    pair = all_pairs.gather(1, ((anchors + half) % (2 * half))[:, None])
    return (all_pairs.sum(-1, keepdim=True) - itself - pair).squeeze(1)


def chunked(a, b):
    out = torch.cat([a, b])
    sums = [
        checkpoint(row_sums, out[i : i + CHUNK], out, i, use_reentrant=False, preserve_rng_state=False)
        for i in range(0, out.shape[0], CHUNK)
    ]
    return loss_of(a, b, torch.cat(sums))


TOGETHER = 16  # runs that a GPU is waited for after, as objective_bench does
ENOUGH = 1.5  # seconds to measure for, where one run takes long


def repeats_of(seconds, wanted):
    """As many runs as fit, three at least."""
    return max(3, min(wanted, int(ENOUGH / seconds)))


def replay_seconds(run, repeats, seconds):
    """Of one run, recorded as a CUDA graph; seconds: about what it takes."""
    together = repeats_of(seconds, TOGETHER)
    torch.cuda.empty_cache()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    times = []
    for _ in range(repeats + 1):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(together):
            graph.replay()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - start) / together)
    return statistics.median(times[1:])


def peer(loss, batch, device, repeats):
    torch.manual_seed(0)
    a, b = (torch.nn.functional.normalize(torch.randn(batch, DIM, device=device)).requires_grad_() for _ in range(2))
    cuda = device.type == "cuda"
    times, before = [], 0

    def run():
        a.grad = b.grad = None
        loss(a, b).backward()

    first = 2 if cuda else 1  # runs that are not counted
    while len(times) < repeats + first:
        if cuda:
            a.grad = b.grad = None
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
        start = time.perf_counter()
        run()
        if cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
        if len(times) == first:
            repeats = repeats_of(times[-1], repeats)
    times = times[first:]
    figures = {"milliseconds": round(1e3 * statistics.median(times), 4), "mode": "eager"}
    if cuda:
        figures["beyond_mib"] = round((torch.cuda.max_memory_allocated() - before) / 2**20, 1)
    figures["loss"] = round(loss(a, b).item(), 6)
    if cuda:
        try:
            seconds = replay_seconds(run, max(1, repeats // 4), statistics.median(times))
            figures |= {
                "eager_milliseconds": figures["milliseconds"],
                "milliseconds": round(1e3 * seconds, 4),
                "mode": "graph",
            }
        except RuntimeError as error:  # what cannot be recorded is as fast as it is
            figures["not_recorded"] = str(error).strip().splitlines()[0][:120]
    return figures


def ours(build, batch, device):
    command = [
        f"{build}/bench/objective_bench",
        f"--benchmark_filter=^objective/debiased/{batch}/{DIM}/",
        "--benchmark_min_time=0.2",
        "--benchmark_format=json",
    ]
    environment = {**os.environ, "DCL_BENCH_DEVICE": "cuda" if device.type == "cuda" else "eigen"}
    if libraries := os.environ.get("DCL_LIBRARY_PATH"):  # of tools/gpu-check
        environment["LD_LIBRARY_PATH"] = libraries
    run = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)
    figures = run["benchmarks"][0]
    return {"milliseconds": round(figures["real_time"], 4), "beyond_mib": round(figures["beyond_MiB"], 2)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?", default="build")
    parser.add_argument("--batch", default="256,1024,4096,16384,32768")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--repeats", type=int, default=20, help="at most, of each")
    parser.add_argument("--only", help="formulations, with commas between them; all by default")
    args = parser.parse_args()
    device = torch.device(args.device)
    formulations = {"published": published, "chunked": chunked}
    if device.type == "cuda":
        formulations |= {
            "chunked tf32": chunked,
            "published compiled": torch.compile(published),
            "chunked compiled": torch.compile(chunked),
        }
    if args.only:
        formulations = {name: formulations[name] for name in args.only.split(",")}
    for batch in map(int, args.batch.split(",")):
        runs = {name: lambda f=f: peer(f, batch, device, args.repeats) for name, f in formulations.items()}
        runs["dcl"] = lambda: ours(args.build, batch, device)
        for name, run in runs.items():
            # Products of factors of eleven bits: less exact than ours, which are of f32.
            torch.backends.cuda.matmul.allow_tf32 = name.endswith("tf32")
            try:
                figures = run()
            except (RuntimeError, subprocess.CalledProcessError, OSError) as error:
                figures = {"error": (str(error).strip().splitlines() or ["failed"])[0]}
                if device.type == "cuda":
                    torch.cuda.empty_cache()
            print(json.dumps({"objective": name, "batch": batch, **figures}), flush=True)


if __name__ == "__main__":
    main()
