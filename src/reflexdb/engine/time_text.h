// Dates and times between their counts and ISO 8601 text, in the proleptic Gregorian calendar, for any year a
// count can reach.
#pragma once

#include <cstdint>
#include <string_view>

namespace reflex {

inline constexpr size_t kMaxTimeText = 48;

// Write to `to` (kMaxTimeText bytes of room) without quotes and return the end. The extreme counts are
// "-infinity" and "infinity".
char* write_date(int32_t days, char* to);
// "2026-04-15T12:00:00", a fraction if it is not zero, then `Z` for instants.
char* write_datetime(int64_t microseconds, bool instant, char* to);

// "2026-04-15", years beyond 9999 or before 0 with a sign as in "+12026-04-15"; "infinity" and "-infinity".
bool parse_date(std::string_view text, int32_t* days);
// A date, or a date and a time after `T` or a space: "2026-04-15T12:00", seconds and fraction optional. With
// `instant`, a zone may follow
// (`Z`, `+02:00`, `+0200`, `+02`; none means UTC); without, none may.
bool parse_datetime(std::string_view text, bool instant, int64_t* microseconds);

}  // namespace reflex
