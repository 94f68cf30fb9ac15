// TensorBoard event files: records of scalars, images, histograms and texts, each appended by one write(), so that a
// killed run leaves at most one incomplete record at the end, which readers pass over.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "io/append_file.h"
#include "io/histogram.h"
#include "io/protobuf.h"

namespace dcl {

class EventFile {
 public:
  using Scalar = std::pair<std::string_view, double>;  ///< tag and value

  /// Starts a new file in `folder`, named so that it comes after those that are there. When there are any, readers are
  /// told to discard what they hold of the steps from `first_step` on. Error{io}.
  EventFile(const std::filesystem::path& folder, int64_t first_step);

  const std::filesystem::path& path() const { return file_->path(); }

  // What cannot be written is kept (AppendFile).
  void scalars(int64_t step, std::span<const Scalar> scalars);
  void histogram(int64_t step, std::string_view tag, const Histogram& histogram);
  /// rgb: height * width * 3 values, row by row.
  void image(int64_t step, std::string_view tag, std::span<const uint8_t> rgb, int64_t height, int64_t width);
  /// Markdown.
  void text(int64_t step, std::string_view tag, std::string_view text);
  /// Error{io} when records are kept and still cannot be written.
  void flush() { file_->flush(); }

 private:
  void summary(int64_t step, const ProtoMessage& values);

  std::optional<AppendFile> file_;
};

}  // namespace dcl
