// An encoder and a linear classifier on its features in one file: the model of the published linear evaluation
// (f.0.weight ... fc.weight, fc.bias), which PyTorch opens with strict=True.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "io/tensor_file.h"
#include "nn/parameters.h"
#include "train/linear_classifier.h"
#include "train/state_mapping.h"

namespace dcl {

/// Keys of a file's metadata: the names of the classes, one CSV record; how whole images were shown to the encoder:
/// height and width ("0": their own) and normalisation.
inline constexpr std::string_view kClassesKey = "dcl.classes", kEvalSizeKey = "dcl.eval_size",
                                  kNormalizationKey = "dcl.normalization";

struct Classifier {
  ParameterStore encoder;  ///< without head
  LinearValues linear;
  std::vector<std::string> classes;  ///< their names, in the order of the logits; without any, their numbers
  bool named = false;                ///< the file has names
  FileMetadata metadata;             ///< of the file
};

/// Writes a safetensors file atomically. `encoder`: without head. Names are made UTF-8 (made_utf8).
void write_classifier(const std::filesystem::path& path, const ParameterStore& encoder, const LinearValues& linear,
                      const std::vector<std::string>& classes, FileMetadata metadata = {});

/// The layer's values; Error{numerical} where they are not finite.
LinearValues import_linear(const TensorFile& file, const MappedLinear& linear);
/// The names that `file` has for so many classes; none where it has no or other ones.
std::vector<std::string> class_names(const TensorFile& file, int64_t classes);

/// `wanted`, a name of normalization_names or "auto": what the file's metadata names, "published" where it names none.
/// Error{data} when that is an unknown name.
std::string normalization_for(const std::string& wanted, const FileMetadata& metadata);

/// Height and width at which whole images are evaluated: `wanted`, or with 0 what the file's metadata says, which is
/// logged; 0 (the images' own) where it says nothing that can be used.
int64_t eval_size_for(int64_t wanted, const FileMetadata& metadata);

/// From any file that map_state understands. Logs what was assumed of it; Error{data} when it holds no classifier.
Classifier load_classifier(Backend& backend, const std::filesystem::path& path, const std::string& prefix = "");
/// The same; where the file holds no classifier, `linear` and `classes` are empty.
Classifier load_any_model(Backend& backend, const std::filesystem::path& path, const std::string& prefix = "");

}  // namespace dcl
