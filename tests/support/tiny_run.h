// The smallest pretraining run that still has everything: two epochs of three steps on drawn images.
#pragma once

#include <string>
#include <vector>

#include "support/process.h"

namespace dcl::test {

inline constexpr int kTinySteps = 6, kTinyStepsPerEpoch = 3;

/// Arguments of a tiny run in `run_dir`; `more` comes last.
inline std::vector<std::string> tiny_run(const std::string& run_dir, const std::vector<std::string>& more = {}) {
  std::vector<std::string> argv = {app("dcl-pretrain"),
                                   "--dataset",
                                   "shapes",
                                   "--shapes_count",
                                   "30",
                                   "--shapes_size",
                                   "16",
                                   "--image_size",
                                   "16",
                                   "--arch",
                                   "resnet18",
                                   "--batch_size",
                                   "8",
                                   "--epochs",
                                   "2",
                                   "--test_every",
                                   "0",
                                   "--k",
                                   "5",
                                   "--seed",
                                   "1",
                                   "--threads",
                                   "2",
                                   "--run_dir",
                                   run_dir};
  argv.insert(argv.end(), more.begin(), more.end());
  return argv;
}

inline std::string model_of(const std::string& run_dir) { return run_dir + "/checkpoints/latest"; }
inline std::string file_of(const std::string& run_dir, int step, bool state = false) {
  char name[64];
  std::snprintf(name, sizeof name, "/checkpoints/step-%08d%s.safetensors", step, state ? ".state" : "");
  return run_dir + name;
}

}  // namespace dcl::test
