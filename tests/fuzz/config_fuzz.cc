// Configuration files; and what a value is written as is read back.
#include <string>

#include "run/config_file.h"
#include "target.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  dcl::fuzz::refusing(dcl::ErrorKind::usage, [&] {
    for (const dcl::ConfigEntry& entry : dcl::parse_config(text, "input")) {
      if (entry.values.size() != 1) continue;
      const auto again = dcl::parse_config("key = " + dcl::toml_string(entry.values[0]) + "\n", "again");
      if (again.size() != 1 || again[0].values != entry.values) std::abort();
    }
  });
  return 0;
}
