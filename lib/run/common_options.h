// Option groups that several apps share, so that a name means the same everywhere.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "run/options.h"

namespace dcl {

/// Which images. Apps set other defaults before add_options.
struct DataOptions {
  std::string dataset = "stl10";          ///< --dataset {stl10,cifar10,cifar100,folder,shapes}
  std::filesystem::path data = "data";    ///< --data DIR
  std::string split = "train+unlabeled";  ///< --split
  int64_t per_class = 0;                  ///< --per_class: first N images of each class; 0 = all
  int64_t num_images = 5000;              ///< --num_images: how many `shapes` draws
  int image_size = 32;                    ///< --image_size: side of `shapes`, 32 or 96
  bool strict_images = false;             ///< --strict_images: stop at the first unreadable image

  void add_options(Options& options);
};

/// Which network.
struct ModelOptions {
  std::string arch = "resnet50";     ///< --arch {resnet18,resnet34,resnet50,resnet101}
  std::string stem = "cifar";        ///< --stem {cifar,imagenet}
  int feature_dim = 128;             ///< --feature_dim
  std::filesystem::path model_path;  ///< --model_path; empty = a new network

  void add_options(Options& options, bool model_path_required);
};

/// Where it is computed.
struct DeviceOptions {
  std::string device = "auto";  ///< --device {auto,cuda,onednn,eigen}
  std::string dtype = "f32";    ///< --dtype {f32,bf16}
  int threads = 0;              ///< --threads; 0 = all cores this process may use

  void add_options(Options& options);
};

/// What identifies a run.
struct RunOptions {
  uint64_t seed = 0;              ///< --seed
  std::filesystem::path run_dir;  ///< --run_dir; empty = runs/TIME_NAME

  void add_options(Options& options);
};

}  // namespace dcl
