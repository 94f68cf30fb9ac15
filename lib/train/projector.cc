#include "train/projector.h"

#include <algorithm>

#include "core/error.h"
#include "io/csv.h"
#include "io/png.h"
#include "io/utf8.h"
#include "train/view_images.h"

namespace dcl {
namespace {

constexpr int64_t kMaxPoints = 10'000;
constexpr int64_t kThumbnailSide = 48;  // the sprite of kMaxPoints has 4800 x 4800 pixels; browsers take up to 8192

std::filesystem::path made(const std::filesystem::path& folder) {
  make_folders(folder);
  return folder;
}

std::vector<int32_t> shown_images(int64_t size) {
  const int64_t points = std::min(size, kMaxPoints);
  std::vector<int32_t> images;
  for (int64_t i = 0; i < points; ++i) images.push_back(static_cast<int32_t>(i * size / points));
  return images;
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
    : folder_(made(folder)),
      dataset_(dataset),
      dim_(dim),
      images_(shown_images(dataset.size())),
      features_(folder / "features.tsv") {}

void ProjectorWriter::append(std::span<const float> rows) {
  for (; !rows.empty(); rows = rows.subspan(static_cast<size_t>(dim_)), ++seen_) {
    if (written_ == images_.size() || images_[written_] != seen_) continue;
    std::string line;
    for (int64_t d = 0; d < dim_; ++d) line += number_text(rows[static_cast<size_t>(d)]) + (d + 1 < dim_ ? '\t' : '\n');
    features_.write(line);
    ++written_;
  }
}

/// With a single column there is no header, as the projector wants it.
void ProjectorWriter::write_metadata() const {
  AtomicFile file(folder_ / "metadata.tsv");
  const bool classes = !dataset_.classes.empty();
  if (classes) file.write("class\tname\n");
  for (const int32_t image : images_) {
    const auto at = static_cast<size_t>(image);
    const int32_t label = dataset_.labels[at];
    const std::string name = label == kUnknownLabel ? "unknown" : dataset_.classes[static_cast<size_t>(label)];
    file.write((classes ? field(name) + "\t" : "") + field(dataset_.names[at]) + "\n");
  }
  file.commit();
}

void ProjectorWriter::commit(Backend& backend) {
  if (written_ != images_.size()) fail(ErrorKind::internal, "ProjectorWriter: features of some images are missing");
  features_.commit();
  write_metadata();
  const int64_t side = kThumbnailSide;
  const TiledImage sprite = thumbnails(backend, dataset_, images_, side);
  write_file_atomically(folder_ / "sprite.png", png_bytes(sprite.rgb, sprite.height, sprite.width));
  const std::string extent = "    single_image_dim: " + std::to_string(side) + "\n";
  write_file_atomically(folder_ / "projector_config.pbtxt",
                        "embeddings {\n  tensor_name: \"features\"\n  tensor_path: \"features.tsv\"\n"
                        "  metadata_path: \"metadata.tsv\"\n  sprite {\n    image_path: \"sprite.png\"\n" +
                            extent + extent + "  }\n}\n");
}

}  // namespace dcl
