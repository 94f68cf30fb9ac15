"""Opens the files of a checkpoint with the safetensors package, and compares names, types, shapes and every bit with what our
own reader gave (as NPZ files written by dcl-convert). Started by peer_features.sh.

usage: peer_checkpoint.py FILE.safetensors FILE.npz [...]"""

import sys

import numpy as np
from safetensors import safe_open


def main():
    for theirs, ours in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        with safe_open(theirs, framework="numpy") as file, np.load(ours) as arrays:
            names = sorted(file.keys())
            if names != sorted(arrays.files):
                sys.exit(f"{theirs}: other names: {sorted(set(names) ^ set(arrays.files))[:5]}")
            for name in names:
                a, b = file.get_tensor(name), arrays[name]
                if a.dtype != b.dtype or a.shape != b.shape or a.tobytes() != b.tobytes():
                    sys.exit(f"{theirs}: {name}: {a.dtype}{a.shape} is not {b.dtype}{b.shape}, or has other values")
            if not any(np.any(file.get_tensor(name)) for name in names):
                sys.exit(f"{theirs}: nothing but zeros")
            metadata = file.metadata()
            if metadata["format"] != "pt" or metadata["dcl.step"] != "3":
                sys.exit(f"{theirs}: metadata {metadata}")
        print(f"{len(names)} tensors are equal to the bit")


main()
