"""Images per second of embedding in PyTorch, ONNX Runtime and OpenVINO, by the network of $DCL_BENCH_NETWORK (resnet.py).

Usage: embed.py [--peer torch|compile|ort|openvino] [--dtype f32|bf16] [--batch 32] [--size 32] [--threads 2]
Weights are random, batch norm is in evaluation mode. bf16: autocast (PyTorch), inference precision hint (OpenVINO);
ONNX Runtime has none on the CPU. Prints one JSON object: images per second of the fastest run, and the seconds from the
start of the process to the first embedding (the model file of ONNX Runtime and OpenVINO is made beforehand).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

from resnet import NAME, resnet

BORN = time.time()


def network():
    return resnet()[0].eval()


def export(path, batch, size):
    import torch

    torch.onnx.export(
        network(), torch.rand(batch, 3, size, size), path, input_names=["x"], output_names=["h"], dynamo=False
    )


def torch_runner(args):
    import torch

    torch.set_num_threads(args.threads)
    net = network().to(memory_format=torch.channels_last)
    run = torch.compile(net) if args.peer == "compile" else net
    x = torch.rand(args.batch, 3, args.size, args.size).to(memory_format=torch.channels_last)

    def embed():
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.dtype == "bf16"):
            return run(x)

    return embed


def ort_runner(args, path):
    import numpy
    import onnxruntime

    if args.dtype != "f32":
        sys.exit("ONNX Runtime has no bf16 convolutions on the CPU")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    x = numpy.random.rand(args.batch, 3, args.size, args.size).astype(numpy.float32)
    return lambda: session.run(None, {"x": x})


def openvino_runner(args, path):
    import numpy
    import openvino

    core = openvino.Core()
    config = {
        "INFERENCE_NUM_THREADS": args.threads,
        "INFERENCE_PRECISION_HINT": args.dtype,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = core.compile_model(core.read_model(path), "CPU", config)
    request = compiled.create_infer_request()
    x = numpy.random.rand(args.batch, 3, args.size, args.size).astype(numpy.float32)
    return lambda: request.infer({0: x})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer", choices=["torch", "compile", "ort", "openvino"], default="torch")
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--onnx", help="model file; made in a process of its own when missing")
    parser.add_argument("--export_only", action="store_true")
    args = parser.parse_args()

    path = args.onnx or os.path.join(tempfile.gettempdir(), f"{NAME.replace('/', '_')}_n{args.batch}_s{args.size}.onnx")
    if args.export_only:
        export(path, args.batch, args.size)
        return
    born = BORN
    if args.peer in ("ort", "openvino") and not os.path.exists(path):
        subprocess.run(
            [
                sys.executable,
                __file__,
                "--export_only",
                "--onnx",
                path,
                "--batch",
                str(args.batch),
                "--size",
                str(args.size),
            ],
            check=True,
        )
        born = time.time()
    embed = {"torch": torch_runner, "compile": torch_runner}.get(args.peer)
    embed = embed(args) if embed else {"ort": ort_runner, "openvino": openvino_runner}[args.peer](args, path)
    embed()
    first = time.time() - born
    best = best_time(embed)
    print(
        json.dumps(
            {
                "peer": args.peer,
                "dtype": args.dtype,
                "batch": args.batch,
                "size": args.size,
                "images_per_second": round(args.batch / best, 2),
                "milliseconds": round(best * 1e3, 2),
                "seconds_to_first": round(first, 3),
            }
        )
    )


def best_time(run, seconds=2, least=5):
    """Of as many runs as network_bench tries in that time."""
    times = []
    while sum(times) < seconds or len(times) < least:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    main()
