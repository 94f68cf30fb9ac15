#include "io/safetensors.h"

#include "core/error.h"
#include "io/checksum.h"
#include "io/file_format.h"
#include "io/safetensors_header.h"

namespace dcl {

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : SafetensorsFile(file_bytes(path)) {}

SafetensorsFile::SafetensorsFile(std::shared_ptr<const ByteSource> bytes)
    : TensorFile(std::move(bytes), "safetensors") {
  const uint64_t size = source().size();
  const FormatGuess guess = guess_format(source());
  if (guess.format != FileFormat::safetensors && !guess.words.empty())
    fail_data("it is " + guess.words + "; expected a safetensors file");
  if (size < 8) fail_data("it is truncated: expected at least 8 bytes, got " + std::to_string(size));
  uint64_t length;
  source().read(0, &length, sizeof length);
  if (length > kMaxHeaderBytes)
    fail_data("it is no safetensors file: its header would have " + std::to_string(length) +
              " bytes, expected at most " + std::to_string(kMaxHeaderBytes));
  if (length > size - 8)
    fail_data("it is truncated: expected a header of " + std::to_string(length) + " bytes, got " +
              std::to_string(size - 8));
  std::string header(static_cast<size_t>(length), '\0');
  source().read(8, header.data(), header.size());
  data_start_ = 8 + length;
  SafetensorsHeader parsed;
  try {
    parsed = parse_safetensors_header(header, size - data_start_);
  } catch (const Error& error) {
    fail_data(error.what());
  }
  set_contents({std::move(parsed.metadata), std::move(parsed.tensors), {}});
  const auto own = metadata().lower_bound(kOwnPrefix);
  has_checksums_ = own != metadata().end() && own->first.starts_with(kOwnPrefix);
  if (has_checksums_) require_checksums(header);
}

void SafetensorsFile::require_checksums(const std::string& header) const {
  const size_t at = header_checksum_position(header);
  const auto stated = metadata().find(kHeaderChecksum);
  if (at == header.npos || stated == metadata().end()) fail_data("it is damaged: the header's checksum is missing");
  std::string blank = header;
  blank.replace(at, kBlankChecksum.size(), kBlankChecksum);
  if (checksum_text(blank.data(), blank.size()) != stated->second)
    fail_data("it is damaged: the header does not match its checksum");
  for (const FileTensor& tensor : tensors())
    if (!metadata().contains(std::string(kTensorChecksum) + tensor.name))
      fail_data("it is damaged: the checksum of " + tensor_text(tensor.name) + " is missing");
}

void SafetensorsFile::check_sum(const FileTensor& tensor, const std::string& sum) const {
  if (sum != metadata(std::string(kTensorChecksum) + tensor.name))
    fail_data("it is damaged: " + tensor_text(tensor.name) + " does not match its checksum");
}

void SafetensorsFile::do_read_bytes(const FileTensor& tensor, std::span<std::byte> to) const {
  source().read(data_start_ + tensor.position, to);
  if (has_checksums_) check_sum(tensor, checksum_text(to.data(), to.size()));
}

void SafetensorsFile::do_stream(const FileTensor& tensor, const ByteSink& sink) const {
  Checksum sum;
  source().stream(data_start_ + tensor.position, tensor.bytes(), [&](const void* data, size_t bytes) {
    if (has_checksums_) sum.add(data, bytes);
    sink(data, bytes);
  });
  if (has_checksums_) check_sum(tensor, sum.text());
}

}  // namespace dcl
