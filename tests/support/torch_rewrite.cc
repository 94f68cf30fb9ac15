// Reads any file of tensors and writes it again: torch_rewrite FROM TO, TO ending in .safetensors, .pth or .legacy.pth.
// For tests with PyTorch itself. Metadata goes to the standard output, one KEY=VALUE a line.
#include <cstdio>
#include <string>

#include "core/error.h"
#include "io/safetensors.h"
#include "io/torch/torch_file.h"

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  try {
    const std::string to = argv[2];
    const auto file = dcl::open_tensor_file(argv[1]);
    std::vector<dcl::TensorSource> tensors;
    for (const dcl::FileTensor& tensor : file->tensors())
      tensors.push_back(dcl::tensor_source(*file, tensor, tensor.name));
    for (const auto& [key, value] : file->metadata()) std::printf("%s=%s\n", key.c_str(), value.c_str());
    if (to.ends_with(".safetensors"))
      dcl::write_safetensors(to, std::move(tensors), {}, false);
    else
      dcl::write_torch(to, tensors, to.ends_with(".legacy.pth") ? dcl::TorchFormat::legacy : dcl::TorchFormat::zip);
  } catch (const dcl::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return error.exit_code();
  }
}
