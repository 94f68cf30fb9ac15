#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>

#include "core/error.h"
#include "core/file.h"
#include "io/atomic_file.h"
#include "io/checksum.h"
#include "io/safetensors.h"
#include "io/safetensors_header.h"

namespace dcl {
namespace {

std::string json_text(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// The header as the reference writer forms it: metadata first, no spaces between tokens, padded to 8 bytes.
std::string header_text(const std::vector<TensorSource>& tensors, const FileMetadata& metadata) {
  std::string out = "{";
  if (!metadata.empty()) {
    out += "\"__metadata__\":{";
    for (bool first = true; const auto& [key, value] : metadata) {
      out += (first ? "" : ",") + json_text(key) + ":" + json_text(value);
      first = false;
    }
    out += "}";
  }
  uint64_t offset = 0;
  for (const TensorSource& tensor : tensors) {
    const uint64_t end = offset + bytes_of(tensor);
    out += (out.size() > 1 ? "," : "") + json_text(tensor.name) + ":{\"dtype\":\"" +
           std::string(name_of(tensor.dtype)) + "\",\"shape\":[";
    for (size_t axis = 0; axis < tensor.shape.size(); ++axis)
      out += (axis ? "," : "") + std::to_string(tensor.shape[axis]);
    out += "],\"data_offsets\":[" + std::to_string(offset) + "," + std::to_string(end) + "]}";
    offset = end;
  }
  out += "}";
  out.append((8 - out.size() % 8) % 8, ' ');
  if (out.size() > kMaxHeaderBytes) fail(ErrorKind::internal, "write_safetensors: the header is too long");
  return out;
}

/// Streams one tensor; returns its checksum.
std::string write_tensor(AtomicFile& file, const TensorSource& tensor) {
  Checksum sum;
  produce_into(tensor, [&](const void* data, size_t bytes) {
    sum.add(data, bytes);
    file.write(data, bytes);
  });
  return sum.text();
}

std::string checksum_key(const TensorSource& tensor) { return std::string(kTensorChecksum) + tensor.name; }

}  // namespace

uint64_t write_safetensors(const std::filesystem::path& path, std::vector<TensorSource> tensors, FileMetadata metadata,
                           bool checksums) {
  check_sources(tensors);
  for (const TensorSource& tensor : tensors)
    if (tensor.name == "__metadata__")
      fail(ErrorKind::data,
           "cannot write " + quoted(path) + ": a safetensors file has no room for a tensor named __metadata__");
  std::sort(tensors.begin(), tensors.end(), [](const TensorSource& a, const TensorSource& b) {
    return std::tie(a.dtype, a.name) < std::tie(b.dtype, b.name);
  });
  if (checksums) {
    metadata.insert_or_assign(std::string(kHeaderChecksum), kBlankChecksum);
    for (const TensorSource& tensor : tensors) metadata.insert_or_assign(checksum_key(tensor), kBlankChecksum);
  }
  std::string header = header_text(tensors, metadata);
  uint64_t total = 8 + header.size();
  for (const TensorSource& tensor : tensors) total += bytes_of(tensor);

  AtomicFile file(path, total);
  const uint64_t length = header.size();
  file.write(&length, sizeof length);
  file.write(header);
  for (const TensorSource& tensor : tensors) {
    const std::string sum = write_tensor(file, tensor);
    if (checksums) metadata.insert_or_assign(checksum_key(tensor), sum);
  }
  if (checksums) {  // checksums have a fixed length, so the header keeps its size
    header = header_text(tensors, metadata);
    header.replace(header_checksum_position(header), kBlankChecksum.size(),
                   checksum_text(header.data(), header.size()));
    file.overwrite(sizeof length, header.data(), header.size());
  }
  file.commit();
  return total;
}

}  // namespace dcl
