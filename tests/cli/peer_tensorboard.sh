#!/bin/sh
# Runs and projector files in TensorBoard's own readers: needs DCL_PEER_PYTHON (a Python with tensorboard, numpy and
# pillow); exit code 77 without it. DCL_APPS is the folder of the programs.
set -eu
. "$(dirname "$0")/peer_setup.sh"
"$DCL_PEER_PYTHON" -c "import tensorboard, PIL" 2> /dev/null || { echo "skipped: no tensorboard or pillow"; exit 77; }
images="--dataset shapes --shapes_count 30 --shapes_size 16"

train() {
  "$DCL_APPS/dcl-pretrain" $images --image_size 16 --arch resnet18 --batch_size 8 --epochs 2 --test_every 1 --k 5 \
    --checkpoint_every 2 --tensorboard --run_dir "$work/run" --seed 1 "$@" 2> "$work/log" || { cat "$work/log"; exit 1; }
}

# Stopped after five steps; the checkpoint of the fifth is lost, so that the fifth step is done twice.
train --max_steps 5
rm "$work"/run/checkpoints/step-00000005.*
train
"$DCL_PEER_PYTHON" "$here/peer_tensorboard.py" run "$work/run" 6

"$DCL_APPS/dcl-embed" $images --model_path "$work/run/checkpoints/latest" --out "$work/x.npy" \
  --projector "$work/new/projector" 2> "$work/log" || { cat "$work/log"; exit 1; }
"$DCL_PEER_PYTHON" "$here/peer_tensorboard.py" projector "$work/new/projector" "$work/x.npy"
