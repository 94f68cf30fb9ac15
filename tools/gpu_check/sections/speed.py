"""What the card gives, how long a start takes, and the time of steps, embedding, objective and convolutions."""

import shutil
import statistics

from gpu_check import floor, parse
from gpu_check.sections.repeat import training
from gpu_check.session import HOME, app, json_of, python, words_of

VIEWS = 512
START_LIMIT = 120
# In what a backend says of its convolutions: what it means, and the state of the row.
SAID = {
    ": passed over": ("engines passed over", "ok"),
    "the slow reference kernel serves it": ("convolutions without an engine", "failed"),
    ": taken in two passes": ("convolutions in two passes", "ok"),
}


def start(session):
    """From the start of the process until one step is done and its checkpoint lies on the disk, or a kNN is done."""
    shutil.rmtree(session.state / "plans", ignore_errors=True)
    for dtype in ("bf16", "f32"):
        for plans in ("cold", "warm"):
            run = session.state / f"start-{dtype}-{plans}"
            shutil.rmtree(run, ignore_errors=True)
            ended = session.run(f"start {dtype} {plans}", training(session, run, 1, dtype), START_LIMIT)
            shutil.rmtree(run, ignore_errors=True)
            name = f"one step and its checkpoint, {dtype}, {plans} plan cache"
            tell_seconds(session, name, ended)
    first_evaluation(session)


def tell_seconds(session, name, ended):
    if ended.ok:
        session.row(name, f"{ended.seconds:.1f} s", seconds=round(ended.seconds, 2))
    else:
        session.say(name, ended)


def first_evaluation(session):
    """Its convolutions are others than those of a step. At half the batch each takes the engine of the first."""
    batch = 256 if session.cuda else 8
    for how, images in (("cold plan cache", batch), ("warm plan cache", batch), ("half the batch", batch // 2)):
        options = {
            "device": session.device,
            "dtype": "bf16",
            "dataset": "shapes",
            "shapes_count": 4 * batch,
            "arch": "resnet50" if session.cuda else "resnet18",
            "batch_size": images,
            "k": 5,
        }
        name = f"kNN of {4 * batch} images, bf16, {how}"
        ended = session.run(name, [app("dcl-knn"), *words_of(options), "--untrained"], START_LIMIT)
        tell_seconds(session, name, ended)


def ceilings(session):
    """What the card copies and multiplies, by PyTorch: floors are of this card, not of a data sheet."""
    flags = [] if session.cuda else ["--device", "cpu", "--mib", 64, "--extent", 512]
    ended = session.run("ceilings", python("gpu_ceilings", *flags), 90, session.python_environment)
    found = parse.json_lines(ended.output)
    if not ended.ok or not found:
        session.say("copy and matrix product", ended)
        return None
    rates = found[-1]
    session.row("copy on the device, read and written", f"{rates['bytes_per_second'] / 1e12:.3g} TB/s", **rates)
    session.row(
        f"matrix product {rates['extent']}^3, bf16 / tf32",
        f"{rates['bf16_flops'] / 1e12:.3g} / {rates['tf32_flops'] / 1e12:.3g} TFLOP/s",
    )
    fused, sums = (
        floor.seconds(VIEWS, rates["bf16_flops"], rates["bytes_per_second"], epilogue) for epilogue in (False, True)
    )
    session.row(
        "floor of a bf16 step of 512 views on this card",
        f"{1e3 * fused:.2f} ms; with batch norm's sums in epilogues {1e3 * sums:.2f} ms",
        fused=fused,
        epilogue_sums=sums,
    )
    return fused


def benchmark(session, program, pattern, limit, flags=()):
    """Rows of a Google Benchmark program; its figures by name."""
    file = session.state / "benchmark.json"
    file.unlink(missing_ok=True)
    words = [
        HOME / "build/bench" / program,
        f"--benchmark_filter={pattern}",
        f"--benchmark_out={file}",
        "--benchmark_out_format=json",
        *flags,
    ]
    ended = session.run(f"{program} {pattern}", words, limit)
    runs = (json_of(file) or {}).get("benchmarks", [])
    for words, (what, state) in SAID.items():
        if lines := [line for line in ended.output.splitlines() if words in line]:
            session.row(f"{program} {pattern}: {what}", f"{len(lines)}, such as: {lines[0]}", state, lines=lines)
    if not runs or not ended.ok:
        session.say(program, ended)
    figures = {}
    for run in runs:
        name = run["name"].split("/min_time")[0].removesuffix("/real_time").removesuffix("/manual_time")
        if "error_message" in run:
            session.row(name, run["error_message"], "failed")
            continue
        rate = run.get("views/s") or run.get("images/s")
        beyond = run.get("device_MiB") or run.get("beyond_MiB")
        result = f"{run['real_time']:.4g} {run['time_unit']}" + (f", {rate:,.0f} per second" if rate else "")
        session.row(
            name,
            result + (f", {beyond:,.1f} MiB" if beyond else ""),
            **{
                k: run[k]
                for k in ("real_time", "time_unit", "views/s", "images/s", "beyond_MiB", "device_MiB")
                if k in run
            },
        )
        figures[name] = run
    return figures


def whole_step(session, name, flags, parts=1):
    """Seconds of a step of dcl-pretrain, views drawn from resident images on the way; the first third is left out.
    parts: the batch is that many times as large, and goes through the network in parts of the usual size."""
    small = not session.cuda
    run = session.state / "steps"
    shutil.rmtree(run, ignore_errors=True)
    part = 8 if small else 256
    batch, steps = parts * part, 6 if small else max(10, 150 // parts)
    options = {
        "shapes_size": 96,
        "shapes_count": max(batch, 24 if small else 2048),
        "batch_size": batch,
        "micro_batch_size": part,
        "epochs": 100,
        "checkpoint_every": 100000,
    }
    ended = session.run(name, training(session, run, steps, "bf16", *words_of(options), *flags), 90)
    if not ended.ok:
        session.say(name, ended)
        return None
    seconds = [
        batch / row["images_per_second"]
        for row in parse.metrics((run / "metrics.csv").read_text())
        if row["split"] == "train"
    ]
    shutil.rmtree(run, ignore_errors=True)
    seconds = seconds[len(seconds) // 3 :]
    if not seconds:
        return session.row(name, "no step is in metrics.csv", "failed")
    mean, middle = statistics.mean(seconds), statistics.median(seconds)
    session.row(
        name,
        f"{1e3 * mean:.2f} ms (median {1e3 * middle:.2f}), {2 * batch / mean:,.0f} views/s",
        seconds=mean,
        median=middle,
        views=2 * batch,
    )
    return mean


def ours(session):
    """What matters most comes first: the time can be over before the end."""
    least = ceilings(session)
    step_names, other_steps, embed = "training_step/bf16", "training_step/(tf32|f32)", "embed"
    if not session.cuda:  # a CPU needs minutes for a step
        step_names = other_steps = embed = "embed/f32/1/96"
    figures = benchmark(session, "gpu_network_bench", step_names, 100)
    step = next((run["real_time"] for name, run in figures.items() if name.startswith("training_step/bf16")), None)
    if step and least and session.cuda:
        session.row(
            "share of the floor, bf16 step without augmentation", f"{100 * least / step:.0f} %", share=least / step
        )
    drawn = whole_step(session, "bf16 step with augmentation (96x96, resident)", [])
    if drawn and least and session.cuda:
        session.row(
            "share of the floor, bf16 step with augmentation", f"{100 * least / drawn:.0f} %", share=least / drawn
        )
    # Sixteen runs count as one: with the usual half second each of five sizes would take ten.
    benchmark(session, "objective_bench", "objective/debiased/", 60, flags=["--benchmark_min_time=0.1"])
    benchmark(session, "gpu_network_bench", other_steps, 100)
    for pattern in ("embed/bf16", "embed/f32") if session.cuda else (embed,):
        benchmark(session, "gpu_network_bench", pattern, 60)
    whole_step(session, "bf16 step with augmentation, op by op", ["--no-graph"])
    whole_step(session, "a batch sixteen times as large, in parts", [], parts=16 if session.cuda else 2)
    for dtype in ("bf16", "f32"):
        convolutions(session, dtype)


def convolutions(session, dtype):
    batch = VIEWS if session.cuda else 1
    name = f"all convolutions of {batch} views, {dtype}"
    ended = session.run(
        name, [HOME / "build/bench/gpu_conv_bench", "--backend", session.device, "--batch", batch, "--dtype", dtype], 60
    )
    lines = ended.output.strip().splitlines()
    if not ended.ok:
        return session.say(name, ended)
    session.row(name, "; ".join(" ".join(line.split()) for line in lines[-4:]), log=ended.output)
    if not session.cuda:
        return  # a single image, beside whatever else runs
    for what, rate, usual in parse.slow_convolutions(ended.output):
        session.row(
            f"{what}, {dtype}", f"{rate:,.0f} GFLOP/s where {usual:,.0f} are usual: has it no better engine?", "failed"
        )
