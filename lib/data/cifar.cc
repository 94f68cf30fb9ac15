// CIFAR-10 and CIFAR-100 binary (https://www.cs.toronto.edu/~kriz/cifar.html): records of one label byte (CIFAR-100:
// coarse, then fine) and 3 planes of 32 rows of 32 columns.
#include "core/error.h"
#include "core/parallel.h"
#include "data/readers.h"

namespace dcl {
namespace {

constexpr int32_t kSide = 32;

void unpack(const uint8_t* planes, uint8_t* hwc) {
  constexpr int kPlane = kSide * kSide;
  for (int i = 0; i < kPlane; ++i) {
    *hwc++ = planes[i];
    *hwc++ = planes[i + kPlane];
    *hwc++ = planes[i + 2 * kPlane];
  }
}

struct CifarFile {
  const char* name;
  int64_t count;  ///< as published
};

struct CifarSet {
  const char* name;
  const char* folder;  ///< inside the published archive
  RecordFormat format;
  int32_t classes;
  std::vector<CifarFile> train, test;
  const char* names_file;
};

/// The label is the last of the label bytes: CIFAR-100's fine label.
void append_labels(const CifarSet& set, const RecordFile& records, std::vector<int32_t>& labels) {
  const size_t first = labels.size();
  labels.resize(first + static_cast<size_t>(records.count));
  parallel_chunks(records.count, 1024, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t at = i * set.format.record_bytes() + set.format.label_bytes - 1;
      uint8_t label = 0;
      records.file->read(at, {&label, 1});
      if (label >= set.classes) {
        fail(ErrorKind::data, std::string(set.name) + ": " + quoted(records.file->path()) + " has label " +
                                  std::to_string(label) + " in record " + std::to_string(i) + ", expected 0.." +
                                  std::to_string(set.classes - 1) + ": the file is damaged or another one");
      }
      labels[first + static_cast<size_t>(i)] = label;
    }
  });
}

Dataset load(const CifarSet& set, const DatasetSpec& spec, std::vector<std::string> fallback_names) {
  if (spec.split != "train" && spec.split != "test") {
    fail(ErrorKind::usage, std::string(set.name) + " has no split '" + spec.split + "'; it has train, test");
  }
  const auto path = [&](const char* name) { return data_path(spec.dir, set.folder, name); };
  std::vector<RecordFile> files;
  std::vector<int32_t> labels;
  for (const CifarFile& file : spec.split == "train" ? set.train : set.test) {
    files.push_back(open_records(set.name, path(file.name), file.count * set.format.record_bytes(), set.format,
                                 spec.split, static_cast<int64_t>(labels.size())));
    append_labels(set, files.back(), labels);
  }
  Dataset out;
  out.classes = class_names(path(set.names_file), static_cast<size_t>(set.classes), std::move(fallback_names));
  read_records(spec, set.format, files, labels, out);
  return out;
}

}  // namespace

Dataset load_cifar10(const DatasetSpec& spec) {
  const CifarSet set{"cifar10",
                     "cifar-10-batches-bin",
                     {1, kSide, kSide, unpack},
                     10,
                     {{"data_batch_1.bin", 10000},
                      {"data_batch_2.bin", 10000},
                      {"data_batch_3.bin", 10000},
                      {"data_batch_4.bin", 10000},
                      {"data_batch_5.bin", 10000}},
                     {{"test_batch.bin", 10000}},
                     "batches.meta.txt"};
  return load(set, spec, {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"});
}

Dataset load_cifar100(const DatasetSpec& spec) {
  const CifarSet set{"cifar100",
                     "cifar-100-binary",
                     {2, kSide, kSide, unpack},
                     100,
                     {{"train.bin", 50000}},
                     {{"test.bin", 10000}},
                     "fine_label_names.txt"};
  std::vector<std::string> numbered;
  for (int i = 0; i < set.classes; ++i) numbered.push_back("class " + std::to_string(i));
  return load(set, spec, std::move(numbered));
}

}  // namespace dcl
