#include "core/error.h"
#include "core/file.h"
#include "io/file_format.h"
#include "io/npz.h"
#include "io/safetensors.h"
#include "io/tensor_file.h"
#include "io/torch/torch_file.h"
#include "io/zip.h"

namespace dcl {

std::unique_ptr<TensorFile> open_tensor_file(const std::filesystem::path& path) {
  return open_tensor_file(file_bytes(path));
}

std::unique_ptr<TensorFile> open_tensor_file(std::shared_ptr<const ByteSource> source) {
  const FormatGuess guess = guess_format(*source);
  switch (guess.format) {
    case FileFormat::safetensors:
      return std::make_unique<SafetensorsFile>(std::move(source));
    case FileFormat::zip: {
      ZipArchive archive(source);
      return is_npz(archive) ? open_npz(source, std::move(archive)) : open_torch_zip(source, std::move(archive));
    }
    case FileFormat::torch_legacy:
      return open_torch_legacy(std::move(source));
    case FileFormat::npy:
    case FileFormat::onnx:
    case FileFormat::events:
    case FileFormat::other:
      break;
  }
  fail(ErrorKind::data, quoted(source->name()) + ": it is " +
                            (guess.words.empty() ? "of no known format" : guess.words) +
                            "; expected a safetensors, PyTorch or NPZ file");
}

}  // namespace dcl
