#include "time_text.h"

#include <cassert>
#include <charconv>
#include <cstring>
#include <limits>

namespace reflex {

namespace {

constexpr int64_t kDayMicros = 86'400'000'000;

struct Civil {
  int64_t year;
  unsigned month;
  unsigned day;
};

// Counts years from March, so that the leap day is a year's last; 400 years are one cycle of 146,097 days.
int64_t days_from_civil(const Civil& date) {
  const int64_t year = date.year - (date.month <= 2 ? 1 : 0);
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const int64_t year_of_era = year - era * 400;
  const int64_t day_of_year =
      (153 * (date.month > 2 ? date.month - 3 : date.month + 9) + 2) / 5 + date.day - 1;
  return era * 146'097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719'468;
}

Civil civil_from_days(int64_t days) {
  days += 719'468;
  const int64_t era = (days >= 0 ? days : days - 146'096) / 146'097;
  const int64_t day_of_era = days - era * 146'097;
  const int64_t year_of_era =
      (day_of_era - day_of_era / 1'460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t shifted = (5 * day_of_year + 2) / 153;
  const auto day = static_cast<unsigned>(day_of_year - (153 * shifted + 2) / 5 + 1);
  const auto month = static_cast<unsigned>(shifted < 10 ? shifted + 3 : shifted - 9);
  return {year_of_era + era * 400 + (month <= 2 ? 1 : 0), month, day};
}

char* write_word(std::string_view word, char* to) {
  std::memcpy(to, word.data(), word.size());
  return to + word.size();
}

char* write_two(unsigned value, char* to) {
  assert(value < 100);
  to[0] = static_cast<char>('0' + value / 10);
  to[1] = static_cast<char>('0' + value % 10);
  return to + 2;
}

char* write_year(int64_t year, char* to) {
  if (year >= 0 && year <= 9999) [[likely]] {
    const auto small = static_cast<unsigned>(year);
    return write_two(small % 100, write_two(small / 100, to));
  }
  *to++ = year < 0 ? '-' : '+';
  const int64_t magnitude = year < 0 ? -year : year;
  for (int64_t power = 1000; power > 1 && magnitude < power; power /= 10) *to++ = '0';
  return std::to_chars(to, to + 20, magnitude).ptr;
}

char* write_days(int64_t days, char* to) {
  const Civil date = civil_from_days(days);
  to = write_year(date.year, to);
  *to++ = '-';
  to = write_two(date.month, to);
  *to++ = '-';
  return write_two(date.day, to);
}

char* write_fraction(unsigned micros, char* to) {
  *to++ = '.';
  for (unsigned power = 100'000; micros != 0; power /= 10) {
    *to++ = static_cast<char>('0' + micros / power);
    micros %= power;
  }
  return to;
}

// Reads pieces of a text from its front; each returns false where the piece is not there.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool done() const { return text_.empty(); }
  bool take(char c) {
    if (!text_.starts_with(c)) return false;
    text_.remove_prefix(1);
    return true;
  }
  bool two(unsigned most, unsigned* out) {
    if (text_.size() < 2 || !is_digit(text_[0]) || !is_digit(text_[1])) return false;
    *out = static_cast<unsigned>((text_[0] - '0') * 10 + (text_[1] - '0'));
    text_.remove_prefix(2);
    return *out <= most;
  }
  // Between `least` and `most` digits.
  bool number(size_t least, size_t most, int64_t* out) {
    size_t count = 0;
    *out = 0;
    while (count < text_.size() && count < most && is_digit(text_[count]))
      *out = *out * 10 + (text_[count++] - '0');
    text_.remove_prefix(count);
    return count >= least;
  }
  // Digits behind a point. Digits beyond microseconds must be zero: no stored value could equal them.
  bool fraction(int64_t* micros) {
    size_t count = 0;
    *micros = 0;
    for (; !text_.empty() && is_digit(text_[0]); ++count, text_.remove_prefix(1)) {
      if (count < 6) {
        *micros = *micros * 10 + (text_[0] - '0');
      } else if (text_[0] != '0') {
        return false;
      }
    }
    for (size_t i = count; i < 6; ++i) *micros *= 10;
    return count > 0;
  }

 private:
  static bool is_digit(char c) { return c >= '0' && c <= '9'; }
  std::string_view text_;
};

bool scan_date(Scanner* scanner, int64_t* days) {
  const bool minus = scanner->take('-');
  const bool sign = minus || scanner->take('+');
  Civil date{};
  if (!scanner->number(4, sign ? 7 : 4, &date.year) || !scanner->take('-')) return false;
  if (!scanner->two(12, &date.month) || !scanner->take('-') || !scanner->two(31, &date.day)) return false;
  if (date.month == 0 || date.day == 0) return false;
  if (minus) date.year = -date.year;
  *days = days_from_civil(date);
  const Civil back = civil_from_days(*days);
  return back.month == date.month && back.day == date.day;  // no 30th of February
}

bool scan_time(Scanner* scanner, int64_t* micros) {
  unsigned hour = 0;
  unsigned minute = 0;
  unsigned second = 0;
  int64_t fraction = 0;
  if (!scanner->two(23, &hour) || !scanner->take(':') || !scanner->two(59, &minute)) return false;
  if (scanner->take(':')) {
    if (!scanner->two(59, &second)) return false;
    if (scanner->take('.') && !scanner->fraction(&fraction)) return false;
  }
  *micros = (static_cast<int64_t>(hour) * 3600 + minute * 60 + second) * 1'000'000 + fraction;
  return true;
}

bool scan_zone(Scanner* scanner, int64_t* micros) {
  *micros = 0;
  if (scanner->done() || scanner->take('Z') || scanner->take('z')) return true;
  const bool minus = scanner->take('-');
  if (!minus && !scanner->take('+')) return false;
  unsigned hours = 0;
  unsigned minutes = 0;
  if (!scanner->two(23, &hours)) return false;
  const bool colon = scanner->take(':');
  if ((colon || !scanner->done()) && !scanner->two(59, &minutes)) return false;
  *micros = (static_cast<int64_t>(hours) * 60 + minutes) * 60'000'000 * (minus ? -1 : 1);
  return true;
}

template <typename T>
bool parse_infinity(std::string_view text, T* out) {
  if (text != "infinity" && text != "-infinity") return false;
  *out = text[0] == '-' ? std::numeric_limits<T>::min() : std::numeric_limits<T>::max();
  return true;
}

}  // namespace

char* write_date(int32_t days, char* to) {
  if (days == std::numeric_limits<int32_t>::max()) return write_word("infinity", to);
  if (days == std::numeric_limits<int32_t>::min()) return write_word("-infinity", to);
  return write_days(days, to);
}

char* write_datetime(int64_t microseconds, bool instant, char* to) {
  if (microseconds == std::numeric_limits<int64_t>::max()) return write_word("infinity", to);
  if (microseconds == std::numeric_limits<int64_t>::min()) return write_word("-infinity", to);
  int64_t days = microseconds / kDayMicros;
  int64_t rest = microseconds % kDayMicros;
  if (rest < 0) {
    rest += kDayMicros;
    --days;
  }
  to = write_days(days, to);
  const auto seconds = static_cast<unsigned>(rest / 1'000'000);
  *to++ = 'T';
  to = write_two(seconds / 3600, to);
  *to++ = ':';
  to = write_two(seconds / 60 % 60, to);
  *to++ = ':';
  to = write_two(seconds % 60, to);
  const auto micros = static_cast<unsigned>(rest % 1'000'000);
  if (micros != 0) to = write_fraction(micros, to);
  if (instant) *to++ = 'Z';
  return to;
}

bool parse_date(std::string_view text, int32_t* days) {
  if (parse_infinity(text, days)) return true;
  Scanner scanner(text);
  int64_t count = 0;
  if (!scan_date(&scanner, &count) || !scanner.done()) return false;
  *days = static_cast<int32_t>(count);
  return count == *days;
}

bool parse_datetime(std::string_view text, bool instant, int64_t* microseconds) {
  if (parse_infinity(text, microseconds)) return true;
  Scanner scanner(text);
  int64_t days = 0;
  int64_t time = 0;
  int64_t zone = 0;
  if (!scan_date(&scanner, &days)) return false;
  if (!scanner.done()) {
    if (!scanner.take('T') && !scanner.take('t') && !scanner.take(' ')) return false;
    if (!scan_time(&scanner, &time)) return false;
    if (instant && !scan_zone(&scanner, &zone)) return false;
  }
  if (!scanner.done()) return false;
  int64_t micros = 0;
  if (__builtin_mul_overflow(days, kDayMicros, &micros)) return false;
  return !__builtin_add_overflow(micros, time - zone, microseconds);
}

}  // namespace reflex
