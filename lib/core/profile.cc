#include "core/profile.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <mutex>
#include <string_view>
#include <vector>

#include "core/backend.h"
#include "core/environment.h"

namespace dcl {
namespace {

struct Entry {
  int64_t calls = 0;
  double seconds = 0;
};

std::mutex g_mutex;
std::map<std::string_view, Entry>& entries() {
  static std::map<std::string_view, Entry> instance;
  return instance;
}

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

bool OpTimer::enabled() {
  static const bool on = !environment_variable("DCL_PROFILE").empty();
  return on;
}

void OpTimer::start() {
  backend_.synchronize();
  start_ = now();
}

void OpTimer::stop() noexcept {
  try {
    backend_.synchronize();
  } catch (...) {
    return;  // what a device reports, it reports to the next who waits, too
  }
  const double seconds = now() - start_;
  const std::lock_guard lock(g_mutex);
  Entry& entry = entries()[op_];
  ++entry.calls;
  entry.seconds += seconds;
}

std::string profile_report() {
  const std::lock_guard lock(g_mutex);
  std::vector<std::pair<std::string_view, Entry>> rows(entries().begin(), entries().end());
  std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  double total = 0;
  for (const auto& row : rows) total += row.second.seconds;
  std::string out;
  for (const auto& [op, entry] : rows) {
    char line[160];
    std::snprintf(line, sizeof line, "%-26s %8lld calls %12.6f s %6.2f %%\n", std::string(op).c_str(),
                  static_cast<long long>(entry.calls), entry.seconds, total > 0 ? 100 * entry.seconds / total : 0.0);
    out += line;
  }
  return out;
}

}  // namespace dcl
