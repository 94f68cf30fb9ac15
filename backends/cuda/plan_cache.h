// Which engine won the timing for a pattern, remembered from run to run: a start needs no timing then, and takes the
// same engines, so the same bits; and which must not run again, because they ended a process. Needs no CUDA.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cuda/engine_choice.h"

namespace dcl::cuda {

struct CachedPlan {
  EngineChoice choice;
  size_t workspace_bytes = 0;
  /// Chosen for another convolution and taken over. No third takes it over, which could be less and less like the
  /// first.
  bool inherited = false;
  bool operator==(const CachedPlan&) const = default;
};

/// By key_text().
struct CachedPlans {
  std::map<std::string, CachedPlan> chosen;
  std::map<std::string, std::vector<EngineChoice>> barred;
  bool operator==(const CachedPlans&) const = default;
};

/// The file's text: a line naming the format, one naming the machine, a line per engine, a checksum over all of them.
std::string encode_plans(const std::string& machine, const CachedPlans& plans);
/// Nothing when the text is damaged, of another format, or for another machine. Any text may be given.
std::optional<CachedPlans> decode_plans(std::string_view text, std::string_view machine);

/// $DCL_PLAN_CACHE (a folder; "off": none), else $XDG_CACHE_HOME/dcl, else $HOME/.cache/dcl; empty: nowhere to keep
/// files.
std::filesystem::path plan_cache_folder();

/// Thread-safe. Never fails: a file that cannot be read or written is as good as none.
class PlanCache {
 public:
  /// machine: everything a choice depends on beside the pattern (cuDNN's version, GPU), on one line.
  PlanCache(const std::filesystem::path& folder, std::string machine);

  std::optional<CachedPlan> find(const std::string& key) const;
  /// Of plans with an engine that was chosen for them, that of the key for which `distance` is least; nothing where it
  /// is infinite for all.
  std::optional<CachedPlan> nearest(const std::function<double(std::string_view key)>& distance) const;
  /// The plan to use from now on: `plan`, kept and written to the file together with what other processes wrote
  /// meanwhile, or what one of them wrote for this key, unless that is `useless`. So runs that begin side by side take
  /// the same engines as when they are resumed.
  CachedPlan store(const std::string& key, const CachedPlan& plan, const std::optional<CachedPlan>& useless = {});
  /// That an engine must not be tried again. False: it could not be written to the file.
  bool bar(const std::string& key, const EngineChoice& engine);
  bool is_barred(const std::string& key, const EngineChoice& engine) const;
  const std::filesystem::path& file() const { return file_; }

 private:
  CachedPlans of_file() const;
  /// What other processes wrote, beside what is known here.
  void merge(CachedPlans others);
  bool write() const;

  std::string machine_;
  std::filesystem::path file_;  ///< empty: none
  mutable std::mutex mutex_;
  bool may_wait_ = true;  ///< for the file's lock
  CachedPlans plans_;
};

}  // namespace dcl::cuda
