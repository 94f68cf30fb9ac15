#include "run/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "io/utf8.h"

namespace dcl {
namespace {

constexpr double kRedrawSeconds = 0.1;
constexpr double kSmoothing = 0.3;  // tqdm's default
constexpr int kLeastBar = 10;

std::string bar(double share, int width, bool utf8) {
  static constexpr const char* kEighths[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const int steps = utf8 ? 8 : 10;
  const int filled = static_cast<int>(share * width * steps);
  std::string out;
  for (int cell = 0; cell < width; ++cell) {
    const int part = std::clamp(filled - cell * steps, 0, steps);
    if (utf8)
      out += part == 8 ? "█" : kEighths[part];
    else
      out += part == 10 ? '#' : part == 0 ? ' ' : static_cast<char>('0' + part);
  }
  return out;
}

std::string rate_text(double rate) {
  if (!(rate > 0) || !std::isfinite(rate)) return "?it/s";
  return rate < 1 ? fmt::format("{:5.2f}s/it", 1 / rate) : fmt::format("{:5.2f}it/s", rate);
}

std::string times_text(int64_t done, int64_t total, double elapsed, double rate) {
  const double left = rate > 0 ? static_cast<double>(total - done) / rate : -1;
  return fmt::format(" [{}<{}, {}]", duration_text(elapsed), duration_text(left), rate_text(rate));
}

}  // namespace

std::string duration_text(double seconds) {
  if (!(seconds >= 0) || seconds > 1e9) return "?";
  const auto whole = static_cast<int64_t>(seconds);
  if (whole < 3600) return fmt::format("{:02}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string progress_line(std::string_view label, int64_t done, int64_t total, double elapsed, double rate, int columns,
                          bool utf8) {
  const double share = total > 0 ? std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0) : 0.0;
  const std::string percent = fmt::format("{:3.0f}%", std::floor(share * 100));
  const std::string count = fmt::format(" {}/{}", done, total), times = times_text(done, total, elapsed, rate);
  const std::string head = label.empty() ? "" : std::string(label) + ": ";
  const int fixed = count_characters(head) + count_characters(percent) + count_characters(count);
  const int room = columns - fixed - count_characters(times) - 2;
  if (room >= kLeastBar) return head + percent + "|" + bar(share, room, utf8) + "|" + count + times;
  if (fixed + count_characters(times) <= columns) return head + percent + count + times;
  if (fixed <= columns) return head + percent + count;
  const int label_room = columns - count_characters(percent) - count_characters(count) - 2;
  if (label_room < 1) return percent + count;
  return std::string(first_characters(label, label_room)) + ": " + percent + count;
}

Progress::Progress(int64_t total, double plain_interval, Console& console)
    : console_(console), total_(total), interval_(plain_interval), start_(monotonic_now()), drawn_(start_) {}

Progress::~Progress() {
  if (!finished_) console_.status("");
}

void Progress::update(int64_t done, std::string_view label) {
  done_ = done;
  label_ = label;
  const double now = monotonic_now(), passed = now - drawn_;
  const bool live = console_.traits().live;
  if (passed < (live ? kRedrawSeconds : interval_)) return;
  recent_items_ = kSmoothing * static_cast<double>(done_ - drawn_done_) + (1 - kSmoothing) * recent_items_;
  recent_seconds_ = kSmoothing * passed + (1 - kSmoothing) * recent_seconds_;
  drawn_ = now;
  drawn_done_ = done_;
  const double rate = recent_seconds_ > 0 ? recent_items_ / recent_seconds_ : 0;
  if (live)
    console_.status(
        progress_line(label_, done_, total_, now - start_, rate, console_.columns() - 1, console_.traits().utf8));
  else
    console_.line(plain_text(now - start_, rate));
}

void Progress::finish() {
  if (std::exchange(finished_, true)) return;
  const double elapsed = monotonic_now() - start_;
  console_.status("");
  console_.line(plain_text(elapsed, elapsed > 0 ? static_cast<double>(done_) / elapsed : 0));
}

std::string Progress::plain_text(double elapsed, double rate) const {
  const double percent = total_ > 0 ? 100.0 * static_cast<double>(done_) / static_cast<double>(total_) : 0;
  return fmt::format("{}{:3.0f}% {}/{}{}", label_.empty() ? "" : label_ + ": ", std::floor(percent), done_, total_,
                     times_text(done_, total_, elapsed, rate));
}

void WorkProgress::operator()(int64_t done, int64_t all) {
  if (!bar_) bar_.emplace(all);
  bar_->update(done, label_);
  if (done >= all) bar_.reset();
}

}  // namespace dcl
