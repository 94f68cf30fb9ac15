#include "io/event_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <optional>

#include "io/crc32c.h"
#include "io/fault.h"
#include "io/file.h"
#include "io/little_endian.h"
#include "io/png.h"
#include "io/utf8.h"

namespace dcl {
namespace {

constexpr std::string_view kPrefix = "events.out.tfevents.";
// Numbers of event.proto, summary.proto and tensor.proto.
constexpr int64_t kSessionStart = 1;
constexpr int64_t kColorspaceRgb = 3;
constexpr int64_t kStringTensor = 7;

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// The largest time in the names of the event files of a folder. Readers take the files in the order of their names.
std::optional<int64_t> newest_event_file(const std::filesystem::path& folder) {
  std::optional<int64_t> newest;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(kPrefix)) continue;
    int64_t seconds = 0;
    std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), seconds);
    newest = std::max(newest.value_or(0), seconds);
  }
  return newest;
}

std::string file_name(int64_t seconds) {
  char host[256] = "localhost";
  ::gethostname(host, sizeof host - 1);
  char digits[32];
  std::snprintf(digits, sizeof digits, "%010lld", static_cast<long long>(seconds));
  return std::string(kPrefix) + digits + "." + host + "." + std::to_string(::getpid()) + ".0";
}

std::string record_of(const ProtoMessage& event) {
  const std::string& data = event.bytes();
  std::string record;
  append_fields(record, uint64_t{data.size()});
  append_fields(record, masked_crc32c(record));
  record += data;
  append_fields(record, masked_crc32c(data));
  return record;
}

}  // namespace

EventFile::EventFile(const std::filesystem::path& folder, int64_t first_step) {
  const std::optional<int64_t> newest = newest_event_file(folder);
  auto seconds = static_cast<int64_t>(wall_time());
  if (newest && *newest >= seconds) seconds = *newest + 1;
  const std::filesystem::path path = folder / file_name(seconds);
  int fd = -1;
  errno = failpoint(IoOp::open).error;
  if (errno == 0) fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
  if (fd < 0) fail_io("cannot write", path, errno);
  file_.emplace(path, fd);
  std::string header = record_of(ProtoMessage().number(1, wall_time()).text(3, "brain.Event:2"));
  if (newest)
    header += record_of(ProtoMessage()
                            .number(1, wall_time())
                            .integer(2, first_step)
                            .message(7, ProtoMessage().integer(1, kSessionStart)));
  file_->append_now(header);
}

void EventFile::scalars(int64_t step, std::span<const Scalar> scalars) {
  ProtoMessage values;
  for (const auto& [tag, value] : scalars)
    values.message(1, ProtoMessage().text(1, tag).number(2, static_cast<float>(value)));
  summary(step, values);
}

void EventFile::histogram(int64_t step, std::string_view tag, const Histogram& histogram) {
  summary(step, ProtoMessage().message(1, ProtoMessage().text(1, tag).message(5, histogram.message())));
}

void EventFile::image(int64_t step, std::string_view tag, std::span<const uint8_t> rgb, int64_t height, int64_t width) {
  ProtoMessage image;
  image.integer(1, height).integer(2, width).integer(3, kColorspaceRgb).text(4, png_bytes(rgb, height, width));
  summary(step, ProtoMessage().message(1, ProtoMessage().text(1, tag).message(4, image)));
}

void EventFile::text(int64_t step, std::string_view tag, std::string_view text) {
  ProtoMessage plugin, shape, tensor;
  plugin.message(1, ProtoMessage().text(1, "text"));
  shape.message(2, ProtoMessage().integer(1, 1));
  tensor.integer(1, kStringTensor).message(2, shape).text(8, made_utf8(text));
  summary(step, ProtoMessage().message(1, ProtoMessage().text(1, tag).message(9, plugin).message(8, tensor)));
}

void EventFile::summary(int64_t step, const ProtoMessage& values) {
  file_->append(record_of(ProtoMessage().number(1, wall_time()).integer(2, step).message(5, values)));
}

}  // namespace dcl
