// The temporaries of files that this process is writing. Private to lib/io.
#pragma once

#include <filesystem>
#include <string>

namespace dcl::temporaries {

void add(const std::filesystem::path& path);
void remove(const std::filesystem::path& path);
/// Whether one in any folder has this name.
bool contains(const std::string& name);

}  // namespace dcl::temporaries
