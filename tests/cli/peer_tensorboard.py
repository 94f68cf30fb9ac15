"""Reads what a run and dcl-embed left for TensorBoard with TensorBoard's own readers. Started by peer_tensorboard.sh.

usage: peer_tensorboard.py run RUN_DIR STEPS     event files against metrics.jsonl
       peer_tensorboard.py projector DIR NPY     projector files against the features in NPY"""

import io
import json
import sys
from pathlib import Path

import numpy as np
from google.protobuf import text_format
from PIL import Image
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.plugins.projector import projector_config_pb2, projector_plugin


def check(condition, what):
    if not condition:
        sys.exit(f"wrong: {what}")


def check_run(folder, steps):
    log = event_accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "histograms": 0})
    log.Reload()
    tags = log.Tags()
    records = [json.loads(line) for line in open(folder / "metrics.jsonl")]
    train = {r["step"]: r for r in records if r["split"] == "train"}
    check(sorted(train) == list(range(1, steps + 1)), f"steps of metrics.jsonl {sorted(train)}")
    for name in (
        "loss",
        "clamp_fraction",
        "mean_positive",
        "mean_negative",
        "lr",
        "images_per_second",
        "wait_fraction",
    ):
        events = log.Scalars(f"train/{name}")
        check([e.step for e in events] == list(range(1, steps + 1)), f"steps of {name}: {[e.step for e in events]}")
        for e in events:
            check(np.float32(e.value) == np.float32(train[e.step][name]), f"{name} of step {e.step}")
    knn = {r["step"]: r for r in records if r["split"] == "knn"}
    for name in ("top1", "top5"):
        got = {e.step: e.value for e in log.Scalars(f"knn/{name}")}
        check(got.keys() == knn.keys(), f"steps of knn/{name}: {got}")
        for step, value in got.items():
            check(np.float32(value) == np.float32(knn[step][f"knn_{name}"]), f"knn/{name} of step {step}")

    expected = [f"weights/{part}" for part in ("head", "layer1", "layer2", "layer3", "layer4", "stem")]
    check(sorted(tags["histograms"]) == expected, f"histograms {tags['histograms']}")
    for tag in expected:
        events = log.Histograms(tag)
        check([e.step for e in events] == sorted({e.step for e in events}), f"steps of {tag}")
        last = events[-1].histogram_value
        check(last.num == sum(last.bucket) and last.min < 0 < last.max, f"buckets of {tag}")
    check(log.Histograms("weights/stem")[-1].histogram_value.num == 3 * 3 * 3 * 64, "the stem's weights")

    (views,) = log.Images("train/views")
    image = Image.open(io.BytesIO(views.encoded_image_string))
    image.load()
    check((image.width, image.height) == (views.width, views.height), "extent of the views")
    check(np.asarray(image).std() > 10, "views show something")
    check(any("configuration" in tag for tag in tags["tensors"]), f"the configuration's text: {tags['tensors']}")
    print(f"{folder.name}: {steps} steps in {len(list(folder.glob('events.out.tfevents.*')))} event files agree")


def check_projector(folder, features):
    config = text_format.Parse((folder / "projector_config.pbtxt").read_text(), projector_config_pb2.ProjectorConfig())
    (embedding,) = config.embeddings
    expected = np.load(features)
    got = projector_plugin._read_tensor_tsv_file(str(folder / embedding.tensor_path))
    check(got.shape == expected.shape and np.array_equal(got.astype(np.float32), expected), "features.tsv")
    lines = (folder / embedding.metadata_path).read_text().splitlines()
    check(lines[0] == "class\tname" and len(lines) == len(expected) + 1, "metadata.tsv")
    check(all(line.count("\t") == 1 for line in lines), "columns of metadata.tsv")
    sprite = Image.open(folder / embedding.sprite.image_path)
    side = embedding.sprite.single_image_dim[0]
    tiles = int(np.ceil(np.sqrt(len(expected))))
    check(sprite.size == (tiles * side, tiles * side), f"sprite of {sprite.size}")
    corner = np.asarray(sprite)
    check(corner[:side, :side].std() > 5, "the first thumbnail shows something")
    check(len(expected) == tiles**2 or not corner[-side:, -side:].any(), "places beyond the last image are black")
    print(f"projector: {len(expected)} points agree")


def main():
    if sys.argv[1] == "run":
        check_run(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        check_projector(Path(sys.argv[2]), sys.argv[3])


main()
