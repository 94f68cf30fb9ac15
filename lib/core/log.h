// The library never prints: it hands its messages to whoever installed a sink (the apps do; the default drops them).
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace dcl {

enum class LogLevel { info, warning };
using LogSink = std::function<void(LogLevel, std::string_view)>;

/// Replaces the process-wide sink. Call before threads start.
void set_log_sink(LogSink sink);
void log(LogLevel level, std::string_view message);
/// Each as a message of its own.
void log(LogLevel level, std::span<const std::string> messages);

}  // namespace dcl
