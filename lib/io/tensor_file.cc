#include "io/tensor_file.h"

#include <algorithm>
#include <type_traits>

#include "core/error.h"
#include "core/file.h"
#include "io/convert.h"

namespace dcl {
namespace {

std::string type_text(const FileTensor& tensor) {
  return tensor_text(tensor.name) + " is " + std::string(name_of(tensor.dtype));
}

}  // namespace

int64_t FileTensor::elements() const {
  int64_t count = 1;
  for (const int64_t extent : shape) count *= extent;
  return count;
}

void TensorFile::fail_data(const std::string& what) const { fail(ErrorKind::data, quoted(path()) + ": " + what); }

void TensorFile::set_contents(Contents contents) {
  metadata_ = std::move(contents.metadata);
  tensors_ = std::move(contents.tensors);
  notices_ = std::move(contents.notices);
  for (size_t i = 0; i < tensors_.size(); ++i)
    if (!index_.emplace(tensors_[i].name, i).second) fail_data("it names " + tensor_text(tensors_[i].name) + " twice");
}

const std::string& TensorFile::metadata(std::string_view key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) fail_data("metadata '" + std::string(key) + "' is missing");
  return found->second;
}

const FileTensor* TensorFile::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

const FileTensor& TensorFile::at(std::string_view name) const {
  const FileTensor* tensor = find(name);
  if (!tensor)
    fail_data(tensor_text(name) + " is missing (" + std::to_string(tensors_.size()) + " tensors in the file)");
  return *tensor;
}

const FileTensor& TensorFile::at(std::string_view name, std::span<const int64_t> shape) const {
  const FileTensor& tensor = at(name);
  if (!std::ranges::equal(tensor.shape, shape))
    fail_data(tensor_text(name) + " has shape " + shape_text(tensor.shape) + ", expected " + shape_text(shape));
  return tensor;
}

void TensorFile::read_bytes(const FileTensor& tensor, std::span<std::byte> to) const {
  if (to.size() != tensor.bytes())
    fail(ErrorKind::internal, "read_bytes: " + tensor_text(tensor.name) + " has " + std::to_string(tensor.bytes()) +
                                  " bytes, the destination " + std::to_string(to.size()));
  do_read_bytes(tensor, to);
}

template <class T>
void TensorFile::read_as(const FileTensor& tensor, std::span<T> to) const {
  if (to.size() != static_cast<size_t>(tensor.elements()))
    fail(ErrorKind::internal, "read: " + tensor_text(tensor.name) + " has " + std::to_string(tensor.elements()) +
                                  " elements, the destination " + std::to_string(to.size()));
  if (std::is_integral_v<T> && is_floating(tensor.dtype)) fail_data(type_text(tensor) + ", expected an integer type");
  const size_t width = size_of(tensor.dtype);
  T* next = to.data();
  do_stream(tensor, [&](const void* data, size_t bytes) {
    convert_elements(tensor.dtype, static_cast<const std::byte*>(data), next, bytes / width);
    next += bytes / width;
  });
}

void TensorFile::read(const FileTensor& tensor, std::span<float> to) const {
  // Nothing to convert: straight into place.
  if (tensor.dtype == FileDType::f32 && to.size() == static_cast<size_t>(tensor.elements()))
    return do_read_bytes(tensor, std::as_writable_bytes(to));
  read_as(tensor, to);
}
void TensorFile::read(const FileTensor& tensor, std::span<double> to) const { read_as(tensor, to); }
void TensorFile::read(const FileTensor& tensor, std::span<int64_t> to) const { read_as(tensor, to); }

template <class T>
std::vector<T> TensorFile::read_named(std::string_view name) const {
  const FileTensor& tensor = at(name);
  std::vector<T> values(static_cast<size_t>(tensor.elements()));
  read(tensor, std::span<T>(values));
  return values;
}

std::vector<float> TensorFile::read_f32(std::string_view name) const { return read_named<float>(name); }
std::vector<double> TensorFile::read_f64(std::string_view name) const { return read_named<double>(name); }
std::vector<int64_t> TensorFile::read_i64(std::string_view name) const { return read_named<int64_t>(name); }

std::vector<uint8_t> TensorFile::read_u8(std::string_view name) const {
  const FileTensor& tensor = at(name);
  if (tensor.dtype != FileDType::u8) fail_data(type_text(tensor) + ", expected U8");
  std::vector<uint8_t> values(static_cast<size_t>(tensor.bytes()));
  read_bytes(tensor, std::as_writable_bytes(std::span(values)));
  return values;
}

void TensorFile::verify() const {
  for (const FileTensor& tensor : tensors_) do_stream(tensor, [](const void*, size_t) {});
}

TensorSource tensor_source(const TensorFile& file, const FileTensor& tensor, std::string name) {
  return {std::move(name), tensor.dtype, tensor.shape,
          [&file, &tensor](const ByteSink& sink) { file.stream(tensor, sink); }};
}

}  // namespace dcl
