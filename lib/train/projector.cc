#include "train/projector.h"

#include <algorithm>

#include "core/error.h"
#include "core/number.h"
#include "io/png.h"
#include "io/utf8.h"
#include "train/view_images.h"

namespace dcl {
namespace {

constexpr int64_t kThumbnailSide = 48;  // all that are shown: 4800 x 4800 pixels; browsers take up to 8192

std::filesystem::path made(const std::filesystem::path& folder) {
  make_folders(folder);
  return folder;
}

/// A field of a tab-separated file, which has no quotes. TensorBoard shows no names at all where one is not UTF-8.
std::string field(const std::string& name) {
  std::string text = made_utf8(name);
  std::ranges::replace_if(
      text, [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  return text;
}

}  // namespace

ProjectorWriter::ProjectorWriter(const std::filesystem::path& folder, const Dataset& dataset, int64_t dim)
    : folder_(made(folder)), dataset_(dataset), dim_(dim), shown_(dataset.size()), features_(folder / "features.tsv") {}

void ProjectorWriter::append(std::span<const float> rows) {
  shown_.take(rows, dim_, [&](std::span<const float> row) {
    std::string line;
    for (const float value : row) line += (line.empty() ? "" : "\t") + number_text(value);
    features_.write(line + "\n");
  });
}

/// With a single column there is no header, as the projector wants it.
void ProjectorWriter::write_metadata() const {
  AtomicFile file(folder_ / "metadata.tsv");
  const bool classes = !dataset_.classes.empty();
  if (classes) file.write("class\tname\n");
  for (const int32_t image : shown_.images()) {
    const std::string& name = dataset_.class_name(image);
    file.write((classes ? (name.empty() ? "unknown" : field(name)) + "\t" : "") +
               field(dataset_.names[static_cast<size_t>(image)]) + "\n");
  }
  file.commit();
}

void ProjectorWriter::commit(Backend& backend) {
  if (!shown_.complete()) fail(ErrorKind::internal, "ProjectorWriter: features of some images are missing");
  features_.commit();
  write_metadata();
  const int64_t side = kThumbnailSide;
  const TiledImage sprite = thumbnails(backend, dataset_, shown_.images(), side);
  write_file_atomically(folder_ / "sprite.png", png_bytes(sprite.rgb, sprite.height, sprite.width));
  const std::string extent = "    single_image_dim: " + std::to_string(side) + "\n";
  write_file_atomically(folder_ / "projector_config.pbtxt",
                        "embeddings {\n  tensor_name: \"features\"\n  tensor_path: \"features.tsv\"\n"
                        "  metadata_path: \"metadata.tsv\"\n  sprite {\n    image_path: \"sprite.png\"\n" +
                            extent + extent + "  }\n}\n");
}

}  // namespace dcl
