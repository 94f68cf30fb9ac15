#include <zlib.h>

#include <algorithm>

#include "core/error.h"
#include "core/file.h"
#include "io/crc32.h"
#include "io/file.h"
#include "io/zip.h"
#include "io/zip_directory.h"

namespace dcl {
namespace {

constexpr size_t kPieceBytes = ByteSource::kPieceBytes;

ByteSink append_to(std::vector<std::byte>& out) {
  return [&out](const void* data, size_t bytes) {
    const auto* first = static_cast<const std::byte*>(data);
    out.insert(out.end(), first, first + bytes);
  };
}

}  // namespace

ZipArchive::ZipArchive(std::shared_ptr<const ByteSource> archive) : archive_(std::move(archive)) {
  entries_ = read_zip_directory(*archive_);
  for (size_t i = 0; i < entries_.size(); ++i) index_.emplace(entries_[i].name, i);
}

const ZipEntry* ZipArchive::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &entries_[found->second];
}

void ZipArchive::fail_entry(const ZipEntry& entry, const std::string& what) const {
  fail(ErrorKind::data, quoted(archive_->name()) + ": its entry " + quoted(entry.name) + " " + what);
}

void ZipArchive::check_crc(const ZipEntry& entry, uint32_t crc) const {
  if (entry.crc != 0 && crc != entry.crc) fail_entry(entry, "is damaged: it does not match its checksum");
}

/// Ends once `most` bytes or somewhat more were given; sizes are checked where the end comes first.
void ZipArchive::inflate_into(const ZipEntry& entry, const ByteSink& sink, uint64_t most) const {
  z_stream state{};
  if (::inflateInit2(&state, -MAX_WBITS) != Z_OK) fail(ErrorKind::out_of_memory, "no memory to inflate a ZIP entry");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&state, ::inflateEnd);
  std::vector<std::byte> in(static_cast<size_t>(std::min<uint64_t>(entry.stored_size, kPieceBytes)));
  std::vector<std::byte> out(static_cast<size_t>(std::min({entry.size, most, uint64_t{kPieceBytes - 1}}) + 1));
  uint64_t taken = 0, given = 0;
  for (int status = Z_OK; status != Z_STREAM_END && given < most;) {
    if (state.avail_in == 0 && taken < entry.stored_size) {
      const auto bytes = static_cast<size_t>(std::min<uint64_t>(entry.stored_size - taken, in.size()));
      archive_->read(entry.offset + taken, in.data(), bytes);
      state.next_in = reinterpret_cast<Bytef*>(in.data());
      state.avail_in = static_cast<uInt>(bytes);
      taken += bytes;
    }
    state.next_out = reinterpret_cast<Bytef*>(out.data());
    state.avail_out = static_cast<uInt>(out.size());
    status = ::inflate(&state, Z_NO_FLUSH);
    const size_t bytes = out.size() - state.avail_out;
    given += bytes;
    if (given > entry.size || (status != Z_OK && status != Z_STREAM_END))
      fail_entry(entry, "cannot be inflated: it is damaged");
    if (bytes > 0) sink(out.data(), bytes);
  }
  if (given >= most) return;
  if (given != entry.size || taken != entry.stored_size || state.avail_in != 0)
    fail_entry(entry, "cannot be inflated: its sizes are wrong");
}

void ZipArchive::stream(const ZipEntry& entry, const ByteSink& sink) const {
  Crc32 crc;
  const ByteSink counted = [&](const void* data, size_t bytes) {
    crc.add(data, bytes);
    sink(data, bytes);
  };
  if (entry.deflated)
    inflate_into(entry, counted, entry.size + 1);
  else
    archive_->stream(entry.offset, entry.size, counted);
  check_crc(entry, crc.value());
}

std::vector<std::byte> ZipArchive::read(const ZipEntry& entry, uint64_t limit) const {
  if (entry.size > limit)
    fail_entry(entry, "has " + bytes_text(entry.size) + ", expected at most " + bytes_text(limit));
  std::vector<std::byte> out;
  out.reserve(static_cast<size_t>(entry.size));
  stream(entry, append_to(out));
  return out;
}

std::vector<std::byte> ZipArchive::start(const ZipEntry& entry, size_t bytes) const {
  std::vector<std::byte> out;
  const auto wanted = static_cast<size_t>(std::min<uint64_t>(entry.size, bytes));
  if (entry.deflated) {
    inflate_into(entry, append_to(out), wanted);
    out.resize(wanted);
  } else {
    out.resize(wanted);
    archive_->read(entry.offset, out);
  }
  return out;
}

std::shared_ptr<const ByteSource> ZipArchive::open(const ZipEntry& entry) const {
  const std::string name = archive_->name() + "/" + entry.name;
  if (!entry.deflated) return part_of(archive_, name, entry.offset, entry.size);
  return memory_bytes(name, read(entry, entry.size));
}

}  // namespace dcl
