#include "log.h"

#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <string>

#include "json_doc.h"

namespace reflex::net {
namespace {

constexpr std::string_view kNames[] = {"debug", "info", "warning", "error"};
std::atomic<LogLevel> g_level{LogLevel::kInfo};

void append_timestamp(std::string* out) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm utc{};
  gmtime_r(&now.tv_sec, &utc);
  char text[64];
  size_t length = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  out->append(text, length);
  snprintf(text, sizeof text, ".%03dZ", static_cast<int>(now.tv_nsec / 1'000'000));
  out->append(text);
}

}  // namespace

void set_log_level(LogLevel level) { g_level.store(level, std::memory_order_relaxed); }

bool parse_level(std::string_view name, LogLevel* level) {
  for (uint8_t i = 0; i < 4; ++i) {
    if (kNames[i] == name) {
      *level = static_cast<LogLevel>(i);
      return true;
    }
  }
  return false;
}

void log_event(LogLevel level, std::string_view action, std::initializer_list<LogField> fields) noexcept {
  if (level < g_level.load(std::memory_order_relaxed)) return;
  try {
    std::string line = "{\"ts\":\"";
    append_timestamp(&line);
    line += "\",\"level\":\"";
    line += kNames[static_cast<size_t>(level)];
    line += "\",\"action\":";
    append_quoted(&line, action);
    for (const LogField& field : fields) {
      line += ',';
      append_quoted(&line, field.name);
      line += ':';
      if (field.is_number) {
        line += std::to_string(field.number);
      } else {
        append_quoted(&line, field.text);
      }
    }
    line += "}\n";
    // Standard error may be gone or full; there is nobody to tell.
    [[maybe_unused]] ssize_t written = write(STDERR_FILENO, line.data(), line.size());
  } catch (...) {
  }
}

}  // namespace reflex::net
