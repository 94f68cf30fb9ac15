// A program that does nothing but what its option says, to test the shell every app has around it.
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <new>
#include <stdexcept>
#include <string>

#include "core/error.h"
#include "core/log.h"
#include "run/app.h"

int main(int argc, char** argv) {
  std::string act = "print", text;
  int kind = 1;
  dcl::Options options("shell-probe", "Tests the shell of the apps.");
  options.add("act", &act, "what to do")
      .choices({"print", "much", "log", "throw", "bad_alloc", "other", "interrupted", "waiting"});
  options.add("text", &text, "what to print beside it");
  options.add("kind", &kind, "kind of the error thrown").range(1, 8);
  return dcl::run_app(argc, argv, options, [&] {
    if (act == "print") dcl::print("data\n");
    if (act == "much") dcl::print(std::string(1 << 20, 'x'));
    if (act == "log") dcl::log(dcl::LogLevel::warning, "look");
    if (act == "waiting") {
      std::string name;
      std::getline(std::ifstream("/proc/self/comm"), name);
      const char* limit = std::getenv("GOMP_SPINCOUNT");
      dcl::print(std::to_string(::getpid()) + " " + name + " " + text + " " + (limit ? limit : "none") + "\n");
    }
    if (act == "throw") dcl::fail(static_cast<dcl::ErrorKind>(kind), "what, where\nand what to do");
    if (act == "bad_alloc") throw std::bad_alloc();
    if (act == "other") throw std::logic_error("odd");
    return act == "interrupted" ? dcl::kExitInterrupted : 0;
  });
}
