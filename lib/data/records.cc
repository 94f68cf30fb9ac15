#include <sys/stat.h>

#include <filesystem>
#include <sstream>

#include "core/error.h"
#include "core/log.h"
#include "core/parallel.h"
#include "data/readers.h"

namespace dcl {
namespace {

/// The lines of a text file, without surrounding blanks or empty lines; empty when the file does not exist.
std::vector<std::string> read_names(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return {};
  std::vector<std::string> names;
  std::istringstream text(read_text(path, 1 << 20));
  for (std::string line; std::getline(text, line);) {
    const size_t first = line.find_first_not_of(" \t\r");
    if (first != std::string::npos) names.push_back(line.substr(first, line.find_last_not_of(" \t\r") - first + 1));
  }
  return names;
}

}  // namespace

std::string data_path(const std::string& dir, const std::string& folder, const std::string& name) {
  const std::filesystem::path inner = std::filesystem::path(dir) / folder;
  std::error_code ignored;
  return ((std::filesystem::is_directory(inner, ignored) ? inner : std::filesystem::path(dir)) / name).string();
}

void require_data_file(const std::string& set, const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    fail(ErrorKind::data, set + ": there is no file " + quoted(path) +
                              "; give the folder that holds it as the data directory, or get it with 'tools/download " +
                              set + "'");
  }
}

std::unique_ptr<InputFile> open_data_file(const std::string& set, const std::string& path, int64_t published_bytes) {
  require_data_file(set, path);
  auto file = std::make_unique<InputFile>(path);
  if (file->size() != published_bytes) {
    log(LogLevel::warning, set + ": " + quoted(path) + " has " + std::to_string(file->size()) +
                               " bytes; the published file has " + std::to_string(published_bytes));
  }
  return file;
}

RecordFile open_records(const std::string& set, const std::string& path, int64_t published_bytes,
                        const RecordFormat& format, const std::string& split, int64_t first) {
  RecordFile records{split, first, open_data_file(set, path, published_bytes), 0};
  const int64_t size = records.file->size();
  if (size == 0 || size % format.record_bytes() != 0) {
    fail(ErrorKind::data, set + ": " + quoted(path) + " has " + std::to_string(size) +
                              " bytes, expected a multiple of " + std::to_string(format.record_bytes()) + " (" +
                              std::to_string(published_bytes) +
                              " as published): it is truncated or another file; get it again");
  }
  records.count = size / format.record_bytes();
  return records;
}

void read_records(const DatasetSpec& spec, const RecordFormat& format, std::span<const RecordFile> files,
                  std::span<const int32_t> labels, Dataset& out) {
  const std::vector<int64_t> selected = select_images(spec, labels);
  const auto count = static_cast<int64_t>(selected.size());
  out.pixels.resize(count * format.image_bytes());
  out.images.resize(selected.size());
  out.labels.resize(selected.size());
  out.names.resize(selected.size());
  parallel_chunks(count, 64, [&](int64_t begin, int64_t end) {
    std::vector<uint8_t> planes(static_cast<size_t>(format.image_bytes()));
    for (int64_t i = begin; i < end; ++i) {
      const auto at = static_cast<size_t>(i);
      int64_t record = selected[at];
      size_t part = 0;
      while (record >= files[part].count) record -= files[part++].count;
      files[part].file->read(record * format.record_bytes() + format.label_bytes, planes);
      const int64_t offset = i * format.image_bytes();
      format.unpack(planes.data(), out.pixels.data() + offset);
      out.images[at] = {offset, format.height, format.width};
      out.labels[at] = labels[static_cast<size_t>(selected[at])];
      out.names[at] = files[part].split + "/" + std::to_string(files[part].first + record);
    }
  });
}

std::vector<std::string> class_names(const std::string& path, size_t count, std::vector<std::string> fallback) {
  std::vector<std::string> names = read_names(path);
  if (names.empty()) return fallback;
  if (names.size() != count) {
    fail(ErrorKind::data,
         quoted(path) + " holds " + std::to_string(names.size()) + " class names, expected " + std::to_string(count));
  }
  return names;
}

}  // namespace dcl
