#include "core/error.h"

#include <exception>
#include <filesystem>
#include <new>

#include "core/file.h"

namespace dcl {

Failure current_failure() {
  try {
    throw;
  } catch (const Error& error) {
    return {error.kind(), error.what()};
  } catch (const std::bad_alloc&) {
    return {ErrorKind::out_of_memory, "out of memory; a smaller batch size needs less"};
  } catch (const std::filesystem::filesystem_error& error) {
    const std::string path = error.path1().native(), reason = error.code().message();
    return {ErrorKind::io, path.empty() ? reason : quoted(path) + ": " + reason};
  } catch (const std::exception& error) {
    return {ErrorKind::internal, std::string("internal error: ") + error.what() + "; please report it"};
  } catch (...) {
    return {ErrorKind::internal, "internal error of an unknown type; please report it"};
  }
}

}  // namespace dcl
