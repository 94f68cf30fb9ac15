// dcl-inspect: what a model file is and holds, without executing anything in it.
#include "common_options.h"
#include "inspect_report.h"
#include "run/app.h"
#include "run/json_text.h"
#include "train/model_file.h"

int main(int argc, char** argv) {
  using namespace dcl;
  Options options("dcl-inspect",
                  "Prints what a file is, which network it holds and which programs take it, and every tensor of it. "
                  "Nothing in the file is executed. An encoder that cannot be used is no error: the reason is printed.",
                  {"dcl-inspect model_400.pth", "dcl-inspect runs/stl10 --stats --json"});
  std::filesystem::path file;
  std::string model_prefix;
  bool json = false, stats = false;
  options
      .add("file", &file,
           "safetensors, PyTorch or NPZ file, or a run directory: its newest model; NPY, ONNX and TensorBoard files "
           "are named only")
      .required()
      .positional();
  options.add("stats", &stats,
              "read all values: norm, mean, smallest and largest, NaN and infinite ones, XXH3-128 hashes, batch norm");
  add_model_prefix(options, &model_prefix);
  options.add("json", &json, "one JSON object on standard output").transient();
  return run_app(argc, argv, options, [&] {
    const nlohmann::ordered_json report = inspect_file(model_at(file), model_prefix, stats);
    print(json ? json_text(report, 2) : report_text(report));
    return 0;
  });
}
