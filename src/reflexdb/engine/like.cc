#include "like.h"

#include <cassert>
#include <cstring>

#include "utf8.h"

namespace reflex {

namespace {

size_t code_points(std::string_view text) {
  size_t count = 0;
  for (const char c : text) count += utf8_is_continuation(c) ? 0 : 1;
  return count;
}

void fold_text(std::string_view text, std::string* out) {
  out->clear();
  for (size_t i = 0; i < text.size();) utf8_append(out, fold_case(utf8_next(text, &i)));
}

}  // namespace

void Like::add(Segment* segment, uint32_t point) const {
  if (point == kAnyOne) {
    segment->plain = false;
    segment->points.push_back(kAnyOne);
    return;
  }
  const uint32_t folded = fold_ ? fold_case(point) : point;
  segment->points.push_back(folded);
  utf8_append(&segment->literal, folded);
}

Like::Like(std::string_view pattern, bool fold) : fold_(fold), open_start_(pattern.starts_with('%')) {
  Segment segment;
  const auto close = [&] {
    if (!segment.points.empty()) segments_.push_back(std::move(segment));
    segment = Segment{};
  };
  for (size_t i = 0; i < pattern.size();) {
    uint32_t point = utf8_next(pattern, &i);
    open_end_ = point == '%';
    if (point == '%') {
      close();
    } else if (point == '_') {
      add(&segment, kAnyOne);
    } else {
      if (point == '\\' && i < pattern.size()) point = utf8_next(pattern, &i);
      add(&segment, point);
    }
  }
  close();
}

// Does `segment` stand in `text` at `from`? Then `*end` is behind it.
bool Like::at(const Segment& segment, std::string_view text, size_t from, size_t* end, uint64_t* work) const {
  if (segment.plain) {
    *end = from + segment.literal.size();
    return text.substr(from).starts_with(segment.literal);
  }
  size_t i = from;
  for (const uint32_t point : segment.points) {
    if (i >= text.size() || *work == 0) return false;
    --*work;
    const uint32_t found = utf8_next(text, &i);
    if (point != kAnyOne && point != found) return false;
  }
  *end = i;
  return true;
}

// Moves `*from` behind the first place at or after it where `segment` stands.
bool Like::find(const Segment& segment, std::string_view text, size_t* from, uint64_t* work) const {
  if (segment.plain) {  // valid UTF-8 can only be found at a code point's start
    if (text.size() - *from < segment.literal.size()) return false;
    const auto* found = static_cast<const char*>(
        memmem(text.data() + *from, text.size() - *from, segment.literal.data(), segment.literal.size()));
    if (found == nullptr) return false;
    *from = static_cast<size_t>(found - text.data()) + segment.literal.size();
    return true;
  }
  for (size_t i = *from; i < text.size() && *work != 0;) {
    size_t end = 0;
    if (at(segment, text, i, &end, work)) {
      *from = end;
      return true;
    }
    utf8_next(text, &i);
  }
  return false;
}

// Does `text` end with `segment`, not starting before `from`?
bool Like::at_end(const Segment& segment, std::string_view text, size_t from, uint64_t* work) const {
  if (segment.plain) {
    return text.size() - from >= segment.literal.size() && text.ends_with(segment.literal);
  }
  const std::string_view rest = text.substr(from);
  const size_t have = code_points(rest);
  if (have < segment.points.size()) return false;
  size_t i = from;
  for (size_t skip = have - segment.points.size(); skip > 0; --skip) utf8_next(text, &i);
  size_t end = 0;
  return at(segment, text, i, &end, work) && end == text.size();
}

bool Like::matches(std::string_view text, std::string* scratch, uint64_t* work) const {
  if (fold_) {
    fold_text(text, scratch);
    text = *scratch;
  }
  if (segments_.empty()) return open_start_ || text.empty();
  size_t from = 0;
  size_t next = 0;
  size_t last = segments_.size();
  if (!open_start_) {
    if (!at(segments_[0], text, 0, &from, work)) return false;
    next = 1;
    if (last == 1) return open_end_ || from == text.size();
  }
  if (!open_end_) --last;
  for (; next < last; ++next) {
    if (!find(segments_[next], text, &from, work)) return false;
  }
  assert(from <= text.size());
  return open_end_ || at_end(segments_.back(), text, from, work);
}

}  // namespace reflex
