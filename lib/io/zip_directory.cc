#include "io/zip_directory.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <span>

#include "core/error.h"
#include "core/file.h"
#include "io/file.h"
#include "io/tensor_limits.h"
#include "io/zip_format.h"

namespace dcl {
namespace {

using namespace zip;

constexpr size_t kMaxEntries = 100'000;
constexpr uint64_t kMaxDirectoryBytes = uint64_t{32} << 20;
constexpr size_t kMaxCommentBytes = 65535;
/// Deflate cannot expand further than this.
constexpr uint64_t kMaxRatio = 1032;
/// What the deflated entries of an archive may expand to, all together.
constexpr uint64_t kExpansion = 64, kExpansionFloor = uint64_t{256} << 20;

/// An entry with what only the checks of the directory need.
struct DirectoryEntry {
  ZipEntry entry;
  uint64_t header = 0;  // offset of the local header
  uint16_t flags = 0, method = 0;
};

/// Finds and checks the entries of an archive.
class DirectoryReader {
 public:
  explicit DirectoryReader(const ByteSource& archive) : archive_(archive) {}

  std::vector<ZipEntry> read() {
    find_end();
    read_directory();
    check_names();
    for (DirectoryEntry& entry : entries_) check_local_header(entry);
    check_layout();
    check_expansion();
    std::vector<ZipEntry> out;
    for (DirectoryEntry& entry : entries_)
      if (entry.entry.name.back() != '/') out.push_back(std::move(entry.entry));
    return out;
  }

 private:
  using Bytes = std::span<const std::byte>;

  [[noreturn]] void fail_zip(const std::string& what) const {
    fail(ErrorKind::data, quoted(archive_.name()) + ": its ZIP structure is not valid: " + what);
  }
  [[noreturn]] void fail_entry(const DirectoryEntry& entry, const std::string& what) const {
    fail_zip("entry " + quoted(entry.entry.name) + " " + what);
  }

  std::vector<std::byte> bytes(uint64_t offset, uint64_t count) const {
    std::vector<std::byte> out(static_cast<size_t>(count));
    archive_.read(offset, out);
    return out;
  }

  /// The one end record, whose comment reaches to the end of the file, and the 64-bit one that may stand before it.
  void find_end() {
    const uint64_t size = archive_.size(), tail_size = std::min<uint64_t>(size, kEndBytes + kMaxCommentBytes);
    const std::vector<std::byte> tail = bytes(size - tail_size, tail_size);
    std::optional<size_t> end;
    for (size_t at = 0; at + kEndBytes <= tail.size(); ++at) {
      if (field<uint32_t>(tail, at) != kEnd) continue;
      const uint64_t directory_end = uint64_t{field<uint32_t>(tail, at + 12)} + field<uint32_t>(tail, at + 16);
      const bool reaches_end = at + kEndBytes + field<uint16_t>(tail, at + 20) == tail.size();
      if (!reaches_end && directory_end != size - tail_size + at) continue;  // by chance among the data
      if (end || !reaches_end) fail_zip("it has two end records");
      end = at;
    }
    if (!end) fail_zip("the end record is missing; the file is truncated or something follows it");
    read_end(Bytes(tail).subspan(*end), size - tail_size + *end);
  }

  void read_end(Bytes end, uint64_t position) {
    const auto count = field<uint16_t>(end, 10);
    const auto length = field<uint32_t>(end, 12), start = field<uint32_t>(end, 16);
    if (field<uint16_t>(end, 4) != 0 || field<uint16_t>(end, 6) != 0 || field<uint16_t>(end, 8) != count)
      fail_zip("it spans several disks");
    count_ = count, directory_size_ = length, directory_ = start;
    std::vector<std::byte> locator;
    if (position >= kEnd64LocatorBytes) locator = bytes(position - kEnd64LocatorBytes, kEnd64LocatorBytes);
    if (!locator.empty() && field<uint32_t>(locator, 0) == kEnd64Locator) {
      position = read_end64(locator, position - kEnd64LocatorBytes);
      if ((count != kSaturated16 && count != count_) || (length != kSaturated32 && length != directory_size_) ||
          (start != kSaturated32 && start != directory_))
        fail_zip("its two end records contradict each other");
    }
    if (directory_ > position || directory_size_ != position - directory_)
      fail_zip("its directory does not stand before its end record");
    if (directory_size_ > kMaxDirectoryBytes || count_ > kMaxEntries)
      fail_zip("it has more than " + std::to_string(kMaxEntries) + " entries");
  }

  /// Returns where the 64-bit end record begins.
  uint64_t read_end64(Bytes locator, uint64_t locator_position) {
    const auto start = field<uint64_t>(locator, 8);
    if (field<uint32_t>(locator, 4) != 0 || field<uint32_t>(locator, 16) > 1) fail_zip("it spans several disks");
    if (start > locator_position || locator_position - start < kEnd64Bytes)
      fail_zip("its 64-bit end record is not where it should be");
    const std::vector<std::byte> end = bytes(start, kEnd64Bytes);
    if (field<uint32_t>(end, 0) != kEnd64 || field<uint64_t>(end, 4) != locator_position - start - 12)
      fail_zip("its 64-bit end record is not where it should be");
    if (field<uint32_t>(end, 16) != 0 || field<uint32_t>(end, 20) != 0 ||
        field<uint64_t>(end, 24) != field<uint64_t>(end, 32))
      fail_zip("it spans several disks");
    count_ = field<uint64_t>(end, 32), directory_size_ = field<uint64_t>(end, 40),
    directory_ = field<uint64_t>(end, 48);
    return start;
  }

  void read_directory() {
    const std::vector<std::byte> directory = bytes(directory_, directory_size_);
    Bytes rest(directory);
    for (uint64_t i = 0; i < count_; ++i) {
      if (rest.size() < kDirectoryEntryBytes || field<uint32_t>(rest, 0) != kDirectoryEntry)
        fail_zip("its directory is cut or damaged at entry " + std::to_string(i));
      const size_t name = field<uint16_t>(rest, 28), extra = field<uint16_t>(rest, 30),
                   comment = field<uint16_t>(rest, 32);
      if (rest.size() - kDirectoryEntryBytes < name + extra + comment)
        fail_zip("its directory is cut or damaged at entry " + std::to_string(i));
      entries_.push_back(directory_entry(rest, rest.subspan(kDirectoryEntryBytes + name, extra)));
      rest = rest.subspan(kDirectoryEntryBytes + name + extra + comment);
    }
    if (!rest.empty()) fail_zip("its directory has " + std::to_string(rest.size()) + " bytes after the last entry");
  }

  DirectoryEntry directory_entry(Bytes record, Bytes extra) const {
    DirectoryEntry out;
    out.entry.name.assign(reinterpret_cast<const char*>(record.data()) + kDirectoryEntryBytes,
                          field<uint16_t>(record, 28));
    out.flags = field<uint16_t>(record, 8), out.method = field<uint16_t>(record, 10);
    out.entry.crc = field<uint32_t>(record, 16);
    out.entry.stored_size = field<uint32_t>(record, 20), out.entry.size = field<uint32_t>(record, 24);
    out.header = field<uint32_t>(record, 42);
    widen(out, extra, {&out.entry.size, &out.entry.stored_size, &out.header});
    if (out.flags & (kEncrypted | kPatched | kStronglyEncrypted | kMasked)) fail_entry(out, "is encrypted");
    if (field<uint16_t>(record, 34) != 0) fail_entry(out, "is on another disk");
    if (out.method != kStored && out.method != kDeflated)
      fail_entry(out,
                 "has the compression method " + std::to_string(out.method) + "; stored and deflated ones are read");
    out.entry.deflated = out.method == kDeflated;
    if (!out.entry.deflated && out.entry.size != out.entry.stored_size)
      fail_entry(out, "is stored, but its two sizes differ");
    return out;
  }

  /// Replaces saturated values by those of the 64-bit extra field, which holds exactly these in this order.
  void widen(const DirectoryEntry& entry, Bytes extra, std::initializer_list<uint64_t*> values) const {
    Bytes wide;
    while (extra.size() >= 4) {
      const auto id = field<uint16_t>(extra, 0), length = field<uint16_t>(extra, 2);
      if (length > extra.size() - 4) fail_entry(entry, "has a damaged extra field");
      if (id == kExtra64) {
        if (!wide.empty()) fail_entry(entry, "has two 64-bit extra fields");
        wide = extra.subspan(4, length);
      }
      extra = extra.subspan(4 + length);
    }
    for (uint64_t* value : values) {
      if (*value != kSaturated32) continue;
      if (wide.size() < 8) fail_entry(entry, "lacks its 64-bit sizes");
      *value = field<uint64_t>(wide, 0);
      wide = wide.subspan(8);
    }
  }

  void check_names() const {
    std::vector<std::string_view> names;
    for (const DirectoryEntry& entry : entries_) {
      const std::string& name = entry.entry.name;
      if (!is_entry_name(name)) fail_entry(entry, "has a name that is not allowed");
      names.push_back(name);
    }
    std::ranges::sort(names);
    if (const auto twice = std::ranges::adjacent_find(names); twice != names.end())
      fail_zip("entry " + quoted(std::string(*twice)) + " stands twice");
  }

  /// What a reader of local headers sees must be what the directory says. Sets the data's offset.
  void check_local_header(DirectoryEntry& entry) const {
    if (entry.header > directory_ || directory_ - entry.header < kLocalHeaderBytes)
      fail_entry(entry, "begins outside of the archive");
    const std::vector<std::byte> header = bytes(entry.header, kLocalHeaderBytes);
    const size_t name = field<uint16_t>(header, 26), extra = field<uint16_t>(header, 28);
    const uint64_t start = entry.header + kLocalHeaderBytes;
    if (field<uint32_t>(header, 0) != kLocalHeader || directory_ - start < name + extra)
      fail_entry(entry, "has no local header where the directory says");
    const std::vector<std::byte> text = bytes(start, name + extra);
    if (std::string_view(reinterpret_cast<const char*>(text.data()), name) != entry.entry.name)
      fail_entry(entry, "has another name in its local header");
    check_local_fields(entry, header, Bytes(text).subspan(name));
    entry.entry.offset = start + name + extra;
    if (entry.entry.stored_size > directory_ - entry.entry.offset)
      fail_entry(entry, "reaches beyond the archive's data");
  }

  void check_local_fields(const DirectoryEntry& entry, Bytes header, Bytes extra) const {
    const auto flags = field<uint16_t>(header, 6);
    if (field<uint16_t>(header, 8) != entry.method || ((flags ^ entry.flags) & (kEncrypted | kStronglyEncrypted)) != 0)
      fail_entry(entry, "has another compression or encryption in its local header");
    const auto crc = field<uint32_t>(header, 14);
    uint64_t stored_size = field<uint32_t>(header, 18), size = field<uint32_t>(header, 22);
    // Sizes that follow the data are 0 here, or already known.
    const bool later = (flags & kSizesFollow) != 0;
    if (later && (crc == 0 || crc == entry.entry.crc) && stored_size == 0 && size == 0) return;
    if (later && stored_size == kSaturated32 && size == kSaturated32) return;
    widen(entry, extra, {&size, &stored_size});
    if (stored_size != entry.entry.stored_size || size != entry.entry.size ||
        (crc != entry.entry.crc && !(later && crc == 0)))
      fail_entry(entry, "has other sizes or another checksum in its local header");
  }

  /// Nothing before the first entry, and no two entries over the same bytes.
  void check_layout() const {
    std::vector<size_t> order(entries_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::ranges::sort(order, {}, [&](size_t i) { return entries_[i].header; });
    uint64_t end = 0;
    for (const size_t i : order) {
      if (entries_[i].header < end) fail_entry(entries_[i], "overlaps another entry");
      if (i == order.front() && entries_[i].header != 0) fail_zip("something stands before its first entry");
      end = entries_[i].entry.offset + entries_[i].entry.stored_size;
    }
  }

  /// Against archives that expand to far more than they are.
  void check_expansion() const {
    uint64_t total = 0;
    for (const DirectoryEntry& entry : entries_) {
      if (!entry.entry.deflated) continue;
      if (entry.entry.size / kMaxRatio > entry.entry.stored_size)
        fail_entry(entry, "claims to expand further than deflate can");
      total += entry.entry.size;  // at most 100,000 times 1032 times the file's size
    }
    if (total / kExpansion > archive_.size() && total > kExpansionFloor)
      fail_zip("its entries expand to " + bytes_text(total) + ", too much for a file of " +
               bytes_text(archive_.size()));
  }

  const ByteSource& archive_;
  uint64_t count_ = 0, directory_ = 0, directory_size_ = 0;
  std::vector<DirectoryEntry> entries_;
};

}  // namespace

bool is_entry_name(std::string_view name) {
  const bool plain = !name.empty() && name.size() <= kMaxNameBytes && name.front() != '/' &&
                     std::ranges::none_of(name, [](unsigned char c) { return c < 0x20 || c == 0x7F || c == '\\'; });
  return plain && ("/" + std::string(name) + "/").find("/../") == std::string::npos;
}

std::vector<ZipEntry> read_zip_directory(const ByteSource& archive) { return DirectoryReader(archive).read(); }

}  // namespace dcl
