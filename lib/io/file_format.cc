#include "io/file_format.h"

#include <algorithm>
#include <string_view>

#include "io/torch/magic.h"

namespace dcl {
namespace {

using namespace std::string_view_literals;

struct Start {
  std::string_view bytes;
  FileFormat format;
  std::string_view words;
};

// The first that fits holds.
constexpr Start kStarts[] = {
    {"PK\x03\x04"sv, FileFormat::zip, "a ZIP archive (a PyTorch file or NumPy's NPZ)"},
    {"\x80\x02"sv, FileFormat::other, "a bare Python pickle, which may run any command; save it with torch.save"},
    {"\x80\x03"sv, FileFormat::other, "a bare Python pickle, which may run any command; save it with torch.save"},
    {"\x80\x04"sv, FileFormat::other, "a bare Python pickle, which may run any command; save it with torch.save"},
    {"\x80\x05"sv, FileFormat::other, "a bare Python pickle, which may run any command; save it with torch.save"},
    {"PYTORCH1"sv, FileFormat::other, "a file of a preview of PyTorch 1.0; save it again with a current PyTorch"},
    {"PK\x05\x06"sv, FileFormat::other, "an empty ZIP archive"},
    {"\x93NUMPY"sv, FileFormat::npy, "a NumPy file of one array"},
    {"\x1f\x8b"sv, FileFormat::other, "compressed with gzip; decompress it first"},
    {"\x89HDF"sv, FileFormat::other, "an HDF5 file"},
    {"version https://git-lfs"sv, FileFormat::other, "a Git LFS pointer; fetch the file itself with 'git lfs pull'"},
    {"<"sv, FileFormat::other, "a web page or XML; was the download redirected?"},
};

/// A TensorBoard event file: the first record is framed by lengths and checksums and names the version.
bool is_events(std::string_view start) {
  constexpr size_t kFrame = 12;
  return start.size() > kFrame && start[kFrame] == '\x09' && start.substr(0, 96).find("brain.Event:") != start.npos;
}

/// An ONNX model: protobuf fields in the order in which exporters write them, ir_version and then a text or the graph.
bool is_onnx(std::string_view start) {
  return start.size() > 4 && start[0] == '\x08' && start[1] >= 1 && start[1] < 32 &&
         (start[2] == '\x12' || start[2] == '\x1a' || start[2] == '\x3a' || start[2] == '\x42');
}

}  // namespace

FormatGuess guess_format(const ByteSource& source) {
  if (source.size() == 0) return {FileFormat::other, "empty"};
  char start[512] = {};
  const size_t known = static_cast<size_t>(std::min<uint64_t>(source.size(), sizeof start));
  source.read(0, start, known);
  // A safetensors file begins with its header's length, which may happen to look like any of the others (60 is '<').
  if (start[8] == '{') return {FileFormat::safetensors, "a safetensors file"};
  if (torch_magic_bytes({start, known}) > 0) return {FileFormat::torch_legacy, "a PyTorch file"};
  for (const Start& form : kStarts)
    if (std::string_view(start, known).starts_with(form.bytes)) return {form.format, std::string(form.words)};
  if (is_events({start, known})) return {FileFormat::events, "a TensorBoard event file"};
  if (is_onnx({start, known})) return {FileFormat::onnx, "an ONNX model"};
  if (std::string_view(start + 257, 5) == "ustar")
    return {FileFormat::other, "a tar archive (as PyTorch wrote before 0.1.10); save it again with a current PyTorch"};
  return {};
}

}  // namespace dcl
