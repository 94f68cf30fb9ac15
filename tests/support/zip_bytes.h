// ZIP archives built record by record, so that a test can break any one of them.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace dcl::test {

template <class... T>
std::string fields(T... values) {
  std::string out;
  (out.append(reinterpret_cast<const char*>(&values), sizeof values), ...);
  return out;
}

inline uint32_t crc_of(const std::string& bytes) {
  return static_cast<uint32_t>(::crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

/// Raw deflate data, as a ZIP entry holds them.
inline std::string deflated(const std::string& bytes) {
  z_stream state{};
  ::deflateInit2(&state, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string out(::deflateBound(&state, bytes.size()) + 16, '\0');
  state.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  state.avail_in = static_cast<uInt>(bytes.size());
  state.next_out = reinterpret_cast<Bytef*>(out.data());
  state.avail_out = static_cast<uInt>(out.size());
  ::deflate(&state, Z_FINISH);
  out.resize(out.size() - state.avail_out);
  ::deflateEnd(&state);
  return out;
}

struct ZipPart {
  ZipPart(std::string name, std::string content)
      : name(std::move(name)), content(std::move(content)), crc(crc_of(this->content)), size(this->content.size()) {}

  std::string name, content;  ///< content: the bytes as they lie in the archive
  uint32_t crc;
  uint64_t size;  ///< claimed size of the content after inflating
  uint16_t method = 0, flags = 0;
  std::optional<std::string> local_name;
  std::optional<uint16_t> local_method;
  std::optional<uint32_t> local_crc, local_size;
  std::optional<uint32_t> claimed;  ///< both sizes in the directory
  std::optional<uint32_t> header_offset;
  std::string local_extra, central_extra;
  uint16_t disk = 0;

  ZipPart& deflate() {
    method = 8;
    content = deflated(content);
    return *this;
  }
};

/// What may be changed in the end records; the fields hold the true values when `edit` is called.
struct ZipEnd {
  bool wide = false;  ///< write the 64-bit records too
  uint16_t disk = 0;
  uint64_t count = 0, directory_size = 0, directory = 0;  ///< of the 64-bit record where there is one
  std::optional<uint32_t> short_directory;                ///< of the 32-bit record beside a 64-bit one
  std::string comment;
};

inline std::string zip_bytes(const std::vector<ZipPart>& parts, const std::function<void(ZipEnd&)>& edit = {},
                             const std::string& prefix = "") {
  std::string out = prefix, directory;
  for (const ZipPart& part : parts) {
    const auto header = static_cast<uint32_t>(out.size());
    const std::string local_name = part.local_name.value_or(part.name);
    const auto stored = static_cast<uint32_t>(part.content.size()), size = static_cast<uint32_t>(part.size);
    out += fields(0x04034b50u, uint16_t{20}, part.flags, part.local_method.value_or(part.method), uint32_t{0},
                  part.local_crc.value_or(part.crc), part.local_size.value_or(stored), part.local_size.value_or(size),
                  static_cast<uint16_t>(local_name.size()), static_cast<uint16_t>(part.local_extra.size()));
    out += local_name + part.local_extra + part.content;
    directory += fields(0x02014b50u, uint16_t{20}, uint16_t{20}, part.flags, part.method, uint32_t{0}, part.crc,
                        part.claimed.value_or(stored), part.claimed.value_or(size),
                        static_cast<uint16_t>(part.name.size()), static_cast<uint16_t>(part.central_extra.size()),
                        uint16_t{0}, part.disk, uint16_t{0}, uint32_t{0}, part.header_offset.value_or(header));
    directory += part.name + part.central_extra;
  }
  ZipEnd end;
  end.count = parts.size(), end.directory = out.size(), end.directory_size = directory.size();
  if (edit) edit(end);
  out += directory;
  if (end.wide) {
    const uint64_t position = out.size();
    out += fields(0x06064b50u, uint64_t{44}, uint32_t{45}, uint32_t{0}, uint32_t{0}, end.count, end.count,
                  end.directory_size, end.directory);
    out += fields(0x07064b50u, uint32_t{0}, position, uint32_t{1});
  }
  const auto count = end.wide ? uint16_t{0xFFFF} : static_cast<uint16_t>(end.count);
  const uint32_t size = end.wide ? 0xFFFFFFFFu : static_cast<uint32_t>(end.directory_size);
  const uint32_t start = end.short_directory.value_or(end.wide ? 0xFFFFFFFFu : static_cast<uint32_t>(end.directory));
  out +=
      fields(0x06054b50u, end.disk, uint16_t{0}, count, count, size, start, static_cast<uint16_t>(end.comment.size()));
  return out + end.comment;
}

}  // namespace dcl::test
