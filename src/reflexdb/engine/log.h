// Events for people and programs that run the server: one JSON object per line on standard error.
// Never given keys, query texts or rows. Any thread may log; a line is one write.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>

namespace reflex::net {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError };

struct LogField {
  LogField(std::string_view field, std::string_view value) : name(field), text(value) {}
  LogField(std::string_view field, const char* value) : name(field), text(value) {}
  LogField(std::string_view field, int64_t value) : name(field), number(value), is_number(true) {}
  LogField(std::string_view field, uint64_t value) : LogField(field, static_cast<int64_t>(value)) {}
  LogField(std::string_view field, int value) : LogField(field, static_cast<int64_t>(value)) {}

  std::string_view name;
  std::string_view text;
  int64_t number = 0;
  bool is_number = false;
};

void set_log_level(LogLevel level);
bool parse_level(std::string_view name, LogLevel* level);

// Never throws; an event that can't be written is lost.
void log_event(LogLevel level, std::string_view action, std::initializer_list<LogField> fields = {}) noexcept;

}  // namespace reflex::net
