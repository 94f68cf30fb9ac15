"""A real run: CIFAR-10 as JPEG, biased and debiased, and PyTorch's curve on the same files; goes on where it was cut off."""

import concurrent.futures
import shutil
import statistics
import tarfile
import time

from gpu_check import parse
from gpu_check.pack import CIFAR
from gpu_check.session import HOME, app, json_of, python, words_of

GENTLE = 15  # seconds to write a checkpoint
TELL_SECONDS = 10  # between two tables on the disk
MOST_APART = (
    0.15  # of mean losses after the same epochs: 0.07 in the first and 0.03 later were seen of trainings that are alike
)
IMAGES = 50000
INTERRUPTED = 75


class Settings:
    """Of the published experiment on a GPU; elsewhere just enough to try this script."""

    def __init__(self, session, epochs):
        small = not session.cuda
        self.epochs = epochs
        self.arch, self.batch = ("resnet18", 4) if small else ("resnet50", 256)
        self.dtype = "f32" if small else "bf16"
        self.few = 2 if small else 0  # images of each class; 0: all
        self.test_every = 1 if small else 5
        self.linear_epochs = 2 if small else 100
        self.steps_per_epoch = (10 * self.few or IMAGES) // self.batch
        self.limits = ["--max_per_class", self.few, "--test_max_per_class", self.few] if small else []


def on_images(program, session, data, settings, options):
    """The words of one of our programs on the images, in the settings' type."""
    common = {"device": session.device, "dtype": settings.dtype, "dataset": "folder", "data": data}
    return [app(program), *words_of(common), *settings.limits, *words_of(options)]


def shown(session, words):
    """A command as whoever repeats it would write it."""
    return " ".join(str(w).replace(f"{HOME}/", "").replace(f"{session.state}/", "") for w in words)


class Ours:
    def __init__(self, session, data, settings, objective):
        self.session, self.settings = session, settings
        self.name = f"dcl, {objective}"
        self.run_dir = session.state / f"train-{objective}"
        self.model = self.run_dir / "checkpoints/latest"
        options = {
            "objective": objective,
            "tau_plus": 0.1,
            "batch_size": settings.batch,
            "epochs": settings.epochs,
            "test_every": settings.test_every,
            "k": 200,
            "seed": 0,
            "checkpoint_every": 10**6,
            "run_dir": self.run_dir,
        }
        self.words = on_images("dcl-pretrain", session, data, settings, {"arch": settings.arch} | options)

    def command(self):
        return shown(self.session, self.words)

    def train(self):
        return self.session.run(f"train {self.name}", self.words, 3600, gentle=GENTLE)

    def rows(self, split):
        file = self.run_dir / "metrics.csv"
        return [row for row in parse.metrics(file.read_text()) if row["split"] == split] if file.is_file() else []

    def done(self):
        steps = self.rows("train")
        return int(steps[-1]["step"]) // self.settings.steps_per_epoch if steps else 0

    def points(self):
        """{epoch: (mean loss, kNN top-1 or None)}; a kNN at the end of an epoch that was cut short is left out."""
        losses = {}
        for row in self.rows("train"):
            losses.setdefault(int(row["epoch"]), []).append(row["loss"])
        whole = {e: l for e, l in losses.items() if len(l) == self.settings.steps_per_epoch}
        tests = {int(row["epoch"]): row["knn_top1"] for row in self.rows("knn")}
        return {e: (statistics.fmean(l), tests.get(e)) for e, l in whole.items()}

    def speed(self):
        rows = self.rows("train")
        seconds = statistics.median(self.settings.batch / row["images_per_second"] for row in rows)
        wait = statistics.fmean(row["wait_fraction"] for row in rows)
        return f"{seconds * self.settings.steps_per_epoch:.1f} s an epoch, {100 * wait:.1f} % of it waiting for data"


class Peer:
    name = "PyTorch, debiased"

    def __init__(self, session, data, settings):
        self.session = session
        self.file = session.state / "train-pytorch.pt"
        self.model = session.state / "train-pytorch.pt.model.pth"
        flags = ["--forwards", "two"] if session.cuda else ["--device", "cpu", "--mode", "eager"]
        options = {
            "data": data,
            "state": self.file,
            "arch": settings.arch,
            "batch": settings.batch,
            "dtype": settings.dtype,
            "test_every": settings.test_every,
            "epochs": settings.epochs,
        }
        self.words = python("gpu_curve", *words_of(options), *settings.limits, *flags)

    def command(self):
        return shown(self.session, self.words[1:])

    def train(self):
        return self.session.run(f"train {self.name}", self.words, 3600, self.session.python_environment)

    @property
    def history(self):
        """Of earlier commands on this machine too."""
        return json_of(f"{self.file}.json") or []

    def done(self):
        return len(self.history)

    def points(self):
        return {line["epoch"]: (line["mean_loss"], line.get("knn_top1")) for line in self.history}

    def speed(self):
        last = self.history[-5:]
        return (
            f"{sum(line['seconds'] for line in last) / len(last):.1f} s an epoch, augmentation by {last[-1]['augment']}"
        )


def unpack(session):
    """The folder of the images, or nothing and a row that says why."""
    data, archive = session.state / "cifar10", HOME / CIFAR
    if (data / "complete").is_file():
        return data
    if not archive.is_file():
        return session.row("CIFAR-10", f"{CIFAR} is not in this folder: gpu-check pack --with-cifar", "skipped")
    shutil.rmtree(data, ignore_errors=True)
    begin = time.monotonic()
    try:
        with tarfile.open(archive, "r:xz") as files:
            files.extractall(data, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:  # CompressionError: a Python without lzma
        return session.row("CIFAR-10", f"cannot unpack {CIFAR}: {error}", "failed")
    (data / "complete").touch()
    session.row("CIFAR-10 unpacked", f"{sum(1 for _ in data.rglob('*.jpg')):,} files, {time.monotonic() - begin:.0f} s")
    return data


def evaluate(session, data, settings, curve):
    name = f"linear, frozen, {settings.linear_epochs} epochs: {curve.name} after {curve.done()} epochs"
    options = {"model_path": curve.model, "protocol": "frozen", "epochs": settings.linear_epochs}
    words = [*on_images("dcl-linear", session, data, settings, options), "--json"]
    ended = session.run(f"linear {curve.name}", words, 120)
    found = parse.json_lines(ended.output)
    if not ended.ok or not found:
        return session.say(name, ended)
    session.row(
        name, f"top-1 {found[-1]['top1']:.2f} %, top-5 {found[-1]['top5']:.2f} % ({ended.seconds:.0f} s)", **found[-1]
    )


def untrained(session, data, settings):
    words = [*on_images("dcl-knn", session, data, settings, {"arch": settings.arch}), "--untrained", "--json"]
    ended = session.run("knn untrained", words, 60)
    found = parse.json_lines(ended.output)
    if not ended.ok or not found:
        return session.say("kNN, untrained", ended)
    session.row("kNN, untrained", f"top-1 {found[-1]['knn_top1']:.2f} % ({ended.seconds:.0f} s)", **found[-1])


def tell(session, curves, settings):
    points = {curve.name: curve.points() for curve in curves}
    epochs = sorted({epoch for some in points.values() for epoch, (_, top1) in some.items() if top1 is not None})

    def text(point):
        if point is None:
            return ""
        loss, top1 = point
        return f"{loss:.3f}" if top1 is None else f"{loss:.3f}, {top1:.2f} %"

    session.table(
        f"CIFAR-10 as JPEG, {settings.arch}, batch {settings.batch}, {settings.dtype}: mean loss of the epoch, kNN top-1",
        ("after epoch", *points),
        [(epoch, *(text(some.get(epoch)) for some in points.values())) for epoch in epochs],
    )


def side_by_side(session, curves, settings):
    """Trains every curve until its epochs are done or the time is over; together they leave the GPU no pause."""
    with concurrent.futures.ThreadPoolExecutor(len(curves)) as pool:
        training = {curve: pool.submit(curve.train) for curve in curves if curve.done() < settings.epochs}
        while concurrent.futures.wait(training.values(), TELL_SECONDS).not_done:
            tell(session, curves, settings)
    tell(session, curves, settings)
    for curve, task in training.items():
        ended = task.result()
        if not ended.ok and ended.how != "cut" and ended.code != INTERRUPTED:
            session.say(f"training of {curve.name}", ended)


def compare(session, ours, peer):
    """A network that learns less than PyTorch's has a fault, though no program failed."""
    mine, theirs = ours.points(), peer.points()
    if epoch := max(mine.keys() & theirs.keys(), default=0):
        apart = mine[epoch][0] - theirs[epoch][0]
        session.row(
            f"mean loss of epoch {epoch}, {ours.name} less {peer.name}",
            f"{apart:+.3f}, expected within {MOST_APART}",
            "ok" if abs(apart) <= MOST_APART else "failed",
            apart=apart,
        )


def curves_of(session, data, settings):
    return (
        Ours(session, data, settings, "debiased"),
        Peer(session, data, settings),
        Ours(session, data, settings, "biased"),
    )


def train(session):
    data = unpack(session)
    if data is None:
        return
    settings = Settings(session, session.options.epochs)
    curves = curves_of(session, data, settings)
    untrained(session, data, settings)
    side_by_side(session, curves, settings)
    for curve in curves:
        if curve.done():
            best = [f"{epoch}: {top1:.2f}" for epoch, (_, top1) in curve.points().items() if top1 is not None]
            session.row(
                f"{curve.name}: {curve.done()} epochs",
                f"{curve.speed()}; kNN % {', '.join(best[-4:])}",
                points=curve.points(),
            )
            session.row(f"{curve.name}: command", curve.command())
    if session.cuda:  # else too little is trained to be alike
        compare(session, *curves[:2])


def linear(session):
    """Of what `train` left behind."""
    data = unpack(session)
    if data is None:
        return
    settings = Settings(session, session.options.epochs)
    curves = [curve for curve in curves_of(session, data, settings) if curve.done()]
    if not curves:
        return session.row("linear", f"no network of the section train in {session.state}", "skipped")
    session.parallel([lambda curve=curve: evaluate(session, data, settings, curve) for curve in curves])
