// What a disk may hold after a power loss. While a Recorder lives, the system calls of this process that change files
// in a folder are recorded; from the record follow the states in which the folder may be found when the power goes at
// any point:
//   data    of a file is certain as of its last fsync; what came after may be there, in part, as zeros, or not at all
//   names   (create, rename, unlink, link) are certain once their folder was synced; of the others the first few may be
//   there
// The system calls are caught by definitions in power_loss.cc, so a test program must be linked with it as objects.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace dcl::test {

class Recorder {
 public:
  /// Folders below this one are not looked into, except those made while recording.
  explicit Recorder(const std::string& folder);
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  /// Path relative to the folder -> what is there: "F" + contents, "L" + target, or "D".
  using Image = std::map<std::string, std::string>;

  /// From now on states belong to this number.
  void mark(int label);
  /// The states possible while `mark` was at each number, without repetition. Ends the recording.
  std::map<int, std::set<Image>> states();

  class Disk;

 private:
  std::unique_ptr<Disk> disk_;
};

/// Makes the folder hold exactly this.
void materialise(const Recorder::Image& image, const std::string& folder);

}  // namespace dcl::test
