"""Where a step's time goes: by op (DCL_PROFILE), and by kernel (Nsight Compute)."""

import shutil

from gpu_check import parse
from gpu_check.sections.repeat import training

STEPS = 3
NCU_STEPS = 2
MOST_KERNELS = 25
METRICS = (parse.DURATION, parse.DRAM, parse.BYTES)


def ops(session, dtype):
    run = session.state / "profile"
    shutil.rmtree(run, ignore_errors=True)
    name = f"ops of {STEPS} steps, {dtype}"
    ended = session.run(name, training(session, run, STEPS, dtype), 90, {**session.environment, "DCL_PROFILE": "1"})
    shutil.rmtree(run, ignore_errors=True)
    rows = parse.profile_rows(ended.output)
    if not ended.ok or not rows:
        return session.say(name, ended)
    total = sum(row[2] for row in rows)
    session.row(
        name, ", ".join(f"{op} {percent:.0f} %" for op, _, _, percent in rows[:6]), milliseconds=1e3 * total / STEPS
    )
    session.table(
        f"Ops of a step, {dtype} (of {STEPS}; the device is waited for after each)",
        ("op", "calls a step", "ms a step", "%"),
        [
            (op, f"{calls / STEPS:.1f}", f"{1e3 * seconds / STEPS:.3f}", f"{percent:.1f}")
            for op, calls, seconds, percent in rows
        ],
    )


def kernels(session):
    program = session.cuda_tool("kernels", "ncu")
    if program is None:
        return
    run, file = session.state / "ncu-run", session.logs / "ncu.csv"
    for metrics in (METRICS, METRICS[:1]):  # if this ncu does not know them all, then at least the time
        for path in (run, file):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        # The clocks stay as they are: others share the machine. Op by op, so that every kernel is a launch of its own.
        words = [
            program,
            "--clock-control",
            "none",
            "--cache-control",
            "none",
            "--csv",
            "--print-units",
            "base",
            "--target-processes",
            "all",
            "--metrics",
            ",".join(metrics),
            "--log-file",
            file,
            *training(session, run, NCU_STEPS, "bf16", "--no-graph"),
        ]
        ended = session.run(f"ncu {len(metrics)}", words, 200)
        text = file.read_text(errors="replace") if file.is_file() else ""
        if parse.ncu_launches(text) or ended.how != "exit":
            break
    shutil.rmtree(run, ignore_errors=True)
    tell_kernels(session, ended, text)


def tell_kernels(session, ended, text):
    launches = parse.ncu_launches(text)
    if not launches:
        problem = next((line for line in text.splitlines() if "==ERROR==" in line), "")
        return session.row(
            "kernels",
            problem or ended.meaning,
            "cut" if ended.how == "cut" else "skipped" if problem else "failed",
            log=(text + ended.output)[-2000:],
        )
    found = parse.kernels_of(launches)
    total, moved = (sum(kernel[key] for kernel in found) for key in ("ns", "bytes"))
    session.row(
        f"kernels of {NCU_STEPS} steps, bf16",
        f"{len(launches)} launches, {total / 1e6 / NCU_STEPS:.2f} ms a step one by one, "
        f"{moved / 1e9 / NCU_STEPS:.1f} GB of DRAM a step",
        "ok" if ended.ok else ended.state,
        kernels=found,
    )
    session.table(
        f"Kernels of a bf16 step (ncu, {NCU_STEPS} steps op by op)",
        ("kernel", "calls a step", "us a step", "%", "DRAM %", "GB a step"),
        [
            (
                f"`{k['name']}`",
                f"{k['calls'] / NCU_STEPS:.1f}",
                f"{k['ns'] / 1e3 / NCU_STEPS:.1f}",
                f"{k['percent']:.1f}",
                f"{k['dram_percent']:.0f}",
                f"{k['bytes'] / 1e9 / NCU_STEPS:.2f}",
            )
            for k in found[:MOST_KERNELS]
        ],
    )
    for k in found[:8]:
        print(
            f"          {k['percent']:5.1f} %  {k['ns'] / 1e3 / NCU_STEPS:8.1f} us  DRAM {k['dram_percent']:3.0f} %  {k['name']}",
            flush=True,
        )


def profile(session):
    ops(session, "bf16")
    kernels(session)
