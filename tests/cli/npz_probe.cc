// Reads every array of an archive and writes it again, for the test that compares with NumPy.
//   npz_probe IN.npz OUT.npz
#include <cstdio>
#include <exception>

#include "io/npz.h"

int main(int argc, char** argv) try {
  if (argc != 3) return 2;
  const auto file = dcl::open_tensor_file(std::filesystem::path(argv[1]));
  std::vector<dcl::TensorSource> tensors;
  for (const dcl::FileTensor& tensor : file->tensors()) tensors.push_back(tensor_source(*file, tensor, tensor.name));
  dcl::write_npz(argv[2], tensors);
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
