#!/bin/sh
# Exported models in ONNX Runtime: needs DCL_PEER_PYTHON (a Python with onnx, onnxruntime, torch, torchvision, pillow,
# safetensors); exit code 77 without it. DCL_APPS is the folder of the programs.
set -eu
. "$(dirname "$0")/peer_setup.sh"
"$DCL_PEER_PYTHON" -c "import onnx, onnxruntime" 2> /dev/null || { echo "skipped: no onnx or onnxruntime"; exit 77; }

for size in 32 96; do "$DCL_PEER_PYTHON" "$here/peer_images.py" "$work/images$size" $size; done

for network in "resnet18 cifar" "resnet50 imagenet"; do
  set -- $network
  run="$work/$1"
  "$DCL_APPS/dcl-pretrain" --dataset folder --data "$work/images32" --arch "$1" --stem "$2" --batch_size 3 --max_steps 2 \
    --test_every 0 --no_knn --run_dir "$run" --seed 1 2> "$work/log" || { cat "$work/log"; exit 1; }
  "$DCL_APPS/dcl-convert" "$run/checkpoints/latest" "$run.onnx" 2> "$work/log" || { cat "$work/log"; exit 1; }
  for size in 32 96; do
    "$DCL_APPS/dcl-embed" --dataset folder --data "$work/images$size" --model_path "$run/checkpoints/latest" \
      --out "$run$size.npy" 2> "$work/log" || { cat "$work/log"; exit 1; }
    "$DCL_PEER_PYTHON" "$here/peer_onnx.py" "$run/checkpoints/latest" "$run.onnx" "$run$size.npy" \
      "$work/images$size" "$1" "$2"
  done
done
