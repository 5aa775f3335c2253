#include "ordered_text.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "decimal.h"

namespace reflex {

namespace {

constexpr Int128 kSecond = 1'000'000;
constexpr Int128 kMinute = 60 * kSecond;
constexpr Int128 kHour = 60 * kMinute;
constexpr Int128 kDay = 24 * kHour;
constexpr Int128 kMonth = 30 * kDay;  // as PostgreSQL counts where it compares
constexpr Int128 kInfinite = Int128{1} << 94;
constexpr size_t kMostDigits = 18;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// A number before and behind its point, the latter in billionths.
struct Number {
  Int128 whole = 0;
  Int128 billionths = 0;

  Int128 times(Int128 unit) const {
    constexpr Int128 kBillion = 1'000'000'000;
    return whole * unit + (billionths * unit + kBillion / 2) / kBillion;
  }
};

class Reader {
 public:
  explicit Reader(std::string_view text) : left_(text) { skip_blanks(); }

  bool at_end() const { return left_.empty(); }
  char next() const { return left_.empty() ? '\0' : left_[0]; }
  std::string_view left() const { return left_; }

  void skip_blanks() {
    while (next() == ' ' || next() == '\t') left_.remove_prefix(1);
  }
  bool take(char c) {
    if (next() != c) return false;
    left_.remove_prefix(1);
    return true;
  }
  // 1 or -1.
  Int128 sign() {
    if (take('-')) return -1;
    take('+');
    return 1;
  }
  bool digits(size_t least, size_t most, Int128* out) {
    size_t count = 0;
    *out = 0;
    for (; count < left_.size() && is_digit(left_[count]); ++count) {
      if (count == most) return false;
      *out = *out * 10 + (left_[count] - '0');
    }
    left_.remove_prefix(count);
    return count >= least;
  }
  // What follows a point, if one does.
  void fraction(Int128* billionths) {
    *billionths = 0;
    if (!take('.')) return;
    Int128 unit = 1'000'000'000;
    while (is_digit(next())) {
      unit /= 10;
      *billionths += (left_[0] - '0') * unit;
      left_.remove_prefix(1);
    }
  }
  bool number(Number* out) {
    const bool has_whole = is_digit(next());
    if (!has_whole && !(next() == '.' && left_.size() > 1 && is_digit(left_[1]))) return false;
    if (!digits(0, kMostDigits, &out->whole)) return false;
    fraction(&out->billionths);
    return true;
  }
  // In small letters, as the word below; empty where there is none.
  std::string letter() {
    if (!is_letter(next())) return {};
    const char c = static_cast<char>(left_[0] | 0x20);
    left_.remove_prefix(1);
    return std::string(1, c);
  }
  std::string word() {
    std::string out;
    for (; is_letter(next()); left_.remove_prefix(1)) out.push_back(static_cast<char>(left_[0] | 0x20));
    return out;
  }

 private:
  std::string_view left_;
};

// ":05:06.7" behind the hours, seconds optional. Adds to `*out`.
bool minutes_and_seconds(Reader* from, Int128* out) {
  Int128 minutes = 0;
  Number seconds;
  if (!from->take(':') || !from->digits(1, 2, &minutes) || minutes > 59) return false;
  if (from->take(':')) {
    if (!from->digits(1, 2, &seconds.whole) || seconds.whole > 60) return false;
    from->fraction(&seconds.billionths);
  }
  *out += minutes * kMinute + seconds.times(kSecond);
  return true;
}

struct TimeOfDay {
  Int128 micros = 0;  // of the clock shown
  bool has_zone = false;
  Int128 zone_seconds = 0;  // east
};

bool read_zone(Reader* from, TimeOfDay* out) {
  from->skip_blanks();
  if (from->at_end()) return true;
  out->has_zone = true;
  if (from->next() != '+' && from->next() != '-') {
    const std::string name = from->word();
    return from->at_end() && (name == "z" || name == "utc" || name == "gmt");
  }
  const Int128 sign = from->sign();
  Int128 parts[3] = {};
  if (!from->digits(1, 4, &parts[0])) return false;
  if (parts[0] > 99) {
    parts[1] = parts[0] % 100;
    parts[0] /= 100;
  } else if (from->take(':')) {
    if (!from->digits(2, 2, &parts[1])) return false;
    if (from->take(':') && !from->digits(2, 2, &parts[2])) return false;
  }
  out->zone_seconds = sign * (parts[0] * 3600 + parts[1] * 60 + parts[2]);
  return parts[0] < 24 && parts[1] < 60 && parts[2] < 60;
}

// "AM" and "PM" behind a clock of twelve hours.
bool read_half(Reader* from, TimeOfDay* out) {
  Reader ahead = *from;
  ahead.skip_blanks();
  const std::string word = ahead.word();
  if (word != "am" && word != "pm") return true;
  *from = ahead;
  if (out->micros >= 13 * kHour) return false;
  if (out->micros >= 12 * kHour) out->micros -= 12 * kHour;
  if (word == "pm") out->micros += 12 * kHour;
  return true;
}

// "040506.7"
bool read_without_colons(std::string_view text, Int128* micros) {
  Reader from(text);
  Number all;
  if (!from.digits(6, 6, &all.whole)) return false;
  from.fraction(&all.billionths);
  const Int128 minutes = all.whole / 100 % 100;
  const Int128 seconds = all.whole % 100;
  *micros = all.whole / 10000 * kHour + minutes * kMinute + Number{seconds, all.billionths}.times(kSecond);
  return from.at_end() && minutes < 60 && seconds <= 60;
}

std::optional<TimeOfDay> time_of(std::string_view text) {
  Reader from(text);
  TimeOfDay out;
  if (read_without_colons(text, &out.micros)) return out;
  const Int128 sign = from.sign();
  Int128 first = 0;
  if (!from.digits(1, 6, &first)) return std::nullopt;
  Int128 hours = first;
  if (from.next() == ' ') {  // days before
    from.skip_blanks();
    if (!from.digits(1, 3, &hours)) return std::nullopt;
    hours += first * 24;
  }
  out.micros = hours * kHour;
  if (!minutes_and_seconds(&from, &out.micros) || !read_half(&from, &out)) return std::nullopt;
  out.micros *= sign;
  if (!read_zone(&from, &out)) return std::nullopt;
  return out;
}

struct Unit {
  std::string_view names;  // a blank around each
  Int128 micros;
};

constexpr std::array<Unit, 12> kUnits = {{
    {" microsecond microseconds us usec usecs ", 1},
    {" millisecond milliseconds ms msec msecs ", 1000},
    {" s sec secs second seconds ", kSecond},
    {" m min mins minute minutes ", kMinute},
    {" h hr hrs hour hours ", kHour},
    {" d day days ", kDay},
    {" w week weeks ", 7 * kDay},
    {" mon mons month months ", kMonth},
    {" y yr yrs year years ", 12 * kMonth},
    {" dec decs decade decades ", 120 * kMonth},
    {" c cent century centuries ", 1200 * kMonth},
    {" mil mils millennium millennia ", 12000 * kMonth},
}};

// Of years and more, whole months count.
Int128 in_unit(const Number& number, Int128 unit) {
  return unit > kMonth ? number.times(unit / kMonth) * kMonth : number.times(unit);
}

bool add_with_unit(const Number& number, std::string_view name, Int128 sign, Int128* total) {
  const std::string wanted = ' ' + std::string(name) + ' ';
  for (const Unit& unit : kUnits) {
    if (unit.names.find(wanted) == std::string_view::npos) continue;
    *total += sign * in_unit(number, unit.micros);
    return true;
  }
  return false;
}

// "1Y2M3DT4H5M6S", behind the P.
bool read_iso(Reader* from, Int128* total) {
  bool in_time = false;
  bool has_any = false;
  while (!from->at_end()) {
    if (!in_time && (from->take('T') || from->take('t'))) {
      in_time = true;
      continue;
    }
    const Int128 sign = from->sign();
    Number number;
    if (!from->number(&number)) return false;
    const std::string name = from->letter();
    const std::string_view known = in_time ? "hms" : "ymwd";
    if (name.empty() || known.find(name) == std::string_view::npos) return false;
    if (!add_with_unit(number, !in_time && name == "m" ? "mon" : name, sign, total)) return false;
    has_any = true;
  }
  return has_any;
}

// One part of a verbose interval: "3 days", "04:05:06", "1-2" (years and months), "90" (seconds).
bool read_part(Reader* from, Int128* total) {
  const Int128 sign = from->sign();
  Number number;
  if (!from->number(&number)) return false;
  if (from->next() == ':') {
    Int128 clock = number.whole * kHour;
    if (number.billionths != 0 || !minutes_and_seconds(from, &clock)) return false;
    *total += sign * clock;
    return true;
  }
  if (from->take('-')) {
    Int128 months = 0;
    if (number.billionths != 0 || !from->digits(1, 2, &months) || months > 11) return false;
    *total += sign * (number.whole * 12 + months) * kMonth;
    return true;
  }
  from->skip_blanks();
  const std::string name = from->word();
  if (!name.empty()) return add_with_unit(number, name, sign, total);
  *total += sign * number.times(from->at_end() ? kSecond : kDay);  // a number before a clock counts days
  return true;
}

std::optional<Int128> interval_of(std::string_view text) {
  Reader from(text);
  if (text == "infinity" || text == "+infinity") return kInfinite;
  if (text == "-infinity") return -kInfinite;
  Int128 total = 0;
  if (from.take('P') || from.take('p')) {
    return read_iso(&from, &total) ? std::optional(total) : std::nullopt;
  }
  if (from.take('@')) from.skip_blanks();
  if (from.at_end()) return std::nullopt;
  while (!from.at_end()) {
    if (from.left() == "ago" || from.left() == "AGO") return -total;
    if (!read_part(&from, &total)) return std::nullopt;
    from.skip_blanks();
    if (from.take(',')) from.skip_blanks();
  }
  return total;
}

// The lowest bytes of a number, the highest first, so that they order as the numbers do.
void append_ordered(Int128 value, int bytes, std::string* out) {
  const Int128 shifted = value + (Int128{1} << (bytes * 8 - 1));
  for (int i = bytes - 1; i >= 0; --i)
    out->push_back(static_cast<char>(static_cast<uint8_t>(shifted >> (i * 8))));
}

constexpr char kValue = '\0';
constexpr char kOther = '\1';

}  // namespace

std::string ordered_key(Storage storage, std::string_view text) {
  std::string key(1, kValue);  // fits in the string itself: nothing is allocated
  if (storage == Storage::kTime) {
    if (const auto time = time_of(text)) {
      append_ordered(time->micros - time->zone_seconds * kSecond, 8, &key);
      append_ordered(-time->zone_seconds, 4, &key);  // at the same instant, the eastern zone comes first
      return key;
    }
  } else if (const auto micros = interval_of(text)) {
    append_ordered(std::clamp(*micros, -kInfinite, kInfinite), 12, &key);
    return key;
  }
  key[0] = kOther;
  return key.append(text);
}

bool is_ordered_value(Storage storage, std::string_view text) {
  return storage == Storage::kTime ? time_of(text).has_value() : interval_of(text).has_value();
}

bool has_zone(std::string_view text) {
  const auto time = time_of(text);
  return time && time->has_zone;
}

}  // namespace reflex
