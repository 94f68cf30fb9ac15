// A small classifier in a file, with random weights, for tests of what applies such files.
#pragma once

#include <string>
#include <vector>

#include "core/registry.h"
#include "math/philox.h"
#include "train/classifier_file.h"

namespace dcl::test {

/// ResNet-18 and three classes, "ant", "bee" and "cat"; returns the path.
inline std::string write_random_classifier(const std::string& path, FileMetadata metadata = {}) {
  const auto backend = make_backend("eigen");
  ParameterStore encoder(*backend, {.arch = "resnet18", .head = false}, /*with_gradients=*/false);
  encoder.initialise(5);
  LinearValues linear{std::vector<float>(3 * 512), {0.5f, -1, 0.25f}};
  RandomStream random(9, RandomPurpose::classifier_init);
  for (float& value : linear.weight) value = static_cast<float>(random.uniform(-0.1, 0.1));
  write_classifier(path, encoder, linear, {"ant", "bee", "cat"}, std::move(metadata));
  return path;
}

}  // namespace dcl::test
