#include "support/reference_file.h"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string_view>

namespace dcl::test {
namespace {

size_t size_of_type(const std::string& dtype) {
  if (dtype == "F64" || dtype == "I64") return 8;
  if (dtype == "F32" || dtype == "I32") return 4;
  return dtype == "U8" ? 1 : 0;
}

std::string read_whole(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error(path + ": cannot be opened");
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

std::optional<std::string> reference_folder() {
  const char* set = std::getenv("DCL_REFERENCE_DIR");
  const std::filesystem::path folder =
      set && *set ? std::filesystem::path(set) : std::filesystem::path(DCL_SOURCE_ROOT) / ".." / "shared" / "reference";
  if (std::filesystem::is_directory(folder)) return folder.string();
  if (set && *set) throw std::runtime_error("DCL_REFERENCE_DIR names no folder: " + folder.string());
  return std::nullopt;
}

ReferenceFile::ReferenceFile(const std::string& name) : path_(reference_folder().value() + "/" + name) {
  content_ = read_whole(path_);
  uint64_t header_bytes = 0;
  if (content_.size() < 8) throw std::runtime_error(path_ + ": shorter than a safetensors header");
  std::memcpy(&header_bytes, content_.data(), 8);
  if (header_bytes > content_.size() - 8) throw std::runtime_error(path_ + ": header reaches past the end of the file");
  const size_t data_begin = 8 + header_bytes, data_bytes = content_.size() - data_begin;
  const auto header = nlohmann::json::parse(std::string_view(content_).substr(8, header_bytes));
  for (const auto& [key, entry] : header.items()) {
    if (key == "__metadata__") {
      metadata_ = entry.get<std::map<std::string, std::string>>();
      continue;
    }
    const size_t begin = entry.at("data_offsets").at(0), end = entry.at("data_offsets").at(1);
    const Tensor tensor{entry.at("dtype"), entry.at("shape"), data_begin + begin, end - begin};
    size_t expected = size_of_type(tensor.dtype);
    for (const int64_t extent : tensor.shape) expected *= static_cast<size_t>(extent);
    if (begin > end || end > data_bytes || end - begin != expected)
      throw std::runtime_error(path_ + ": tensor " + key + " (" + tensor.dtype + ") does not match its data");
    tensors_.emplace(key, tensor);
  }
}

std::string ReferenceFile::metadata(const std::string& key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) throw std::runtime_error(path_ + ": no metadata key " + key);
  return found->second;
}

std::vector<std::string> ReferenceFile::names() const {
  std::vector<std::string> out;
  for (const auto& [name, tensor] : tensors_) out.push_back(name);
  return out;
}

const ReferenceFile::Tensor& ReferenceFile::at(const std::string& tensor) const {
  const auto found = tensors_.find(tensor);
  if (found == tensors_.end()) throw std::runtime_error(path_ + ": no tensor " + tensor);
  return found->second;
}

template <class Stored, class Value>
std::vector<Value> ReferenceFile::convert(const Tensor& tensor) const {
  std::vector<Stored> stored(tensor.bytes / sizeof(Stored));
  if (!stored.empty()) std::memcpy(stored.data(), content_.data() + tensor.offset, tensor.bytes);
  return std::vector<Value>(stored.begin(), stored.end());
}

void ReferenceFile::wrong_type(const std::string& tensor, const char* wanted) const {
  throw std::runtime_error(path_ + ": tensor " + tensor + " is " + dtype(tensor) + ", not " + wanted);
}

std::vector<double> ReferenceFile::f64(const std::string& name) const {
  const Tensor& tensor = at(name);
  if (tensor.dtype == "F64") return convert<double, double>(tensor);
  if (tensor.dtype == "F32") return convert<float, double>(tensor);
  if (tensor.dtype == "I64") return convert<int64_t, double>(tensor);
  if (tensor.dtype == "I32") return convert<int32_t, double>(tensor);
  return convert<uint8_t, double>(tensor);
}

std::vector<float> ReferenceFile::f32(const std::string& name) const {
  if (dtype(name) != "F32") wrong_type(name, "F32");
  return convert<float, float>(at(name));
}

std::vector<int64_t> ReferenceFile::i64(const std::string& name) const {
  const Tensor& tensor = at(name);
  if (tensor.dtype == "I64") return convert<int64_t, int64_t>(tensor);
  if (tensor.dtype == "I32") return convert<int32_t, int64_t>(tensor);
  if (tensor.dtype == "U8") return convert<uint8_t, int64_t>(tensor);
  wrong_type(name, "an integer type");
}

std::vector<uint8_t> ReferenceFile::u8(const std::string& name) const {
  if (dtype(name) != "U8") wrong_type(name, "U8");
  return convert<uint8_t, uint8_t>(at(name));
}

}  // namespace dcl::test
