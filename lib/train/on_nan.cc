#include "train/on_nan.h"

#include <string_view>
#include <utility>

#include "core/error.h"
#include "core/number.h"

namespace dcl {
namespace {

constexpr std::pair<std::string_view, OnNan::Action> kCounted[] = {{"skip:", OnNan::Action::skip},
                                                                   {"rollback:", OnNan::Action::rollback}};

}  // namespace

OnNan on_nan_of(const std::string& text) {
  if (text == "stop") return {};
  if (text == "rollback") return {OnNan::Action::rollback, 3};
  for (const auto& [word, action] : kCounted) {
    if (!text.starts_with(word)) continue;
    const auto limit = parse_number<int64_t>(std::string_view(text).substr(word.size()));
    if (limit && *limit >= 1) return {action, *limit};
  }
  fail(ErrorKind::usage,
       "on_nan is '" + text + "': expected stop, skip:N, rollback or rollback:N, with N of 1 or more");
}

}  // namespace dcl
