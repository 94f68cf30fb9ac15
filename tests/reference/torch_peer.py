"""Files of PyTorch read by us, and ours by PyTorch, compared to the bit.

torch_peer.py REWRITE: REWRITE is the program of tests/support/torch_rewrite.cc. Works with PyTorch 1.13 and newer.
"""

import collections
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

rewrite = sys.argv[1]
failures = 0


def bits(tensor):
    tensor = tensor.detach().cpu().contiguous()
    return bytes(tensor.reshape(-1).view(torch.uint8).numpy()) if tensor.numel() else b""


def flat(value, name=""):
    """Dotted names of the tensors, as the reader forms them."""
    if isinstance(value, torch.Tensor):
        return {name or "tensor": value}
    if isinstance(value, dict):
        entries = value.items()
    elif isinstance(value, (list, tuple)):
        entries = enumerate(value)
    else:
        return {}
    out = {}
    for key, entry in entries:
        out.update(flat(entry, f"{name}.{key}" if name else str(key)))
    return out


def compare(what, expected, got):
    global failures
    problems = []
    if list(expected) != list(got):
        problems.append(f"names {sorted(set(expected) ^ set(got))[:5]} or their order")
    for name in expected:
        if name in got:
            a, b = expected[name], got[name]
            if a.dtype != b.dtype or a.shape != b.shape or bits(a) != bits(b):
                problems.append(f"{name}: {a.dtype} {tuple(a.shape)} / {b.dtype} {tuple(b.shape)}")
    print(("FAILED " if problems else "ok     ") + what, *problems[:5], sep="  ")
    failures += bool(problems)


def generator():
    g = torch.Generator()
    g.manual_seed(7)
    return g


def model():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Linear(8, 5))


def trained():
    net = model()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, weight_decay=1e-6)
    for _ in range(2):
        optimizer.zero_grad()
        net[1](net[0](torch.randn(2, 3, 5, 5))).square().sum().backward()
        optimizer.step()
    return net, optimizer


def cases():
    g = generator()
    base = torch.randn(6, 8, generator=g)
    dtypes = [
        torch.float32,
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
        torch.bool,
    ]
    net, optimizer = trained()
    yield "state_dict", net.state_dict()
    yield "dtypes", {str(d): (base * 50).to(d) for d in dtypes}
    yield "scalars and empty tensors", {"zero": torch.zeros(0, 3), "one": torch.tensor(3.5), "step": torch.tensor(7)}
    yield "views", {
        "slice": base[1:4, 2:5],
        "transposed": base.t(),
        "row": base[3],
        "column": base[:, 3],
        "every other": base[::2, 1::3],
        "expanded": base[:1].expand(4, 8),
        "whole": base,
        "permuted": torch.randn(2, 3, 4, 5, generator=g).permute(3, 1, 0, 2),
        "channels last": torch.randn(2, 3, 4, 5, generator=g).to(memory_format=torch.channels_last),
        "empty slice": base[2:2],
    }
    yield "shared storage", {"a": base, "b": base, "c": base.view(8, 6), "d": base.reshape(-1)[5:]}
    yield "parameters", collections.OrderedDict(
        w=torch.nn.Parameter(base), b=torch.nn.Parameter(base[0], requires_grad=False)
    )
    yield "bytes and complex numbers beside tensors", {
        "w": base,
        "md5": b"\xff\0z",
        "log": bytearray(b"ab"),
        "pole": 1 - 2j,
    }
    yield "checkpoint", {
        "epoch": 400,
        "arch": "resnet50",
        "best": 0.5,
        "done": True,
        "nothing": None,
        "state_dict": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "rng": torch.get_rng_state(),
        "size": torch.Size([1, 2]),
        "dtype": torch.float16,
        "big": 2**128 - 1,
        "small": -(2**40),
        "device": torch.device("cpu"),
        "list": [1, [2, base]],
        "names": ("a", "b'"),
    }
    with_attribute = base.clone()
    with_attribute.note = "x"
    yield "tensor with an attribute", {"w": with_attribute}
    yield "one tensor", base
    yield "list", [base, base.half()]
    yield "unicode", {"gewicht.ä.重み": base}
    yield "eight dimensions", {"x": torch.randn(1, 2, 1, 3, 1, 2, 1, 2, generator=g)}
    yield "large", {"x": torch.randn(700_001, generator=g), "y": torch.randn(1200, 700, generator=g).t()}


EXPECTED_METADATA = {
    "epoch": "400",
    "arch": "resnet50",
    "best": "0.5",
    "done": "True",
    "nothing": "None",
    "dtype": "torch.float16",
    "big": str(2**128 - 1),
    "small": str(-(2**40)),
    "size": "(1, 2)",
    "names": "('a', 'b\\'')",
    "device": "cpu",
    "optimizer.param_groups.0.lr": "0.001",
    "optimizer.param_groups.0.weight_decay": "1e-06",
    "optimizer.param_groups.0.betas": "(0.9, 0.999)",
}


def our_file(source, target):
    done = subprocess.run([rewrite, source, target], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return done.stdout


def check_case(folder, name, value, options):
    global failures
    theirs = folder / "theirs.pth"
    torch.save(value, theirs, **options)
    expected = flat(value)
    for target in ("ours.pth", "ours.legacy.pth"):
        try:
            printed = our_file(theirs, folder / target)
            got = torch.load(folder / target, map_location="cpu", weights_only=True)
            compare(f"{name} {options} -> {target}", expected, dict(got))
            if name == "checkpoint":
                lines = dict(line.split("=", 1) for line in printed.splitlines())
                wrong = {k: lines.get(k) for k, v in EXPECTED_METADATA.items() if lines.get(k) != v}
                if wrong:
                    print("FAILED metadata", wrong)
                    failures += 1
        except Exception as error:  # any failure of one case is reported, and the others still run
            print(f"FAILED {name} {options} -> {target}: {type(error).__name__}: {error}")
            failures += 1


with tempfile.TemporaryDirectory() as temporary:
    folder = Path(temporary)
    for name, value in cases():
        for options in ({}, {"_use_new_zipfile_serialization": False}, {"pickle_protocol": 4}):
            check_case(folder, name, value, options)
print("PyTorch", torch.__version__, "failures:", failures)
sys.exit(failures != 0)
