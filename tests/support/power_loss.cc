#undef _FILE_OFFSET_BITS  // both the plain and the 64-bit names are defined here
#include "support/power_loss.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdarg>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

namespace dcl::test {
namespace {

namespace fs = std::filesystem;

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

/// The folder as the system calls left it, and what of it is certain.
class Recorder::Disk {
 public:
  explicit Disk(std::string folder) : folder_(std::move(folder)) {}

  void made(const std::string& path, std::string kind) {
    if (const auto name = inside(path)) {
      nodes_.push_back({std::move(kind), "", false});
      change(*name, static_cast<int>(nodes_.size()) - 1);
    }
  }
  void renamed(const std::string& from, const std::string& to) {
    const auto a = inside(from), b = inside(to);
    if (!a || !b) return;
    const int node = names_.at(*a);
    change(*b, node, *a);
  }
  void removed(const std::string& path) {
    if (const auto name = inside(path)) change(*name, kGone);
  }
  void written(int fd) {
    if (inside(path_of(fd))) snapshot();
  }
  void synced(int fd) {
    const std::string path = path_of(fd);
    if (path == folder_ || fs::is_directory(path)) {
      const std::string name = path == folder_ ? "" : inside(path).value_or("?");
      std::erase_if(pending_, [&](const Change& c) {
        const bool here = fs::path(c.name).parent_path().string() == name;
        if (here) apply(c, certain_);
        return here;
      });
    } else if (const auto name = inside(path)) {
      Node& node = nodes_[static_cast<size_t>(names_.at(*name))];
      node.certain = contents(path);
      node.synced = true;
    } else {
      return;
    }
    snapshot();
  }
  void mark(int label) {
    label_ = label;
    snapshot();
  }
  std::map<int, std::set<Image>> states() { return states_; }

 private:
  static constexpr int kGone = -1;
  struct Node {
    std::string kind, certain;  // kind as in an Image; certain: contents as of the last fsync
    bool synced = false;
  };
  struct Change {
    std::string name;
    int node = kGone;
    std::string from;  // of a rename
  };
  using Names = std::map<std::string, int>;

  std::optional<std::string> inside(const std::string& path) const {
    if (!path.starts_with(folder_ + "/")) return std::nullopt;
    return path.substr(folder_.size() + 1);
  }
  static std::string path_of(int fd) {
    char target[4096];
    const ssize_t size = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), target, sizeof target);
    return size > 0 ? std::string(target, static_cast<size_t>(size)) : "";
  }
  static void apply(const Change& change, Names& names) {
    if (!change.from.empty()) names.erase(change.from);
    if (change.node == kGone) {
      names.erase(change.name);
    } else {
      names[change.name] = change.node;
    }
  }
  void change(const std::string& name, int node, const std::string& from = "") {
    pending_.push_back({name, node, from});
    apply(pending_.back(), names_);
    snapshot();
  }

  /// Adds the states possible now: every number of uncertain names, with every fate of uncertain data.
  void snapshot() {
    Names names = certain_;
    for (size_t count = 0;; ++count) {
      for (int fate = 0; fate < 4; ++fate) states_[label_].insert(image(names, fate));
      if (count == pending_.size()) return;
      apply(pending_[count], names);
    }
  }
  Image image(const Names& names, int fate) const {
    Image all;
    for (const auto& [name, node] : names) {
      const Node& what = nodes_[static_cast<size_t>(node)];
      all[name] = what.kind == "F" ? "F" + data(node, fate) : what.kind;
    }
    // A folder that is not there takes along what is in it.
    std::erase_if(all, [&](const auto& entry) {
      const std::string above = fs::path(entry.first).parent_path().string();
      return !above.empty() && !all.contains(above);
    });
    return all;
  }
  std::string data(int node, int fate) const {
    std::string now = now_of(node);
    const Node& what = nodes_[static_cast<size_t>(node)];
    if (fate == 0 || (what.synced && what.certain == now)) return now;
    if (fate == 1) return what.certain;
    if (fate == 2) return now.substr(0, now.size() / 2);
    return std::string(now.size(), '\0');
  }
  std::string now_of(int node) const {
    for (const auto& [name, owner] : names_)
      if (owner == node) return contents(folder_ + "/" + name);
    return nodes_[static_cast<size_t>(node)].certain;  // without a name: removed or replaced
  }

  std::string folder_;
  std::vector<Node> nodes_;
  Names names_, certain_;
  std::vector<Change> pending_;
  int label_ = 0;
  std::map<int, std::set<Image>> states_;
};

namespace {

Recorder::Disk* recording = nullptr;
bool inside_recorder = false;  // its own calls are not recorded

template <class Note>
void note(bool succeeded, Note&& take) {
  if (!recording || inside_recorder || !succeeded) return;
  const int saved = errno;
  inside_recorder = true;
  take(*recording);
  inside_recorder = false;
  errno = saved;
}

template <class Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

int open_next(const char* name, const char* path, int flags, mode_t mode) {
  static const auto forward = next<int (*)(const char*, int, ...)>(name);
  const int fd = forward(path, flags, mode);
  note(fd >= 0 && (flags & O_CREAT) && (flags & O_EXCL), [&](auto& disk) { disk.made(path, "F"); });
  return fd;
}

}  // namespace

Recorder::Recorder(const std::string& folder) : disk_(std::make_unique<Disk>(folder)) { recording = disk_.get(); }
Recorder::~Recorder() { recording = nullptr; }
void Recorder::mark(int label) {
  note(true, [&](Disk& disk) { disk.mark(label); });
}
std::map<int, std::set<Recorder::Image>> Recorder::states() {
  recording = nullptr;
  return disk_->states();
}

void materialise(const Recorder::Image& image, const std::string& folder) {
  fs::remove_all(folder);
  fs::create_directories(folder);
  for (const auto& [name, what] : image) {  // folders come before what is in them
    const std::string path = folder + "/" + name;
    if (what == "D") {
      fs::create_directory(path);
    } else if (what[0] == 'L') {
      fs::create_symlink(what.substr(1), path);
    } else {
      std::ofstream(path, std::ios::binary).write(what.data() + 1, static_cast<std::streamsize>(what.size()) - 1);
    }
  }
}

}  // namespace dcl::test

using dcl::test::next;
using dcl::test::note;

extern "C" {

#define DCL_OPEN(name)                                                \
  int name(const char* path, int flags, ...) {                        \
    va_list rest;                                                     \
    va_start(rest, flags);                                            \
    const mode_t mode = (flags & O_CREAT) ? va_arg(rest, mode_t) : 0; \
    va_end(rest);                                                     \
    return dcl::test::open_next(#name, path, flags, mode);            \
  }
DCL_OPEN(open)
DCL_OPEN(open64)

ssize_t write(int fd, const void* data, size_t bytes) {
  static const auto forward = next<ssize_t (*)(int, const void*, size_t)>("write");
  const ssize_t sent = forward(fd, data, bytes);
  note(sent > 0, [&](auto& disk) { disk.written(fd); });
  return sent;
}

#define DCL_PWRITE(name, offset_type)                                                            \
  ssize_t name(int fd, const void* data, size_t bytes, offset_type offset) {                     \
    static const auto forward = next<ssize_t (*)(int, const void*, size_t, offset_type)>(#name); \
    const ssize_t sent = forward(fd, data, bytes, offset);                                       \
    note(sent > 0, [&](auto& disk) { disk.written(fd); });                                       \
    return sent;                                                                                 \
  }
DCL_PWRITE(pwrite, off_t)
DCL_PWRITE(pwrite64, off64_t)

int fsync(int fd) {
  static const auto forward = next<int (*)(int)>("fsync");
  const int status = forward(fd);
  note(status == 0, [&](auto& disk) { disk.synced(fd); });
  return status;
}

int rename(const char* from, const char* to) noexcept {
  static const auto forward = next<int (*)(const char*, const char*)>("rename");
  const int status = forward(from, to);
  note(status == 0, [&](auto& disk) { disk.renamed(from, to); });
  return status;
}

int unlink(const char* path) noexcept {
  static const auto forward = next<int (*)(const char*)>("unlink");
  const int status = forward(path);
  note(status == 0, [&](auto& disk) { disk.removed(path); });
  return status;
}

int symlink(const char* target, const char* path) noexcept {
  static const auto forward = next<int (*)(const char*, const char*)>("symlink");
  const int status = forward(target, path);
  note(status == 0, [&](auto& disk) { disk.made(path, "L" + std::string(target)); });
  return status;
}

int mkdir(const char* path, mode_t mode) noexcept {
  static const auto forward = next<int (*)(const char*, mode_t)>("mkdir");
  const int status = forward(path, mode);
  note(status == 0, [&](auto& disk) { disk.made(path, "D"); });
  return status;
}
}
