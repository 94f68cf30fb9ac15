#!/bin/sh
# A run's checkpoint in PyTorch and in the safetensors package: needs DCL_PEER_PYTHON (a Python with torch, torchvision, pillow, safetensors); exit code 77
# without it. DCL_APPS is the folder of the programs.
set -eu
. "$(dirname "$0")/peer_setup.sh"

"$DCL_PEER_PYTHON" "$here/peer_images.py" "$work/images" 32

for arch in resnet18 resnet50; do
  "$DCL_APPS/dcl-pretrain" --dataset folder --data "$work/images" --arch $arch --batch_size 4 --max_steps 3 \
    --test_every 0 --no_knn --run_dir "$work/$arch" --seed 1 2> "$work/log" || { cat "$work/log"; exit 1; }
  "$DCL_APPS/dcl-embed" --dataset folder --data "$work/images" --model_path "$work/$arch/checkpoints/latest" \
    --out "$work/$arch.npy"
  "$DCL_PEER_PYTHON" "$here/peer_features.py" $arch cifar "$work/images" "$work/$arch/checkpoints/latest" "$work/$arch.npy"
  for part in "" .state; do
    file="$work/$arch/checkpoints/step-00000003$part.safetensors"
    "$DCL_APPS/dcl-convert" "$file" "$work/part.npz" 2> "$work/log" || { cat "$work/log"; exit 1; }
    "$DCL_PEER_PYTHON" "$here/peer_checkpoint.py" "$file" "$work/part.npz"
  done
done
