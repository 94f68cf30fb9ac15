// TensorBoard's event files read back record by record, and what goes into them: checksums, buckets, images.
#include "io/event_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/log.h"
#include "data/decode.h"
#include "io/crc32c.h"
#include "io/fault.h"
#include "io/png.h"
#include "support/event_reader.h"

namespace dcl {
namespace {

using test::ProtoReader;

TEST(Crc32c, HasTheKnownValues) {  // RFC 3720, B.4
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  EXPECT_EQ(crc32c(""), 0u);
}

TEST(Crc32c, MaskRotatesAndAdds) {
  EXPECT_EQ(masked_crc32c(""), 0xA282EAD8u);
  EXPECT_EQ(masked_crc32c("123456789"), ((0xE3069283u >> 15) | (0xE3069283u << 17)) + 0xA282EAD8u);
}

TEST(Png, DecodesToTheSamePixels) {
  std::vector<uint8_t> rgb;
  for (int i = 0; i < 5 * 7 * 3; ++i) rgb.push_back(static_cast<uint8_t>(i * i * 37));
  const std::string png = png_bytes(rgb, 5, 7);
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(png.data()), png.size());
  const ImageSize size = image_size(bytes);
  EXPECT_EQ(size.height, 5);
  EXPECT_EQ(size.width, 7);
  std::vector<uint8_t> decoded(rgb.size());
  decode_rgb(bytes, size, decoded.data());
  EXPECT_EQ(decoded, rgb);
  EXPECT_THROW(png_bytes(rgb, 7, 7), Error);
  EXPECT_THROW(png_bytes({}, 0, 7), Error);
}

size_t only_bucket(float value) {
  Histogram histogram;
  histogram.add(std::vector<float>{value});
  for (size_t i = 0; i < histogram.counts().size(); ++i)
    if (histogram.counts()[i]) return i;
  return histogram.counts().size();
}

TEST(Histogram, HasTensorBoardsEdges) {
  const std::vector<double>& edges = Histogram::edges();
  const size_t zero = edges.size() / 2;
  EXPECT_EQ(edges.size(), 1549u);  // of torch.utils.tensorboard: 774 on either side of 0
  EXPECT_EQ(edges[zero], 0);
  EXPECT_EQ(edges[zero + 1], 1e-12);
  EXPECT_EQ(edges[zero + 2], 1e-12 * 1.1);
  EXPECT_LT(edges.back(), 1e20);
  EXPECT_GE(edges.back() * 1.1, 1e20);
  for (size_t i = 0; i < edges.size(); ++i) EXPECT_EQ(edges[i], -edges[edges.size() - 1 - i]);
}

TEST(Histogram, BucketsAreClosedOnTheLeft) {
  const std::vector<double>& edges = Histogram::edges();
  const size_t zero = edges.size() / 2;
  EXPECT_EQ(only_bucket(0), zero);
  EXPECT_EQ(only_bucket(-1e-30f), zero - 1);
  EXPECT_EQ(only_bucket(1e30f), edges.size() - 2);
  EXPECT_EQ(only_bucket(-1e30f), 0u);
  for (const float value : {0.5f, -0.5f, 3e-7f, -1234.5f}) {
    const size_t i = only_bucket(value);
    EXPECT_TRUE(edges[i] <= value && value < edges[i + 1]) << value;
  }
}

TEST(Histogram, CountsEveryValueOnce) {
  std::vector<float> values;
  double sum = 0, squares = 0;
  for (int i = 0; i < 600'000; ++i) {
    values.push_back(std::sin(static_cast<float>(i)) * 3);
    sum += values.back(), squares += double{values.back()} * values.back();
  }
  Histogram whole, parts;
  whole.add(values);
  parts.add(std::span(values).first(1000));
  parts.add({});
  parts.add(std::span(values).subspan(1000));
  EXPECT_EQ(whole.count(), 600'000);
  EXPECT_EQ(whole.counts(), parts.counts());
  EXPECT_EQ(whole.min(), *std::min_element(values.begin(), values.end()));
  EXPECT_EQ(whole.max(), *std::max_element(values.begin(), values.end()));
  EXPECT_NEAR(whole.sum(), sum, 1e-6);
  EXPECT_NEAR(whole.sum_of_squares(), squares, 1e-3);
  int64_t total = 0;
  for (const int64_t count : whole.counts()) total += count;
  EXPECT_EQ(total, whole.count());
}

TEST(Histogram, SquaresAreOfDoubles) {
  Histogram histogram;
  histogram.add(std::vector<float>{1e30f});
  EXPECT_EQ(histogram.sum_of_squares(), double{1e30f} * 1e30f) << "a float would be infinite";
}

TEST(Histogram, MessageHasFilledBucketsAndTheirLeftEdge) {
  Histogram histogram;
  histogram.add(std::vector<float>{0.5f, 0.5f, -2});
  const std::string bytes = histogram.message().bytes();
  const ProtoReader message(bytes);
  EXPECT_EQ(message.number<double>(1), -2);
  EXPECT_EQ(message.number<double>(2), 0.5);
  EXPECT_EQ(message.number<double>(3), 3);
  EXPECT_EQ(message.number<double>(4), -1);
  EXPECT_EQ(message.number<double>(5), 4.5);
  const auto limits = message.values<double>(6), counts = message.values<double>(7);
  ASSERT_EQ(limits.size(), counts.size());
  EXPECT_EQ(counts.front(), 0);
  EXPECT_EQ(counts[1], 1);
  EXPECT_EQ(counts.back(), 2);
  EXPECT_TRUE(limits.front() <= -2 && -2 < limits[1]);
  EXPECT_TRUE(limits[limits.size() - 2] <= 0.5 && 0.5 < limits.back());
  EXPECT_FALSE(ProtoReader(ProtoMessage(Histogram().message()).bytes()).text(6).size());
}

TEST(EventFile, RecordsReadBack) {
  const test::TemporaryFolder folder;
  const std::vector<uint8_t> rgb(2 * 3 * 3, 200);
  Histogram histogram;
  histogram.add(std::vector<float>{1, 2});
  EventFile file(folder.path(), 0);
  const EventFile::Scalar scalars[] = {{"train/loss", 4.25}, {"train/lr", 1e-3}};
  file.scalars(7, scalars);
  file.image(8, "views", rgb, 2, 3);
  file.histogram(9, "weights", histogram);
  file.text(10, "config", "a *b* \xE4");

  const auto name = file.path().filename().string();
  EXPECT_TRUE(name.starts_with("events.out.tfevents.")) << name;
  const auto all = test::events_of(file.path());
  ASSERT_EQ(all.size(), 5u);
  EXPECT_EQ(ProtoReader(all[0]).text(3), "brain.Event:2");
  EXPECT_GT(ProtoReader(all[0]).number<double>(1), 1.6e9);

  const ProtoReader first(all[1]);
  EXPECT_EQ(first.integer(2), 7);
  const auto values = first.message(5).all(1);
  ASSERT_EQ(values.size(), 2u);
  EXPECT_EQ(ProtoReader(values[0].text).text(1), "train/loss");
  EXPECT_EQ(ProtoReader(values[0].text).number<float>(2), 4.25f);
  EXPECT_EQ(ProtoReader(values[1].text).number<float>(2), 1e-3f);

  const ProtoReader image = ProtoReader(all[2]).message(5).message(1).message(4);
  EXPECT_EQ(image.integer(1), 2);
  EXPECT_EQ(image.integer(2), 3);
  EXPECT_EQ(image.text(4), png_bytes(rgb, 2, 3));
  EXPECT_EQ(ProtoReader(all[3]).message(5).message(1).message(5).number<double>(4), 3);
  const ProtoReader text = ProtoReader(all[4]).message(5).message(1);
  EXPECT_EQ(text.message(9).message(1).text(1), "text");
  EXPECT_EQ(text.message(8).text(8), "a *b* \\xe4");
}

TEST(EventFile, LaterFilesSortLaterAndSayWhereTheyBegin) {
  const test::TemporaryFolder folder;
  std::string last;
  for (int i = 0; i < 3; ++i) {
    EventFile file(folder.path(), 100 + i);
    EXPECT_GT(file.path().string(), last);
    last = file.path();
    const auto all = test::events_of(last);
    ASSERT_EQ(all.size(), i == 0 ? 1u : 2u);
    if (i == 0) continue;
    EXPECT_EQ(ProtoReader(all[1]).integer(2), 100 + i);
    EXPECT_EQ(ProtoReader(all[1]).message(7).integer(1), 1);
  }
  // Also when the clock was set back, and before files of other programs.
  test::write_text(folder / "events.out.tfevents.9000000000.elsewhere", "");
  EXPECT_EQ(EventFile(folder.path(), 0).path().filename().string().substr(0, 30), "events.out.tfevents.9000000001");
}

TEST(EventFile, FailuresNameTheFile) {
  const test::TemporaryFolder folder;
  EXPECT_THROW(EventFile(folder / "missing", 0), Error);
  set_fault_plan("open:1:EACCES");
  EXPECT_THROW(EventFile(folder.path(), 0), Error);
  set_fault_plan("");
  set_fault_plan("write:1:ENOSPC");
  EXPECT_THROW(EventFile(folder.path(), 0), Error);
  set_fault_plan("");
  EventFile file(folder.path(), 0);
  set_log_sink([](LogLevel, std::string_view) {});
  set_fault_plan("write:1:ENOSPC,write:2:ENOSPC");
  file.text(1, "t", "x");
  try {
    file.flush();
    ADD_FAILURE() << "written";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::io);
    EXPECT_NE(std::string(error.what()).find("events.out.tfevents"), std::string::npos) << error.what();
  }
  set_fault_plan("");
  set_log_sink({});
  file.flush();
}

}  // namespace
}  // namespace dcl
