"""Arrays between NumPy and this project. Started by peer_npz.sh.

usage: peer_npz.py make DIR         writes DIR/plain.npz and DIR/compressed.npz
       peer_npz.py check DIR NAME   compares DIR/NAME.out.npz with DIR/NAME.npz, byte for byte of every array"""

import sys
import zipfile
from pathlib import Path

import numpy as np


def arrays():
    rng = np.random.default_rng(7)
    out = {name: rng.integers(-100, 100, (3, 4, 5)).astype(name) for name in ("f8", "f4", "f2", "i8", "i4", "i2", "i1")}
    out["u1"] = rng.integers(0, 256, 1000, np.uint8)
    out["bool"] = rng.integers(0, 2, (2, 9)).astype(bool)
    out["big"] = rng.standard_normal((1000, 700)).astype("f4")  # several pieces
    out["fortran"] = np.asfortranarray(rng.standard_normal((30, 20, 10)))
    out["swapped"] = np.arange(6, dtype=">i4").reshape(2, 3)
    out["scalar"] = np.array(2.5)
    out["empty"] = np.zeros((0, 7), "f4")
    out["folder/f.0.weight"] = rng.standard_normal((2, 2)).astype("f4")
    return out


def main():
    folder = Path(sys.argv[2])
    if sys.argv[1] == "make":
        np.savez(folder / "plain.npz", **arrays())
        np.savez_compressed(folder / "compressed.npz", **arrays())
        return
    path = folder / f"{sys.argv[3]}.out.npz"
    if zipfile.ZipFile(path).testzip() is not None:
        sys.exit(f"{path}: a checksum is wrong")
    ours = np.load(path, allow_pickle=False)
    expected = arrays()
    if sorted(ours.files) != sorted(expected):
        sys.exit(f"arrays {sorted(ours.files)}, expected {sorted(expected)}")
    for name, value in expected.items():
        got = ours[name]
        if got.dtype != value.dtype.newbyteorder("=") or got.shape != value.shape or not np.array_equal(got, value):
            sys.exit(f"{name}: {got.dtype} {got.shape} differs from {value.dtype} {value.shape}")
    print(f"{path.name}: {len(expected)} arrays agree")


main()
