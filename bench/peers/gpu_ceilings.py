"""What a GPU copies and multiplies, by PyTorch: the rates that floors are computed from.

usage: gpu_ceilings.py [--device cuda] [--mib 4096] [--extent 8192]
Prints one JSON object: bytes per second of a copy on the device (read and written), FLOP/s of a product of random matrices.
"""

import argparse
import json
import statistics
import time

import torch


def median_seconds(run, cuda, repeats=12, warm=3):
    seconds = []
    for i in range(repeats + warm):
        if cuda:
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            run()
            end.record()
            end.synchronize()
            passed = begin.elapsed_time(end) / 1e3
        else:
            start = time.perf_counter()
            run()
            passed = time.perf_counter() - start
        if i >= warm:
            seconds.append(passed)
    return statistics.median(seconds)


def product_rate(extent, dtype, tf32, device):
    torch.backends.cuda.matmul.allow_tf32 = tf32
    a, b = (torch.randn(extent, extent, device=device, dtype=dtype) for _ in range(2))
    c = torch.empty(extent, extent, device=device, dtype=dtype)
    return 2 * extent**3 / median_seconds(lambda: torch.matmul(a, b, out=c), device.type == "cuda")


def copy_rate(mib, device):
    source = torch.empty(mib << 20, dtype=torch.uint8, device=device).random_(0, 256)
    target = torch.empty_like(source)
    return 2 * source.numel() / median_seconds(lambda: target.copy_(source), device.type == "cuda")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--mib", type=int, default=4096)
    parser.add_argument("--extent", type=int, default=8192)
    args = parser.parse_args()
    device = torch.device(args.device)
    print(
        json.dumps(
            {
                "peer": "PyTorch " + torch.__version__,
                "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
                "bytes_per_second": copy_rate(args.mib, device),
                "extent": args.extent,
                "bf16_flops": product_rate(args.extent, torch.bfloat16, False, device),
                "tf32_flops": product_rate(args.extent, torch.float32, True, device),
            }
        )
    )


if __name__ == "__main__":
    main()
