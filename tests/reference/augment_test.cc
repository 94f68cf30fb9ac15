// Every case of augment.safetensors: bytes made by torchvision with Pillow and OpenCV for given parameters, compared
// with Backend::augment. No byte may differ.
#include "augment/augment.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/augment_bytes.h"
#include "support/backends.h"
#include "support/reference_file.h"

namespace dcl::test {
namespace {

using Json = nlohmann::json;

JitterOp jitter_op_of(const std::string& name) {
  if (name == "brightness") return JitterOp::brightness;
  if (name == "contrast") return JitterOp::contrast;
  if (name == "saturation") return JitterOp::saturation;
  if (name == "hue") return JitterOp::hue;
  throw std::runtime_error("no such jitter operator: " + name);
}

void add_jitter(ViewParams& view, JitterOp op, double factor) {
  const auto f = static_cast<float>(factor);
  switch (op) {
    case JitterOp::brightness:
      view.brightness = f;
      break;
    case JitterOp::contrast:
      view.contrast = f;
      break;
    case JitterOp::saturation:
      view.saturation = f;
      break;
    case JitterOp::hue:
      view.hue_shift = hue_shift_of(factor);
      break;
  }
  view.jitter_order[view.jitter_count++] = op;
}

void set_crop(const Json& c, ViewParams& view, AugmentDesc& desc) {
  view.crop_y = c.at("top");
  view.crop_x = c.at("left");
  view.crop_h = c.at("height");
  view.crop_w = c.at("width");
  const Json& size = c.at("size");
  desc.h = size.is_array() ? size.at(0).get<int64_t>() : size.get<int64_t>();
  desc.w = size.is_array() ? size.at(1).get<int64_t>() : size.get<int64_t>();
}

/// The parts of a chain that a case does not name are left out.
void set_chain(const Json& c, ViewParams& view, AugmentDesc& desc) {
  if (c.contains("top")) set_crop(c, view, desc);
  view.flip = c.value("flip", false);
  for (const auto& name : c.value("order", std::vector<std::string>{}))
    add_jitter(view, jitter_op_of(name), c.at(name));
  view.gray = c.value("gray", c.value("grayscale", false));
  if (c.contains("sigma")) set_gaussian_blur(view, c.at("kernel"), c.at("sigma"));
}

/// Sets the one operator of a case; view is the whole image and desc has its extent.
void set_operator(const Json& c, ViewParams& view, AugmentDesc& desc) {
  const std::string op = c.at("op");
  if (op == "resized_crop") return set_crop(c, view, desc);
  if (op == "chain") return set_chain(c, view, desc);
  if (op == "hflip") {
    view.flip = true;
  } else if (op == "grayscale") {
    view.gray = true;
  } else if (op == "gaussian_blur") {
    set_gaussian_blur(view, c.at("kernel"), c.at("sigma"));
  } else if (op != "normalize") {
    add_jitter(view, jitter_op_of(op), c.at("factor"));
  }
}

struct Image {
  std::vector<uint8_t> bytes;
  int32_t h, w;
};

Image image_of(const ReferenceFile& file, const Json& c) {
  const std::string name =
      c.at("image").is_string() ? c.at("image").get<std::string>() : "image" + std::to_string(c.at("image").get<int>());
  const auto shape = file.shape(name);
  return {file.u8(name), static_cast<int32_t>(shape.at(0)), static_cast<int32_t>(shape.at(1))};
}

/// CHW, as the reference has it.
std::vector<float> channels_first(const std::vector<float>& pixels) {
  const size_t count = pixels.size() / 3;
  std::vector<float> out(pixels.size());
  for (size_t i = 0; i < count; ++i)
    for (size_t c = 0; c < 3; ++c) out[c * count + i] = pixels[3 * i + c];
  return out;
}

class AugmentReference : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    DCL_NEEDS_REFERENCE();
    backend_ = make_backend(GetParam());
  }
  std::unique_ptr<Backend> backend_;
};

TEST_P(AugmentReference, EveryCaseByteForByte) {
  const ReferenceFile file("augment.safetensors");
  const Json cases = file.cases();
  ASSERT_FALSE(cases.empty());
  for (const Json& c : cases) {
    SCOPED_TRACE(c.dump());
    const Image image = image_of(file, c);
    ViewParams view = evaluation_view({0, image.h, image.w}, 0);
    AugmentDesc desc;
    desc.h = image.h;
    desc.w = image.w;
    set_operator(c, view, desc);
    const std::string key = c.at("key");
    if (c.at("op") == "normalize") {
      EXPECT_EQ(file.shape(key), (std::vector<int64_t>{3, desc.h, desc.w}));
      EXPECT_EQ(channels_first(augment_f32(*backend_, desc, image.bytes, view)), file.f32(key));
    } else {
      EXPECT_EQ(file.shape(key), (std::vector<int64_t>{desc.h, desc.w, 3}));
      EXPECT_EQ(augment_bytes(*backend_, desc, image.bytes, view), file.u8(key));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, AugmentReference, testing::ValuesIn(working_backends()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace dcl::test
