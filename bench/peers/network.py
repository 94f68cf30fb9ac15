"""A network's training step and embedding, usually ResNet-50's: ours and the peers in turn, one table of ratios.

usage: network.py [BUILD_DIR] [--only step|embed] [--dtype f32,bf16] [--peers eager,compile,ort,openvino]
                  [--network resnet18/imagenet] [--step 8x224] [--embed 1x224,16x224]      (images x pixels)
(default: build, everything; needs torch and torchvision, and onnxruntime, onnx, openvino for their rows.)
Each program runs alone, with two threads; a peer that is not installed is left out with a notice.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent


def ours(build, pattern):
    """One benchmark of network_bench: seconds of its best run, seconds of the convolution floor, peak MiB."""
    command = [f"{build}/bench/network_bench", f"--benchmark_filter={pattern}", "--benchmark_format=json"]
    run = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["benchmarks"][0]
    return run["best_s"], run["floor_s"], run.get("peak_MiB")


def peer(script, *options):
    run = subprocess.run([sys.executable, str(HERE / script), *options], capture_output=True, text=True)
    if run.returncode != 0:
        print(f"  left out: {script} {' '.join(options)}: {run.stderr.strip().splitlines()[-1:]}")
        return None
    return json.loads(run.stdout.strip().splitlines()[-1])


def images(text):
    return [tuple(map(int, pair.split("x"))) for pair in text.split(",")]


def show(name, seconds, mine, note=""):
    print(f"  {name:<22} {seconds:8.4f} s   ours is {seconds / mine:5.2f}x as fast {note}", flush=True)


def compare_step(build, dtype, batch, size, peers):
    mine, floor, peak = ours(build, f"training_step/{dtype}/{batch}/{size}/")
    print(
        f"training step, {2 * batch} views of {size}x{size}, {dtype}: {mine:.4f} s, {mine / floor:.3f}x the convolution floor "
        f"({floor:.4f} s), peak {peak:.0f} MiB",
        flush=True,
    )
    for mode in ("eager", "compile"):
        if mode in peers and (
            run := peer("train_step.py", "--dtype", dtype, "--mode", mode, "--batch", str(batch), "--size", str(size))
        ):
            show("PyTorch " + mode, run["seconds"], mine, f"(peak {run['peak_mib']} MiB)")


def compare_embed(build, dtype, batch, size, peers):
    mine, floor, _ = ours(build, f"embed/{dtype}/{batch}/{size}/")
    print(
        f"embedding, {batch} images of {size}x{size}, {dtype}: {batch / mine:.1f} images/s, "
        f"{100 * floor / mine:.1f} % of the convolution floor",
        flush=True,
    )
    for name in ("eager", "compile", "ort", "openvino"):
        if name not in peers or (name == "ort" and dtype == "bf16"):
            continue
        flag = "torch" if name == "eager" else name
        if run := peer("embed.py", "--peer", flag, "--dtype", dtype, "--batch", str(batch), "--size", str(size)):
            show(name, batch / run["images_per_second"], mine, f"(first embedding after {run['seconds_to_first']} s)")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", nargs="?", default="build")
    parser.add_argument("--only", choices=["step", "embed"])
    parser.add_argument("--dtype", default="f32,bf16")
    parser.add_argument("--peers", default="eager,compile,ort,openvino")
    parser.add_argument("--network", default="resnet50/cifar")
    parser.add_argument("--step", default="32x32")
    parser.add_argument("--embed", default="32x32,1x32,8x96,1x96")
    args = parser.parse_args()
    os.environ.update(DCL_BENCH_NETWORK=args.network, DCL_BENCH_STEP=args.step, DCL_BENCH_EMBED=args.embed)
    for dtype in args.dtype.split(","):
        if args.only != "embed":
            for batch, size in images(args.step):
                compare_step(args.build, dtype, batch, size, args.peers.split(","))
        if args.only != "step":
            for batch, size in images(args.embed):
                compare_embed(args.build, dtype, batch, size, args.peers.split(","))


if __name__ == "__main__":
    main()
