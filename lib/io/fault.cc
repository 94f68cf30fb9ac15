#include "io/fault.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/environment.h"
#include "core/error.h"
#include "core/number.h"

namespace dcl {
namespace {

constexpr std::pair<std::string_view, IoOp> kOps[] = {
    {"open", IoOp::open},     {"allocate", IoOp::allocate}, {"write", IoOp::write},
    {"fsync", IoOp::fsync},   {"close", IoOp::close},       {"rename", IoOp::rename},
    {"unlink", IoOp::unlink}, {"symlink", IoOp::symlink},   {"embeddings", IoOp::embeddings},
};
constexpr std::pair<std::string_view, int> kErrors[] = {
    {"ENOSPC", ENOSPC}, {"EIO", EIO},     {"EINTR", EINTR},   {"EDQUOT", EDQUOT},
    {"EACCES", EACCES}, {"EROFS", EROFS}, {"EMFILE", EMFILE}, {"EPERM", EPERM},
};

struct Fault {
  std::string scope;  // empty: everywhere
  bool any = false;
  IoOp op = IoOp::write;
  int number = 1;
  bool onwards = false, cut_short = false, kill = false, not_a_number = false;
  int error = 0;
  int seen = 0;
};

struct Plan {
  std::mutex mutex;
  std::vector<Fault> faults;
  int operations = 0;
};

thread_local const char* current_scope = "";

Plan& plan() {
  static Plan instance;
  return instance;
}

template <class Value, size_t N>
const Value* lookup(const std::pair<std::string_view, Value> (&table)[N], std::string_view name) {
  for (const auto& entry : table)
    if (entry.first == name) return &entry.second;
  return nullptr;
}

[[noreturn]] void fail_plan(std::string_view text) {
  fail(ErrorKind::usage,
       "fault plan '" + std::string(text) + "': expected [scope/]op:number[+]:what, e.g. write:17:ENOSPC");
}

Fault parse_fault(std::string_view text) {
  const size_t first = text.find(':'), second = text.find(':', first + 1);
  if (first == text.npos || second == text.npos) fail_plan(text);
  std::string_view op = text.substr(0, first), number = text.substr(first + 1, second - first - 1);
  const std::string_view what = text.substr(second + 1);
  Fault fault;
  if (const size_t slash = op.find('/'); slash != op.npos) {
    fault.scope = op.substr(0, slash);
    op.remove_prefix(slash + 1);
  }
  if (number.ends_with('+')) {
    fault.onwards = true;
    number.remove_suffix(1);
  }
  fault.number = parse_number<int>(number).value_or(0);
  if (fault.number < 1) fail_plan(text);
  if (op == "any")
    fault.any = true;
  else if (const IoOp* known = lookup(kOps, op))
    fault.op = *known;
  else
    fail_plan(text);
  if (what == "KILL")
    fault.kill = true;
  else if (what == "SHORT")
    fault.cut_short = true;
  else if (what == "NAN")
    fault.not_a_number = true;
  else if (const int* error = lookup(kErrors, what))
    fault.error = *error;
  else
    fail_plan(text);
  return fault;
}

std::vector<Fault> parse_plan(std::string_view text) {
  std::vector<Fault> faults;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    faults.push_back(parse_fault(text.substr(0, comma)));
    text = comma == text.npos ? std::string_view() : text.substr(comma + 1);
  }
  return faults;
}

/// 0 before the environment was read, 1 without a plan, 2 with one.
std::atomic<int> state{0};

void install(std::string_view text) {
  std::vector<Fault> faults = parse_plan(text);
  const std::lock_guard guard(plan().mutex);
  plan().faults = std::move(faults);
  plan().operations = 0;
  state.store(plan().faults.empty() ? 1 : 2);
}

PlantedFault count(IoOp op) {
  const std::lock_guard guard(plan().mutex);
  ++plan().operations;
  PlantedFault planted;
  for (Fault& fault : plan().faults) {
    const bool meant = fault.any ? op != IoOp::embeddings : fault.op == op;
    if (!meant || (!fault.scope.empty() && fault.scope != current_scope)) continue;
    ++fault.seen;
    if (fault.seen != fault.number && !(fault.onwards && fault.seen > fault.number)) continue;
    if (fault.kill) raise(SIGKILL);
    planted.cut_short |= fault.cut_short;
    planted.not_a_number |= fault.not_a_number;
    if (fault.error) planted.error = fault.error;
  }
  return planted;
}

}  // namespace

PlantedFault failpoint(IoOp op) {
  int now = state.load(std::memory_order_relaxed);
  if (now == 1) return {};
  if (now == 0) {
    install(environment_variable("DCL_FAULT"));
    now = state.load();
  }
  return now == 2 ? count(op) : PlantedFault{};
}

FaultScope::FaultScope(const char* name) : before_(std::exchange(current_scope, name)) {}
FaultScope::~FaultScope() { current_scope = before_; }

void set_fault_plan(std::string_view text) { install(text); }

int operations_counted() {
  const std::lock_guard guard(plan().mutex);
  return plan().operations;
}

}  // namespace dcl
