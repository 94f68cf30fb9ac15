#include <algorithm>

#include "core/error.h"
#include "core/file.h"
#include "io/crc32.h"
#include "io/zip.h"
#include "io/zip_directory.h"
#include "io/zip_format.h"

namespace dcl {
namespace {

using namespace zip;

constexpr uint64_t kAlignment = 64;
constexpr uint16_t kVersion = 20, kVersion64 = 45;
/// 1980-01-01: the archive depends on its content alone.
constexpr uint16_t kTime = 0, kDate = 0x21;

uint32_t narrow(uint64_t value) { return static_cast<uint32_t>(std::min<uint64_t>(value, kSaturated32)); }
bool is_wide(uint64_t value) { return value >= kSaturated32; }

}  // namespace

ZipWriter::ZipWriter(const std::filesystem::path& path, uint64_t expected_bytes) : file_(path, expected_bytes) {}

std::string ZipWriter::local_header(const Written& entry) const {
  const bool wide = is_wide(entry.size);
  std::string extra;
  if (wide) append_fields(extra, kExtra64, uint16_t{16}, entry.size, entry.size);
  const uint64_t unpadded = entry.header + kLocalHeaderBytes + entry.name.size() + extra.size() + 4;
  const auto padding = static_cast<uint16_t>((kAlignment - unpadded % kAlignment) % kAlignment);
  append_fields(extra, kExtraPadding, padding);
  extra.append(padding, 'Z');
  std::string out;
  append_fields(out, kLocalHeader, wide ? kVersion64 : kVersion, kUtf8, kStored, kTime, kDate, entry.crc,
                narrow(entry.size), narrow(entry.size), static_cast<uint16_t>(entry.name.size()),
                static_cast<uint16_t>(extra.size()));
  return out + entry.name + extra;
}

void ZipWriter::begin(std::string_view name, uint64_t size) {
  finish();
  if (!is_entry_name(name))
    fail(ErrorKind::data,
         "cannot write " + quoted(file_.path()) + ": a ZIP archive cannot have an entry " + quoted(std::string(name)));
  entries_.push_back({std::string(name), size, file_.size(), 0});
  file_.write(local_header(entries_.back()));
  left_ = size;
  open_ = true;
}

void ZipWriter::write(const void* data, size_t bytes) {
  if (!open_ || bytes > left_) fail(ErrorKind::internal, "ZipWriter: more bytes than were announced");
  Crc32 crc(entries_.back().crc);
  crc.add(data, bytes);
  entries_.back().crc = crc.value();
  file_.write(data, bytes);
  left_ -= bytes;
}

void ZipWriter::add(std::string_view name, std::string_view content) {
  begin(name, content.size());
  write(content.data(), content.size());
}

/// Ends the entry that is being written: its checksum is known now.
void ZipWriter::finish() {
  if (!open_) return;
  if (left_ != 0) fail(ErrorKind::internal, "ZipWriter: fewer bytes than were announced");
  const std::string header = local_header(entries_.back());
  file_.overwrite(entries_.back().header, header.data(), header.size());
  open_ = false;
}

uint64_t ZipWriter::commit() {
  finish();
  const uint64_t directory = file_.size(), count = entries_.size();
  for (const Written& entry : entries_) {
    std::string wide, out;
    if (is_wide(entry.size)) append_fields(wide, entry.size, entry.size);
    if (is_wide(entry.header)) append_fields(wide, entry.header);
    const uint16_t version = wide.empty() ? kVersion : kVersion64;
    const auto extra = static_cast<uint16_t>(wide.empty() ? 0 : wide.size() + 4);
    append_fields(out, kDirectoryEntry, version, version, kUtf8, kStored, kTime, kDate, entry.crc, narrow(entry.size),
                  narrow(entry.size), static_cast<uint16_t>(entry.name.size()), extra, uint16_t{0}, uint16_t{0},
                  uint16_t{0}, uint32_t{0}, narrow(entry.header));
    out += entry.name;
    if (extra) append_fields(out, kExtra64, static_cast<uint16_t>(wide.size()));
    file_.write(out + wide);
  }
  const uint64_t end = file_.size(), length = end - directory;
  std::string out;
  if (count >= kSaturated16 || is_wide(length) || is_wide(directory)) {
    append_fields(out, kEnd64, uint64_t{kEnd64Bytes - 12}, kVersion64, kVersion64, uint32_t{0}, uint32_t{0}, count,
                  count, length, directory);
    append_fields(out, kEnd64Locator, uint32_t{0}, end, uint32_t{1});
  }
  const auto short_count = static_cast<uint16_t>(std::min<uint64_t>(count, kSaturated16));
  append_fields(out, kEnd, uint16_t{0}, uint16_t{0}, short_count, short_count, narrow(length), narrow(directory),
                uint16_t{0});
  file_.write(out);
  file_.commit();
  return file_.size();
}

}  // namespace dcl
