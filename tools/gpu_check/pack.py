"""gpu-check pack: a folder of programs, their libraries, tests, reference values and peers, for a machine without a compiler."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

TOOLS = pathlib.Path(__file__).resolve().parent.parent
SUITES = ("conformance", "reference")
NOT_OF_A_BACKEND = ("op_run", "decode", "reference_file", "torch_file")  # tests that need no GPU
# Without the CPU's floor by oneDNN, whose library is larger than all the rest.
BENCHES = ("gpu_network_bench", "objective_bench", "gpu_conv_bench")
APPS = ("dcl-pretrain", "dcl-linear", "dcl-knn", "dcl-info")
MOST_MIB = 60  # what machines take along has limits
CIFAR = "cifar10-jpeg.tar.xz"
# Every system that runs CUDA has these.
SYSTEM_LIBRARIES = (
    "linux-vdso",
    "ld-linux",
    "libc.",
    "libm.",
    "libdl.",
    "libpthread.",
    "librt.",
    "libstdc++",
    "libgcc_s",
    "libgomp",
)
VERSIONED = re.compile(r"\((GLIBC|GLIBCXX|CXXABI)_([\d.]+)\)")


class PackError(Exception):
    """What keeps the folder from being made, for whoever asked for it."""


def libraries_of(program, own):
    """Shared libraries that the program takes from the system, as paths."""
    found = []
    for line in subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout.splitlines():
        words = line.split()
        if "=>" in words and not words[0].startswith(SYSTEM_LIBRARIES + own):
            if words[2] == "not":
                raise PackError(f"{program} needs {words[0]}, which is not found")
            found.append(words[2])
    return found


def newest_versions(files):
    """The newest version of each versioned system library that the files ask for: {"GLIBC": "2.34", ...}."""
    newest = {}
    for file in files:
        listing = subprocess.run(["objdump", "-T", file], capture_output=True, text=True).stdout
        for name, version in VERSIONED.findall(listing):
            numbers = tuple(map(int, version.split(".")))
            newest[name] = max(newest.get(name, ()), numbers)
    return {name: ".".join(map(str, numbers)) for name, numbers in sorted(newest.items())}


def copy_programs(build, out):
    """Stripped, under the paths they have in the build folder."""
    module = build / "backends/cuda/dcl_cuda.so"
    if not module.is_file():
        raise PackError(f"{module} is missing: build with a CUDA toolkit first")
    programs = [
        p
        for suite in SUITES
        for p in sorted((build / "tests" / suite).glob("*_test"))
        if p.is_file() and not p.name.startswith(NOT_OF_A_BACKEND)
    ]
    programs += [build / "bench" / name for name in BENCHES] + [build / "apps" / name for name in APPS]
    programs += [module, *build.glob("libdcl.so.0")]
    libraries = set()
    for program in programs:
        if not program.exists():
            raise PackError(f"{program} is missing: build everything first (ninja -C {build})")
        target = out / "build" / program.relative_to(build)
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["strip", "-o", target, program.resolve()], check=True)
        target.chmod(0o755)
        libraries.update(libraries_of(program, ("libdcl",)))
    (out / "lib").mkdir()
    for library in sorted(libraries):
        shutil.copy2(library, out / "lib")
    return len(programs), len(libraries)


def copy_inputs(root, out, cifar):
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(root / "bench/peers", out / "bench/peers", ignore=ignored)
    shutil.copytree(TOOLS / "gpu_check", out / "gpu_check", ignore=ignored)
    shutil.copy2(TOOLS / "gpu-check", out)
    shutil.copy2(root / "tests/conformance/problems.txt", out)
    reference = pathlib.Path(os.environ.get("DCL_REFERENCE_DIR", root.parent / "shared/reference"))
    if reference.is_dir():
        shutil.copytree(
            reference,
            out / "reference",
            ignore=lambda folder, names: [
                n for n in names if not n.endswith(".safetensors") and not (pathlib.Path(folder) / n).is_dir()
            ],
        )
    else:
        print(
            f"warning: no reference values in {reference}: the tests that need them will be skipped ($DCL_REFERENCE_DIR)",
            file=sys.stderr,
        )
    if cifar:
        shutil.copyfile(cifar, out / CIFAR)
    commit = subprocess.run(["git", "-C", root, "describe", "--always", "--dirty"], capture_output=True, text=True)
    (out / "commit").write_text(commit.stdout)


def pack(args):
    out = pathlib.Path(args.out)
    if out.exists() and not (out / "gpu_check").is_dir() and any(out.iterdir()):
        raise PackError(f"{out} holds something else: give --out a new folder")
    if args.with_cifar and not pathlib.Path(args.with_cifar).is_file():
        raise PackError(f"{args.with_cifar} is not a file: expected the archive of CIFAR-10 as JPEG, {CIFAR}")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    programs, libraries = copy_programs(pathlib.Path(args.build), out)
    copy_inputs(TOOLS.parent, out, args.with_cifar)
    size = sum(f.stat().st_size for f in out.rglob("*") if f.is_file())
    versions = newest_versions(f for folder in ("build", "lib") for f in (out / folder).rglob("*") if f.is_file())
    print(
        f"{out}: {programs} programs, {libraries} libraries, {size / 2**20:.1f} MiB; runs where there is "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + " or newer"
    )
    if size > MOST_MIB * 2**20:
        raise PackError(f"{out} takes {size / 2**20:.1f} MiB, more than {MOST_MIB}: leave --with-cifar out")
