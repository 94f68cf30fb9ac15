#include "run/common_options.h"

namespace dcl {
namespace {
constexpr double kMaxCount = 1e12;
}

void DataOptions::add_options(Options& options) {
  options.group("Data");
  options.add("dataset", &dataset, "what the images are; shapes is built in and needs no files")
      .choices({"stl10", "cifar10", "cifar100", "folder", "shapes"});
  options.add("data", &data, "folder of the data set (stl10_binary, cifar-10-batches-bin, or images)");
  options.add("split", &split, "part of the data set: train, test, unlabeled or train+unlabeled");
  options.add("per_class", &per_class, "use the first N images of each class; 0 = all").range(0, kMaxCount);
  options.add("num_images", &num_images, "how many images shapes draws").range(1, kMaxCount);
  options.add("image_size", &image_size, "side of the images that shapes draws, in pixels").range(8, 1024);
  options.add("strict_images", &strict_images, "stop at the first unreadable image instead of leaving it out");
}

void ModelOptions::add_options(Options& options, bool model_path_required) {
  options.group("Model");
  options.add("arch", &arch, "residual network").choices({"resnet18", "resnet34", "resnet50", "resnet101"});
  options.add("stem", &stem, "first layers: 3x3 without max-pool (cifar), or 7x7 and max-pool (imagenet)")
      .choices({"cifar", "imagenet"});
  options.add("feature_dim", &feature_dim, "width of the projection that the objective sees").range(1, 65536);
  Option& path = options.add("model_path", &model_path, "encoder or checkpoint to start from (safetensors)");
  if (model_path_required) path.required();
}

void DeviceOptions::add_options(Options& options) {
  options.group("Device");
  options.add("device", &device, "backend; auto takes the fastest that works here")
      .choices({"auto", "cuda", "onednn", "eigen"});
  options.add("dtype", &dtype, "type of activations; weights and statistics stay f32").choices({"f32", "bf16"});
  options.add("threads", &threads, "compute threads; 0 = all cores this process may use").range(0, 4096);
}

void RunOptions::add_options(Options& options) {
  options.group("Run");
  options.add("seed", &seed, "seed of everything random");
  options.add("run_dir", &run_dir, "folder of this run; empty = runs/TIME_NAME").transient();
}

}  // namespace dcl
