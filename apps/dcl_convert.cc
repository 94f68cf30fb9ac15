// dcl-convert: model files from one format into another.
#include "common_options.h"
#include "core/error.h"
#include "core/log.h"
#include "run/app.h"
#include "train/model_convert.h"

namespace dcl {
namespace {

ModelFormat format_from(const std::string& to, bool legacy, const std::filesystem::path& output) {
  const ModelFormat format = model_format_of(to == "auto" ? output : std::filesystem::path("x." + to));
  if (!legacy) return format;
  if (format != ModelFormat::torch) fail(ErrorKind::usage, "--legacy is of .pth files");
  return ModelFormat::torch_legacy;
}

std::optional<FileDType> dtype_from(const std::string& name) {
  if (name == "f32") return FileDType::f32;
  if (name == "f16") return FileDType::f16;
  if (name == "bf16") return FileDType::bf16;
  return std::nullopt;
}

}  // namespace
}  // namespace dcl

int main(int argc, char** argv) {
  using namespace dcl;
  Options options(
      "dcl-convert",
      "Converts model files between PyTorch (.pth, .pt), safetensors and NumPy (.npz), and to ONNX. The format of "
      "INPUT is told from its content, that of OUTPUT from its name. Nothing in a file is executed.",
      {"dcl-convert runs/stl10 encoder.onnx",
       "dcl-convert runs/stl10 model_400.pth --prefix module.   # for the published linear.py",
       "dcl-convert moco_v2.pth.tar encoder.safetensors --names published"});
  std::filesystem::path input, output;
  ConvertSettings settings;
  std::string to = "auto", names = "keep", dtype = "keep";
  bool legacy = false;
  options.group("Conversion");
  options.add("input", &input, "the file to read, or a run directory: its newest model").required().positional();
  options.add("output", &output, "the file to write; one that exists is replaced once the new one is complete")
      .required()
      .positional();
  options.add("to", &to, "format of OUTPUT; auto: by its extension")
      .choices({"auto", "safetensors", "pth", "npz", "onnx"});
  options.add("legacy", &legacy, ".pth as PyTorch wrote it before 1.6 instead of as a ZIP archive");
  options
      .add("names", &names,
           "keep: every tensor as it is called; published: the model alone, f.0.weight ...; torchvision: "
           "encoder and, if there is one, classifier, conv1.weight ...")
      .choices({"keep", "published", "torchvision"});
  options.add("prefix", &settings.prefix, "put before every name; module. for a model inside DataParallel");
  options.add("dtype", &dtype, "of floating tensors").choices({"keep", "f32", "f16", "bf16"});
  add_model_prefix(options, &settings.model_prefix);
  add_normalization(options, &settings.normalization);

  return run_app(argc, argv, options, [&] {
    settings.format = format_from(to, legacy, output);
    settings.names = names == "keep"        ? TensorNames::keep
                     : names == "published" ? TensorNames::published
                                            : TensorNames::torchvision;
    settings.dtype = dtype_from(dtype);
    const size_t tensors = convert_model(input, output, settings);
    log(LogLevel::info, "wrote " + output.string() + ": " + std::to_string(tensors) + " tensors, " +
                            std::to_string(std::filesystem::file_size(output)) + " bytes");
    return 0;
  });
}
