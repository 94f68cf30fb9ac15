#include "core/log.h"

#include <utility>

namespace dcl {
namespace {
LogSink& sink() {
  static LogSink instance;
  return instance;
}
}  // namespace

void set_log_sink(LogSink new_sink) { sink() = std::move(new_sink); }

void log(LogLevel level, std::string_view message) {
  if (sink()) sink()(level, message);
}

void log(LogLevel level, std::span<const std::string> messages) {
  for (const std::string& message : messages) log(level, std::string_view(message));
}

}  // namespace dcl
