// The C interface from a C program: the bits of dcl-embed and dcl-predict for the same images.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>

#include "c/dcl.h"
#include "core/extent.h"
#include "io/npy.h"
#include "support/classifier_model.h"
#include "support/process.h"
#include "support/random_model.h"

namespace dcl::test {
namespace {

struct Images {
  int64_t count, h, w;
};

class CInterface : public testing::Test {
 protected:
  /// Random images as a folder of files, and as a block whose rows are `padding` bytes of noise apart.
  void make(const Images& images, int64_t padding) {
    std::filesystem::remove_all(data());
    std::filesystem::create_directories(data());
    std::mt19937 random(static_cast<uint32_t>(images.h * images.w));
    const auto noise = [&](int64_t bytes) {
      std::string text;
      for (int64_t i = 0; i < bytes; ++i) text += static_cast<char>(random() & 255u);
      return text;
    };
    std::string block;
    for (int64_t i = 0; i < images.count; ++i) {
      std::string pixels;
      for (int64_t y = 0; y < images.h; ++y) {
        const std::string row = noise(3 * images.w);
        pixels += row;
        block += row + noise(padding);
      }
      write_text(data() + "/" + std::to_string(1000 + i) + ".ppm",
                 "P6 " + std::to_string(images.w) + " " + std::to_string(images.h) + " 255\n" + pixels);
    }
    write_text(folder_ / "block", block);
    images_ = images;
    stride_ = padding ? 3 * images.w + padding : 0;
  }

  std::string data() const { return folder_ / "photos"; }
  Outcome client(const std::string& model, int what, int64_t eval_size, int64_t batch, const std::string& device) {
    const auto text = [](int64_t value) { return std::to_string(value); };
    return run({std::getenv("DCL_C_CLIENT"), model, device, text(eval_size), text(batch), folder_ / "block",
                text(images_.count), text(images_.h), text(images_.w), text(stride_), text(what), folder_ / "numbers"});
  }
  std::vector<float> numbers(const std::string& model, int what, int64_t eval_size = 0, int64_t batch = 0,
                             const std::string& device = "eigen") {
    const Outcome outcome = client(model, what, eval_size, batch, device);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "") << "the library is silent";
    said_ = outcome.out;
    const std::string bytes = outcome.exit_code == 0 ? read_text(folder_ / "numbers") : "";
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  std::vector<float> of_program(const std::string& program, const std::string& model,
                                const std::vector<std::string>& more) {
    std::vector<std::string> argv = {app(program), "--dataset", "folder", "--data", data(), "--model_path", model};
    argv.insert(argv.end(), more.begin(), more.end());
    const Outcome outcome = run(argv);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return read_npy_f32(folder_ / "x.npy").values;
  }
  std::vector<float> embedded(const std::string& model, std::vector<std::string> more = {"--device", "eigen"}) {
    more.insert(more.end(), {"--out", folder_ / "x.npy"});
    return of_program("dcl-embed", model, more);
  }
  std::vector<float> logits(const std::string& model, std::vector<std::string> more = {"--device", "eigen"}) {
    more.insert(more.end(), {"--out", folder_ / "x.csv", "--logits", folder_ / "x.npy"});
    return of_program("dcl-predict", model, more);
  }

  TemporaryFolder folder_;
  Images images_{};
  int64_t stride_ = 0;
  std::string said_;
};

TEST_F(CInterface, FeaturesAreThoseOfDclEmbed) {
  const std::string model = write_random_model(folder_ / "encoder.safetensors");
  for (const auto& [images, padding] :
       {std::pair<Images, int64_t>{{7, 16, 16}, 0}, {{3, 24, 40}, 5}, {{1, 33, 17}, 1000}}) {
    make(images, padding);
    const std::vector<float> expected = embedded(model);
    ASSERT_EQ(std::ssize(expected), images.count * 512);
    EXPECT_EQ(numbers(model, DCL_UNIT_LENGTH), expected) << images.h << " x " << images.w;
    EXPECT_EQ(numbers(model, DCL_UNIT_LENGTH, DCL_OWN_SIZE), expected);
    EXPECT_EQ(numbers(model, DCL_RAW), embedded(model, {"--device", "eigen", "--raw"}));
    EXPECT_EQ(numbers(model, DCL_UNIT_LENGTH, 20, 2),
              embedded(model, {"--device", "eigen", "--eval_size", "20", "--batch_size", "2"}));
  }
  EXPECT_EQ(said_, "512 features\n0 classes\nsize 20\ndevice eigen\n");
}

/// Whichever it is.
TEST_F(CInterface, AutoIsTheDeviceOfThePrograms) {
  const std::string model = write_random_model(folder_ / "encoder.safetensors");
  make({5, 16, 16}, 0);
  EXPECT_EQ(numbers(model, DCL_UNIT_LENGTH, 0, 0, "auto"), embedded(model, {}));
}

/// Where the device makes the pixels itself.
TEST_F(CInterface, OnADeviceWithMemoryOfItsOwn) {
  const char* device = std::getenv("DCL_TEST_BACKEND");
  if (!device) GTEST_SKIP() << "no backend is emulated in this build";
  const std::string model = write_random_classifier(folder_ / "classifier.safetensors");
  make({3, 10, 9}, 4);
  for (const int what : {DCL_UNIT_LENGTH, DCL_PROBABILITIES}) {
    const std::vector<float> expected = numbers(model, what, 8, 2), values = numbers(model, what, 8, 2, device);
    ASSERT_EQ(values.size(), expected.size());
    for (size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(values[i], expected[i], 1e-5) << i;
  }
}

TEST_F(CInterface, EveryFormatOfTheProgramsIsRead) {
  const std::string model = write_random_model(folder_ / "encoder.safetensors");
  make({2, 16, 16}, 3);
  const std::vector<float> expected = embedded(model);
  for (const char* name : {"encoder.pth", "encoder.npz"}) {
    ASSERT_EQ(run({app("dcl-convert"), model, folder_ / name}).exit_code, 0);
    EXPECT_EQ(numbers(folder_ / name, DCL_UNIT_LENGTH), expected) << name;
  }
}

TEST_F(CInterface, ScoresAreThoseOfDclPredict) {
  const std::string model =
      write_random_classifier(folder_ / "classifier.safetensors",
                              {{std::string(kEvalSizeKey), "24"}, {std::string(kNormalizationKey), "half"}});
  make({5, 20, 30}, 7);
  const std::vector<float> expected = logits(model);
  ASSERT_EQ(expected.size(), 15u);
  EXPECT_EQ(numbers(model, DCL_LOGITS), expected);
  EXPECT_EQ(said_, "512 features\n3 classes\nsize 24\ndevice eigen\nclass ant\nclass bee\nclass cat\n");
  EXPECT_EQ(numbers(model, DCL_LOGITS, 16, 2),
            logits(model, {"--device", "eigen", "--eval_size", "16", "--batch_size", "2"}));
  EXPECT_EQ(numbers(model, DCL_UNIT_LENGTH, DCL_OWN_SIZE), embedded(model));

  std::vector<float> softmaxed = expected;
  for (size_t row = 0; row < softmaxed.size(); row += 3) softmax(std::span(softmaxed).subspan(row, 3));
  const std::vector<float> probabilities = numbers(model, DCL_PROBABILITIES);
  EXPECT_EQ(probabilities, softmaxed);
  for (size_t row = 0; row < probabilities.size(); row += 3)
    EXPECT_NEAR(probabilities[row] + probabilities[row + 1] + probabilities[row + 2], 1, 1e-6);
}

TEST_F(CInterface, FailuresAreTheExitCodesOfThePrograms) {
  const std::string model = write_random_model(folder_ / "encoder.safetensors");
  make({1, 16, 16}, 0);
  const Outcome no_classifier = client(model, DCL_LOGITS, 0, 0, "eigen");
  EXPECT_EQ(no_classifier.exit_code, DCL_DATA);
  EXPECT_NE(no_classifier.err.find("has no classifier"), std::string::npos) << no_classifier.err;
  const Outcome no_device = client(model, DCL_RAW, 0, 0, "abacus");
  EXPECT_EQ(no_device.exit_code, DCL_USAGE);
  EXPECT_NE(no_device.err.find("unknown device 'abacus'"), std::string::npos) << no_device.err;
}

}  // namespace
}  // namespace dcl::test
