"""The published training in PyTorch on folders of images, with its kNN curve: what dcl-pretrain's curve is compared with.

usage: gpu_curve.py --data DIR --state FILE --epochs N [--test_every 5] [--augment torchvision|gpu] [--tau_plus 0.1]
DIR holds train/CLASS/*.jpg and test/CLASS/*.jpg, all of one extent. Trains until N epochs are done in all, from FILE if it
is there, where weights, optimizer state and history are kept after every epoch (the weights alone in FILE.model.pth, the
history in FILE.json).
Prints one JSON object per epoch, those of earlier calls first. The network and its step are gpu_train_step.py's; views are
drawn by torchvision, Pillow and OpenCV in one process per core, or on the device (gpu_augment.py).
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from gpu_augment import MEAN, STD, augment
from gpu_train_step import Step


def read_image(path):
    return np.asarray(Image.open(path).convert("RGB"))


def read_folder(folder, most):
    """(images [N, H, W, 3] u8, labels): classes by name, `most` of each unless 0."""
    files, labels = [], []
    for label, name in enumerate(sorted(p.name for p in folder.iterdir() if p.is_dir())):
        found = sorted((folder / name).iterdir())[: most or None]
        files += found
        labels += [label] * len(found)
    with multiprocessing.Pool(len(os.sched_getaffinity(0))) as pool:
        images = pool.map(read_image, files, chunksize=256)
    return np.stack(images), torch.tensor(labels)


class Epochs:
    """Indices of the batches of one epoch after another; each epoch's order depends on its number alone."""

    def __init__(self, images, batch, seed):
        self.images, self.batch, self.seed, self.epoch = images, batch, seed, 0

    def __len__(self):
        return self.images // self.batch

    def __iter__(self):
        order = torch.randperm(self.images, generator=torch.Generator().manual_seed(1000 * self.seed + self.epoch))
        self.epoch += 1
        yield from order[: len(self) * self.batch].view(-1, self.batch).tolist()


class Views(torch.utils.data.Dataset):
    """Two views of every image of a batch, first views first."""

    def __init__(self, images):
        from augment import published_transform

        self.images, self.transform = images, published_transform()

    def __getitem__(self, batch):
        pictures = [Image.fromarray(self.images[i]) for i in batch]
        return torch.stack([self.transform(picture) for _ in range(2) for picture in pictures])


def start_worker(number):
    torch.set_num_threads(1)
    np.random.seed(torch.initial_seed() % 2**32)


def batches_of(args, images, epochs, device):
    """A callable that gives the views of one epoch's batches."""
    if args.augment == "gpu":
        resident = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().to(device)
        draw = torch.compile(augment) if device.type == "cuda" else augment
        return lambda: (draw(resident[torch.tensor(batch, device=device).repeat(2)]) for batch in epochs)
    loader = torch.utils.data.DataLoader(
        Views(images),
        batch_size=None,
        sampler=epochs,
        worker_init_fn=start_worker,
        num_workers=len(os.sched_getaffinity(0)),
        persistent_workers=True,
        pin_memory=device.type == "cuda",
        prefetch_factor=4,
    )
    return lambda: iter(loader)


class TrainingStep(Step):
    """That of gpu_train_step's, with the loss in reach and a start that changes nothing."""

    def forward(self, views):
        loss = super().forward(views)
        self.loss = loss.detach() / self.scale
        return loss

    def prepare(self):
        """Recording runs a few steps: weights, statistics and optimizer are put back as they were."""
        if self.args.mode != "graph":
            return
        weights = {name: value.clone() for name, value in self.model.state_dict().items()}
        moments = {p: {k: v.clone() for k, v in state.items()} for p, state in self.optimizer.state.items()}
        self.capture()
        for name, value in self.model.state_dict().items():
            value.copy_(weights[name])
        for p, state in self.optimizer.state.items():
            for key, value in state.items():
                value.copy_(moments[p][key]) if p in moments else value.zero_()


@torch.no_grad()
def features(step, images, chunk=1000):
    mean, std = (torch.tensor(v, device=step.device).view(1, 3, 1, 1) for v in (MEAN, STD))
    out = []
    for first in range(0, len(images), chunk):
        x = torch.from_numpy(images[first : first + chunk]).to(step.device).permute(0, 3, 1, 2).float() / 255
        x = ((x - mean) / std).to(memory_format=torch.channels_last)
        with torch.autocast(step.device.type, dtype=step.half, enabled=step.half is not None):
            out.append(F.normalize(torch.flatten(step.model.f(x), 1).float(), dim=-1))
    return torch.cat(out)


@torch.no_grad()
def knn_top1(step, train, test, k=200, temperature=0.5):
    """Percent, as published: neighbours weigh exp(similarity / temperature)."""
    step.model.eval()
    bank, labels = features(step, train[0]), train[1].to(step.device)
    classes, right = int(labels.max()) + 1, 0
    for first in range(0, len(test[0]), 1000):
        weights, index = (features(step, test[0][first : first + 1000]) @ bank.t()).topk(min(k, len(bank)), dim=-1)
        scores = torch.zeros(len(index), classes, device=step.device)
        scores.scatter_add_(1, labels[index], (weights / temperature).exp())
        right += (scores.argmax(-1).cpu() == test[1][first : first + 1000]).sum().item()
    step.model.train()
    return 100 * right / len(test[0])


def save(file, step, history):
    for path, content in (
        (f"{file}.model.pth", step.model.state_dict()),
        (
            file,
            {"model": step.model.state_dict(), "optimizer": step.optimizer.state_dict()["state"], "history": history},
        ),
    ):
        torch.save(content, f"{path}.new")
        os.replace(f"{path}.new", path)
    with open(f"{file}.json.new", "w") as out:
        json.dump(history, out)
    os.replace(f"{file}.json.new", f"{file}.json")


def load(file, step):
    """The history of what was loaded."""
    if not os.path.exists(file):
        return []
    saved = torch.load(file, map_location=step.device, weights_only=True)
    step.model.load_state_dict(saved["model"])
    step.optimizer.load_state_dict(
        {"state": saved["optimizer"], "param_groups": step.optimizer.state_dict()["param_groups"]}
    )
    return saved["history"]


def train(args):
    train_set, test_set = (
        read_folder(pathlib.Path(args.data) / split, most)
        for split, most in (("train", args.max_per_class), ("test", args.test_max_per_class))
    )
    step = TrainingStep(args)
    history = load(args.state, step)
    for line in history:
        print(json.dumps(line), flush=True)
    if len(history) >= args.epochs:
        return
    step.prepare()
    epochs = Epochs(len(train_set[0]), args.batch, args.seed)
    epochs.epoch = len(history)
    batches = batches_of(args, train_set[0], epochs, step.device)
    for epoch in range(len(history) + 1, args.epochs + 1):
        begin, total = time.perf_counter(), torch.zeros((), device=step.device)
        for views in batches():
            step.views.copy_(views, non_blocking=True)
            step.run()
            total += step.loss
        line = {
            "curve": "PyTorch",
            "epoch": epoch,
            "mean_loss": round(total.item() / len(epochs), 4),
            "seconds": round(time.perf_counter() - begin, 2),
            "augment": args.augment,
            "dtype": args.dtype,
        }
        if epoch % args.test_every == 0:
            line["knn_top1"] = round(knn_top1(step, train_set, test_set), 2)
        line["seconds_with_test"] = round(time.perf_counter() - begin, 2)
        history.append(line)
        save(args.state, step, history)
        print(json.dumps(line), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--state", required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--test_every", type=int, default=5)
    parser.add_argument("--augment", choices=["torchvision", "gpu"], default="torchvision")
    parser.add_argument("--mode", choices=["graph", "eager"], default="graph")
    parser.add_argument(
        "--forwards", choices=["two", "one"], default="one", help="passes over the two views; the same batch norm"
    )
    parser.add_argument("--dtype", choices=["bf16", "fp16", "tf32", "f32"], default="bf16")
    parser.add_argument("--tau_plus", type=float, default=0.1)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--arch", default="resnet50")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max_per_class", type=int, default=0)
    parser.add_argument("--test_max_per_class", type=int, default=0)
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    if not (pathlib.Path(args.data) / "train").is_dir():
        sys.exit(f"error: {args.data} has no folder train/")
    train(args)


if __name__ == "__main__":
    main()
