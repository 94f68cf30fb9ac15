// dcl-info: what this build is, what it can use on this machine, and why not the rest.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/parallel.h"
#include "core/registry.h"
#include "data/decode.h"
#include "run/app.h"
#include "run/json_text.h"
#include "run/version.h"

namespace dcl {
namespace {

using nlohmann::ordered_json;

std::vector<std::string> cpu_features() {
  std::vector<std::string> found;
#if defined(__x86_64__)
#define DCL_FEATURE(name) \
  if (__builtin_cpu_supports(name)) found.push_back(name)
  DCL_FEATURE("sse4.2");
  DCL_FEATURE("avx");
  DCL_FEATURE("avx2");
  DCL_FEATURE("fma");
  DCL_FEATURE("avx512f");
  DCL_FEATURE("avx512bw");
  DCL_FEATURE("avx512vl");
  DCL_FEATURE("avx512vnni");
  DCL_FEATURE("avx512bf16");
#undef DCL_FEATURE
#elif defined(__aarch64__)
  found.push_back("neon");
#endif
  return found;
}

ordered_json describe(const BackendReport& report) {
  const auto& [status, info] = report;
  ordered_json out{{"name", status.name}, {"available", status.available}};
  if (!status.path.empty()) out["path"] = status.path;
  if (!status.available) {
    out["reason"] = status.reason;
    return out;
  }
  out["device"] = info.device;
  for (const auto& [library, version] : info.libraries) out["libraries"][library] = version;
  out["ops"] = {{"own", ordered_json::array()}, {"inherited", ordered_json::array()}};
  for (const char* op : kBackendOps) {
    const bool own =
        info.overrides.empty() || std::find(info.overrides.begin(), info.overrides.end(), op) != info.overrides.end();
    out["ops"][own ? "own" : "inherited"].push_back(op);
  }
  return out;
}

ordered_json describe_everything() {
  ordered_json out{{"version", version()}, {"compiler", compiler()}, {"threads", thread_count()}};
  out["cpu_features"] = cpu_features();
  out["jpeg_decoder"] = jpeg_decoder();
  out["png_decoder"] = png_decoder();
  out["backends"] = ordered_json::array();
  for (const BackendReport& report : report_backends()) out["backends"].push_back(describe(report));
  return out;
}

std::string joined(const ordered_json& words) {
  std::string out;
  for (const auto& word : words) out += (out.empty() ? "" : " ") + word.get<std::string>();
  return out;
}

void print_text(const ordered_json& info) {
  const auto line = [](const std::string& name, const std::string& value) {
    print(name + std::string(name.size() < 16 ? 16 - name.size() : 1, ' ') + value + "\n");
  };
  line("dcl", info["version"].get<std::string>() + " (" + info["compiler"].get<std::string>() + ")");
  line("CPU features", joined(info["cpu_features"]));
  line("threads", std::to_string(info["threads"].get<int>()));
  line("JPEG decoder", info["jpeg_decoder"]);
  line("PNG decoder", info["png_decoder"]);
  for (const auto& backend : info["backends"]) {
    const std::string name = "backend " + backend["name"].get<std::string>();
    if (!backend["available"].get<bool>()) {
      line(name, "not available: " + backend["reason"].get<std::string>());
      continue;
    }
    std::string what = backend["device"];
    if (backend.contains("libraries"))
      for (const auto& [library, version] : backend["libraries"].items())
        what += ", " + library + " " + version.get<std::string>();
    line(name, what);
    line("  own ops", joined(backend["ops"]["own"]));
    if (!backend["ops"]["inherited"].empty()) line("  inherited ops", joined(backend["ops"]["inherited"]));
  }
}

}  // namespace
}  // namespace dcl

int main(int argc, char** argv) {
  bool json = false;
  dcl::Options options("dcl-info",
                       "Prints version, backends and why one is not available, CPU features and image decoders.",
                       {"dcl-info", "dcl-info --json"});
  options.add("json", &json, "one JSON object on standard output").transient();
  return dcl::run_app(argc, argv, options, [&] {
    const auto info = dcl::describe_everything();
    if (json) {
      dcl::print(dcl::json_text(info, 2));
    } else {
      dcl::print_text(info);
    }
    return 0;
  });
}
