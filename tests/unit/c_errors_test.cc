// The C interface with arguments that make no sense, and with files and devices that fail.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "io/safetensors.h"
#include "support/c_model.h"

namespace dcl::test {
namespace {

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

using CErrors = CModel;

TEST_F(CErrors, NullArgumentsAreRefused) {
  dcl_model *model = open(encoder_), *other = nullptr;
  int64_t number = 0;
  const char* text = nullptr;
  expect(dcl_open(encoder_.c_str(), nullptr, nullptr), DCL_USAGE, "must not be null");
  expect(dcl_open(nullptr, nullptr, &other), DCL_USAGE, "path must not be null");
  for (const auto get : {dcl_features, dcl_classes, dcl_eval_size}) {
    expect(get(nullptr, &number), DCL_USAGE, "must not be null");
    expect(get(model, nullptr), DCL_USAGE, "must not be null");
  }
  expect(dcl_device(nullptr, &text), DCL_USAGE, "must not be null");
  expect(dcl_device(model, nullptr), DCL_USAGE, "must not be null");
  expect(dcl_class_name(nullptr, 0, &text), DCL_USAGE, "must not be null");
  expect(dcl_class_name(model, 0, nullptr), DCL_USAGE, "must not be null");
  for (const auto& [compute, what] : {std::pair{&dcl_embed, int{DCL_RAW}}, std::pair{&dcl_classify, int{DCL_LOGITS}}}) {
    const uint8_t* pixels = pixels_.data();
    expect(compute(nullptr, pixels, 1, kSide, kSide, 0, what, results_.data(), kWidth), DCL_USAGE, "model");
    expect(compute(model, nullptr, 1, kSide, kSide, 0, what, results_.data(), kWidth), DCL_USAGE, "pixels");
    expect(compute(model, pixels, 1, kSide, kSide, 0, what, nullptr, kWidth), DCL_USAGE, "results must not be null");
  }
  dcl_close(nullptr);
}

TEST_F(CErrors, SizesThatMakeNoSenseAreRefused) {
  dcl_model* model = open(encoder_);
  const std::vector<float> expected = embed(model, 2);
  const auto with = [&](int64_t images, int64_t h, int64_t w, int64_t stride, int64_t room, int what = DCL_RAW) {
    return dcl_embed(model, pixels_.data(), images, h, w, stride, what, results_.data(), room);
  };
  for (const int64_t bad : {int64_t{0}, int64_t{-1}, -kMost - 1}) {
    expect(with(bad, kSide, kSide, 0, kWidth), DCL_USAGE, "at least 1");
    expect(with(1, bad, kSide, 0, kWidth), DCL_USAGE, "at least 1");
    expect(with(1, kSide, bad, 0, kWidth), DCL_USAGE, "at least 1");
    expect(with(1, kSide, kSide, 0, bad), DCL_USAGE, "not for 1 x 512");
  }
  expect(with(1, kMost, kSide, 0, kMost), DCL_USAGE, "too large");
  expect(with(1, kSide, kMost, 0, kMost), DCL_USAGE, "too large");
  expect(with(1, 16384, 16384, 0, kMost), DCL_USAGE, "too large");
  expect(with(kMost, kSide, kSide, 0, kMost), DCL_USAGE, "larger than any memory");
  expect(with(kMost / kBytes, kSide, kSide, 0, 9 * kWidth), DCL_USAGE, "room for 4608 numbers");
  expect(with(1, kSide, kSide, kMost, kMost), DCL_USAGE, "larger than any memory");
  expect(with(kMost, 1, 1, 3, kMost), DCL_USAGE, "larger than any memory");
  for (const int64_t stride : {int64_t{-1}, -kMost - 1, 3 * kSide - 1})
    expect(with(1, kSide, kSide, stride, kWidth), DCL_USAGE, "row_stride");
  expect(with(2, kSide, kSide, 0, 2 * kWidth - 1), DCL_USAGE, "room for 1023 numbers, not for 2 x 512");
  expect(with(1, kSide, kSide, 0, kWidth, 0), DCL_USAGE, "DCL_UNIT_LENGTH or DCL_RAW");
  expect(with(1, kSide, kSide, 0, kWidth, DCL_LOGITS), DCL_USAGE, "DCL_UNIT_LENGTH or DCL_RAW");
  expect(dcl_classify(model, pixels_.data(), 1, kSide, kSide, 0, DCL_RAW, results_.data(), kWidth), DCL_USAGE,
         "DCL_PROBABILITIES or DCL_LOGITS");
  EXPECT_EQ(embed(model, 2), expected) << "and the model can be used on";
}

TEST_F(CErrors, ABatchBeyondMemoryIsSoAndTheModelCanBeUsedOn) {
  options_.batch_size = 65536;
  dcl_model* model = open(encoder_);
  const std::vector<float> expected = embed(model, 3);
  // 12 TiB, which are refused before any is read.
  expect(dcl_embed(model, pixels_.data(), 65536, 8192, 8192, 0, DCL_RAW, results_.data(), kMost), DCL_OUT_OF_MEMORY,
         "memory");
  EXPECT_EQ(embed(model, 3), expected);
}

TEST_F(CErrors, OptionsAreChecked) {
  options_.device = "abacus";
  expect(opened(encoder_), DCL_USAGE, "unknown device 'abacus'");
  options_.device = "eigen", options_.dtype = "f8";
  expect(opened(encoder_), DCL_USAGE, "unknown dtype 'f8'");
  options_.dtype = "tf32";
  expect(opened(encoder_), DCL_ENVIRONMENT, "no tf32");
  options_.dtype = nullptr, options_.normalization = "odd";
  expect(opened(encoder_), DCL_USAGE, "odd");
  options_.normalization = nullptr, options_.model_prefix = "absent.";
  expect(opened(encoder_), DCL_DATA, "absent.");
  options_.model_prefix = nullptr;
  for (const int64_t bad : {int64_t{-2}, int64_t{4097}, kMost}) {
    options_.eval_size = bad;
    expect(opened(encoder_), DCL_USAGE, "eval_size");
  }
  options_.eval_size = 0;
  for (const int64_t bad : {int64_t{-1}, int64_t{65537}}) {
    options_.batch_size = bad;
    expect(opened(encoder_), DCL_USAGE, "batch_size");
  }
  expect(dcl_set_threads(-1), DCL_USAGE, "threads");
}

/// A program that was compiled with a later header, whose options have one field more.
TEST_F(CErrors, OptionsOfAnotherVersionAreToldApart) {
  struct Later {
    dcl_options known;
    int64_t more;
  } later{options_, 0};
  later.known.struct_size = sizeof later;
  dcl_model* model = nullptr;
  EXPECT_EQ(dcl_open(encoder_.c_str(), &later.known, &model), DCL_OK) << dcl_last_error();
  dcl_close(model);
  later.more = 1;
  expect(opened(encoder_, &later.known), DCL_USAGE, "this version of the library does not have");
  for (const size_t bad : {size_t{0}, sizeof options_ - 1, size_t{1} << 40}) {
    options_.struct_size = bad;
    expect(opened(encoder_), DCL_USAGE, "struct_size");
  }
}

TEST_F(CErrors, FilesThatHoldNoModelAreRefused) {
  expect(opened(folder_ / "absent"), DCL_DATA, "absent");
  expect(opened(folder_.path()), DCL_DATA, "is a folder");
  const std::string bytes = read_text(encoder_), damaged = folder_ / "damaged";
  for (const size_t kept : {size_t{0}, size_t{7}, size_t{1000}, bytes.size() - 1}) {
    write_text(damaged, bytes.substr(0, kept));
    expect(opened(damaged), DCL_DATA, "damaged");
  }
  const auto backend = make_backend("eigen");
  ParameterStore store(*backend, {.arch = "resnet18", .head = false}, /*with_gradients=*/false);
  store.initialise(5);
  *static_cast<float*>(store.tensor(store.entry("f.0.weight")).data) = std::numeric_limits<float>::infinity();
  write_safetensors(folder_ / "infinite", model_sources(store), {});
  dcl_model* model = open(folder_ / "infinite");
  expect(dcl_embed(model, pixels_.data(), 1, kSide, kSide, 0, DCL_RAW, results_.data(), kWidth), DCL_NUMERICAL,
         "weights are not finite");
}

/// The number of an image counts from the first of the call, not of its pass.
TEST_F(CErrors, FeaturesThatAreNotFiniteNameTheImage) {
  const auto backend = make_backend("eigen");
  ParameterStore store(*backend, {.arch = "resnet18", .head = false}, /*with_gradients=*/false);
  store.initialise(5);
  const auto first = [&](const char* name) { return static_cast<float*>(store.tensor(store.entry(name)).data); };
  *first("f.6.1.bn2.weight") = std::numeric_limits<float>::max();
  write_safetensors(folder_ / "large", model_sources(store), {});
  options_.normalization = "none";  // nothing comes of a black image
  dcl_model* model = open(folder_ / "large");
  std::fill(pixels_.begin(), pixels_.begin() + 7 * kBytes, uint8_t{0});
  const auto embed_first = [&](int64_t images) {
    return dcl_embed(model, pixels_.data(), images, kSide, kSide, 0, DCL_RAW, results_.data(), 9 * kWidth);
  };
  EXPECT_EQ(embed_first(7), DCL_OK) << dcl_last_error();
  expect(embed_first(9), DCL_NUMERICAL, "the features of image 7 are not finite");
}

TEST_F(CErrors, ClassesOfAnEncoderThereAreNone) {
  dcl_model* model = open(encoder_);
  int64_t classes = -1;
  const char* name = nullptr;
  EXPECT_EQ(dcl_classes(model, &classes), DCL_OK);
  EXPECT_EQ(classes, 0);
  for (const int64_t index : {int64_t{0}, int64_t{-1}, kMost})
    expect(dcl_class_name(model, index, &name), DCL_USAGE, "there is no class");
  expect(dcl_classify(model, pixels_.data(), 1, kSide, kSide, 0, DCL_LOGITS, results_.data(), kWidth), DCL_DATA,
         "has no classifier");
}

}  // namespace
}  // namespace dcl::test
