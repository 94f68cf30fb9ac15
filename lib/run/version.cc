#include "run/version.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/parallel.h"
#include "core/registry.h"
#include "run/console.h"
#include "run/json_text.h"

namespace dcl {

std::vector<BackendReport> report_backends() {
  std::vector<BackendReport> reports;
  for (const BackendStatus& status : list_backends()) {
    BackendReport report{status, {}};
    try {
      if (status.available) report.info = make_backend(status.name)->info();
    } catch (const Error& error) {
      report.status.available = false;
      report.status.reason = error.what();
    }
    reports.push_back(std::move(report));
  }
  return reports;
}

std::string version() { return DCL_VERSION; }

std::string compiler() {
#ifdef __clang__
  return "clang " __clang_version__;
#else
  return "g++ " __VERSION__;
#endif
}

std::string version_text(const std::string& program) {
  std::string out = program + " " + version() + " (" + compiler() + ")\n";
  for (const BackendReport& report : report_backends()) {
    out += "  " + report.status.name + ": ";
    if (report.status.available) {
      out += report.info.device;
      for (const auto& [library, number] : report.info.libraries) out += ", " + library + " " + number;
    } else {
      out += "not available: " + report.status.reason;
    }
    out += "\n";
  }
  return out;
}

std::string environment_json(const std::vector<std::pair<std::string, std::string>>& facts) {
  nlohmann::ordered_json object;
  object["version"] = version();
  object["compiler"] = compiler();
  utsname system{};
  if (::uname(&system) == 0) {
    object["host"] = system.nodename;
    object["system"] = std::string(system.sysname) + " " + system.release + " " + system.machine;
  }
  object["process"] = ::getpid();
  object["started"] = utc_text(unix_now());
  object["threads"] = thread_count();
  for (const BackendReport& report : report_backends()) {
    nlohmann::ordered_json& entry = object["backends"][report.status.name];
    entry["available"] = report.status.available;
    if (report.status.available)
      entry["device"] = report.info.device;
    else
      entry["reason"] = report.status.reason;
    for (const auto& [library, number] : report.info.libraries) entry["libraries"][library] = number;
  }
  for (const auto& [name, value] : facts) object[name] = value;
  return json_text(object, 2);
}

}  // namespace dcl
