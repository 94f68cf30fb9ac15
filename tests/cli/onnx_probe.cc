// A model file as an ONNX model, for the test that runs it in ONNX Runtime.
//   onnx_probe MODEL OUT.onnx
#include "core/registry.h"
#include "run/app.h"
#include "train/model_file.h"
#include "train/onnx_export.h"

int main(int argc, char** argv) {
  std::filesystem::path model, out;
  dcl::Options options("onnx-probe", "Writes a model as ONNX.");
  options.add("model", &model, "the model file").required();
  options.add("out", &out, "the ONNX file").required();
  return dcl::run_app(argc, argv, options, [&] {
    const auto backend = dcl::make_backend("auto");
    const auto file = dcl::open_tensor_file(model);
    const dcl::StateMapping mapping = dcl::map_model(*file);
    dcl::ParameterStore store(*backend, mapping.config, /*with_gradients=*/false);
    dcl::import_model(*file, mapping, store);
    dcl::write_onnx(out, store,
                    {.head = mapping.config.head, .pixels = {}, .metadata = {{"source", model.filename().string()}}});
    return 0;
  });
}
