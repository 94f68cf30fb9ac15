#include "io/temporaries.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <climits>
#include <cstring>
#include <mutex>
#include <set>

#include "io/atomic_file.h"

namespace dcl {
namespace {

/// A path where a signal handler can read it. Invariant: while `used`, `path` does not change.
struct Slot {
  std::atomic<bool> used{false};
  char path[PATH_MAX] = {};
};
static_assert(std::atomic<bool>::is_always_lock_free);

/// More files than are ever written at once; what finds no place is only not removed when a signal ends the process.
std::array<Slot, 16> slots;
std::mutex mutex;
std::set<std::filesystem::path> paths;

}  // namespace

namespace temporaries {

void add(const std::filesystem::path& path) {
  const std::lock_guard guard(mutex);
  paths.insert(path);
  if (path.native().size() >= PATH_MAX) return;
  for (Slot& slot : slots) {
    if (slot.used) continue;
    std::memcpy(slot.path, path.c_str(), path.native().size() + 1);
    slot.used = true;
    return;
  }
}

void remove(const std::filesystem::path& path) {
  const std::lock_guard guard(mutex);
  paths.erase(path);
  for (Slot& slot : slots)
    if (slot.used && path == slot.path) slot.used = false;
}

bool contains(const std::string& name) {
  const std::lock_guard guard(mutex);
  for (const std::filesystem::path& path : paths)
    if (path.filename() == name) return true;
  return false;
}

}  // namespace temporaries

void unlink_live_temporaries() noexcept {
  for (const Slot& slot : slots)
    if (slot.used) ::unlink(slot.path);
}

}  // namespace dcl
