"""The command line of gpu-check."""

import argparse
import json
import os
import pathlib
import sys
import tempfile

from gpu_check import report
from gpu_check.pack import CIFAR, MOST_MIB, PackError, pack

HELP = f"""Checks and measures the CUDA backend on a machine that has a GPU, PyTorch and no packages of this project.

On the machine that builds (with a CUDA toolkit, no GPU needed):
    tools/gpu-check pack [--build build] [--out gpu-check] [--with-cifar {CIFAR}]
makes a folder of programs, their libraries, tests, reference values and peers, of at most {MOST_MIB} MiB.

On the machine with the GPU, where commands may take ten minutes, three of them in this order:
    gpu-check/gpu-check run --part 1 --out OUT1      right, and how fast: tests start repeat errors ours
    gpu-check/gpu-check run --part 2 --out OUT2      clean, beside PyTorch, where time goes: sanitizer peers objectives profile
    gpu-check/gpu-check run --part 3 --out OUT3      a real run: train linear (again: goes on where it was)
Each takes --minutes at most (9.2) and gives each of its sections what those after it do not need. --only SECTION,... runs
some. Between commands --state (in the folder of temporary files) keeps the plan cache, the images and the trained
networks; it is big, and is not what comes back. OUT holds three files, complete at any time: gpu-check.json (all figures),
gpu-check.md (tables), logs.tar.gz. One document of several runs, later rows in place of earlier ones:
    tools/gpu-check table OUT1/gpu-check.json OUT2/gpu-check.json OUT3/gpu-check.json
--device eigen tries all this on a CPU, with little work.

exit codes of run: 0 all that this machine can do was done and passed; 1 something failed; 2 usage; 4 no such device;
75 nothing failed, but the time was over before the end."""

CUT, USAGE, UNUSABLE = 75, 2, 4


def refuse(why):
    print(f"error: {why}", file=sys.stderr)
    sys.exit(USAGE)


def sections():
    """{name: (function, seconds it should get at least)} in order, and the names of each part."""
    from gpu_check.sections import errors, peers, profile, repeat, sanitizer, speed, tests, train

    table = {
        "tests": (tests.tests, 150),
        "start": (speed.start, 90),
        "repeat": (repeat.repeat, 70),
        "errors": (errors.errors, 30),
        "ours": (speed.ours, 180),
        "sanitizer": (sanitizer.sanitizer, 130),
        "peers": (peers.peers, 240),
        "objectives": (peers.objectives, 60),
        "profile": (profile.profile, 110),
        "train": (train.train, 60),
        "linear": (train.linear, 45),
    }
    return table, {
        "1": ["tests", "start", "repeat", "errors", "ours"],
        "2": ["sanitizer", "peers", "objectives", "profile"],
        "3": ["train", "linear"],
    }


def describe_device(session):
    """Whether the device can be used; says what it is."""
    from gpu_check.session import app

    ended = session.run("dcl-info", [app("dcl-info"), "--json"], 60)
    at = ended.output.find("{")
    if not ended.ok or at < 0:
        session.say("dcl-info", ended)
        return False
    backends = {b["name"]: b for b in json.loads(ended.output[at:])["backends"]}
    mine = backends.get(session.device, {"available": False, "reason": f"there is no backend {session.device}"})
    libraries = ", ".join(f"{name} {version}" for name, version in mine.get("libraries", {}).items())
    session.head["gpu"] = ", ".join(filter(None, (mine.get("device"), libraries)))
    session.row(
        session.device,
        session.head["gpu"] or mine.get("reason") or "available",
        "ok" if mine["available"] else "failed",
        backend=mine,
    )
    if session.cuda:
        query = "name,driver_version,temperature.gpu,power.draw,clocks.sm,clocks.mem,memory.used"
        smi = session.run("nvidia-smi", ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"], 20)
        session.row("nvidia-smi", smi.output.strip() if smi.ok else smi.meaning, "ok" if smi.ok else "skipped")
    return mine["available"]


def run(args):
    from gpu_check.session import HOME, Session

    if not (HOME / "build").is_dir():
        refuse("there are no programs beside this script; on the machine that builds: tools/gpu-check pack")
    table, parts = sections()
    names = args.only.split(",") if args.only else parts.get(args.part) or [n for part in parts.values() for n in part]
    if unknown := [n for n in names if n not in table]:
        refuse(f"no section {', '.join(unknown)}: expected some of {', '.join(table)}")
    session = Session(args.device, args.out, args.state, args.minutes)
    session.options = args
    if not describe_device(session):
        report.write_logs(session)
        sys.exit(UNUSABLE)
    session.run_sections([(n, table[n][0]) for n in names], {n: seconds for n, (_, seconds) in table.items()})
    states = session.states()
    word = (
        "FAILED"
        if "failed" in states
        else "nothing failed, but the time was over before the end" if "cut" in states else "all passed"
    )
    failed = [row for row in session.rows if row["state"] == "failed"]
    print(f"\n{session.out / 'gpu-check.md'}: {len(session.rows)} rows, {word}")
    for row in failed[:20]:
        print(f"  FAILED {row['section']}: {row['name']}: {row['result']}"[:200])
    sys.exit(1 if failed else CUT if "cut" in states else 0)


def main():
    parser = argparse.ArgumentParser(
        prog="gpu-check", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="pack | run | table")
    packing = commands.add_parser("pack", help="make the folder")
    packing.add_argument("--build", default="build", help="build folder (%(default)s)")
    packing.add_argument(
        "--out", default="gpu-check", help="the folder to make, in place of an earlier one (%(default)s)"
    )
    packing.add_argument("--with-cifar", metavar="ARCHIVE", help=f"{CIFAR}, for the section train")
    packing.set_defaults(call=pack)
    running = commands.add_parser("run", help="check and measure")
    which = running.add_mutually_exclusive_group()
    which.add_argument("--part", choices=["1", "2", "3", "all"], default="all", help="which sections (%(default)s)")
    which.add_argument("--only", metavar="SECTION,...", help="sections, separated by commas, in this order")
    running.add_argument("--minutes", type=float, default=9.2, help="%(default)s")
    running.add_argument(
        "--programs",
        default="",
        metavar="WORD,...",
        help="of the sections tests, sanitizer and peers, those whose names hold a word (all)",
    )
    running.add_argument("--epochs", type=int, default=100, help="of the section train, at most (%(default)s)")
    running.add_argument("--out", default="results", help="folder for what comes back (%(default)s)")
    running.add_argument(
        "--state",
        default=os.path.join(tempfile.gettempdir(), f"gpu-check-{os.getuid()}"),
        help="folder for what stays (%(default)s)",
    )
    running.add_argument("--device", default="cuda")
    running.set_defaults(call=run)
    merging = commands.add_parser("table", help="one document of several runs")
    merging.add_argument("files", nargs="+", type=pathlib.Path, metavar="gpu-check.json")
    merging.set_defaults(call=report.merge)
    args = parser.parse_args()
    try:
        args.call(args)
    except (PackError, OSError) as error:
        sys.exit(f"error: {error}")
