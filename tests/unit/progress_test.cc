// The progress line at every width, and what reaches terminals and files.
#include "run/progress.h"

#include <gtest/gtest.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>

#include "support/process.h"

namespace dcl {
namespace {

int columns_of(const std::string& text) {
  int count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return count;
}

TEST(ProgressLine, HasTqdmsShape) {
  EXPECT_EQ(progress_line("Train Epoch: [3/400] Loss: 4.8123", 185, 410, 41, 4.47, 84, true),
            "Train Epoch: [3/400] Loss: 4.8123:  45%|████▌     | 185/410 [00:41<00:50,  4.47it/s]");
  EXPECT_EQ(progress_line("Train Epoch: [3/400] Loss: 4.8123", 185, 410, 41, 4.47, 84, false),
            "Train Epoch: [3/400] Loss: 4.8123:  45%|####5     | 185/410 [00:41<00:50,  4.47it/s]");
}

TEST(ProgressLine, FitsEveryWidth) {
  for (int columns = 20; columns < 200; ++columns)
    for (const int64_t done : {0, 1, 99, 12345})
      for (const bool utf8 : {true, false}) {
        const std::string line =
            progress_line("Zeit \xC3\xA9: [3/400] Loss: 4.8123", done, 12345, 3700, 0.3, columns, utf8);
        EXPECT_LE(columns_of(line), columns) << line;
        EXPECT_NE(line.find('%'), std::string::npos) << line;
      }
}

TEST(ProgressLine, Extremes) {
  EXPECT_NE(progress_line("", 0, 0, 0, 0, 80, false).find("  0%"), std::string::npos);
  EXPECT_NE(progress_line("", 5, 3, 1, 1, 80, false).find("100%"), std::string::npos);
  EXPECT_NE(progress_line("x", 1, 10, 1, 0, 80, false).find("?it/s"), std::string::npos);
  EXPECT_NE(progress_line("x", 1, 10, 1, 0.25, 80, false).find("4.00s/it"), std::string::npos);
  EXPECT_EQ(progress_line("x", 409, 410, 1, 1, 80, false).find("100%"), std::string::npos) << "not done is not 100 %";
}

TEST(Durations, Text) {
  EXPECT_EQ(duration_text(0), "00:00");
  EXPECT_EQ(duration_text(41.9), "00:41");
  EXPECT_EQ(duration_text(3599), "59:59");
  EXPECT_EQ(duration_text(3723), "1:02:03");
  EXPECT_EQ(duration_text(-1), "?");
  EXPECT_EQ(duration_text(std::nan("")), "?");
}

TEST(Times, Utc) {
  EXPECT_EQ(utc_text(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(utc_text(951782400.25, true), "2000-02-29T00:00:00.250Z");
  EXPECT_EQ(utc_text(4102444800.0), "2100-01-01T00:00:00Z");
}

/// Skipped where there are no pseudo-terminals, as in a container without /dev/pts.
class Terminal : public testing::Test {
 protected:
  void SetUp() override {
    int master = -1, slave = -1;
    if (::openpty(&master, &slave, nullptr, nullptr, nullptr) != 0) GTEST_SKIP() << "no pseudo-terminals here";
    ::close(master);
    ::close(slave);
  }
};

/// Runs `use` with a console on a pseudo-terminal of that width; returns what was written to it.
template <class Use>
std::string on_terminal(unsigned short columns, const TerminalTraits* forced, Use&& use) {
  winsize size{24, columns, 0, 0};
  int master = -1, slave = -1;
  EXPECT_EQ(::openpty(&master, &slave, nullptr, nullptr, &size), 0);
  {
    Console console(slave);
    console.configure(forced ? *forced : TerminalTraits::of(slave, "auto"));
    use(console);
  }
  std::string out;
  char part[4096];
  ::close(slave);
  for (ssize_t got; (got = ::read(master, part, sizeof part)) > 0;) out.append(part, static_cast<size_t>(got));
  ::close(master);
  return out;
}

struct Variable {
  Variable(const char* name, const char* value) : name_(name) {
    const char* old = std::getenv(name);
    if (old) before_ = old;
    had_ = old != nullptr;
    ::setenv(name, value, 1);
  }
  ~Variable() { had_ ? ::setenv(name_, before_.c_str(), 1) : ::unsetenv(name_); }
  const char* name_;
  std::string before_;
  bool had_;
};

void warn_and_draw(Console& console) {
  console.status("working");
  console.log(LogLevel::warning, "look");
}

TEST_F(Terminal, LogLinesDoNotBreakTheBar) {
  const Variable term("TERM", "xterm"), plain("NO_COLOR", "1");
  EXPECT_EQ(on_terminal(80, nullptr, warn_and_draw), "\r\x1b[2Kworking\r\x1b[2Kwarning: look\r\nworking");
}

TEST_F(Terminal, ColorOnlyWhenWanted) {
  const Variable term("TERM", "xterm");
  {
    const Variable off("NO_COLOR", "");
    EXPECT_NE(on_terminal(80, nullptr, warn_and_draw).find("\x1b[33mwarning: \x1b[0mlook"), std::string::npos);
  }
  const Variable off("NO_COLOR", "1");
  EXPECT_EQ(on_terminal(80, nullptr, warn_and_draw).find("\x1b[33m"), std::string::npos);
  EXPECT_TRUE(TerminalTraits::of(1, "always").color);
  EXPECT_FALSE(TerminalTraits::of(1, "never").color);
}

TEST_F(Terminal, DumbOnesGetPlainLines) {
  const Variable term("TERM", "dumb");
  EXPECT_EQ(on_terminal(80, nullptr, warn_and_draw), "warning: look\r\n");
}

TEST_F(Terminal, NarrowOnesDoNotWrap) {
  const Variable term("TERM", "xterm");
  const std::string out = on_terminal(20, nullptr, [](Console& console) { console.status(std::string(100, 'x')); });
  EXPECT_EQ(out, "\r\x1b[2K" + std::string(19, 'x'));
}

TEST_F(Terminal, ControlCharactersDoNotReachIt) {
  const Variable term("TERM", "xterm");
  const std::string out = on_terminal(40, nullptr, [](Console& console) {
    console.status("a\nb\x1b[31m");
    console.status("");
    console.line("one\ntwo\x1b[2J");
  });
  EXPECT_EQ(out, "\r\x1b[2Ka b [31m\r\x1b[2Kone two [2J\r\n");
}

TEST_F(Terminal, BarIsDrawnAndRemoved) {
  const Variable term("TERM", "xterm");
  const std::string out = on_terminal(60, nullptr, [](Console& console) {
    Progress progress(4, 30, console);
    for (int done = 1; done <= 4; ++done) {
      ::usleep(120'000);
      progress.update(done, "Epoch");
    }
    progress.finish();
  });
  EXPECT_NE(out.find("\r\x1b[2KEpoch:  25%|"), std::string::npos) << out;
  EXPECT_NE(out.find("\r\x1b[2KEpoch: 100% 4/4 ["), std::string::npos) << out;
  EXPECT_EQ(out.substr(out.size() - 2), "\r\n");
}

TEST(PlainFile, LinesWithoutControlCharacters) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "log", file = folder / "err";
  FILE* stream = std::fopen(file.c_str(), "w");
  {
    Console console(::fileno(stream));
    console.configure(TerminalTraits::of(::fileno(stream), "auto"));
    console.open_log(path);
    Progress progress(3, 0.05, console);
    for (int done = 1; done <= 3; ++done) {
      ::usleep(60'000);
      progress.update(done, "Epoch");
    }
    progress.finish();
    console.error("bad");
  }
  std::fclose(stream);
  const std::string text = test::read_text(file), log = test::read_text(path);
  EXPECT_EQ(text.find('\r'), std::string::npos);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 5);
  EXPECT_NE(text.find("Epoch:  33% 1/3 ["), std::string::npos) << text;
  EXPECT_NE(text.find("error: bad\n"), std::string::npos);
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 5);
  EXPECT_EQ(log[10], 'T') << "each line of the log begins with its time";
}

}  // namespace
}  // namespace dcl
