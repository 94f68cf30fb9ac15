#include "train/checkpoint.h"

#include <algorithm>
#include <cstdio>
#include <set>
#include <type_traits>

#include "core/error.h"
#include "core/log.h"
#include "core/number.h"
#include "io/atomic_file.h"
#include "io/fault.h"
#include "io/file.h"
#include "train/classifier_file.h"
#include "train/pretrain_settings.h"

namespace dcl {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFaultScope = "checkpoint";
constexpr const char* kStateHash = "dcl.state";
constexpr const char* kHeaderHash = "dcl.xxh3.header";
constexpr const char* kFormat = "dcl.format";
constexpr const char* kFormatValue = "1";
constexpr const char* kKnn = "dcl.knn_top1";
constexpr const char* kStep = "dcl.step";
constexpr std::string_view kConfig = "dcl.config.", kMachine = "dcl.machine.";
/// The counts of CheckpointFacts::left_out by their keys.
constexpr std::pair<const char*, int64_t LeftOut::*> kLeftOut[] = {{"dcl.left_out.steps", &LeftOut::steps},
                                                                   {"dcl.left_out.in_a_row", &LeftOut::in_a_row},
                                                                   {"dcl.left_out.rollbacks", &LeftOut::rollbacks}};
constexpr std::string_view kPrefix = "step-", kModelSuffix = ".safetensors", kStateSuffix = ".state.safetensors";

/// Whole numbers are counts.
template <class T>
T number_at(const SafetensorsFile& file, const char* key) {
  const std::string& text = file.metadata(key);
  const auto value = parse_number<T>(text);
  if (!value || (std::is_integral_v<T> && *value < 0))
    fail(ErrorKind::data, "checkpoint " + quoted(file.path()) + ": metadata '" + key + "' is " + quoted(text) +
                              ", expected a number" + (std::is_integral_v<T> ? " of 0 or more" : ""));
  return *value;
}

std::string step_name(int64_t step) {
  char text[32];
  std::snprintf(text, sizeof text, "step-%08lld", static_cast<long long>(step));
  return text;
}

/// The step in a model file's name, nothing for every other name.
std::optional<int64_t> step_of(const std::string& name) {
  if (!name.starts_with(kPrefix) || !name.ends_with(kModelSuffix) || name.ends_with(kStateSuffix)) return std::nullopt;
  const std::string digits = name.substr(kPrefix.size(), name.size() - kPrefix.size() - kModelSuffix.size());
  const auto step = parse_number<int64_t>(digits);
  return step && *step >= 0 && step_name(*step) == "step-" + digits ? step : std::nullopt;
}

fs::path state_beside(const fs::path& model) {
  return model.parent_path() / (model.stem().string() + std::string(kStateSuffix));
}

/// Counts that no run comes to would overflow in the one that continues it.
void check_counts(const SafetensorsFile& file, const CheckpointFacts& facts) {
  constexpr int64_t kMostSteps = kMostEpochs * kMostEpochs;
  const auto& [step, epoch, step_in_epoch] = facts.position;
  const int64_t left_out = facts.left_out.steps;
  if (step <= kMostSteps && epoch <= std::min(step, kMostEpochs) && step_in_epoch <= step && left_out <= step) return;
  fail(ErrorKind::data, "checkpoint " + quoted(file.path()) + ": no run comes to step " + std::to_string(step) +
                            " in epoch " + std::to_string(epoch) + " after " + std::to_string(step_in_epoch) +
                            " of its steps, with " + std::to_string(left_out) + " left out");
}

FileMetadata metadata_of(const CheckpointFacts& facts) {
  FileMetadata all{{"format", "pt"},
                   {kFormat, kFormatValue},
                   {kStep, std::to_string(facts.position.step)},
                   {"dcl.epoch", std::to_string(facts.position.epoch)},
                   {"dcl.step_in_epoch", std::to_string(facts.position.step_in_epoch)}};
  if (facts.knn_top1) all[kKnn] = number_text(*facts.knn_top1);
  for (const auto& [name, value] : facts.settings) all[std::string(kConfig) + name] = value;
  if (const auto found = facts.settings.find("normalization"); found != facts.settings.end())
    all[std::string(kNormalizationKey)] = found->second;  // where evaluation looks for it (normalization_for)
  for (const auto& [name, value] : facts.machine) all[std::string(kMachine) + name] = value;
  for (const auto& [key, member] : kLeftOut)
    if (facts.left_out.*member != 0) all[key] = std::to_string(facts.left_out.*member);
  return all;
}

/// The state file of a model, which may be the copy `latest` or `best` of a file system without links.
fs::path state_of(const SafetensorsFile& model) {
  const fs::path beside = state_beside(model.path());
  std::error_code unknown;
  if (fs::exists(beside, unknown) || unknown) return beside;
  if (model.metadata().contains(kStep)) {
    const fs::path of_step = CheckpointFolder(beside.parent_path()).state_path(number_at<int64_t>(model, kStep));
    if (fs::exists(of_step, unknown)) return of_step;
  }
  fail(ErrorKind::data, "cannot continue " + quoted(model.path()) + " without its state file " +
                            quoted(beside.filename()) + " beside it, which dcl-pretrain writes with every checkpoint");
}

/// Both files by their real path.
Checkpoint open_pair(const fs::path& model_path) {
  auto model = std::make_unique<SafetensorsFile>(model_path);
  auto state = std::make_unique<SafetensorsFile>(state_of(*model));
  Checkpoint opened{std::move(model), std::move(state), {}};
  for (const SafetensorsFile* file : {opened.model.get(), opened.state.get()})
    if (file->metadata(kFormat) != kFormatValue)
      fail(ErrorKind::data, "checkpoint " + quoted(file->path()) + " has format " + quoted(file->metadata(kFormat)) +
                                ", this program reads format " + kFormatValue);
  if (opened.model->metadata(kStateHash) != opened.state->metadata(kHeaderHash))
    fail(ErrorKind::data, "checkpoint " + quoted(model_path) + " does not belong to the state file beside it");
  opened.facts = facts_of(*opened.model);
  CheckpointFacts of_state = facts_of(*opened.state);
  of_state.knn_top1 = opened.facts.knn_top1;
  if (!(of_state == opened.facts))
    fail(ErrorKind::data, "checkpoint " + quoted(model_path) + ": model and state say different things");
  opened.state->verify();
  opened.model->verify();
  return opened;
}

}  // namespace

CheckpointFacts facts_of(const SafetensorsFile& file) {
  CheckpointFacts facts;
  facts.position = {number_at<int64_t>(file, kStep), number_at<int64_t>(file, "dcl.epoch"),
                    number_at<int64_t>(file, "dcl.step_in_epoch")};
  if (file.metadata().contains(kKnn)) facts.knn_top1 = number_at<double>(file, kKnn);
  for (const auto& [key, value] : file.metadata()) {
    if (key.starts_with(kConfig)) facts.settings[key.substr(kConfig.size())] = value;
    if (key.starts_with(kMachine)) facts.machine[key.substr(kMachine.size())] = value;
  }
  for (const auto& [key, member] : kLeftOut)
    if (file.metadata().contains(key)) facts.left_out.*member = number_at<int64_t>(file, key);
  check_counts(file, facts);
  return facts;
}

fs::path CheckpointFolder::model_path(int64_t step) const {
  return folder_ / (step_name(step) + std::string(kModelSuffix));
}
fs::path CheckpointFolder::state_path(int64_t step) const {
  return folder_ / (step_name(step) + std::string(kStateSuffix));
}

void CheckpointFolder::point(const char* link, int64_t step) const {
  const fs::path place = folder_ / link;
  if (replace_symlink(model_path(step).filename(), place)) return;
  // No links here: a copy, which can be opened and outlives pruning all the same. A link from elsewhere must not lead
  // it into an older checkpoint.
  std::error_code absent;
  if (fs::is_symlink(place, absent)) remove_file(place);
  copy_file_atomically(model_path(step), place);
}

void CheckpointFolder::save(const CheckpointFacts& facts, std::vector<TensorSource> model,
                            std::vector<TensorSource> state) const {
  const FaultScope scope(kFaultScope);
  make_folders(folder_);
  const RunPosition& position = facts.position;
  FileMetadata all = metadata_of(facts), of_state = all;
  of_state.erase(kKnn);
  const fs::path state_file = state_path(position.step);
  write_safetensors(state_file, std::move(state), std::move(of_state));
  all[kStateHash] = SafetensorsFile(state_file).metadata(kHeaderHash);
  write_safetensors(model_path(position.step), std::move(model), std::move(all));
  point("latest", position.step);
  remove_stale_temporaries(folder_);
}

void CheckpointFolder::mark_best(int64_t step) const {
  const FaultScope scope(kFaultScope);
  point("best", step);
}

std::optional<double> CheckpointFolder::best_knn() const try {
  return facts_of(SafetensorsFile(folder_ / "best")).knn_top1;
} catch (const Error&) {
  return std::nullopt;
}

std::vector<int64_t> CheckpointFolder::steps() const {
  std::vector<int64_t> found;
  std::error_code error;
  for (fs::directory_iterator entry(folder_, error), end; !error && entry != end; entry.increment(error)) {
    if (const auto step = step_of(entry->path().filename().string())) found.push_back(*step);
  }
  if (error && error != std::errc::no_such_file_or_directory) fail_io("cannot list the folder", folder_, error.value());
  std::sort(found.begin(), found.end());
  return found;
}

std::optional<Checkpoint> CheckpointFolder::newest_valid(std::vector<PassedOver>& passed_over, int64_t up_to) const {
  const std::vector<int64_t> all = steps();
  for (auto step = all.rbegin(); step != all.rend(); ++step) {
    if (*step > up_to) continue;
    const fs::path path = model_path(*step);
    try {
      Checkpoint opened = open_pair(path);
      if (opened.facts.position.step == *step) return opened;
      passed_over.push_back({path, "its contents are of step " + std::to_string(opened.facts.position.step)});
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::data && error.kind() != ErrorKind::io) throw;
      passed_over.push_back({path, error.what()});
    }
  }
  return std::nullopt;
}

std::optional<Checkpoint> CheckpointFolder::newest_told(int64_t up_to) const {
  std::vector<PassedOver> passed_over;
  std::optional<Checkpoint> found = newest_valid(passed_over, up_to);
  for (const PassedOver& bad : passed_over)
    log(LogLevel::warning, "checkpoint " + quoted(bad.path) + " is not used: " + bad.reason);
  return found;
}

void CheckpointFolder::prune(int64_t keep_last, int64_t keep_every) const noexcept try {
  const FaultScope scope(kFaultScope);
  std::vector<int64_t> all = steps();
  std::set<fs::path> linked;
  for (const char* link : {"latest", "best"}) {
    std::error_code error;
    linked.insert(fs::read_symlink(folder_ / link, error).filename());
  }
  // What lies beyond `latest` was passed over as damaged when the run was continued: it takes no sound one's place.
  std::error_code absent;
  if (const auto latest = step_of(fs::read_symlink(folder_ / "latest", absent).filename().string()))
    std::erase_if(all, [&](int64_t step) { return step > *latest; });
  const int64_t removable = static_cast<int64_t>(all.size()) - std::max<int64_t>(keep_last, 1);
  for (int64_t i = 0; i < removable; ++i) {
    const int64_t step = all[static_cast<size_t>(i)];
    if ((keep_every > 0 && step % keep_every == 0) || linked.contains(model_path(step).filename())) continue;
    // The model first: a state without its model is no checkpoint, the reverse is a damaged one.
    if (remove_file(model_path(step))) remove_file(state_path(step));
  }
} catch (...) {
}

namespace {

/// The file that was asked for, or what the run has become since it began with that file.
Checkpoint asked_for(const std::string& resume, const CheckpointFolder& folder) {
  Checkpoint given = open_checkpoint(resume);
  std::optional<Checkpoint> newest = folder.newest_told();
  if (!newest || newest->facts.position.step <= given.facts.position.step) return given;
  std::error_code ignored;
  if (fs::equivalent(fs::path(given.model->path()).parent_path(), folder.path(), ignored))
    fail(ErrorKind::usage, "cannot continue " + quoted(resume) +
                               " in its own run directory, which has later checkpoints, up to step " +
                               std::to_string(newest->facts.position.step) +
                               ": give another --run_dir, or --resume auto to continue the latest");
  log(LogLevel::warning, "the run directory has later checkpoints than " + quoted(resume) + ": continuing " +
                             quoted(newest->model->path()));
  return std::move(*newest);
}

}  // namespace

Checkpoint open_checkpoint(const fs::path& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) {
    const fs::path below = path / "checkpoints";
    const CheckpointFolder folder(fs::is_directory(below, error) ? below : path);
    if (auto newest = folder.newest_told()) return std::move(*newest);
    fail(ErrorKind::data, "no valid checkpoint to resume from in " + quoted(folder.path()));
  }
  const fs::path real = fs::canonical(path, error);
  if (error) fail_io("cannot open the checkpoint", path, error.value());
  return open_pair(real);
}

std::optional<Checkpoint> choose_checkpoint(const std::string& resume, const CheckpointFolder& folder) {
  if (resume == "never") {
    if (!folder.steps().empty())
      fail(ErrorKind::usage, quoted(folder.path()) +
                                 " holds checkpoints of an earlier run: continue it with --resume auto or "
                                 "give another --run_dir");
    return std::nullopt;
  }
  if (resume != "auto" && resume != "must") return asked_for(resume, folder);
  std::optional<Checkpoint> found = folder.newest_told();
  if (!found && resume == "must")
    fail(ErrorKind::data, "no valid checkpoint to resume from in " + quoted(folder.path()));
  return found;
}

}  // namespace dcl
