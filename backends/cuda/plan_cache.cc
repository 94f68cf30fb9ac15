#include "cuda/plan_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <fstream>
#include <limits>
#include <thread>

#include "core/environment.h"
#include "core/error.h"
#include "core/file.h"
#include "core/number.h"

namespace dcl::cuda {
namespace {

constexpr std::string_view kFormat = "dcl cuDNN plans 7";
constexpr std::string_view kChecksum = "checksum ", kNone = "none", kBarred = "barred", kInherited = "inherited";
constexpr int64_t kMostBytes = 4 << 20;
constexpr auto kLockWait = std::chrono::milliseconds(5);
constexpr int kLockTries = 400;
constexpr size_t kMostPlans = 20000, kMostKnobs = 64, kMostBarred = 100;

/// FNV-1a: finds damage, not malice; what a file says is checked by cuDNN before it is used.
uint64_t checksum(std::string_view text) {
  uint64_t sum = 14695981039346656037u;
  for (const char c : text) sum = (sum ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return sum;
}

std::string hexadecimal(uint64_t value) {
  char digits[17] = {};
  std::to_chars(digits, digits + 16, value, 16);
  return std::string(16 - std::string_view(digits).size(), '0') + digits;
}

/// Cuts the text up to `end` off the front; nothing when there is no `end`.
std::optional<std::string_view> take(std::string_view& text, char end) {
  const size_t length = text.find(end);
  if (length == text.npos) return {};
  const std::string_view front = text.substr(0, length);
  text.remove_prefix(length + 1);
  return front;
}

/// A whole number from 0 to the largest int64, and nothing else.
std::optional<int64_t> number(std::string_view text) {
  return text.starts_with('-') ? std::nullopt : parse_number<int64_t>(text);
}

/// A number, or "none" for kNoEngine.
std::optional<int64_t> engine_number(std::string_view text) {
  if (text == kNone) return kNoEngine;
  return number(text);
}

/// "type=value,type=value," as pairs.
bool parse_knobs(std::string_view text, EngineChoice& choice) {
  while (!text.empty()) {
    std::optional<std::string_view> type_text = take(text, '='), value_text;
    if (type_text) value_text = take(text, ',');
    if (!value_text) return false;
    const auto type = number(*type_text), value = number(*value_text);
    if (!type || !value || choice.knobs.size() == kMostKnobs) return false;
    choice.knobs.emplace_back(*type, *value);
  }
  return true;
}

bool bar_engine(std::vector<EngineChoice>& barred, const EngineChoice& engine) {
  if (std::find(barred.begin(), barred.end(), engine) != barred.end() || barred.size() == kMostBarred) return false;
  barred.push_back(engine);
  return true;
}

/// Key, engine, bytes of its workspace or that it is barred, knobs, that it is inherited if it is.
bool parse_line(std::string_view line, CachedPlans& plans) {
  const auto key = take(line, '\t');
  const auto engine_text = key ? take(line, '\t') : std::nullopt;
  const auto workspace_text = engine_text ? take(line, '\t') : std::nullopt;
  if (!workspace_text || key->empty()) return false;
  const auto engine = engine_number(*engine_text);
  const auto knobs = take(line, '\t');
  CachedPlan plan{.inherited = knobs && line == kInherited};
  if (!engine || (knobs && !plan.inherited) || !parse_knobs(knobs.value_or(line), plan.choice)) return false;
  plan.choice.engine = *engine;
  if (plans.chosen.size() + plans.barred.size() == kMostPlans) return false;
  if (workspace_text == kBarred)
    return *engine != kNoEngine && !plan.inherited && bar_engine(plans.barred[std::string(*key)], plan.choice);
  const auto workspace = number(*workspace_text);
  if (!workspace) return false;
  plan.workspace_bytes = static_cast<size_t>(*workspace);
  return plans.chosen.emplace(*key, std::move(plan)).second;
}

std::string line_of(const std::string& key, const EngineChoice& choice, const std::string& workspace,
                    bool inherited = false) {
  std::string line = key + "\t" + (choice.engine == kNoEngine ? std::string(kNone) : std::to_string(choice.engine)) +
                     "\t" + workspace + "\t";
  for (const auto& [type, value] : choice.knobs) line += std::to_string(type) + "=" + std::to_string(value) + ",";
  if (inherited) line.append("\t").append(kInherited);
  return line + "\n";
}

/// While it lives, no other process is between reading the file and writing it. Where there can be no lock, or somebody
/// keeps it, it goes without.
class FileLock {
 public:
  /// may_wait: becomes false when that was of no use.
  FileLock(const std::filesystem::path& file, bool& may_wait) {
    if (file.empty()) return;
    std::error_code ignored;
    std::filesystem::create_directories(file.parent_path(), ignored);
    fd_ = ::open((file.string() + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
    int tries = may_wait ? kLockTries : 1;
    while (fd_ >= 0 && ::flock(fd_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK && --tries > 0)
      std::this_thread::sleep_for(kLockWait);
    may_wait = may_wait && tries > 0;
  }
  ~FileLock() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int fd_ = -1;
};

std::filesystem::path file_for(const std::filesystem::path& folder, const std::string& machine) {
  if (folder.empty()) return {};
  return folder / ("cudnn-plans-" + hexadecimal(checksum(machine)) + ".txt");
}

}  // namespace

std::string encode_plans(const std::string& machine, const CachedPlans& plans) {
  std::string text = std::string(kFormat) + "\n" + machine + "\n";
  for (const auto& [key, plan] : plans.chosen)
    text += line_of(key, plan.choice, std::to_string(plan.workspace_bytes), plan.inherited);
  for (const auto& [key, engines] : plans.barred)
    for (const EngineChoice& engine : engines) text += line_of(key, engine, std::string(kBarred));
  return text + std::string(kChecksum) + hexadecimal(checksum(text)) + "\n";
}

std::optional<CachedPlans> decode_plans(std::string_view text, std::string_view machine) {
  const size_t last = text.rfind(kChecksum);
  if (last == text.npos ||
      text.substr(last) != std::string(kChecksum) + hexadecimal(checksum(text.substr(0, last))) + "\n")
    return {};
  text = text.substr(0, last);
  if (take(text, '\n') != kFormat || take(text, '\n') != machine) return {};
  CachedPlans plans;
  while (!text.empty()) {
    const auto line = take(text, '\n');
    if (!line || !parse_line(*line, plans)) return {};
  }
  return plans;
}

std::filesystem::path plan_cache_folder() {
  const auto variable = [](const char* name) { return std::filesystem::path(environment_variable(name)); };
  if (const auto own = variable("DCL_PLAN_CACHE"); !own.empty()) return own == "off" ? std::filesystem::path() : own;
  if (const auto cache = variable("XDG_CACHE_HOME"); cache.is_absolute()) return cache / "dcl";
  if (const auto home = variable("HOME"); home.is_absolute()) return home / ".cache" / "dcl";
  return {};
}

PlanCache::PlanCache(const std::filesystem::path& folder, std::string machine)
    : machine_(std::move(machine)), file_(file_for(folder, machine_)) {
  plans_ = of_file();
}

std::optional<CachedPlan> PlanCache::find(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = plans_.chosen.find(key);
  if (found == plans_.chosen.end()) return {};
  return found->second;
}

std::optional<CachedPlan> PlanCache::nearest(const std::function<double(std::string_view)>& distance) const {
  const std::lock_guard lock(mutex_);
  double least = std::numeric_limits<double>::infinity();
  std::optional<CachedPlan> found;
  for (const auto& [key, plan] : plans_.chosen)
    if (const double d = distance(key); plan.choice.engine != kNoEngine && !plan.inherited && d < least)
      least = d, found = plan;
  return found;
}

CachedPlan PlanCache::store(const std::string& key, const CachedPlan& plan, const std::optional<CachedPlan>& useless) {
  const std::lock_guard lock(mutex_);
  const FileLock file_lock(file_, may_wait_);
  CachedPlans others = of_file();
  const auto earlier = others.chosen.find(key);
  const bool have_it = earlier != others.chosen.end() && earlier->second != useless;
  const CachedPlan kept = have_it ? earlier->second : plan;
  plans_.chosen.insert_or_assign(key, kept);
  merge(std::move(others));
  if (!have_it) write();
  return kept;
}

bool PlanCache::bar(const std::string& key, const EngineChoice& engine) {
  const std::lock_guard lock(mutex_);
  const FileLock file_lock(file_, may_wait_);
  merge(of_file());
  bar_engine(plans_.barred[key], engine);
  return write();
}

bool PlanCache::is_barred(const std::string& key, const EngineChoice& engine) const {
  const std::lock_guard lock(mutex_);
  const auto of_key = plans_.barred.find(key);
  return of_key != plans_.barred.end() &&
         std::find(of_key->second.begin(), of_key->second.end(), engine) != of_key->second.end();
}

void PlanCache::merge(CachedPlans others) {
  plans_.chosen.merge(others.chosen);
  for (const auto& [key, engines] : others.barred)
    for (const EngineChoice& engine : engines) bar_engine(plans_.barred[key], engine);
}

/// Nothing when there is no file yet, or one that cannot be read.
CachedPlans PlanCache::of_file() const {
  if (file_.empty()) return {};
  try {
    const std::vector<uint8_t> bytes = read_file(file_.string(), kMostBytes);
    return decode_plans({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, machine_).value_or(CachedPlans{});
  } catch (const Error&) {
    return {};
  }
}

bool PlanCache::write() const {
  if (file_.empty()) return false;
  std::error_code ignored;
  std::filesystem::create_directories(file_.parent_path(), ignored);
  const std::filesystem::path draft = file_.string() + "." + std::to_string(::getpid());
  std::ofstream out(draft, std::ios::binary | std::ios::trunc);
  out << encode_plans(machine_, plans_);
  out.close();
  std::error_code failure;
  if (out) std::filesystem::rename(draft, file_, failure);
  const bool written = out && !failure;
  if (!written) std::filesystem::remove(draft, ignored);
  return written;
}

}  // namespace dcl::cuda
