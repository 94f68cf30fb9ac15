#include "train/model_convert.h"

#include <algorithm>

#include "augment/augment.h"
#include "core/error.h"
#include "core/file.h"
#include "core/log.h"
#include "core/registry.h"
#include "io/atomic_file.h"
#include "io/npz.h"
#include "io/safetensors.h"
#include "io/tensor_cast.h"
#include "io/torch/torch_file.h"
#include "train/classifier_file.h"
#include "train/model_file.h"
#include "train/onnx_export.h"

namespace dcl {
namespace {

constexpr std::string_view kOwnChecksums = "dcl.xxh3";

/// With the classifier beside the encoder where the result has a place for it.
StateMapping map_and_say(const TensorFile& file, const ConvertSettings& settings) {
  const bool classifier = settings.format == ModelFormat::onnx || settings.names == TensorNames::torchvision;
  StateMapping mapping = map_model(file, settings.model_prefix, classifier);
  log(LogLevel::info, mapping.notices);
  return mapping;
}

TensorSource source_of(const TensorFile& file, const FileTensor& tensor, std::string name,
                       const ConvertSettings& settings) {
  if (!is_floating(tensor.dtype)) return tensor_source(file, tensor, std::move(name));
  FileDType type = settings.dtype.value_or(tensor.dtype);
  if (settings.format == ModelFormat::npz && type == FileDType::bf16) type = FileDType::f32;  // which holds it exactly
  return type == tensor.dtype ? tensor_source(file, tensor, std::move(name))
                              : cast_source(file, tensor, std::move(name), type);
}

/// PyTorch's num_batches_tracked, whatever the file has of it.
TensorSource counter_source(const TensorFile& file, const FileTensor* tensor, std::string name) {
  return {std::move(name), FileDType::i64, {}, [&file, tensor](const ByteSink& sink) {
            const int64_t count = tensor ? read_counter(file, *tensor) : 0;
            sink(&count, sizeof count);
          }};
}

std::vector<TensorSource> model_tensors(const TensorFile& file, const StateMapping& mapping,
                                        const ConvertSettings& settings) {
  const TrunkNames torchvision{.prefix = "", .torchvision = true};
  std::vector<TensorSource> sources;
  for (const MappedTensor& mapped : mapping.tensors) {
    const bool of_trunk = mapped.entry.name.starts_with("f.");
    if (settings.names == TensorNames::torchvision && !of_trunk) continue;
    std::string name = settings.prefix + (settings.names == TensorNames::torchvision
                                              ? torchvision.of(mapped.entry.name, mapping.config.stem)
                                              : mapped.entry.name);
    sources.push_back(mapped.entry.kind == ParameterKind::batches_tracked
                          ? counter_source(file, mapped.source, std::move(name))
                          : source_of(file, *mapped.source, std::move(name), settings));
  }
  if (const auto& [weight, bias] = mapping.linear; weight) {
    sources.push_back(source_of(file, *weight, settings.prefix + "fc.weight", settings));
    sources.push_back(source_of(file, *bias, settings.prefix + "fc.bias", settings));
  }
  if (settings.names == TensorNames::torchvision && mapping.config.head)
    log(LogLevel::info, "left out the projection head (g), which torchvision's ResNets do not have");
  return sources;
}

std::vector<TensorSource> all_tensors(const TensorFile& file, const ConvertSettings& settings) {
  std::vector<TensorSource> sources;
  for (const FileTensor& tensor : file.tensors())
    sources.push_back(source_of(file, tensor, settings.prefix + tensor.name, settings));
  if (std::ranges::any_of(file.tensors(), [](const FileTensor& tensor) { return !tensor.container.empty(); }))
    log(LogLevel::info,
        "tensors of nested containers are written side by side under their dotted names; --names "
        "published takes the model alone");
  return sources;
}

/// What the input says beside its tensors, without checksums of bytes that may change.
FileMetadata metadata_of(const TensorFile& file) {
  FileMetadata metadata = file.metadata();
  std::erase_if(metadata, [](const auto& item) { return item.first.starts_with(kOwnChecksums); });
  metadata.insert_or_assign("format", "pt");
  return metadata;
}

size_t write_model_onnx(const TensorFile& file, const std::filesystem::path& output, const ConvertSettings& settings) {
  if (settings.names != TensorNames::keep || !settings.prefix.empty() || settings.dtype)
    fail(ErrorKind::usage, "--names, --prefix and --dtype do not apply to ONNX");
  const StateMapping mapping = map_and_say(file, settings);
  const auto backend = make_backend("eigen");
  ParameterStore store(*backend, mapping.config, /*with_gradients=*/false);
  import_model(file, mapping, store);
  OnnxOptions options{.head = mapping.config.head};
  options.normalization = normalization_of(normalization_for(settings.normalization, file.metadata()));
  LinearValues classifier;
  if (mapping.linear.weight) {
    classifier = import_linear(file, mapping.linear);
    options.classifier = &classifier;
    if (const auto names = file.metadata().find(kClassesKey); names != file.metadata().end())
      options.metadata.insert(*names);
  }
  return write_onnx(output, store, options);
}

void write_tensors(const TensorFile& file, std::vector<TensorSource> sources, const std::filesystem::path& output,
                   ModelFormat format) {
  if (format == ModelFormat::safetensors) {
    write_safetensors(output, std::move(sources), metadata_of(file));
    return;
  }
  if (!file.metadata().empty())
    log(LogLevel::info,
        "left out metadata (" + std::to_string(file.metadata().size()) + " texts), which only safetensors keeps");
  if (format == ModelFormat::npz)
    write_npz(output, sources);
  else
    write_torch(output, sources, format == ModelFormat::torch_legacy ? TorchFormat::legacy : TorchFormat::zip);
}

}  // namespace

ModelFormat model_format_of(const std::filesystem::path& path) {
  const std::string extension = path.extension().string();
  if (extension == ".safetensors") return ModelFormat::safetensors;
  if (extension == ".pth" || extension == ".pt") return ModelFormat::torch;
  if (extension == ".npz") return ModelFormat::npz;
  if (extension == ".onnx") return ModelFormat::onnx;
  fail(ErrorKind::usage,
       quoted(path.string()) + " does not end in .safetensors, .pth, .pt, .npz or .onnx: say which format with --to");
}

size_t convert_model(const std::filesystem::path& given, const std::filesystem::path& output,
                     const ConvertSettings& settings) {
  const std::filesystem::path input = model_at(given);
  refuse_replacing(output, input, "the input");
  if (settings.format == ModelFormat::npz && settings.dtype == FileDType::bf16)
    fail(ErrorKind::usage,
         "NumPy has no bf16: give --dtype f32, or --dtype bf16 with a .safetensors or .pth file, and convert that");
  if (settings.format != ModelFormat::onnx && settings.names == TensorNames::keep && !settings.model_prefix.empty())
    fail(ErrorKind::usage,
         "--model_prefix takes one of several encoders, --names keep all tensors: give --names published or "
         "torchvision");
  if (settings.format != ModelFormat::onnx && settings.normalization != "auto")
    fail(ErrorKind::usage, "--normalization is part of ONNX models only");
  const std::unique_ptr<TensorFile> file = open_model_file(input);
  if (settings.format == ModelFormat::onnx) return write_model_onnx(*file, output, settings);
  std::vector<TensorSource> sources;
  if (settings.names == TensorNames::keep)
    sources = all_tensors(*file, settings);
  else
    sources = model_tensors(*file, map_and_say(*file, settings), settings);
  const size_t count = sources.size();
  write_tensors(*file, std::move(sources), output, settings.format);
  return count;
}

}  // namespace dcl
