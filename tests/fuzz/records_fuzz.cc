// The binary distributions of STL-10 and CIFAR. An input says which, and for each of its files how long it is and what
// it holds, so that sizes near whole records are common: reader, then per file a count of records, a count of bytes
// beyond them, and a byte to fill it with; what is left of the input are the first bytes of every file.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "data/readers.h"
#include "target.h"

namespace {

namespace fs = std::filesystem;

struct File {
  const char* name;
  size_t record;
};
struct Reader {
  dcl::Dataset (*load)(const dcl::DatasetSpec&);
  const char* split;
  std::vector<File> files;
};

const std::vector<Reader>& readers() {
  static const std::vector<Reader> all = {
      {dcl::load_stl10, "train", {{"train_X.bin", 27648}, {"train_y.bin", 1}, {"class_names.txt", 8}}},
      {dcl::load_stl10, "train+unlabeled", {{"train_X.bin", 27648}, {"train_y.bin", 1}, {"unlabeled_X.bin", 27648}}},
      {dcl::load_cifar10, "test", {{"test_batch.bin", 3073}, {"batches.meta.txt", 8}}},
      {dcl::load_cifar10,
       "train",
       {{"data_batch_1.bin", 3073},
        {"data_batch_2.bin", 3073},
        {"data_batch_3.bin", 3073},
        {"data_batch_4.bin", 3073},
        {"data_batch_5.bin", 3073}}},
      {dcl::load_cifar100, "test", {{"test.bin", 3074}, {"fine_label_names.txt", 8}}},
  };
  return all;
}

const std::string& folder() {
  static const struct Folder {
    Folder() : path((fs::temp_directory_path() / ("dcl-fuzz-" + std::to_string(::getpid()))).string()) {
      fs::create_directories(path);
    }
    ~Folder() { fs::remove_all(path); }
    std::string path;
  } made;
  return made.path;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const Reader& reader = readers()[data[0] % readers().size()];
  const uint8_t *cursor = data + 1, *end = data + size;
  for (const File& file : reader.files) {
    const std::string path = folder() + "/" + file.name;
    fs::remove(path);
    if (end - cursor < 3) continue;
    const size_t bytes = cursor[0] % 4 * file.record + cursor[1] % 4;
    std::string contents(bytes, static_cast<char>(cursor[2]));
    cursor += 3;
    std::copy_n(cursor, std::min(bytes, static_cast<size_t>(end - cursor)), contents.begin());
    std::ofstream(path, std::ios::binary) << contents;
  }
  dcl::fuzz::refusing(dcl::ErrorKind::data, [&] {
    dcl::DatasetSpec spec;
    spec.dir = folder();
    spec.split = reader.split;
    const dcl::Dataset dataset = reader.load(spec);
    for (const int32_t label : dataset.labels)
      if (label != dcl::kUnknownLabel && (label < 0 || label >= static_cast<int64_t>(dataset.classes.size())))
        std::abort();
  });
  return 0;
}
