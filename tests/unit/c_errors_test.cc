// The C interface in one process: arguments that make no sense, files and devices that fail, messages, threads, and
// models that are used again and again.
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <limits>
#include <stdexcept>
#include <thread>
#include <vector>

#include "c/dcl.h"
#include "core/registry.h"
#include "io/safetensors.h"
#include "support/classifier_model.h"
#include "support/process.h"
#include "support/random_model.h"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace dcl::test {
namespace {

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
constexpr int64_t kSide = 16, kWidth = 512, kBytes = 3 * kSide * kSide;

class CErrors : public testing::Test {
 protected:
  void SetUp() override {
    encoder_ = write_random_model(folder_ / "encoder.safetensors");
    for (size_t i = 0; i < pixels_.size(); ++i) pixels_[i] = static_cast<uint8_t>(i * i * 7 + i / 13);
    options_.struct_size = sizeof options_;
    options_.device = "eigen";
    options_.batch_size = 4;
  }
  void TearDown() override {
    for (dcl_model* model : open_) dcl_close(model);
    dcl_set_log(nullptr, nullptr);
    EXPECT_EQ(dcl_set_threads(0), DCL_OK);
  }

  dcl_model* open(const std::string& path) {
    dcl_model* model = nullptr;
    EXPECT_EQ(dcl_open(path.c_str(), &options_, &model), DCL_OK) << dcl_last_error();
    open_.push_back(model);
    return model;
  }
  dcl_status opened(const std::string& path, const dcl_options* options) {
    dcl_model* model = reinterpret_cast<dcl_model*>(this);
    const dcl_status status = dcl_open(path.c_str(), options, &model);
    EXPECT_NE(status, DCL_OK);
    EXPECT_EQ(model, nullptr);
    return status;
  }
  dcl_status opened(const std::string& path) { return opened(path, &options_); }
  /// Features of unit length of the first images.
  std::vector<float> embed(dcl_model* model, int64_t images) {
    std::vector<float> rows(static_cast<size_t>(images * kWidth));
    EXPECT_EQ(dcl_embed(model, pixels_.data(), images, kSide, kSide, 0, DCL_UNIT_LENGTH, rows.data(), std::ssize(rows)),
              DCL_OK)
        << dcl_last_error();
    return rows;
  }
  static void expect(dcl_status status, dcl_status expected, const std::string& words) {
    EXPECT_EQ(status, expected) << dcl_last_error();
    EXPECT_NE(std::string(dcl_last_error()).find(words), std::string::npos) << dcl_last_error();
  }

  TemporaryFolder folder_;
  std::string encoder_;
  std::vector<uint8_t> pixels_ = std::vector<uint8_t>(9 * kBytes);
  std::vector<float> results_ = std::vector<float>(9 * kWidth);
  dcl_options options_{};
  std::vector<dcl_model*> open_;
};

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

/// Calls before leave no trace: as a model that was opened for this call alone.
TEST_F(CErrors, AModelIsUsedForBatchesOfEverySize) {
  dcl_model* model = open(encoder_);
  for (const int64_t images : {1, 3, 4, 5, 9, 3, 1}) {
    dcl_model* fresh = open(encoder_);
    EXPECT_EQ(embed(model, images), embed(fresh, images)) << images;
  }
  const std::vector<float> three = embed(model, 3);
  // The same bytes as images of another extent, and back.
  EXPECT_EQ(dcl_embed(model, pixels_.data(), 3, kSide / 2, 2 * kSide, 0, DCL_RAW, results_.data(), 3 * kWidth), DCL_OK);
  EXPECT_EQ(embed(model, 3), three);
}

TEST_F(CErrors, ClassifyingAndEmbeddingTakeTurns) {
  dcl_model* model = open(write_random_classifier(folder_ / "classifier.safetensors"));
  std::array<float, 27> first{}, again{};
  const auto classify = [&](std::span<float> to, int64_t images) {
    ASSERT_EQ(dcl_classify(model, pixels_.data(), images, kSide, kSide, 0, DCL_LOGITS, to.data(), std::ssize(to)),
              DCL_OK)
        << dcl_last_error();
  };
  classify(first, 9);
  const std::vector<float> features = embed(model, 2);
  EXPECT_NE(std::vector<float>(features.begin(), features.begin() + kWidth),
            std::vector<float>(features.begin() + kWidth, features.end()));
  classify(again, 2);
  for (size_t i = 0; i < 6; ++i) EXPECT_NEAR(again[i], first[i], 1e-4);
  classify(again, 9);
  EXPECT_EQ(again, first);
  EXPECT_EQ(embed(model, 2), features);
}

TEST_F(CErrors, MessagesGoToTheCallbackAlone) {
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  embed(open(encoder_), 2);
  std::vector<std::string> lines;
  const auto keep = [](void* user, int level, const char* message) {
    static_cast<std::vector<std::string>*>(user)->push_back(std::to_string(level) + message);
  };
  EXPECT_EQ(dcl_set_log(keep, &lines), DCL_OK);
  open(encoder_);
  const size_t said = lines.size();
  EXPECT_EQ(dcl_set_log(nullptr, nullptr), DCL_OK);
  open(encoder_);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  ASSERT_GE(said, 1u);
  EXPECT_EQ(lines.size(), said);
  EXPECT_EQ(lines[0].find("0device: eigen on "), 0u) << lines[0];

  EXPECT_EQ(dcl_set_log([](void*, int, const char*) { throw std::runtime_error("of a callback"); }, nullptr), DCL_OK);
  expect(opened(encoder_), DCL_INTERNAL, "of a callback");
}

TEST_F(CErrors, TheNumberOfThreadsStaysWhileAModelIsOpen) {
  EXPECT_EQ(dcl_set_threads(2), DCL_OK);
  dcl_model* model = open(encoder_);
  const std::vector<float> two = embed(model, 5);
  expect(dcl_set_threads(1), DCL_USAGE, "while a model is open");
  dcl_close(model);
  open_.clear();
  EXPECT_EQ(dcl_set_threads(1), DCL_OK);
#ifdef _OPENMP
  const int mine = omp_get_max_threads();
  omp_set_num_threads(3);
#endif
  EXPECT_EQ(embed(open(encoder_), 5), two) << "the same bits with every number";
#ifdef _OPENMP
  EXPECT_EQ(omp_get_max_threads(), 3) << "what the program itself computes with is left alone";
  omp_set_num_threads(mine);
#endif
}

TEST_F(CErrors, ModelsAreUsedSideBySide) {
  EXPECT_EQ(dcl_set_threads(2), DCL_OK);
  const std::vector<float> nine = embed(open(encoder_), 9), five = embed(open_[0], 5);
  dcl_model* opened_elsewhere = open(encoder_);
  expect(dcl_features(nullptr, nullptr), DCL_USAGE, "must not be null");
  const auto use = [&](int64_t images, const std::vector<float>& expected, dcl_model* model) {
    EXPECT_STREQ(dcl_last_error(), "") << "of this thread";
    for (int round = 0; round < 4; ++round) EXPECT_EQ(embed(model, images), expected);
    expect(dcl_embed(model, nullptr, 1, 1, 1, 0, DCL_RAW, nullptr, 0), DCL_USAGE, "pixels");
  };
  std::thread first([&] {
    dcl_model* model = nullptr;
    ASSERT_EQ(dcl_open(encoder_.c_str(), &options_, &model), DCL_OK) << dcl_last_error();
    use(9, nine, model);
    dcl_close(model);
  });
  std::thread second(use, 5, five, opened_elsewhere);
  first.join();
  second.join();
  EXPECT_NE(std::string(dcl_last_error()).find("must not be null"), std::string::npos) << "and so is this thread's";
}

}  // namespace
}  // namespace dcl::test
