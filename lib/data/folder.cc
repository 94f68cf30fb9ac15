// Folders of JPEG, PNG and PNM files. Files are read and decoded by all threads, block by block, straight into the
// pool: memory is that of the pixels, of one block of encoded files and, where images are shrunk, of one whole image a
// thread.
#include <sys/stat.h>

#include <algorithm>

#include "core/error.h"
#include "core/log.h"
#include "core/number.h"
#include "core/parallel.h"
#include "data/decode.h"
#include "data/folder_scan.h"
#include "data/readers.h"
#include "data/shrink.h"

namespace dcl {
namespace {

constexpr size_t kMostNamed = 20;  ///< of too many unreadable images
constexpr int64_t kBlockFiles = 1024;
constexpr int64_t kBlockBytes = int64_t{64} << 20;

struct Slot {
  std::vector<uint8_t> file;
  ImageSize decoded, size;  ///< of the file, and as it is kept
  int64_t offset = 0;
  bool saturates = false;  ///< gray_saturates
  std::string failure;
};

/// Runs one step for a slot that has not failed; an Error{data} becomes the slot's failure.
template <class Step>
void attempt(Slot& slot, Step step) {
  if (!slot.failure.empty()) return;
  try {
    step();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::data && error.kind() != ErrorKind::io) throw;
    slot.failure = error.what();
  }
}

class FolderReader {
 public:
  FolderReader(const DatasetSpec& spec, FolderListing listing)
      : spec_(spec), listing_(std::move(listing)), selected_(select_images(spec, listing_.labels)) {}

  Dataset read() {
    measure();
    const auto count = static_cast<int64_t>(selected_.size());
    for (int64_t begin = 0; begin < count;) {
      const int64_t end = block_end(begin);
      read_block(begin, end);
      begin = end;
      if (spec_.on_images) spec_.on_images(begin, count);
    }
    check_skipped();
    warn_of_saturating();
    out_.pixels.shrink_to_fit();
    out_.folder = listing_.root;
    out_.classes = std::move(listing_.classes);
    return std::move(out_);
  }

 private:
  const std::string& file(int64_t i) const {
    return listing_.files[static_cast<size_t>(selected_[static_cast<size_t>(i)])];
  }
  std::string path(int64_t i) const { return listing_.root + "/" + file(i); }

  /// Sizes only bound the blocks; what is not a regular file fails when it is opened.
  void measure() {
    const auto count = static_cast<int64_t>(selected_.size());
    bytes_.resize(selected_.size());
    parallel_chunks(count, 256, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        struct stat status {};
        if (::stat(path(i).c_str(), &status) == 0 && S_ISREG(status.st_mode))
          bytes_[static_cast<size_t>(i)] = status.st_size;
      }
    });
  }

  int64_t block_end(int64_t begin) const {
    int64_t end = begin, bytes = 0;
    while (end < static_cast<int64_t>(selected_.size()) && end - begin < kBlockFiles && bytes < kBlockBytes) {
      bytes += bytes_[static_cast<size_t>(end++)];
    }
    return end;
  }

  void read_block(int64_t begin, int64_t end) {
    std::vector<Slot> slots(static_cast<size_t>(end - begin));
    parallel_for(end - begin, [&](int64_t i) {
      Slot& slot = slots[static_cast<size_t>(i)];
      attempt(slot, [&] {
        slot.file = read_file(path(begin + i), kMaxImageFileBytes);
        slot.decoded = image_size(slot.file);
        slot.saturates = gray_saturates(slot.file);
        slot.size = shrunk_size(slot.decoded, spec_.shorter_side);
      });
    });
    for (Slot& slot : slots) {
      if (!slot.failure.empty()) continue;
      slot.offset = out_.pixels.size();
      out_.pixels.resize(slot.offset + int64_t{3} * slot.size.height * slot.size.width);
    }
    parallel_for(end - begin, [&](int64_t i) {
      Slot& slot = slots[static_cast<size_t>(i)];
      attempt(slot, [&] { decode(slot, out_.pixels.data() + slot.offset); });
    });
    for (int64_t i = begin; i < end; ++i) append(i, slots[static_cast<size_t>(i - begin)]);
  }

  static void decode(const Slot& slot, uint8_t* out) {
    if (slot.size == slot.decoded) return decode_rgb(slot.file, slot.decoded, out);
    std::vector<uint8_t> whole(size_t{3} * static_cast<size_t>(slot.decoded.height) *
                               static_cast<size_t>(slot.decoded.width));
    decode_rgb(slot.file, slot.decoded, whole.data());
    resize_rgb(whole.data(), slot.decoded, slot.size, out);
  }

  void append(int64_t i, const Slot& slot) {
    if (slot.failure.empty()) {
      if (slot.saturates) saturating_.push_back(file(i));
      out_.images.push_back({slot.offset, slot.size.height, slot.size.width});
      out_.labels.push_back(listing_.labels[static_cast<size_t>(selected_[static_cast<size_t>(i)])]);
      out_.names.push_back(file(i));
      return;
    }
    if (spec_.strict_images) {
      fail(ErrorKind::data, "folder: image " + quoted(path(i)) + " cannot be read: " + slot.failure +
                                "; without strict images it would be skipped");
    }
    out_.skipped.push_back({file(i), slot.failure});
  }

  void check_skipped() const {
    const size_t skipped = out_.skipped.size(), all = selected_.size();
    if (static_cast<double>(skipped) * 100 <= spec_.max_unreadable * static_cast<double>(all)) return;
    for (size_t i = 0; i < std::min(skipped, kMostNamed); ++i)
      log(LogLevel::warning, "cannot read " + quoted(out_.skipped[i].file) + ": " + out_.skipped[i].reason);
    const SkippedImage& first = out_.skipped.front();
    fail(ErrorKind::data, "folder: " + std::to_string(skipped) + " of " + std::to_string(all) + " images in " +
                              quoted(listing_.root) + " cannot be read, more than " +
                              number_text(spec_.max_unreadable) + " %; the first is " + quoted(first.file) + ": " +
                              first.reason +
                              "; convert or remove such files, or allow a larger share by --max_unreadable");
  }

  void warn_of_saturating() const {
    if (saturating_.empty()) return;
    log(LogLevel::warning, "folder: " + std::to_string(saturating_.size()) + " of " + std::to_string(selected_.size()) +
                               " images in " + quoted(listing_.root) + " are gray of 16 bits, of which all above 255 " +
                               "becomes white, as in Pillow's convert('RGB'); scale them to 8 bits unless that is " +
                               "meant; the first is " + quoted(saturating_.front()));
  }

  const DatasetSpec& spec_;
  FolderListing listing_;
  std::vector<int64_t> selected_;  ///< of listing_.files
  std::vector<int64_t> bytes_;     ///< of the selected files
  std::vector<std::string> saturating_;
  Dataset out_;
};

}  // namespace

Dataset load_folder(const DatasetSpec& spec) {
  FolderListing listing = list_folder(spec.dir, spec.split);
  if (listing.files.empty()) {
    fail(ErrorKind::data, "folder: no JPEG, PNG or PNM files in " + quoted(listing.root) + " (or in its sub-folders)");
  }
  return FolderReader(spec, std::move(listing)).read();
}

}  // namespace dcl
