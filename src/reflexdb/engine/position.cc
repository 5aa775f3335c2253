#include "position.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <cstring>

namespace reflex::net {
namespace {

constexpr uint64_t kU32Max = 0xFFFFFFFF;
constexpr uint64_t kPageBytes = 8192;    // of PostgreSQL's log
constexpr uint64_t kPageHeadBytes = 24;  // before the first record of a page
constexpr size_t kUuidDigits = 32;

bool read_number(std::string_view text, int base, size_t digits, uint64_t* value) {
  if (text.empty() || text.size() > digits) return false;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), *value, base);
  return status == std::errc() && end == text.data() + text.size();
}

bool decimal(std::string_view text, uint64_t* value) { return read_number(text, 10, 20, value); }

// Takes everything up to `mark` off the front, and the mark. All of it where there is none.
std::string_view cut(std::string_view* rest, char mark) {
  const size_t end = std::min(rest->find(mark), rest->size());
  const std::string_view part = rest->substr(0, end);
  rest->remove_prefix(std::min(end + 1, rest->size()));
  return part;
}

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// With or without its hyphens.
bool read_uuid(std::string_view text, std::array<uint8_t, 16>* out) {
  size_t digits = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '-') {
      if (digits != 8 && digits != 12 && digits != 16 && digits != 20) return false;
      if (i == 0 || text[i - 1] == '-') return false;
      continue;
    }
    const int value = digit(text[i]);
    if (value < 0 || digits == kUuidDigits) return false;
    uint8_t& byte = (*out)[digits / 2];
    byte = static_cast<uint8_t>(digits % 2 == 0 ? value << 4 : byte | value);
    ++digits;
  }
  return digits == kUuidDigits;
}

// Letters, digits and underscores, no digit first; case says nothing.
bool read_tag(std::string_view text, std::array<char, 32>* out) {
  if (text.empty() || text.size() > out->size() || (text[0] >= '0' && text[0] <= '9')) return false;
  std::array<char, 32> tag{};
  for (size_t i = 0; i < text.size(); ++i) {
    const char lower = text[i] >= 'A' && text[i] <= 'Z' ? static_cast<char>(text[i] | 0x20) : text[i];
    if ((lower < 'a' || lower > 'z') && (lower < '0' || lower > '9') && lower != '_') return false;
    tag[i] = lower;
  }
  *out = tag;
  return true;
}

// What the server says as its position may stand behind the head of a page in which nothing stands yet.
uint64_t before_page_head(uint64_t lsn) {
  const uint64_t in_page = lsn % kPageBytes;
  return in_page <= kPageHeadBytes ? lsn - in_page : lsn;
}

}  // namespace

Position Position::parse(std::string_view text) {
  std::string cleaned;  // the server breaks long sets over lines
  cleaned.reserve(text.size());
  for (const char c : text) {
    if (c != ' ' && c != '\t' && c != '\n' && c != '\r') cleaned += c;
  }
  Position found;
  if (decimal(cleaned, &found.number_)) {
    found.form_ = Form::kVersion;
  } else if (found.parse_lsn(cleaned)) {
    found.form_ = Form::kLsn;
  } else if (found.parse_maria(cleaned)) {
    found.form_ = Form::kMaria;
  } else if (found.parse_gtid_set(cleaned)) {
    found.form_ = Form::kGtidSet;
  } else if (found.parse_file(cleaned)) {
    found.form_ = Form::kFile;
  } else {
    return {};
  }
  found.merge();
  return found;
}

bool Position::parse_lsn(std::string_view text) {
  if (text.find('/') == std::string_view::npos) return false;
  uint64_t high = 0;
  uint64_t low = 0;
  if (!read_number(cut(&text, '/'), 16, 8, &high) || !read_number(text, 16, 8, &low)) return false;
  number_ = high << 32 | low;
  return true;
}

bool Position::parse_file(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return false;
  const std::string_view name = text.substr(0, colon);
  const size_t dot = name.rfind('.');
  if (dot == 0 || dot == std::string_view::npos || name.find(':') != std::string_view::npos) return false;
  if (!decimal(text.substr(colon + 1), &number_) || !decimal(name.substr(dot + 1), &file_)) return false;
  base_ = name.substr(0, dot);
  runs_.clear();
  return true;
}

bool Position::parse_maria(std::string_view text) {
  runs_.clear();
  while (!text.empty()) {
    std::string_view part = cut(&text, ',');
    uint64_t domain = 0;
    uint64_t server = 0;
    uint64_t sequence = 0;
    if (!decimal(cut(&part, '-'), &domain) || !decimal(cut(&part, '-'), &server) || !decimal(part, &sequence))
      return false;
    if (domain > kU32Max || server > kU32Max) return false;
    Run run{{}, {}, 0, sequence};
    memcpy(run.source.data(), &domain, sizeof domain);
    runs_.push_back(run);
  }
  return !runs_.empty();
}

bool Position::parse_gtid_set(std::string_view text) {
  runs_.clear();
  while (!text.empty()) {
    std::string_view part = cut(&text, ',');
    Run run{};
    if (!read_uuid(cut(&part, ':'), &run.source) || part.empty()) return false;
    while (!part.empty()) {
      std::string_view interval = cut(&part, ':');
      if (read_tag(interval, &run.tag)) {
        if (part.empty()) return false;
        continue;
      }
      const bool single = interval.find('-') == std::string_view::npos;
      if (!decimal(cut(&interval, '-'), &run.first)) return false;
      run.last = run.first;
      if (!single && !decimal(interval, &run.last)) return false;
      if (run.first == 0 || run.first > run.last || run.last > INT64_MAX) return false;
      runs_.push_back(run);
    }
  }
  return !runs_.empty();
}

// Sorts, and joins what touches.
void Position::merge() {
  std::sort(runs_.begin(), runs_.end(), [](const Run& a, const Run& b) { return a.before(b); });
  size_t kept = 0;
  for (size_t i = 1; i < runs_.size(); ++i) {
    Run& last = runs_[kept];
    const bool touches = runs_[i].same_source(last) && runs_[i].first - 1 <= last.last;
    if (touches || (runs_[i].same_source(last) && runs_[i].first == 0)) {
      last.last = std::max(last.last, runs_[i].last);
    } else {
      runs_[++kept] = runs_[i];
    }
  }
  if (!runs_.empty()) runs_.resize(kept + 1);
}

bool Position::comparable(const Position& other) const {
  return form_ == other.form_ && form_ != Form::kNone && base_ == other.base_;
}

bool Position::covers(const Run& wanted) const {
  // The last run of the source that begins no later.
  auto after = std::upper_bound(runs_.begin(), runs_.end(), wanted,
                                [](const Run& a, const Run& b) { return a.before(b); });
  if (after == runs_.begin()) return false;
  const Run& have = *--after;
  return have.same_source(wanted) && wanted.last <= have.last;
}

bool Position::contains(const Position& other) const {
  assert(comparable(other));
  switch (form_) {
    case Form::kVersion:
      return number_ >= other.number_;
    case Form::kLsn:
      return number_ >= before_page_head(other.number_);
    case Form::kFile:
      return file_ != other.file_ ? file_ > other.file_ : number_ >= other.number_;
    case Form::kMaria:
    case Form::kGtidSet:
      return std::all_of(other.runs_.begin(), other.runs_.end(),
                         [this](const Run& wanted) { return covers(wanted) || wanted.last == 0; });
    case Form::kNone:
      break;
  }
  return false;
}

std::string_view describe(Position::Form form) {
  switch (form) {
    case Position::Form::kLsn:
      return "a log sequence number of PostgreSQL such as 16/B374D848 (SELECT pg_current_wal_lsn())";
    case Position::Form::kMaria:
      return "a GTID list of MariaDB such as 0-1-42,1-7-9 (SELECT @@last_gtid, @@gtid_binlog_pos)";
    case Position::Form::kGtidSet:
      return "a GTID set of MySQL such as 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5 (SELECT @@gtid_executed)";
    case Position::Form::kFile:
      return "a file and offset of this server's binary log such as binlog.000003:4711 (SHOW MASTER STATUS)";
    case Position::Form::kVersion:
    case Position::Form::kNone:
      break;
  }
  return "a snapshot's version as X-ReflexDB-Version tells it";
}

}  // namespace reflex::net
